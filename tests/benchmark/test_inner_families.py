"""Families of modules inside models: what is drawn, what it responds to, and what is refused."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from conceptbench.benchmark.lexicon import GoldConcept, load_lexicon
from conceptbench.benchmark.modules import Inside, KnownModule, draw_inner_modules
from conceptbench.benchmark.modules.families import texts_of
from conceptbench.benchmark.modules.inner_families import FACTORS, FEWEST_ACTIVE, FEWEST_WORDS
from conceptbench.benchmark.modules.inside import LayerEncoder, ReadingModule, neuron_modules, word_vectors
from conceptbench.benchmark.modules.voxels import Recording
from conceptbench.runtime.encoder import WordEncoder
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.text_encoder import TextEncoder

COUNTRIES = "entity/latin-american-countries"
WORDS = [word for concept in load_lexicon().values() for word in concept.words]


@pytest.fixture(scope="module")
def lexicon() -> Mapping[str, GoldConcept]:
    return load_lexicon()


@pytest.fixture(scope="module")
def words(lexicon: Mapping[str, GoldConcept]) -> tuple[str, ...]:
    """Each word of a fifteenth of the lexicon's concepts as a text of its own."""
    concepts = list(lexicon.values())[::15]
    return tuple(dict.fromkeys(word for concept in concepts for word in concept.words))


@pytest.fixture(scope="module")
def encoder(one_layer_minilm: str) -> TextEncoder:
    return TextEncoder(one_layer_minilm, device="cpu")


def draw(model: str, family: str, count: int, seed: int = 0, **inside: object) -> list[KnownModule]:
    return draw_inner_modules(load_lexicon(), [family], count, seed, Inside(model, **inside))  # type: ignore[arg-type]


def reading(module: KnownModule) -> ReadingModule:
    assert isinstance(module.module, ReadingModule)
    return module.module


def test_every_word_is_read_once_with_its_own_vector(one_layer_minilm: str) -> None:
    model = WordEncoder(one_layer_minilm, device="cpu")
    texts = ["the cat's back, again!", "", "a river", "\x00", "rivers"]
    found = word_vectors(model, 1, texts)
    assert sorted(found.words) == sorted(["the", "cat's", "back", ",", "again", "!", "a", "river", "rivers"])
    # A text of one word is read alike by a module.
    alone = LayerEncoder(model, 1, "mean").encode(["rivers"])[0]
    np.testing.assert_allclose(found.vectors[found.words.index("rivers")], alone, atol=1e-5)
    with pytest.raises(InputError, match="sees no word"):
        word_vectors(model, 1, ["", "\x00"])


def test_neurons_are_drawn_by_the_seed_from_the_middle_layer(one_layer_minilm: str) -> None:
    found = draw(one_layer_minilm, "neuron", 4)
    texts = ["a quiet street", "seven trains"]
    for known in found:
        layer, neuron = known.id.split("/")[1].split("-")
        assert layer == "L01"
        (same,) = neuron_modules(WordEncoder(one_layer_minilm, device="cpu"), 1, [int(neuron)])
        np.testing.assert_allclose(known.module(texts), same(texts), atol=1e-5)
    assert len({known.id for known in found}) == 4
    assert len({id(reading(known).encoder) for known in found}) == 1
    assert all(known.answer is None and not known.control and known.corpus is not None for known in found)
    assert found[0].corpus is not None
    assert found[0].corpus() == texts_of(load_lexicon())
    assert [known.id for known in draw(one_layer_minilm, "neuron", 2)] == [known.id for known in found[:2]]
    assert not {known.id[:-2] for known in draw(one_layer_minilm, "neuron", 4, 1)} >= {known.id[:-2] for known in found}
    assert draw(one_layer_minilm, "neuron", 1, layer=0)[0].id.startswith("neuron/L00-")


def test_factors_are_those_that_many_words_have(one_layer_minilm: str, words: tuple[str, ...]) -> None:
    found = draw(one_layer_minilm, "factor", 15, texts=words)
    codes = reading(found[0]).encoder.encode(words)
    assert codes.shape == (len(words), FACTORS)
    assert len({id(reading(known).encoder) for known in found}) == 1
    assert len({reading(known).reading for known in found}) == 15
    for known in found:
        own = reading(known).respond(codes)
        assert len({word.casefold() for word, code in zip(words, own, strict=True) if code > 0}) >= FEWEST_ACTIVE
        # A factor is a part of some words, not of all.
        assert (own == 0).mean() > 0.3
    np.testing.assert_allclose(found[3].module(words[:9]), reading(found[3]).respond(codes)[:9], rtol=1e-3, atol=1e-4)


def test_a_probe_responds_to_its_concept(
    one_layer_minilm: str, lexicon: Mapping[str, GoldConcept], words: tuple[str, ...]
) -> None:
    found = draw(one_layer_minilm, "probe", 5, texts=words)
    logits = reading(found[0]).encoder.encode(words)
    own, others = [], []
    for known in found:
        assert known.answer is not None
        assert known.concept is not None
        concept = lexicon[known.concept]
        assert concept.split == "test"
        assert known.answer.accepts(concept.name)
        assert known.fit is not None
        inside = np.isin(words, concept.words)
        aurocs = {one.id: float(roc_auc_score(inside, reading(one).respond(logits))) for one in found}
        own.append(aurocs.pop(known.id))
        others += aurocs.values()
    assert len({known.concept for known in found}) == 5
    # The null: what probes of other concepts make of these words.
    assert min(own) > 0.9
    assert np.mean(others) < 0.7
    # Words that a probe was not fitted on are told apart too, though not as well.
    assert 0.7 < np.mean([known.fit for known in found if known.fit is not None]) < np.mean(own)


def test_a_concept_that_the_texts_have_too_few_words_of_is_not_drawn(
    one_layer_minilm: str, lexicon: Mapping[str, GoldConcept]
) -> None:
    fillers = [word for concept in lexicon.values() if concept.split == "dev" for word in concept.words[:5]]
    countries = lexicon[COUNTRIES].words
    taken = {word for concept in lexicon.values() if concept.split == "test" for word in concept.words}
    texts = [word for word in fillers if word not in taken]
    (found,) = draw(one_layer_minilm, "probe", 1, texts=[*texts, *countries[:FEWEST_WORDS]])
    assert found.concept == COUNTRIES
    with pytest.raises(InputError, match=r"family probe: there are 0 concepts .* 10 words or more, not 1"):
        draw(one_layer_minilm, "probe", 1, texts=[*texts, *countries[: FEWEST_WORDS - 1]])


def test_a_made_up_subject_has_planted_voxels_and_as_many_controls(encoder: TextEncoder) -> None:
    found = draw("unused", "voxel", 4, encoder=encoder)
    assert [known.control for known in found] == [False] * 4 + [True] * 4
    assert [known.answer is None for known in found] == [False] * 4 + [True] * 4
    assert all(known.concept is not None and known.id.startswith("voxel/") for known in found[:4])
    fits = [known.fit or 0.0 for known in found]
    assert min(fits[:4]) > max(fits[4:])
    assert max(known.fit_p or 0.0 for known in found[:4]) < 0.01
    assert len({known.encoder for known in found}) == 1


def test_recorded_voxels_are_those_that_are_predicted_best(encoder: TextEncoder, words: tuple[str, ...]) -> None:
    texts = list(words[:300])
    generator = np.random.default_rng(0)
    features = encoder.encode(texts)
    # What the texts differ in most: the easiest to predict of them.
    signal = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)[0][:, 0]
    responses = generator.normal(size=(300, 6))
    for voxel, noise in ((1, 1.5), (3, 0.5), (5, 0.05)):
        responses[:, voxel] = signal / signal.std() + noise * responses[:, voxel]
    found = draw("unused", "voxel", 3, encoder=encoder, recording=Recording(responses, texts))
    assert [known.id for known in found] == ["voxel/5/0", "voxel/3/0", "voxel/1/0"]
    assert all(known.answer is None and not known.control for known in found)
    fits = [known.fit or 0.0 for known in found]
    assert fits == sorted(fits, reverse=True)
    # Of 300 texts, 60 are held out; six voxels were to choose from.
    for known, fit in zip(found, fits, strict=True):
        assert known.fit_p == pytest.approx(min(1.0, 6 * norm.sf(np.arctanh(fit) * np.sqrt(57))))
    assert np.corrcoef(found[0].module(texts), signal)[0, 1] > 0.9
    with pytest.raises(InputError, match="the recording has 6 voxels, not 7"):
        draw("unused", "voxel", 7, encoder=encoder, recording=Recording(responses, texts))


def few(texts: Sequence[str]) -> dict[str, object]:
    return {"texts": tuple(texts)}


@pytest.mark.parametrize(
    ("family", "count", "inside", "message"),
    [
        ("lexical", 1, {}, r"families \['lexical'\]: give one or more of neuron, factor, probe, voxel"),
        ("neuron", 0, {}, "0 modules"),
        ("neuron", 385, {}, "family neuron: there are 384 neurons in a layer, not 385"),
        ("neuron", 1, {"layer": 2}, r"layer 2: this model has layers 0 \(embeddings\) to 1"),
        ("neuron", 1, {"model": "nowhere/at-all"}, "nowhere/at-all"),
        ("factor", 1, {"layer": 9}, "layer 9"),
        ("factor", 1, few(["a few words"]), "family factor: the texts have 3 words; .* 400 or more"),
        ("factor", 201, few(WORDS[:420]), r"there are \d+ factors that are active in 20 words or more, not 201"),
        ("probe", 1, few(["a few words"]), "family probe: there are 0 concepts"),
        ("probe", 1, {"layer": -1}, "layer -1"),
        ("voxel", 1, {}, "family voxel: .* give an encoder"),
    ],
)
def test_what_cannot_be_drawn(
    one_layer_minilm: str, family: str, count: int, inside: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw(**{"model": one_layer_minilm, "family": family, "count": count, **inside})  # type: ignore[arg-type]
