"""From the tokens of probes to the rows of records: the logits of each fitted probe on its test tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from conceptbench.eval.methods.probes.design import Bools, Floats, Ints, Problem
from conceptbench.eval.probing.records import RECORDS

PROBED = "probed"
"""Among the reasons why concepts were skipped: the number of those that were not."""


@dataclass(frozen=True, eq=False)
class ProbeSpec:
    """A probe to be fitted: arrays of shape (m,), and what the records say of it.

    Attributes
    ----------
    kind, concept, k, group, split, label : as in the records.
    rows : of the layer's vectors.
    targets : whether a token is positive.
    hard : whether it is a negative from a near concept.
    in_test : whether it is a test token, which the probe is not fitted to.
    """

    kind: str
    concept: str
    rows: Ints
    targets: Bools
    hard: Bools
    in_test: Bools
    k: int | None = None
    group: str | None = None
    split: str | None = None
    label: str | None = None


@dataclass(frozen=True, eq=False)
class LayerTokens:
    """The tokens of a layer: its number, and arrays of shapes (n, width), (n,) and (n,)."""

    layer: int
    vectors: np.ndarray
    words: np.ndarray
    sentences: Ints


@dataclass(frozen=True)
class FitOptions:
    """How probes are fitted: the options of `fit_logistic`."""

    c: float
    l1_ratio: float
    device: str | None


def specs_of(
    problem: Problem, kind: str, concept: str, *, k: int | None = None, label: str | None = None, controls: bool = False
) -> list[ProbeSpec]:
    """Give the probe of a problem on the split by type; with `controls` also the two on the split by token."""
    specs = [ProbeSpec(kind, concept, problem.rows, problem.targets, problem.hard, problem.in_test, k=k, label=label)]
    if controls and problem.selective:
        specs += [
            ProbeSpec(name, concept, problem.rows, labels, problem.hard, problem.token_in_test, label=label)
            for name, labels in (("token", problem.targets), ("control", problem.control))
        ]
    return specs


def count_outcomes(outcomes: Iterable[object]) -> Counter[str]:
    """Count the concepts that have a probe, and those that have none by the reason (a text)."""
    outcomes = list(outcomes)
    counts = Counter(outcome for outcome in outcomes if isinstance(outcome, str))
    counts[PROBED] += len(outcomes) - counts.total()
    return counts


def predict(tokens: LayerTokens, specs: Sequence[ProbeSpec], fitting: FitOptions) -> pa.Table:
    """Fit the probes of a layer, all at once, and give their records."""
    from conceptbench.eval.methods.probes.logistic import fit_logistic

    if not specs:
        return RECORDS.empty_table()
    fitted = fit_logistic(
        tokens.vectors,
        [spec.rows for spec in specs],
        [spec.targets for spec in specs],
        [~spec.in_test for spec in specs],
        c=fitting.c,
        l1_ratio=fitting.l1_ratio,
        device=fitting.device,
    )
    return _records(tokens, specs, fitted.logits)


def _records(tokens: LayerTokens, specs: Sequence[ProbeSpec], logits: Sequence[Floats]) -> pa.Table:
    """Put the logits of test tokens into a table, probe by probe."""
    spec_of_row = pa.array(np.repeat(np.arange(len(specs)), [int(spec.in_test.sum()) for spec in specs]))
    rows = _of_test_tokens(specs, [spec.rows for spec in specs])
    used, position = np.unique(rows, return_inverse=True)
    vocabulary, spelling = np.unique(tokens.words[used].astype(str), return_inverse=True)
    columns = {
        name: pa.array([getattr(spec, name) for spec in specs], pa.string()).dictionary_encode().take(spec_of_row)
        for name in ("kind", "concept", "group", "split", "label")
    }
    columns |= {
        "k": pa.array([spec.k for spec in specs], pa.int32()).take(spec_of_row),
        "layer": pa.array(np.full(len(rows), tokens.layer), pa.int16()),
        "word": pa.DictionaryArray.from_arrays(
            pa.array(spelling[position].astype(np.int32)), pa.array(vocabulary.tolist(), pa.string())
        ),
        "sentence": pa.array(np.asarray(tokens.sentences)[rows].astype(np.int32)),
        "positive": pa.array(_of_test_tokens(specs, [spec.targets for spec in specs])),
        "hard": pa.array(_of_test_tokens(specs, [spec.hard for spec in specs])),
        "logit": pa.array(_of_test_tokens(specs, logits).astype(np.float32)),
    }
    return pa.table({name: columns[name] for name in RECORDS.names}, schema=RECORDS)


def _of_test_tokens(specs: Sequence[ProbeSpec], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Join the values of the test tokens of each probe."""
    return np.concatenate([values[spec.in_test] for spec, values in zip(specs, arrays, strict=True)])
