"""Tables of texts and classes: what is read, and what is refused."""

from pathlib import Path

import pandas as pd
import pytest

from conceptbench.eval.prototypes.datasets import check_task, load_setting, load_texts
from conceptbench.eval.prototypes.ready import SETTINGS
from conceptbench.runtime.errors import InputError


def write(path: Path, **columns: list[object]) -> str:
    frame = pd.DataFrame(columns)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        (["yes", "no", "no"], ["no", "yes"], [1, 0, 0]),
        ([10, 9, 10], ["9", "10"], [1, 0, 1]),
        (["true", "null", "NA"], ["NA", "null", "true"], [2, 1, 0]),
    ],
)
def test_labels_are_numbered_in_their_order(
    tmp_path: Path, suffix: str, labels: list[object], classes: list[str], numbers: list[int]
) -> None:
    texts = ["null", 'two\n"lines", a comma', "Ünïcode"]
    data = load_texts(write(tmp_path / f"t{suffix}", words=texts, kind=labels, other=[1, 2, 3]), ["words"], "kind")
    assert data.texts == texts
    assert data.classes == classes
    assert data.labels.tolist() == numbers
    assert data.name == f"t{suffix}"


def test_two_columns_are_pairs(tmp_path: Path) -> None:
    source = write(tmp_path / "t.csv", a=["x", "y"], b=["u", "v"], label=[0, 1])
    data = load_texts(source, ["a", "b"], "label")
    assert data.texts == [("x", "u"), ("y", "v")]
    assert data.digest() != load_texts(source, ["b", "a"], "label").digest()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a", "b"], "label": ["x", "x"]}, "all labels are 'x'; give two classes or more"),
        ({"text": ["a", " "], "label": [0, 1]}, r"1 of 2 texts in column 'text' are empty, the first in row 2"),
        ({"text": ["a", "b"], "label": [0.5, 1.5]}, "labels are integers or strings"),
        ({"text": ["a", "b"], "label": ["x", ""]}, "1 rows have no label, the first is row 2"),
        ({"text": ["a", "b"], "kind": [0, 1]}, r"there is no column 'label' \(there are: text, kind\)"),
        ({"words": ["a", "b"], "label": [0, 1]}, r"there is no column 'text' \(there are: words, label\)"),
        ({"text": [], "label": []}, "there is no row in it|holds null"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_bad_tables_are_refused(tmp_path: Path, suffix: str, columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(InputError, match=f"{message}|column 'text' holds"):
        load_texts(write(tmp_path / f"t{suffix}", **columns), ["text"], "label")


def test_parquet_of_other_types_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "t.parquet", text=[1, 2], label=[0, 1], flag=[True, False], words=["a", "b"])
    with pytest.raises(InputError, match="column 'text' holds int64, not text"):
        load_texts(source, ["text"], "label")
    with pytest.raises(InputError, match="it holds bool; labels are integers or strings"):
        load_texts(source, ["words"], "flag")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the file does not exist; give a .csv or .parquet file"):
        load_texts(str(tmp_path / "none.csv"), ["text"], "label")
    with pytest.raises(InputError, match="the file is a folder"):
        load_texts(str(tmp_path), ["text"], "label")
    (tmp_path / "t.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read"):
        load_texts(str(tmp_path / "t.parquet"), ["text"], "label")
    (tmp_path / "t.txt").write_text("a")
    with pytest.raises(InputError, match="of an unknown kind"):
        load_texts(str(tmp_path / "t.txt"), ["text"], "label")
    with pytest.raises(InputError, match="give one column, or two for pairs"):
        load_texts(str(tmp_path / "t.csv"), ["a", "b", "c"], "label")


def test_a_class_with_fewer_examples_than_prototypes_is_refused(tmp_path: Path) -> None:
    data = load_texts(write(tmp_path / "t.csv", text=list("abcde"), label=list("xxxyy")), ["text"], "label")
    check_task(data, 2)
    with pytest.raises(InputError, match="class 'y' has 2 examples, fewer than 3 prototypes"):
        check_task(data, 3)
    with pytest.raises(InputError, match="all labels are 'x'"):
        check_task(data.take(data.labels.argsort()[:3]), 1)


def test_settings_that_cannot_be_had_say_so() -> None:
    assert set(SETTINGS) == {"sst2", "sst5", "qnli", "mnli", "wnli", "rte", "imdb"}
    with pytest.raises(InputError, match="the ready settings are sst2, sst5"):
        load_setting("sst9")
    with pytest.raises(InputError, match="cannot be read from the Hub"):
        load_setting("sst2")
    with pytest.raises(InputError, match="cannot be read from the Hub"):
        load_texts("hf:nobody/nothing", ["text"], "label")
