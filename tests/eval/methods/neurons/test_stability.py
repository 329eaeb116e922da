"""Agreement of rankings against scipy, and stability over resamples of planted and of empty data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import spearmanr

from conceptbench.eval.methods.neurons.stability import rank_agreement, stability
from conceptbench.runtime.errors import InputError

WIDTH = 50


def corpus(strength: float, sentences: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of five tokens a sentence, labels 0..3, sentences; five neurons carry each concept, by `strength`."""
    generator = np.random.default_rng(seed)
    sentence = np.repeat(np.arange(sentences), 5)
    labels = generator.integers(4, size=len(sentence))
    carried = generator.permutation(WIDTH)[:20].reshape(4, 5)
    vectors = generator.normal(size=(len(sentence), WIDTH))
    for concept in range(4):
        vectors[np.ix_(labels == concept, carried[concept])] += strength
    return vectors, labels, sentence


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.floats(0.05, 1.0))
def test_agreement_is_that_of_scipy_and_of_sets(seed: int, width: int, fraction: float) -> None:
    generator = np.random.default_rng(seed)
    first, second = generator.integers(6, size=(2, 3, width)).astype(float)
    result = rank_agreement(first, second, fraction)
    count = max(1, round(fraction * width))
    for row in range(3):
        tops = [set(np.argsort(-scores[row], kind="stable")[:count]) for scores in (first, second)]
        assert result.overlap[row] == len(tops[0] & tops[1]) / count
        if np.ptp(first[row]) and np.ptp(second[row]):
            assert result.spearman[row] == pytest.approx(spearmanr(first[row], second[row]).statistic, abs=1e-12)
        else:
            assert result.spearman[row] == 0


@given(arrays.arrays(np.float64, (2, 9), elements=st.floats(-5, 5), unique=True))
def test_a_ranking_agrees_with_itself(scores: np.ndarray) -> None:
    same, turned = rank_agreement(scores, scores), rank_agreement(scores, -scores)
    assert same.overlap.tolist() == [1, 1]
    assert same.spearman == pytest.approx([1, 1])
    assert turned.overlap.tolist() == [0, 0]
    assert turned.spearman == pytest.approx([-1, -1])


def test_what_is_planted_is_stable_and_what_is_not_is_less_so() -> None:
    strong, none = (stability(*corpus(strength)) for strength in (3.0, 0.0))
    assert strong.names == ("0", "1", "2", "3")
    assert (strong.overlap > 0.95).all()
    assert strong.resamples.tolist() == [20] * 4
    assert (none.overlap < 0.75).all()
    # By chance 0.1; the corpus and its resamples share most sentences.
    assert (none.overlap > 0.1).all()
    assert strong.metrics()["overlap"].low > none.metrics()["overlap"].high
    assert strong.metrics()["spearman"].n == 4


def test_more_sentences_make_rankings_more_stable() -> None:
    few, many = (stability(*corpus(0.5, sentences)).metrics()["overlap"] for sentences in (40, 2000))
    assert many.value > few.value + 0.2


def test_tokens_of_one_sentence_are_drawn_together() -> None:
    vectors, labels, sentence = corpus(0.5)
    # Repeating what each sentence says ten times adds nothing; ten times as many sentences do.
    repeated = stability(*(np.repeat(part, 10, axis=0) for part in (vectors, labels, sentence)))
    np.testing.assert_allclose(repeated.overlap, stability(vectors, labels, sentence).overlap)
    apart = stability(*(np.repeat(part, 10, axis=0) for part in (vectors, labels)), np.arange(10 * len(labels)))
    assert apart.overlap.mean() > repeated.overlap.mean() + 0.05


def test_a_concept_that_is_drawn_in_some_resamples_alone() -> None:
    vectors, labels, sentence = corpus(1.0)
    labels[0] = 7
    result = stability(vectors, labels, sentence, resamples=30)
    assert 10 < result.resamples[4] < 28
    assert result.resamples[:4].tolist() == [30] * 4
    assert np.isfinite(result.overlap).all()
    single = [stability(vectors, labels, sentence, resamples=1, seed=seed) for seed in range(10)]
    absent = [once for once in single if once.resamples[4] == 0]
    assert 0 < len(absent) < 10
    assert all(np.isnan(once.overlap[4]) and once.metrics()["overlap"].n == 4 for once in absent)


def test_the_seed_decides() -> None:
    data = corpus(0.5)
    np.testing.assert_array_equal(stability(*data, seed=1).spearman, stability(*data, seed=1).spearman)
    assert not np.array_equal(stability(*data, seed=1).spearman, stability(*data, seed=2).spearman)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sentences": np.zeros(1000)}, "at least two; given are 1"),
        ({"sentences": np.arange(10)}, "Each of the 1000 tokens"),
        ({"resamples": 0}, "at least 1"),
        ({"fraction": 0}, "above 0"),
        ({"labels": np.zeros(1000)}, "All vectors have the label"),
    ],
)
def test_bad_input_is_named(changed: dict[str, object], message: str) -> None:
    vectors, labels, sentences = corpus(1.0)
    with pytest.raises(InputError, match=message):
        stability(**({"vectors": vectors, "labels": labels, "sentences": sentences} | changed))


def test_rankings_of_two_shapes() -> None:
    with pytest.raises(InputError, match="one shape"):
        rank_agreement(np.zeros((2, 3)), np.zeros((2, 4)))
