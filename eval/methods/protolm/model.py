"""Classifiers of texts: an encoder, a head, and the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import numpy as np
import torch

from conceptbench.eval.methods.protolm.heads import LinearHead, PrototypeHead
from conceptbench.eval.methods.protolm.saving import (
    CONFIG_FILE,
    SCHEMA,
    WEIGHTS_FILE,
    difference,
    read_config,
    read_tensors,
    write_tensors,
)
from conceptbench.eval.methods.protolm.tokens import LiveTokens, Text, TokenEncoder, Tokens, TokenSource, batches
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import write_json

H = TypeVar("H", LinearHead, PrototypeHead)


class Readings(NamedTuple):
    """The outputs of a classifier for texts: float32 arrays of the shapes of `heads.Reading`."""

    logits: np.ndarray
    pooled: np.ndarray
    similarities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The class of each text, int64 of shape (texts,)."""
        classes: np.ndarray = self.logits.argmax(axis=1)
        return classes


class Classifier(Generic[H]):
    """An encoder, a head, and the names of the classes; see `PrototypeClassifier` and `LinearClassifier`.

    Parameters
    ----------
    encoder : a tuned classifier changes its weights, so that it must not be shared with another classifier.
    head : reads the encoder's token vectors.
    labels : the classes' names, two or more.
    tuned : whether the encoder is trained too.

    Raises
    ------
    InputError
        if there are fewer than two classes.
    """

    head_type: ClassVar[Any]

    def __init__(self, encoder: TokenEncoder, head: H, labels: Sequence[str], *, tuned: bool = False) -> None:
        if len(labels) < 2:
            raise InputError(f"{len(labels)} class: a classifier needs two or more")
        self.encoder, self.labels, self.tuned = encoder, list(labels), tuned
        self.head: H = head.to(encoder.device)
        encoder.network.requires_grad_(tuned)

    @classmethod
    def new(
        cls, encoder: TokenEncoder, labels: Sequence[str], config: Any = None, *, seed: int = 0, tuned: bool = False
    ) -> Self:
        """Make an untrained classifier; `config` is a LinearConfig or PrototypeConfig."""
        head = cls.head_type(encoder.width, len(labels), config or cls.head_type.config_type(), seed)
        return cls(encoder, head, labels, tuned=tuned)

    def texts(self, texts: Sequence[Text]) -> TokenSource:
        """Make a source of texts that are encoded when they are read."""
        return LiveTokens(self.encoder, self.encoder.read(texts))

    def read(self, source: TokenSource | Sequence[Tokens]) -> Readings:
        """Read texts in batches of like length, without gradients."""
        source = LiveTokens(self.encoder, source) if isinstance(source, Sequence) else source
        prototypes = self.head.owner.numel() if isinstance(self.head, PrototypeHead) else 0
        readings = Readings(
            np.zeros((len(source), len(self.labels)), dtype=np.float32),
            np.zeros((len(source), self.encoder.width), dtype=np.float32),
            np.zeros((len(source), prototypes), dtype=np.float32),
        )
        with torch.inference_mode():
            for rows in batches(source.lengths):
                reading = self.head(source.batch(rows))
                readings.logits[rows] = reading.logits.cpu().numpy()
                readings.pooled[rows] = reading.pooled.cpu().numpy()
                readings.similarities[rows] = reading.similarities.cpu().numpy()
        return readings

    def attention(self, tokens: Sequence[Tokens]) -> list[np.ndarray]:
        """Give the attention to each text's tokens, special ones left out: float32 arrays (tokens,) of sum 1."""
        source = LiveTokens(self.encoder, tokens)
        attention = [np.zeros(0, dtype=np.float32)] * len(tokens)
        with torch.inference_mode():
            for rows in batches(source.lengths):
                batch = source.batch(rows)
                weights = self.head.pooling(batch)[1].cpu().numpy()
                for row, padded, mask in zip(rows, weights, batch.mask.cpu().numpy(), strict=True):
                    attention[row] = padded[mask]
        return attention

    def predict(self, texts: Sequence[Text]) -> list[str]:
        """Give the name of each text's class."""
        return [self.labels[number] for number in self.read(self.texts(texts)).predicted]

    def weights(self) -> dict[str, torch.Tensor]:
        """Give what is saved: the head's weights, and the encoder's if it is tuned."""
        weights = {f"head.{name}": value for name, value in self.head.state_dict().items()}
        if self.tuned:
            weights |= {f"encoder.{name}": value for name, value in self.encoder.network.state_dict().items()}
        return weights

    def load_weights(self, weights: dict[str, torch.Tensor], where: Path) -> None:
        """Load weights that the method `weights` gave; `where` is the file that errors name.

        Raises
        ------
        InputError
            if they are those of a model of another shape.
        """
        expected = self.weights()
        wrong = [
            name
            for name in expected.keys() | weights.keys()
            if name not in expected or name not in weights or expected[name].shape != weights[name].shape
        ]
        if wrong:
            raise InputError(f"{where}: {difference(min(wrong), expected, weights)}; it is of a model of another shape")
        with torch.no_grad():
            for name, value in expected.items():
                value.copy_(weights[name])

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors`; a frozen encoder's weights are named, not copied."""
        path = Path(folder)
        owner = self.head.owner.tolist() if isinstance(self.head, PrototypeHead) else None
        write_tensors(path / WEIGHTS_FILE, self.weights())
        write_json(
            path / CONFIG_FILE,
            {
                "schema": SCHEMA,
                "kind": self.head.kind,
                "model": self.encoder.name,
                "revision": self.encoder.revision,
                "width": self.encoder.width,
                "max_length": self.encoder.max_length,
                "tuned": self.tuned,
                "labels": self.labels,
                "head": asdict(self.head.config),
                "owner": owner,
            },
        )

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, encoder: TokenEncoder | None = None, device: str | None = None
    ) -> Self:
        """Read a classifier that `save_pretrained` wrote.

        Parameters
        ----------
        encoder : the one that it was trained with, if it is loaded already or has moved; by default the one that its
            config names is loaded.
        device : torch's, of the encoder that is loaded.

        Raises
        ------
        InputError
            if the folder holds no such classifier, one of another kind or shape, or one of another encoder.
        """
        path = Path(folder)
        config = read_config(path / CONFIG_FILE, cls.head_type)
        encoder = encoder or TokenEncoder(config["model"], max_length=config["max_length"], device=device)
        for name in ("revision", "width", "max_length"):
            if getattr(encoder, name) != config[name]:
                raise InputError(
                    f"{path}: made with the encoder {config['model']} of {name} {config[name]}, and {encoder.name} has "
                    f"{getattr(encoder, name)}; give the encoder that it was made with"
                )
        head_config = cls.head_type.config_type(**config["head"])
        extra = {} if config["owner"] is None else {"owner": config["owner"]}
        head = cls.head_type(encoder.width, len(config["labels"]), head_config, **extra)
        classifier = cls(encoder, head, config["labels"], tuned=config["tuned"])
        classifier.load_weights(read_tensors(path / WEIGHTS_FILE), path / WEIGHTS_FILE)
        return classifier


class LinearClassifier(Classifier[LinearHead]):
    """The baseline: an encoder and a linear head over the same attention pooling."""

    head_type = LinearHead


class PrototypeClassifier(Classifier[PrototypeHead]):
    """Proto-lm: an encoder and a prototype head."""

    head_type = PrototypeHead

    def with_prototypes(
        self, prototypes: torch.Tensor, weights: torch.Tensor, owner: torch.Tensor | None = None
    ) -> PrototypeClassifier:
        """Make a classifier of the same encoder and pooling with other prototypes.

        Parameters
        ----------
        prototypes : float32 of shape (prototypes, width).
        weights : float32 of shape (classes, prototypes).
        owner : int64 of shape (prototypes,): each prototype's class; by default as they are.
        """
        owners = self.head.owner if owner is None else owner
        head = PrototypeHead(self.encoder.width, len(self.labels), self.head.config, owner=owners.tolist())
        state = self.head.state_dict()
        state |= {"prototypes": prototypes, "classes.weight": weights, "owner": owners}
        head.load_state_dict(state)
        return PrototypeClassifier(self.encoder, head, self.labels, tuned=self.tuned)
