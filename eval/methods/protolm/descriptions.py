"""The file in which a classifier stores what its prototypes stand for: class, name and nearest training texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from conceptbench.eval.methods.protolm.explaining import Neighbour
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import write_json

PROTOTYPES_FILE: Final = "prototypes.json"
SCHEMA: Final = "conceptbench.prototypes-said/1"


@dataclass(frozen=True)
class PrototypeDescription:
    """What a prototype of a classifier stands for.

    Attributes
    ----------
    label : its class.
    used : whether it is the first reason of a decision on some training text.
    name : SASC's, in words; None where it has none.
    score, p : those of the name, see `methods.sasc.candidates.Candidate`.
    nearest : the training texts that are most similar to it, most similar first.
    """

    label: str
    used: bool
    name: str | None
    score: float | None
    p: float | None
    nearest: Sequence[Neighbour]

    def to_json(self) -> dict[str, Any]:
        """Give the description as it is written to the file."""
        return {**asdict(self), "nearest": [neighbour._asdict() for neighbour in self.nearest]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PrototypeDescription:
        """Read a description as it is in the file; a TypeError or KeyError where it is of another shape."""
        nearest = [
            Neighbour(**{**row, "text": row["text"] if isinstance(row["text"], str) else tuple(row["text"])})
            for row in content["nearest"]
        ]
        return cls(**{**content, "nearest": nearest})


def write_descriptions(folder: Path, descriptions: Sequence[PrototypeDescription]) -> None:
    """Write the descriptions of a classifier's prototypes beside its weights."""
    rows = [description.to_json() for description in descriptions]
    write_json(folder / PROTOTYPES_FILE, {"schema": SCHEMA, "prototypes": rows})


def read_descriptions(folder: Path, prototypes: int) -> list[PrototypeDescription]:
    """Read what `write_descriptions` wrote.

    Parameters
    ----------
    folder : of the classifier.
    prototypes : how many prototypes the classifier has.

    Raises
    ------
    InputError
        if the file is missing, damaged, or of another number of prototypes.
    """
    path = folder / PROTOTYPES_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise InputError(f"{path}: not of this version ({SCHEMA})")
        descriptions = [PrototypeDescription.from_json(row) for row in content["prototypes"]]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give the folder `classifier` of a prototypes run") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); run `eval prototypes` again") from error
    if len(descriptions) != prototypes:
        raise InputError(f"{path}: is of {len(descriptions)} prototypes, and the classifier has {prototypes}")
    return descriptions
