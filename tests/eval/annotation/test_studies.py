"""Studies and stores: what is asked under each condition, and what the conditions come to."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest

from conceptbench.benchmark.items import draw_items
from conceptbench.benchmark.lexicon import Language, load_language, load_lexicon
from conceptbench.benchmark.prompts import load_prompt
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.build import build
from conceptbench.eval.annotation import TASK
from conceptbench.eval.annotation.options import STORES
from conceptbench.eval.annotation.records import Record
from conceptbench.eval.annotation.studies import CONTEXTS, FACTORS, PROMPTS, STUDIES
from conceptbench.eval.result import Result
from conceptbench.eval.run import evaluate, open_run
from conceptbench.runtime.errors import InputError

PURITY = 0.9
K = 20
Body = Mapping[str, Any]


@pytest.fixture(scope="module", autouse=True)
def _no_key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
            patch.delenv(name, raising=False)
        yield


def news(path: Path, lines: int, skip: int = 0) -> str:
    """Write some real sentences, one a line."""
    from gensim.test.utils import datapath

    with open(datapath("lee_background.cor"), encoding="utf-8") as file:
        texts = [text.strip() + " ." for line in file for text in line.split(".") if len(text.split()) > 3]
    path.write_text("\n".join(texts[skip : skip + lines]) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ConceptStore:
    """A store of two of MiniLM's layers, named by the baseline."""
    folder = tmp_path_factory.mktemp("one")
    return build(
        corpus=news(folder / "news.txt", 400),
        model="minilm",
        layers="3,6",
        k=K,
        min_count=3,
        annotator="lexical",
        out=folder / "store",
    )


@pytest.fixture(scope="module")
def other_store(tmp_path_factory: pytest.TempPathFactory) -> ConceptStore:
    """A store of other text, by k-means."""
    folder = tmp_path_factory.mktemp("other")
    return build(
        corpus=news(folder / "more-news.txt", 120, skip=500),
        model="minilm",
        layers="6",
        k=8,
        min_count=3,
        clustering="kmeans",
        annotator="lexical",
        out=folder / "store",
    )


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, one_layer_minilm: str) -> Run:
    """Evaluate an annotator into `tmp_path`, with a quick encoder."""

    def run_with(annotator: str = "lexical", **options: Any) -> Result:
        defaults = {"purities": [PURITY], "encoder": one_layer_minilm, "timeout": 10.0, "out": tmp_path}
        return evaluate("annotation", annotator=annotator, **defaults | options)

    return run_with


def rows_of(folder: Path) -> list[Record]:
    """Read the records of a run."""
    rows: list[Record] = open_run(folder).rows
    return rows


def by_condition(folder: Path) -> dict[str, list[Record]]:
    """Give a run's records by condition, in its order."""
    conditions: dict[str, list[Record]] = {}
    for record in rows_of(folder):
        conditions.setdefault(record.condition, []).append(record)
    return conditions


def conditions_of(metrics: Mapping[str, Any]) -> list[str]:
    """Give the conditions that a result's metrics are of, in their order."""
    keys = map(TASK.key, metrics)
    return list(dict.fromkeys(key.condition for key in keys if key.condition))


def words_of(text: str) -> list[str]:
    """Read the words that an annotator is shown out of its question."""
    line = re.search(r"^Words: (.*)$", text, re.MULTILINE)
    assert line is not None
    return line[1].split(", ")


def sentences_of(text: str) -> list[str]:
    """Read the sentences that it is shown."""
    return re.findall(r"^- (.*)$", text, re.MULTILINE)


def label_of(text: str) -> str:
    """Make the label by which a question is known again."""
    return "label " + hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.fixture
def known_again(fault_server: Any, faults: ModuleType) -> Callable[[], dict[str, str]]:
    """Have the server answer each question with a label of its own; gives the questions by label."""
    fault_server.answer = lambda body: faults.chat(label_of(body["messages"][-1]["content"]))
    return lambda: {label_of(text): text for text in fault_server.asked}


def assert_nothing_held_out_was_shown(record: Record, question: str) -> None:
    assert record.held_out
    assert set(record.held_out).isdisjoint(words_of(question))
    for sentence in sentences_of(question):
        assert set(record.held_out).isdisjoint(sentence.split(" "))


# On gold items.


def test_the_prompts_are_compared_on_the_same_items(
    run: Run, fault_server: Any, faults: ModuleType, tmp_path: Path
) -> None:
    names = {", ".join(i.words): load_lexicon()[i.concept].name for i in draw_items(load_lexicon(), purities=[PURITY])}

    def answer(body: Body) -> Any:
        text, system = body["messages"][-1]["content"], body["messages"][0]["content"]
        name = next(name for words, name in names.items() if words in text)
        return faults.chat(name if system == load_prompt("semantic").system else "words")

    fault_server.answer = answer
    result = run("openai:m", study="prompt", base_url=fault_server.base_url, limit=20)
    metrics = result.metrics
    assert conditions_of(metrics) == [f"prompt={name}" for name in PROMPTS]
    records = by_condition(tmp_path)
    assert len({tuple(record.item for record in rows) for rows in records.values()}) == 1
    for name in PROMPTS:
        right = metrics[f"gold_match/prompt={name}"]
        assert (right.value, right.n) == (float(name == "semantic"), 20)
        assert {record.attempts[0].prompt for record in records[f"prompt={name}"]} == {name}
    assert metrics["gold_match"].value == pytest.approx(1 / len(PROMPTS))
    assert metrics["gold_match"].n == 100
    assert metrics["discrimination/prompt=semantic"].low > metrics["discrimination/prompt=zero-shot"].value
    kinds = Counter(record.kind for record in records["prompt=semantic"])
    for kind, count in kinds.items():
        assert metrics[f"gold_match/prompt=semantic/{kind}"].n == count
    assert set(result.provenance["prompts"]) == set(PROMPTS)
    assert open_run(tmp_path).metrics == metrics
    assert len(open_run(tmp_path).item_scores.values["gold_match"]) == 100


def test_languages_are_scored_with_their_own_items(
    run: Run, fault_server: Any, faults: ModuleType, tmp_path: Path
) -> None:
    known = {
        ", ".join(item.words): (language, load_language(language)[item.concept].name)
        for language in get_args(Language)
        for item in draw_items(load_language(language), purities=[PURITY])
    }

    def answer(body: Body) -> Any:
        language, name = known[", ".join(words_of(body["messages"][-1]["content"]))]
        return faults.chat(name if language in {"en", "sw"} else "words")

    fault_server.answer = answer
    result = run("openai:m", study="language", base_url=fault_server.base_url)
    records = by_condition(tmp_path)
    assert conditions_of(result.metrics) == list(records) == [f"language={name}" for name in get_args(Language)]
    concepts = {name: sorted(record.concept for record in rows) for name, rows in records.items()}
    assert len(set(map(tuple, concepts.values()))) == 1
    for name in get_args(Language):
        assert result.metrics[f"gold_match/language={name}"].value == float(name in {"en", "sw"})
        assert {record.language for record in records[f"language={name}"]} == {name}
    assert open_run(tmp_path).metrics == result.metrics


def test_refusals_and_what_asking_again_recovers_are_told_by_kind(
    run: Run, fault_server: Any, faults: ModuleType, tmp_path: Path
) -> None:
    lexicon = load_lexicon()
    concept_of = {", ".join(item.words): lexicon[item.concept] for item in draw_items(lexicon, purities=[PURITY])}
    sensitive = [concept.id for concept in concept_of.values() if concept.kind == "sensitive"]
    stubborn = set(sensitive[: len(sensitive) // 3])
    assert len(stubborn) >= 2

    def answer(body: Body) -> Any:
        concept = concept_of[", ".join(words_of(body["messages"][-1]["content"]))]
        first = body["messages"][0]["content"] != load_prompt("lexical").system
        if concept.id in stubborn or (first and concept.kind == "sensitive"):
            return faults.chat("I'm sorry, but I can't help with that.")
        return faults.chat("", finish="content_filter") if first and concept.kind == "sentiment" else faults.chat("x y")

    fault_server.answer = answer
    metrics = run("openai:m", study="refusals", base_url=fault_server.base_url).metrics
    records = rows_of(tmp_path)
    kinds = Counter(record.kind for record in records)
    refused_first = {kind: metrics[f"refused_first/{kind}"] for kind in kinds}
    assert {kind: metric.value for kind, metric in refused_first.items()} == {
        kind: float(kind in {"sensitive", "sentiment"}) for kind in kinds
    }
    assert {kind: metric.n for kind, metric in refused_first.items()} == kinds
    assert metrics["recovered/sensitive"].value == pytest.approx(1 - len(stubborn) / len(sensitive))
    assert metrics["recovered/sensitive"].n == kinds["sensitive"]
    assert metrics["recovered/sentiment"].value == 1.0
    assert "recovered/semantic" not in metrics
    assert metrics["refused/sensitive"].value == pytest.approx(len(stubborn) / len(sensitive))
    assert metrics["refused/semantic"].value == 0.0
    assert metrics["refused"].value == pytest.approx(len(stubborn) / len(records))
    assert conditions_of(metrics) == []
    prompts = {tuple(attempt.prompt for attempt in record.attempts) for record in records}
    assert prompts == {("few-shot",), ("few-shot", "lexical")}


# On stores.


def test_a_stores_concepts_are_asked_without_the_words_held_out(
    store: ConceptStore, run: Run, fault_server: Any, known_again: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    result = run("openai:m", store=store.path, base_url=fault_server.base_url, contexts=5)
    questions = known_again()
    records = rows_of(tmp_path)
    for record in records:
        concepts = store.concepts("minilm", record.layer).to_pylist()
        (concept,) = [row for row in concepts if row["concept"] == record.concept]
        words = {word["word"]: word["count"] for word in concept["words"]}
        # Nothing of the concept is lost, and a third of it is held out.
        assert (
            dict(zip(record.words, record.counts, strict=True)) | {word: words[word] for word in record.held_out}
            == words
        )
        folded = {word.casefold() for word in words}
        expected = min(len(folded) // 3, 12) if len(folded) >= 4 else 0
        hidden = {word.casefold() for word in record.held_out}
        assert len(hidden) == expected
        assert hidden.isdisjoint(word.casefold() for word in record.words)
        assert set(record.strangers).isdisjoint(words)
        assert record.size == concept["size"]
        if expected:
            assert_nothing_held_out_was_shown(record, questions[record.label])
    assert len(records) == 2 * K
    metrics = result.metrics
    assert metrics["discrimination"].n == sum(bool(record.held_out) for record in records)
    assert metrics["discrimination/L03"].n + metrics["discrimination/L06"].n == metrics["discrimination"].n
    sizes = [name for name in metrics if name.startswith("discrimination/size=")]
    assert sum(metrics[name].n for name in sizes) == metrics["discrimination"].n
    # There is no right name to compare with.
    assert not any(name.startswith(("gold", "bertscore", "discrimination_normalised")) for name in metrics)
    assert "minilm" in result.provenance["dataset"]
    assert open_run(tmp_path).metrics == metrics


def test_each_number_of_sentences_is_what_is_shown(
    store: ConceptStore, run: Run, fault_server: Any, known_again: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    result = run("openai:m", study="contexts", store=store.path, base_url=fault_server.base_url)
    questions, records = known_again(), by_condition(tmp_path)
    assert list(records) == conditions_of(result.metrics) == [f"contexts={count}" for count in CONTEXTS]
    full = 0
    for count, rows in zip(CONTEXTS, records.values(), strict=True):
        assert result.metrics[f"discrimination/contexts={count}"].n > K
        for record in rows:
            question = questions[record.label]
            assert sentences_of(question) == [text[:400] for text in record.contexts[:count]]
            full += count == 20 and len(sentences_of(question)) == 20
            if record.held_out:
                assert_nothing_held_out_was_shown(record, question)
    # Most concepts have as many sentences as are asked for at most.
    assert full > K
    compared = [[(r.item, r.words, r.held_out, r.strangers) for r in rows] for rows in records.values()]
    assert all(rows == compared[0] for rows in compared)


def test_words_are_shown_once_or_as_often_as_they_occur(
    store: ConceptStore, run: Run, fault_server: Any, known_again: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    result = run("openai:m", study="unit", store=store.path, base_url=fault_server.base_url, limit=15)
    questions, records = known_again(), by_condition(tmp_path)
    assert list(records) == conditions_of(result.metrics) == ["unit=types", "unit=tokens"]
    for types, tokens in zip(*records.values(), strict=True):
        counts = dict(zip(types.words, types.counts, strict=True))
        listed = words_of(questions[types.label])
        assert listed == list(types.words[:60])
        repeated = Counter(words_of(questions[tokens.label]))
        assert repeated.total() == min(60, sum(counts.values()))
        # The last word that fits may be cut short.
        assert sum(repeated[word] != counts[word] for word in repeated) <= 1
        assert types.item == tokens.item
    assert result.metrics["discrimination/unit=types"].n == result.metrics["discrimination/unit=tokens"].n


def test_half_and_twice_as_many_concepts_are_cut_from_the_same_trees(
    store: ConceptStore, run: Run, tmp_path: Path
) -> None:
    result = run("lexical", study="k", store=store.path)
    records = by_condition(tmp_path)
    assert list(records) == conditions_of(result.metrics) == [f"k=x{factor:g}" for factor in FACTORS]
    for factor, rows in zip(FACTORS, records.values(), strict=True):
        assert Counter(record.layer for record in rows) == {3: factor * K, 6: factor * K}
        for layer in (3, 6):
            tokens = store.occurrences("minilm", layer).num_rows
            assert sum(record.size for record in rows if record.layer == layer) == tokens
    # As many as the store has are the store's.
    ours = {frozenset((*record.words, *record.held_out)) for record in records["k=x1"] if record.layer == 6}
    theirs = {frozenset(w["word"] for w in row["words"]) for row in store.concepts("minilm", 6).to_pylist()}
    assert ours == theirs
    assert {f"discrimination/k=x{factor:g}/L06" for factor in FACTORS} <= set(result.metrics)


def test_stores_of_two_corpora_are_compared(
    store: ConceptStore, other_store: ConceptStore, run: Run, tmp_path: Path
) -> None:
    result = run("lexical", study="corpus", store=[store.path, other_store.path])
    records = by_condition(tmp_path)
    names = conditions_of(result.metrics)
    assert list(records) == names
    assert [name.split(":")[0] for name in names] == ["corpus=1", "corpus=2"]
    assert "more-news" not in names[0]
    assert "more-news" in names[1]
    assert [len(rows) for rows in records.values()] == [2 * K, 8]
    # Strangers, shuffled labels and rivals come from the concept's own store.
    for built, rows in zip((store, other_store), records.values(), strict=True):
        known = {
            layer: {word["word"] for row in built.concepts("minilm", layer).to_pylist() for word in row["words"]}
            for layer in built.layers("minilm")
        }
        assert all(set(record.strangers) <= known[record.layer] for record in rows)
    for name, rows in records.items():
        tested = sum(bool(record.held_out and record.strangers) for record in rows)
        assert result.metrics[f"discrimination/{name}"].n == tested
    assert open_run(tmp_path).metrics == result.metrics


@pytest.mark.parametrize(
    ("study", "stores", "message"),
    [
        ("nonsense", 0, r"--study nonsense: give one of prompt, contexts"),
        ("prompt", 1, "--study prompt takes no --store"),
        ("refusals", 1, "--study refusals takes no --store"),
        ("contexts", 0, "--study contexts takes 1 --store"),
        ("unit", 2, "--study unit takes 1 --store"),
        ("corpus", 1, "--study corpus takes 2 --store"),
        (None, 2, "--store: give one, or two with --study corpus"),
    ],
)
def test_a_wrong_number_of_stores_is_named(
    store: ConceptStore, run: Run, study: str | None, stores: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run("lexical", study=study, store=[store.path] * stores)


def test_a_store_without_trees_is_cut_by_no_other_k(other_store: ConceptStore, run: Run) -> None:
    with pytest.raises(InputError, match="tree"):
        run("lexical", study="k", store=other_store.path)


def test_a_folder_that_is_no_store_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        run("lexical", store=tmp_path / "nowhere")


def test_every_study_is_known_by_what_its_conditions_are_called() -> None:
    names = {"prompt", "contexts", "unit", "k", "corpus", "refusals", "language"}
    assert set(STUDIES) == set(STORES) == set(TASK.studies) == names
    assert conditions_of({"a/contexts=5/L03": 1, "a/contexts=0": 1, "a/semantic": 1, "a/size=1-9": 1, "a": 1}) == [
        "contexts=5",
        "contexts=0",
    ]


def test_a_stores_own_labels_are_scored_with_another_encoder_than_it_was_made_with(
    store: ConceptStore, smollm2_folder: str, tmp_path: Path
) -> None:
    result = evaluate("annotation", annotator=f"file:{store.path}", store=store.path, out=tmp_path, limit=10)
    assert result.provenance["encoder"]["model"] == "smollm2"
    assert result.system == "file:store"
    labels = {row["concept"]: row["label"] for layer in (3, 6) for row in store.concepts("minilm", layer).to_pylist()}
    records = rows_of(tmp_path)
    assert len(records) == 10
    assert [record.label for record in records] == [labels[record.concept] for record in records]
    discrimination = result.metrics["discrimination"]
    assert discrimination.low <= discrimination.value <= discrimination.high
    values = open_run(tmp_path).item_scores.values["discrimination"]
    assert np.mean(list(values.values())) == pytest.approx(discrimination.value)
    assert open_run(tmp_path).metrics == result.metrics
