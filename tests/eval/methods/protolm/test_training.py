"""Training: what is learned, checkpoints, and runs that are killed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from conceptbench.eval.methods.protolm.heads import LinearHead, PrototypeHead
from conceptbench.eval.methods.protolm.model import Classifier, LinearClassifier, PrototypeClassifier
from conceptbench.eval.methods.protolm.refitting import refit_last_layer
from conceptbench.eval.methods.protolm.settings import PrototypeConfig, Training
from conceptbench.eval.methods.protolm.starting import start_prototypes
from conceptbench.eval.methods.protolm.tokens import LiveTokens, StoredTokens, TokenEncoder
from conceptbench.eval.methods.protolm.training import dev_split, train
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.models import quiet_transformers
from conceptbench.runtime.progress import Advance, Silent

FOOD = ("soup", "bread", "cheese", "apple pie", "rice", "salad", "pasta", "roast beef", "fish", "cake")
SKY = ("moon", "planet", "comet", "galaxy", "eclipse", "telescope", "orbit", "asteroid", "rocket", "satellite")
TEXTS = [
    template.format(word)
    for words, templates in (
        (FOOD, ("We cooked {} for dinner.", "The {} was salty but tasty.", "She ate some {}.")),
        (SKY, ("Astronomers observed the {}.", "The {} was seen at night from space.", "They study the {}.")),
    )
    for template in templates
    for word in words
]
LABELS = np.repeat([0, 1], 30)
STEPS = 4
"""Batches in an epoch."""
QUICK = Training(epochs=6, rate=0.01, batch=16, patience=6)


class KilledError(BaseException):
    """What ends a run in the middle, and nobody catches."""


class KillsAfter(Silent):
    """Progress whose user has had enough after some steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Advance]:
        def advance(steps: int) -> None:
            self._left -= steps
            if self._left <= 0:
                raise KilledError

        yield advance


@pytest.fixture(scope="module")
def encoder(one_layer_minilm: str) -> TokenEncoder:
    return TokenEncoder(one_layer_minilm, device="cpu")


@pytest.fixture(scope="module")
def stored(encoder: TokenEncoder) -> StoredTokens:
    return StoredTokens(encoder, TEXTS)


def weights(classifier: Classifier[LinearHead] | Classifier[PrototypeHead]) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in classifier.weights().items()}


def new(encoder: TokenEncoder, seed: int = 0) -> PrototypeClassifier:
    return PrototypeClassifier.new(encoder, ["food", "sky"], PrototypeConfig(3, 2, attention=16), seed=seed)


@pytest.mark.parametrize("kind", [LinearClassifier, PrototypeClassifier])
def test_two_kinds_of_sentences_are_told_apart(
    encoder: TokenEncoder, stored: StoredTokens, kind: type[LinearClassifier] | type[PrototypeClassifier]
) -> None:
    classifier = kind.new(encoder, ["food", "sky"])
    log = train(classifier, stored, LABELS, QUICK)
    assert log.epochs[log.best].dev_accuracy == 1
    unseen = ["They ate noodles with butter.", "Our star is orbited by eight planets.", "Dinner was a warm stew."]
    assert classifier.predict(unseen) == ["food", "sky", "food"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    encoder: TokenEncoder, stored: StoredTokens
) -> None:
    trained = []
    for seed in (0, 0, 1):
        classifier = new(encoder, seed)
        train(classifier, stored, LABELS, Training(epochs=2, seed=seed))
        trained.append(weights(classifier))
    for name, value in trained[0].items():
        np.testing.assert_array_equal(value, trained[1][name])
    assert np.abs(trained[0]["head.prototypes"] - trained[2]["head.prototypes"]).max() > 1e-3


@pytest.mark.parametrize("steps", [2, 8, 11, 20])
def test_a_run_that_was_killed_ends_at_the_same_weights(
    encoder: TokenEncoder, stored: StoredTokens, tmp_path: Path, steps: int
) -> None:
    whole = new(encoder)
    expected = train(whole, stored, LABELS, QUICK)
    with pytest.raises(KilledError):
        train(new(encoder), stored, LABELS, QUICK, checkpoints=tmp_path, progress=KillsAfter(steps))
    (tmp_path / "journal-part-epoch-0009.safetensors").write_bytes(b"half-written")
    # Where nothing was stored yet it begins anew; otherwise what it starts from is replaced.
    resumed = new(encoder, seed=5 if steps > STEPS else 0)
    log = train(resumed, stored, LABELS, QUICK, checkpoints=tmp_path)
    assert log == expected
    for name, value in weights(whole).items():
        np.testing.assert_array_equal(value, weights(resumed)[name])
    assert not [path for path in tmp_path.iterdir() if path.suffix not in {".json", ".safetensors"}]
    assert len(list(tmp_path.glob("epoch-*.safetensors"))) == 1


def test_a_run_that_had_ended_is_not_trained_again(encoder: TokenEncoder, stored: StoredTokens, tmp_path: Path) -> None:
    log = train(new(encoder), stored, LABELS, QUICK, checkpoints=tmp_path)
    before = (tmp_path / "checkpoint.json").stat().st_mtime_ns
    again = new(encoder)
    assert train(again, stored, LABELS, QUICK, checkpoints=tmp_path) == log
    assert (tmp_path / "checkpoint.json").stat().st_mtime_ns == before
    assert again.predict(["We ate an apple."]) == ["food"]


def test_checkpoints_of_another_run_are_refused(encoder: TokenEncoder, stored: StoredTokens, tmp_path: Path) -> None:
    train(new(encoder), stored, LABELS, Training(epochs=1), checkpoints=tmp_path)
    with pytest.raises(InputError, match="a checkpoint of another model, of other data or other options"):
        train(new(encoder), stored, LABELS, Training(epochs=1, seed=1), checkpoints=tmp_path)
    with pytest.raises(InputError, match="a checkpoint of another model"):
        train(new(encoder), stored, 1 - LABELS, Training(epochs=1), checkpoints=tmp_path)
    with pytest.raises(InputError, match="a checkpoint of another model"):
        train(LinearClassifier.new(encoder, ["food", "sky"]), stored, LABELS, Training(epochs=1), checkpoints=tmp_path)
    content = json.loads((tmp_path / "checkpoint.json").read_text())
    del content["epochs"]
    (tmp_path / "checkpoint.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="not a checkpoint"):
        train(new(encoder), stored, LABELS, Training(epochs=1), checkpoints=tmp_path)


def tiny_bert(one_layer_minilm: str, folder: Path) -> str:
    """A BERT of random weights, so small that its checkpoints are written in no time."""
    tokenizer = AutoTokenizer.from_pretrained(one_layer_minilm)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with quiet_transformers():
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_tuned_encoder_is_trained_and_resumed(one_layer_minilm: str, tmp_path: Path) -> None:
    model = tiny_bert(one_layer_minilm, tmp_path / "tiny")
    training = Training(epochs=2, batch=32, encoder_rate=1e-3)
    trained = []
    for killed in (False, True):
        encoder = TokenEncoder(model, device="cpu")
        classifier = PrototypeClassifier.new(encoder, ["food", "sky"], tuned=True)
        before, state = weights(classifier), torch.get_rng_state()
        source = LiveTokens(encoder, encoder.read(TEXTS))
        if killed:
            with pytest.raises(KilledError):
                train(classifier, source, LABELS, training, checkpoints=tmp_path / "run", progress=KillsAfter(3))
        train(classifier, source, LABELS, training, checkpoints=tmp_path / "run" if killed else None)
        assert torch.equal(torch.get_rng_state(), state)
        trained.append(weights(classifier))
        name = "encoder.encoder.layer.0.output.dense.weight"
        assert np.abs(trained[-1][name] - before[name]).max() > 1e-4
    for name, value in trained[0].items():
        np.testing.assert_array_equal(value, trained[1][name])


def test_a_frozen_encoder_stays_as_it_is(encoder: TokenEncoder) -> None:
    before = {name: value.clone() for name, value in encoder.network.state_dict().items()}
    train(new(encoder), LiveTokens(encoder, encoder.read(TEXTS)), LABELS, Training(epochs=1))
    assert all(torch.equal(value, before[name]) for name, value in encoder.network.state_dict().items())


def test_early_stopping_keeps_the_best_epoch(encoder: TokenEncoder, stored: StoredTokens) -> None:
    random_labels = np.random.default_rng(0).permutation(LABELS)
    classifier = new(encoder)
    log = train(classifier, stored, random_labels, Training(epochs=60, rate=0.02, patience=3, dev_share=0.3))
    assert len(log.epochs) == log.best + 1 + 3
    assert log.epochs[log.best].dev_cross_entropy == min(epoch.dev_cross_entropy for epoch in log.epochs)
    _, dev = dev_split(random_labels, 0.3, 0)
    right = classifier.read(stored).predicted[dev] == random_labels[dev]
    assert right.mean() == pytest.approx(log.epochs[log.best].dev_accuracy)


def test_without_a_dev_part_all_epochs_are_run(encoder: TokenEncoder, stored: StoredTokens) -> None:
    log = train(new(encoder), stored, LABELS, Training(epochs=3, dev_share=0))
    assert (len(log.epochs), log.best, log.epochs[-1].dev_accuracy) == (3, 2, None)


def test_the_dev_part_is_a_share_of_each_class_and_leaves_some() -> None:
    labels = np.array([0] * 40 + [1] * 20 + [2])
    fitted, dev = dev_split(labels, 0.25, 0)
    assert np.bincount(labels[dev], minlength=3).tolist() == [10, 5, 0]
    assert sorted([*fitted, *dev]) == list(range(61))


def test_prototypes_start_in_their_own_class_and_stay_there_as_a_baseline(
    encoder: TokenEncoder, stored: StoredTokens
) -> None:
    generator = np.random.default_rng(0)
    pooled = (generator.normal(size=(40, 5)) + np.repeat([0, 50], 20)[:, None]).astype(np.float32)
    labels, owner = np.repeat([0, 1], 20), np.array([0, 0, 1, 1])
    for start in ("kmeans", "examples"):
        prototypes = start_prototypes(pooled, labels, owner, start, 0)
        assert (prototypes.mean(axis=1) > 25).tolist() == [False, False, True, True]
    assert all((pooled == prototype).all(axis=1).any() for prototype in prototypes)
    classifier = new(encoder)
    train(classifier, stored, LABELS, Training(epochs=3, dev_share=0, start="examples", learned=False))
    begun = new(encoder)
    train(begun, stored, LABELS, Training(epochs=1, dev_share=0, start="examples", learned=False, rate=1e-9))
    torch.testing.assert_close(classifier.head.prototypes, begun.head.prototypes)
    assert not torch.equal(classifier.head.classes.weight, begun.head.classes.weight)


def test_refitting_the_last_layer_reaches_the_optimum_of_scikit_learn(
    encoder: TokenEncoder, stored: StoredTokens
) -> None:
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    classifier = new(encoder)
    train(classifier, stored, LABELS, Training(epochs=1))
    noisy = LABELS.copy()
    noisy[::4] = 1 - noisy[::4]
    similarities = classifier.read(stored).similarities.astype(float)
    before = classifier.head.classes.weight.detach().numpy().astype(float)

    def objective(flat: np.ndarray) -> float:
        weights = flat.reshape(before.shape)
        logits = similarities @ weights.T
        lost = logsumexp(logits, axis=1) - logits[np.arange(len(noisy)), noisy]
        return float(lost.mean() + 0.05 * ((weights - before) ** 2).sum())

    best = minimize(objective, before.ravel(), method="BFGS", options={"gtol": 1e-7})
    refitted = refit_last_layer(classifier, stored, noisy, pull=0.1)
    np.testing.assert_allclose(refitted.head.classes.weight.detach().numpy().ravel(), best.x, atol=1e-3)
    assert torch.equal(refitted.head.prototypes, classifier.head.prototypes)


def test_wrong_labels_and_options_are_refused(encoder: TokenEncoder, stored: StoredTokens) -> None:
    with pytest.raises(InputError, match="labels from 0 to 2: give class numbers from 0 to 1"):
        train(new(encoder), stored, LABELS + (np.arange(60) == 59))
    with pytest.raises(InputError, match="labels of shape"):
        train(new(encoder), stored, LABELS[:5])
    few = np.zeros(60, dtype=np.int64)
    few[:2] = 1
    with pytest.raises(InputError, match="class 'sky' has 2 examples to fit .* and 3 prototypes"):
        train(new(encoder), stored, few)
    with pytest.raises(InputError, match="class 'sky' has 0 examples to fit"):
        train(LinearClassifier.new(encoder, ["food", "sky"]), stored, np.zeros(60, dtype=np.int64))
    with pytest.raises(InputError, match="dev share 1"):
        train(new(encoder), stored, LABELS, Training(dev_share=1))
    with pytest.raises(InputError, match="give one of kmeans, examples"):
        train(new(encoder), stored, LABELS, Training(start="middle"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="learning rates must be above 0"):
        train(new(encoder), stored, LABELS, Training(rate=0))


def test_a_loss_that_is_not_finite_ends_the_run(encoder: TokenEncoder, stored: StoredTokens) -> None:
    config = PrototypeConfig(2, 1, cohesion=1e38)
    with pytest.raises(ConceptBenchError, match="the loss is .*: give a lower learning rate"):
        train(PrototypeClassifier.new(encoder, ["food", "sky"], config), stored, LABELS)
