"""Probeless for all concepts of a layer, compared with NeuroX: seconds, their ratio, and whether the rankings agree.

    python -m pip install --no-deps neurox
    python perf/neurons.py [--tokens 20000] [--width 384 --width 768] [--concepts 600 --concepts 5000] [--repeats 3]

NeuroX's pins are old, but the method needs numpy alone, hence `--no-deps`. Both get the same vectors and labels and
return the ranking of every concept: `rank_neurons`, and NeuroX's `get_neuron_ordering_for_all_tags`. The vectors are
random; each concept has another mean. Seconds are the least of the repeats; a run of more than ten seconds is not
repeated. "closed form" is the part of ours from the concepts' means to the scores.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

INSTALL = "python -m pip install --no-deps neurox"


def main() -> None:
    """Run both on each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--width", type=int, action="append", help="neurons (may be repeated; default 384, 768)")
    parser.add_argument("--concepts", type=int, action="append", help="may be repeated; default 600, 5000")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    from rich.console import Console
    from rich.table import Table

    from conceptbench.eval.methods.neurons.ranking import probeless, rank_neurons
    from conceptbench.eval.methods.neurons.vectors import concept_means

    peer = neurox()
    table = Table(title=f"Probeless for all concepts, {options.tokens:,} tokens")
    for column in ("width", "concepts", "closed form s", "ours s", "NeuroX s", "ratio", "ranked alike"):
        table.add_column(column, justify="right")
    for width in options.width or (384, 768):
        for concepts in options.concepts or (600, 5000):
            vectors, labels = random_vectors(options.tokens, width, concepts)
            names = {number: number for number in range(concepts)}
            means = concept_means(vectors, labels, concepts)
            closed, _ = timed(lambda means=means: probeless(means), options.repeats)
            ours, rankings = timed(lambda x=vectors, y=labels: rank_neurons(x, y), options.repeats)
            row = [str(width), f"{concepts:,}", f"{closed:.3f}", f"{ours:.3f}"]
            if peer is not None:
                print(f"NeuroX on {concepts:,} concepts of {width} neurons ...", file=sys.stderr)
                theirs, (_, expected) = timed(lambda x=vectors, y=labels, n=names: peer(x, y, n), options.repeats)
                row += [f"{theirs:.2f}", f"{theirs / ours:.1f}", f"{alike(rankings, expected):.2%}"]
            table.add_row(*row)
    Console().print(table)
    if peer is None:
        print(f"NeuroX is not installed: {INSTALL}", file=sys.stderr)


def neurox() -> Callable[..., Any] | None:
    """Give NeuroX's ranking of all concepts, if it is installed."""
    try:
        from neurox.interpretation.probeless import get_neuron_ordering_for_all_tags
    except ImportError:
        return None
    return get_neuron_ordering_for_all_tags


def random_vectors(tokens: int, width: int, concepts: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw vectors (tokens, width) float32 and labels (tokens,), every concept with at least one token."""
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.arange(tokens) % concepts)
    centres = generator.normal(size=(concepts, width))
    return (centres[labels] + generator.normal(size=(tokens, width))).astype(np.float32), labels


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Give the least seconds of the repeats, of one where it takes more than ten, and what the work returns."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - started)
        if seconds[-1] > 10:
            break
    return min(seconds), result


def alike(rankings: dict[Any, Any], expected: dict[Any, list[int]]) -> float:
    """Give the share of ranks at which NeuroX has a neuron of equal score, within a rounding error of float32."""
    same = [
        np.isclose(ranking.scores[expected[name]], ranking.scores[ranking.order], rtol=1e-5)
        for name, ranking in rankings.items()
    ]
    return float(np.mean(same))


if __name__ == "__main__":
    main()
