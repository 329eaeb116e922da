"""Some probes of a run, good and bad, to look at; and the scores of gold concepts by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa

from conceptbench.benchmark.layers import layer_name
from conceptbench.benchmark.lexicon import GoldConcept, load_lexicon
from conceptbench.eval.probing.probe_scores import ProbeScore, layer_profiles
from conceptbench.eval.probing.records import coded
from conceptbench.eval.probing.scoring import ProbingScores
from conceptbench.eval.task import Example, Provenance
from conceptbench.runtime.draws import generator_of, sample

SHOWN: Final = 12
"""Examples of each sort at most."""

_WORDS = 8
_TESTED = 20


def examples(records: pa.Table, scores: ProbingScores, provenance: Provenance) -> list[Example]:
    """Draw gold concepts by the seed from the third with the best probes, and from that with the worst."""
    probes = [probe for probe in scores.headline_probes if probe.auroc is not None]
    probes.sort(key=lambda probe: (-float(probe.auroc or 0.0), probe.concept))
    third = max(1, len(probes) // 3)
    best, worst = probes[:third], probes[third:][-third:]
    generator = generator_of("examples", provenance["seed"])
    words, lexicon = _TestWords(records), load_lexicon()
    return [
        _example(probe, words, lexicon.get(probe.concept), good)
        for good, candidates in ((True, best), (False, worst))
        for probe in sample(candidates, SHOWN, generator)
    ]


def profiles(_records: pa.Table, scores: ProbingScores) -> dict[str, Mapping[str, float]]:
    """Give the AUROC at each layer of those gold concepts that were tested on 20 tokens or more."""
    tested = [probe for probe in scores.probes if len(probe.rows) >= _TESTED]
    return {
        concept: {layer_name(layer): value for layer, value in by_layer.items()}
        for concept, by_layer in layer_profiles(tested).items()
    }


class _TestWords:
    """The words of the test tokens, by what a probe says of them."""

    def __init__(self, records: pa.Table) -> None:
        self._codes, self._vocabulary = coded(records, "word")
        self._positive, self._logits = records["positive"].to_numpy(), records["logit"].to_numpy()

    def told(self, probe: ProbeScore, says: bool, is_positive: bool) -> str:
        """List the words of one class that the probe puts into one class, the surest first."""
        rows = probe.rows[((self._logits > 0) == says)[probe.rows] & (self._positive == is_positive)[probe.rows]]
        order = np.argsort(-np.abs(self._logits[rows]), kind="stable")
        words = list(dict.fromkeys(str(self._vocabulary[code]) for code in self._codes[rows[order]]))
        return ", ".join(words[:_WORDS]) + (", …" if len(words) > _WORDS else "") or "nothing"


def _example(probe: ProbeScore, words: _TestWords, concept: GoldConcept | None, good: bool) -> Example:
    return Example(
        item=probe.concept,
        shown=f"found: {words.told(probe, True, True)}",
        answer=f"missed: {words.told(probe, False, True)}; taken for it: {words.told(probe, True, False)}",
        expected=f"{concept.name if concept is not None else probe.concept} (AUROC {probe.auroc:.2f})",
        good=good,
    )
