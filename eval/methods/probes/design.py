"""The tokens that a concept's probes learn from and are tested on.

Positives are the concept's tokens. Negatives are as many tokens of other concepts: half from the nearest concepts, half
random. The nearest concepts are those whose centroids of training tokens are nearest. Test tokens are left out of the
centroids: otherwise concepts would be chosen whose tokens happen to lie on one side in training and on the other in
test, and noise would be told apart worse than by chance. A word type is a case-folded word. Negatives never have a word
type that the concept has, so that every type of a problem has one label.

A problem is split in two ways:

- by type: a type is in training or in test for all concepts alike, by its hash. A probe that is right about types it
  has not seen knows the concept, not the words. Each side has as many negatives as positives. Where the hashes leave a
  side with fewer than two of the concept's types, the types with the next hashes change sides, for this concept alone.
- by token: half the tokens of a type are in test; a type's only token is in training. Control labels (Hewitt & Liang
  2019, section 2) can be learnt in this split by remembering words alone. Random negatives are drawn two of a type,
  where there are two, so that their types too are on both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from conceptbench.runtime.draws import generator_of

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SkipReason = Literal["too few word types", "one sentence", "identical vectors", "too few other tokens"]

MIN_TYPES: Final = 2
"""Word types of the concept that training and test must each have."""
MIN_TOKENS: Final = 2
"""Tokens of either class that training and test must each have."""

_CONTROL_SHUFFLES = 32


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of a layer, one a row.

    Attributes
    ----------
    vectors : shape (n, width).
    concept, type : the concept and the word type of each token, numbered from 0 without a gap; shape (n,).
    hashes : of the word types, from 0 to 1; shape (types,).
    sentence : the sentence of each token, shape (n,); None where it is not known.
    """

    vectors: NDArray[np.floating]
    concept: Ints
    type: Ints
    hashes: Floats
    sentence: Ints | None = None

    @cached_property
    def in_test(self) -> Bools:
        """Which rows are in test: bool (n,)."""
        return (self.hashes < 0.5)[self.type]

    @cached_property
    def by_concept(self) -> list[Ints]:
        """The rows of each concept, in order."""
        return _by_number(self.concept)

    @cached_property
    def by_type(self) -> list[Ints]:
        """The rows of each word type, in order."""
        return _by_number(self.type)

    @cached_property
    def by_side(self) -> tuple[Ints, Ints]:
        """The rows whose types are in training, and those whose types are in test."""
        return np.flatnonzero(~self.in_test), np.flatnonzero(self.in_test)

    @cached_property
    def centroids(self) -> tuple[Floats, Floats]:
        """Each concept's mean training token, and its squared length: (concepts, width) and (concepts,).

        Where no type of a concept is in training, the squared length is inf.
        """
        means = np.zeros((len(self.by_concept), self.vectors.shape[1]))
        squared = np.full(len(means), np.inf)
        for concept, rows in enumerate(self.by_concept):
            training = rows[~self.in_test[rows]]
            if len(training):
                means[concept] = self.vectors[training].mean(axis=0, dtype=np.float64)
                squared[concept] = means[concept] @ means[concept]
        return means, squared


@dataclass(frozen=True, eq=False)
class Problem:
    """What one concept's probes are fitted to: arrays of shape (m,).

    Attributes
    ----------
    rows : of the vectors.
    types : the word type of each row.
    targets : whether the token is the concept's.
    hard : whether it is a negative from one of the nearest concepts.
    in_test : whether it is in test in the split by type.
    token_in_test : whether it is in test in the split by token.
    control : its control label.
    """

    rows: Ints
    types: Ints
    targets: Bools
    hard: Bools
    in_test: Bools
    token_in_test: Bools
    control: Bools

    @property
    def selective(self) -> bool:
        """Whether the split by token has both classes on both sides, and the control both in training."""
        train, test = ~self.token_in_test, self.token_in_test
        return all(_both(labels) for labels in (self.targets[train], self.targets[test], self.control[train]))


def word_types(words: Iterable[Hashable]) -> list[Hashable]:
    """Give the word type of each token: its word, case-folded if it is text."""
    return [word.casefold() if isinstance(word, str) else word for word in words]


def type_hashes(types: Iterable[Hashable], seed: int) -> Floats:
    """Hash the text of each word type with the seed to a number within 0..1: those below 0.5 are in test."""
    key = hashlib.blake2b(f"type split\n{seed}\n".encode(), digest_size=8)
    hashes = []
    for word in types:
        state = key.copy()
        state.update(str(word).encode("utf-8", "surrogatepass"))
        hashes.append(int.from_bytes(state.digest(), "little") / 2**64)
    return np.array(hashes)


def token_split(types: Ints, generator: np.random.Generator) -> Bools:
    """Tell which tokens are in test: of each type, half, drawn at random, rounded down."""
    order = np.lexsort((generator.random(len(types)), types))
    counts = np.bincount(types[order])
    counts = counts[counts > 0]
    rank = np.arange(len(types)) - np.repeat(np.cumsum(counts) - counts, counts)
    in_test = np.empty(len(types), dtype=bool)
    in_test[order] = rank < np.repeat(counts // 2, counts)
    return in_test


def control_labels(types: Ints, targets: Bools, generator: np.random.Generator) -> Bools:
    """Label the tokens by their word types at random (Hewitt & Liang 2019, section 2): bool (m,).

    The labels of the types are shuffled, so that as many types are positive as in `targets`. Of 32 shuffles the one is
    taken whose number of positive tokens is nearest to that of `targets`: otherwise majorities would differ, and
    accuracies with them.

    Parameters
    ----------
    types, targets : shape (m,); the tokens of a type have one target.
    """
    _, first, inverse, counts = np.unique(types, return_index=True, return_inverse=True, return_counts=True)
    labels = targets[first]
    shuffles = labels[generator.random((_CONTROL_SHUFFLES, len(labels))).argsort(axis=1)]
    chosen: Bools = shuffles[np.abs(shuffles @ counts - labels @ counts).argmin()]
    return chosen[inverse]


def draw_problem(tokens: Tokens, concept: int, name: Hashable, seed: int) -> Problem | SkipReason:
    """Draw the problem of a concept, or say why it has none.

    The same tokens, name and seed give the same problem, whatever other problems were drawn before.

    Parameters
    ----------
    concept : its number in `tokens.concept`.
    name : with `seed`, seeds the draw.
    """
    members = tokens.by_concept[concept]
    types = np.unique(tokens.type[members])
    if (reason := _reason_to_skip(tokens, members, types)) is not None:
        return reason
    generator = generator_of("probing", seed, name)
    banned = np.zeros(len(tokens.hashes), dtype=bool)
    banned[types] = True
    in_test = np.zeros(len(tokens.hashes), dtype=bool)
    in_test[_test_types(types, tokens.hashes)] = True
    sides = in_test[tokens.type[members]]
    nearest = _nearest(tokens, concept, members[~sides])
    parts: list[Ints] = []
    for side in (False, True):
        positives = members[sides == side]
        allowed = tokens.by_side[side]
        allowed = allowed[~banned[tokens.type[allowed]]]
        if len(allowed) < len(positives):
            positives = generator.permutation(positives)[: len(allowed)]
        size = len(positives)
        if size < MIN_TOKENS or len(np.unique(tokens.type[positives])) < MIN_TYPES:
            return "too few other tokens"
        hard = _hard(tokens, nearest, banned, side, (size + 1) // 2, generator)
        easy = _random(tokens, allowed, hard, size - len(hard), generator)
        parts += [positives, hard, easy]
    lengths = [len(part) for part in parts]
    rows = np.concatenate(parts)
    targets = np.repeat([True, False, False] * 2, lengths)
    row_types = tokens.type[rows]
    return Problem(
        rows=rows,
        types=row_types,
        targets=targets,
        hard=np.repeat([False, True, False] * 2, lengths),
        in_test=np.repeat([False, True], [sum(lengths[:3]), sum(lengths[3:])]),
        token_in_test=token_split(row_types, generator),
        control=control_labels(row_types, targets, generator),
    )


def _reason_to_skip(tokens: Tokens, members: Ints, types: Ints) -> SkipReason | None:
    """Say why a concept of these rows and word types has no problem, whatever the other tokens."""
    if len(types) < 2 * MIN_TYPES:
        return "too few word types"
    if tokens.sentence is not None and (tokens.sentence[members] == tokens.sentence[members[0]]).all():
        return "one sentence"
    if (tokens.vectors[members] == tokens.vectors[members[0]]).all():
        return "identical vectors"
    return None


def _test_types(types: Ints, hashes: Floats) -> Ints:
    """Choose those of a concept's types that are in test: all with hashes below 0.5, if both sides then have enough."""
    count = int((hashes[types] < 0.5).sum())
    return types[hashes[types].argsort()][: min(max(count, MIN_TYPES), len(types) - MIN_TYPES)]


def _nearest(tokens: Tokens, concept: int, rows: Ints) -> Ints:
    """The other concepts, by the distance of their centroids from that of the rows."""
    centroid = tokens.vectors[rows].mean(axis=0, dtype=np.float64)
    means, squared = tokens.centroids
    order: Ints = np.argsort(squared - 2 * means @ centroid, kind="stable")
    others: Ints = order[order != concept]
    return others


def _hard(tokens: Tokens, nearest: Ints, banned: Bools, side: bool, size: int, generator: np.random.Generator) -> Ints:
    """Draw tokens of one side from as few of the nearest concepts as have enough of them."""
    candidates: list[Ints] = []
    count = 0
    for neighbour in nearest:
        rows = tokens.by_concept[neighbour]
        candidates.append(rows[(tokens.in_test[rows] == side) & ~banned[tokens.type[rows]]])
        count += len(candidates[-1])
        if count >= size:
            break
    return generator.permutation(np.concatenate(candidates))[:size]


def _random(tokens: Tokens, allowed: Ints, excluded: Ints, size: int, generator: np.random.Generator) -> Ints:
    """Draw from the allowed rows that are not excluded, two of a type where there are two."""
    used = set(excluded.tolist())
    selected: list[int] = []
    # As many rows as are excluded may be drawn in vain.
    for row in allowed[generator.choice(len(allowed), min(len(allowed), size + len(used)), replace=False)].tolist():
        if len(selected) >= size:
            break
        if row in used:
            continue
        used.add(row)
        selected.append(row)
        same_type = tokens.by_type[tokens.type[row]]
        mate = int(same_type[generator.integers(len(same_type))])
        if mate not in used and len(selected) < size:
            used.add(mate)
            selected.append(mate)
    return np.array(selected, dtype=np.int64)


def _both(labels: Bools) -> bool:
    return bool(labels.any() and not labels.all())


def _by_number(numbers: Ints) -> list[Ints]:
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.cumsum(np.bincount(numbers))[:-1])
