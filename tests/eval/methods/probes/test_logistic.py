import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from conceptbench.eval.methods.probes.logistic import fit_logistic
from conceptbench.runtime.errors import InputError


def draw(n: int, width: int, apart: float, share: float = 0.5, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n, width) of two classes whose means are `apart` standard deviations from each other."""
    generator = np.random.default_rng([n, width])
    targets = np.arange(n) < max(1, round(share * n))
    vectors = generator.normal(size=(n, width)) + offset
    vectors[targets] += apart * np.ones(width) / np.sqrt(width)
    return vectors, targets


def reference(vectors: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None, **options: float):
    with warnings.catch_warnings():
        # At the limit of rounding its line search may find nothing lower, and says so.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(tol=1e-9, max_iter=100_000, **options).fit(vectors, targets, weights)


PROBLEMS = {
    "fewer rows than entries": draw(40, 96, apart=2.0),
    "more rows than entries": draw(400, 12, apart=1.0),
    "as many rows as entries": draw(30, 30, apart=1.0),
    "separable, few rows": draw(24, 64, apart=20.0),
    "separable, many rows": draw(200, 8, apart=20.0),
    "imbalanced": draw(60, 80, apart=1.0, share=0.05),
    "imbalanced, many rows": draw(500, 10, apart=1.0, share=0.01),
    "far from the origin": draw(50, 64, apart=2.0, offset=30.0),
    "all vectors the same": (np.ones((20, 30)), np.arange(20) < 4),
}


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_coefficients_are_those_of_scikit_learn(problem: str, c: float) -> None:
    vectors, targets = PROBLEMS[problem]
    expected = reference(vectors, targets, C=c)
    probes = fit_logistic(vectors, [np.arange(len(vectors))], [targets], c=c)
    np.testing.assert_allclose(probes.weights, expected.coef_, atol=1e-3, rtol=0)
    np.testing.assert_allclose(probes.logits[0], expected.decision_function(vectors), atol=1e-2, rtol=0)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("c", [1e-3, 1.0, 1e4])
def test_the_gradient_vanishes_at_the_optimum(problem: str, c: float) -> None:
    vectors, targets = PROBLEMS[problem]
    probes = fit_logistic(vectors, [np.arange(len(vectors))], [targets], c=c)
    signs = np.where(targets, 1.0, -1.0)
    pull = c * signs / (1 + np.exp(signs * (vectors @ probes.weights[0] + probes.biases[0])))
    np.testing.assert_allclose(probes.weights[0], vectors.T @ pull, atol=1e-6)
    assert pull.sum() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("c", [1e-3, 1.0, 1e4])
def test_float32_vectors_give_nearly_the_probes_of_float64(problem: str, c: float) -> None:
    vectors, targets = PROBLEMS[problem]
    narrow = vectors.astype(np.float32)
    rows = [np.arange(len(vectors))]
    probes, exact = (fit_logistic(array, rows, [targets], c=c) for array in (narrow, narrow.astype(np.float64)))
    np.testing.assert_allclose(probes.weights, exact.weights, atol=1e-5)
    np.testing.assert_allclose(probes.logits[0], exact.logits[0], atol=1e-4)


@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
@pytest.mark.parametrize("c", [0.1, 1.0])
@pytest.mark.parametrize("problem", ["fewer rows than entries", "more rows than entries", "imbalanced"])
def test_elastic_net_is_that_of_scikit_learn(problem: str, c: float, l1_ratio: float) -> None:
    vectors, targets = PROBLEMS[problem]
    expected = reference(vectors, targets, C=c, solver="saga", l1_ratio=l1_ratio)
    probes = fit_logistic(vectors, [np.arange(len(vectors))], [targets], c=c, l1_ratio=l1_ratio)
    np.testing.assert_allclose(probes.weights, expected.coef_, atol=1e-3, rtol=0)
    # Where no weight is left, scikit-learn stops before the bias is there, which is the logarithm of the odds.
    bias = expected.intercept_[0] if expected.coef_.any() else np.log(targets.mean() / (1 - targets.mean()))
    assert probes.biases[0] == pytest.approx(bias, abs=1e-3)
    assert ((probes.weights == 0) == (np.abs(expected.coef_) < 1e-6)).mean() > 0.95


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_rows_weigh_as_in_scikit_learn(l1_ratio: float) -> None:
    vectors, targets = draw(80, 20, apart=1.0)
    weights = np.random.default_rng(0).choice([0.0, 0.5, 2.0], size=80)
    rows = np.arange(80)
    probes = fit_logistic(vectors, [rows], [targets], [weights], l1_ratio=l1_ratio)
    expected = reference(vectors, targets, weights, l1_ratio=l1_ratio, solver="saga" if l1_ratio else "lbfgs")
    np.testing.assert_allclose(probes.weights, expected.coef_, atol=1e-3)
    np.testing.assert_allclose(probes.logits[0], vectors @ probes.weights[0] + probes.biases[0], atol=1e-9)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
@pytest.mark.parametrize("width", [16, 200])
def test_batches_of_any_size_give_the_same_probes(width: int, l1_ratio: float) -> None:
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=(300, width)).astype(np.float32)
    rows = [generator.choice(300, size=size, replace=False) for size in (4, 12, 13, 40, 41, 60, 200)]
    rows += rows[:3]
    targets = [generator.random(len(problem_rows)) < 0.5 for problem_rows in rows]
    for problem_targets in targets:
        problem_targets[:2] = [True, False]
    together = fit_logistic(vectors, rows, targets, l1_ratio=l1_ratio)
    for batch_bytes in (1, 10**5, 10**9):
        parted = fit_logistic(vectors, rows, targets, l1_ratio=l1_ratio, batch_bytes=batch_bytes)
        np.testing.assert_allclose(parted.weights, together.weights, atol=1e-5)
        np.testing.assert_allclose(parted.biases, together.biases, atol=1e-5)
    for number in range(len(rows)):
        alone = fit_logistic(vectors, [rows[number]], [targets[number]], l1_ratio=l1_ratio)
        np.testing.assert_allclose(alone.weights[0], together.weights[number], atol=1e-5)
        np.testing.assert_allclose(alone.logits[0], together.logits[number], atol=1e-4)


def test_vectors_may_be_mapped_from_disk(tmp_path) -> None:
    vectors, targets = draw(40, 96, apart=2.0)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    rows = np.arange(40)
    np.testing.assert_array_equal(
        fit_logistic(mapped, [rows], [targets]).weights, fit_logistic(vectors, [rows], [targets]).weights
    )


def test_no_problem_is_no_probe() -> None:
    probes = fit_logistic(np.ones((3, 2)), [], [])
    assert probes.weights.shape == (0, 2)
    assert probes.logits == []


ROWS, TARGETS = np.arange(4), np.array([True, True, False, False])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"c": 0.0}, "c 0: give a number above 0"),
        ({"c": float("nan")}, "c nan"),
        ({"l1_ratio": 1.5}, "from 0 .* to 1"),
        ({"vectors": np.ones(4)}, r"vectors: float64 of shape \(4,\)"),
        ({"vectors": np.full((4, 2), np.nan)}, "not finite; leave out the rows"),
        ({"rows": [ROWS, ROWS]}, "rows of 2 problems"),
        ({"rows": [ROWS + 1]}, "whole numbers from 0 to 3"),
        ({"rows": [ROWS * 0.5]}, "whole numbers from 0 to 3"),
        ({"rows": [ROWS[:3]]}, "problem 0: .* one shape"),
        ({"targets": [np.arange(4)]}, "problem 0: .*bool"),
        ({"targets": [np.ones(4, dtype=bool)]}, "problem 0: .* one class"),
        ({"weights": [np.array([1.0, 1, 0, 0])]}, "problem 0: .* one class"),
        ({"weights": [np.zeros(4)]}, "problem 0: .* one class"),
        ({"weights": [np.array([1.0, 1, 1, -1])]}, "weights: must be finite"),
    ],
)
def test_bad_input_is_named(arguments: dict, message: str) -> None:
    valid = {"vectors": np.eye(4), "rows": [ROWS], "targets": [TARGETS], **arguments}
    with pytest.raises(InputError, match=message):
        fit_logistic(**valid)
