"""The groups of breakdowns, such as `purity=0.9`, `L03` or `semantic`: what they are groups of, and their order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

_NUMBER: Final = re.compile(r"(\d+(?:\.\d+)?)")
_LAYER: Final = re.compile(r"(.+-)?L\d+")
_CROSSED: Final = re.compile(r"(L\d+):(.+)")


def group_kind(group: str, known: Mapping[str, str]) -> str:
    """Tell what a group, or a condition of a study, is one of.

    Parameters
    ----------
    group : such as `purity=0.9`, whose name tells that it is one of `purity`.
    known : what a group is one of where its name does not tell: `Task.groups`.

    Examples
    --------
    >>> [group_kind(group, {"ward": "method"}) for group in ("ward", "purity=0.9", "L03", "semantic")]
    ['method', 'purity', 'layer', 'kind']
    """
    if group in known:
        return known[group]
    if "=" in group:
        return group.partition("=")[0]
    return "layer" if _LAYER.fullmatch(group) else "kind"


def bare(group: str) -> str:
    """Give a group's name, or a condition's, without what it is one of.

    Examples
    --------
    >>> bare("purity=0.9"), bare("semantic")
    ('0.9', 'semantic')
    """
    return group.partition("=")[2] or group


def natural(groups: Iterable[str]) -> list[str]:
    """Sort by name, numbers in them by their size.

    Examples
    --------
    >>> natural({"size=100+", "size=10-29", "size=1-9"})
    ['size=1-9', 'size=10-29', 'size=100+']
    """

    def key(group: str) -> list[float | str]:
        # Splitting by a pattern in brackets gives text and number by turns, so that like is compared with like.
        return [float(part) if i % 2 else part for i, part in enumerate(_NUMBER.split(group))]

    return sorted(sorted(groups), key=key)


def crossed(group: str) -> tuple[str, str] | None:
    """Split a group of a layer and something else; None where the group is no such.

    Examples
    --------
    >>> crossed("L03:semantic")
    ('L03', 'semantic')
    >>> crossed("L03")
    """
    match = _CROSSED.fullmatch(group)
    return (match[1], match[2]) if match is not None else None
