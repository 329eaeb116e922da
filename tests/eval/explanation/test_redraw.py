"""Modules are drawn again, and records that are not of them are refused."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from conceptbench.eval.explanation import TASK
from conceptbench.eval.explanation.records import Record, RecordedCandidate
from conceptbench.eval.rows import table_of
from conceptbench.eval.run import Run, evaluate, open_run
from conceptbench.runtime.errors import InputError

STRINGS = {True: "a trout soup\nthe old horse\nour lawyer", False: "a red lamp\nseven trains\nwhy not"}

Rows = list[Record]


@pytest.fixture(scope="module")
def run(faults: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the strongest n-grams, which a server tests on the same strings each; a limit leaves modules out."""
    folder = tmp_path_factory.mktemp("run")
    with faults.FaultServer() as server:
        server.answer = lambda body: faults.chat(STRINGS["nothing to do with" not in body["messages"][-1]["content"]])
        evaluate(
            "explanation",
            out=folder,
            explainer="ngram",
            helper="openai:helper",
            base_url=server.base_url,
            families=["lexical", "pattern", "constant"],
            count=2,
            limit=3,
            max_ngrams=300,
            settings=["default", "noisy"],
        )
    return open_run(folder)


def test_the_rows_of_a_run_are_those_of_its_draw(run: Run) -> None:
    assert [row.reason for row in run.rows].count("not run") == 1
    assert any(row.own_scores for row in run.rows)
    assert TASK.board.redraw(run.records, run.provenance) is True
    assert TASK.board.shown(run.records).num_rows == 6


@pytest.mark.parametrize(
    "dataset",
    [
        "modules.json",
        "drawn modules: neuron, 2 each",
        "drawn modules: lexical, magic, 2 each",
        "drawn modules: , 2 each",
    ],
)
def test_other_datasets_cannot_be_drawn_again(run: Run, dataset: str) -> None:
    assert TASK.board.redraw(run.records, {**run.provenance, "dataset": dataset}) is False


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"settings": ["loud"]}, "settings"),
        ({"settings": []}, "settings"),
        ({"repeats": 0}, "repeats"),
        ({"repeats": "many"}, "repeats"),
        ({"max_ngrams": 0}, "max_ngrams"),
        ({"encoder": {"model": "other"}}, "encoder"),
        ({"seed": 1}, "another dataset"),
        ({"repeats": 2}, "rows"),
        ({"max_ngrams": 299}, "another spread"),
    ],
)
def test_a_provenance_of_another_draw_is_refused(run: Run, changed: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TASK.board.redraw(run.records, {**run.provenance, **changed})


def first_row(**changes: Any) -> Callable[[Rows], Rows]:
    """Change fields of the first row."""
    return lambda rows: [replace(rows[0], **changes), *rows[1:]]


def first_candidate(change: Callable[[RecordedCandidate], RecordedCandidate]) -> Callable[[Rows], Rows]:
    """Change the first candidate of the first row."""
    return lambda rows: first_row(candidates=(change(rows[0].candidates[0]),))(rows)


def broader_answer(rows: Rows) -> Rows:
    """Take every explanation to be right."""
    answer = rows[0].answer
    assert answer is not None
    parts = (replace(answer.parts[0], accept="."),)
    return first_row(answer=replace(answer, parts=parts))(rows)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (broader_answer, "has another answer"),
        (first_row(control=True), "has another control"),
        (first_row(fit_p=0.01), "has another fit_p"),
        (first_row(run="lexical/mine/0"), "has another run"),
        (lambda rows: rows[1:], "rows"),
        (first_row(spread=7.0), "has another spread"),
        (first_row(ngrams=7), "has another spread"),
        (first_row(top_ngrams=("zzz qqq",)), "not in the corpus"),
        (first_candidate(lambda tested: replace(tested, related_values=(9.0, 9.0, 9.0))), "does not give"),
        (first_candidate(lambda tested: replace(tested, unrelated=("a red lamp",))), "does not give"),
        (
            lambda rows: first_row(own_scores=tuple(replace(score, score=9.0) for score in rows[0].own_scores))(rows),
            "do not get",
        ),
        (lambda rows: first_row(own_scores=rows[0].own_scores[1:])(rows), "other modules"),
    ],
)
def test_records_of_something_else_are_refused(run: Run, spoil: Callable[[Rows], Rows], message: str) -> None:
    spoiled = table_of(spoil(run.rows), Record)
    with pytest.raises(InputError, match=message):
        TASK.board.redraw(spoiled, run.provenance)


def test_runs_that_were_scored_otherwise_are_refused(run: Run) -> None:
    TASK.board.check(run.records, run.provenance)
    for changed in ({"plain_patterns": True}, {"plain_patterns": None}, {"keeps_order": False}, {"explainer": "sasc"}):
        with pytest.raises(InputError, match="provenance"):
            TASK.board.check(run.records, {**run.provenance, **changed})
