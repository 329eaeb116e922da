"""The options of the neurons task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from conceptbench.eval.methods.neurons.choices import CONTROLS, FRACTION, Method
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.options import CHECKED, Option, Positive, split_commas

Source = Literal["tree", "labels", "lexicon"]
"""Where super- and sub-concepts are from."""

ABLATED: Final = 60

FACTORS: Final = (0.25, 0.5, 1.0, 2.0)
"""The default numbers of concepts of the study `k`: these times the number that the layer has."""

Sources = Annotated[tuple[Source, ...], BeforeValidator(split_commas), Field(min_length=1)]
Cuts = Annotated[tuple[Annotated[int, Field(ge=2)], ...], BeforeValidator(split_commas), Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class NeuronsOptions:
    """The options of the neurons task."""

    store: Annotated[Path, Option("The concept store; it must have its vectors and merge trees.")]
    layers: Annotated[str, Option("The layers: all, or numbers such as 0,3,6 or 2-5.")] = "all"
    model: Annotated[str | None, Option("One of the store's models, where it has several.")] = None
    method: Annotated[
        Method, Option("The ranking of neurons that headline metrics of ablation are of; all rankings are recorded.")
    ] = "probeless"
    pairs: Annotated[
        Sources,
        Option(
            "Where pairs of super- and sub-concepts are from: tree, labels, lexicon. Headline metrics are of the "
            "first.",
            metavar="SOURCE,…",
        ),
    ] = get_args(Source)
    fraction: Annotated[float, Field(gt=0, le=1), Option("The share of the neurons that count as top.")] = FRACTION
    controls: Annotated[Positive, Option("Unrelated concepts that each pair is compared with, at most.")] = CONTROLS
    ablated: Annotated[
        Positive, Option("Concepts of each layer whose neurons are ablated, at most; they are drawn by the seed.")
    ] = ABLATED
    study: Annotated[
        Literal["k"] | None,
        Option("A study; k also aligns the concepts of other cuts of the merge tree.", metavar="STUDY"),
    ] = None
    ks: Annotated[
        Cuts | None,
        Option(
            "The numbers of concepts that --study k cuts the merge tree into.",
            metavar="K,…",
            default="1/4, 1/2, 1 and 2 times the store's",
        ),
    ] = None
    limit: Annotated[
        Positive | None,
        Option(
            "Pairs of each source and layer, and ablated concepts of each layer, at most; they are drawn by the seed. "
            "All by default."
        ),
    ] = None
    seed: Annotated[int, Option("The seed of every draw and of the intervals.")] = 0
    device: Annotated[
        str | None, Option("The torch device that probes are fitted on.", default="a GPU if there is one")
    ] = None

    def __post_init__(self) -> None:
        """Check what no single option can show."""
        if len(set(self.pairs)) < len(self.pairs):
            raise InputError(f"--pairs {','.join(self.pairs)}: give each source once")
        if self.ks is not None and self.study is None:
            raise InputError("--ks: the numbers of concepts are for --study k; give both or neither")

    @property
    def ablated_at_most(self) -> int:
        """The number of concepts of a layer that are ablated, within the limit."""
        return self.ablated if self.limit is None else min(self.ablated, self.limit)
