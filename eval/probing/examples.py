"""Some probes of a run, good and bad, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.eval.probing.collect import rescore
from conceptbench.eval.probing.records import coded, read_records
from conceptbench.eval.probing.scoring import Probe, layer_name, layer_profiles, probes_of
from conceptbench.eval.result import Example, Result
from conceptbench.runtime.draws import generator_of, sample

SHOWN: Final = 12
"""Examples of each sort at most."""

_WORDS = 8
_TESTED = 20


def examples(folder: Path, result: Result) -> list[Example]:
    """Draw gold concepts by the seed from the third with the best probes, and from that with the worst."""
    probes = [one for one in rescore(folder, result, labels=False).gold() if one.auroc is not None]
    probes.sort(key=lambda one: (-float(one.auroc or 0.0), one.concept))
    third = max(1, len(probes) // 3)
    records = read_records(folder)
    codes, vocabulary = coded(records, "word")
    positive, logits = records["positive"].to_numpy(), records["logit"].to_numpy()
    lexicon = load_lexicon()

    def told(one: Probe, says: bool, is_positive: bool) -> str:
        rows = one.rows[((logits > 0) == says)[one.rows] & (positive == is_positive)[one.rows]]
        words = [str(vocabulary[code]) for code in codes[rows[np.argsort(-np.abs(logits[rows]), kind="stable")]]]
        distinct = list(dict.fromkeys(words))
        return ", ".join(distinct[:_WORDS]) + (", …" if len(distinct) > _WORDS else "") or "nothing"

    def example(one: Probe, good: bool) -> Example:
        concept = lexicon.get(one.concept)
        return Example(
            item=one.concept,
            shown=f"found: {told(one, True, True)}",
            answer=f"missed: {told(one, False, True)}; taken for it: {told(one, True, False)}",
            expected=f"{concept.name if concept is not None else one.concept} (AUROC {one.auroc:.2f})",
            good=good,
        )

    generator = generator_of("examples", result.provenance["seed"])
    best, worst = probes[:third], probes[third:][-third:]
    return [example(one, good) for good, own in ((True, best), (False, worst)) for one in sample(own, SHOWN, generator)]


def profiles(folder: Path, _result: Result) -> dict[str, dict[str, float]]:
    """Give the AUROC at each layer of those gold concepts that were tested on 20 tokens or more."""
    tested = [one for one in probes_of(read_records(folder)) if len(one.rows) >= _TESTED]
    found = layer_profiles(tested)
    return {concept: {layer_name(layer): value for layer, value in own.items()} for concept, own in found.items()}
