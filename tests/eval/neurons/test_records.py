"""The table of the neurons task's records: its columns, and rows of each kind written and read again."""

import pyarrow as pa
import pytest

from conceptbench.eval.neurons.records import (
    AblationRow,
    ConceptRow,
    PairRow,
    Record,
    StabilityRow,
    concept_rows,
    rows,
    schema,
    table,
)
from conceptbench.runtime.errors import InputError

NUMBERS, NEURONS, TEXTS = pa.list_(pa.float64()), pa.list_(pa.int64()), pa.list_(pa.string())

COLUMNS = {
    "kind": pa.string(),
    "layer": pa.int32(),
    "k": pa.int64(),
    "condition": pa.string(),
    "source": pa.string(),
    "scaling": pa.string(),
    "super": pa.string(),
    "concept": pa.string(),
    "label": pa.string(),
    "super_words": TEXTS,
    "words": TEXTS,
    "family": pa.string(),
    "size": pa.int64(),
    "fraction": pa.float64(),
    "controls": NUMBERS,
    "p": pa.float64(),
    "fractions": NUMBERS,
    "alignment": NUMBERS,
    "null": NUMBERS,
    "neurons": NEURONS,
    "ranking": pa.string(),
    "mode": pa.string(),
    "order": pa.string(),
    "width": pa.int64(),
    "grid": NEURONS,
    "accuracy": NUMBERS,
    "auroc": NUMBERS,
    "over": pa.string(),
    "overlap": pa.float64(),
    "spearman": pa.float64(),
    "resamples": pa.int64(),
}

ROWS: list[Record] = [
    ConceptRow(layer=3, k=2, concept="a", label=None, words=("is", "was"), size=9, neurons=(4, 1), ranking="probeless"),
    PairRow(
        layer=3,
        k=2,
        condition="k=2",
        source="tree",
        scaling="raw",
        super="N7",
        concept="a",
        label="verbs",
        super_words=(),
        words=("is",),
        family="tree: N7",
        size=9,
        fraction=0.1,
        controls=(0.25, 0.5),
        p=0.5,
        fractions=(0.1, 0.2),
        alignment=(0.5, 0.75),
        null=(0.375, 0.5),
        neurons=(),
    ),
    AblationRow(
        layer=3,
        k=2,
        concept="a",
        ranking="weights",
        mode="keep",
        order="bottom",
        width=4,
        grid=(0, 2, 4),
        accuracy=(0.5, 0.75, 1.0),
        auroc=(0.5, 0.5, 1.0),
    ),
    StabilityRow(
        layer=3,
        k=2,
        concept="a",
        fraction=0.1,
        ranking="probeless",
        over="resamples",
        overlap=0.5,
        spearman=-0.25,
        resamples=20,
    ),
]


def test_the_columns_are_those_of_recorded_runs() -> None:
    assert dict(zip(schema().names, schema().types, strict=True)) == COLUMNS
    assert schema().names == list(COLUMNS)


def test_rows_of_each_kind_are_read_as_they_were_written() -> None:
    records = table(ROWS)
    assert records.schema == schema()
    assert rows(records) == ROWS
    (concept,) = concept_rows(records).to_pylist()
    assert concept["words"] == ["is", "was"]
    assert concept["grid"] is None


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("kind", "neuron", "row 0, kind"), ("size", None, "row 0, .*size"), ("ranking", "magic", "row 0, .*ranking")],
)
def test_rows_that_are_of_no_kind_are_named(column: str, value: object, message: str) -> None:
    row = table(ROWS).to_pylist()[0] | {column: value}
    with pytest.raises(InputError, match=message):
        rows(pa.Table.from_pylist([row], schema=schema()))
