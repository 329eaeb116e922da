"""Probes of a layer's concepts against a loop of scikit-learn's fits: seconds, and whether the probes are the same.

    python perf/probing.py [--n 20000] [--layer 3] [--k 600] [--c 1] [--runs 3]

The vectors are states of MiniLM for words of the Lee corpus; the concepts are Ward's clusters of these vectors. Both
programs fit the same problems: for each concept with enough word types, one for accuracy and two for selectivity, one
of which is the control task. Each program runs in its own process: scikit-learn with one thread for its algebra, since
more threads slow it down on matrices this small, ours with as many threads as there are cores. The fastest run counts.
scikit-learn runs twice, with its default tolerance of 1e-4 and with 1e-7, which brings its coefficients nearer to ours.
"""

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from conceptbench.eval.methods.probes.probes import Fit

PEERS = ("ours", "scikit-learn", "scikit-learn, tol 1e-7")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> None:
    """Run the programs one after the other and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000, help="word vectors")
    parser.add_argument("--layer", type=int, default=3, help="layer of MiniLM, 0 to 6")
    parser.add_argument("--k", type=int, default=600, help="concepts")
    parser.add_argument("--c", type=float, default=1.0, help="inverse strength of the penalty")
    parser.add_argument("--runs", type=int, default=3, help="runs of each program, of which the fastest counts")
    parser.add_argument("--keep", type=Path, help="a folder for the word vectors, which take a minute to compute")
    parser.add_argument("--child", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_alone(options.child, options.folder, options.c, options.runs)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        vectors_file = folder / f"L{options.layer:02d}-{options.n}.npz"
        if not vectors_file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            vectors, words = word_vectors(options.n, options.layer)
            np.savez(vectors_file, vectors=vectors, words=words)
        tokens = np.load(vectors_file)
        write_problems(tokens["vectors"], tokens["words"].tolist(), options.k, Path(name))
        results = {}
        for peer in PEERS:
            print(f"{peer} ...", file=sys.stderr)
            command = [sys.executable, __file__, "--child", peer, "--folder", name]
            command += ["--c", str(options.c), "--runs", str(options.runs)]
            subprocess.run(command, check=True, env={**os.environ, **({} if peer == "ours" else ONE_THREAD)})
            results[peer] = dict(np.load(Path(name) / f"{peer}.npz"))
    count = len(results["ours"]["coefficients"])
    print_table(results, f"{count:,} fits for {options.k} concepts, {options.n:,} vectors, C = {options.c:g}")


def word_vectors(n: int, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """The first n words of the Lee corpus of which each is seen twice, at most nine times each, and their states."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import pyarrow.parquet as pq

    from conceptbench.builders.corpus import open_corpus, read_corpus
    from conceptbench.builders.vectors import align_tokens, vector_file, write_vectors
    from conceptbench.runtime.encoder import WordEncoder
    from conceptbench.runtime.journal import Journal

    encoder = WordEncoder("minilm")
    with tempfile.TemporaryDirectory() as name, Journal(Path(name) / "journal.sqlite") as journal:
        folder = Path(name)
        sentences, tokens, aligned = (folder / f"{table}.parquet" for table in ("sentences", "tokens", "aligned"))
        read_corpus(open_corpus("sample:news"), sentences, tokens, min_count=2, max_count=9, seed=0)
        align_tokens(sentences, tokens, encoder, aligned)
        write_vectors(sentences, aligned, encoder, [layer], folder, journal)
        words = pq.read_table(aligned)["word"].to_pylist()
        return np.load(vector_file(folder, layer))[:n], np.array(words[:n])


def write_problems(vectors: np.ndarray, words: list[str], k: int, folder: Path) -> None:
    """Draw the problems of the concepts and write them to the folder."""
    from conceptbench.builders.clustering import ward_tree
    from conceptbench.eval.methods.probes.design import Problem, Tokens, draw_problem, type_hashes, word_types

    started = time.perf_counter()
    concepts = ward_tree(vectors).cut(k)
    print(f"Ward: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    started = time.perf_counter()
    types, numbers = np.unique(np.array(word_types(words)), return_inverse=True)
    tokens = Tokens(vectors, concepts, numbers, type_hashes(types.tolist(), seed=0))
    outcomes = [draw_problem(tokens, concept, concept, seed=0) for concept in range(k)]
    print(f"Drawing the problems: {time.perf_counter() - started:.2f} s", file=sys.stderr)
    np.save(folder / "vectors.npy", vectors)
    problems = [problem for problem in outcomes if isinstance(problem, Problem)]
    (folder / "problems.pickle").write_bytes(pickle.dumps(problems))


def read_problems(folder: Path) -> tuple[np.ndarray, list]:
    """The vectors and problems of the folder."""
    return np.load(folder / "vectors.npy"), pickle.loads((folder / "problems.pickle").read_bytes())


def run_alone(peer: str, folder: Path, c: float, runs: int) -> None:
    """Fit the problems of the folder with one program, and write seconds and coefficients beside them."""
    from conceptbench.eval.methods.probes.probes import fits_of

    vectors, problems = read_problems(folder)
    fits = [fit for problem in problems for fit in fits_of(problem)]
    fit_all = PROGRAMS[peer]()
    fit_all(vectors, fits[:6], c)  # libraries load what they load at first use
    seconds, cpu = [], []
    for _ in range(runs):
        started, cpu_started = time.perf_counter(), time.process_time()
        coefficients, biases = fit_all(vectors, fits, c)
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - cpu_started)
    accuracies: dict[str, list[float]] = {"task": [], "control": []}
    tasks = [task for problem in problems for task in ("task", "task", "control")[: len(fits_of(problem))]]
    for fit, task, weights, bias in zip(fits, tasks, coefficients, biases, strict=True):
        rows = fit.rows[~fit.train]
        accuracies[task].append(float(((vectors[rows] @ weights + bias > 0) == fit.targets[~fit.train]).mean()))
    np.savez(
        folder / f"{peer}.npz",
        seconds=min(seconds),
        cpu=min(cpu),
        coefficients=coefficients,
        **{task: np.mean(shares) for task, shares in accuracies.items()},
    )


FitAll = Callable[[np.ndarray, list[Fit], float], tuple[np.ndarray, np.ndarray]]


def ours() -> FitAll:
    """Give ConceptBench's own."""
    from conceptbench.eval.methods.probes.logistic import fit_logistic

    def fit_all(vectors: np.ndarray, fits: list[Fit], c: float) -> tuple[np.ndarray, np.ndarray]:
        probes = fit_logistic(
            vectors, [fit.rows for fit in fits], [fit.targets for fit in fits], [fit.train for fit in fits], c=c
        )
        return probes.weights, probes.biases

    return fit_all


def scikit_learn(tolerance: float) -> FitAll:
    """Give a loop of scikit-learn's fits."""
    from sklearn.linear_model import LogisticRegression

    def fit_all(vectors: np.ndarray, fits: list[Fit], c: float) -> tuple[np.ndarray, np.ndarray]:
        models = [
            LogisticRegression(C=c, tol=tolerance, max_iter=100_000).fit(
                vectors[fit.rows[fit.train]], fit.targets[fit.train]
            )
            for fit in fits
        ]
        return np.concatenate([model.coef_ for model in models]), np.concatenate([model.intercept_ for model in models])

    return fit_all


PROGRAMS: dict[str, Callable[[], FitAll]] = {
    "ours": ours,
    "scikit-learn": lambda: scikit_learn(1e-4),
    "scikit-learn, tol 1e-7": lambda: scikit_learn(1e-7),
}


def print_table(results: dict[str, dict[str, np.ndarray]], title: str) -> None:
    """Print the programs: ratios to the first, greatest difference of a coefficient, mean accuracies on test tokens."""
    from rich.console import Console
    from rich.table import Table

    first = next(iter(results.values()))
    table = Table(title=title)
    for column in ("program", "seconds", "ratio", "CPU seconds", "ratio", "coefficients off", "accuracy", "control"):
        table.add_column(column, justify="left" if column == "program" else "right")
    for peer, result in results.items():
        table.add_row(
            peer,
            f"{result['seconds']:.2f}",
            f"{result['seconds'] / first['seconds']:.1f}",
            f"{result['cpu']:.2f}",
            f"{result['cpu'] / first['cpu']:.1f}",
            f"{np.abs(result['coefficients'] - first['coefficients']).max():.0e}",
            f"{result['task']:.5f}",
            f"{result['control']:.5f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
