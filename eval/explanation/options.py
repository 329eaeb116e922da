"""The options of the explanation task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from conceptbench.benchmark.module_families import DRAWN_FAMILIES, INNER_FAMILIES, Family
from conceptbench.eval.methods.sasc.parameters import FEWEST_STRINGS, STRINGS
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.llm import public_name
from conceptbench.runtime.models import MINILM
from conceptbench.runtime.options import CHECKED, JudgeOptions, Option, Positive, public_url, split_commas

Setting = Literal["default", "restricted", "noisy"]
SETTINGS: Final[tuple[Setting, ...]] = get_args(Setting)

MODULES: Final = 5
"""Modules that are drawn of each family by default."""

MODULES_PANEL: Final = "Modules"

_IN_LAYERS: Final = ("neuron", "factor", "probe")
_READERS: Final[dict[str, tuple[str, ...]]] = {
    "model": _IN_LAYERS,
    "layer": _IN_LAYERS,
    "corpus": INNER_FAMILIES,
    "responses": ("voxel",),
}
"""The families that read an option, by the option's name."""


def public_model(model: str) -> str:
    """Name an encoder in files: of a folder only its own name is kept."""
    path = Path(model)
    return path.resolve().name if path.is_dir() else model


def public_corpus(corpus: str) -> str:
    """Name a corpus in files: of a file only its own name is kept, and of an address nothing that may be secret."""
    if "://" in corpus:
        return public_url(corpus)
    return Path(corpus).name if Path(corpus).is_file() else corpus


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ExplanationOptions(JudgeOptions):
    """The options of the explanation task."""

    helper: Annotated[
        str | None,
        Option(
            "The language model that summarises n-grams and writes test strings: local:MODEL, openai:MODEL.",
            metavar="SYSTEM",
            recorded=public_name,
        ),
    ] = None
    explainer: Annotated[
        str,
        Option(
            "What explains: sasc, which needs a helper; a baseline, ngram (a module's strongest n-gram) or tfidf (the "
            "most typical word of its strongest n-grams); or a class of yours, python:MODULE:CLASS.",
            metavar="EXPLAINER",
        ),
    ] = "sasc"
    settings: Annotated[
        tuple[Setting, ...],
        BeforeValidator(split_commas),
        Field(min_length=1),
        Option(
            "The settings under which modules are explained: default; restricted (only n-grams that the corpus of the "
            "next module has too); noisy (noise on the responses to n-grams, of three standard deviations of the 100 "
            "strongest).",
            metavar="SETTING,…",
        ),
    ] = ("default",)
    repeats: Annotated[Positive, Option("Runs of each module and setting, which differ in what they draw.")] = 1
    strings: Annotated[
        int,
        Field(ge=FEWEST_STRINGS),
        Option("Test strings that the helper writes for an explanation: so many that fit it, and as many that do not."),
    ] = STRINGS
    max_ngrams: Annotated[
        Positive | None, Option("N-grams of each corpus at most, drawn by the seed; all by default.")
    ] = None
    limit: Annotated[Positive | None, Option("Modules that are explained, in their order; all by default.")] = None
    seed: Annotated[int, Option("The seed of modules, n-grams, summaries, noise and intervals.")] = 0
    records: Annotated[
        Path | None,
        Option(
            "A Parquet file of published runs that are scored instead of an explainer, by the patterns of the answers "
            "alone; --modules names the file of their answers.",
        ),
    ] = None
    plain_patterns: Annotated[
        bool,
        Option(
            "Take an explanation to be right where the answer's pattern is found in it, without the guard against "
            "explanations that say too much."
        ),
    ] = False
    encoder: Annotated[
        str,
        Option("The encoder of modules that embed texts, and of explanation_similarity.", metavar="MODEL"),
    ] = MINILM
    bertscore: Annotated[
        str | None,
        Option(
            "An encoder by which BERTScore is given too, of explanations against the answer's keyword and sentence.",
            metavar="MODEL",
        ),
    ] = None
    modules: Annotated[
        Path | None,
        Option(
            "A file of modules, with their corpora beside it; without it, modules are drawn from the gold lexicon.",
            panel=MODULES_PANEL,
        ),
    ] = None
    families: Annotated[
        tuple[Family, ...],
        BeforeValidator(split_commas),
        Field(min_length=1),
        Option(
            "The families of drawn modules, see `list modules`; neuron, factor, probe and voxel are drawn only if they "
            "are named.",
            metavar="FAMILY,…",
            panel=MODULES_PANEL,
        ),
    ] = DRAWN_FAMILIES
    count: Annotated[Positive, Option("Modules that are drawn of each family.", panel=MODULES_PANEL)] = MODULES
    model: Annotated[
        str | None,
        Option(
            "The encoder that neurons, factors and probes lie in.",
            metavar="MODEL",
            default=MINILM,
            panel=MODULES_PANEL,
            recorded=public_model,
        ),
    ] = None
    layer: Annotated[
        int | None,
        Field(ge=0),
        Option(
            "The layer of the model that neurons, factors and probes lie in; 0 is that of the embeddings.",
            default="half the model's depth",
            panel=MODULES_PANEL,
        ),
    ] = None
    corpus: Annotated[
        str | None,
        Option(
            "The texts, as in `build`, whose words factors and probes are learned from, and whose n-grams explain "
            "neurons, factors, probes and voxels.",
            default="the texts of the gold lexicon",
            panel=MODULES_PANEL,
            recorded=public_corpus,
        ),
    ] = None
    text_column: Annotated[
        str | None, Option("The column of a tabular corpus that has its text.", panel=MODULES_PANEL)
    ] = None
    responses: Annotated[
        Path | None,
        Option(
            "Recorded responses of voxels (.npz, .h5), of which the best predicted voxels are explained instead of "
            "made-up ones.",
            panel=MODULES_PANEL,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse options that do not go together.

        Raises
        ------
        InputError
            if that is so.
        """
        if self.records is None and self.explainer == "sasc" and self.helper is None:
            raise InputError("--helper: name the LLM that summarises, such as local:smollm2 or openai:MODEL")
        families = set(self.families) if self.modules is None and self.records is None else set()
        for name, readers in _READERS.items():
            value = getattr(self, name)
            if value is not None and not families & set(readers):
                raise InputError(f"--{name} {value}: it is for --families {', '.join(readers)}")
        if self.text_column is not None and self.corpus is None:
            raise InputError(f"--text-column {self.text_column}: it goes with --corpus")

    @property
    def judge_server(self) -> str | None:
        """The server of `openai:` judges."""
        return self.judge_base_url or self.base_url


def folder_name(options: ExplanationOptions) -> str:
    """Name the default result folder by the published runs, the helper, or the explainer."""
    if options.records is not None:
        return options.records.stem
    return options.helper if options.explainer == "sasc" and options.helper else options.explainer
