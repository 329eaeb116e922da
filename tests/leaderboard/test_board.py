"""The board: its tables and files, and that a text of a stranger stays a text."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.eval.annotation import judges
from conceptbench.eval.tasks import task_of
from conceptbench.leaderboard.board import board_content, build_board
from conceptbench.leaderboard.tables import COLUMNS, csv_text, markdown_text
from conceptbench.runtime.errors import InputError

HOSTILE = "=HYPERLINK(1)|<script>alert(1)</script>\n[x](javascript:alert(1))`*_"


@pytest.fixture(scope="module")
def maker_of_12(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A maker of submissions of 12 word lists: enough for differences to be significant."""
    return made.Maker(made.base_run(tmp_path_factory.mktemp("run12"), limit=12))


@pytest.fixture(scope="module")
def made_board(made: ModuleType, maker_of_12: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board of 12 word lists.

    System 1 names all of them right, and 2 and 3 nearly none; 1 was also run by the keepers; 4 is spoiled.
    """
    folder = tmp_path_factory.mktemp("made") / "board"
    maker = maker_of_12
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


@pytest.fixture(scope="module")
def content(made_board: Path) -> dict[str, Any]:
    """The contents of the board, verified for the first time."""
    return board_content(made_board)


@pytest.fixture
def board(made_board: Path, content: dict[str, Any], tmp_path: Path) -> Path:
    """A copy of the board, with its verdicts, that a test may change."""
    assert content["rejected"]
    return Path(shutil.copytree(made_board, tmp_path / "board"))


def rows_of(content: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in content["tasks"][0]["rows"] if row["kind"] == kind}


def test_the_board_ranks_runs_on_the_same_items(content: dict[str, Any]) -> None:
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
    rerun = rows_of(content, "rerun")["python--own--System1/annotation/2026-01-17"]
    assert (rerun["rank"], rerun["rank_low"], rerun["rank_high"], rerun["name"]) == (1, 1, 1, "System 1")
    self_reported = rows_of(content, "self")
    # The keepers' run is ranked; the one that the system reported itself is listed without a rank.
    assert self_reported["python--own--System1/annotation/2026-01-16"]["rank"] is None
    assert self_reported["python--own--System2/annotation/2026-01-15"]["rank"] == 2
    assert self_reported["python--own--System3/annotation/2026-01-15"]["rank_high"] == 3
    assert len(table["pairs"]) == 3
    assert {pair["metric"] for pair in table["pairs"]} == {"gold_match"}
    assert table["resolution"] is None or 0 < table["resolution"] < 1
    assert {row["rank"] for row in rows_of(content, "reported").values()} == {None}
    assert rerun["rows_shown"][0]["label"]
    assert len(rerun["rows_shown"]) == 12
    assert rerun["examples"][0]["good"] is True
    assert [entry["submission"] for entry in content["rejected"]] == ["python--own--System4/annotation/2026-01-15"]
    history = [line for line in content["history"] if line["system"] == "python:own:System1"]
    assert [line["date"] for line in history] == ["2026-01-15", "2026-01-16", "2026-01-17"]
    published = {task["task"]: task for task in content["tasks"] if task["board"].endswith("published")}
    assert set(published) == {"explanation", "probing", "neurons"}
    assert [row["metrics"]["accuracy"]["value"] for row in published["explanation"]["rows"]] == [0.883, 0.667, 0.679]


@pytest.fixture
def release_annotation_2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Call it to have version 2.0 of the annotation task from there on."""

    def release() -> None:
        newer = replace(task_of("annotation"), version="2.0")
        monkeypatch.setattr("conceptbench.eval.annotation.TASK", newer)
        task_of.cache_clear()

    yield release
    monkeypatch.undo()
    task_of.cache_clear()


def test_results_of_other_items_and_versions_never_share_a_table(
    maker: Any, board: Path, release_annotation_2: Callable[[], None]
) -> None:
    maker.good(board, 5)
    before = board_content(board)
    tables = [task for task in before["tasks"] if task["task"] == "annotation"]
    assert len(tables) == 2
    assert not {row["id"] for row in tables[0]["rows"]} & {row["id"] for row in tables[1]["rows"]}
    # After a new version of the task, the submissions accepted under the old one stay, in tables of their own.
    release_annotation_2()
    after = board_content(board)
    old = [task for task in after["tasks"] if task["task"] == "annotation" and task["version"] == "1.0"]
    assert len(old) == 2
    assert all(not task["current"] and not task["ranked"] and not task["pairs"] for task in old)
    assert {row["id"] for task in old for row in task["rows"]} == {
        row["id"] for task in tables for row in task["rows"] if row["kind"] != "reported"
    }
    # A submission of the old version that comes later cannot be verified any more.
    maker.good(board, 6)
    late = board_content(board)
    reasons = {rejected["submission"]: rejected["reason"] for rejected in late["rejected"]}
    assert "this version scores annotation 2.0" in reasons["python--own--System6/annotation/2026-01-15"]


def test_acceptance_is_ranked_only_under_the_panel_of_the_board(
    made: ModuleType, maker_of_12: Any, tmp_path: Path
) -> None:
    def judged(number: int, judge: str, grades: str) -> None:
        folder = maker_of_12.good(tmp_path, number)
        rows = pq.read_table(folder / "records.parquet").to_pylist()
        rows += made.planted(10)
        for row in rows:
            right = row["control"] in {None, "right"}
            grade = grades if row["role"] == "item" else "precise" if right else "unacceptable"
            empty = {"preference": None, "chosen": None, "raw": None}
            row["ratings"] = [{"rater": judge, "panel": "judges", "grade": grade, **empty}]
        made.edit_rows(folder, lambda old: old.__setitem__(slice(None), rows))
        stated = {"judges": [{"system": judge}], "prompts": {"rubric": judges.rubric_sha256()}}
        made.edit(folder, "result.json", lambda content: content["provenance"].update(stated))
        made.score_again(folder)

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


def test_no_cell_starts_a_formula_and_no_markup_is_let_through(content: dict[str, Any]) -> None:
    spoiled = hostile(content)
    lines = list(csv.reader(io.StringIO(csv_text(spoiled))))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) > 20
    numbers = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")
    for line in lines:
        assert len(line) == len(COLUMNS)
        for cell in line:
            assert numbers.fullmatch(cell) or not re.match(r"\s*[=+\-@|%\t\r]", cell), cell
    text = markdown_text(spoiled)
    assert "<" not in text
    assert not re.search(r"(?<!\\)\]\(", text)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) in {3, 4, 9} for line in tables)


def hostile(value: Any, depth: int = 0) -> Any:
    """Replace every text of the rows and of the rejected submissions by a hostile one."""
    if isinstance(value, dict):
        unchanged = {"kind", "main", "items", "board", "task", "version", "built"}
        return {name: part if name in unchanged else hostile(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list):
        return [hostile(part, depth + 1) for part in value]
    return HOSTILE if isinstance(value, str) else value


def test_build_writes_the_board(board: Path, tmp_path: Path) -> None:
    out = build_board(board, tmp_path / "site")
    content = json.loads((out / "board.json").read_text())
    assert content["title"] == "Test"
    assert (out / "index.html").is_file()
    row = content["tasks"][0]["rows"][0]
    table = pq.read_table(out / row["records"])
    assert table.num_rows == 12
    with pytest.raises(InputError, match="lies among the submissions"):
        build_board(board, board / "submissions" / "site")


def test_an_empty_board_and_a_folder_that_is_none(tmp_path: Path) -> None:
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
