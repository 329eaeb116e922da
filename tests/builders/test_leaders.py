"""The leaders algorithm against a plain loop over the vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from conceptbench.builders.leaders import leaders, leaders_at
from conceptbench.runtime.errors import InputError


def one_by_one(points: np.ndarray, threshold: float) -> list[int]:
    """The algorithm as it is told: each vector joins the nearest leader so far, or becomes one."""
    heads: list[np.ndarray] = []
    labels = []
    for point in points.astype(np.float64):
        distances = [float(np.square(point - head).sum()) for head in heads]
        if distances and min(distances) <= threshold**2:
            labels.append(distances.index(min(distances)))
        else:
            labels.append(len(heads))
            heads.append(point)
    return labels


def clouds(n: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(40, 12), scale=3)
    return (1000 + centres[generator.integers(40, size=n)] + generator.normal(size=(n, 12))).astype(np.float32)


@settings(deadline=None, max_examples=150)
@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 60), st.integers(1, 3)), elements=st.integers(-3, 3).map(float)),
    st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0, 20.0]),
)
def test_with_ties_it_is_the_plain_loop(points: np.ndarray, threshold: float) -> None:
    assert leaders(points, threshold).tolist() == one_by_one(points, threshold)


@pytest.mark.parametrize("threshold", [0.0, 2.5, 4.0, 5.5, 9.0, 1000.0])
def test_over_several_blocks_it_is_the_plain_loop(threshold: float) -> None:
    points = clouds(700)
    labels = leaders(points, threshold)
    assert labels.dtype == np.int64
    assert labels.tolist() == one_by_one(points, threshold)


def test_many_leaders_equally_near() -> None:
    points = np.vstack([np.eye(90), np.full((300, 90), 0.5), np.eye(90)[::-1]])
    assert leaders(points, 1.2).tolist() == one_by_one(points, 1.2)
    assert leaders(points, 5.0).tolist() == one_by_one(points, 5.0)


def test_ties_are_seen_where_a_matrix_product_cannot_tell() -> None:
    points = np.random.default_rng(0).integers(-4, 5, size=(900, 3)).astype(float)
    points[0] = 1e9
    assert leaders(points, 1.5).tolist() == one_by_one(points, 1.5)


@pytest.mark.parametrize("k", [1, 2, 37, 150, 600])
def test_the_threshold_is_found_that_gives_about_k(k: int) -> None:
    labels = leaders_at(clouds(2000), k)
    found = labels.max() + 1
    assert 0.9 * k <= found <= k
    assert len(np.unique(labels)) == found
    _, first = np.unique(labels, return_index=True)
    assert (np.diff(first) > 0).all()


def test_no_more_clusters_than_distinct_vectors() -> None:
    points = np.repeat(np.arange(5.0)[:, None], 4, axis=0)
    assert leaders_at(points, 9).tolist() == np.repeat(np.arange(5), 4).tolist()
    assert leaders_at(points, 20).max() == 4


@pytest.mark.parametrize("threshold", [-1.0, np.nan, np.inf])
def test_a_threshold_is_a_distance(threshold: float) -> None:
    with pytest.raises(InputError, match="at least 0"):
        leaders(np.zeros((2, 2)), threshold)


@pytest.mark.parametrize("points", [np.zeros(3), np.zeros((0, 2)), np.array([[0.0], [np.nan]])])
def test_vectors_that_are_none(points: np.ndarray) -> None:
    with pytest.raises(InputError):
        leaders(points, 1.0)


@pytest.mark.parametrize("k", [0, 4])
def test_a_k_that_is_not_possible(k: int) -> None:
    with pytest.raises(InputError, match=f"-k {k}"):
        leaders_at(np.zeros((3, 2)), k)
