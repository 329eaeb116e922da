"""Ratings of labels, and the CSV files they are kept in."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import write_text

Q1: TypeAlias = Literal["yes", "no"]
Q2: TypeAlias = Literal["precise", "imprecise"]
Q3: TypeAlias = Literal["label", "other", "both", "neither"]

COLUMNS: Final = ("item", "label", "rater", "q1", "q2", "q3", "other", "time")
MOST_BYTES: Final = 50_000_000
_ALLOWED: Final = {"q1": get_args(Q1), "q2": (*get_args(Q2), None), "q3": (*get_args(Q3), None)}
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""A cell that a spreadsheet would run as a formula, or one that is already protected by apostrophes."""


@dataclass(frozen=True)
class Rating:
    """The answers of one rater about one label.

    `q1`: is the label acceptable; `q2`, if it is: precise or imprecise (None: not answered yet); `q3`, where there is
    an `other` label to compare with: which is better. `time` is when, in ISO 8601, or empty.

    Raises
    ------
    InputError
        if a value is not allowed; the message begins with the field.
    """

    item: str
    label: str
    rater: str
    q1: Q1
    q2: Q2 | None = None
    q3: Q3 | None = None
    other: str | None = None
    time: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name in ("item", "label", "rater"):
            if not getattr(self, name).strip():
                raise InputError(f"{name}: is empty")
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                values = ", ".join("empty" if value is None else value for value in allowed)
                raise InputError(f"{name}: {getattr(self, name) or ''!r} is not one of: {values}")
        if self.q1 == "no" and self.q2 is not None:
            raise InputError(f"q2: {self.q2!r} is given though q1 is no: only an acceptable label can be {self.q2}")
        if self.q3 is not None and self.other is None:
            raise InputError(f"q3: {self.q3!r} is given, but the label compared with, `other`, is empty")

    @property
    def grade(self) -> str:
        """Give the value on the scale of `agreement`: unacceptable, imprecise, precise, or acceptable without q2."""
        if self.q1 == "no":
            return "unacceptable"
        return self.q2 or "acceptable"


def read_ratings(path: Path, items: Mapping[str, str | None] | None = None) -> list[Rating]:
    """Read a CSV file of ratings, or a folder of them (its files in the order of their names).

    The files are logs: of two ratings of an item by one rater, the later counts. A last line that was cut short when
    its writer was killed is left out.

    Parameters
    ----------
    items : each known item's present label, or None where it has none. Ratings of another label are left out.

    Raises
    ------
    InputError
        if a file cannot be read, or is not one of ratings, or a rating is of no known item; the message names the
        file, line and field.
    """
    latest: dict[tuple[str, str], Rating] = {}
    for file in sorted(path.glob("*.csv")) if path.is_dir() else [path]:
        for line, rating in _read(file):
            if items is not None:
                if rating.item not in items:
                    raise InputError(
                        f"{file}, line {line}, item: {rating.item!r} is not in this study: correct the line, or take "
                        "the ratings of other studies out"
                    )
                if items[rating.item] != rating.label:
                    continue
            latest[rating.rater, rating.item] = rating
    return list(latest.values())


def write_ratings(path: Path, ratings: Iterable[Rating]) -> None:
    """Write ratings to a CSV file, whole or not at all; `read_ratings` gives them back as they were.

    Text that a spreadsheet would run as a formula is kept from it by an apostrophe before it.
    """
    write_text(path, HEADER + "".join(map(to_line, ratings)))


def to_line(rating: Rating) -> str:
    """Give a rating's line in a CSV file.

    Raises
    ------
    InputError
        if it holds a NUL character, which no CSV file can.
    """
    cells = [getattr(rating, name) or "" for name in COLUMNS]
    if any("\0" in cell for cell in cells):
        raise InputError(f"the rating of {rating.item!r} by {rating.rater} holds a NUL character: correct the label")
    return _csv_line(map(_guarded, cells))


def _guarded(cell: str) -> str:
    return "'" + cell if _FORMULA.match(cell) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO(newline="")
    # With both ends of line in the terminator, a cell that has either is quoted.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"


HEADER: Final = _csv_line(COLUMNS)


def _read(file: Path) -> Iterator[tuple[int, Rating]]:
    """Give each rating of a file with its line number."""
    text = _text(file)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    last = text.count("\n") + 1
    while True:
        line = reader.line_num + 1
        torn = line == last and not text.endswith("\n")
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if torn and header is not None:
                return
            raise InputError(f"{file}, line {line}: is not CSV ({error}): correct its quotes") from error
        if not cells:
            continue
        if header is None:
            header = _checked_header(file, cells)
        elif len(cells) == len(header):
            yield line, _rating(f"{file}, line {line}", dict(zip(header, cells, strict=True)))
        elif not (torn and len(cells) < len(header)):
            raise InputError(f"{file}, line {line}: has {len(cells)} cells where the first line has {len(header)}")
    if header is None:
        raise InputError(f"{file} is empty: its first line must be {','.join(COLUMNS)}")


def _checked_header(file: Path, cells: list[str]) -> list[str]:
    missing = [name for name in COLUMNS if name not in cells and name != "time"]
    if missing or len(set(cells)) < len(cells):
        raise InputError(
            f"{file}, line 1: {'has no column ' + ', '.join(missing) if missing else 'has a column twice'}: the first "
            f"line must be {','.join(COLUMNS)} (time may be left out)"
        )
    return cells


def _rating(where: str, cells: Mapping[str, str]) -> Rating:
    values: dict[str, Any] = {name: _unguarded(cells.get(name, "")) for name in COLUMNS}
    try:
        return Rating(**values | {name: values[name] or None for name in ("q2", "q3", "other")})
    except InputError as error:
        raise InputError(f"{where}, {error}") from error


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InputError(f"{file} is larger than {MOST_BYTES // 10**6} MB: that is no file of ratings")
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before, bad = error.object[: error.start], error.object[error.start]
        if error.reason != "unexpected end of data" or error.end < len(error.object) or encoding == "utf-16":
            line = before.count(b"\n") + 1
            raise InputError(
                f"{file}, line {line}: byte 0x{bad:02X} is not UTF-8: save the file as CSV in UTF-8"
            ) from error
        # A letter of several bytes that a kill cut in two.
        text = before.decode(encoding)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InputError(f"{file}, line {line}: holds NUL bytes: it is damaged; save the file as CSV in UTF-8")
    return text
