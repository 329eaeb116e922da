"""The explanations of a classifier, and whether they are true of it; on planted data."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from conceptbench.benchmark.modules.known import checked
from conceptbench.eval.methods.protolm.explaining import explain, project, prototype_modules, prune
from conceptbench.eval.methods.protolm.faithfulness import (
    align,
    swap_examples,
    token_faithfulness,
)
from conceptbench.eval.methods.protolm.model import LinearClassifier, PrototypeClassifier
from conceptbench.eval.methods.protolm.settings import PrototypeConfig, Training
from conceptbench.eval.methods.protolm.tokens import StoredTokens, TokenEncoder
from conceptbench.eval.methods.protolm.training import train
from conceptbench.eval.methods.sasc.ngrams import respond
from conceptbench.runtime.models import quiet_transformers

FOOD = ("soup", "bread", "cheese", "apple pie", "rice", "salad", "pasta", "roast beef", "fish", "cake")
SKY = ("moon", "planet", "comet", "galaxy", "eclipse", "telescope", "orbit", "asteroid", "rocket", "satellite")
FRAMES = ("We talked about the {}.", "The {} was a good one.", "She likes every {} there is.")
TEXTS = [frame.format(word) for words in (FOOD, SKY) for frame in FRAMES for word in words]
LABELS = np.repeat([0, 1], 30)


@pytest.fixture(scope="module")
def encoder(one_layer_minilm: str) -> TokenEncoder:
    return TokenEncoder(one_layer_minilm, device="cpu")


@pytest.fixture(scope="module")
def stored(encoder: TokenEncoder) -> StoredTokens:
    return StoredTokens(encoder, TEXTS, dtype="float32")


@pytest.fixture(scope="module")
def trained(encoder: TokenEncoder, stored: StoredTokens) -> PrototypeClassifier:
    config = PrototypeConfig(4, 2, attention=16, cohesion=0.0, separation=0.0)
    classifier = PrototypeClassifier.new(encoder, ["food", "sky"], config)
    train(classifier, stored, LABELS, Training(epochs=25, rate=0.02, batch=16, dev_share=0))
    return classifier


@pytest.fixture(scope="module")
def planted(one_layer_minilm: str, tmp_path_factory: pytest.TempPathFactory) -> PrototypeClassifier:
    """A classifier that pays attention to the words that tell the classes apart.

    It reads MiniLM's embeddings, where a token's vector tells of no other token.
    """
    folder = tmp_path_factory.mktemp("models") / "embeddings"
    with quiet_transformers():
        AutoModel.from_pretrained(one_layer_minilm, num_hidden_layers=0).save_pretrained(folder)
        AutoTokenizer.from_pretrained(one_layer_minilm).save_pretrained(folder)
    encoder = TokenEncoder(str(folder), device="cpu")
    stored, tokens = StoredTokens(encoder, TEXTS, dtype="float32"), encoder.read(TEXTS)
    with torch.inference_mode():
        states, mask = encoder.states(tokens)
    filling = {token for frame in FRAMES for token in encoder.strings(encoder.read([frame.format("")])[0])}
    inside = torch.tensor([token not in filling for text in tokens for token in encoder.strings(text)])
    means = [states[mask][which].mean(dim=0) for which in (inside, ~inside)]
    classifier = PrototypeClassifier.new(encoder, ["food", "sky"], PrototypeConfig(4, 2, attention=1))
    pooling, direction = classifier.head.pooling, means[0] - means[1]
    with torch.no_grad():
        pooling.map.weight.copy_(direction[None] / direction.norm() ** 2)
        pooling.map.bias.copy_(-(pooling.map.weight @ (means[0] + means[1])) / 2)
        pooling.vector.fill_(4)
    train(classifier, stored, LABELS, Training(epochs=1, rate=1e-6, dev_share=0))
    return classifier


def test_prototypes_are_projected_to_their_nearest_distinct_examples(
    trained: PrototypeClassifier, stored: StoredTokens
) -> None:
    neighbours = project(trained, stored, TEXTS, LABELS)
    similarities = trained.read(stored).similarities
    for number, nearest in enumerate(neighbours):
        assert [example.row for example in nearest] == np.argsort(-similarities[:, number], kind="stable")[:5].tolist()
        assert nearest[0].similarity == pytest.approx(similarities[:, number].max())
        assert [example.text for example in nearest] == [TEXTS[example.row] for example in nearest]
    assert [nearest[0].label for nearest in neighbours] == ["food"] * 4 + ["sky"] * 4


def test_a_text_that_is_there_twice_is_told_once(trained: PrototypeClassifier, encoder: TokenEncoder) -> None:
    twice = ["The soup was a good one."] * 3 + ["The moon was a good one."] * 3 + ["Cake."]
    source = StoredTokens(encoder, twice)
    for nearest in project(trained, source, twice, np.array([0, 0, 0, 1, 1, 1, 0])):
        assert sorted(example.row for example in nearest) == [0, 3, 6]


def test_a_decision_is_the_sum_of_what_prototypes_contribute(
    trained: PrototypeClassifier, stored: StoredTokens
) -> None:
    texts = ["The noodle was a good one.", "They saw a star."]
    decisions = explain(trained, texts, project(trained, stored, TEXTS, LABELS), count=8)
    readings = trained.read(trained.texts(texts))
    assert [decision.label for decision in decisions] == ["food", "sky"]
    for row, decision in enumerate(decisions):
        contributions = [reason.contribution for reason in decision.reasons]
        assert contributions == sorted(contributions, reverse=True)
        assert sum(contributions) == pytest.approx(readings.logits[row].max(), rel=1e-4)
        assert decision.reasons[0].label == decision.label
        assert decision.reasons[0].examples[0].label == decision.label
        assert sum(share for _, share in decision.attention) == pytest.approx(1, abs=1e-5)
        assert sum(decision.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert [token for token, _ in decisions[1].attention] == ["they", "saw", "a", "star", "."]


def test_attention_is_told_of_each_token(planted: PrototypeClassifier) -> None:
    decisions = explain(planted, ["We talked about the soup.", "We talked about the moon."], [[]] * 8)
    for decision, word in zip(decisions, ("soup", "moon"), strict=True):
        assert max(decision.attention, key=lambda pair: pair[1])[0] == word


def test_a_decision_can_be_read(trained: PrototypeClassifier, stored: StoredTokens) -> None:
    decision = explain(trained, ["The soup was a good one."], project(trained, stored, TEXTS, LABELS))[0]
    written = decision.to_text({decision.reasons[0].prototype: "things to eat"})
    assert "is food (probability" in written
    assert f"prototype {decision.reasons[0].prototype} “things to eat” of food" in written
    assert decision.reasons[0].examples[0].text in written


def test_pruning_drops_what_decides_nothing_and_keeps_accuracy(
    trained: PrototypeClassifier, stored: StoredTokens
) -> None:
    far = trained.with_prototypes(
        torch.cat([trained.head.prototypes.detach(), torch.full((2, 384), 1e4)]),
        torch.cat([trained.head.classes.weight.detach(), torch.tensor([[1.0, -0.5], [-0.5, 1.0]])], 1),
        torch.cat([trained.head.owner, torch.tensor([0, 1])]),
    )
    pruning = prune(far, stored, LABELS)
    assert {8, 9} <= set(pruning.dropped.tolist())
    assert sorted([*pruning.remaining, *pruning.dropped]) == list(range(10))
    assert set(pruning.classifier.head.owner.tolist()) == {0, 1}
    right = [(classifier.read(stored).predicted == LABELS).mean() for classifier in (pruning.classifier, far)]
    assert right[0] >= right[1]
    readings = far.read(stored)
    contributions = far.head.classes.weight.detach().numpy()[readings.predicted] * readings.similarities
    assert set(contributions.argmax(axis=1)) <= set(pruning.remaining.tolist())


def test_pruning_leaves_a_class_that_is_never_predicted_a_prototype(
    trained: PrototypeClassifier, stored: StoredTokens
) -> None:
    biased = trained.with_prototypes(trained.head.prototypes.detach(), torch.tensor([[1.0] * 8, [-1.0] * 8]))
    assert set(prune(biased, stored, LABELS, refit=False).classifier.head.owner.tolist()) == {0, 1}


def test_prototypes_are_text_modules_that_share_their_encoder(trained: PrototypeClassifier) -> None:
    modules = prototype_modules(trained)
    texts = ["The soup was a good one.", "The moon was a good one.", "a telescope", "", "soup"]
    expected = trained.read(trained.texts(texts)).similarities
    for number, module in enumerate(modules):
        np.testing.assert_allclose(checked(module, texts), expected[:, number], rtol=1e-4)
    assert len({id(module.encoder) for module in modules}) == 1
    responses = respond({str(number): (module, texts[:3]) for number, module in enumerate(modules)})
    np.testing.assert_allclose(responses["2"].values, expected[:3, 2], rtol=1e-4)
    assert responses["0"].values[0] > responses["0"].values[1]
    assert responses["5"].values[0] < responses["5"].values[1]


def test_faithfulness_is_1_where_prototypes_are_training_vectors(
    trained: PrototypeClassifier, stored: StoredTokens
) -> None:
    aligned = align(trained, stored, LABELS)
    neighbours = project(aligned.classifier, stored, TEXTS, LABELS)
    assert [nearest[0].row for nearest in neighbours] == aligned.rows.tolist()
    assert len(set(aligned.rows.tolist())) == 8
    assert (LABELS[aligned.rows] == aligned.classifier.head.owner.numpy()).all()
    swap = swap_examples(aligned.classifier, stored, neighbours, stored)
    assert swap.all_stay.all()
    assert swap.top_stays.all()
    assert swap.change.max() < 1e-2
    right = [(classifier.read(stored).predicted == LABELS).mean() for classifier in (trained, aligned.classifier)]
    assert right[0] - right[1] <= 0.1


def test_swaps_that_turn_decisions_are_counted(trained: PrototypeClassifier, stored: StoredTokens) -> None:
    neighbours = project(trained, stored, TEXTS, LABELS)
    exchanged = [*neighbours[4:], *neighbours[:4]]
    swap = swap_examples(trained, stored, exchanged, stored)
    assert swap.all_stay.mean() < 0.5
    assert swap.change.mean() > 0.5
    rows = torch.tensor([nearest[0].row for nearest in exchanged])
    top = 3
    replaced = trained.head.prototypes.detach().clone()
    replaced[top] = torch.from_numpy(trained.read(stored).pooled)[rows[top]]
    with_one_replaced = trained.with_prototypes(replaced, trained.head.classes.weight.detach())
    stays = with_one_replaced.read(stored).predicted == trained.read(stored).predicted
    readings = trained.read(stored)
    contributions = trained.head.classes.weight.detach().numpy()[readings.predicted] * readings.similarities
    mine = contributions.argmax(axis=1) == top
    np.testing.assert_array_equal(swap.top_stays[mine], stays[mine])


def test_deleting_tokens_is_encoding_the_text_without_them(encoder: TokenEncoder) -> None:
    classifier = LinearClassifier.new(encoder, ["food", "sky"])
    whole, shorter = encoder.read(["We like the soup", "We like soup"])
    expected = classifier.read([shorter]).pooled
    np.testing.assert_allclose(classifier.read([whole.without([2])]).pooled, expected, atol=1e-5)


def test_token_faithfulness_is_that_of_plain_loops(trained: PrototypeClassifier, encoder: TokenEncoder) -> None:
    from scipy.stats import spearmanr

    texts = ["We talked about the soup.", "No.", "She likes every planet there is."]
    faithfulness = token_faithfulness(trained, texts, limit=10)
    assert faithfulness.rows.tolist() == [0, 2]
    for number, row in enumerate(faithfulness.rows):
        tokens = encoder.read([texts[row]])[0]
        attention = trained.attention([tokens])[0]
        logits = trained.read([tokens]).logits[0]
        label = logits.argmax()

        def probability(deleted: list[int], tokens=tokens, label=label) -> float:
            logits = trained.read([tokens.without(deleted)]).logits[0].astype(float)
            return float(np.exp(logits[label]) / np.exp(logits).sum())

        drops = [logits[label] - trained.read([tokens.without([k])]).logits[0, label] for k in range(len(attention))]
        assert faithfulness.agreement[number] == pytest.approx(spearmanr(attention, drops).statistic, abs=1e-6)
        order = np.argsort(-attention, kind="stable").tolist()
        sizes = [max(1, round(share * len(order))) for share in (0.01, 0.05, 0.1, 0.2, 0.5)]
        comprehensiveness = np.mean([probability([]) - probability(order[:size]) for size in sizes])
        sufficiency = np.mean([probability([]) - probability(order[size:]) for size in sizes])
        assert faithfulness.comprehensiveness[number] == pytest.approx(comprehensiveness, abs=1e-5)
        assert faithfulness.sufficiency[number] == pytest.approx(sufficiency, abs=1e-5)


def test_attention_to_what_decides_is_faithful(planted: PrototypeClassifier) -> None:
    faithfulness = token_faithfulness(planted, TEXTS, limit=30)
    assert len(faithfulness.rows) == 30
    for values in (
        faithfulness.agreement,
        faithfulness.comprehensiveness - faithfulness.comprehensiveness_random,
        faithfulness.sufficiency_random - faithfulness.sufficiency,
    ):
        assert values.mean() - 2 * values.std() / 30**0.5 > 0.05


def test_texts_that_are_drawn_follow_the_seed_and_there_may_be_none(trained: PrototypeClassifier) -> None:
    first, same, different = (token_faithfulness(trained, TEXTS, limit=5, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.comprehensiveness_random, same.comprehensiveness_random)
    assert first.rows.tolist() != different.rows.tolist()
    assert token_faithfulness(trained, ["No."]).rows.size == 0


def test_uniform_attention_agrees_with_nothing(encoder: TokenEncoder) -> None:
    classifier = LinearClassifier.new(encoder, ["food", "sky"])
    with torch.no_grad():
        classifier.head.linear.weight.normal_(generator=torch.Generator().manual_seed(0))
    assert token_faithfulness(classifier, TEXTS[:3]).agreement.tolist() == [0, 0, 0]
