"""Clusters of word vectors: exact Ward agglomerative clustering without a distance matrix, and k-means.

**The method.** Ward (1963) joins, again and again, the two clusters A, B whose union adds least variance,
which in scipy's scale, where the height of a merge is d, is the smallest

    d²(A, B) = 2·|A|·|B| / (|A| + |B|) · ‖mean(A) - mean(B)‖²                                          (1)

**Why merging many pairs at once is exact.** Lance and Williams' formula for the distance to a union AB,

    d²(AB, C) = [(a+c)·d²(A, C) + (b+c)·d²(B, C) - c·d²(A, B)] / (a+b+c),   a, b, c the sizes,         (2)

is no less than both d²(A, C) and d²(B, C) are, wherever d²(A, B) is no more than they: Ward is *reducible*
(Bruynooghe 1977), a merge brings no cluster closer to another. So two clusters that are each other's nearest
neighbours stay so until they merge, whatever merges elsewhere, and merging all such pairs in any order and
sorting the merges by height gives the tree of merging the cheapest pair each time (Murtagh & Legendre 2014).

**How nearest neighbours are known without all distances.** Each cluster keeps a short list of others with a
lower bound on the distance to each, and one lower bound, the *floor*, on the distance to everything not on the
list. Its nearest neighbour is certain once the smallest bound on the list has been replaced by the distance
itself, in float64 by (1), and is not above the floor. Merges elsewhere leave all bounds true, because Ward is
reducible; the list and floor of a union follow from its parents' by (2). A cluster whose list can no longer
tell is *lost*, and is compared with all active clusters anew: by blocks of matrix products in low precision,
each made smaller by more than its rounding error, so that it is a true bound too. Where a precision does not
suffice the next higher one is used, and directly computed distances in the end. Low precision may thus cost
comparisons, never exactness.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray

from conceptbench.runtime.errors import InputError
from conceptbench.runtime.threads import torch_workers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Progress = Callable[[int, int], None]
Vectors = NDArray[np.floating] | torch.Tensor

_LISTED = 16  # neighbours on a cluster's list: longer ones are searched for less often but cost more to keep
_FEW = 0.02  # search for the lost clusters when a round has found fewer pairs than this share of the active ones
_ROWS = 2048  # rows handled at once wherever a row costs a few vectors: the work stays in the processor's cache
_CELLS = 2**23  # cells of one block of a matrix product
_TINY = 2.0**-100  # more than all that products of numbers too small for float32 add up to


@dataclass(frozen=True, eq=False)
class MergeTree:
    """A tree of merges.

    `linkage`: float64 array (n-1, 4) in scipy's convention. Row i makes node n+i of the nodes `left` < `right` (ids
    below n are vectors), with `height` (rows are sorted by it) and `size`, the number of vectors in it.
    """

    linkage: Floats

    def cut(self, k: int) -> Ints:
        """Cut the tree into `k` clusters: int64 array (n,) of labels 0..k-1, numbered by first appearance.

        Raises InputError where `k` is not within 1..n.
        """
        n = len(self.linkage) + 1
        check_k(k, n)
        merges = n - k
        top = np.arange(n + merges)
        top[self.linkage[:merges, :2].astype(np.int64)] = np.arange(n, n + merges)[:, None]
        while not np.array_equal(above := top[top], top):
            top = above
        return _by_first_appearance(top[:n])


def ward_tree(
    vectors: Vectors, *, device: str | torch.device | None = None, progress: Progress | None = None
) -> MergeTree:
    """Cluster `vectors`, an array (n, d), by Ward's method (1963), exactly; the tree is scipy's `ward(vectors)`.

    Memory grows with n·d; no n x n matrix is held. Where merges tie, the tree is one of the equally right ones.
    The same input gives the same bytes. `device` is torch's, by default the CPU; `progress` is called with the
    merges done and the merges in all. Raises InputError for a wrong shape or for values that are not finite.

    Examples
    --------
    >>> tree = ward_tree(np.array([[0.0], [1.0], [10.0], [12.0]]))
    >>> tree.linkage[:2]
    array([[0., 1., 1., 2.],
           [2., 3., 2., 2.]])
    >>> tree.cut(2)
    array([0, 0, 1, 1])
    """
    points = checked_vectors(vectors)
    n = len(points)
    group, merges = _merge_duplicates(points)
    _, first, sizes = np.unique(group, return_index=True, return_counts=True)
    nodes = first.copy()
    nodes[group[merges.right]] = merges.node  # the last merge of a group represents it
    points = points[first]
    scale = _centre(points)
    with torch_workers() as workers:
        clusters = _Clusters(points, sizes, nodes, n, torch.device(device or "cpu"), workers)
        rounds = [merges, *clusters.merge_all(lambda done: progress(done, n - 1) if progress else None)]
    return MergeTree(_linkage(rounds, n, scale))


def kmeans(vectors: Vectors, k: int, seed: int) -> Ints:
    """Cluster `vectors`, an array (n, d), into `k` by scikit-learn's k-means: int64 labels (n,), as `cut` numbers them.

    Raises InputError for a wrong shape, values that are not finite, or `k` not within 1..n.
    """
    from sklearn.cluster import KMeans

    points = checked_vectors(vectors)
    check_k(k, len(points))
    return _by_first_appearance(KMeans(n_clusters=k, random_state=seed).fit_predict(points))


@dataclass(frozen=True)
class _Merges:
    """Merges of one round: arrays (m,). `squared` is d², in the points' own scale; `size` counts vectors."""

    left: Ints
    right: Ints
    node: Ints
    squared: Floats
    size: Floats


class _Clusters:
    """The active clusters. A cluster sits in a row of the arrays below; a union takes over a row of one parent."""

    def __init__(
        self,
        points: Floats,
        sizes: Ints,
        nodes: Ints,
        leaves: int,
        device: torch.device,
        workers: ThreadPoolExecutor,
    ) -> None:
        rows = len(points)
        self.leaves = leaves
        self.device = device
        self.workers = workers
        self.means = points
        self.size = sizes.astype(np.float64)
        self.squared = np.zeros(rows)  # d² of the merge that made the cluster
        self.node = nodes
        self.active = np.arange(rows)
        # For every node ever made: the row that holds or held it, and the node that it is part of now.
        self.next_node = 2 * leaves - rows
        self.row = np.full(2 * leaves - 1, -1)
        self.row[nodes] = np.arange(rows)
        self.part_of = np.arange(2 * leaves - 1)
        # The lists. An entry is a bound; `known` marks one that is the distance to the node itself.
        self.listed = np.repeat(nodes[:, None], _LISTED, axis=1)
        self.bound = np.full((rows, _LISTED), np.inf)
        self.known = np.zeros((rows, _LISTED), dtype=bool)
        self.floor = np.zeros(rows)
        # What follows from them: the row and d² of the nearest neighbour; -1 and -inf where lost.
        self.nearest = np.full(rows, -1)
        self.nearest_squared = np.full(rows, -np.inf)
        self.precisions = _precisions(device)

    def merge_all(self, report: Callable[[int], None]) -> Iterator[_Merges]:
        """Merge until one cluster is left. Yields the merges of each round."""
        while len(self.active) > 1:
            left, right = self._mutual_pairs()
            lost = self.active[self.nearest[self.active] < 0]
            if len(lost) and len(left) <= _FEW * len(self.active):
                self._search(lost)
                continue
            yield self._merge(left, right)
            report(self.next_node - self.leaves)

    def _mutual_pairs(self) -> tuple[Ints, Ints]:
        """Disjoint pairs of rows that are each other's nearest neighbours: at least one, if no cluster is lost.

        Under ties a cluster may have several nearest neighbours, of which it names one; so the pair counts if the
        distance is also the other's smallest. Of pairs that share a cluster the one with the smallest key is taken.
        The keys are scrambled: by index, a chain of ties (vectors on a grid) would give one merge a round.
        """
        source = self.active[self.nearest[self.active] >= 0]
        target = self.nearest[source]
        mutual = self.nearest_squared[target] >= self.nearest_squared[source]
        source, target = source[mutual], target[mutual]
        key = source * 0x9E3779B1 & 0xFFFFFFFF
        smallest = np.full(len(self.size), 2**32)
        np.minimum.at(smallest, source, key)
        np.minimum.at(smallest, target, key)
        chosen = (smallest[source] == key) & (smallest[target] == key)
        source, target = source[chosen], target[chosen]
        return np.minimum(source, target), np.maximum(source, target)

    def _merge(self, left: Ints, right: Ints) -> _Merges:
        """Merge the pairs of rows; each union sits in the row `left`."""
        a, b = self.size[left], self.size[right]
        # Heights never fall from child to parent; rounding must not make them.
        between = np.maximum(self.nearest_squared[left], self.nearest_squared[right])
        squared = np.maximum(between, np.maximum(self.squared[left], self.squared[right]))
        new = np.arange(self.next_node, self.next_node + len(left))
        merges = _Merges(self.node[left], self.node[right], new, squared, a + b)

        self.means[left] += (b / (a + b))[:, None] * (self.means[right] - self.means[left])
        self.size[left] = a + b
        self.squared[left] = squared
        self.part_of[merges.left] = self.part_of[merges.right] = new
        self.row[new] = left
        self.node[left] = new
        self.next_node += len(new)

        changed = np.zeros(len(self.size), dtype=bool)
        changed[left] = changed[right] = True
        bereft = self.active[
            (self.nearest[self.active] >= 0) & changed[self.nearest[self.active]] & ~changed[self.active]
        ]
        for part in _parts(len(left), _ROWS):
            self._inherit(left[part], right[part], a[part, None], b[part, None], between[part, None])
        changed[left] = False
        self.active = self.active[~changed[self.active]]
        self._settle(np.concatenate([bereft, left]))
        return merges

    def _inherit(self, left: Ints, right: Ints, a: Floats, b: Floats, between: Floats) -> None:
        """Make the lists and floors of unions, in rows `left`, of their parents', by (2).

        A node on a list that has since become part of X bounds the distance to X only together with the floor and
        with the other parts of X that are on the list.
        """
        in_a, bound_a, floor_a = self._current_list(left)
        in_b, bound_b, floor_b = self._current_list(right)
        same = in_a[:, :, None] == in_b[:, None, :]
        from_b = np.where(same, bound_b[:, None, :], np.inf).min(axis=2)
        from_b = np.where(same.any(axis=2), from_b, floor_b)
        c_a, c_b = self.size[self.row[in_a]], self.size[self.row[in_b]]
        union_a = _distance_to_union(bound_a, from_b, between, a, b, c_a)
        union_b = _distance_to_union(floor_a, bound_b, between, a, b, c_b)
        itself = self.node[left, None]
        union_a[in_a == itself] = np.inf
        union_b[(in_b == itself) | same.any(axis=1)] = np.inf

        listed, bound = np.hstack([in_a, in_b]), np.hstack([union_a, union_b])
        order = bound.argpartition(_LISTED, axis=1)
        nearest, dropped = order[:, :_LISTED], order[:, _LISTED, None]
        self.listed[left] = np.take_along_axis(listed, nearest, axis=1)
        self.bound[left] = np.take_along_axis(bound, nearest, axis=1)
        self.known[left] = False
        # Both floors are at least `between`, so (2) rises with c: it is least for an unlisted cluster of size 1.
        floor = _distance_to_union(floor_a, floor_b, between, a, b, np.ones_like(a))
        floor = np.minimum(floor, np.take_along_axis(bound, dropped, axis=1))
        self.floor[left] = floor[:, 0]

    def _current_list(self, rows: Ints) -> tuple[Ints, Floats, Floats]:
        """The lists of `rows`, in terms of the present nodes: nodes and bounds (r, listed), floors (r, 1)."""
        listed, floor = self.listed[rows], self.floor[rows, None]
        now = self._now(listed)
        return now, np.where(now == listed, self.bound[rows], np.minimum(self.bound[rows], floor)), floor

    def _now(self, nodes: Ints) -> Ints:
        """The nodes that `nodes` are part of now."""
        now = self.part_of[nodes]
        while not np.array_equal(above := self.part_of[now], now):
            now = above
        self.part_of[nodes] = now
        return now

    def _settle(self, rows: Ints) -> None:
        """Find the nearest neighbours of `rows` from their lists, or mark them lost."""
        self.nearest[rows] = -1
        self.nearest_squared[rows] = -np.inf
        while len(rows):
            entry = self.bound[rows].argmin(axis=1)
            rows, entry = _where(self.bound[rows, entry] <= self.floor[rows], rows, entry)
            node = self.listed[rows, entry]
            known = self.known[rows, entry] & (self.part_of[node] == node)
            certain = rows[known]
            self.nearest[certain] = self.row[node[known]]
            self.nearest_squared[certain] = self.bound[certain, entry[known]]

            rows, entry, node = _where(~known, rows, entry, node)
            node = self._now(node)
            self.listed[rows, entry] = node
            self.bound[rows, entry] = self._distances(rows, self.row[node])
            self.known[rows, entry] = True

    def _distances(self, left: Ints, right: Ints) -> Floats:
        """d² by (1) between pairs of rows, in float64; the same whichever of the two comes first."""

        def squared(part: slice) -> Floats:
            difference = self.means[left[part]]
            difference -= self.means[right[part]]
            return _squared_lengths(difference)

        a, b = self.size[left], self.size[right]
        lengths = self.workers.map(squared, _parts(len(left), _ROWS))
        distances: Floats = 2 * a * b / (a + b) * np.concatenate([np.empty(0), *lengths])
        return distances

    def _search(self, lost: Ints) -> None:
        """Compare the lost rows with all active clusters, in ever higher precision until each has its neighbour."""
        for precision in list(self.precisions):
            before = len(lost)
            self._scan(lost, precision)
            self._settle(lost)
            lost = lost[self.nearest[lost] < 0]
            if not len(lost):
                return
            if len(lost) > before / 2 and precision is not None:
                self.precisions.remove(precision)  # these data are too fine for it

    def _scan(self, rows: Ints, precision: torch.dtype | None) -> None:
        """Give `rows` new lists and floors from bounds in `precision` on the distances to all active clusters."""
        columns = _Columns(self, precision)
        blocks = [rows[part] for part in _parts(len(rows), max(16, _CELLS // len(self.active)))]
        for block, neighbourhood in zip(blocks, self.workers.map(columns.nearest, blocks), strict=True):
            neighbours, bounds, floor = neighbourhood
            width = neighbours.shape[1]
            self.listed[block] = self.node[block, None]
            self.listed[block, :width] = self.node[neighbours]
            self.bound[block] = np.inf
            self.bound[block, :width] = bounds
            self.known[block] = False
            # Where distances are compared directly, rounding must not put the nearest of equally near above the floor.
            self.floor[block] = floor if precision is not None else floor * (1 + 2.0**-30)

    def tensor(self, array: NDArray[np.generic]) -> torch.Tensor:
        """The array on the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


class _Columns:
    """All active clusters, among which neighbours are searched for in one precision.

    They are taken in groups of `depth`, by size, so that a group's clusters have nearly one size and its smallest
    product gives a good bound for the whole group. Group g holds the columns g, g + width, g + 2·width, ..., since
    minima over such strides are fast.
    """

    def __init__(self, clusters: _Clusters, precision: torch.dtype | None) -> None:
        active = clusters.active
        self.clusters = clusters
        self.precision = precision
        self.depth = 2 ** int(np.log2(max(1, len(active) / _LISTED)) / 2)
        self.width = -(-len(active) // self.depth)
        by_size = active[np.argsort(clusters.size[active], kind="stable")]
        # To fill the groups the last is repeated; a cluster that is included twice does no harm.
        padded = np.pad(by_size, (0, self.width * self.depth - len(active)), mode="edge")
        grouped = padded.reshape(self.width, self.depth)
        self.rows = grouped.T.flatten()
        self.least_size = clusters.size[grouped].min(axis=1)
        parts = [self.rows[part] for part in _parts(len(self.rows), _ROWS)]
        self.matrix = torch.cat(list(clusters.workers.map(self._right_factor, parts)))

    def nearest(self, rows: Ints) -> tuple[Ints, Floats, Floats]:
        """The nearest neighbours of `rows`: their rows and bounds (r, listed), and the floors (r,) of all the rest.

        Only the members of the groups with the smallest bounds are looked at; the next group's bounds all the
        others.
        """
        tensor = self.clusters.tensor
        products = self._products(self._factor(rows, left=True))
        weight = self._weight(tensor(self.clusters.size[rows])[:, None], tensor(self.least_size))
        least = products.view(len(rows), self.depth, self.width).amin(dim=1)
        groups, beyond_groups = _smallest(least * weight)
        steps = torch.arange(self.depth, device=groups.device) * self.width
        members = (groups[:, None, :] + steps[:, None]).flatten(1)
        bounds = products.gather(1, members) * weight.gather(1, groups).repeat(1, self.depth)
        bounds.masked_fill_(tensor(self.rows)[members] == tensor(rows)[:, None], torch.inf)
        nearest, beyond_members = _smallest(bounds)
        floor = torch.minimum(beyond_groups, beyond_members)
        neighbours = self.rows[members.gather(1, nearest).cpu().numpy()]
        return neighbours, _at_least_zero(bounds.gather(1, nearest)), _at_least_zero(floor)

    def _products(self, left: torch.Tensor) -> torch.Tensor:
        """‖x - y‖² (r, columns) or, in any precision, no more than that and the rounding of the result."""
        if self.precision is not None:
            return left @ self.matrix.T
        mode = "donot_use_mm_for_euclid_dist"
        return torch.cdist(left, self.matrix, compute_mode=mode).square_()

    def _weight(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """The factor of (1) for sizes a (r, 1) and b (c,), less what rounding may add to the product and to itself."""
        if self.precision is None:
            return 2 / (1 / a + 1 / b)
        work = torch.float64 if self.precision == torch.float64 else torch.float32
        rounding = torch.finfo(self.precision).eps / 2 + 16 * torch.finfo(work).eps
        return (2 - 2 * rounding) / ((1 / a).to(work) + (1 / b).to(work))

    def _factor(self, rows: Ints, *, left: bool) -> torch.Tensor:
        """The clusters' means (r, d) or, in a precision, a matrix (r, d+8): one side of the products.

        With x and y the means, x' and y' as rounded to the precision, and e_x = ‖x - x'‖, a product is

            ‖x‖² + ‖y‖² - 2·x'·y' - 2·(e_x·‖y‖ + (‖x‖ + e_x)·e_y) - s·(‖x‖ + e_x)² - s·(‖y‖ + e_y)².

        The first bracket is the most, by Cauchy and Schwarz, that rounding the means can add to -2·x·y. The last
        two terms are more than rounding adds in K products and sums, done in float32 or float64 in any order: at
        most K·eps/2 times the sum of the terms' absolute values (Higham 2002, section 3.1), which is hardly above
        (‖x'‖ + ‖y'‖)², for which s = K·eps would do; s is twice that.
        """
        clusters, precision = self.clusters, self.precision
        if precision is None:
            return clusters.tensor(clusters.means[rows])
        terms = clusters.means.shape[1] + 8
        s = 2 * terms * torch.finfo(torch.float64 if precision == torch.float64 else torch.float32).eps
        up = 1 + torch.finfo(precision).eps
        means = clusters.means[rows]
        rounded = torch.from_numpy(means).to(precision)
        moved = means - rounded.double().numpy()
        error, squared = np.sqrt(_squared_lengths(moved)), _squared_lengths(means)
        norm = np.sqrt(squared)
        pieces = _three_pieces(squared - s * (norm + error) ** 2 - _TINY, precision)
        ones = [torch.ones(len(means), dtype=precision)] * 3
        cross = [up * 2 * error, up * (norm + error)] if left else [-up * norm, -up * 2 * error]
        columns = [*(pieces + ones if left else ones + pieces), *(torch.from_numpy(x).to(precision) for x in cross)]
        matrix = torch.hstack([-2 * rounded if left else rounded, torch.stack(columns, dim=1)])
        return matrix.to(clusters.device)

    def _right_factor(self, rows: Ints) -> torch.Tensor:
        return self._factor(rows, left=False)


def _squared_lengths(rows: Floats) -> Floats:
    lengths: Floats = np.einsum("ij,ij->i", rows, rows)
    return lengths


def _smallest(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of values (r, c): the columns (r, ≤ listed) of the smallest, and the smallest value (r,) of the others or inf."""
    if values.shape[1] <= _LISTED:
        every = torch.arange(values.shape[1], device=values.device).expand(len(values), -1)
        return every, torch.full_like(values[:, 0], torch.inf)
    smallest, columns = values.topk(_LISTED + 1, dim=1, largest=False)
    return columns[:, :_LISTED], smallest[:, _LISTED]


def _at_least_zero(bounds: torch.Tensor) -> Floats:
    """As float64; a bound below zero says no more than zero."""
    return np.asarray(bounds.clamp(min=0).double().cpu().numpy())


def _three_pieces(x: Floats, precision: torch.dtype) -> list[torch.Tensor]:
    """Three tensors like `x` (r,) in `precision` that add up to it but for a rounding error of float32 or less."""
    rest = torch.from_numpy(x)
    pieces = []
    for _ in range(3):
        pieces.append(rest.to(precision))
        rest = rest - pieces[-1].double()
    return pieces


def _precisions(device: torch.device) -> list[torch.dtype | None]:
    """The precisions to search in, cheapest first; None is for distances computed directly.

    bfloat16 where the processor multiplies it natively, with sums in float32; float32 unless torch has been told
    that it may multiply it in less.
    """
    precisions: list[torch.dtype | None] = [torch.float64, None]
    try:
        full_float32 = torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set by the newer interface, which the older one then refuses to describe
        full_float32 = False
    if full_float32:
        precisions.insert(0, torch.float32)
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch has none
    if device.type == "cpu" and torch.backends.mkldnn.enabled and capabilities.get("avx512_bf16"):
        precisions.insert(0, torch.bfloat16)
    return precisions


def _distance_to_union(to_a: Floats, to_b: Floats, between: Floats, a: Floats, b: Floats, c: Floats) -> Floats:
    """d²(A∪B, C) by (2), from d² of A and C, B and C, A and B, and the sizes; of bounds, a bound."""
    union: Floats = ((a + c) * to_a + (b + c) * to_b - c * between) / (a + b + c)
    return union


def checked_vectors(vectors: Vectors) -> Floats:
    """Give a float64 copy of vectors (n, d); raise InputError where they are not a table of finite numbers."""
    array = vectors.detach().double().cpu().numpy() if isinstance(vectors, torch.Tensor) else np.asarray(vectors)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiu":
        raise InputError(
            f"Clustering needs a table of numbers, one row a vector; this one is of shape {array.shape}, {array.dtype}"
        )
    points = np.array(array, dtype=np.float64, order="C")
    for part in _parts(len(points), _ROWS):
        bad = np.flatnonzero(~np.isfinite(points[part]).all(axis=1))
        if len(bad):
            raise InputError(f"Vector {part.start + bad[0]} holds a value that is not a finite number")
    return points


def check_k(k: int, n: int) -> None:
    """Raise InputError where `k` clusters of `n` vectors are not possible."""
    if k < 1:
        raise InputError(f"-k {k} asks for no concept; ask for at least 1")
    if k > n:
        raise InputError(f"-k {k} asks for more concepts than the {n} tokens there are; ask for at most {n}")


def _merge_duplicates(points: Floats) -> tuple[Ints, _Merges]:
    """Equal points: the group (n,) of each, by first appearance, and the merges, at 0, that make the groups."""
    n = len(points)
    groups: dict[bytes, int] = {}
    group = np.array([groups.setdefault(blake2b(row, digest_size=16).digest(), len(groups)) for row in points])
    order = np.argsort(group, kind="stable")
    repeats = np.append(False, group[order][1:] == group[order][:-1])
    at = np.flatnonzero(repeats)
    start = np.maximum.accumulate(np.where(repeats, 0, np.arange(n)))
    node = np.arange(n, n + len(at))
    left = np.where(repeats[at - 1], node - 1, order[at - 1])
    size = (at - start[at] + 1).astype(np.float64)
    return group, _Merges(left, order[at], node, np.zeros(len(at)), size)


def _centre(points: Floats) -> int:
    """Take the mean off the points and divide them by 2**scale, so that they lie within -1..1. In place; the scale."""
    points -= points.mean(axis=0)
    scale = int(np.frexp(np.abs(points).max())[1])
    np.ldexp(points, -scale, out=points)
    return scale


def _linkage(rounds: list[_Merges], n: int, scale: int) -> Floats:
    """scipy's linkage matrix (n-1, 4) of merges found in rounds, in the order of their nodes."""
    squared = np.concatenate([merges.squared for merges in rounds])
    order = np.argsort(squared, kind="stable")  # no parent is below its child, and none was made before it
    number = np.arange(2 * n - 1)
    number[n + order] = np.arange(n, 2 * n - 1)
    children = np.stack(
        [number[np.concatenate([getattr(merges, side) for merges in rounds])[order]] for side in ("left", "right")]
    )
    height = np.ldexp(np.sqrt(squared[order]), scale)
    size = np.concatenate([merges.size for merges in rounds])[order]
    return np.column_stack([children.min(axis=0), children.max(axis=0), height, size])


def _by_first_appearance(labels: NDArray[np.generic]) -> Ints:
    """Number labels (n,) of any kind 0, 1, … in the order in which they first appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _where(mask: NDArray[np.bool_], *arrays: Ints) -> Iterator[Ints]:
    return (array[mask] for array in arrays)


def _parts(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover range(n)."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
