"""Ablation against probes that are run on changed vectors, and on vectors whose neurons were planted."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from conceptbench.eval.methods.neurons.ablation import Ablation, ablate
from conceptbench.eval.methods.neurons.ranking import order_of, rank_neurons
from conceptbench.runtime.errors import InputError

WIDTH = 30
NAMES = ("verbs", "names")
NEURONS = {"verbs": [2, 11, 20], "names": [5, 6, 29]}


def planted(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (1200, 30) in which three neurons carry each of two concepts; labels 0, 1, or mostly -1 for neither."""
    generator = np.random.default_rng(seed)
    labels = generator.choice([-1, 0, 1], p=[0.8, 0.1, 0.1], size=1200)
    vectors = generator.normal(loc=0.5, size=(1200, WIDTH))
    for concept, name in enumerate(NAMES):
        vectors[np.ix_(labels == concept, NEURONS[name])] += [2.5, -2.5, 2.5]
    return vectors, labels


@pytest.fixture(scope="module")
def probes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (2, 30), biases (2,) and rankings (2, 30) of probes fitted on other vectors than those of the tests."""
    vectors, labels = planted(1)
    fitted = [LogisticRegression(class_weight="balanced").fit(vectors, labels == concept) for concept in (0, 1)]
    ranked = rank_neurons(vectors, labels)
    return (
        np.stack([probe.coef_[0] for probe in fitted]),
        np.array([probe.intercept_[0] for probe in fitted]),
        np.stack([ranked[concept].order for concept in (0, 1)]),
    )


@pytest.fixture(scope="module")
def ablation(probes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Ablation:
    weights, biases, orders = probes
    return ablate(weights, biases, *planted(2), orders, names=NAMES, grid=range(WIDTH + 1))


def test_it_is_the_accuracy_of_probes_on_changed_vectors(probes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    weights, biases, orders = probes
    vectors, labels = planted(3)
    mean = planted(1)[0].mean(axis=0)
    result = ablate(weights, biases, vectors, labels, orders, grid=[1, 4, 12], mean=mean)
    assert result.grid.tolist() == [0, 1, 4, 12, 30]
    for concept in (0, 1):
        for column, k in enumerate([0, 1, 4, 12]):
            for kind, order in (("top", orders[concept]), ("bottom", orders[concept][::-1])):
                for mode in ("zero", "mean", "keep"):
                    changed = vectors.copy()
                    touched = order[k:] if mode == "keep" else order[:k]
                    changed[:, touched] = 0.0 if mode == "zero" else mean[touched]
                    logits = changed @ weights[concept] + biases[concept]
                    positive = labels == concept
                    assert result.accuracy[mode, kind][concept, column] == pytest.approx(
                        balanced_accuracy_score(positive, logits > 0)
                    ), (mode, kind, k)
                    if mode != "keep" or k:
                        assert result.auroc[mode, kind][concept, column] == pytest.approx(
                            roc_auc_score(positive, logits)
                        )


def test_the_whole_probe_is_where_no_neuron_is_removed_and_chance_where_all_are(ablation: Ablation) -> None:
    whole = ablation.accuracy["zero", "top"][:, 0]
    assert (whole > 0.95).all()
    for curves, best in ((ablation.accuracy, whole), (ablation.auroc, ablation.auroc["zero", "top"][:, 0])):
        for (mode, _), curve in curves.items():
            assert curve.shape == (2, WIDTH + 1)
            start, end = (0.5, best) if mode == "keep" else (best, 0.5)
            np.testing.assert_allclose(curve[:, 0], start, rtol=1e-12)
            np.testing.assert_allclose(curve[:, -1], end, rtol=1e-12)


def test_without_the_planted_neurons_the_probe_is_at_chance(ablation: Ablation) -> None:
    for mode in ("zero", "mean"):
        for curves in (ablation.accuracy, ablation.auroc):
            assert (curves[mode, "top"][:, 3] < 0.62).all()
            assert (curves[mode, "bottom"][:, 20] > 0.9).all()
            # Three at random hit each of the three planted ones in one draw of ten.
            assert (curves[mode, "random"][:, 3] > 0.8).all()
    assert (ablation.accuracy["keep", "top"][:, 3] > 0.95).all()
    assert (ablation.auroc["keep", "bottom"][:, 20] < 0.7).all()


def test_areas_and_their_intervals(ablation: Ablation) -> None:
    flat = Ablation(("a",), np.array([0, 1, 4]), {("zero", "top"): np.array([[1.0, 0.5, 0.5]])}, {})
    assert flat.areas("accuracy", "zero", "top").tolist() == [0.25 * 0.75 + 0.75 * 0.5]
    metrics = ablation.metrics(seed=1)
    for name, metric in metrics.items():
        assert metric.n == 2
        assert metric.low <= metric.value <= metric.high
        if "advantage" in name:
            assert metric.low > 0.05, name
    np.testing.assert_allclose(
        metrics["auroc_advantage/keep-bottom"].value,
        np.mean(ablation.areas("auroc", "keep", "top") - ablation.areas("auroc", "keep", "bottom")),
    )
    assert metrics["accuracy/all-neurons"].value == pytest.approx(ablation.accuracy["keep", "top"][:, -1].mean())


def test_a_ranking_at_random_has_no_advantage(probes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    weights, biases, _ = probes
    generator = np.random.default_rng(5)
    advantages = []
    for _ in range(12):
        orders = order_of(generator.normal(size=(2, WIDTH)))
        result = ablate(weights, biases, *planted(2), orders)
        advantages += result.advantages("accuracy", "zero").tolist()
    assert abs(np.mean(advantages)) < 4 * np.std(advantages) / np.sqrt(len(advantages))


def test_random_orders_depend_on_the_name_and_the_seed_alone(
    probes: tuple[np.ndarray, np.ndarray, np.ndarray], ablation: Ablation
) -> None:
    weights, biases, orders = probes
    vectors, labels = planted(2)
    grid = range(WIDTH + 1)
    swapped = ablate(
        weights[::-1],
        biases[::-1],
        vectors,
        np.select([labels == 0, labels == 1], [1, 0], -1),
        orders[::-1],
        names=NAMES[::-1],
        grid=grid,
    )
    for key, curve in ablation.accuracy.items():
        np.testing.assert_allclose(swapped.accuracy[key], curve[::-1], rtol=1e-12)
    reseeded = ablate(weights, biases, vectors, labels, orders, names=NAMES, grid=grid, seed=1)
    assert not np.array_equal(reseeded.auroc["zero", "random"], ablation.auroc["zero", "random"])
    np.testing.assert_array_equal(reseeded.auroc["zero", "top"], ablation.auroc["zero", "top"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": np.zeros((2, 29))}, "29 weights, the vectors 30"),
        ({"weights": np.full((2, 30), np.nan)}, "The weights: row 0"),
        ({"biases": [0.0]}, "`biases` must be 2"),
        ({"mean": np.full(30, np.inf)}, "`mean` must be 30"),
        ({"labels": np.zeros(1200)}, "whole numbers"),
        ({"labels": np.full(1200, 2)}, "rows of the 2 probes"),
        ({"labels": np.zeros(1200, dtype=int)}, "probe 0 cannot be tested: 1200 of the 1200"),
        ({"orders": np.zeros((2, 30), dtype=int)}, "once each"),
        ({"orders": np.arange(30)}, "once each"),
        ({"names": ["a", "a"]}, "1 distinct names"),
        ({"grid": [31]}, "from 0 to 30"),
        ({"grid": [0.5]}, "whole numbers of neurons"),
        ({"draws": 0}, "at least 1"),
    ],
)
def test_bad_input_is_named(changed: dict[str, object], message: str) -> None:
    vectors, labels = planted(0)
    arguments = {
        "weights": np.ones((2, 30)),
        "biases": [0.0, 0.0],
        "vectors": vectors,
        "labels": labels,
        "orders": np.tile(np.arange(30), (2, 1)),
    }
    with pytest.raises(InputError, match=message):
        ablate(**(arguments | changed))
