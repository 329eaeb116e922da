"""Word lists and controls that are drawn again: those of an honest run are found equal, changed ones are refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.eval.annotation import TASK
from conceptbench.eval.annotation.controls import plant
from conceptbench.eval.annotation.records import Rating, Record
from conceptbench.eval.rows import table_of
from conceptbench.eval.run import Run, evaluate, open_run
from conceptbench.runtime.errors import InputError

Change = Callable[[Record], Record]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the baseline on four word lists."""
    folder = tmp_path_factory.mktemp("run")
    evaluate("annotation", annotator="lexical", out=folder, limit=4, purities=[1.0], against="gold")
    return open_run(folder)


def changed(run: Run, change: Change) -> Any:
    """Give the run's records with the first one changed."""
    first, *rest = run.rows
    return table_of([change(first), *rest], Record)


def rated(record: Record) -> Record:
    """Have a judge accept a label."""
    return replace(record, ratings=(Rating("openai:judge", "judges", "precise"),))


def test_the_word_lists_of_an_honest_run_are_those_that_its_seed_draws(run: Run) -> None:
    TASK.board.check(run.records, run.provenance)
    assert TASK.board.redraw(run.records, run.provenance)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: replace(record, words=record.words[::-1]), "has another words than"),
        (lambda record: replace(record, held_out=record.words[:3]), "has another held_out than"),
        (lambda record: replace(record, concept="semantic.colour"), "has another concept than"),
        (lambda record: replace(record, condition="prompt=few-shot"), "items; the dataset|has another condition than"),
    ],
)
def test_word_lists_that_were_changed_are_refused(run: Run, change: Change, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TASK.board.redraw(changed(run, change), run.provenance)


@pytest.mark.parametrize(
    ("provenance", "message"),
    [
        ({"seed": 1}, "of another dataset"),
        ({"seed": None}, "provenance.seed"),
        ({"dataset": "gold lexicon, split dev, purities 1"}, "the split dev"),
        ({"dataset": "gold lexicon, split test, purities 1, 0.9"}, "has 4 items|records have 4 items"),
        ({"encoder": {"model": "smollm2"}}, "scored with minilm"),
        ({"study": "nonsense"}, "no such study"),
        ({"study": "contexts"}, "takes 1 --store"),
    ],
)
def test_a_provenance_of_other_word_lists_is_refused(run: Run, provenance: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TASK.board.redraw(run.records, {**run.provenance, **provenance})


def test_of_a_stores_concepts_nothing_is_drawn(run: Run) -> None:
    assert not TASK.board.redraw(run.records, {**run.provenance, "dataset": "concepts of minilm over news"})


@pytest.mark.parametrize(
    ("change", "provenance", "message"),
    [
        (lambda record: replace(record, other="another name"), {}, "is not compared with its gold name"),
        (lambda record: record, {"tokens": {"in": 5, "out": 0}}, "provenance.tokens"),
        (rated, {}, "by judges that the result does not name"),
        (rated, {"judges": [{"system": "openai:judge"}]}, "planted controls"),
    ],
)
def test_records_that_no_honest_run_has_are_refused(
    run: Run, change: Change, provenance: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        TASK.board.check(changed(run, change), {**run.provenance, **provenance})


def test_the_controls_must_be_those_that_the_seed_plants(run: Run) -> None:
    provenance = {**run.provenance, "judges": [{"system": "openai:judge"}]}
    controls = plant(load_lexicon(), split="dev", purities=[1.0], count=2, seed=0)
    records = [rated(record) for record in [*run.rows, *controls]]
    TASK.board.check(table_of(records, Record), provenance)
    for wrong in (
        [*records[:-1], replace(records[-1], label="words")],
        records[:-1],
        [replace(record, half="select") if record.role == "control" else record for record in records],
    ):
        with pytest.raises(InputError, match="planted controls are not those"):
            TASK.board.check(table_of(wrong, Record), provenance)
