"""Random draws that are seeded by their purpose and ids: equal parts give equal draws, in any order of calls."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def generator_of(*parts: object) -> np.random.Generator:
    """Make a generator from the text of its parts, such as a purpose, a seed and an item's id."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def sample(values: Sequence[T], count: int, generator: np.random.Generator) -> list[T]:
    """Draw at most `count` of the values without replacement, in random order."""
    return [values[i] for i in generator.permutation(len(values))[:count]]
