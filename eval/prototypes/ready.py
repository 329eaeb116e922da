"""The ready settings: datasets of the Hub whose columns and test split are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Setting:
    """A dataset of the Hub, and how it is read.

    Attributes
    ----------
    id, config : of the dataset on the Hub.
    text_columns : one column, or two for pairs of sentences.
    label_column : the column of the class.
    train, test : the splits that classifiers are trained and tested on.
    classes : names of the label numbers, where the dataset itself gives none.
    """

    id: str
    config: str | None
    text_columns: tuple[str, ...]
    label_column: str
    train: str
    test: str
    classes: tuple[str, ...]


_ENTAILMENT: Final = ("entailment", "not_entailment")
SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        "sst2": Setting(
            "stanfordnlp/sst2", None, ("sentence",), "label", "train", "validation", ("negative", "positive")
        ),
        "sst5": Setting(
            "SetFit/sst5", None, ("text",), "label", "train", "test",
            ("very negative", "negative", "neutral", "positive", "very positive"),
        ),
        "qnli": Setting("nyu-mll/glue", "qnli", ("question", "sentence"), "label", "train", "validation", _ENTAILMENT),
        "mnli": Setting(
            "nyu-mll/glue", "mnli", ("premise", "hypothesis"), "label", "train", "validation_matched",
            ("entailment", "neutral", "contradiction"),
        ),
        "wnli": Setting(
            "nyu-mll/glue", "wnli", ("sentence1", "sentence2"), "label", "train", "validation",
            ("not_entailment", "entailment"),
        ),
        "rte": Setting("nyu-mll/glue", "rte", ("sentence1", "sentence2"), "label", "train", "validation", _ENTAILMENT),
        "imdb": Setting("stanfordnlp/imdb", None, ("text",), "label", "train", "test", ("neg", "pos")),
    }
)  # fmt: skip
"""Ready settings by name. The test split is the one whose labels are public."""
