"""The model's arithmetic: attention, similarities, the loss's terms, and what is saved."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from conceptbench.eval.methods.protolm.heads import LinearHead, PrototypeHead, first_weights
from conceptbench.eval.methods.protolm.model import LinearClassifier, PrototypeClassifier
from conceptbench.eval.methods.protolm.settings import LinearConfig, PrototypeConfig
from conceptbench.eval.methods.protolm.tokens import Batch, StoredTokens, TokenEncoder, batches
from conceptbench.runtime.errors import InputError

TEXTS = ["A dull film.", "The actors are wonderful, and so is the music of this long film.", "Why?", "A dull film."]


@pytest.fixture(scope="module")
def encoder(one_layer_minilm: str) -> TokenEncoder:
    return TokenEncoder(one_layer_minilm, device="cpu")


def draw(texts: int, longest: int, width: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (texts,), generator=generator)
    return Batch(torch.randn(texts, longest, width, generator=generator), torch.arange(longest) < lengths[:, None])


def trained_like(head: PrototypeHead) -> PrototypeHead:
    """Give the learned vector some values, so that attention is not uniform."""
    torch.nn.init.normal_(head.pooling.vector, generator=torch.Generator().manual_seed(3))
    return head


def reference_loss(head: PrototypeHead, batch: Batch, targets: torch.Tensor) -> tuple[np.ndarray, float, float]:
    """Similarities, cohesion and separation by plain loops over texts, tokens and prototypes."""
    config, pooling = head.config, head.pooling
    matrix, bias, vector = (value.detach().double().numpy() for value in (*pooling.map.parameters(), pooling.vector))
    prototypes = head.prototypes.detach().double().numpy()
    owner = head.owner.tolist()
    similarities = np.zeros((len(targets), len(prototypes)))
    cohesion, separation = [], []
    for row, target in enumerate(targets.tolist()):
        tokens = [
            state.double().numpy() for state, real in zip(batch.states[row], batch.mask[row], strict=True) if real
        ]
        scores = np.array([vector @ np.tanh(matrix @ token + bias) for token in tokens])
        weights = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        pooled = sum(weight * token for weight, token in zip(weights, tokens, strict=True))
        for number, prototype in enumerate(prototypes):
            distance = config.length / np.sqrt(len(pooled)) * np.sqrt(((pooled - prototype) ** 2).sum())
            similarities[row, number] = 1 / (distance + config.eps)
        same = sorted((s for s, c in zip(similarities[row], owner, strict=True) if c == target), reverse=True)
        others = sorted((s for s, c in zip(similarities[row], owner, strict=True) if c != target), reverse=True)
        cohesion.append(-np.mean(same[: config.nearest]))
        separation.append(np.mean(others[: config.nearest]))
    return similarities, float(np.mean(cohesion)), float(np.mean(separation))


@pytest.mark.parametrize(("prototypes", "nearest"), [(1, 1), (4, 1), (4, 3), (3, 3)])
def test_similarities_and_terms_are_those_of_plain_loops(prototypes: int, nearest: int) -> None:
    batch, targets = draw(9, 7, 12), torch.tensor([0, 1, 2, 0, 1, 2, 2, 1, 0])
    config = PrototypeConfig(prototypes, nearest, cross_entropy=2.0, cohesion=0.3, separation=0.7)
    head = trained_like(PrototypeHead(12, 3, config))
    similarities, cohesion, separation = reference_loss(head, batch, targets)
    reading = head(batch)
    losses = head.loss(reading, targets)
    np.testing.assert_allclose(reading.similarities.detach(), similarities, rtol=1e-5)
    assert losses.cohesion.item() == pytest.approx(cohesion, rel=1e-5)
    assert losses.separation.item() == pytest.approx(separation, rel=1e-5)
    weights = np.array([[1.0 if c == k else -0.5 for c in head.owner.tolist()] for k in range(3)])
    np.testing.assert_allclose(reading.logits.detach(), similarities @ weights.T, rtol=1e-4)
    total = 2 * losses.cross_entropy.item() + 0.3 * cohesion + 0.7 * separation
    assert losses.total.item() == pytest.approx(total, rel=1e-5)


def test_terms_of_a_class_with_fewer_prototypes_than_k_average_those_that_it_has() -> None:
    batch, targets = draw(6, 5, 8), torch.tensor([0, 1, 0, 1, 0, 1])
    head = trained_like(PrototypeHead(8, 2, PrototypeConfig(3, 3), owner=[0, 1, 1, 1]))
    _, cohesion, separation = reference_loss(head, batch, targets)
    losses = head.loss(head(batch), targets)
    assert losses.cohesion.item() == pytest.approx(cohesion, rel=1e-5)
    assert losses.separation.item() == pytest.approx(separation, rel=1e-5)


@pytest.mark.parametrize("term", ["cohesion", "separation"])
def test_each_term_alone_moves_similarities_the_way_the_paper_means(term: str) -> None:
    batch, targets = draw(8, 6, 16), torch.tensor([0, 1] * 4)
    weights = {"cross_entropy": 0.0, "cohesion": 0.0, "separation": 0.0, term: 1.0}
    head = PrototypeHead(16, 2, PrototypeConfig(4, 2, length=0.1, **weights))
    same_class = head.owner == targets[:, None]

    def nearest(among: torch.Tensor) -> float:
        with torch.no_grad():
            return float(head(batch).similarities.masked_fill(~among, 0).topk(2, dim=1).values.mean())

    before = nearest(same_class), nearest(~same_class)
    optimizer = torch.optim.SGD([head.prototypes], lr=0.05)
    for _ in range(20):
        optimizer.zero_grad()
        head.loss(head(batch), targets).total.backward()
        optimizer.step()
    after = nearest(same_class), nearest(~same_class)
    if term == "cohesion":
        assert after[0] > 1.05 * before[0]
    else:
        assert after[1] < before[1] / 1.05


def test_cohesion_takes_the_nearest_own_prototypes_and_no_others() -> None:
    batch, targets = draw(1, 4, 6), torch.tensor([0])
    config = PrototypeConfig(3, 1, cross_entropy=0.0, cohesion=1.0, separation=0.0)
    head = PrototypeHead(6, 2, config)
    reading = head(batch)
    head.loss(reading, targets).total.backward()
    assert head.prototypes.grad is not None
    moved = head.prototypes.grad.abs().sum(dim=1) > 0
    nearest = reading.similarities[0, :3].argmax()
    assert moved.tolist() == [number == nearest for number in range(6)]


@pytest.mark.parametrize("kind", [LinearHead, PrototypeHead])
def test_padding_makes_no_difference(kind: type[LinearHead] | type[PrototypeHead]) -> None:
    batch = draw(5, 6, 8)
    head = kind(8, 2, kind.config_type())
    torch.nn.init.normal_(head.pooling.vector, generator=torch.Generator().manual_seed(3))
    longer = Batch(
        torch.cat([batch.states.masked_fill(~batch.mask[..., None], torch.nan), torch.full((5, 3, 8), torch.inf)], 1),
        torch.cat([batch.mask, torch.zeros(5, 3, dtype=torch.bool)], 1),
    )
    for short, padded in zip(head(batch), head(longer), strict=True):
        torch.testing.assert_close(short, padded[:, : short.shape[1]])
    attention = head(longer).attention
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(5))
    assert attention[~longer.mask].abs().max() == 0


def test_gradients_are_those_of_finite_differences_and_finite_on_top_of_a_prototype() -> None:
    batch, targets = draw(4, 3, 5), torch.tensor([0, 1, 1, 0])
    batch = Batch(batch.states.double(), batch.mask)
    config = PrototypeConfig(2, 1, cohesion=0.5, separation=0.5, attention=3, length=1.0)
    head = trained_like(PrototypeHead(5, 2, config)).double()

    def total(prototypes: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        state = {"prototypes": prototypes, "pooling.vector": vector}
        reading = torch.func.functional_call(head, state, (batch,))
        return head.loss(reading, targets).total

    values = [value.detach().clone().requires_grad_() for value in (head.prototypes, head.pooling.vector)]
    assert torch.autograd.gradcheck(total, values)
    with torch.no_grad():
        head.prototypes[0] = head(batch).pooled[0]
    losses = head.loss(head(batch), targets)
    losses.total.backward()
    assert all(value.grad is None or torch.isfinite(value.grad).all() for value in head.parameters())
    assert head(batch).similarities[0, 0].item() == pytest.approx(1 / config.eps)


def test_the_last_layer_starts_at_one_and_minus_a_half() -> None:
    assert first_weights(torch.tensor([0, 1, 1]), 2).tolist() == [[1.0, -0.5, -0.5], [-0.5, 1.0, 1.0]]


def test_attention_is_paid_to_the_texts_own_tokens(encoder: TokenEncoder) -> None:
    classifier = PrototypeClassifier.new(encoder, ["no", "yes"])
    tokens = encoder.read(TEXTS)
    assert encoder.strings(tokens[0]) == ["a", "dull", "film", "."]
    attention = classifier.attention(tokens)
    assert [len(of_text) for of_text in attention] == [4, 15, 2, 4]
    assert [float(of_text.sum()) for of_text in attention] == pytest.approx([1.0] * 4, abs=1e-6)


def test_stored_vectors_give_what_live_ones_do_in_memory_or_mapped(encoder: TokenEncoder, tmp_path: Path) -> None:
    classifier = PrototypeClassifier.new(encoder, ["no", "yes"])
    live = classifier.read(classifier.texts(TEXTS))
    memory = StoredTokens(encoder, TEXTS, dtype="float32")
    mapped = StoredTokens(encoder, TEXTS, dtype="float32", memory_bytes=0, folder=tmp_path)
    half = StoredTokens(encoder, TEXTS)
    assert mapped.mapped
    assert not memory.mapped
    np.testing.assert_allclose(classifier.read(memory).pooled, live.pooled, atol=1e-5)
    np.testing.assert_array_equal(classifier.read(mapped).pooled, classifier.read(memory).pooled)
    np.testing.assert_allclose(classifier.read(half).pooled, live.pooled, atol=2e-3)


def test_pairs_are_read_together_and_a_text_without_tokens_is_read_too(encoder: TokenEncoder) -> None:
    classifier = PrototypeClassifier.new(encoder, ["no", "yes"])
    pairs = classifier.read(classifier.texts([("It rains.", "It is wet."), ("It is wet.", "It rains.")]))
    assert np.abs(pairs.pooled[0] - pairs.pooled[1]).max() > 1e-3
    strings = encoder.strings(encoder.read([("It rains.", "It is wet.")])[0])
    assert strings == ["it", "rains", ".", "it", "is", "wet", "."]
    assert np.isfinite(classifier.read(classifier.texts([" "])).logits).all()


def test_batches_hold_every_row_once_and_are_bounded() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, size=200)
    groups = list(batches(lengths, 100))
    assert sorted(np.concatenate(groups).tolist()) == list(range(200))
    assert max(len(rows) * lengths[rows].max() for rows in groups) <= 100


def test_a_saved_classifier_is_read_back(encoder: TokenEncoder, tmp_path: Path) -> None:
    classifier = PrototypeClassifier.new(encoder, ["no", "yes"], PrototypeConfig(3, 2), seed=4)
    classifier.save_pretrained(tmp_path)
    loaded = PrototypeClassifier.from_pretrained(tmp_path, device="cpu")
    assert loaded.labels == ["no", "yes"]
    assert loaded.head.config == PrototypeConfig(3, 2)
    for saved, again in zip(classifier.read(classifier.texts(TEXTS)), loaded.read(loaded.texts(TEXTS)), strict=True):
        np.testing.assert_array_equal(saved, again)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    linear = LinearClassifier.new(encoder, ["a", "b", "c"], LinearConfig(8))
    linear.save_pretrained(tmp_path / "linear")
    assert LinearClassifier.from_pretrained(tmp_path / "linear", encoder=encoder).labels == ["a", "b", "c"]


def test_a_tuned_encoder_is_saved_with_its_weights(one_layer_minilm: str, tmp_path: Path) -> None:
    encoder = TokenEncoder(one_layer_minilm, device="cpu")
    classifier = LinearClassifier.new(encoder, ["no", "yes"], tuned=True)
    with torch.no_grad():
        for value in encoder.network.parameters():
            value.mul_(1.01)
    classifier.save_pretrained(tmp_path)
    loaded = LinearClassifier.from_pretrained(tmp_path, device="cpu")
    np.testing.assert_array_equal(
        classifier.read(classifier.texts(TEXTS)).pooled, loaded.read(loaded.texts(TEXTS)).pooled
    )


def test_a_checkpoint_of_another_model_or_shape_is_refused(encoder: TokenEncoder, tmp_path: Path) -> None:
    PrototypeClassifier.new(encoder, ["no", "yes"], PrototypeConfig(3, 2)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    with pytest.raises(InputError, match="a classifier of kind 'prototypes'; this reads 'linear'"):
        LinearClassifier.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"revision": "sha256:other"}))
    with pytest.raises(InputError, match=r"of revision sha256:other, and .* give the encoder that it was made with"):
        PrototypeClassifier.from_pretrained(tmp_path, encoder=encoder)
    (tmp_path / "config.json").write_text(json.dumps(config | {"labels": ["a", "b", "c"]}))
    with pytest.raises(InputError, match=r"head.classes.weight has shape \(2, 6\) instead of \(3, 6\)"):
        PrototypeClassifier.from_pretrained(tmp_path, encoder=encoder)
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = load_file(tmp_path / "model.safetensors")
    del weights["head.prototypes"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"head.prototypes is missing; it is of a model of another shape"):
        PrototypeClassifier.from_pretrained(tmp_path, encoder=encoder)
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match=r"model.safetensors cannot be read"):
        PrototypeClassifier.from_pretrained(tmp_path, encoder=encoder)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(InputError, match="not a prototype classifier of this version"):
        PrototypeClassifier.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="give a folder that save_pretrained wrote"):
        PrototypeClassifier.from_pretrained(tmp_path / "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prototypes": 2, "nearest": 3}, "K = 3 with 2 prototypes a class: give K from 1 to 2"),
        ({"nearest": 0}, "K = 0"),
        ({"prototypes": 0}, "give at least 1"),
        ({"cohesion": -1.0}, "below 0"),
        ({"eps": 0.0}, "above 0"),
    ],
)
def test_bad_shapes_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PrototypeHead(4, 2, PrototypeConfig(**options))


def test_one_class_is_refused(encoder: TokenEncoder) -> None:
    with pytest.raises(InputError, match="1 class: a classifier needs two or more"):
        PrototypeClassifier.new(encoder, ["only"])
