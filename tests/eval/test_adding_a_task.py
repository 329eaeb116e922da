"""The package of docs/adding-a-task.md, installed into a fresh environment, run, reported and submitted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-task.md"

Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a command in an environment that has this one's packages, and the page's package installed beside them."""
    folder = tmp_path_factory.mktemp("odd-one-out")
    block = r"`(pyproject\.toml|odd_one_out/\w+\.py)`[^`].*?\n```\w+\n(.*?)\n```"
    files = re.findall(block, PAGE.read_text(), re.DOTALL)
    assert [name for name, _ in files] == ["pyproject.toml", "odd_one_out/__init__.py", "odd_one_out/task.py"]
    for name, content in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content + "\n")
    venv.create(folder / "venv")
    python = folder / "venv" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # A path file is read as those of a site's own folder are, so that editable installs work too.
    here = sysconfig.get_path("purelib")
    Path(site, "this.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", site]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, folder], check=True, timeout=300)

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-m", "conceptbench", *command],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return call


def test_a_package_adds_a_task_that_is_run_reported_and_submitted(run: Run, tmp_path: Path) -> None:
    listed = json.loads(run("list", "tasks", "--json").stdout)
    assert "odd-one-out" in [row["task"] for row in listed]
    assert "Ask a system which of four words" in run("eval", "--help").stdout

    done = run("eval", "odd-one-out", "--chooser", "longest", "--out", str(tmp_path / "longest"), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    accuracy = result["metrics"]["accuracy"]
    assert accuracy["n"] > 200
    assert 0.1 < accuracy["value"] < 0.6
    assert result["provenance"]["chooser"] == "longest"
    assert result["provenance"]["concurrency"] == 8

    again = run("report", str(tmp_path / "longest"), "--recompute", "--out", str(tmp_path / "report.html"))
    assert again.returncode == 0, again.stderr
    assert "Odd-one-out, ranked by accuracy" in (tmp_path / "report.html").read_text()

    board = tmp_path / "board"
    (board / "submissions").mkdir(parents=True)
    refused = run("submit", str(tmp_path / "longest"), "--board", str(board))
    assert refused.returncode == 2
    assert "another dataset than this board takes" in refused.stderr
    (board / "board.toml").write_text(run("board", "items", str(tmp_path / "longest")).stdout)
    sent = run("submit", str(tmp_path / "longest"), "--board", str(board), "--name", "Longest word")
    assert sent.returncode == 0, sent.stderr
    verdicts = json.loads(run("board", "verify", str(board), "--json").stdout)
    assert [verdict["verdict"] for verdict in verdicts] == ["accepted"]
    built = run("board", "build", str(board), "--out", str(tmp_path / "site"))
    assert built.returncode == 0, built.stderr
    tables = json.loads((tmp_path / "site" / "board.json").read_text())["tasks"]
    assert [table["task"] for table in tables if table["ranked"]] == ["odd-one-out"]


def test_a_wrong_option_of_an_added_task_is_refused(run: Run, tmp_path: Path) -> None:
    wrong = run("eval", "odd-one-out", "--chooser", "longest", "--limit", "0", "--out", str(tmp_path / "none"))
    assert wrong.returncode == 2
    assert "--limit 0: give at least 1" in wrong.stderr
    assert not (tmp_path / "none").exists()


def test_an_added_task_asks_a_language_model(run: Run, tmp_path: Path, smollm2_folder: str) -> None:
    done = run(
        *("eval", "odd-one-out", "--chooser", f"local:{smollm2_folder}", "--limit", "4"),
        *("--out", str(tmp_path / "llm"), "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["accuracy"]["n"] == 4
