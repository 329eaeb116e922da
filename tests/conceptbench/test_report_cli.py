"""The commands that read results, as a user runs them: in a process of their own."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.eval.rows import write_records
from conceptbench.eval.run import evaluate

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two results on ten concepts: the baseline's, and that of the gold names."""
    folder = tmp_path_factory.mktemp("results")
    evaluate("annotation", annotator="lexical", out=folder / "lexical", limit=10)
    rows = pq.read_table(folder / "lexical" / "records.parquet").to_pylist()
    labels = [{"concept": row["item"], "label": load_lexicon()[row["concept"]].name} for row in rows]
    (folder / "names.jsonl").write_text("\n".join(map(json.dumps, labels)))
    evaluate("annotation", annotator=f"file:{folder / 'names.jsonl'}", out=folder / "names", limit=10)
    return folder


@pytest.fixture(scope="module")
def run(open_command_line: Callable[..., Any]) -> Iterator[Run]:
    """Run `conceptbench` with a folder as the working folder."""
    with open_command_line({**os.environ, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}) as command_line:

        def call(*arguments: object, cwd: Path, columns: int = 80) -> "subprocess.CompletedProcess[str]":
            done: subprocess.CompletedProcess[str] = command_line.run(
                *map(str, arguments), cwd=cwd, env={"COLUMNS": str(columns)}
            )
            return done

        yield call


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("command", ["report", "compare"])
def test_help_fits_a_narrow_terminal(run: Run, tmp_path: Path, command: str) -> None:
    shown = run(command, "--help", cwd=tmp_path, columns=60)
    assert shown.returncode == 0
    assert {"report": "--recompute", "compare": "--detect"}[command] in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 60


@pytest.mark.slow
def test_a_report_is_written_and_its_files_are_named(run: Run, results: Path, tmp_path: Path) -> None:
    arguments = ("report", results / "lexical", results / "names")
    shown = run(*arguments, "--recompute", "--out", "here", cwd=tmp_path, columns=60)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines() == ["Written: here/report.html", "Written: here/report.md"]
    assert "Computing metrics again" in shown.stderr
    assert "recomputed from the records" in (tmp_path / "here" / "report.html").read_text()
    assert "| 1 | file:names.jsonl |" in (tmp_path / "here" / "report.md").read_text()
    assert json.loads(run(*arguments, "--out", "x.md", "--json", cwd=tmp_path).stdout) == ["x.md"]


def test_a_changed_metric_stops_the_report(run: Run, results: Path, tmp_path: Path) -> None:
    shutil.copytree(results / "lexical", tmp_path / "changed")
    file = tmp_path / "changed" / "result.json"
    content = json.loads(file.read_text())
    content["metrics"]["gold_match"]["value"] = 0.999
    file.write_text(json.dumps(content))
    failed = run("report", "changed", "--recompute", cwd=tmp_path)
    assert failed.returncode == 1
    assert "metric 'gold_match' is 0.999" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["changed"]


@pytest.mark.slow
def test_what_cannot_be_read_is_one_message_and_exit_code_2(run: Run, results: Path, tmp_path: Path) -> None:
    shutil.copytree(results / "lexical", tmp_path / "changed")
    write_records(tmp_path / "changed", pq.read_table(results / "names" / "records.parquet"))
    for arguments, message in (
        (("report", "gone"), "gone: No such file"),
        (("report", "changed"), "was changed since the run"),
        (("compare", results / "names", "gone"), "gone: No such file"),
        (("compare", "a", "b", "--detect", "0"), "--detect"),
    ):
        failed = run(*arguments, cwd=tmp_path)
        assert failed.returncode == 2, failed.stderr
        assert message in failed.stderr
        assert "Traceback" not in failed.stderr
        assert failed.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["changed"]


def test_a_comparison_is_readable_on_a_narrow_terminal(run: Run, results: Path) -> None:
    shown = run("compare", "lexical", "names", cwd=results, columns=60)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[:2] == ["first: lexical", "second: file:names.jsonl"]
    assert lines[2].split() == ["metric", "first", "second", "difference", "p", "needed"]
    # No number and no name is broken.
    rows = [line.split() for line in lines[3 : lines.index("")]]
    assert {"copied", "identification"} <= {row[0] for row in rows}
    assert {"shuffled", "gold"} & {row[0] for row in rows}
    assert all(len(number) <= 7 for row in rows for number in row[1:])
    assert "file:names.jsonl (second) is better than lexical (first) on gold_match" in plain(shown.stdout)
    assert "here are 10." in plain(shown.stdout)


def test_a_comparison_as_json(run: Run, results: Path) -> None:
    found = json.loads(run("compare", "lexical", "names", "--detect", "0.2", "--json", cwd=results).stdout)
    assert (found["first"], found["second"], found["main"]) == ("lexical", "file:names.jsonl", "gold_match")
    first, second = found["means"]["gold_match"]
    difference = found["differences"]["gold_match"]
    assert difference["value"] == pytest.approx(first - second)
    assert set(difference) == {"value", "low", "high", "p", "n", "groups", "needed"}
    assert found["detect"] == 0.2
    assert "is better than" in found["verdict"]
