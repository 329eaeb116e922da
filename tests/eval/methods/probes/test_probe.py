import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

import conceptbench
from conceptbench.eval.methods.probes import probe
from conceptbench.eval.methods.probes.design import (
    Problem,
    Tokens,
    control_labels,
    draw_problem,
    token_split,
    type_hashes,
)
from conceptbench.eval.methods.probes.metrics import accuracies, aurocs, difference
from conceptbench.eval.result import Metric
from conceptbench.runtime.errors import InputError


def layer(
    concepts: int = 6, types: int = 8, tokens: int = 6, width: int = 32, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors (n, width), concepts and words (n,): concept c is carried by neuron c, the words by the others."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(concepts), types * tokens)
    words = np.repeat(np.arange(concepts * types), tokens)
    vectors = 0.3 * generator.normal(size=(len(labels), width))
    vectors[:, concepts:] += generator.normal(size=(concepts * types, width - concepts))[words]
    vectors[np.arange(len(labels)), labels] += 4
    return vectors, labels, np.array([f"word{word}" for word in words])


def tokens_of(vectors: np.ndarray, labels: np.ndarray, words: np.ndarray, seed: int = 0) -> Tokens:
    types, numbers = np.unique(words, return_inverse=True)
    return Tokens(vectors, labels, numbers, type_hashes(types.tolist(), seed))


def test_weights_find_the_neuron_that_carries_the_concept() -> None:
    vectors, labels, words = layer()
    probes = probe(vectors, labels, words)
    assert list(probes) == list(range(6))
    for concept, fitted in probes.items():
        assert np.argmax(fitted.weights) == concept
        assert fitted.accuracy.value > 0.95
        assert fitted.auroc.value > 0.95
        assert fitted.hard_accuracy.value > 0.9
        assert fitted.n_train + fitted.n_test == 2 * 48
        assert fitted.types == 8


def test_the_probe_is_scikit_learns_on_its_problem() -> None:
    vectors, labels, words = layer(seed=3)
    problem = draw_problem(tokens_of(vectors, labels, words), 2, 2, 0)
    assert isinstance(problem, Problem)
    train, test = ~problem.in_test, problem.in_test
    model = LogisticRegression(C=0.1, tol=1e-9, max_iter=10_000)
    model.fit(vectors[problem.rows[train]], problem.targets[train])
    fitted = probe(vectors, labels, words, c=0.1)[2]
    np.testing.assert_allclose(fitted.weights, model.coef_[0], atol=1e-4)
    assert fitted.bias == pytest.approx(model.intercept_[0], abs=1e-4)
    scores = model.decision_function(vectors[problem.rows[test]])
    assert fitted.accuracy.value == pytest.approx(((scores > 0) == problem.targets[test]).mean())
    assert fitted.auroc.value == pytest.approx(roc_auc_score(problem.targets[test], scores))
    assert fitted.hard_accuracy.value == pytest.approx((scores[problem.hard[test]] <= 0).mean())
    assert (fitted.n_train, fitted.n_test) == (train.sum(), test.sum())


def test_each_probe_is_the_same_whichever_others_are_fitted() -> None:
    vectors, labels, words = layer()
    together = probe(vectors, labels, words)
    backwards = probe(vectors, labels, words, only=[4, 1])
    assert list(backwards) == [4, 1]
    for concept, fitted in backwards.items():
        np.testing.assert_allclose(fitted.weights, together[concept].weights, atol=1e-6)
        assert fitted.accuracy == together[concept].accuracy
        assert fitted.selectivity == together[concept].selectivity
    other_seed = probe(vectors, labels, words, only=[4], seed=1)[4]
    assert not np.allclose(other_seed.weights, together[4].weights, atol=1e-3)


def test_shuffled_labels_give_chance_within_the_interval() -> None:
    generator = np.random.default_rng(5)
    vectors = generator.normal(size=(6000, 12))
    probes = probe(vectors, generator.integers(100, size=6000)).values()
    assert all(fitted.selectivity is None for fitted in probes)
    for name in ("accuracy", "auroc"):
        metrics = [getattr(fitted, name) for fitted in probes]
        assert np.mean([metric.value for metric in metrics]) == pytest.approx(0.5, abs=0.03)
        # Of 100 intervals of 95 %, fewer than 88 or all would come about once in a hundred.
        assert 88 <= sum(metric.low <= 0.5 <= metric.high for metric in metrics) <= 99


def test_labels_of_words_shuffled_give_chance_within_the_interval() -> None:
    """Tokens of a word are alike: an interval that took them as independent would be far too narrow."""
    generator = np.random.default_rng(6)
    words = np.repeat(np.arange(1600), 5)
    vectors = generator.normal(size=(1600, 10))[words] + 0.1 * generator.normal(size=(8000, 10))
    probes = probe(vectors, generator.integers(80, size=1600)[words], words).values()
    for name in ("accuracy", "auroc"):
        metrics = [getattr(fitted, name) for fitted in probes if fitted.skipped is None]
        assert np.mean([metric.low <= 0.5 <= metric.high for metric in metrics]) >= 0.88
        assert np.mean([metric.high - metric.low for metric in metrics]) < 0.9


def test_selectivity_is_positive_where_a_direction_carries_the_concept() -> None:
    vectors, labels, words = layer(concepts=8, types=20, tokens=6, width=16)
    for fitted in probe(vectors, labels, words).values():
        assert fitted.token_accuracy.value > 0.95
        assert fitted.selectivity.value > 0.15
        assert fitted.selectivity.low > 0


def test_selectivity_is_near_0_where_vectors_are_words_alone() -> None:
    generator = np.random.default_rng(7)
    words = np.repeat(np.arange(64), 8)
    vectors = 8 * np.eye(64)[words] + 0.1 * generator.normal(size=(512, 64))
    probes = probe(vectors, words // 8, words).values()
    selectivities = [fitted.selectivity for fitted in probes]
    assert np.mean([metric.value for metric in selectivities]) == pytest.approx(0, abs=0.02)
    assert all(metric.low <= 0 <= metric.high for metric in selectivities)
    assert all(fitted.control_accuracy.value > 0.95 for fitted in probes)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_type_is_on_both_sides(data: st.DataObject) -> None:
    n = data.draw(st.integers(20, 120))
    words = np.array(data.draw(st.lists(st.integers(0, 25), min_size=n, max_size=n)))
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    labels[:4] = np.arange(4)
    seed = data.draw(st.integers(0, 5))
    vectors = np.random.default_rng(seed).normal(size=(n, 3))
    tokens = tokens_of(vectors, labels, words, seed)
    for concept in range(4):
        problem = draw_problem(tokens, concept, concept, seed)
        concept_types = set(tokens.type[labels == concept])
        if isinstance(problem, str):
            assert problem == ("too few word types" if len(concept_types) < 4 else "too few other tokens")
            continue
        np.testing.assert_array_equal(labels[problem.rows] == concept, problem.targets)
        assert len(set(problem.rows)) == len(problem.rows)
        assert not problem.targets[problem.hard].any()
        assert not set(problem.types[~problem.targets]) & concept_types
        for side in (problem.in_test, ~problem.in_test):
            assert len(set(problem.types[side & problem.targets])) >= 2
            assert 2 * problem.targets[side].sum() == side.sum()
            assert problem.hard[side].any()
            others = set(problem.types[~side])
            assert not set(problem.types[side]) & others
        for word in set(problem.types):
            of_type = problem.types == word
            assert problem.token_in_test[of_type].sum() == of_type.sum() // 2
            assert len(set(problem.control[of_type])) == 1


def test_hard_negatives_are_of_the_nearest_concepts() -> None:
    generator = np.random.default_rng(8)
    labels = np.repeat(np.arange(5), 40)
    vectors = generator.normal(size=(200, 4)) + 10 * labels[:, None]
    problem = draw_problem(tokens_of(vectors, labels, np.arange(200)), 0, "first", 0)
    assert isinstance(problem, Problem)
    assert set(labels[problem.rows[problem.hard]]) == {1}
    assert problem.hard.sum() == pytest.approx(20, abs=1)
    assert set(labels[problem.rows[~problem.hard & ~problem.targets]]) >= {2, 3, 4}


def test_a_type_is_on_one_side_for_all_concepts() -> None:
    vectors, labels, words = layer(concepts=30, types=12, tokens=2, width=40)
    tokens = tokens_of(vectors, labels, words)
    sides: dict[int, set[bool]] = {}
    for concept in range(30):
        problem = draw_problem(tokens, concept, concept, 0)
        for word, side in zip(problem.types, problem.in_test, strict=True):
            sides.setdefault(word, set()).add(bool(side))
    assert all(len(side) == 1 for side in sides.values())


def test_words_that_differ_in_case_are_one_type() -> None:
    vectors, labels, words = layer()
    upper = np.where(np.arange(len(words)) % 2, words, np.char.upper(words))
    mixed, folded = probe(vectors, labels, upper), probe(vectors, labels, words)
    assert all(mixed[concept].accuracy == folded[concept].accuracy for concept in folded)


def test_control_labels_go_by_type_and_have_the_same_shares() -> None:
    generator = np.random.default_rng(9)
    types = np.repeat(np.arange(40), generator.integers(1, 6, size=40))
    targets = types < 14
    seen = set()
    for _ in range(50):
        control = control_labels(types, targets, generator)
        labels = [set(control[types == word]) for word in range(40)]
        assert all(len(labels_of_type) == 1 for labels_of_type in labels)
        assert sum(labels_of_type == {True} for labels_of_type in labels) == 14
        assert control.sum() == pytest.approx(targets.sum(), abs=2)
        seen.add(control.tobytes())
    assert len(seen) > 45


def test_token_split_draws_half_of_each_type() -> None:
    types = np.array([3, 3, 3, 5, 9, 9, 9, 9])
    splits = np.array([token_split(types, np.random.default_rng(seed)) for seed in range(400)])
    assert (splits[:, :3].sum(axis=1) == 1).all()
    assert not splits[:, 3].any()
    assert (splits[:, 4:].sum(axis=1) == 2).all()
    np.testing.assert_allclose(splits.mean(axis=0), [1 / 3, 1 / 3, 1 / 3, 0, 0.5, 0.5, 0.5, 0.5], atol=0.1)


def test_aurocs_are_those_of_scikit_learn_also_with_ties() -> None:
    generator = np.random.default_rng(10)
    owner = np.sort(generator.integers(5, size=300))
    scores = generator.integers(12, size=300).astype(float)
    targets = generator.random(300) < 0.4
    shuffled = generator.permutation(300)
    metrics = aurocs(scores[shuffled], targets[shuffled], owner[shuffled], shuffled, 6)
    for number in range(5):
        at = owner == number
        assert metrics[number].value == pytest.approx(roc_auc_score(targets[at], scores[at]))
        assert metrics[number].low < metrics[number].value < metrics[number].high
        assert metrics[number].n == at.sum()
    assert metrics[5] is None


def test_auroc_of_one_class_is_none() -> None:
    assert aurocs(np.arange(4.0), np.ones(4, dtype=bool), np.zeros(4, dtype=int), np.arange(4), 1) == [None]


def test_intervals_of_like_tokens_are_those_of_their_types() -> None:
    correct = np.array([True, True, True, False, True, True, True, True, False, True])
    types = np.arange(10)
    (alone,) = accuracies(correct, np.zeros(10, dtype=int), types, 1)
    (tenfold,) = accuracies(np.repeat(correct, 10), np.zeros(100, dtype=int), np.repeat(types, 10), 1)
    assert (alone.low, alone.high) == pytest.approx(proportion_confint(8, 10, method="wilson"), abs=0.05)
    assert (tenfold.low, tenfold.high) == pytest.approx((alone.low, alone.high), abs=1e-9)
    assert tenfold.n == 100
    (certain,) = accuracies(np.ones(100, dtype=bool), np.zeros(100, dtype=int), np.repeat(types, 10), 1)
    assert certain.low == pytest.approx(proportion_confint(10, 10, method="wilson")[0])
    assert certain.high == 1


def test_difference_has_newcombes_interval() -> None:
    # Newcombe 1998, table II, example (a): 56/70 less 48/80 has 0.0524 to 0.3339 by method 10.
    first = Metric(56 / 70, *proportion_confint(56, 70, method="wilson"), 70)
    second = Metric(48 / 80, *proportion_confint(48, 80, method="wilson"), 80)
    metric = difference(first, second)
    assert (metric.value, metric.low, metric.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_what_cannot_be_probed_is_skipped_with_its_reason() -> None:
    vectors, labels, words = layer(concepts=3)
    labels, words = labels.astype(object), words.astype(object)
    sentences = np.arange(len(labels))
    labels[:6], words[:6] = "few", ["a", "b", "c", "a", "b", "c"]
    labels[6:12], words[6:12], vectors[6:12] = "alike", list("defghi"), 1.0
    labels[12:18], words[12:18], sentences[12:18] = "near", list("jklmno"), 5
    labels[18] = "lone"
    probes = probe(vectors, labels, words, sentences=sentences)
    reasons = {"few": "too few word types", "alike": "identical vectors", "near": "one sentence"}
    for name, reason in {**reasons, "lone": "too few word types"}.items():
        assert probes[name].skipped == reason
        assert probes[name].accuracy is None
        assert probes[name].weights is None
    assert {name: probes[name].types for name in ("few", "alike", "near", "lone")} == {
        "few": 3,
        "alike": 6,
        "near": 6,
        "lone": 1,
    }
    assert probes[1].skipped is None
    assert probe(vectors, labels, words)["near"].skipped is None


def test_two_concepts_of_the_same_words_have_nothing_to_tell_apart() -> None:
    vectors, labels, words = layer(concepts=2)
    words[48:] = words[:48]
    assert {fitted.skipped for fitted in probe(vectors, labels, words).values()} == {"too few other tokens"}


def test_fewer_others_than_tokens_still_give_balanced_classes() -> None:
    generator = np.random.default_rng(11)
    labels = np.array(["much"] * 150 + ["little"] * 30)
    vectors = generator.normal(size=(180, 5))
    probes = probe(vectors, labels)
    assert probes["much"].n_train + probes["much"].n_test <= 60
    assert probes["much"].accuracy.low <= 0.5 <= probes["much"].accuracy.high


def test_elastic_net_leaves_weights_out() -> None:
    vectors, labels, words = layer()
    fitted = probe(vectors, labels, words, l1_ratio=0.9, c=0.1, only=[0])[0]
    assert 1 <= np.count_nonzero(fitted.weights) < 16
    assert np.argmax(fitted.weights) == 0


def test_probe_is_public() -> None:
    assert conceptbench.probe is probe


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vectors": np.zeros(4)}, r"vectors: float64 of shape \(4,\)"),
        ({"vectors": np.array([[0.0], [1.0], [math.nan], [2.0]])}, "vectors: row 2 holds NaN or infinity"),
        ({"vectors": np.array([["a"]] * 4)}, "vectors: <U1"),
        ({"labels": [1, 2, 3]}, "labels: 3 for 4 vectors"),
        ({"labels": [1, 1, 1, 1]}, "labels: all are 1"),
        ({"labels": [1.0, 2.0, math.nan, 1.0]}, "labels: one is NaN"),
        ({"labels": [[1], [2], [1], [2]]}, "labels: give one hashable value"),
        ({"groups": ["a", "b"]}, "groups: 2 for 4 vectors"),
        ({"sentences": [1]}, "sentences: 1 for 4 vectors"),
        ({"only": [7]}, "only: no token has the label 7"),
        ({"c": -1.0}, "c -1: give a number above 0"),
        ({"l1_ratio": 2.0}, "l1_ratio 2"),
    ],
)
def test_bad_input_is_named(arguments: dict, message: str) -> None:
    valid = {"vectors": np.eye(4), "labels": [1, 1, 2, 2], **arguments}
    with pytest.raises(InputError, match=message):
        probe(**valid)
