"""The raters' files: one a rater, to which each answer is added at once."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Self

import filelock

from conceptbench.eval.rating.ratings import HEADER, Rating, read_ratings, to_line, write_ratings
from conceptbench.eval.rating.study import Study
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import writing_failed

_LONGEST_NAME = 40


class RaterLog:
    """A rater's file, open for writing only by this process, until `close` or the end of a `with` block.

    Raises
    ------
    InputError
        if the name is not allowed, another process has the file, or it cannot be read.
    """

    def __init__(self, study: Study, rater: str) -> None:
        self.rater = checked_rater(rater)
        self._path = study.ratings_folder / f"{self.rater}.csv"
        self._lock = filelock.FileLock(f"{self._path}.lock", timeout=0)
        try:
            study.ratings_folder.mkdir(exist_ok=True)
            self._lock.acquire()
        except filelock.Timeout as error:
            raise InputError(
                f"{self._path} is in use by another process: rate on the page that it serves, or stop it first"
            ) from error
        except OSError as error:
            raise writing_failed(self._path, error) from error
        try:
            self._mend()
            ratings, _ = study.ratings(self._path)
            self.ratings = {rating.item: rating for rating in ratings if rating.rater == self.rater}
        except BaseException:
            self.close()
            raise

    def save(self, ratings: Sequence[Rating]) -> None:
        """Add ratings to the file in one write; once this returns they outlast a kill.

        Raises
        ------
        ConceptBenchError
            if they cannot be written; then none is.
        """
        lines = "".join(map(to_line, ratings)).encode()
        try:
            # Unlike "ab", this does not make a new file, without a header, where somebody moved the old one away.
            with self._path.open("r+b", buffering=0) as file:
                end = file.seek(0, os.SEEK_END)
                try:
                    _write(file, lines)
                except OSError:
                    file.truncate(end)
                    raise
        except OSError as error:
            raise writing_failed(self._path, error) from error
        self.ratings |= {rating.item: rating for rating in ratings}

    def close(self) -> None:
        """Release the file, so that another process can open it."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mend(self) -> None:
        """Make sure that a line can be added: the columns are ours and the last line is whole."""
        content = self._path.read_bytes() if self._path.exists() else b""
        if not content.startswith(HEADER.encode()) or not content.endswith(b"\n"):
            write_ratings(self._path, read_ratings(self._path) if content else [])


def _write(file: RawIOBase, content: bytes) -> None:
    while content:
        content = content[file.write(content) or 0 :]
    os.fsync(file.fileno())


def checked_rater(name: str) -> str:
    """Check a rater's name, and give it in Unicode's composed form.

    Raises
    ------
    InputError
        if it is not 1 to 40 letters, digits, `-` and `_`.
    """
    composed = unicodedata.normalize("NFC", name)
    fits = all(letter in "-_" or unicodedata.category(letter)[0] in "LMN" for letter in composed)
    if not fits or not 1 <= len(composed) <= _LONGEST_NAME:
        raise InputError(f"rater {name!r}: give a name of 1 to {_LONGEST_NAME} letters, digits, - and _")
    return composed


def add_ratings(study: Study, file: Path) -> tuple[int, int]:
    """Add the ratings of a CSV file to the study; where a rater has rated an item before, the file's rating counts.

    Returns
    -------
    tuple of int
        the number added, and the number left out since they are of other labels or of items outside the plan.

    Raises
    ------
    InputError
        if the file has an error, or one of its raters is at work in another process; then nothing is added.
    """
    ratings, left_out = study.ratings(file)
    by_rater: defaultdict[str, list[Rating]] = defaultdict(list)
    for rating in ratings:
        by_rater[checked_rater(rating.rater)].append(replace(rating, rater=checked_rater(rating.rater)))
    added = 0
    with ExitStack() as stack:
        logs = [stack.enter_context(RaterLog(study, rater)) for rater in by_rater]
        for log in logs:
            new = [rating for rating in by_rater[log.rater] if log.ratings.get(rating.item) != rating]
            log.save(new)
            added += len(new)
    return added, left_out
