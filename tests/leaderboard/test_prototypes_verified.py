"""Submissions of the prototypes task: texts and classes must be those of the dataset, and examples no attack."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conceptbench.eval.run import evaluate
from conceptbench.eval.tasks import task_of
from conceptbench.leaderboard.items import items_digest
from conceptbench.leaderboard.records import read_untrusted
from conceptbench.leaderboard.settings import dataset_entry, open_board
from conceptbench.leaderboard.submit import pack, put
from conceptbench.leaderboard.verify import verify
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import sha256

TEXTS = [
    (f"The {word} {end}.", label)
    for label, words in {
        "food": ("soup", "bread", "cheese", "rice"),
        "sky": ("moon", "comet", "galaxy", "orbit"),
    }.items()
    for word in words
    for end in ("was here", "is <b>good</b>", "came late")
]


@pytest.fixture(scope="module")
def run(one_layer_minilm: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    path = folder / "topics.parquet"
    pq.write_table(pa.table({"text": [text for text, _ in TEXTS], "topic": [label for _, label in TEXTS]}), path)
    evaluate(
        "prototypes", dataset=str(path), text_columns=["text"], label_column="topic", model=one_layer_minilm, folds=2,
        repeats=1, prototypes=1, epochs=2, looked_at=4, out=folder / "result",
    )  # fmt: skip
    return folder / "result"


@pytest.fixture
def board(run: Path, tmp_path: Path) -> Path:
    (tmp_path / "submissions").mkdir()
    digest = items_digest("prototypes", read_untrusted(run / "records.parquet", "prototypes"))
    (tmp_path / "board.toml").write_text(dataset_entry("topics", "prototypes", digest))
    return tmp_path


def test_a_run_is_accepted_on_a_dataset_of_the_settings(run: Path, board: Path) -> None:
    put(pack(run, board=str(board), datasets=open_board(board).datasets), board)
    (checked,) = verify(board)
    assert checked.verdict.accepted, checked.verdict.reason
    with pytest.raises(InputError, match="another dataset than this board takes"):
        pack(run, board=str(board))


def _relabel(row: dict[str, Any]) -> None:
    row["label"] = "food"


def _script(row: dict[str, Any]) -> None:
    row["reason"] = "<script>alert(1)</script>"


def _better(row: dict[str, Any]) -> None:
    for answer in row["answers"]:
        answer["label"] = row["label"]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [(_relabel, "another dataset"), (_script, "reason and nearest"), (_better, "metric 'accuracy")],
)
def test_edited_records_are_rejected(
    edit: Callable[[dict[str, Any]], None], reason: str, run: Path, board: Path
) -> None:
    folder = put(pack(run, board=str(board), datasets=open_board(board).datasets), board)
    rows = pq.read_table(folder / "records.parquet").to_pylist()
    for row in rows:
        if row["role"] == "text":
            edit(row)
    pq.write_table(pa.Table.from_pylist(rows, schema=task_of("prototypes").schema()), folder / "records.parquet")
    result = json.loads((folder / "result.json").read_text())
    result["records_sha256"] = sha256(folder / "records.parquet")
    (folder / "result.json").write_text(json.dumps(result))
    (checked,) = verify(board)
    assert not checked.verdict.accepted
    assert reason in checked.verdict.reason
