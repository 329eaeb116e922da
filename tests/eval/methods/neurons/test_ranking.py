"""Rankings of neurons against brute force, scikit-learn and NeuroX, and on vectors whose neurons were planted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

import conceptbench
from conceptbench.eval.methods.neurons.ranking import Means, by_average_precision, by_weights, probeless, rank_neurons
from conceptbench.eval.methods.neurons.vectors import concept_means
from conceptbench.runtime.errors import InputError

NEURONS = {"animals": [3, 17, 25], "verbs": [8, 9, 30], "digits": [0, 11, 39]}
METHODS = ("probeless", "weights", "average_precision")


def all_pairs(means: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.abs(means[:, None].astype(float) - others[None].astype(float)).sum(axis=1)


def planted(seed: int = 0, tokens: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (tokens, 40) in which each concept moves three neurons of its own, one of them downwards; and labels."""
    generator = np.random.default_rng(seed)
    labels = generator.choice([*NEURONS, "other", "rest"], size=tokens)
    vectors = generator.normal(size=(tokens, 40)).astype(np.float32)
    for name, neurons in NEURONS.items():
        vectors[np.ix_(labels == name, neurons)] += [3.0, -3.0, 3.0]
    return vectors, labels


@settings(deadline=None, max_examples=100)
@given(
    arrays.arrays(np.float64, st.tuples(st.integers(2, 30), st.integers(1, 4)), elements=st.integers(-4, 4).map(float)),
    st.integers(0, 99),
)
def test_probeless_with_ties_is_the_sum_over_all_pairs(means: np.ndarray, seed: int) -> None:
    np.testing.assert_array_equal(probeless(means), all_pairs(means, means))
    others = np.random.default_rng(seed).integers(-5, 6, size=(7, means.shape[1])).astype(float)
    np.testing.assert_array_equal(Means.of(means).scores_of(others), all_pairs(others, means))


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_probeless_of_real_numbers_is_the_sum_over_all_pairs(shift: float) -> None:
    generator = np.random.default_rng(1)
    means, others = shift + generator.standard_cauchy((300, 20)), shift + generator.standard_cauchy((50, 20))
    np.testing.assert_allclose(probeless(means), all_pairs(means, means), rtol=1e-9)
    np.testing.assert_allclose(Means.of(means).scores_of(others), all_pairs(others, means), rtol=1e-9)


def test_rankingsare_those_of_neurox() -> None:
    peer = pytest.importorskip("neurox.interpretation.probeless")
    vectors, labels = planted()
    names, index = np.unique(labels, return_inverse=True)
    _, expected = peer.get_neuron_ordering_for_all_tags(vectors, index, dict(enumerate(names.tolist())))
    rankings = rank_neurons(vectors, labels)
    assert set(rankings) == set(expected)
    for name, ranking in rankings.items():
        np.testing.assert_allclose(ranking.scores[expected[name]], ranking.scores[ranking.order], rtol=1e-5)


def test_concept_means_are_those_of_numpy() -> None:
    generator = np.random.default_rng(2)
    vectors = generator.normal(loc=100, size=(20_000, 5)).astype(np.float32)
    concept = generator.integers(7, size=20_000)
    weights = generator.integers(3, size=20_000)
    repeated, owner = np.repeat(vectors, weights, axis=0).astype(float), np.repeat(concept, weights)
    means, weighted = concept_means(vectors, concept, 8), concept_means(vectors, concept, 8, weights)
    for c in range(7):
        np.testing.assert_allclose(means[c], vectors[concept == c].astype(float).mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(weighted[c], repeated[owner == c].mean(axis=0), rtol=1e-12)
    assert np.isnan(means[7]).all()


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 60), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_average_precision_with_ties_is_that_of_scikit_learn(tokens: int, kinds: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(kinds, size=(tokens, 3)).astype(np.float32)
    labels = generator.integers(4, size=tokens)
    labels[:2] = 0, 1
    expected = [
        [max(average_precision_score(labels == c, sign * values[:, neuron]) for sign in (1, -1)) for neuron in range(3)]
        for c in np.unique(labels)
    ]
    np.testing.assert_allclose(by_average_precision(values, labels), expected, rtol=1e-12)


def test_average_precision_of_real_numbers_is_that_of_scikit_learn() -> None:
    vectors, labels = planted()
    scores = by_average_precision(vectors, labels)
    for c, name in enumerate(np.unique(labels)):
        for neuron in range(40):
            both = [average_precision_score(labels == name, sign * vectors[:, neuron]) for sign in (1, -1)]
            assert scores[c, neuron] == pytest.approx(max(both), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_planted_neurons_are_at_the_top(method: str) -> None:
    vectors, labels = planted()
    rankings = rank_neurons(vectors, labels, method=method)
    assert list(rankings) == sorted(set(labels.tolist()))
    for name, neurons in NEURONS.items():
        ranking = rankings[name]
        assert ranking.order.dtype == np.int64
        assert ranking.scores.dtype == np.float64
        assert set(ranking.order[:3].tolist()) == set(neurons)
        assert sorted(ranking.order.tolist()) == list(range(40))
        assert (np.diff(ranking.scores[ranking.order]) <= 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_planted_neurons_are_anywhere_under_shuffled_labels(method: str) -> None:
    ranks = []
    for seed in range(8):
        vectors, labels = planted(seed, tokens=500)
        shuffled = np.random.default_rng(seed).permutation(labels)
        rankings = rank_neurons(vectors / vectors.std(axis=0), shuffled, method=method)
        ranks += [np.argsort(rankings[name].order)[neurons].mean() for name, neurons in NEURONS.items()]
    # The mean rank of three neurons of forty is 19.5 by chance, with a standard deviation of 6.5.
    assert abs(np.mean(ranks) - 19.5) < 4 * 6.5 / np.sqrt(len(ranks))


def test_equal_scores_are_in_the_order_of_the_neurons() -> None:
    vectors = np.array([[1, 0, 7, 2, 1], [0, 1, 7, 0, 0]])
    ranking = rank_neurons(vectors, ["a", "b"])["a"]
    assert ranking.order.tolist() == [3, 0, 1, 4, 2]
    assert ranking.scores.tolist() == [1, 1, 0, 2, 1]


def test_a_constant_neuron_scores_nothing() -> None:
    vectors, labels = planted()
    vectors[:, 5] = 0.1
    share = np.mean(labels == "verbs")
    for method, expected in (("probeless", 0.0), ("weights", 0.0), ("average_precision", share)):
        assert rank_neurons(vectors, labels, method=method)["verbs"].scores[5] == pytest.approx(expected, abs=1e-12)


def test_weights_of_probes_may_be_given() -> None:
    vectors, labels = planted()
    probes = {name: np.linspace(-1, 0.5, 40) for name in set(labels.tolist())}
    rankings = rank_neurons(vectors, labels, method="weights", weights=probes)
    np.testing.assert_array_equal(rankings["verbs"].scores, by_weights([probes["verbs"]])[0])
    assert rankings["verbs"].order[0] == 0


def test_vectors_of_torch_and_labels_of_any_kind() -> None:
    vectors, labels = planted()
    expected = rank_neurons(vectors, labels)
    numbers = {name: 10 * i - 5 for i, name in enumerate(expected)}
    rankings = rank_neurons(torch.from_numpy(vectors), [numbers[name] for name in labels])
    for name, number in numbers.items():
        np.testing.assert_array_equal(rankings[number].order, expected[name].order)


def test_the_front_door_has_it() -> None:
    assert conceptbench.rank_neurons is rank_neurons


def test_ranks_of_scores_do_not_depend_on_the_order_of_tokens() -> None:
    vectors, labels = planted()
    shuffled = np.random.default_rng(0).permutation(len(labels))
    for method in ("probeless", "average_precision"):
        first = rank_neurons(vectors, labels, method=method)["digits"].scores
        second = rank_neurons(vectors[shuffled], labels[shuffled], method=method)["digits"].scores
        np.testing.assert_array_equal(rankdata(first.round(9)), rankdata(second.round(9)))


@pytest.mark.parametrize(
    ("vectors", "labels", "options", "message"),
    [
        (np.zeros(4), [0, 1, 0, 1], {}, "table of numbers"),
        (np.zeros((0, 3)), [], {}, "table of numbers"),
        ([["a", "b"], ["c", "d"]], [0, 1], {}, "table of numbers"),
        ([[1.0], [1.0, 2.0]], [0, 1], {}, "table of numbers"),
        ([[0.0], [np.nan]], [0, 1], {}, "row 1 holds"),
        ([[0.0], [np.inf]], [0, 1], {}, "row 1 holds"),
        (np.zeros((3, 2)), [0, 1], {}, "3 vectors and labels of shape"),
        (np.zeros((2, 2)), [[0, 1], [1, 0]], {}, "labels of shape"),
        (np.zeros((2, 2)), ["a", "a"], {}, "label 'a'"),
        (np.zeros((2, 2)), [1.0, np.nan], {}, "Label 1 is not a number"),
        (np.zeros((2, 2)), np.array(["a", 1], dtype=object), {}, "of one kind"),
        (np.zeros((2, 2)), [0, 1], {"method": "magic"}, "choose one of probeless"),
        (np.zeros((2, 2)), [0, 1], {"weights": {0: [1, 2], 1: [1, 2]}}, "are for method 'weights'"),
        (np.zeros((2, 2)), [0, 1], {"method": "weights", "weights": {0: [1, 2]}}, "no probe for the label 1"),
        (np.zeros((2, 2)), [0, 1], {"method": "weights", "weights": {0: [1], 1: [1]}}, "1 weights"),
        (np.zeros((2, 2)), [0, 1], {"method": "weights", "weights": {0: [1, 2], 1: [1]}}, "table of numbers"),
    ],
)
def test_bad_input_is_named(vectors: object, labels: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rank_neurons(vectors, labels, **options)


def test_probeless_takes_two_concepts() -> None:
    with pytest.raises(InputError, match="at least two"):
        probeless([[1.0, 2.0]])
