"""The private split: gold items drawn with a seed that a board commits to in advance and publishes afterwards."""

from __future__ import annotations

import datetime
import hashlib
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from conceptbench.leaderboard.documents import read_object
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import write_json
from conceptbench.runtime.texts import shown

SPLITS_FILE: Final = "splits.json"
SPLITS_SCHEMA: Final = "conceptbench.splits/1"
DRAWN_SCHEMA: Final = "conceptbench.split/1"

_LARGEST = 1 << 20
_SEEDS = 2**31


@dataclass(frozen=True)
class Split:
    """A private split.

    Attributes
    ----------
    date : the day on which it was drawn.
    commitment : to its seed, see `commitment_to`.
    seed, salt : None until they are published.
    """

    date: str
    commitment: str
    seed: int | None = None
    salt: str | None = None


def commitment_to(seed: int, salt: str) -> str:
    """Give the SHA-256 of `<seed>:<salt>`, in hex.

    The seed cannot be found from it, and no other seed gives the same one.

    Examples
    --------
    >>> commitment_to(831, "salt")[:12]
    '031da8f91fbc'
    """
    return hashlib.sha256(f"{seed}:{salt}".encode()).hexdigest()


def draw_split(root: Path, secret: Path) -> Split:
    """Draw a seed, write it to a secret file, and the commitment to it to the board's `splits.json`.

    Raises
    ------
    InputError
        if the secret would lie in the board's folder, or the file exists.
    """
    if secret.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{secret} lies in the board's folder, which is published: keep it elsewhere")
    if secret.exists():
        raise InputError(f"{secret} is there already: it may be the only copy of a seed; give another name")
    splits = _read(root)
    seed, salt = secrets.randbelow(_SEEDS), secrets.token_hex(32)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    split = Split(today, commitment_to(seed, salt))
    write_json(secret, {"schema": DRAWN_SCHEMA, **asdict(split), "seed": seed, "salt": salt})
    secret.chmod(0o600)
    _write(root, [*splits, split])
    return split


def publish_split(root: Path, secret: Path) -> Split:
    """Publish the seed of a secret file in the board's `splits.json`.

    Raises
    ------
    InputError
        if the file is no secret of a split, or the board never committed to it.
    """
    content = read_object(secret, _LARGEST)
    seed, salt = content.get("seed"), content.get("salt")
    if content.get("schema") != DRAWN_SCHEMA or not isinstance(seed, int) or not isinstance(salt, str):
        raise InputError(f"{secret} is not the secret file of a split")
    commitment = commitment_to(seed, salt)
    splits = _read(root)
    if commitment not in {split.commitment for split in splits}:
        raise InputError(f"{secret}: the board never committed to this seed (commitment {commitment[:16]})")
    published = [
        Split(split.date, split.commitment, seed, salt) if split.commitment == commitment else split for split in splits
    ]
    _write(root, published)
    return next(split for split in published if split.commitment == commitment)


def read_splits(root: Path) -> list[Split]:
    """Give the splits of a board, latest first.

    Raises
    ------
    InputError
        if its `splits.json` is wrong, or a published seed does not fit its commitment.
    """
    return _read(root)[::-1]


def _read(root: Path) -> list[Split]:
    path = root / SPLITS_FILE
    if not path.exists():
        return []
    content = read_object(path, _LARGEST)
    try:
        if content["schema"] != SPLITS_SCHEMA:
            raise InputError(f"{path}: is not of this version ({SPLITS_SCHEMA})")
        splits = [Split(**fields) for fields in content["splits"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: is not a list of splits ({shown(str(error))})") from error
    for split in splits:
        if split.seed is not None and commitment_to(split.seed, str(split.salt)) != split.commitment:
            raise InputError(f"{path}: the seed published for {split.date} is not the one that was committed to")
    return splits


def _write(root: Path, splits: list[Split]) -> None:
    write_json(root / SPLITS_FILE, {"schema": SPLITS_SCHEMA, "splits": [asdict(split) for split in splits]})
