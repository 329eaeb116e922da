"""The null of a store's concepts: clusters of the same vectors with every neuron permuted independently.

Clusters can be told apart by construction, whatever they contain. Permuted vectors have the same values of each neuron,
but their neurons are independent of each other: their clusters mean nothing, and the scores of probes of these clusters
are due to clustering alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import linkage

from conceptbench.builders.clustering import MergeTree, ward_tree
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.files import sha256, whole
from conceptbench.runtime.progress import Progress

_COLUMNS = 64
_ROWS = 512
_MATRIX = 25_000
"""Up to this number of tokens all distances are kept in memory, which takes 5 GB. Points without any structure, such as
permuted vectors, have few neighbours that are each other's nearest, and an algorithm that needs little memory is ten
times slower on them."""


def permuted(vectors: np.ndarray, seed: int, layer: int) -> np.ndarray:
    """Permute every neuron independently over the tokens: a new array of the shape and dtype of `vectors`."""
    generator = generator_of("null", seed, layer)
    result = np.empty(vectors.shape, vectors.dtype)
    for start in range(0, vectors.shape[1], _COLUMNS):
        result[:, start : start + _COLUMNS] = generator.permuted(vectors[:, start : start + _COLUMNS], axis=0)
    return result


def null_tree(
    vectors: np.ndarray, file: Path, seed: int, layer: int, device: str | None, progress: Progress
) -> MergeTree:
    """Give the merge tree of a layer's permuted vectors; one that an earlier run wrote to the file's folder is read.

    Parameters
    ----------
    vectors : not yet permuted, mapped from a file, whose digest tells whether a tree is of these vectors.
    file : the `.npy` file that the tree is written to; the digest and the seed are added to its name.
    """
    digest = sha256(Path(str(vectors.filename)))  # type: ignore[attr-defined]  # of a np.memmap
    tree_file = file.with_stem(f"{file.stem}-{digest[:16]}-{seed}")
    if tree_file.exists():
        return MergeTree(np.load(tree_file, allow_pickle=False))
    with progress.stage(f"Clustering permuted vectors, layer {layer}", len(vectors) - 1) as advance:
        done = 0

        def report(now: int, _all: int) -> None:
            nonlocal done
            advance(now - done)
            done = now

        points = permuted(vectors, seed, layer)
        if len(points) <= _MATRIX:
            tree = MergeTree(linkage(_distances(points), "ward"))
            advance(len(points) - 1)
        else:
            tree = ward_tree(points, device=device, progress=report)
    with whole(tree_file) as temporary, temporary.open("wb") as target:
        np.save(target, tree.linkage)
    return tree


def _distances(points: np.ndarray) -> np.ndarray:
    """Give the Euclidean distances of all pairs in scipy's condensed form, float64."""
    n = len(points)
    points = points - points.mean(axis=0)
    squares = np.einsum("ij,ij->i", points, points)
    condensed, filled = np.empty(n * (n - 1) // 2), 0
    for start in range(0, n, _ROWS):
        block = points[start : start + _ROWS] @ points[start:].T
        block = squares[start : start + _ROWS, None] + squares[None, start:] - 2 * block
        np.sqrt(np.maximum(block, 0, out=block), out=block)
        for row, values in enumerate(block):
            condensed[filled : filled + n - start - row - 1] = values[row + 1 :]
            filled += n - start - row - 1
    return condensed
