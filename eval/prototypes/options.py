"""The options of the prototypes task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from conceptbench.eval.methods.protolm.settings import (
    MAX_LENGTH,
    SHORTEST_MAX_LENGTH,
    PrototypeConfig,
    Start,
    Training,
)
from conceptbench.eval.prototypes.ready import SETTINGS
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.llm import KINDS, parse_system, public_name
from conceptbench.runtime.models import MINILM
from conceptbench.runtime.options import CHECKED, LLMOptions, Names, Numbers, Option, Positive, Texts

FORM: Final = "file"
"""The kind of a simulator whose answers are read from a form: `file:<path>`."""

_CONFIG, _TRAINING = PrototypeConfig(), Training()
_TRAINING_PANEL = "Training"

_Rate = Annotated[float, Field(gt=0)]


def public_model(model: str) -> str:
    """Name an encoder in files: of a folder only its last part.

    Examples
    --------
    >>> public_model("minilm")
    'minilm'
    """
    return public_name(f"local:{model}").partition(":")[2]


def public_simulator(simulator: str) -> str:
    """Name a simulator in files: of a form only the file's name.

    Examples
    --------
    >>> public_simulator("file:answers/simulation.csv")
    'file:simulation.csv'
    """
    kind, name = parse_system(simulator)
    return f"{kind}:{Path(name).name}" if kind == FORM else public_name(simulator)


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class PrototypesOptions(LLMOptions):
    """The options of the prototypes task."""

    dataset: Annotated[
        str,
        Option(
            "The texts and their classes: a .csv or .parquet file, a Hub dataset ID or hf:ID[:CONFIG[:SPLIT]], or one "
            f"of the ready settings {', '.join(SETTINGS)}, which have columns and a test split of their own.",
            metavar="DATA",
        ),
    ]
    text_columns: Annotated[
        Texts,
        Option(
            "The column of the text. Give the option twice for pairs of sentences.",
            flag="--text-column",
            metavar="COLUMN",
        ),
    ] = ()
    label_column: Annotated[
        str | None, Option("The column of the class, with integers or strings.", metavar="COLUMN")
    ] = None
    model: Annotated[
        str, Option("The encoder: minilm, a folder or a Hub id.", metavar="MODEL", recorded=public_model)
    ] = MINILM
    tuned: Annotated[bool, Option("Train the encoder too, anew for every classifier.")] = False
    prototypes: Annotated[Positive, Option("The number of prototypes of each class.", short="-n")] = _CONFIG.prototypes
    nearest: Annotated[
        Positive,
        Option(
            "K: the loss draws a text towards the K nearest prototypes of its class, and away from the K most similar "
            "ones of other classes."
        ),
    ] = _CONFIG.nearest
    losses: Annotated[
        Numbers,
        Option("The weights of the loss's terms: cross-entropy, cohesion and separation.", metavar="L0,L1,L2"),
    ] = (_CONFIG.cross_entropy, _CONFIG.cohesion, _CONFIG.separation)
    folds: Annotated[
        int, Field(ge=2), Option("Folds of the cross-validation; a ready setting has a test split instead.")
    ] = 5
    repeats: Annotated[
        Positive, Option("Repeats of the cross-validation, or of the training where a ready setting is tested.")
    ] = 2
    margin: Annotated[
        float,
        Field(gt=0, lt=1),
        Option("The margin of the test of non-inferiority to the linear head, as a fraction of accuracy."),
    ] = 0.015
    study: Annotated[
        Literal["prototypes", "nearest", "losses"] | None,
        Option("A study trains variants too: with other N, with other K, or with other weights of the loss."),
    ] = None
    helper: Annotated[
        str | None,
        Option(
            "The language model that helps SASC to name prototypes: local:MODEL or openai:MODEL. Without it, no "
            "prototype is named.",
            metavar="SYSTEM",
            recorded=public_name,
        ),
    ] = None
    max_ngrams: Annotated[
        Positive, Option("N-grams at most that names of prototypes are made from, drawn by the seed.")
    ] = 5000
    simulators: Annotated[
        Names,
        Option(
            "Who predicts the classifier's answers: language models, or people by file:FORM, a filled-in "
            "simulation.csv.",
            metavar="SYSTEM,…",
            recorded=public_simulator,
        ),
    ] = ()
    asked: Annotated[Positive, Option("Texts that each simulator is asked about.")] = 60
    looked_at: Annotated[
        Positive, Option("Texts whose tokens are deleted, to test whether attention finds those that matter.")
    ] = 200
    limit: Annotated[
        Positive | None, Option("Texts at most, drawn by the seed in the classes' shares; all by default.")
    ] = None
    seed: Annotated[int, Option("The seed of every draw, of the training and of intervals.")] = _TRAINING.seed
    max_length: Annotated[int, Field(ge=SHORTEST_MAX_LENGTH), Option("Tokens that are read of a text.")] = MAX_LENGTH
    device: Annotated[str | None, Option("The device of torch, such as cpu or cuda.", default="a GPU if any")] = None

    attention: Annotated[
        Positive, Option("The width of the hidden layer that computes attention.", panel=_TRAINING_PANEL)
    ] = _CONFIG.attention
    length: Annotated[
        float,
        Field(gt=0),
        Option(
            "The root mean square length to which texts' vectors are scaled before distances are taken.",
            panel=_TRAINING_PANEL,
        ),
    ] = _CONFIG.length
    eps: Annotated[
        float,
        Field(gt=0),
        Option("What is added to a distance before similarity is taken as its inverse.", panel=_TRAINING_PANEL),
    ] = _CONFIG.eps
    epochs: Annotated[
        Positive,
        Option("Epochs at most; training ends when the dev part gets no better.", panel=_TRAINING_PANEL),
    ] = _TRAINING.epochs
    batch: Annotated[Positive, Option("Texts in a batch of the training.", panel=_TRAINING_PANEL)] = _TRAINING.batch
    rate: Annotated[_Rate, Option("The learning rate of attention and of the last layer.", panel=_TRAINING_PANEL)] = (
        _TRAINING.rate
    )
    prototype_rate: Annotated[_Rate, Option("The learning rate of prototypes.", panel=_TRAINING_PANEL)] = (
        _TRAINING.prototype_rate
    )
    encoder_rate: Annotated[_Rate, Option("The learning rate of a tuned encoder.", panel=_TRAINING_PANEL)] = (
        _TRAINING.encoder_rate
    )
    weight_decay: Annotated[
        float, Field(ge=0), Option("AdamW's weight decay, which prototypes are exempt from.", panel=_TRAINING_PANEL)
    ] = _TRAINING.weight_decay
    patience: Annotated[
        Positive,
        Option("Epochs without improvement on the dev part after which training ends.", panel=_TRAINING_PANEL),
    ] = _TRAINING.patience
    dev_share: Annotated[
        float,
        Field(ge=0, lt=1),
        Option(
            "The share of the training texts that is the dev part; with 0, all epochs are run.", panel=_TRAINING_PANEL
        ),
    ] = _TRAINING.dev_share
    start: Annotated[
        Start,
        Option(
            "Where prototypes start: at the centres of k-means over their class, or at training texts of it.",
            panel=_TRAINING_PANEL,
        ),
    ] = _TRAINING.start

    def __post_init__(self) -> None:
        """Check what concerns several options, and the names of systems.

        Raises
        ------
        InputError
            if one is wrong.
        """
        if len(self.losses) != 3:
            weights = ",".join(f"{weight:g}" for weight in self.losses)
            raise InputError(f"--losses {weights}: give three numbers, such as 1,0.01,0.01")
        self.config().check()
        if self.dataset in SETTINGS:
            if self.text_columns or self.label_column is not None:
                raise InputError(
                    f"--dataset {self.dataset}: a ready setting knows its columns; leave the column options out"
                )
        elif not self.text_columns or self.label_column is None:
            raise InputError(
                f"--dataset {self.dataset}: say which columns hold text and class: --text-column, --label-column"
            )
        elif len(self.text_columns) > 2:
            raise InputError(
                f"--text-column: give one column, or two for pairs of sentences, not {len(self.text_columns)}"
            )
        if self.helper is not None:
            _check_kind("--helper", self.helper, KINDS)
        for simulator in self.simulators:
            _check_kind("--simulators", simulator, (*KINDS, FORM))

    def config(self) -> PrototypeConfig:
        """Give the shape and the loss of Proto-lm's head."""
        cross_entropy, cohesion, separation = self.losses
        return PrototypeConfig(
            prototypes=self.prototypes,
            nearest=self.nearest,
            cross_entropy=cross_entropy,
            cohesion=cohesion,
            separation=separation,
            attention=self.attention,
            length=self.length,
            eps=self.eps,
        )

    def training(self) -> Training:
        """Give the settings of the training."""
        return Training(
            epochs=self.epochs,
            batch=self.batch,
            rate=self.rate,
            prototype_rate=self.prototype_rate,
            encoder_rate=self.encoder_rate,
            weight_decay=self.weight_decay,
            patience=self.patience,
            dev_share=self.dev_share,
            start=self.start,
            seed=self.seed,
        )


def _check_kind(flag: str, system: str, kinds: tuple[str, ...]) -> None:
    kind, _ = parse_system(system)
    if kind not in kinds:
        raise InputError(f"{flag} {system}: give {' or '.join(f'{known}:…' for known in kinds)}")
