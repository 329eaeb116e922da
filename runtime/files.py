"""Files that are either whole or absent, and their digests."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from conceptbench.runtime.errors import ConceptBenchError

_TEMPORARY = "journal-part-"


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; move it into place when the block ends well.

    Temporaries are named `journal-part-*`, so that one left by a kill is never taken for data.

    Raises
    ------
    ConceptBenchError
        if the folder cannot be written to, or the disk is full.
    """
    temporary = path.with_name(f"{_TEMPORARY}{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise writing_failed(path, error) from error
        raise


def writing_failed(path: Path, error: OSError) -> ConceptBenchError:
    """Turn an error of the operating system into one that says what to do."""
    reason = error.strerror or str(error)
    return ConceptBenchError(
        f"cannot write {path}: {reason}. What was done so far is kept: make room or give a folder you can "
        "write to, and run the same command again."
    )


def write_text(path: Path, text: str) -> None:
    """Write a text file; a failure leaves no part of it."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file; a failure leaves no part of it."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed run left half-written below `folder`."""
    for path in folder.rglob(f"{_TEMPORARY}*"):
        path.unlink(missing_ok=True)


def sha256(*paths: Path) -> str:
    """Give the hex SHA-256 of the files' bytes, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
