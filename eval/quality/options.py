"""The options of the quality task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from conceptbench.runtime.options import CHECKED, Names, Option, Positive

THRESHOLD: Final = 0.95


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class QualityOptions:
    """The options of the quality task."""

    store: Annotated[Path, Option("The folder of the concept store.")]
    layers: Annotated[str, Option("The layers: all, or numbers such as 0,3,6 or 2-5.")] = "all"
    model: Annotated[str | None, Option("One of the store's models, where it has several.")] = None
    threshold: Annotated[
        float,
        Field(gt=0, le=1),
        Option("The share of a cluster's tokens that must belong to a gold concept for the cluster to be aligned."),
    ] = THRESHOLD
    methods: Annotated[
        Names,
        Option(
            "How tokens are clustered, at equal K: ward, kmeans, leaders; the last two need vectors. Headline metrics "
            "are of the store's own method, or of the first where it is not among them.",
            metavar="METHOD,…",
            default="the store's own",
        ),
    ] = ()
    study: Annotated[
        Literal["k"] | None,
        Option("A study; k cuts the merge trees at other numbers of clusters too.", metavar="STUDY"),
    ] = None
    limit: Annotated[
        Positive | None,
        Option(
            "Clusters of each clustering, drawn by the seed over all layers; all by default. With it there is no "
            "coverage and no ami."
        ),
    ] = None
    seed: Annotated[int, Option("The seed of k-means, shuffles, draws and intervals.")] = 0
