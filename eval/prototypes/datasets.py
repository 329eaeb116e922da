"""Texts with classes: from a CSV or parquet file, from the Hub, or by the name of a ready setting."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from conceptbench.eval.methods.protolm.tokens import Text
from conceptbench.eval.prototypes.ready import SETTINGS
from conceptbench.runtime.errors import InputError

_FORMS = "a .csv or .parquet file, a Hub dataset <id> or hf:<id>[:<config>[:<split>]], or a ready setting"
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_MOST_COLUMNS = 2


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """Texts, or pairs of sentences, and their classes.

    Attributes
    ----------
    name : what may be published of the source.
    texts : texts, or pairs.
    labels : int64 of shape (texts,): numbers of `classes`.
    classes : the names of the classes.

    Examples
    --------
    >>> data = LabelledTexts("films", ["Dull.", "Lovely."], np.array([1, 0]), ["good", "bad"])
    >>> data.take(np.array([1])).texts
    ['Lovely.']
    """

    name: str
    texts: list[Text]
    labels: np.ndarray
    classes: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: np.ndarray) -> LabelledTexts:
        """Give some rows, with the same classes."""
        return LabelledTexts(self.name, [self.texts[row] for row in rows], self.labels[rows], self.classes)

    def digest(self) -> str:
        """Give the SHA-256 of texts and classes."""
        digest = hashlib.sha256()
        for text, label in zip(self.texts, self.labels, strict=True):
            digest.update(repr((text, self.classes[label])).encode(errors="surrogatepass") + b"\n")
        return digest.hexdigest()


def load_texts(source: str, text_columns: Sequence[str], label_column: str) -> LabelledTexts:
    """Read a table of texts and classes; a Hub dataset's split is `train` where none is named.

    Parameters
    ----------
    source : a .csv or .parquet file, or a Hub dataset `<id>` or `hf:<id>[:<config>[:<split>]]`.
    text_columns : one column, or two for pairs of sentences.
    label_column : holds integers or strings; classes are in their order, or in that of a Hub dataset's names.

    Raises
    ------
    InputError
        if the source cannot be read, a column is missing, a text is empty, a label is missing or neither integer nor
        string, or all labels are the same.
    """
    if not 1 <= len(text_columns) <= _MOST_COLUMNS:
        raise InputError(f"--text-column: give one column, or two for pairs of sentences, not {len(text_columns)}")
    if not Path(source).exists() and _HUB_ID.fullmatch(source) and Path(source).suffix not in {".csv", ".parquet"}:
        source = f"hf:{source}"
    if source.startswith("hf:"):
        name, _, rest = source.removeprefix("hf:").partition(":")
        config, _, split = rest.partition(":")
        table, names = _hub_table(source, name, config or None, split or "train", label_column)
    else:
        table, names = _file_table(source, [*text_columns, label_column]), None
    public = source if source.startswith("hf:") else Path(source).name
    return _labelled(public, source, table, text_columns, label_column, names)


def load_setting(name: str) -> tuple[LabelledTexts, LabelledTexts]:
    """Read the training and the test texts of a ready setting from the Hub.

    Raises
    ------
    InputError
        if there is no such setting, or the Hub cannot be reached.
    """
    if name not in SETTINGS:
        raise InputError(f"--dataset {name}: the ready settings are {', '.join(SETTINGS)}")
    setting = SETTINGS[name]
    parts = []
    for split in (setting.train, setting.test):
        source = f"hf:{setting.id}:{setting.config or ''}:{split}"
        table, names = _hub_table(source, setting.id, setting.config, split, setting.label_column)
        parts.append(
            _labelled(name, source, table, setting.text_columns, setting.label_column, names or list(setting.classes))
        )
    return parts[0], parts[1]


def check_task(data: LabelledTexts, prototypes: int) -> None:
    """Check that the training texts suffice for so many prototypes a class.

    Raises
    ------
    InputError
        if there is one class only, or a class has fewer examples than prototypes.
    """
    counts = np.bincount(data.labels, minlength=len(data.classes))
    if np.count_nonzero(counts) < 2:
        raise InputError(
            f"{data.name}: all labels are {data.classes[int(counts.argmax())]!r}; give two classes or more"
        )
    short = np.flatnonzero(counts < prototypes)
    if short.size:
        raise InputError(
            f"{data.name}: class {data.classes[short[0]]!r} has {counts[short[0]]} examples, fewer than {prototypes} "
            "prototypes; give fewer prototypes, or leave the class out"
        )


def _file_table(source: str, columns: Sequence[str]) -> pa.Table:
    path = Path(source)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"--dataset {source}: the file {what}; give {_FORMS} ({', '.join(SETTINGS)})")
    try:
        if path.suffix.lower() == ".parquet":
            return pyarrow.parquet.ParquetFile(path).read()
        if path.suffix.lower() == ".csv":
            # Words such as "null" or "true" are texts and names of classes here.
            convert = pyarrow.csv.ConvertOptions(
                column_types={column: pa.string() for column in columns},
                strings_can_be_null=False,
            )
            parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
            return pyarrow.csv.read_csv(path, parse_options=parse, convert_options=convert)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"--dataset {source}: cannot be read ({error})") from error
    raise InputError(f"--dataset {source}: of an unknown kind; give {_FORMS} ({', '.join(SETTINGS)})")


def _hub_table(
    source: str, name: str, config: str | None, split: str, label_column: str
) -> tuple[pa.Table, list[str] | None]:
    """Read a split, and the names that the dataset gives to label numbers, if it does."""
    import datasets

    try:
        rows = datasets.load_dataset(name, config, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(f"--dataset {source}: cannot be read from the Hub: {error}") from error
    feature = rows.features.get(label_column)
    names = feature.names if isinstance(feature, datasets.ClassLabel) else None
    return rows.with_format("arrow")[:], names


def _labelled(
    name: str,
    source: str,
    table: pa.Table,
    text_columns: Sequence[str],
    label_column: str,
    names: list[str] | None,
) -> LabelledTexts:
    for column in (*text_columns, label_column):
        if column not in table.column_names:
            raise InputError(
                f"--dataset {source}: there is no column {column!r} (there are: {', '.join(table.column_names)})"
            )
    columns = [_column_texts(source, table, column) for column in text_columns]
    texts: list[Text] = list(columns[0]) if len(columns) == 1 else list(zip(*columns, strict=True))
    labels, classes = _classes(source, table, label_column, names)
    labelled = LabelledTexts(name, texts, labels, classes)
    check_task(labelled, 0)
    return labelled


def _column_texts(source: str, table: pa.Table, column: str) -> list[str]:
    kind = table.schema.field(column).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise InputError(f"--dataset {source}: column {column!r} holds {kind}, not text")
    values: list[str] = table.column(column).to_pylist()
    empty = [row for row, value in enumerate(values, 1) if value is None or not value.strip()]
    if empty:
        raise InputError(
            f"--dataset {source}: {len(empty)} of {len(values)} texts in column {column!r} are empty, the first in "
            f"row {empty[0]}; leave these rows out"
        )
    if not values:
        raise InputError(f"--dataset {source}: there is no row in it")
    return values


def _classes(source: str, table: pa.Table, column: str, names: list[str] | None) -> tuple[np.ndarray, list[str]]:
    """Number the classes: integers in their order, strings in theirs."""
    where = f"--dataset {source}, label column {column!r}"
    kind = table.schema.field(column).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise InputError(f"{where}: it holds {kind}; labels are integers or strings")
    values: list[Any] = table.column(column).to_pylist()
    if source.lower().endswith(".csv"):
        values = _csv_labels(where, values)
    missing = [row for row, value in enumerate(values, 1) if value is None or (isinstance(value, str) and not value)]
    if missing:
        raise InputError(f"{where}: {len(missing)} rows have no label, the first is row {missing[0]}; leave them out")
    if names is not None and all(isinstance(value, int) for value in values):
        outside = [row for row, value in enumerate(values, 1) if not 0 <= value < len(names)]
        if outside:
            raise InputError(
                f"{where}: row {outside[0]} has label {values[outside[0] - 1]}, which has no name; the test split of "
                "some datasets has no labels: choose another split"
            )
        return np.array(values, dtype=np.int64), list(names)
    distinct = sorted(set(values))
    number_of = {value: number for number, value in enumerate(distinct)}
    return np.array([number_of[value] for value in values], dtype=np.int64), [str(value) for value in distinct]


def _csv_labels(where: str, values: Sequence[str]) -> list[Any]:
    """Read labels of a CSV, where all are strings: integers if all are, and an error for numbers that are none."""
    stripped = [value.strip() for value in values]
    if all(_is_integer(value) for value in stripped if value):
        return [int(value) if value else None for value in stripped]
    fractions = [row for row, value in enumerate(stripped, 1) if _is_number(value) and not _is_integer(value)]
    if fractions:
        raise InputError(
            f"{where}: row {fractions[0]} has {stripped[fractions[0] - 1]}; labels are integers or strings"
        )
    return list(stripped)


def _is_integer(value: str) -> bool:
    return value.removeprefix("-").isdecimal()


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
