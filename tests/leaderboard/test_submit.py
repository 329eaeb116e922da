"""Submitting: a submission is sent exactly where the board would accept it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from conceptbench.eval.result import read_result
from conceptbench.leaderboard.form import Form, form_schema, read_form
from conceptbench.leaderboard.submit import pack, put
from conceptbench.leaderboard.verify import verify
from conceptbench.runtime.errors import InputError

DOCS = Path(__file__).parents[2] / "docs"


def test_a_packed_submission_is_accepted(run: Path, tmp_path: Path) -> None:
    parcel = pack(run, board="org/board", form={"name": "My system", "notes": "Twice.", "seeds": [0, 1]})
    (request,) = parcel.pull_requests
    assert (request.repo, request.repo_type) == ("org/board", "dataset")
    for file in request.files:
        path = tmp_path / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    (checked,) = verify(tmp_path)
    assert checked.verdict.accepted, checked.verdict.reason
    assert checked.verdict.submission == parcel.submission
    assert checked.submission is not None
    assert checked.submission.form == Form(name="My system", notes="Twice.", seeds=[0, 1], decoding={"temperature": 0})


def test_the_models_repo_gets_an_entry_that_the_hub_reads(run: Path) -> None:
    parcel = pack(run, board="org/board", model_repo="me/model", dataset="org/dataset")
    request = parcel.pull_requests[1]
    assert (request.repo, request.repo_type) == ("me/model", "model")
    (file,) = request.files
    assert file.path == ".eval_results/org--dataset-annotation.yaml"
    (entry,) = parse_eval_result_entries(yaml.safe_load(file.content))
    result = read_result(run)
    assert (entry.dataset_id, entry.task_id) == ("org/dataset", "annotation")
    # The metric that the scorer of the benchmark's eval.yaml measures.
    assert entry.value == result.metrics["gold_includes"].value
    assert entry.date == result.provenance["started"]


def test_raw_replies_that_a_board_refuses_are_left_out_and_nothing_else(
    made: ModuleType, maker: Any, tmp_path: Path
) -> None:
    folder = maker.good(tmp_path, 1)
    made.edit_rows(
        folder, lambda rows: [row.update(raw=raw) for row, raw in zip(rows, ("<b>x</b>", "fine"), strict=True)]
    )
    parcel = pack(folder, board="org/board")
    assert "raw replies" in parcel.notes[0]
    records = next(file for file in parcel.pull_requests[0].files if file.path.endswith(".parquet"))
    (tmp_path / "sent.parquet").write_bytes(records.content)
    sent, stored = (pq.read_table(path).to_pylist() for path in (tmp_path / "sent.parquet", folder / "records.parquet"))
    assert [row["raw"] for row in sent] == [None, "fine"]
    assert [{**row, "raw": None} for row in sent] == [{**row, "raw": None} for row in stored]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"board": "board"}, "--board"),
        ({"board": "../board"}, "--board"),
        ({"board": "org/board", "model_repo": "a/b/c"}, "--model-repo"),
        ({"board": "org/board", "dataset": "<script>"}, "--dataset"),
        ({"board": "org/board", "form": {"seeds": [1]}}, "seeds"),
        ({"board": "org/board", "form": {"name": "<b>"}}, "name"),
        ({"board": "org/board", "form": {"model_link": "javascript:alert(1)"}}, "model_link"),
        ({"board": "org/board", "form": {"rank": 1}}, "rank"),
    ],
)
def test_wrong_options_are_told(run: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pack(run, **options)


def test_an_edited_result_is_not_sent(made: ModuleType, maker: Any, tmp_path: Path) -> None:
    folder = maker.good(tmp_path, 1)
    made.edit(folder, "result.json", lambda content: content["metrics"]["gold_match"].update(value=0.9))
    with pytest.raises(InputError, match="metric 'gold_match' is 0.9"):
        pack(folder, board="org/board")


def test_the_published_schema_is_that_of_the_form() -> None:
    assert (DOCS / "submission.schema.json").read_text() == form_schema()
    schema = json.loads(form_schema())
    assert schema["required"] == ["name", "seeds"]
    assert set(schema["properties"]) == {
        *("schema", "name", "variant", "model_link", "code_link", "decoding", "seeds", "notes"),
    }
    with pytest.raises(InputError, match=r"form\.json, name: Field required"):
        read_form({})


def test_variants_of_a_system_have_folders_of_their_own(run: Path, tmp_path: Path) -> None:
    (tmp_path / "submissions").mkdir()
    for variant, name in (("", "Mine"), ("two words", "Mine, other words")):
        put(pack(run, board=str(tmp_path), form={"name": name, "variant": variant, "notes": "Once."}), tmp_path)
    places = sorted(path.parent.parent.parent.name for path in tmp_path.rglob("form.json"))
    system = read_result(run).system
    assert places == [system, f"{system}--two--words"]
    # Both have the answers of one run, so that only one of them is accepted.
    (first, second) = (checked.verdict for checked in verify(tmp_path))
    assert "its answers are those of" in first.reason
    assert second.accepted
    with pytest.raises(InputError, match="is there already, and is another"):
        put(pack(run, board=str(tmp_path), form={"name": "Mine", "notes": "Twice."}), tmp_path)
    with pytest.raises(InputError, match="goes with a board on the Hub"):
        pack(run, board=str(tmp_path), model_repo="me/model")


@pytest.mark.slow
def test_pull_requests_are_opened_once_and_then_brought_up_to_date(
    run: Path, hub: Any, hub_env: Callable[..., dict[str, str]], open_command_line: Callable[..., Any], tmp_path: Path
) -> None:
    hub.add_repo("org/board", "dataset")
    hub.add_repo("org/model", "model")
    with open_command_line(hub_env(hub.endpoint, hub.token)) as command_line:

        def submit(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
            command = ("submit", str(run), "--board", "org/board", *options)
            done: subprocess.CompletedProcess[str] = command_line.run(*command, cwd=tmp_path, env=variables)
            return done

        first = submit("--model-repo", "org/model", "--json")
        more = submit("--notes", "More to say.", "--json")
        half = submit("--model-repo", "org/none")
        nameless = submit(HF_TOKEN="")
    assert first.returncode == 0, first.stderr
    opened = json.loads(first.stdout)["opened"]
    assert opened == [
        f"{hub.endpoint}/datasets/org/board/discussions/1",
        f"{hub.endpoint}/org/model/discussions/1",
    ]
    assert json.loads(more.stdout)["opened"] == opened[:1]
    assert half.returncode == 1
    assert f"still open: {opened[0]}" in half.stderr
    assert nameless.returncode == 2
    assert "token" in nameless.stderr
    assert all(hub.token not in done.stdout + done.stderr for done in (first, half, nameless))
