"""The concept store: its names, its tables, and what is said when they are wrong."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conceptbench.benchmark.schema import CONCEPTS, SENTENCES, concept_id, parse_layers, slug
from conceptbench.benchmark.store import ConceptStore, read_table, write_table
from conceptbench.runtime.errors import ConceptBenchError, InputError


def test_names() -> None:
    assert concept_id("bert-base-cased", 9, 123) == "bert-base-cased/L09/C0123"
    assert concept_id("m", 0, 12345) == "m/L00/C12345"
    assert slug("org/bert-base_cased.v1") == "org--bert--base_cased.v1"


@pytest.mark.parametrize(
    ("text", "layers"),
    [("all", [0, 1, 2, 3]), ("0,3", [0, 3]), ("3, 1,1", [1, 3]), ("1-3", [1, 2, 3]), ("0,2-3", [0, 2, 3])],
)
def test_layers_are_read(text: str, layers: list[int]) -> None:
    assert parse_layers(text, 4) == layers


@pytest.mark.parametrize("text", ["4", "0,9", "1-999999999999", "-1", "x", "", "3-1", "1,,2", "1.5"])
def test_wrong_layers_are_named(text: str) -> None:
    with pytest.raises(InputError, match="--layers"):
        parse_layers(text, 4)


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_table(tmp_path / name, SENTENCES, {"sentence": range(3), "text": ["x", "y", "z"]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_table(tmp_path / "a", SENTENCES).to_pylist()[2] == {"sentence": 2, "text": "z"}


def test_a_table_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, SENTENCES, {"sentence": [1], "text": ["x"]})
    before = path.read_bytes()
    with pytest.raises((pa.ArrowException, ValueError)):
        write_table(path, SENTENCES, {"sentence": [1, 2], "text": ["x"]})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1garbage")
    with pytest.raises(InputError, match="a.parquet is damaged"):
        read_table(path, SENTENCES)
    pq.write_table(pa.table({"sentence": [1], "words": ["x"]}), path)
    with pytest.raises(InputError, match="the columns are"):
        read_table(path, SENTENCES)
    pq.write_table(pa.table({"sentence": ["one"], "text": ["x"]}), path)
    with pytest.raises(InputError, match="a.parquet"):
        read_table(path, SENTENCES)
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "b.parquet", CONCEPTS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a concept store"),
        ("{", "is not JSON"),
        ("[]", "another version"),
        (json.dumps({"schema": "conceptbench.store/9"}), "another version .*conceptbench.store/9"),
        (json.dumps({"schema": "conceptbench.store/1", "models": []}), "no object under `models`"),
    ],
)
def test_a_folder_that_is_no_store_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=message):
        ConceptStore.open(tmp_path)


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    # A file stands where a folder is needed: this fails for every user, root too.
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConceptBenchError, match="cannot write .*run the same command again"):
        write_table(tmp_path / "taken" / "a.parquet", SENTENCES, {"sentence": [], "text": []})
