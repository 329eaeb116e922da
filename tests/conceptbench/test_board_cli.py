"""The commands submit and board, as a user gives them; all in this process, since each start takes seconds."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conceptbench.cli import main
from conceptbench.eval.run import evaluate


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "lexical"
    evaluate("annotation", annotator="lexical", out=out, limit=2, purities=[1.0])
    return out


@pytest.fixture
def conceptbench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Done]:
    """Run commands of `conceptbench` in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("signal.signal", lambda *_arguments: None)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["conceptbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return run


def test_submit_verify_and_split(run: Path, tmp_path: Path, conceptbench: Callable[..., Done]) -> None:
    tried = conceptbench("submit", run, "--board", "org/board", "--model-repo", "me/m", "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert "Nothing was sent" in tried.stdout
    assert "submissions/lexical/annotation/" in tried.stdout
    assert ".eval_results/org--board-annotation.yaml" in tried.stdout
    wrong = conceptbench("submit", run, "--board", "board", "--dry-run")
    assert wrong.returncode == 2
    assert "give ORG/NAME" in wrong.stderr
    packed = conceptbench("submit", run, "--board", "org/board", "--dry-run", "--json")
    parcel = json.loads(packed.stdout)
    folder = tmp_path / "board" / "submissions" / parcel["submission"]
    folder.mkdir(parents=True)
    for name in ("result.json", "records.parquet"):
        (folder / name).write_bytes((run / name).read_bytes())
    form = next(file["shown"] for file in parcel["pull_requests"][0]["files"] if file["path"].endswith("form.json"))
    (folder / "form.json").write_text(json.dumps(form))
    done = conceptbench("board", "verify", "board", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"submission": parcel["submission"], "verdict": "accepted", "reason": ""}]
    (folder / "more.py").write_text("print()")
    done = conceptbench("board", "verify", "board", "--json")
    assert done.returncode == 1
    (verdict,) = json.loads(done.stdout)
    assert verdict["verdict"] == "rejected"
    assert "besides" in verdict["reason"]
    listing = conceptbench("board", "verify", "board")
    assert "0 of 1 accepted" in listing.stdout
    split = conceptbench("board", "split", "board", "--draw", "secret.json")
    assert split.returncode == 0, split.stderr
    listed = json.loads(conceptbench("board", "split", "board", "--json").stdout)
    assert listed[0]["seed"] is None
    assert listed[0]["commitment"] in split.stdout
    assert listed[0]["commitment"] in conceptbench("board", "split", "board").stdout
    twice = conceptbench("board", "split", "board", "--draw", "a", "--publish", "b")
    assert twice.returncode == 2
    missing = conceptbench("board", "verify", "nowhere")
    assert missing.returncode == 2
    assert "is not a folder" in missing.stderr
    unbuilt = conceptbench("board", "serve", "board")
    assert unbuilt.returncode == 2
    assert "board build" in unbuilt.stderr
    schema = conceptbench("board", "schema")
    assert json.loads(schema.stdout)["title"] == "Form"
    seeds = conceptbench("submit", run, "--board", "org/board", "--seeds", "1,x", "--dry-run")
    assert seeds.returncode == 2
    assert "such as 0,1,2" in seeds.stderr
    lines = conceptbench("board", "items", run, "--name", "mine")
    assert lines.stdout.startswith('[[dataset]]\nname = "mine"\ntask = "annotation"\n')


def test_options_of_submit_replace_the_fields_of_the_form(
    run: Path, tmp_path: Path, conceptbench: Callable[..., Done]
) -> None:
    (tmp_path / "form.json").write_text(json.dumps({"name": "Of the file", "notes": "Of the file.", "seeds": [0]}))
    options = ("--form", "form.json", "--name", "Of the option", "--seeds", "0,1")
    packed = conceptbench("submit", run, "--board", "org/board", *options, "--dry-run", "--json")
    assert packed.returncode == 0, packed.stderr
    files = json.loads(packed.stdout)["pull_requests"][0]["files"]
    form = next(file["shown"] for file in files if file["path"].endswith("form.json"))
    assert (form["name"], form["notes"], form["seeds"]) == ("Of the option", "Of the file.", [0, 1])
