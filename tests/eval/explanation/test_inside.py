"""Scored runs on modules inside models and on voxels, and what is scored where no answer is known."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from conceptbench.benchmark.lexicon import GoldConcept, load_lexicon
from conceptbench.benchmark.modules import Answer, Part
from conceptbench.eval.explanation.records import Record, RecordedAnswer, RecordedCandidate
from conceptbench.eval.explanation.scoring import ExplanationScores, score
from conceptbench.eval.report.write import report
from conceptbench.eval.result import MetricKey, read_result
from conceptbench.eval.run import evaluate, open_run
from conceptbench.runtime.draws import generator_of, sample
from conceptbench.runtime.errors import InputError


class Reader:
    """A helper that knows the lexicon: it names the concept of most words it is shown, and writes words of a name's."""

    def __init__(self, faults: ModuleType) -> None:
        self._faults = faults
        self._lexicon = load_lexicon()
        self._holders: dict[str, list[GoldConcept]] = {}
        for concept in self._lexicon.values():
            for word in concept.words if concept.kind in {"semantic", "entity"} else ():
                self._holders.setdefault(word.casefold(), []).append(concept)

    def answer(self, body: dict[str, Any]) -> Any:
        question = str(body["messages"][-1]["content"])
        if question.startswith("Phrases: "):
            return self._faults.chat(self._named(question))
        name = question.splitlines()[0].partition(": ")[2]
        return self._faults.chat("\n".join(self._phrases(name, related="nothing to do with" not in question)))

    def _named(self, question: str) -> str:
        words = set(question.splitlines()[0].removeprefix("Phrases: ").replace(" / ", " ").split())
        counts = Counter(concept.name for word in sorted(words) for concept in self._holders.get(word.casefold(), []))
        return counts.most_common(1)[0][0] if counts else "something"

    def _phrases(self, name: str, *, related: bool) -> list[str]:
        concepts = [concept for concept in self._lexicon.values() if (concept.name == name) is related]
        words = [word for concept in concepts for word in concept.words]
        return [f"{word} of that sort" for word in sample(words, 10, generator_of(name, related))]


@pytest.fixture
def helper(fault_server: Any, faults: ModuleType) -> dict[str, Any]:
    """The options that ask such a helper."""
    fault_server.answer = Reader(faults).answer
    return {"helper": "openai:reader", "base_url": fault_server.base_url}


def test_planted_voxels_are_recovered_above_their_nulls(
    tmp_path: Path, helper: Mapping[str, Any], one_layer_minilm: str
) -> None:
    options = {**helper, "families": ["voxel"], "count": 8, "encoder": one_layer_minilm, "max_ngrams": 3000}
    result = evaluate("explanation", out=tmp_path, **options)
    metrics = result.metrics
    assert metrics["accuracy"].n == metrics["accuracy_chance"].n == metrics["discovery"].n == 8
    assert metrics["accuracy"].low > metrics["accuracy_chance"].high
    assert metrics["score"].low > metrics["score_controls"].high
    assert metrics["discovery"].value > metrics["discovery_controls"].value
    assert metrics["score_controls"].n == metrics["discovery_controls"].n == 8
    run = open_run(tmp_path)
    assert [record.control for record in run.rows] == [False] * 8 + [True] * 8
    assert min(record.fit for record in run.rows[:8]) > np.mean([record.fit for record in run.rows[8:]])
    assert read_result(tmp_path) == result
    assert run.metrics == metrics
    page = report([tmp_path], out=tmp_path / "report.md", recompute=True)[0].read_text()
    assert "ranked by accuracy" in page
    assert "nothing (a control)" in page


def test_where_no_answer_is_known_nothing_is_said_to_be_right(
    tmp_path: Path, helper: Mapping[str, Any], one_layer_minilm: str
) -> None:
    corpus = tmp_path / "corpus.txt"
    concepts = list(load_lexicon().values())[::20]
    corpus.write_text("\n".join(sentence for concept in concepts for sentence in (*concept.sentences, *concept.words)))
    options = {
        **helper,
        "families": ["neuron", "factor"],
        "count": 2,
        "model": one_layer_minilm,
        "corpus": str(corpus),
        "encoder": one_layer_minilm,
        "max_ngrams": 600,
    }
    result = evaluate("explanation", out=tmp_path / "run", **options)
    assert not [name for name in result.metrics if name.startswith(("accuracy", "auroc", "explanation_similarity"))]
    assert "accuracy" in result.provenance["undefined"]
    assert {"score", "score/factor", "score/neuron", "discovery", "identification"} <= set(result.metrics)
    assert not [name for name in result.metrics if name.endswith("_controls")]
    assert result.metrics["identification"].n == result.metrics["score"].n == 4
    run = open_run(tmp_path / "run")
    assert run.metrics == result.metrics
    assert run.main == "score"
    assert result.provenance["inside"]["corpus"] == "corpus.txt"
    assert result.provenance["encoders"][0].endswith("/L01")
    words = set(corpus.read_text().split())
    strongest = {word for record in run.rows for ngram in record.top_ngrams for word in ngram.split()}
    assert strongest
    assert {word for word in strongest if re.fullmatch("[A-Za-z]+", word)} <= {
        part for word in words for part in re.findall("[A-Za-z]+", word)
    }
    page = report([tmp_path / "run"], out=tmp_path / "report.md", recompute=True)[0].read_text()
    assert "ranked by score" in page
    assert "(not known)" in page
    assert "nothing (a control)" not in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"families": ["magic"]}, "--families magic: give some of lexical, .*, voxel"),
        ({"families": ["lexical"], "layer": 3}, "--layer 3: it is for --families neuron, factor, probe"),
        ({"families": ["voxel"], "model": "minilm"}, "--model minilm: it is for --families neuron, factor, probe"),
        ({"families": ["factor"], "responses": "x.npz"}, "--responses x.npz: it is for --families voxel"),
        ({"families": ["random"], "corpus": "x.txt"}, "--corpus x.txt: it is for --families neuron, .*, voxel"),
        ({"families": ["neuron"], "text_column": "text"}, "--text-column text: it goes with --corpus"),
        ({"families": ["neuron"], "layer": 2}, "layer 2: this model has layers 0"),
        ({"families": ["neuron"], "model": "nowhere/at-all"}, "nowhere/at-all"),
        ({"families": ["neuron"], "corpus": "nowhere.txt"}, "--corpus nowhere.txt"),
        ({"families": ["factor"], "corpus": "short.txt"}, "family factor: the texts have 4 words"),
        ({"families": ["probe"], "corpus": "short.txt"}, "family probe: there are 0 concepts"),
        ({"families": ["voxel"], "responses": "nowhere.npz"}, "nowhere.npz cannot be read"),
    ],
)
def test_wrong_options_are_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one_layer_minilm: str,
    options: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short.txt").write_text("just a few words\n")
    inner = {"model": one_layer_minilm} if options["families"][0] in {"neuron", "factor", "probe"} else {}
    with pytest.raises(InputError, match=message):
        evaluate("explanation", out="out", explainer="ngram", encoder=one_layer_minilm, **inner | options)


def test_recorded_voxels_are_explained(tmp_path: Path, helper: Mapping[str, Any], one_layer_minilm: str) -> None:
    concept = load_lexicon()["semantic/computing"]
    unrelated = [word for rival in list(load_lexicon().values())[::40] for word in rival.words]
    texts = sample([*concept.words, *unrelated], 10**6, generator_of("order"))
    heard = np.isin(texts, concept.words) + 0.1 * np.random.default_rng(0).normal(size=len(texts))
    noise = np.random.default_rng(1).normal(size=(len(texts), 3))
    np.savez(tmp_path / "subject.npz", responses=np.column_stack([noise, heard]), texts=np.array(texts))
    result = evaluate(
        "explanation",
        out=tmp_path / "run",
        families=["voxel"],
        count=1,
        responses=tmp_path / "subject.npz",
        encoder=one_layer_minilm,
        max_ngrams=3000,
        **helper,
    )
    (record,) = open_run(tmp_path / "run").rows
    assert record.module == "voxel/3/0"
    assert record.answer is None
    assert record.control is False
    assert record.fit > 0.5
    assert concept.accepts(record.candidates[0].text)
    assert result.metrics["score"].value > 1
    assert result.provenance["inside"]["responses"] == "subject.npz"


def record(module: str, text: str | None, answer: Answer | None, values: float, **more: Any) -> Record:
    """A run with one candidate, whose fitting strings all move the module by about `values`."""
    related, unrelated = (values, values + 0.01, values - 0.01), (0.0, 0.01, -0.01)
    candidates = (
        (RecordedCandidate(text, ("a", "b", "c"), ("d", "e", "f"), related, unrelated),) if text is not None else ()
    )
    plain = Record(
        run=f"{module}/default/0",
        module=module,
        family="own",
        setting="default",
        repeat=0,
        helper=None,
        answer=None if answer is None else RecordedAnswer.of(answer),
        control=False,
        ngrams=100,
        spread=2.0,
        top_ngrams=("a b",),
        candidates=candidates,
        reason=None if text is not None else "no answer",
    )
    return replace(plain, **more)


def scored(records: list[Record], *, plain_patterns: bool = False) -> ExplanationScores:
    """Score records without an encoder."""
    options = {"seed": 0, "keeps_order": False, "plain_patterns": plain_patterns}
    return score(records, {**options, "encoder": None, "bertscore": None, "judges": []})


def answer(name: str, accept: str) -> Answer:
    return Answer(name, (), f"mentions {name}", (Part(name, accept),))


def test_scores_and_chance_are_those_worked_out_by_hand() -> None:
    rows = [
        record("birds", "birds", answer("birds", "bird"), 6.0),
        record("animals", "birds and fish", answer("animals", "animal|bird|fish"), 4.0),
        record("fish", None, answer("fish", "fish"), 0.0),
        record("left out", None, answer("law", "law"), 0.0, reason="not run"),
        record("factor", "law", None, 2.0, fit_p=0.01),
        record("voxel", "law", None, 9.0, fit_p=0.2),
        record("noise", "birds", None, 1.0, control=True),
        record("constant", None, None, 0.0, control=True, spread=0.0, reason="constant"),
    ]
    plain = scored(rows, plain_patterns=True)
    metrics = {str(key): metric for key, metric in plain.metrics.items()}
    assert {name: metric.n for name, metric in metrics.items() if "/" not in name} == {
        "accuracy": 3,
        "accuracy_any": 3,
        "accuracy_first": 3,
        "accuracy_chance": 3,
        "accuracy_no_ranking": 2,
        "accuracy_top_ngram": 3,
        "score": 5,
        "score_controls": 1,
        "discovery": 5,
        "discovery_controls": 2,
    }
    # "birds" is right for one of the three other answers, animals; "birds and fish" for two, birds and fish.
    chance = {"birds/default/0": 1 / 3, "animals/default/0": 2 / 3, "fish/default/0": 0.0}
    assert plain.items.values["accuracy_chance"] == pytest.approx(chance)
    assert metrics["accuracy"].value == pytest.approx(2 / 3)
    # The guard finds that "birds and fish" says too much, though of one other answer alone.
    guarded = scored(rows)
    assert guarded.metrics[MetricKey("accuracy")].value == pytest.approx(1 / 3)
    assert guarded.items.values["accuracy_chance"] == plain.items.values["accuracy_chance"]
    # Differences of means in units of the spread; a run without a candidate counts 0.
    assert metrics["score"].value == pytest.approx((3 + 2 + 0 + 1 + 4.5) / 5)
    assert metrics["score_controls"].value == pytest.approx(0.5)
    assert metrics["score"].low < metrics["score"].value < metrics["score"].high


def test_a_run_of_controls_alone_has_no_score() -> None:
    controls = scored([record("noise", "birds", None, 1.0, control=True)])
    assert {key.name for key in controls.metrics if key.headline} == {"score_controls", "discovery_controls"}
    assert set(controls.undefined) == {"accuracy"}
    single = scored([record("birds", "birds", answer("birds", "bird"), 1.0)])
    assert list(single.items.values["accuracy"].values()) == [1.0]
    assert MetricKey("accuracy_chance") not in single.metrics


def test_judges_of_a_run_without_answers_leave_equivalence_undefined() -> None:
    records = [record("factor", "law", None, 2.0)]
    provenance = {"seed": 0, "keeps_order": False, "plain_patterns": False, "encoder": None, "bertscore": None}
    assert "equivalence" in score(records, provenance | {"judges": [{"system": "openai:a"}]}).undefined
    assert "equivalence" not in score(records, provenance | {"judges": []}).undefined
