"""A report reads and scores each run once, and knows nothing of a task but its description."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from pydantic.dataclasses import dataclass as checked_dataclass

from conceptbench.eval import run as pipeline
from conceptbench.eval import tasks
from conceptbench.eval.compare import compare_results
from conceptbench.eval.report.write import report
from conceptbench.eval.result import MetricKey
from conceptbench.eval.rows import rows_of, schema_of, table_of
from conceptbench.eval.run import evaluate
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.eval.task import Collected, Example, ItemScores, MetricInfo, Scores, Study, Task
from conceptbench.runtime.options import CHECKED, Names, Option

GUESSES = ("heads", "tails", "tails", "heads", "tails", "tails", "heads", "heads")


@checked_dataclass(frozen=True, kw_only=True, config=CHECKED)
class CoinOptions:
    """The options of a task that asks for the side of coins."""

    guesses: Annotated[Names, Option("The sides that are guessed.")] = GUESSES
    study: Annotated[str | None, Option("The study.")] = None
    weighted: Annotated[bool, Option("Throw weighted coins.")] = False


@dataclass(frozen=True)
class Throw:
    item: str
    side: str
    guess: str


def collect(options: CoinOptions, _folder: Path, _progress: Any) -> Collected:
    rows = [Throw(f"coin{i}", GUESSES[i], guess) for i, guess in enumerate(options.guesses)]
    return Collected(f"guesser of {options.guesses[0]}", "eight coins", "5" * 64, table_of(rows, Throw))


def score(rows: Sequence[Throw], _provenance: Any, _progress: Any = None) -> Scores:
    right = {row.item: float(row.side == row.guess) for row in rows}
    by_side = {side: [right[row.item] for row in rows if row.side == side] for side in ("heads", "tails")}
    return Scores(
        {
            MetricKey("right"): mean_metric(list(right.values()), list(right)),
            **{MetricKey("right", group=side): mean_metric(hits, range(len(hits))) for side, hits in by_side.items()},
            **{MetricKey("luck", group=side): mean_metric(hits, range(len(hits))) for side, hits in by_side.items()},
        },
        ItemScores({"right": right}, {item: item for item in right}),
    )


def examples(rows: Sequence[Throw], _scores: Scores, _provenance: Any) -> list[Example]:
    return [Example(row.item, row.item, row.guess, row.side, row.side == row.guess) for row in rows[:3]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often the coin task, which is there for the time of a test, was scored and how often records were read."""
    counter: Counter[str] = Counter()

    def counted(name: str, function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            counter[name] += 1
            return function(*arguments, **named)

        return call

    task = Task(
        name="coins",
        version="1.0",
        summary="guesses of coins",
        help="Guess coins.",
        options=CoinOptions,
        schema=lambda: schema_of(Throw),
        rows=lambda records: rows_of(records, Throw),
        metrics=(MetricInfo("right", "coins whose side was guessed"), MetricInfo("luck", "coins that were lucky")),
        collect=collect,
        score=counted("score", score),
        examples=examples,
        folder_name=lambda _options: "coins",
        ranked_by=("right",),
        groups=dict.fromkeys(("heads", "tails"), "side"),
        studies={"luck": Study("luck by side", metrics=("luck",), by_group=True)},
    )
    module = ModuleType("coin_task")
    monkeypatch.setitem(sys.modules, "coin_task", module)
    monkeypatch.setattr(module, "TASK", task, raising=False)
    monkeypatch.setitem(tasks.PACKAGED, "coins", "coin_task")
    monkeypatch.setattr(pipeline, "read_records", counted("read", pipeline.read_records))
    tasks.task_of.cache_clear()
    yield counter
    tasks.task_of.cache_clear()


@pytest.fixture
def runs(calls: Counter[str], tmp_path: Path) -> list[Path]:
    """Two results on the same coins: all right, and half right."""
    evaluate("coins", out=tmp_path / "first")
    evaluate("coins", guesses=["tails", "tails"] * 4, out=tmp_path / "second", weighted=True)
    calls.clear()
    return [tmp_path / "first", tmp_path / "second"]


@pytest.mark.parametrize("recompute", [True, False])
def test_each_run_is_read_and_scored_once(
    runs: list[Path], calls: Counter[str], tmp_path: Path, recompute: bool
) -> None:
    page, text = report(runs, out=tmp_path / "report", recompute=recompute)
    assert calls == {"read": 2, "score": 2}
    # All that needs the scores is there: the comparison of items, and the examples of both.
    assert "| tied (" in text.read_text()
    assert text.read_text().count("✓ good") >= 3
    assert "✗ bad" in page.read_text()


def test_a_comparison_scores_each_run_once(runs: list[Path], calls: Counter[str]) -> None:
    comparison = compare_results(*runs)
    assert calls == {"read": 2, "score": 2}
    assert comparison.means["right"] == (1.0, 0.5)


def test_groups_are_named_by_the_task(runs: list[Path], tmp_path: Path) -> None:
    (path,) = report(runs, out=tmp_path / "report.md")
    text = path.read_text()
    assert "### By side" in text
    assert "| heads | 1.000" in text
    # Only a study that is read by group shows its metrics in the open.
    assert "luck" not in text[text.index("### By side") : text.index("<details>")]


def test_a_study_that_is_read_by_group_shows_its_metrics(calls: Counter[str], tmp_path: Path) -> None:
    evaluate("coins", study="luck", out=tmp_path / "run")
    (path,) = report([tmp_path / "run"], out=tmp_path / "report.md")
    text = path.read_text()
    assert "right | luck |" in text[text.index("### By side") : text.index("<details>")]


def test_the_provenance_has_the_options_that_are_set(runs: list[Path], tmp_path: Path) -> None:
    (path,) = report(runs, out=tmp_path / "report.md")
    text = path.read_text()
    provenance = text[text.index("### Where it is from") :]
    assert "| weighted | no | yes |" in provenance
    assert "| dataset | eight coins | eight coins |" in provenance
    assert "| study |" not in provenance
