"""Pairs of a wider concept (super) and one within it (sub): from the merge tree, from the lexicon, or from labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from conceptbench.benchmark.lexicon import GoldConcept, ancestors, load_lexicon
from conceptbench.builders.clustering import MergeTree
from conceptbench.eval.methods.neurons.vectors import Floats, Ints, checked_labels
from conceptbench.runtime.errors import InputError

MOST: Final = 10
"""The concepts that a super-concept holds at most, by default: a wider one says little of any of them."""


@dataclass(frozen=True, eq=False)
class SuperConcept:
    """A wider concept: `name`, and `parts`, the numbers of the concepts whose tokens together are its tokens."""

    name: str
    parts: Ints


@dataclass(frozen=True, eq=False)
class ConceptPairs:
    """Concepts, the wider concepts made of them, and the pairs (super, sub) of both.

    Attributes
    ----------
    names : of the C concepts.
    tokens : of each concept, the rows of its tokens: distinct int64.
    depths : float64 (C,), how deep each concept lies below the root of its hierarchy.
    supers : the S wider concepts.
    pairs : int64 (P, 2), numbers of a super-concept and of a concept that is one of its parts.
    """

    names: tuple[str, ...]
    tokens: tuple[Ints, ...]
    depths: Floats
    supers: tuple[SuperConcept, ...]
    pairs: Ints

    @cached_property
    def families(self) -> tuple[Ints, Ints]:
        """The families, by number, of the supers (S,) and of the concepts (C,).

        Super-concepts that have a part in common are of one family, and so are all their parts; a concept that is part
        of none is a family by itself.
        """
        count = len(self.names)
        edges = [(part, count + i) for i, wider in enumerate(self.supers) for part in wider.parts]
        parts, wider = np.array(edges, dtype=np.int64).reshape(-1, 2).T
        graph = sparse.coo_array((np.ones(len(parts)), (parts, wider)), shape=(count + len(self.supers),) * 2)
        _, family = connected_components(graph, directed=False)
        return family[count:].astype(np.int64), family[:count].astype(np.int64)

    def super_tokens(self, number: int) -> Ints:
        """Give the rows of the tokens of a super-concept, in order."""
        return np.unique(np.concatenate([self.tokens[part] for part in self.supers[number].parts]))


def tree_pairs(
    linkage: Floats, labels: ArrayLike, names: Sequence[str] | None = None, least: int = 2, most: int = MOST
) -> ConceptPairs:
    """Pair each concept of a cut of a merge tree with the lowest merge above it that holds enough concepts.

    The super-concept of a concept is the lowest merge above it that holds at least `least` concepts, the concept
    itself among them; a concept for which that merge holds more than `most` has none. With `least=2` it is the
    concept's parent in the tree. A concept's depth is the number of merges above it.

    Parameters
    ----------
    linkage : scipy's linkage matrix, float64 (tokens - 1, 4).
    labels : ints of shape (tokens,), each token's cluster, 0 .. C - 1: a cut of this tree.
    names : of the clusters; by default their numbers.
    least, most : concepts in a super-concept, 2 <= least <= most.

    Returns
    -------
    The pairs; a super-concept is named `N<node>` after scipy's number of the merge.

    Raises
    ------
    InputError
        if the labels are not a cut of the tree, or the bounds or the names do not fit.

    Examples
    --------
    >>> from conceptbench.builders.clustering import ward_tree
    >>> tree = ward_tree([[0.0], [1.0], [10.0], [12.0]])
    >>> pairs = tree_pairs(tree.linkage, [0, 1, 2, 3], ["a", "b", "c", "d"])
    >>> [(pairs.supers[wider].name, pairs.names[sub]) for wider, sub in pairs.pairs]
    [('N4', 'a'), ('N4', 'b'), ('N5', 'c'), ('N5', 'd')]
    """
    _check_bounds(least, most)
    merges = np.asarray(linkage)
    if merges.ndim != 2 or merges.shape[1] != 4:
        raise InputError(f"The merge tree must be of shape (tokens - 1, 4); this one is of shape {merges.shape}")
    values, cluster = checked_labels(labels, len(merges) + 1)
    cut = _Cut.of(merges, cluster, len(values))
    super_of = cut.lowest_merges(least, most)
    merges_above = sorted(set(super_of.values()))
    return ConceptPairs(
        names=_names(names, values),
        tokens=tokens_of(cluster, len(values)),
        depths=cut.depths[cut.nodes],
        supers=tuple(SuperConcept(f"N{node}", np.sort(cut.held[node])) for node in merges_above),
        pairs=_pairs([(merges_above.index(node), number) for number, node in super_of.items()]),
    )


@dataclass(frozen=True, eq=False)
class _Cut:
    """A cut of a merge tree into C clusters, with the merges above it; nodes are numbered as in scipy.

    `nodes` (C,) are the clusters' nodes; `parent` is the merge above each node, -1 for the root; `held` the clusters
    below each node that is not below the cut; `depths` the number of merges above each of these.
    """

    nodes: list[int]
    parent: Ints
    held: dict[int, list[int]]
    depths: Floats

    @classmethod
    def of(cls, merges: NDArray[Any], cluster: Ints, count: int) -> _Cut:
        """Find the clusters, int64 (tokens,), numbered below `count`, in the tree.

        Raises
        ------
        InputError
            if they are not a cut of it.
        """
        if len(np.unique(MergeTree(merges).cut(count) * count + cluster)) != count:
            raise InputError(f"The labels are not the cut of this tree into {count} clusters")
        leaves = len(cluster)
        children = merges[:, :2].astype(np.int64)
        parent = np.full(2 * leaves - 1, -1)
        parent[children] = np.arange(leaves, 2 * leaves - 1)[:, None]
        first_above = 2 * leaves - count  # the number of the first merge above the cut
        nodes = []
        for leaf in np.unique(cluster, return_index=True)[1].tolist():
            node = leaf
            while -1 < parent[node] < first_above:
                node = int(parent[node])
            nodes.append(node)
        held = {node: [number] for number, node in enumerate(nodes)}
        depths = np.zeros(2 * leaves - 1)
        for node in range(first_above, 2 * leaves - 1):
            left, right = children[node - leaves].tolist()
            held[node] = held[left] + held[right]
        for node in range(2 * leaves - 2, first_above - 1, -1):
            depths[children[node - leaves]] = depths[node] + 1
        return cls(nodes, parent, held, depths)

    def lowest_merges(self, least: int, most: int) -> dict[int, int]:
        """Give the lowest merge above each cluster that holds at least `least` clusters, if at most `most`."""
        merge_of: dict[int, int] = {}
        for number, start in enumerate(self.nodes):
            node = int(self.parent[start])
            while len(self.held[node]) < least and self.parent[node] >= 0:
                node = int(self.parent[node])
            if least <= len(self.held[node]) <= most:
                merge_of[number] = node
        return merge_of


def lexicon_pairs(tokens: Mapping[str, ArrayLike], lexicon: Mapping[str, GoldConcept] | None = None) -> ConceptPairs:
    """Pair each gold concept with its parent in the lexicon.

    The tokens of a concept are here those found for it and those of all its descendants, so that a super-concept
    without a child's tokens holds none of the child's children either. Its depth is the number of its ancestors.

    Parameters
    ----------
    tokens : of each gold concept, by id, the rows of the tokens that were found for it; a token may be of several
        concepts. Concepts without a token, their descendants' included, are left out.
    lexicon : by default the packaged one.

    Raises
    ------
    InputError
        if an id is not in the lexicon.
    """
    known = load_lexicon() if lexicon is None else lexicon
    unknown = [name for name in tokens if name not in known]
    if unknown:
        raise InputError(f"The lexicon has no concept {unknown[0]!r}")
    collected: dict[str, set[int]] = {name: set() for name in known}
    descendants: dict[str, list[str]] = {name: [name] for name in known}
    for name, gold in known.items():
        rows = set(np.asarray(tokens.get(name, ()), dtype=np.int64).tolist())
        collected[name] |= rows
        for wider in ancestors(gold, known):
            collected[wider.id] |= rows
            descendants[wider.id].append(name)
    names = [name for name in known if collected[name]]
    number = {name: i for i, name in enumerate(names)}
    parents = {name: known[name].parent for name in names}
    wider_names = sorted({parent for parent in parents.values() if parent is not None})
    return ConceptPairs(
        names=tuple(names),
        tokens=tuple(np.array(sorted(collected[name]), dtype=np.int64) for name in names),
        depths=np.array([float(len(ancestors(known[name], known))) for name in names]),
        supers=tuple(
            SuperConcept(name, np.array(sorted(number[part] for part in descendants[name] if part in number)))
            for name in wider_names
        ),
        pairs=_pairs(
            [(wider_names.index(parent), number[name]) for name, parent in parents.items() if parent is not None]
        ),
    )


def label_pairs(
    labels: ArrayLike,
    concept_labels: Sequence[str | None],
    names: Sequence[str] | None = None,
    least: int = 2,
    most: int = MOST,
) -> ConceptPairs:
    """Pair each concept with the wider concept that its label names: all concepts whose labels say as much or more.

    A label's super-concept is all concepts whose label is equal to it or contains it as whole words in a row, case
    ignored: "past tense verbs" is within "verbs". Each concept is paired with the longest such label (in words, then
    in letters, then by alphabet) that at least `least` and at most `most` concepts are within. All depths are 0.

    Parameters
    ----------
    labels : ints of shape (tokens,), each token's cluster, 0 .. C - 1.
    concept_labels : the label of each of the C clusters, or None where there is none.
    names : of the clusters; by default their numbers.
    least, most : concepts in a super-concept, 2 <= least <= most.

    Raises
    ------
    InputError
        if there is not one label a cluster, or the bounds or the names do not fit.

    Examples
    --------
    >>> label_pairs([0, 1, 2], ["verbs", "past tense verbs", "names"]).pairs.tolist()
    [[0, 0], [0, 1]]
    """
    _check_bounds(least, most)
    values, concept = checked_labels(labels, np.size(labels))
    if len(concept_labels) != len(values):
        raise InputError(f"There are {len(values)} clusters and {len(concept_labels)} labels of clusters")
    plain = [" ".join(re.findall(r"\w+", (label or "").casefold())) for label in concept_labels]
    within = _within(plain)
    super_of = _longest_labels(plain, within, least, most)
    wider = sorted(set(super_of.values()))
    return ConceptPairs(
        names=_names(names, values),
        tokens=tokens_of(concept, len(values)),
        depths=np.zeros(len(values)),
        supers=tuple(
            SuperConcept(label, np.array([i for i, text in enumerate(plain) if text in within[label]]))
            for label in wider
        ),
        pairs=_pairs([(wider.index(super_of[text]), i) for i, text in enumerate(plain) if text in super_of]),
    )


def _within(labels: Sequence[str]) -> dict[str, set[str]]:
    """Give the labels within each label, itself among them: the longest labels first."""
    distinct = {label for label in labels if label}
    return {
        label: {narrower for narrower in distinct if f" {label} " in f" {narrower} "}
        for label in sorted(distinct, key=lambda label: (-len(label.split()), -len(label), label))
    }


def _longest_labels(labels: Sequence[str], within: Mapping[str, set[str]], least: int, most: int) -> dict[str, str]:
    """Give the longest label that each label is within, of those that `least` to `most` concepts are within."""
    counts = Counter(labels)
    longest: dict[str, str] = {}
    for label, narrower in within.items():
        if least <= sum(counts[text] for text in narrower) <= most:
            for text in narrower:
                longest.setdefault(text, label)
    return longest


def tokens_of(concept: Ints, count: int) -> tuple[Ints, ...]:
    """Give the rows of the tokens of each concept from each token's concept, int64 (tokens,).

    Examples
    --------
    >>> [rows.tolist() for rows in tokens_of(np.array([1, 0, 1]), 2)]
    [[1], [0, 2]]
    """
    order = np.argsort(concept, kind="stable")
    return tuple(np.split(order, np.cumsum(np.bincount(concept, minlength=count))[:-1]))


def _pairs(pairs: list[tuple[int, int]]) -> Ints:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _names(names: Sequence[str] | None, values: Sequence[object]) -> tuple[str, ...]:
    if names is None:
        return tuple(map(str, values))
    if len(names) != len(values):
        raise InputError(f"There are {len(values)} concepts and {len(names)} names")
    return tuple(names)


def _check_bounds(least: int, most: int) -> None:
    if not 2 <= least <= most:
        raise InputError(f"A super-concept holds at least 2 concepts: least={least}, most={most} is not possible")
