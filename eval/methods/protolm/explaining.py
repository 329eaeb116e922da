"""Explanations by a prototype classifier: nearest examples, reasons of decisions, prototypes as text modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch

from conceptbench.eval.methods.protolm.model import PrototypeClassifier
from conceptbench.eval.methods.protolm.refitting import refit_last_layer
from conceptbench.eval.methods.protolm.tokens import Text, TokenSource, joined

EXAMPLES: Final = 5
"""Nearest examples that are given of a prototype."""
REASONS: Final = 3
"""Prototypes that are given as reasons of a decision."""

_LONGEST = 100


class Neighbour(NamedTuple):
    """A training example near a prototype: its row, text and class, and its similarity to the prototype."""

    row: int
    text: Text
    label: str
    similarity: float

    def short_text(self) -> str:
        """Give the text, shortened; a pair with ` / ` between.

        Examples
        --------
        >>> Neighbour(3, ("It rains.", "It is wet."), "entailment", 0.5).short_text()
        'It rains. / It is wet.'
        """
        return _shortened(self.text)


@dataclass(frozen=True)
class Reason:
    """A prototype behind a decision.

    `contribution` is `weight` times `similarity`: what the prototype adds to the logit of the predicted class.
    """

    prototype: int
    label: str
    weight: float
    similarity: float
    contribution: float
    examples: Sequence[Neighbour]


@dataclass(frozen=True)
class Decision:
    """A classifier's decision on a text, and the reasons that it gives.

    `probabilities` are by class; `reasons` are those of the largest contributions, largest first; `attention` has the
    text's tokens in order, special ones left out, with the attention to each, of sum 1.
    """

    text: Text
    label: str
    probabilities: Mapping[str, float]
    reasons: Sequence[Reason]
    attention: Sequence[tuple[str, float]]

    def to_text(self, names: Mapping[int, str] | None = None, examples: int = 2) -> str:
        """Write the decision for people; `names` say in words what prototypes respond to."""
        lines = [
            f"{_shortened(self.text)}",
            f"  is {self.label} (probability {self.probabilities[self.label]:.2f})",
            "  tokens: " + " ".join(f"{token}({share:.2f})" for token, share in self.attention),
        ]
        for reason in self.reasons:
            name = f" “{names[reason.prototype]}”" if names and reason.prototype in names else ""
            lines.append(
                f"  prototype {reason.prototype}{name} of {reason.label}: {reason.contribution:+.2f} = "
                f"{reason.weight:+.2f} x {reason.similarity:.2f}"
            )
            lines += [
                f"    {example.similarity:.2f} {example.label}: {example.short_text()}"
                for example in reason.examples[:examples]
            ]
        return "\n".join(lines)


class Pruning(NamedTuple):
    """A classifier without the prototypes that decide nothing, and the numbers of those that remain or were dropped."""

    classifier: PrototypeClassifier
    remaining: np.ndarray
    dropped: np.ndarray


class PooledEncoder:
    """Embeds texts as the classifier does: standardised pooled vectors, computed once for all its prototypes."""

    def __init__(self, classifier: PrototypeClassifier) -> None:
        self._classifier = classifier
        self.name = f"{classifier.encoder.name}/prototypes"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Read texts, each distinct one once.

        Returns
        -------
        float32 array of shape (len(texts), width).
        """
        distinct = list(dict.fromkeys(texts))
        row_of = {text: row for row, text in enumerate(distinct)}
        pooled = self._classifier.read(self._classifier.texts(distinct)).pooled
        vectors: np.ndarray = pooled[[row_of[text] for text in texts]]
        return vectors


@dataclass(frozen=True, repr=False, eq=False)
class PrototypeModule:
    """A text's similarity to a prototype: a text module, which an explainer can describe in words.

    Modules of one classifier can share its encoder's vectors: embed each text once, and call each module's `respond`.

    Parameters
    ----------
    encoder : what embeds the texts.
    target : the prototype, float array of shape (width,).
    unit, eps : the similarity is 1 / (unit · distance + eps).
    """

    encoder: PooledEncoder
    target: np.ndarray
    unit: float
    eps: float

    def respond(self, vectors: np.ndarray) -> np.ndarray:
        """Respond to texts by their vectors, of shape (n, width), with a float64 array of shape (n,)."""
        distances = np.linalg.norm(np.asarray(vectors, dtype=np.float64) - self.target, axis=1)
        similarities: np.ndarray = 1 / (self.unit * distances + self.eps)
        return similarities

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Give a float64 array of shape (len(texts),)."""
        return self.respond(self.encoder.encode(texts))


def prototype_modules(classifier: PrototypeClassifier) -> list[PrototypeModule]:
    """Make the modules of all prototypes, in their order; they share an encoder."""
    encoder = PooledEncoder(classifier)
    prototypes = classifier.head.prototypes.detach().cpu().double().numpy()
    unit, eps = classifier.head.unit, classifier.head.config.eps
    return [PrototypeModule(encoder, prototype, unit, eps) for prototype in prototypes]


def project(
    classifier: PrototypeClassifier,
    source: TokenSource,
    texts: Sequence[Text],
    labels: np.ndarray,
    count: int = EXAMPLES,
) -> list[list[Neighbour]]:
    """Find the training examples that are nearest to each prototype, whatever their class, most similar first.

    Parameters
    ----------
    source, texts, labels : the training examples; `labels` are class numbers, of shape (texts,).
    count : examples of each prototype; a text that occurs several times counts once.

    Returns
    -------
    the neighbours of each prototype.
    """
    first_of: dict[Text, int] = {}
    for row, text in enumerate(texts):
        first_of.setdefault(text, row)
    rows = np.fromiter(first_of.values(), dtype=np.int64)
    similarities = classifier.read(source).similarities[rows]
    best = np.argsort(-similarities, axis=0, kind="stable")[:count]
    return [
        [
            Neighbour(
                int(rows[k]), texts[rows[k]], classifier.labels[labels[rows[k]]], float(similarities[k, prototype])
            )
            for k in best[:, prototype]
        ]
        for prototype in range(similarities.shape[1])
    ]


def explain(
    classifier: PrototypeClassifier,
    texts: Sequence[Text],
    neighbours: Sequence[Sequence[Neighbour]],
    count: int = REASONS,
) -> list[Decision]:
    """Give the reasons of the classifier's decisions on texts.

    Parameters
    ----------
    neighbours : the nearest examples of each prototype, from `project`.
    count : reasons of each decision.
    """
    tokens = classifier.encoder.read(texts)
    readings = classifier.read(tokens)
    attention = classifier.attention(tokens)
    probabilities = torch.from_numpy(readings.logits).softmax(dim=1).numpy()
    weights = classifier.head.classes.weight.detach().cpu().numpy()
    owner = classifier.head.owner.tolist()
    contributions = weights[readings.predicted] * readings.similarities
    best = np.argsort(-contributions, axis=1, kind="stable")[:, :count]
    return [
        Decision(
            text=text,
            label=classifier.labels[label],
            probabilities=dict(zip(classifier.labels, map(float, probabilities[row]), strict=True)),
            reasons=[
                Reason(
                    prototype=int(p),
                    label=classifier.labels[owner[p]],
                    weight=float(weights[label, p]),
                    similarity=float(readings.similarities[row, p]),
                    contribution=float(contributions[row, p]),
                    examples=neighbours[p],
                )
                for p in best[row]
            ],
            attention=list(zip(classifier.encoder.strings(tokens[row]), map(float, attention[row]), strict=True)),
        )
        for row, (text, label) in enumerate(zip(texts, readings.predicted, strict=True))
    ]


def prune(
    classifier: PrototypeClassifier, source: TokenSource, labels: np.ndarray, *, top: int = 1, refit: bool = True
) -> Pruning:
    """Drop the prototypes that are behind no decision on the training examples.

    A prototype is dropped if its contribution to the predicted class is never among a training example's `top` largest
    ones. Where a class would lose all its prototypes, the most similar one remains.

    Parameters
    ----------
    source, labels : the training examples.
    top : of an example's contributions.
    refit : whether the last layer is fitted anew to the prototypes that remain; otherwise its weights stay, and a
        class that lost more prototypes than others is at a disadvantage.
    """
    readings = classifier.read(source)
    weights = classifier.head.classes.weight.detach()
    contributions = weights.cpu().numpy()[readings.predicted] * readings.similarities
    used = np.zeros(contributions.shape[1], dtype=bool)
    used[np.argsort(-contributions, axis=1, kind="stable")[:, :top]] = True
    owner = classifier.head.owner.cpu().numpy()
    for label in range(len(classifier.labels)):
        of_class = np.flatnonzero(owner == label)
        if not used[of_class].any():
            used[of_class[readings.similarities[:, of_class].mean(axis=0).argmax()]] = True
    remaining = np.flatnonzero(used)
    numbers = torch.from_numpy(remaining).to(classifier.encoder.device)
    smaller = classifier.with_prototypes(
        classifier.head.prototypes.detach()[numbers], weights[:, numbers], classifier.head.owner[numbers]
    )
    if refit and len(remaining) < len(used):
        smaller = refit_last_layer(smaller, source, labels)
    return Pruning(smaller, remaining, np.flatnonzero(~used))


def _shortened(text: Text) -> str:
    whole = joined(text)
    return whole if len(whole) <= _LONGEST else whole[: _LONGEST - 1] + "…"
