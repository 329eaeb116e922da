"""The heads of classifiers: one that decides by how near a text is to learned prototypes, and a linear baseline.

The first is Proto-lm, by Xie, Vosoughi and Hassanpour 2023 (arXiv 2311.01732). A text's token vectors h are pooled by
attention (section 3.1), x = Σ aᵢ·hᵢ with

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

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from conceptbench.eval.methods.protolm.settings import LinearConfig, PrototypeConfig
from conceptbench.eval.methods.protolm.tokens import Batch, TokenSource, batches

_SAME_CLASS, _OTHER_CLASS = 1.0, -0.5


class Reading(NamedTuple):
    """The outputs of a head for a batch of texts.

    `logits` has shape (texts, classes), `pooled` (texts, width), `attention` (texts, longest), and `similarities`
    (texts, prototypes), or (texts, 0) for a linear head.
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
        # The padding may hold anything, even numbers that are not finite.
        states = batch.states.masked_fill(~batch.mask[..., None], 0)
        return (torch.einsum("bt,btw->bw", attention, states) - self.mean) / self.deviation, attention

    @torch.no_grad()
    def standardise(self, source: TokenSource, rows: np.ndarray) -> None:
        """Set mean and deviation to those of the rows' pooled vectors as they are now."""
        self.mean.zero_()
        self.deviation.fill_(1)
        pooled = torch.cat([self(source.batch(rows[batch]))[0] for batch in batches(source.lengths[rows])])
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
        owners = torch.arange(classes).repeat_interleave(config.prototypes) if owner is None else torch.tensor(owner)
        self.register_buffer("owner", owners)
        self.prototypes = nn.Parameter(torch.randn(len(owners), width, generator=generator))
        self.classes = nn.Linear(len(owners), classes, bias=False)
        self.unit = config.length / width**0.5
        with torch.no_grad():
            self.classes.weight.copy_(first_weights(owners, classes))

    def forward(self, batch: Batch) -> Reading:
        """Read a batch."""
        pooled, attention = self.pooling(batch)
        similarities = self.similarities(pooled)
        return Reading(self.classes(similarities), pooled, attention, similarities)

    def similarities(self, pooled: torch.Tensor) -> torch.Tensor:
        """Give the similarities (2) of pooled vectors, of shape (texts, width), to all prototypes."""
        # Distances by way of dot products would not be exactly 0 where a prototype is a text's vector.
        distances = torch.cdist(pooled, self.prototypes, compute_mode="donot_use_mm_for_euclid_dist")
        similarities: torch.Tensor = 1 / (self.unit * distances + self.config.eps)
        return similarities

    def loss(self, reading: Reading, targets: torch.Tensor) -> Losses:
        """Give the loss and its terms; `targets` are class numbers of shape (texts,)."""
        same_class = self.owner == targets[:, None]
        cross_entropy = nn.functional.cross_entropy(reading.logits, targets)
        cohesion = -_most_similar(reading.similarities, same_class, self.config.nearest)
        separation = _most_similar(reading.similarities, ~same_class, self.config.nearest)
        total = (
            self.config.cross_entropy * cross_entropy
            + self.config.cohesion * cohesion
            + self.config.separation * separation
        )
        return Losses(total, cross_entropy, cohesion, separation)


def first_weights(owner: torch.Tensor, classes: int) -> torch.Tensor:
    """Give the weights that the last layer starts from, of shape (classes, prototypes).

    Parameters
    ----------
    owner : int64 of shape (prototypes,): each prototype's class.
    classes : the number of classes.

    Examples
    --------
    >>> first_weights(torch.tensor([0, 1, 1]), 2).tolist()
    [[1.0, -0.5, -0.5], [-0.5, 1.0, 1.0]]
    """
    same_class = torch.arange(classes, device=owner.device)[:, None] == owner
    return torch.where(same_class, _SAME_CLASS, _OTHER_CLASS)


def _most_similar(similarities: torch.Tensor, among: torch.Tensor, count: int) -> torch.Tensor:
    """Average over texts the mean of each one's `count` largest similarities among those marked."""
    largest = similarities.masked_fill(~among, -torch.inf).topk(min(count, similarities.shape[1]), dim=1).values
    marked = largest.isfinite()
    return (largest.masked_fill(~marked, 0).sum(dim=1) / marked.sum(dim=1).clamp(min=1)).mean()
