"""The options of the annotation task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from conceptbench.benchmark.lexicon import PURITIES, Split
from conceptbench.benchmark.prompts import DEFAULT_PROMPT, Unit
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.llm import public_name
from conceptbench.runtime.options import CHECKED, JudgeOptions, Option, Paths, Positive, split_commas

CONTROLS: Final = 30
"""Planted controls of each type by default: half of them select the judges, half measure them."""

GOLD: Final = "gold"
"""The value of `against` that has labels compared with the gold names."""

StudyName = Literal["prompt", "contexts", "unit", "k", "corpus", "refusals", "language"]

STORES: Final[Mapping[str, int]] = {
    "prompt": 0,
    "contexts": 1,
    "unit": 1,
    "k": 1,
    "corpus": 2,
    "refusals": 0,
    "language": 0,
}
"""The number of concept stores that each study takes; those that take none are on gold items."""


def public_annotator(system: str) -> str:
    """Name an annotator in files: of a path only the last part is kept.

    Examples
    --------
    >>> public_annotator("file:results/labels.csv"), public_annotator("lexical")
    ('file:labels.csv', 'lexical')
    """
    kind, colon, name = system.partition(":")
    if not colon:
        return system
    return f"file:{Path(name).name}" if kind == "file" else public_name(system)


def check_stores(study: str | None, stores: int) -> None:
    """Refuse a number of stores that a study does not take.

    Parameters
    ----------
    study : a name in `STORES`; None for a run without a study, which takes one store or none.

    Raises
    ------
    InputError
        if the study takes another number of stores.
    """
    if study is None:
        if stores > 1:
            raise InputError("--store: give one, or two with --study corpus")
    elif stores != STORES[study]:
        raise InputError(
            f"--study {study} takes {STORES[study] or 'no'} --store: `conceptbench list studies` says what it compares"
        )


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class AnnotationOptions(JudgeOptions):
    """The options of the annotation task."""

    annotator: Annotated[
        str,
        Option(
            "The system that names concepts: lexical, local:MODEL, openai:MODEL, file:LABELS (a file, or the folder of "
            "a store) or python:MODULE:CLASS.",
            metavar="SYSTEM",
            recorded=public_annotator,
        ),
    ]
    store: Annotated[
        Paths, Option("A concept store whose concepts are named instead of gold items; two of them for --study corpus.")
    ] = ()
    limit: Annotated[Positive | None, Option("Concepts, drawn by the seed; all by default.")] = None
    seed: Annotated[
        int, Option("The seed of items, controls, shuffles and intervals; another one gives fresh word lists.")
    ] = 0
    split: Annotated[
        Split, Option("The gold items: test, or dev to try prompts on. Planted controls are of the split not named.")
    ] = "test"
    purities: Annotated[
        tuple[Annotated[float, Field(ge=0.5, le=1)], ...],
        BeforeValidator(split_commas),
        Field(min_length=1),
        Option(
            "The shares, from 0.5 to 1, of the words of gold lists that belong to their concept.", metavar="SHARE,…"
        ),
    ] = PURITIES
    study: Annotated[
        StudyName | None,
        Option(
            "Ask under several conditions: prompt, contexts, unit, k, corpus, refusals, language (see `list studies`).",
            metavar="STUDY",
        ),
    ] = None
    prompt: Annotated[
        str,
        Option("The prompt that language models are asked with: a name (see `list prompts`) or your own .toml file."),
    ] = DEFAULT_PROMPT
    contexts: Annotated[
        int | None, Field(ge=0), Option("Sentences shown with the words.", default="as the prompt says")
    ] = None
    unit: Annotated[
        Unit | None,
        Option(
            "How words are listed: types lists each word once, tokens as often as it occurs.",
            default="as the prompt says",
        ),
    ] = None
    controls: Annotated[
        int, Field(ge=2), Option("Planted controls of each type, which the judges are calibrated on.", panel="Judges")
    ] = CONTROLS
    against: Annotated[
        str | None,
        Option(
            "Labels that raters compare the annotator's with: gold, or file:LABELS.",
            metavar="LABELS",
            recorded=public_annotator,
        ),
    ] = None
    ratings: Annotated[Path | None, Option("People's ratings of the labels: a CSV file, or a folder of them.")] = None
    encoder: Annotated[
        str | None,
        Option(
            "The encoder that tells words apart by the label.",
            metavar="MODEL",
            default="minilm; smollm2 for concepts of MiniLM",
        ),
    ] = None
    bertscore: Annotated[
        str | None, Option("An encoder to give BERTScore with, between label and gold name.", metavar="MODEL")
    ] = None

    def __post_init__(self) -> None:
        """Check options against each other."""
        check_stores(self.study, len(self.store))
        if self.against not in {None, GOLD} and not str(self.against).startswith("file:"):
            raise InputError(f"--against {self.against}: give gold, or file:<path>")
