"""Figures that papers report. A board shows them beside its tables and never ranks them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Figure:
    """What a paper reports of a system on a task: the value of each metric, and the source."""

    name: str
    task: str
    source: str
    metrics: Mapping[str, float]


@cache
def reported_figures() -> Sequence[Figure]:
    """Load the packaged figures."""
    text = (files("conceptbench.leaderboard") / "reported.toml").read_text(encoding="utf-8")
    return tuple(Figure(**figure) for figure in tomllib.loads(text)["figure"])
