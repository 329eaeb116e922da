"""Proto-lm: a classifier that decides by how near a text is to learned prototypes (Xie, Vosoughi, Hassanpour 2023).

A text's token vectors h are pooled by attention (section 3.1 of arXiv 2311.01732), x = Σ aᵢ·hᵢ with

    a = softmax(v·tanh(M·h + b)),                                                                       (1)

and x is standardised: each entry to mean 0 and variance 1 over the training texts under plain mean pooling, which is
where attention starts. The similarity to prototype p is

    s = 1 / (d + eps),   d = length/√width · ‖x - p‖,                                                    (2)

so that `length` is the root mean square length of the vectors that distances are taken between. Logits are the
similarities times a matrix without bias, which starts at +1 for a prototype's own class and -0.5 for the others.

**The loss** is l0·cross-entropy + l1·cohesion + l2·separation, means over the batch:

- cohesion = minus the mean similarity to the K *nearest* prototypes of the text's own class: making it smaller pulls
  them together;
- separation = the mean similarity to the K most similar prototypes of *other* classes: making it smaller pushes them
  apart.

The authors' published code adds own-class similarity as a cost and subtracts other-class similarity, the reverse of
the paper's purpose, and takes the K *least* similar own prototypes. Here both terms do what the paper says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, NamedTuple, Self, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from conceptbench.eval.methods.protolm.tokens import Batch, LiveTokens, Text, TokenEncoder, Tokens, TokenSource, batches
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import whole, write_json

SCHEMA: Final = "conceptbench.prototypes/1"
CONFIG_FILE: Final = "config.json"
WEIGHTS_FILE: Final = "model.safetensors"

_OWN, _OTHER = 1.0, -0.5


class Reading(NamedTuple):
    """What a head makes of a batch.

    `logits` has shape (texts, classes), `pooled` (texts, width), `attention` (texts, longest), and `similarities`
    (texts, prototypes), or (texts, 0) of a linear head.
    """

    logits: torch.Tensor
    pooled: torch.Tensor
    attention: torch.Tensor
    similarities: torch.Tensor


class Losses(NamedTuple):
    """The terms of the loss, before their weights, and the weighted total; scalars."""

    total: torch.Tensor
    cross_entropy: torch.Tensor
    cohesion: torch.Tensor
    separation: torch.Tensor


@dataclass(frozen=True)
class LinearConfig:
    """A linear head's shape: `attention` is the number of rows of M in (1)."""

    attention: int = 64


@dataclass(frozen=True)
class PrototypeConfig:
    """A prototype head's shape and loss.

    `prototypes` are N a class and `nearest` is K; `cross_entropy`, `cohesion` and `separation` are l0, l1 and l2;
    `attention` is the number of rows of M in (1); `length` and `eps` are those of (2).
    """

    prototypes: int = 10
    nearest: int = 1
    cross_entropy: float = 1.0
    cohesion: float = 0.01
    separation: float = 0.01
    attention: int = 64
    length: float = 0.2
    eps: float = 0.01

    def check(self) -> None:
        """Raise an InputError where a value makes no sense."""
        if self.prototypes < 1:
            raise InputError(f"{self.prototypes} prototypes a class: give at least 1")
        if not 1 <= self.nearest <= self.prototypes:
            raise InputError(
                f"K = {self.nearest} with {self.prototypes} prototypes a class: give K from 1 to {self.prototypes}"
            )
        if min(self.cross_entropy, self.cohesion, self.separation) < 0:
            raise InputError(
                "a weight of the loss is below 0, which would turn the term's meaning round: give 0 or more"
            )
        if self.length <= 0 or self.eps <= 0 or self.attention < 1:
            raise InputError("length and eps must be above 0, and attention 1 or more")


class AttentionPooling(nn.Module):
    """One standardised vector of a text, from its tokens: (1). Both heads use it.

    The learned vector starts at 0, so that a text's vector starts as the mean of its tokens.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, width: int, attention: int, generator: torch.Generator) -> None:
        super().__init__()
        self.map = nn.Linear(width, attention)
        nn.init.xavier_uniform_(self.map.weight, generator=generator)
        nn.init.zeros_(self.map.bias)
        self.vector = nn.Parameter(torch.zeros(attention))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Give pooled vectors of shape (texts, width), and attention of shape (texts, longest), 0 at the padding."""
        scores = torch.tanh(self.map(batch.states)) @ self.vector
        attention = scores.masked_fill(~batch.mask, -torch.inf).softmax(dim=1)
        # What stands in the padding may be anything, even something that is not finite.
        states = batch.states.masked_fill(~batch.mask[..., None], 0)
        return (torch.einsum("bt,btw->bw", attention, states) - self.mean) / self.deviation, attention

    @torch.no_grad()
    def standardise(self, source: TokenSource, rows: np.ndarray) -> None:
        """Set mean and deviation to those of the rows' pooled vectors as they are now."""
        self.mean.zero_()
        self.deviation.fill_(1)
        pooled = torch.cat([self(source.batch(rows[own]))[0] for own in batches(source.lengths[rows])])
        self.mean.copy_(pooled.mean(dim=0))
        self.deviation.copy_(pooled.std(dim=0, correction=0).clamp(min=1e-3))


class LinearHead(nn.Module):
    """The baseline: the same attention pooling, and a linear layer with bias on the pooled vector."""

    kind: ClassVar = "linear"
    config_type: ClassVar = LinearConfig

    def __init__(self, width: int, classes: int, config: LinearConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.pooling = AttentionPooling(width, config.attention, torch.Generator().manual_seed(seed))
        self.linear = nn.Linear(width, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, batch: Batch) -> Reading:
        """Read a batch."""
        pooled, attention = self.pooling(batch)
        return Reading(self.linear(pooled), pooled, attention, pooled[:, :0])

    def loss(self, reading: Reading, targets: torch.Tensor) -> Losses:
        """Give the cross-entropy; `targets` are class numbers of shape (texts,)."""
        cross_entropy = nn.functional.cross_entropy(reading.logits, targets)
        zero = torch.zeros_like(cross_entropy)
        return Losses(cross_entropy, cross_entropy, zero, zero)


class PrototypeHead(nn.Module):
    """Attention pooling, prototypes and the layer from similarities to classes.

    `prototypes` has shape (prototypes, width), in the space of standardised pooled vectors; `owner` int64 of shape
    (prototypes,) holds their classes; `classes.weight` has shape (classes, prototypes).
    """

    kind: ClassVar = "prototypes"
    config_type: ClassVar = PrototypeConfig
    owner: torch.Tensor

    def __init__(
        self, width: int, classes: int, config: PrototypeConfig, seed: int = 0, owner: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        config.check()
        self.config = config
        generator = torch.Generator().manual_seed(seed)
        self.pooling = AttentionPooling(width, config.attention, generator)
        every = torch.arange(classes).repeat_interleave(config.prototypes) if owner is None else torch.tensor(owner)
        self.register_buffer("owner", every)
        self.prototypes = nn.Parameter(torch.randn(len(every), width, generator=generator))
        self.classes = nn.Linear(len(every), classes, bias=False)
        self.unit = config.length / width**0.5
        with torch.no_grad():
            self.classes.weight.copy_(first_weights(every, classes))

    def forward(self, batch: Batch) -> Reading:
        """Read a batch."""
        pooled, attention = self.pooling(batch)
        similarities = self.similarities(pooled)
        return Reading(self.classes(similarities), pooled, attention, similarities)

    def similarities(self, pooled: torch.Tensor) -> torch.Tensor:
        """Give the similarities (2) of pooled vectors, of shape (texts, width), to all prototypes."""
        # Distances by way of dot products would not be exactly 0 where a prototype is a text's vector.
        distances = torch.cdist(pooled, self.prototypes, compute_mode="donot_use_mm_for_euclid_dist")
        found: torch.Tensor = 1 / (self.unit * distances + self.config.eps)
        return found

    def loss(self, reading: Reading, targets: torch.Tensor) -> Losses:
        """Give the loss and its terms; `targets` are class numbers of shape (texts,)."""
        own = self.owner == targets[:, None]
        cross_entropy = nn.functional.cross_entropy(reading.logits, targets)
        cohesion = -_most_similar(reading.similarities, own, self.config.nearest)
        separation = _most_similar(reading.similarities, ~own, self.config.nearest)
        total = (
            self.config.cross_entropy * cross_entropy
            + self.config.cohesion * cohesion
            + self.config.separation * separation
        )
        return Losses(total, cross_entropy, cohesion, separation)


def first_weights(owner: torch.Tensor, classes: int) -> torch.Tensor:
    """Give the weights that the last layer starts from, of shape (classes, prototypes)."""
    own = torch.arange(classes, device=owner.device)[:, None] == owner
    return torch.where(own, _OWN, _OTHER)


H = TypeVar("H", LinearHead, PrototypeHead)


class Readings(NamedTuple):
    """What a classifier makes of texts: float32 arrays, of `Reading`'s shapes."""

    logits: np.ndarray
    pooled: np.ndarray
    similarities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The class of each text, int64 of shape (texts,)."""
        found: np.ndarray = self.logits.argmax(axis=1)
        return found


class Classifier(Generic[H]):
    """An encoder, a head, and the names of the classes; see `PrototypeClassifier` and `LinearClassifier`.

    Parameters
    ----------
    encoder : a tuned classifier changes its weights, so it must be its own.
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
        found = Readings(
            np.zeros((len(source), len(self.labels)), dtype=np.float32),
            np.zeros((len(source), self.encoder.width), dtype=np.float32),
            np.zeros((len(source), prototypes), dtype=np.float32),
        )
        with torch.inference_mode():
            for rows in batches(source.lengths):
                reading = self.head(source.batch(rows))
                found.logits[rows] = reading.logits.cpu().numpy()
                found.pooled[rows] = reading.pooled.cpu().numpy()
                found.similarities[rows] = reading.similarities.cpu().numpy()
        return found

    def attention(self, tokens: Sequence[Tokens]) -> list[np.ndarray]:
        """Give the attention paid to each text's own tokens: float32 arrays of shape (own tokens,), of sum 1."""
        source = LiveTokens(self.encoder, tokens)
        found = [np.zeros(0, dtype=np.float32)] * len(tokens)
        with torch.inference_mode():
            for rows in batches(source.lengths):
                batch = source.batch(rows)
                weights = self.head.pooling(batch)[1].cpu().numpy()
                for row, own, kept in zip(rows, weights, batch.mask.cpu().numpy(), strict=True):
                    found[row] = own[kept]
        return found

    def predict(self, texts: Sequence[Text]) -> list[str]:
        """Give the name of each text's class."""
        return [self.labels[number] for number in self.read(self.texts(texts)).predicted]

    def weights(self) -> dict[str, torch.Tensor]:
        """Give what is saved: the head's weights, and the encoder's if it is tuned."""
        found = {f"head.{name}": value for name, value in self.head.state_dict().items()}
        if self.tuned:
            found |= {f"encoder.{name}": value for name, value in self.encoder.network.state_dict().items()}
        return found

    def load_weights(self, weights: dict[str, torch.Tensor], where: Path) -> None:
        """Put weights from `weights` back; `where` is what errors name.

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
            raise InputError(
                f"{where}: {_difference(min(wrong), expected, weights)}; it is of a model of another shape"
            )
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
        encoder : the checkpoint's own, if it is loaded already or has moved; by default that of its config is loaded.

        Raises
        ------
        InputError
            if the folder holds no such classifier, one of another kind or shape, or one of another encoder.
        """
        path = Path(folder)
        config = _read_config(path / CONFIG_FILE, cls.head_type)
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
        found = cls(encoder, head, config["labels"], tuned=config["tuned"])
        found.load_weights(read_tensors(path / WEIGHTS_FILE), path / WEIGHTS_FILE)
        return found


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
        owner : int64 of shape (prototypes,); by default as they are.
        """
        every = self.head.owner if owner is None else owner
        head = PrototypeHead(self.encoder.width, len(self.labels), self.head.config, owner=every.tolist())
        state = self.head.state_dict()
        state |= {"prototypes": prototypes, "classes.weight": weights, "owner": every}
        head.load_state_dict(state)
        return PrototypeClassifier(self.encoder, head, self.labels, tuned=self.tuned)


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write a safetensors file, whole or not at all."""
    with whole(path) as temporary:
        # Tied weights would share memory, which safetensors refuses.
        save_file({name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}, temporary)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises
    ------
    InputError
        if it is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _most_similar(similarities: torch.Tensor, among: torch.Tensor, count: int) -> torch.Tensor:
    """Average over texts the mean of each one's `count` largest similarities among those marked."""
    shown = similarities.masked_fill(~among, -torch.inf).topk(min(count, similarities.shape[1]), dim=1).values
    there = shown.isfinite()
    return (shown.masked_fill(~there, 0).sum(dim=1) / there.sum(dim=1).clamp(min=1)).mean()


def _difference(name: str, expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> str:
    if name not in found:
        return f"{name} is missing"
    if name not in expected:
        return f"{name} is not known"
    return f"{name} has shape {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"


def _read_config(path: Path, head: Any) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a folder that save_pretrained wrote") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f"{path}: not a prototype classifier of this version ({SCHEMA})")
    if content.get("kind") != head.kind:
        raise InputError(f"{path}: a classifier of kind {content.get('kind')!r}; this reads {head.kind!r}")
    fields = {"revision", "model", "width", "max_length", "tuned", "labels", "head", "owner"}
    missing = sorted(fields - content.keys())
    if missing or set(content["head"]) != set(asdict(head.config_type())):
        raise InputError(f"{path}: not a prototype classifier of this version ({', '.join(missing) or 'head'})")
    return content
