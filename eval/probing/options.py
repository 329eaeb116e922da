"""The options of the probing task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from conceptbench.runtime.options import CHECKED, Option, Positive


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ProbingOptions:
    """The options of the probing task."""

    store: Annotated[Path, Option("The concept store, with its vectors.")]
    layers: Annotated[str, Option("The layers: all, or numbers such as 0,3,6 or 2-5.")] = "all"
    model: Annotated[
        str | None,
        Option(
            "One of the store's models, where it has several; or the model's folder, where the name that the store has "
            "for it does not load."
        ),
    ] = None
    corpus: Annotated[
        str | None,
        Option(
            "The text in which gold concepts are looked for, in any form that `build` reads.",
            default="the gold lexicon's sentences",
        ),
    ] = None
    text_column: Annotated[str | None, Option("The column of a tabular corpus that holds its text.")] = None
    study: Annotated[
        Literal["k"] | None,
        Option(
            "A study; k cuts the merge trees at other numbers of clusters too, and compares labels with probes.",
            metavar="STUDY",
        ),
    ] = None
    limit: Annotated[
        Positive | None,
        Option(
            "Concepts to probe, drawn by the seed: of each split of the gold lexicon, and of each layer of the store; "
            "all by default."
        ),
    ] = None
    seed: Annotated[
        int, Option("The seed of splits, negatives, control labels, the permutation of vectors and intervals.")
    ] = 0
    c: Annotated[float, Field(gt=0), Option("The inverse strength of the probes' penalty.")] = 1.0
    l1_ratio: Annotated[
        float, Field(ge=0, le=1), Option("The share of the l1 penalty; 0 is an l2 penalty, 1 an l1 penalty.")
    ] = 0.0
    device: Annotated[str | None, Option("The torch device, such as cpu or cuda.", default="a GPU if there is one")] = (
        None
    )
