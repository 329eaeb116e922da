"""JSON files from strangers, read strictly: bounded, finite, each key once."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from conceptbench.runtime.errors import InputError
from conceptbench.runtime.texts import shown

DEEPEST: Final = 12
LARGEST_NUMBER: Final = 2**63


def read_bytes(path: Path, largest: int) -> bytes:
    """Read a regular file that is no link, and not larger than `largest` bytes.

    Raises
    ------
    InputError
        if it is anything else; a pipe or a device is not even opened.
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path.name}: is no regular file")
        if status.st_size > largest:
            raise InputError(f"{path.name}: has {status.st_size:,} bytes, more than {largest:,}")
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror})") from error
    if len(content) > largest:
        raise InputError(f"{path.name}: has more than {largest:,} bytes")
    return content


def read_object(path: Path, largest: int) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InputError
        if it is too large or too deep, not JSON, no object, names a key twice, or holds a number that is not finite
        or too large.
    """
    content = read_bytes(path, largest)
    try:
        value = json.loads(
            content.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_once,
        )
        _check_depth(value, 0)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name}: is not JSON in UTF-8 ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path.name}: is no JSON object")
    return value


def texts_in(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Give every text in a JSON value, including the keys of objects, each with its path, such as `metrics.auroc`."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield f"a key of {where or 'the file'}", key
            yield from texts_in(part, f"{where}.{shown(key, 40)[1:-1]}" if where else shown(key, 40)[1:-1])
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from texts_in(part, f"{where}[{index}]")


def _refuse_constant(name: str) -> NoReturn:
    raise InputError(f"holds {name}; numbers must be finite")


def _finite(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise InputError(f"holds {text[:20]}; numbers must be finite")
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > LARGEST_NUMBER:
        raise InputError(f"holds the number {text[:20]}..., which is too large")
    return int(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise InputError("names a key twice")
    return content


def _check_depth(value: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise InputError(f"is nested more than {DEEPEST} deep")
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _check_depth(part, depth + 1)
