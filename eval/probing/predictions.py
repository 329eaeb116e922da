"""From the tokens of probes to the rows of records: what each fitted probe says of its test tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from conceptbench.eval.methods.probes.design import Bools, Ints, Problem
from conceptbench.eval.probing.records import RECORDS


@dataclass(frozen=True, eq=False)
class Draw:
    """A probe to be fitted: arrays of shape (m,).

    `rows` of the layer's vectors; `targets`; `hard`, negatives that lie near; `in_test`, which are not fitted to. The
    other fields are those of the records.
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


def draws_of(
    problem: Problem, kind: str, concept: str, *, k: int | None = None, label: str | None = None, controls: bool = False
) -> list[Draw]:
    """Give the probe of a problem on the split by type; with `controls` also the two on the split by token."""
    found = [Draw(kind, concept, problem.rows, problem.targets, problem.hard, problem.in_test, k=k, label=label)]
    if controls and problem.selective:
        for name, labels in (("token", problem.targets), ("control", problem.control)):
            found.append(Draw(name, concept, problem.rows, labels, problem.hard, problem.token_in_test, label=label))
    return found


def predict(
    vectors: np.ndarray,
    words: np.ndarray,
    sentences: Ints,
    layer: int,
    draws: Sequence[Draw],
    *,
    c: float,
    l1_ratio: float,
    device: str | None,
) -> pa.Table:
    """Fit the probes of a layer, all at once, and give their records.

    Parameters
    ----------
    vectors, words, sentences : of the layer's tokens, shapes (n, width), (n,) and (n,).
    """
    from conceptbench.eval.methods.probes.logistic import fit_logistic

    if not draws:
        return RECORDS.empty_table()
    fitted = fit_logistic(
        vectors,
        [draw.rows for draw in draws],
        [draw.targets for draw in draws],
        [~draw.in_test for draw in draws],
        c=c,
        l1_ratio=l1_ratio,
        device=device,
    )
    counts = [int(draw.in_test.sum()) for draw in draws]

    def stacked(name: str) -> np.ndarray:
        return np.concatenate([getattr(draw, name)[draw.in_test] for draw in draws])

    def repeated(name: str) -> pa.Array:
        values = pa.array([getattr(draw, name) for draw in draws], pa.string()).dictionary_encode()
        return values.take(pa.array(np.repeat(np.arange(len(draws)), counts)))

    rows = stacked("rows")
    used, place = np.unique(rows, return_inverse=True)
    vocabulary, spelled = np.unique(words[used].astype(str), return_inverse=True)
    columns = {
        "kind": repeated("kind"),
        "k": pa.array([draw.k for draw in draws], pa.int32()).take(pa.array(np.repeat(np.arange(len(draws)), counts))),
        "layer": pa.array(np.full(len(rows), layer), pa.int16()),
        "concept": repeated("concept"),
        "group": repeated("group"),
        "split": repeated("split"),
        "label": repeated("label"),
        "word": pa.DictionaryArray.from_arrays(
            pa.array(spelled[place].astype(np.int32)), pa.array(vocabulary.tolist(), pa.string())
        ),
        "sentence": pa.array(np.asarray(sentences)[rows].astype(np.int32)),
        "positive": pa.array(stacked("targets")),
        "hard": pa.array(stacked("hard")),
        "logit": pa.array(
            np.concatenate([own[draw.in_test] for own, draw in zip(fitted.logits, draws, strict=True)]).astype(
                np.float32
            )
        ),
    }
    return pa.table(columns, schema=RECORDS)
