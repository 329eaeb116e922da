"""The annotation task on gold items: right labels, wrong labels, and labels made to cheat."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conceptbench.benchmark.items import draw_items
from conceptbench.benchmark.lexicon import GoldConcept, load_lexicon
from conceptbench.eval.annotation.gold import GoldScorer
from conceptbench.eval.result import read_result
from conceptbench.eval.run import evaluate, open_run
from conceptbench.runtime.errors import InputError


@pytest.fixture(scope="module")
def lexicon() -> Mapping[str, GoldConcept]:
    """The packaged lexicon."""
    return load_lexicon()


@pytest.fixture(scope="module")
def scorer(lexicon: Mapping[str, GoldConcept]) -> GoldScorer:
    """The scorer over it."""
    return GoldScorer(lexicon)


def by_kind(lexicon: Mapping[str, GoldConcept], scores: Mapping[str, bool]) -> dict[str, float]:
    """The mean of the concepts' scores in each kind."""
    kinds: defaultdict[str, list[bool]] = defaultdict(list)
    for concept, value in scores.items():
        kinds[lexicon[concept].kind].append(value)
    return {kind: sum(values) / len(values) for kind, values in kinds.items()}


def test_every_gold_name_is_right(lexicon: Mapping[str, GoldConcept], scorer: GoldScorer) -> None:
    wrong = [concept.id for concept in lexicon.values() if not scorer.matches(concept.name, concept)]
    assert wrong == []


def test_nearly_every_alias_is_right(lexicon: Mapping[str, GoldConcept], scorer: GoldScorer) -> None:
    pairs = [(alias, concept) for concept in lexicon.values() for alias in concept.aliases]
    wrong = [(alias, concept.id) for alias, concept in pairs if not scorer.matches(alias, concept)]
    assert len(wrong) < 0.05 * len(pairs), wrong


def test_the_name_of_another_concept_is_wrong(lexicon: Mapping[str, GoldConcept], scorer: GoldScorer) -> None:
    concepts = list(lexicon.values())
    for kind, share in by_kind(
        lexicon,
        {
            concept.id: scorer.matches(rival.name, concept)
            for concept, rival in zip(concepts, concepts[7:] + concepts[:7], strict=True)
        },
    ).items():
        assert share <= 0.02, kind


@pytest.mark.parametrize(
    "label",
    [
        "words",
        "",
        "a list of words",
        "animals, countries, verbs, emotions",
        "names of people, places, animals, food, sports",
        "nouns, verbs, adjectives, adverbs, pronouns",
        "words ending in -ing, capital letters, numbers",
        "food and politics and religion and music",
        "everything " * 30,
    ],
)
def test_labels_that_say_everything_score_near_zero_in_every_kind(
    lexicon: Mapping[str, GoldConcept], scorer: GoldScorer, label: str
) -> None:
    shares = by_kind(lexicon, {concept.id: scorer.matches(label, concept) for concept in lexicon.values()})
    assert max(shares.values()) <= 0.05, shares


def test_a_gold_name_stuffed_with_others_is_wrong(lexicon: Mapping[str, GoldConcept], scorer: GoldScorer) -> None:
    concepts = list(lexicon.values())
    others = concepts[53:] + concepts[:53]
    more = concepts[131:] + concepts[:131]
    shares = by_kind(
        lexicon,
        {
            concept.id: scorer.matches(f"{concept.name}, {second.name}, {third.name}", concept)
            for concept, second, third in zip(concepts, others, more, strict=True)
        },
    )
    assert max(shares.values()) <= 0.02, shares


def test_the_baseline_gives_a_result_that_its_records_give_again(
    tmp_path: Path, lexicon: Mapping[str, GoldConcept]
) -> None:
    result = evaluate("annotation", annotator="lexical", out=tmp_path)
    assert read_result(tmp_path) == result
    records = pq.read_table(tmp_path / "records.parquet").to_pylist()
    assert open_run(tmp_path).metrics == result.metrics
    concepts = sum(concept.split == "test" for concept in lexicon.values())
    assert result.metrics["gold_match"].n == len(records) == 3 * concepts
    # A rule on the words' form names affixes and spellings, and no meaning.
    assert result.metrics["gold_match/morphology"].value > 0.4
    assert result.metrics["gold_match/semantic"].value < 0.05
    assert result.metrics["gold_match"].low < result.metrics["gold_match"].value < result.metrics["gold_match"].high


def test_copying_words_of_the_list_names_nothing(lexicon: Mapping[str, GoldConcept], scorer: GoldScorer) -> None:
    items = draw_items(lexicon, split=None)
    copied = [scorer.matches(", ".join(item.words[:3]), lexicon[item.concept]) for item in items]
    assert sum(copied) <= 0.01 * len(items)


def test_limit_counts_concepts_and_a_seed_gives_fresh_lists(tmp_path: Path) -> None:
    first = evaluate("annotation", annotator="lexical", out=tmp_path / "a", limit=10)
    again = evaluate("annotation", annotator="lexical", out=tmp_path / "b", limit=10)
    evaluate("annotation", annotator="lexical", out=tmp_path / "c", limit=10, seed=1)
    assert first.metrics["gold_match"].n == 30
    assert first.records_sha256 == again.records_sha256
    lists = [pq.read_table(tmp_path / name / "records.parquet")["words"].to_pylist() for name in "ac"]
    assert not any(words in lists[1] for words in lists[0])


def test_missing_labels_count_as_wrong_and_are_counted(tmp_path: Path, fault_server: Any, faults: Any) -> None:
    fault_server.default = faults.chat("I'm sorry, but I can't help with that.")
    result = evaluate(
        "annotation", annotator="openai:m", out=tmp_path, limit=5, base_url=fault_server.base_url, prompt="zero-shot"
    )
    assert result.metrics["refused"].value == 1.0
    assert result.metrics["gold_match"].value == 0.0
    assert result.metrics["gold_match"].n == 15
    records = pq.read_table(tmp_path / "records.parquet").to_pylist()
    # With words that all differ, types are what was asked before: one other prompt is left to try.
    assert {len(record["attempts"]) for record in records} == {2}


@pytest.mark.slow
def test_a_small_model_beats_the_baseline_on_meaning(tmp_path: Path, smollm2_folder: str, long: bool) -> None:
    limit = 40 if long else 20
    result = evaluate("annotation", annotator="local:smollm2", out=tmp_path / "llm", limit=limit)
    baseline = evaluate("annotation", annotator="lexical", out=tmp_path / "rule", limit=limit)
    assert result.metrics["gold_match/semantic"].value > baseline.metrics["gold_match/semantic"].high
    assert result.provenance["tokens"]["in"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "--limit 0"),
        ({"split": "train"}, "--split train"),
        ({"annotator": "oracle"}, "no such annotator"),
        ({"purities": [0.1]}, "purities"),
        ({"bertscore": "smollm2", "limit": 1}, "decoder"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate("annotation", **{"annotator": "lexical", "out": tmp_path} | options)
    with pytest.raises(InputError, match="no such task"):
        evaluate("reading")
