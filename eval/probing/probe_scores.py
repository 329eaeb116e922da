"""From records to the scores of single probes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from conceptbench.eval.methods.probes.metrics import accuracies, aurocs
from conceptbench.eval.probing.records import coded

_NAMES = ("kind", "concept", "group", "split", "label", "word")


@dataclass(frozen=True, eq=False)
class ProbeScore:
    """The scores of one probe on its test tokens.

    Attributes
    ----------
    kind, k, layer, concept, group, split, label : as in the records.
    rows : of the records, those of the probe.
    auroc : None where the test tokens are of one class.
    accuracy : on all test tokens.
    accuracy_hard : with a weight of one half each on positives and on negatives from near concepts; None where it has
        none of them.
    """

    kind: str
    k: int | None
    layer: int
    concept: str
    group: str | None
    split: str | None
    label: str | None
    rows: np.ndarray
    auroc: float | None
    accuracy: float
    accuracy_hard: float | None


def score_probes(records: pa.Table) -> list[ProbeScore]:
    """Score each probe of the records, in the order in which they first appear."""
    if not len(records):
        return []
    codes = {name: coded(records, name) for name in _NAMES}
    ks, layers = records["k"].fill_null(-1).to_numpy(), records["layer"].to_numpy()
    key = np.stack([codes["kind"][0], ks, layers, codes["concept"][0]]).astype(np.int64)
    flat = np.ravel_multi_index(tuple(key - key.min(axis=1, keepdims=True)), tuple(np.ptp(key, axis=1) + 1))
    _, first, owner = np.unique(flat, return_index=True, return_inverse=True)
    tokens = _TokensOfProbes(records, owner, codes["word"][0].astype(np.int64), len(first))
    everything = np.ones(len(owner), dtype=bool)
    accuracy = tokens.accuracy(everything)
    on_positives, on_hard = tokens.accuracy(tokens.positive), tokens.accuracy(tokens.hard & ~tokens.positive)
    area = tokens.auroc()
    rows = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])

    def name(column: str, row: int) -> str | None:
        code = codes[column][0][row]
        return None if code < 0 else str(codes[column][1][code])

    scores = []
    for number in np.argsort(first).tolist():
        row = int(first[number])
        recall, rejection = on_positives[number], on_hard[number]
        scores.append(
            ProbeScore(
                kind=str(name("kind", row)),
                k=None if ks[row] < 0 else int(ks[row]),
                layer=int(layers[row]),
                concept=str(name("concept", row)),
                group=name("group", row),
                split=name("split", row),
                label=name("label", row),
                rows=rows[number],
                auroc=area[number],
                accuracy=accuracy[number] or 0.0,
                accuracy_hard=None if recall is None or rejection is None else (recall + rejection) / 2,
            )
        )
    return scores


def layer_profiles(probes: Iterable[ProbeScore]) -> dict[str, dict[int, float]]:
    """Give the AUROC of each gold concept at each layer."""
    profiles: dict[str, dict[int, float]] = {}
    for probe in probes:
        if probe.kind == "gold" and probe.auroc is not None:
            profiles.setdefault(probe.concept, {})[probe.layer] = probe.auroc
    return profiles


class _TokensOfProbes:
    """The test tokens of all probes: arrays (tokens,), `owner` the number of each token's probe."""

    def __init__(self, records: pa.Table, owner: np.ndarray, words: np.ndarray, probes: int) -> None:
        self.owner, self.words, self.probes = owner, words, probes
        self.positive, self.hard = records["positive"].to_numpy(), records["hard"].to_numpy()
        self.logits = records["logit"].to_numpy().astype(np.float64)

    def accuracy(self, chosen: np.ndarray) -> list[float | None]:
        """Give each probe's accuracy on those of its tokens that are chosen; None where there are none."""
        correct = (self.logits > 0) == self.positive
        metrics = accuracies(correct[chosen], self.owner[chosen], self.words[chosen], self.probes)
        return [None if metric is None else metric.value for metric in metrics]

    def auroc(self) -> list[float | None]:
        """Give each probe's AUROC; None where its tokens are of one class."""
        metrics = aurocs(self.logits, self.positive, self.owner, self.words, self.probes)
        return [None if metric is None else metric.value for metric in metrics]
