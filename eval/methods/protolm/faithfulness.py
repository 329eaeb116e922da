"""Whether a prototype classifier's explanations are true of it (after Koulogeorge et al. 2025), and an alignment.

Two claims are tested. *This prototype is like that training example*: then decisions must stay the same when the
example replaces the prototype. *The model looked at these tokens*: then deleting them must change the decision
more than deleting others, as leave-one-out, comprehensiveness and sufficiency (DeYoung et al. 2020, section 4.2)
measure. A token is deleted before the encoder reads the text, never by masking its vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from scipy.stats import rankdata

from conceptbench.eval.methods.protolm.explaining import Neighbour
from conceptbench.eval.methods.protolm.heads import LinearHead, PrototypeHead
from conceptbench.eval.methods.protolm.model import Classifier, PrototypeClassifier
from conceptbench.eval.methods.protolm.refitting import refit_last_layer
from conceptbench.eval.methods.protolm.tokens import Text, Tokens, TokenSource
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.progress import Progress, Silent

SHARES: Final = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of tokens that are deleted, or left alone; those of DeYoung et al."""

FEWEST_TOKENS: Final = 3
"""Texts with fewer tokens, special ones left out, do not tell which tokens matter."""

_DRAWS = 3
_CHUNK = 2048


@dataclass(frozen=True, eq=False)
class Swap:
    """What changes when stated nearest examples replace prototypes; arrays of shape (texts,).

    Attributes
    ----------
    all_stay : whether the decision is the same with all prototypes replaced at once.
    top_stays : whether it is the same with only the prototype replaced that contributes most to the decision.
    change : the mean absolute change of the text's logits with all prototypes replaced, in units of `spread`.
    spread : the standard deviation of all logits around their text's mean.
    """

    all_stay: np.ndarray
    top_stays: np.ndarray
    change: np.ndarray
    spread: float


@dataclass(frozen=True, eq=False)
class TokenFaithfulness:
    """How decisions change when tokens are deleted; arrays of shape (texts that were drawn,).

    Attributes
    ----------
    rows : the texts' numbers.
    agreement : Spearman's correlation of attention with the drop of the predicted class's logit when the token is left
        out; 0 where one of the two does not vary.
    comprehensiveness : the drop of the predicted class's probability without the tokens of most attention, mean over
        `SHARES`; high is faithful.
    comprehensiveness_random : the drop of that probability without as many random tokens.
    sufficiency : the drop of that probability with the tokens of most attention alone; low is faithful.
    sufficiency_random : the drop of that probability with as many random tokens alone.
    """

    rows: np.ndarray
    agreement: np.ndarray
    comprehensiveness: np.ndarray
    comprehensiveness_random: np.ndarray
    sufficiency: np.ndarray
    sufficiency_random: np.ndarray


class Alignment(NamedTuple):
    """A classifier whose prototypes are training examples, and the rows of those, of shape (prototypes,)."""

    classifier: PrototypeClassifier
    rows: np.ndarray


def swap_examples(
    classifier: PrototypeClassifier,
    train: TokenSource,
    neighbours: Sequence[Sequence[Neighbour]],
    source: TokenSource,
) -> Swap:
    """Replace each prototype by its stated nearest example, and see which decisions stay.

    Parameters
    ----------
    train : the training texts; neighbours' rows are theirs.
    neighbours : from `project`; the first one replaces the prototype.
    source : the texts that are decided on; at least one.
    """
    weights = classifier.head.classes.weight.detach()
    rows = np.array([nearest[0].row for nearest in neighbours])
    with torch.inference_mode():
        examples = classifier.head.pooling(train.batch(rows))[0]
    before = classifier.read(source)
    after = classifier.with_prototypes(examples.clone(), weights).read(source)
    of_class = weights.cpu().numpy()
    top = (of_class[before.predicted] * before.similarities).argmax(axis=1)
    every = np.arange(len(source))
    change = (after.similarities - before.similarities)[every, top]
    top_replaced = before.logits + change[:, None] * of_class[:, top].T
    centred = before.logits - before.logits.mean(axis=1, keepdims=True)
    spread = float(centred.std())
    moved = np.abs(after.logits - before.logits).mean(axis=1) / max(spread, float(np.finfo(np.float32).tiny))
    return Swap(after.predicted == before.predicted, top_replaced.argmax(axis=1) == before.predicted, moved, spread)


def align(classifier: PrototypeClassifier, source: TokenSource, labels: np.ndarray, *, refit: bool = True) -> Alignment:
    """Make stated examples true: replace each prototype by the vector of a training example of its class, and refit.

    The examples are the nearest ones, each taken once, with the least sum of distances over a class (Kuhn 1955). The
    last layer is then fitted anew; pooling stays. It costs accuracy.

    Parameters
    ----------
    source, labels : the training examples; a class has at least as many as prototypes.
    refit : whether the last layer is fitted anew.
    """
    from scipy.optimize import linear_sum_assignment

    readings = classifier.read(source)
    owner = classifier.head.owner.cpu().numpy()
    rows = np.zeros(len(owner), dtype=np.int64)
    for label in np.unique(owner):
        of_class, examples = np.flatnonzero(owner == label), np.flatnonzero(labels == label)
        prototypes, nearest = linear_sum_assignment(1 / readings.similarities[np.ix_(examples, of_class)].T)
        rows[of_class[prototypes]] = examples[nearest]
    device = classifier.encoder.device
    aligned = classifier.with_prototypes(
        torch.from_numpy(readings.pooled[rows]).to(device), classifier.head.classes.weight.detach()
    )
    return Alignment(refit_last_layer(aligned, source, labels) if refit else aligned, rows)


def token_faithfulness(
    classifier: Classifier[LinearHead] | Classifier[PrototypeHead],
    texts: Sequence[Text],
    *,
    limit: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> TokenFaithfulness:
    """Delete tokens, and compare how the decisions change with the attention to these tokens.

    Each text is encoded once for each of its tokens, and a few times for each of `SHARES`; equal ones once.

    Parameters
    ----------
    texts : at least `FEWEST_TOKENS` tokens are needed of a text, special ones left out.
    limit : texts at most, drawn by the seed.
    seed : of the draws of texts and of random tokens.
    progress : shows how many encodings are done.
    """
    tokens = classifier.encoder.read(texts)
    long_enough = [row for row, text in enumerate(tokens) if int(text.of_text.sum()) >= FEWEST_TOKENS]
    sample = generator_of("prototypes texts", seed).permutation(len(long_enough))[:limit]
    rows = np.array([long_enough[number] for number in np.sort(sample)], dtype=np.int64)
    chosen = [tokens[row] for row in rows]
    plans = [
        _Plan(attention, generator_of("prototypes tokens", seed, row))
        for row, attention in zip(rows, classifier.attention(chosen), strict=True)
    ]
    shortened = [
        text.without(positions)
        for text, plan in zip(chosen, plans, strict=True)
        for positions in [(), *plan.deletions()]
    ]
    logits = _logits(classifier, shortened, progress or Silent())
    scores = []
    start = 0
    for plan in plans:
        scores.append(plan.score(logits[start : start + plan.size]))
        start += plan.size
    table = np.array(scores, dtype=np.float64).reshape(-1, 5)
    return TokenFaithfulness(rows, *table.T)


class _Plan:
    """Which tokens of a text are deleted, and the scores that follow from the logits without them."""

    def __init__(self, attention: np.ndarray, generator: np.random.Generator) -> None:
        self._attention = attention
        count = len(attention)
        most = np.argsort(-attention, kind="stable")
        orders = [most, *(generator.permutation(count) for _ in range(_DRAWS))]
        # At least one token is deleted, and at least one is left.
        self._sizes = [min(max(round(share * count), 1), count - 1) for share in SHARES]
        self._number: dict[tuple[int, ...], int] = {}
        self._each_left_out = [self._add([position]) for position in range(count)]
        self._first_deleted = [[self._add(order[:size]) for size in self._sizes] for order in orders]
        self._first_alone = [[self._add(order[size:]) for size in self._sizes] for order in orders]

    @property
    def size(self) -> int:
        """The number of encodings, that of the whole text included."""
        return len(self._number) + 1

    def deletions(self) -> list[tuple[int, ...]]:
        """Give the positions that are deleted for each encoding after that of the whole text."""
        return list(self._number)

    def score(self, logits: np.ndarray) -> tuple[float, ...]:
        """Give agreement, comprehensiveness, that of random tokens, sufficiency, that of random tokens.

        `logits` has shape (size, classes), the whole text first.
        """
        label = int(logits[0].argmax())
        drops = logits[0, label] - logits[:, label]
        probabilities = torch.from_numpy(logits).softmax(dim=1).numpy()[:, label]
        lost = probabilities[0] - probabilities
        deleted = lost[np.array(self._first_deleted)].mean(axis=1)
        alone = lost[np.array(self._first_alone)].mean(axis=1)
        return (
            _spearman(self._attention, drops[np.array(self._each_left_out)]),
            deleted[0],
            deleted[1:].mean(),
            alone[0],
            alone[1:].mean(),
        )

    def _add(self, positions: Sequence[int] | np.ndarray) -> int:
        """Give the number of an encoding, from 1 on; equal deletions are one."""
        key = tuple(sorted(map(int, positions)))
        return self._number.setdefault(key, len(self._number) + 1)


def _logits(
    classifier: Classifier[LinearHead] | Classifier[PrototypeHead], tokens: Sequence[Tokens], progress: Progress
) -> np.ndarray:
    """Read texts in chunks of about equal length: float64 of shape (texts, classes)."""
    logits = np.zeros((len(tokens), len(classifier.labels)))
    order = np.argsort([len(text) for text in tokens], kind="stable")
    with progress.stage(f"Deleting tokens: {len(tokens):,} texts", len(tokens)) as advance:
        for start in range(0, len(order), _CHUNK):
            rows = order[start : start + _CHUNK]
            logits[rows] = classifier.read([tokens[row] for row in rows]).logits
            advance(len(rows))
    return logits


def _spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Correlate ranks; 0 where one of the two does not vary."""
    ranks = np.stack([rankdata(first), rankdata(second)])
    if (np.ptp(ranks, axis=1) == 0).any():
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])
