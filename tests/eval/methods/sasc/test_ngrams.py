"""N-grams of texts, and the responses of modules to them."""

from pathlib import Path

import numpy as np
import pytest

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.modules import draw_modules
from conceptbench.benchmark.modules.inside import Factors, LayerEncoder, factor_modules
from conceptbench.eval.methods.sasc.ngrams import Responses, draw_ngrams, ngrams_of, respond
from conceptbench.runtime.encoder import WordEncoder
from conceptbench.runtime.text_encoder import TextEncoder


def test_ngrams_are_those_of_each_text_alone() -> None:
    ngrams = ngrams_of(["The cat's back, again!", "a b"])
    by_hand = ["The", "The cat's", "The cat's back", "cat's", "cat's back", "cat's back ,", "back", "back ,"]
    assert ngrams[:8] == by_hand
    assert "! a" not in ngrams
    assert len(ngrams) == len(set(ngrams))
    assert ngrams_of(["a b c d"], longest=1) == ["a", "b", "c", "d"]
    assert draw_ngrams(ngrams, 5, 0) == draw_ngrams(ngrams, 5, 0) != draw_ngrams(ngrams, 5, 1)
    assert draw_ngrams(ngrams, 10**6, 0) == ngrams


def test_responses_are_the_modules_own_and_are_kept(tmp_path: Path) -> None:
    known = draw_modules(load_lexicon(), ["lexical", "random"], 2, 0)
    ngrams = ngrams_of(load_lexicon()["semantic/animals"].sentences)
    # Each module has n-grams of its own, in an order of its own.
    ngrams_of_each = {
        known_module.id: (known_module.module, ngrams[place:][::-1]) for place, known_module in enumerate(known)
    }
    responses = respond(ngrams_of_each, cache=tmp_path)
    for name, (module, of_module) in ngrams_of_each.items():
        assert responses[name].values == pytest.approx(module(of_module))


def test_modules_of_one_encoder_share_its_vectors(tmp_path: Path, one_layer_minilm: str) -> None:
    encoder = TextEncoder(one_layer_minilm)
    known = draw_modules(load_lexicon(), ["semantic", "noisy"], 2, 0, encoder=encoder)
    ngrams = ngrams_of(load_lexicon()["semantic/animals"].sentences)
    ngrams_of_each = {
        known_module.id: (known_module.module, ngrams[place:]) for place, known_module in enumerate(known)
    }
    responses = respond(ngrams_of_each, cache=tmp_path)
    for name, (module, of_module) in ngrams_of_each.items():
        assert responses[name].values == pytest.approx(module(of_module), abs=1e-4)
    kept = sorted(tmp_path.glob("*.npy"))
    assert len(kept) == 1
    np.save(kept[0], np.load(kept[0]) * 0.0)
    again = respond(ngrams_of_each, cache=tmp_path)
    assert set(again[known[0].id].values) == {0.0}


def test_other_factors_of_one_layer_do_not_read_each_others_kept_responses(
    tmp_path: Path, one_layer_minilm: str
) -> None:
    model = WordEncoder(one_layer_minilm, device="cpu")
    ngrams = ["river", "lawyer", "a river", "whisper"]
    vectors = LayerEncoder(model, 1, "mean").encode(["river", "lawyer"]).astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    for unit, word in zip(vectors / lengths, ("river", "lawyer"), strict=True):
        # So sparse that hardly a text has anything of it: what short fixed texts answer tells no factors apart.
        module = factor_modules(model, 1, Factors(unit[None], float(lengths.mean()), 0.8))[0]
        responses = respond({"factor": (module, ngrams)}, cache=tmp_path)["factor"]
        assert responses.strongest(1) == [word]
        np.testing.assert_allclose(responses.values, module(ngrams), atol=1e-5)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_noise_and_restriction() -> None:
    responses = Responses([f"w{i}" for i in range(1000)], np.linspace(0.0, 1.0, 1000))
    assert responses.strongest(2) == ["w999", "w998"]
    assert responses.strongest(2, {"w3", "w5", "w1"}) == ["w5", "w3"]
    noisy = responses.with_noise(3.0, np.random.default_rng(0))
    added = (noisy.values - responses.values).std()
    assert added == pytest.approx(3.0 * responses.values[-100:].std(), rel=0.1)
