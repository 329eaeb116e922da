"""Modules from a file: a JSON list of target texts with their answers, and corpora beside it."""

from __future__ import annotations

import csv
import json
import re
from functools import partial
from pathlib import Path
from typing import Any, Final

from conceptbench.benchmark.modules.answers import Answer, Part
from conceptbench.benchmark.modules.known import KnownModule
from conceptbench.benchmark.modules.responses import Encoder, module_of
from conceptbench.runtime.errors import InputError

LARGEST_FILE: Final = 8 << 20
LARGEST_CORPUS: Final = 256 << 20
FILE_FAMILY: Final = "file"

_TEXTS = ("id", "name", "keyword", "explanation", "accept_pattern")
_COLUMNS = ("input", "label")


def read_modules(path: Path, encoder: Encoder) -> list[KnownModule]:
    """Read the modules of a file, in its order: each responds to texts by how close they are to its keyword.

    The file is a JSON list of objects with the texts `id`, `name`, `keyword`, `explanation` and `accept_pattern` (a
    regular expression that is found in right explanations, case ignored), and `corpus`: null, or the name of a CSV
    file in the same folder with the columns `input` and `label`. A corpus is read when the module's `corpus` is called.

    Raises
    ------
    InputError
        if the file cannot be read, or an entry is wrong; it names file, entry and field.
    """
    try:
        _check_size(path, LARGEST_FILE, str(path))
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON in UTF-8: {error}") from error
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: give a list of one or more modules")
    modules: dict[str, KnownModule] = {}
    for number, row in enumerate(rows, 1):
        where = f"{path}, entry {number}"
        module = _module(row, path.parent, encoder, where)
        if module.id in modules:
            raise InputError(f"{where}: `id` {module.id!r} occurs twice; give each module its own")
        modules[module.id] = module
    return list(modules.values())


def _module(row: Any, folder: Path, encoder: Encoder, where: str) -> KnownModule:
    if not isinstance(row, dict) or set(row) != {*_TEXTS, "corpus"}:
        raise InputError(f"{where}: a module has just the fields {', '.join(_TEXTS)} and corpus")
    for field in _TEXTS:
        if not isinstance(row[field], str) or not row[field].strip():
            raise InputError(f"{where}: `{field}` must be a text that is not empty")
    where += f" ({row['id']})"
    try:
        re.compile(row["accept_pattern"], re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"{where}: `accept_pattern` is not a regular expression ({error})") from error
    corpus = None if row["corpus"] is None else partial(_read_corpus, _corpus_path(row["corpus"], folder, where))
    parts = (Part(row["name"], row["accept_pattern"]),)
    answer = Answer(row["keyword"], (), row["explanation"], parts)
    return KnownModule(row["id"], FILE_FAMILY, module_of(encoder, row["keyword"]), answer, corpus)


def _corpus_path(name: Any, folder: Path, where: str) -> Path:
    where += ": `corpus`"
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(f"{where} must be the name of a file, or null")
    inside = folder.resolve()
    path = (inside / name).resolve()
    if Path(name).is_absolute() or ".." in Path(name).parts or inside not in path.parents:
        raise InputError(f"{where} {name!r} lies outside {folder}: put it into the folder of the file, without links")
    try:
        _check_size(path, LARGEST_CORPUS, f"{where} {name!r}")
    except OSError as error:
        raise InputError(f"{where} {name!r} cannot be read: {error.strerror or error}") from error
    if not path.is_file():
        raise InputError(f"{where} {name!r} is not a file")
    return path


def _check_size(path: Path, largest: int, what: str) -> None:
    size = path.stat().st_size
    if size > largest:
        raise InputError(f"{what} has {size:,} bytes, more than {largest:,}: give a smaller one")


def _read_corpus(path: Path) -> list[str]:
    """Read the column `input` of a CSV file.

    Raises
    ------
    InputError
        if the file is no such CSV file; it names file and line.
    """
    csv.field_size_limit(LARGEST_CORPUS)
    texts = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path}: there is no column {' and no '.join(missing)}; it must have input and label")
            for row in reader:
                if row["label"] is None:
                    raise InputError(f"{path}, line {reader.line_num}: the row has too few fields")
                texts.append(row["input"])
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}): convert it first") from error
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.reader.line_num}: not CSV ({error})") from error
    if not texts:
        raise InputError(f"{path} has no rows: a corpus needs texts")
    return texts
