"""The names of the families of text modules, apart from what draws them, which takes longer to import."""

from __future__ import annotations

from typing import Final, Literal, get_args

DrawnFamily = Literal["lexical", "semantic", "pattern", "composed", "polysemantic", "noisy", "constant", "random"]
"""Families that are drawn from the gold lexicon; most of them with known answers."""

InnerFamily = Literal["neuron", "factor", "probe", "voxel"]
"""Families of modules inside models, and of voxels."""

Family = Literal[DrawnFamily, InnerFamily]

DRAWN_FAMILIES: Final[tuple[DrawnFamily, ...]] = get_args(DrawnFamily)
INNER_FAMILIES: Final[tuple[InnerFamily, ...]] = get_args(InnerFamily)
FILE_FAMILY: Final = "file"
"""The family of modules that are read from a file."""
