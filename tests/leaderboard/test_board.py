"""The board: what stands where, and that no text of a stranger becomes more than a text."""

import csv
import io
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.eval.annotation import collect
from conceptbench.eval.annotation.judges import load_rubric
from conceptbench.leaderboard.board import board_content, build_board
from conceptbench.leaderboard.tables import COLUMNS, csv_text, markdown_text
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.similarity import Similarity

HOSTILE = "=HYPERLINK(1)|<script>alert(1)</script>\n[x](javascript:alert(1))`*_"


@pytest.fixture(autouse=True)
def weights_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "Similarity", cache(lambda model, _progress=None: Similarity(model)))


@pytest.fixture(scope="module")
def made(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    return load_module(Path(__file__).parent / "submissions.py")


@pytest.fixture(scope="module")
def maker(made: ModuleType, tmp_path_factory: pytest.TempPathFactory):
    return made.Maker(made.base_run(tmp_path_factory.mktemp("run"), limit=12), Similarity("minilm"))


@pytest.fixture
def board(made: ModuleType, maker, tmp_path: Path) -> Path:
    """System 1 names all right, 2 and 3 nearly nothing; 1 was also run by us; 4 is spoiled; 5 is of other items."""
    folder = tmp_path / "board"
    rows = pq.read_table(maker.run / "records.parquet").to_pylist()
    right = [load_lexicon()[row["concept"]].name for row in rows]
    wrong = ["nothing of the kind"] * len(right)
    maker.good(folder, 1, right, "2026-01-15")
    maker.good(folder, 1, [*right[:-1], "nothing"], "2026-01-16")
    maker.good(folder, 1, right, "2026-01-17")
    maker.good(folder, 2, wrong)
    maker.good(folder, 3, ["another thing", *wrong[1:]])
    spoiled = maker.good(folder, 4, right)
    made.edit(spoiled, "result.json", lambda content: content["metrics"]["gold_match"].update(value=0.5))
    (folder / "board.toml").write_text('title = "Test"\nrerun = ["python--own--System1/annotation/2026-01-17"]\n')
    return folder


def rows_of(content: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in content["tasks"][0]["rows"] if row["kind"] == kind}


def test_the_board_ranks_what_was_run_on_the_same_items(board: Path) -> None:
    content = board_content(board)
    assert content["schema"] == "conceptbench.board/1"
    table = content["tasks"][0]
    assert (table["task"], table["version"], table["main"], table["ranked"]) == (
        "annotation",
        "1.0",
        "gold_match",
        True,
    )
    assert table["current"]
    assert table["board"] == f"annotation-1.0-{table['items'][:8]}"
    assert table["dataset"].endswith("seed 0")
    ours = rows_of(content, "rerun")["python--own--System1/annotation/2026-01-17"]
    assert (ours["rank"], ours["rank_low"], ours["rank_high"], ours["name"]) == (1, 1, 1, "System 1")
    own = rows_of(content, "self")
    # Our run stands for the system; what it reported itself stays in sight.
    assert own["python--own--System1/annotation/2026-01-16"]["rank"] is None
    assert own["python--own--System2/annotation/2026-01-15"]["rank"] == 2
    assert own["python--own--System3/annotation/2026-01-15"]["rank_high"] == 3
    assert len(table["pairs"]) == 3
    assert {pair["metric"] for pair in table["pairs"]} == {"gold_match"}
    assert table["resolution"] is None or 0 < table["resolution"] < 1
    assert {row["rank"] for row in rows_of(content, "reported").values()} == {None}
    assert ours["rows_shown"][0]["label"]
    assert len(ours["rows_shown"]) == 12
    assert ours["examples"][0]["good"] is True
    assert [entry["submission"] for entry in content["rejected"]] == ["python--own--System4/annotation/2026-01-15"]
    history = [line for line in content["history"] if line["system"] == "python:own:System1"]
    assert [line["date"] for line in history] == ["2026-01-15", "2026-01-16", "2026-01-17"]
    published = {task["task"]: task for task in content["tasks"] if task["board"].endswith("published")}
    assert set(published) == {"explanation", "probing", "neurons"}
    assert [row["metrics"]["accuracy"]["value"] for row in published["explanation"]["rows"]] == [0.883, 0.667, 0.679]


def test_results_of_other_items_and_versions_never_share_a_table(
    made: ModuleType, maker, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = made.Maker(made.base_run(tmp_path, limit=2), Similarity("minilm"))
    other.good(board, 5)
    before = board_content(board)
    tables = [task for task in before["tasks"] if task["task"] == "annotation"]
    assert len(tables) == 2
    assert not {row["id"] for row in tables[0]["rows"]} & {row["id"] for row in tables[1]["rows"]}
    # A new version of the task comes: what was accepted under the old one stays on the board, in tables of its own.
    from dataclasses import replace

    from conceptbench.leaderboard import board as board_module
    from conceptbench.leaderboard import submission, verify

    newer = {name: replace(task, version="2.0") if name == "annotation" else task for name, task in run_tasks().items()}
    for module in (board_module, submission, verify):
        monkeypatch.setattr(module, "TASKS", newer)
    after = board_content(board)
    old = [task for task in after["tasks"] if task["task"] == "annotation" and task["version"] == "1.0"]
    assert len(old) == 2
    assert all(not task["current"] and not task["ranked"] and not task["pairs"] for task in old)
    assert {row["id"] for task in old for row in task["rows"]} == {
        row["id"] for task in tables for row in task["rows"] if row["kind"] != "reported"
    }
    # What was not verified in its time cannot be any more.
    maker.good(board, 6)
    late = board_content(board)
    reasons = {own["submission"]: own["reason"] for own in late["rejected"]}
    assert "this version scores annotation 2.0" in reasons["python--own--System6/annotation/2026-01-15"]


def run_tasks() -> dict[str, Any]:
    from conceptbench.eval.run import TASKS

    return TASKS


def test_acceptance_is_ranked_only_under_the_frozen_panel(made: ModuleType, maker, tmp_path: Path) -> None:
    from conceptbench.eval.annotation.controls import plant
    from conceptbench.eval.annotation.scoring import score

    def judged(number: int, judge: str, grades: str) -> None:
        folder = maker.good(tmp_path, number)
        rows = pq.read_table(folder / "records.parquet").to_pylist()
        rows += plant(load_lexicon(), split="dev", purities=[1.0], count=10, seed=0)
        for row in rows:
            right = row["control"] in {None, "right"}
            grade = grades if row["role"] == "item" else "precise" if right else "unacceptable"
            empty = {"preference": None, "chosen": None, "raw": None}
            row["ratings"] = [{"rater": judge, "panel": "judges", "grade": grade, **empty}]
        made.edit_rows(folder, lambda old: old.__setitem__(slice(None), rows))
        metrics = score(rows, maker.similarity, seed=0).metrics

        def change(content: dict[str, Any]) -> None:
            content["metrics"] = {name: vars(metric) for name, metric in metrics.items()}
            content["provenance"]["judges"] = [{"system": judge}]
            content["provenance"]["prompts"] = {"rubric": load_rubric().sha256}

        made.edit(folder, "result.json", change)

    judged(1, "openai:frozen", "precise")
    judged(2, "openai:frozen", "unacceptable")
    judged(3, "openai:kind", "precise")
    assert "acceptance" not in {task["main"] for task in board_content(tmp_path)["tasks"]}
    (tmp_path / "board.toml").write_text('panel = ["openai:frozen"]\n')
    content = board_content(tmp_path)
    assert content["rejected"] == []
    table = next(task for task in content["tasks"] if task["main"] == "acceptance")
    ranks = {row["system"]: row["rank"] for row in table["rows"] if row["kind"] == "self"}
    assert ranks == {"python:own:System1": 1, "python:own:System2": 2}
    assert len({row["id"] for task in content["tasks"] for row in task["rows"]}) == sum(
        len(task["rows"]) for task in content["tasks"]
    )


def test_no_cell_starts_a_formula_and_no_markup_is_let_through(board: Path) -> None:
    content = hostile(board_content(board))
    lines = list(csv.reader(io.StringIO(csv_text(content))))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) > 20
    numbers = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")
    for line in lines:
        assert len(line) == len(COLUMNS)
        for cell in line:
            assert numbers.fullmatch(cell) or not re.match(r"\s*[=+\-@|%\t\r]", cell), cell
    text = markdown_text(content)
    assert "<" not in text
    assert not re.search(r"(?<!\\)\]\(", text)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) in {3, 4, 9} for line in tables)


def hostile(value: Any, depth: int = 0) -> Any:
    """Put a hostile text in place of every text of the rows and of what was rejected."""
    if isinstance(value, dict):
        kept = {"kind", "main", "items", "board", "task", "version", "built"}
        return {name: own if name in kept else hostile(own, depth + 1) for name, own in value.items()}
    if isinstance(value, list):
        return [hostile(own, depth + 1) for own in value]
    return HOSTILE if isinstance(value, str) else value


def test_build_writes_the_board(board: Path, tmp_path: Path) -> None:
    pytest.importorskip("conceptbench.leaderboard.page")
    out = build_board(board, tmp_path / "site")
    content = json.loads((out / "board.json").read_text())
    assert content["title"] == "Test"
    assert (out / "index.html").is_file()
    row = content["tasks"][0]["rows"][0]
    table = pq.read_table(out / row["records"])
    assert table.num_rows == 12
    with pytest.raises(InputError, match="lies among the submissions"):
        build_board(board, board / "submissions" / "site")


def test_an_empty_board_and_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no folder submissions"):
        board_content(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        board_content(tmp_path / "absent")
    (tmp_path / "submissions").mkdir()
    content = board_content(tmp_path)
    assert (content["rejected"], content["history"]) == ([], [])
    assert board_content(tmp_path / "submissions")["rejected"] == []
    (tmp_path / "board.toml").write_text('panel = "openai:a"\n')
    with pytest.raises(InputError, match=r"board\.toml, panel"):
        board_content(tmp_path)
    (tmp_path / "board.toml").write_text('rerun = ["a/annotation/2026-01-15"]')
    with pytest.raises(InputError, match="rerun: there is no submission a/annotation/2026-01-15"):
        board_content(tmp_path)
    (tmp_path / "board.toml").write_text("panel = [")
    with pytest.raises(InputError, match="is not TOML"):
        board_content(tmp_path)
