"""A layer's merge tree, which can be walked up from a concept to the root, and down to its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Tree:
    """A merge tree over n tokens. Nodes below n are tokens, node n + i is the merge of row i, 2n - 2 is the root.

    Attributes
    ----------
    children : the two nodes that a merge joins, int64 of shape (n - 1, 2).
    heights : of the merges, float64 of shape (n - 1,).
    parents : of each node, int64 of shape (2n - 1,); that of the root is the root itself.
    leaves : the tokens in an order in which the tokens of each node are adjacent, int64 of shape (n,).
    starts, sizes : of each node, the index of its first token in `leaves`, and their number, int64 of shape (2n - 1,).
    owners : of each node, the concept that has all of its tokens, or -1, int64 of shape (2n - 1,).
    """

    children: np.ndarray
    heights: np.ndarray
    parents: np.ndarray
    leaves: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    owners: np.ndarray

    @classmethod
    def of(cls, linkage: np.ndarray, owner: np.ndarray) -> Tree:
        """Make a tree from a linkage in scipy's convention and the concept of each token.

        Raises
        ------
        ValueError
            if it is no tree of these tokens.
        """
        n = len(owner)
        children = linkage[:, :2].astype(np.int64)
        nodes = np.arange(n, 2 * n - 1)
        if len(linkage) != n - 1 or n < 1:
            raise ValueError(f"{len(linkage)} merges do not join {n} tokens")
        inside = (children >= 0).all() and (children < nodes[:, None]).all()
        if not inside or len(np.unique(children)) != children.size:
            raise ValueError("a merge joins what is not there, or was merged before")
        parents = np.arange(2 * n - 1)
        parents[children] = nodes[:, None]
        sizes, starts = _sizes_and_starts(children.tolist(), n)
        leaves = np.argsort(starts[:n])
        ordered = owner[leaves]
        run = np.concatenate([[0], np.cumsum(np.diff(ordered) != 0)])
        alike = run[starts] == run[starts + sizes - 1]
        owners = np.where(alike, ordered[starts], -1)
        return cls(children, linkage[:, 2], parents, leaves, starts, sizes, owners)

    @property
    def root(self) -> int:
        """The node of all tokens."""
        return len(self.parents) - 1

    def height(self, node: int) -> float:
        """The height of the merge that made a node; 0 for a token."""
        n = len(self.leaves)
        return float(self.heights[node - n]) if node >= n else 0.0

    def below(self, node: int) -> list[int]:
        """The two nodes that a node joins, the larger one first; none for a token."""
        n = len(self.leaves)
        if node < n:
            return []
        return sorted(map(int, self.children[node - n]), key=lambda child: (-self.sizes[child], child))

    def tokens(self, node: int) -> np.ndarray:
        """The tokens in a node, int64 of shape (size,)."""
        start = self.starts[node]
        return np.sort(self.leaves[start : start + self.sizes[node]])

    def branches(self, concept: int) -> list[int]:
        """The largest nodes whose tokens are all in a concept, largest first; one where it was cut from this tree."""
        inside = self.owners == concept
        # The root is its own parent.
        tops = inside & ((self.owners[self.parents] != concept) | (np.arange(len(inside)) == self.root))
        return sorted(map(int, np.flatnonzero(tops)), key=lambda node: (-self.sizes[node], node))

    def up(self, node: int) -> Iterator[tuple[int, int]]:
        """Give the nodes above a node up to the root, each with the node that joined there."""
        while node != self.root:
            above = int(self.parents[node])
            yield above, next(child for child in self.below(above) if child != node)
            node = above


def _sizes_and_starts(children: list[list[int]], n: int) -> tuple[np.ndarray, np.ndarray]:
    sizes = [1] * n
    for left, right in children:
        sizes.append(sizes[left] + sizes[right])
    starts = [0] * (2 * n - 1)
    for i in range(n - 2, -1, -1):
        left, right = children[i]
        starts[left] = starts[n + i]
        starts[right] = starts[n + i] + sizes[left]
    return np.array(sizes), np.array(starts)
