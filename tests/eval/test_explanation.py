"""The explanation task: n-grams, scores of candidates, SASC with a real helper, published runs, adversaries."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import permutation_test, ttest_ind

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.modules import FAMILIES, draw_modules
from conceptbench.benchmark.modules.responses import RandomModule
from conceptbench.eval.compare import compare_results
from conceptbench.eval.explanation import evaluate_explanation
from conceptbench.eval.explanation.collect import recompute
from conceptbench.eval.methods.explain import explain, open_module
from conceptbench.eval.methods.sasc.candidates import Strings, ranked, score_candidates
from conceptbench.eval.methods.sasc.helper import read_strings, read_summary, summary_request
from conceptbench.eval.methods.sasc.ngrams import Responses, drawn, ngrams_of, respond
from conceptbench.eval.result import read_result
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.llm import Reply

DATA = Path(os.environ.get("CONCEPTBENCH_DATA", Path(__file__).parents[3] / "shared" / "data"))
_TEN = ("",) * 10
ORACLE = '''
from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.modules import FAMILIES, draw_modules
from conceptbench.runtime.text_encoder import TextEncoder

TEXTS = [word for concept in load_lexicon().values() for word in concept.words][::7]


class Oracle:
    """Knows every module by what it answers, and says what is known of it."""

    def __init__(self):
        known = draw_modules(load_lexicon(), list(FAMILIES), 3, 0, encoder=TextEncoder({encoder!r}))
        self.answers = {{one.module(TEXTS).tobytes(): one.answer for one in known}}

    def explain(self, module, top_ngrams, helper):
        answer = self.answers[module(TEXTS).tobytes()]
        return [] if answer is None else [(answer.explanation, 2.0), ("something else", 1.0)]


class Text:
    def explain(self, module, top_ngrams, helper):
        return ["text"]


class Stuffed:
    def explain(self, module, top_ngrams, helper):
        return ["food, music, law, ships, colours, rivers, emotions, sports, clothes and words ending in -ing"]


class Wrong:
    def explain(self, module, top_ngrams, helper):
        return [3]
'''


@pytest.fixture
def explainers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_layer_minilm: str) -> Path:
    """A working folder with explainers of one's own."""
    (tmp_path / "own_explainers.py").write_text(ORACLE.format(encoder=one_layer_minilm))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def text(reply: str, reason: str | None = None) -> Reply:
    return Reply(text=reply, reason=reason)  # type: ignore[arg-type]


def test_ngrams_are_those_of_each_text_alone() -> None:
    found = ngrams_of(["The cat's back, again!", "a b"])
    by_hand = ["The", "The cat's", "The cat's back", "cat's", "cat's back", "cat's back ,", "back", "back ,"]
    assert found[:8] == by_hand
    assert "! a" not in found
    assert len(found) == len(set(found))
    assert ngrams_of(["a b c d"], longest=1) == ["a", "b", "c", "d"]
    assert drawn(found, 5, 0) == drawn(found, 5, 0) != drawn(found, 5, 1)
    assert drawn(found, 10**6, 0) == found


def test_responses_are_the_modules_own_and_are_kept(tmp_path: Path) -> None:
    known = draw_modules(load_lexicon(), ["lexical", "random"], 2, 0)
    ngrams = ngrams_of(load_lexicon()["semantic/animals"].sentences)
    # Each module has n-grams of its own, in an order of its own.
    asked = {one.id: (one.module, ngrams[place:][::-1]) for place, one in enumerate(known)}
    found = respond(asked, cache=tmp_path)
    for name, (module, own) in asked.items():
        assert found[name].values == pytest.approx(module(own))


def test_modules_of_one_encoder_share_its_vectors(tmp_path: Path, one_layer_minilm: str) -> None:
    from conceptbench.runtime.text_encoder import TextEncoder

    encoder = TextEncoder(one_layer_minilm)
    known = draw_modules(load_lexicon(), ["semantic", "noisy"], 2, 0, encoder=encoder)
    ngrams = ngrams_of(load_lexicon()["semantic/animals"].sentences)
    asked = {one.id: (one.module, ngrams[place:]) for place, one in enumerate(known)}
    found = respond(asked, cache=tmp_path)
    for name, (module, own) in asked.items():
        assert found[name].values == pytest.approx(module(own), abs=1e-4)
    kept = sorted(tmp_path.glob("*.npy"))
    assert len(kept) == 1
    np.save(kept[0], np.load(kept[0]) * 0.0)
    again = respond(asked, cache=tmp_path)
    assert set(again[known[0].id].values) == {0.0}


def test_noise_and_restriction() -> None:
    responses = Responses([f"w{i}" for i in range(1000)], np.linspace(0.0, 1.0, 1000))
    assert responses.strongest(2) == ["w999", "w998"]
    assert responses.strongest(2, {"w3", "w5", "w1"}) == ["w5", "w3"]
    noisy = responses.with_noise(3.0, np.random.default_rng(0))
    added = (noisy.values - responses.values).std()
    assert added == pytest.approx(3.0 * responses.values[-100:].std(), rel=0.1)


def test_the_p_value_of_one_candidate_is_that_of_a_permutation_test() -> None:
    generator = np.random.default_rng(3)
    related, unrelated = generator.normal(0.6, 1.0, 8), generator.normal(0.0, 1.0, 9)
    one = Strings("a", ("",) * 8, ("",) * 9, tuple(related), tuple(unrelated))
    (found,) = score_candidates([one], 2.0, np.random.default_rng(0))
    theirs = permutation_test(
        (related, unrelated),
        lambda a, b, axis: ttest_ind(a, b, equal_var=False, axis=axis).statistic,
        alternative="greater",
        n_resamples=20_000,
        rng=1,
        vectorized=True,
    )
    assert found.p == pytest.approx(theirs.pvalue, abs=0.02)
    assert found.score == pytest.approx((related.mean() - unrelated.mean()) / 2.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.score < found.high


def test_the_best_of_several_is_significant_on_controls_as_often_as_stated() -> None:
    module = RandomModule(b"control")
    rejected = 0
    for study in range(400):
        candidates = []
        for number in range(5):
            texts = [f"{study} {number} {i}" for i in range(20)]
            values = module(texts).tolist()
            candidates.append(Strings(str(number), texts[:10], texts[10:], values[:10], values[10:]))  # type: ignore[arg-type]
        best = ranked(score_candidates(candidates, 1.0, np.random.default_rng(study)))[0]
        rejected += best.p is not None and best.p < 0.05
    # The score that ranks is not the statistic of the test, so the rate may lie below the level.
    assert 0.01 < rejected / 400 < 0.075


def test_the_interval_holds_the_best_candidates_true_score() -> None:
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        truths = generator.normal(0.5, 0.5, 4)
        candidates = [
            Strings(
                str(i), ("",) * 10, ("",) * 10, tuple(generator.normal(t, 1, 10)), tuple(generator.normal(0, 1, 10))
            )
            for i, t in enumerate(truths)
        ]
        best = ranked(score_candidates(candidates, 1.0, generator))[0]
        assert best.low is not None
        assert best.high is not None
        held += best.low <= truths[int(best.text)] <= best.high
    assert held / 300 > 0.92


def test_candidates_without_strings_have_no_score_and_come_last() -> None:
    some = Strings("some", ("a", "b"), ("c", "d"), (1.0, 1.1), (0.0, 0.1))
    none = Strings("none", (), ("c", "d"), (), (0.0, 0.1))
    found = ranked(score_candidates([none, some], 1.0, np.random.default_rng(0)))
    assert [one.text for one in found] == ["some", "none"]
    assert found[1].score is None
    assert found[1].p is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("birds and their nests.", "birds and their nests"),
        ('The common theme among these phrases is "birds".', "birds"),
        ("1. birds", "birds"),
        ("- Theme: birds", "birds"),
        ("\n\nbirds\nmore of it", "birds"),
        ("", None),
        ("...", None),
        ("I'm sorry, I cannot help with that", None),
        ("def theme():", None),
        ("x" * 500, None),
    ],
)
def test_summaries_are_read_in_other_styles(reply: str, expected: str | None) -> None:
    assert read_summary(text(reply)) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("one\ntwo\nthree", ["one", "two", "three"]),
        ("1. one\n2) two\n(3) three", ["one", "two", "three"]),
        ("- one\n* two\n• three", ["one", "two", "three"]),
        ('["one", "two", "three"]', ["one", "two", "three"]),
        ("1. one 2. two 3. three", ["one", "two", "three"]),
        ("one; two; three", ["one", "two", "three"]),
        ("99 red balloons\nthe 7th day\n1. 3 blind mice", ["99 red balloons", "the 7th day", "3 blind mice"]),
        ("one\nOne\none", ["one"]),
        ("one", ["one"]),
        ("", []),
        ("```python\nprint('x')\n```", []),
        ("<b>one</b>\ntwo", ["two"]),
    ],
)
def test_lists_are_read_in_other_styles(reply: str, expected: list[str]) -> None:
    assert read_strings(text(reply), 10) == expected


def test_the_last_string_of_a_reply_that_was_cut_is_left_out() -> None:
    assert read_strings(text("one\ntwo\nthr", "cut"), 10) == ["one", "two"]
    assert read_strings(text("one\ntwo\nthree"), 2) == ["one", "two"]


def test_who_sees_the_answer_is_right_in_every_family_and_adversaries_are_not(
    explainers: Path, one_layer_minilm: str
) -> None:
    options = {"count": 3, "encoder": one_layer_minilm, "max_ngrams": 12_000}
    oracle = evaluate_explanation(out=explainers / "oracle", explainer="python:own_explainers:Oracle", **options)
    for family in FAMILIES:
        if FAMILIES[family].answer != "none":
            assert oracle.metrics[f"accuracy/{family}"].value == 1.0
            assert oracle.metrics[f"accuracy_no_ranking/{family}"].value == 0.5
    assert read_result(explainers / "oracle") == oracle
    assert recompute(explainers / "oracle", oracle) == oracle.metrics
    for name in ("Text", "Stuffed"):
        other = evaluate_explanation(out=explainers / name, explainer=f"python:own_explainers:{name}", **options)
        assert other.metrics["accuracy"].value <= 0.1, name
    comparison = compare_results(explainers / "oracle", explainers / "Text")
    assert comparison.differences["accuracy"].low > 0.5


@pytest.mark.parametrize(("name", "metric"), [("ngram", "accuracy_top_ngram"), ("tfidf", "accuracy_tfidf")])
def test_a_baseline_is_as_good_as_every_run_says_of_it(
    name: str, metric: str, explainers: Path, one_layer_minilm: str
) -> None:
    options = {"families": ["lexical", "semantic", "random"], "count": 2, "encoder": one_layer_minilm}
    found = evaluate_explanation(out=explainers / name, explainer=name, max_ngrams=2000, **options)
    assert found.system == name
    assert found.metrics["accuracy"].value == found.metrics[metric].value
    assert found.metrics["accuracy"].n == 4


def test_controls_have_no_accuracy_and_a_constant_module_no_candidates(explainers: Path) -> None:
    options = {"families": ["constant", "random"], "count": 2, "max_ngrams": 500}
    result = evaluate_explanation(out=explainers / "c", explainer="python:own_explainers:Text", **options)
    assert not [name for name in result.metrics if name.startswith("accuracy")]
    rows = pq.read_table(explainers / "c" / "records.parquet").to_pylist()
    assert {row["family"]: row["top_ngrams"] == [] for row in rows} == {"constant": True, "random": False}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": ["loud"]}, "--settings loud"),
        ({"settings": []}, "--settings"),
        ({"limit": 0}, "--limit 0"),
        ({"max_ngrams": 0}, "--max-ngrams 0"),
        ({"strings": 1}, "--strings 1: give 2"),
        ({"explainer": "oracle"}, "there is no such explainer"),
        ({"explainer": "python:nothing:Here"}, "cannot be made"),
        ({}, "--helper"),
        ({"families": ["magic"], "explainer": "python:own_explainers:Text"}, "magic"),
        ({"settings": ["restricted"], "explainer": "python:own_explainers:Text"}, "corpora of their own"),
        ({"records": "nowhere.parquet"}, "--modules"),
    ],
)
def test_wrong_options_are_named(explainers: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_explanation(**{"out": explainers / "x", "families": ["lexical"], "count": 2} | options)  # type: ignore[arg-type]


def test_a_missing_helper_shows_before_any_response_is_computed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing-here"):
        evaluate_explanation(out=tmp_path, families=["lexical"], count=1, helper="local:nothing-here")
    assert not (tmp_path / "responses").exists()


def test_an_explainer_that_gives_no_texts_is_told(explainers: Path) -> None:
    with pytest.raises(ConceptBenchError, match="must give texts"):
        evaluate_explanation(
            out=explainers / "x", families=["lexical"], count=1, explainer="python:own_explainers:Wrong"
        )


def test_the_papers_table_comes_out_of_its_records(tmp_path: Path) -> None:
    records = DATA / "sasc_published.parquet"
    if not records.exists():
        pytest.skip(f"{records} is not there: set CONCEPTBENCH_DATA")
    result = evaluate_explanation(out=tmp_path, records=records)
    published = {
        "default": (0.9048, 0.8063),
        "restricted": (0.7222, 0.5572),
        "noisy": (0.6984, 0.4554),
    }
    for setting, (accuracy, no_ranking) in published.items():
        assert round(result.metrics[f"accuracy/{setting}"].value, 4) == accuracy
        assert round(result.metrics[f"accuracy_no_ranking/{setting}"].value, 4) == no_ranking
        assert result.metrics[f"accuracy/{setting}"].n == 126
    # The file's own verdicts are a cross-check, never the source.
    rows = pq.read_table(records, columns=["setting", "contains_keyword"]).to_pylist()
    for setting, (accuracy, _) in published.items():
        first = [row["contains_keyword"][0] for row in rows if row["setting"] == setting]
        assert round(float(np.mean(first)), 4) == accuracy
    assert result.metrics["auroc_within"].n == result.metrics["auroc_within_own"].n > 20
    assert result.metrics["auroc_within"].low > 0.5
    assert recompute(tmp_path, result) == result.metrics


def test_published_runs_of_several_helpers_are_told_apart(tmp_path: Path) -> None:
    records = DATA / "sasc_published.parquet"
    if not records.exists():
        pytest.skip(f"{records} is not there: set CONCEPTBENCH_DATA")
    table = pq.read_table(records)
    helpers = ["one" if setting == "default" else "other" for setting in table["setting"].to_pylist()]
    place = table.schema.get_field_index("helper")
    pq.write_table(table.set_column(place, "helper", pa.array(helpers)), tmp_path / "runs.parquet")
    metrics = evaluate_explanation(
        out=tmp_path / "run", records=tmp_path / "runs.parquet", modules=DATA / "d3" / "modules.json"
    ).metrics
    assert metrics["accuracy/helper=one"] == metrics["accuracy/default"]
    others = [metrics[f"accuracy/{setting}"] for setting in ("restricted", "noisy")]
    assert metrics["accuracy/helper=other"].n == sum(other.n for other in others) == 252
    assert metrics["accuracy/helper=other"].value == pytest.approx(np.mean([other.value for other in others]))


@pytest.mark.parametrize("damage", ["column", "lengths", "module", "file"])
def test_damaged_published_runs_are_named(tmp_path: Path, damage: str) -> None:
    modules = [
        {"id": "m", "name": "n", "keyword": "bird", "explanation": "birds", "accept_pattern": "bird", "corpus": None}
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    row = {
        "module": "m" if damage != "module" else "other",
        "setting": "default",
        "seed": 0,
        "helper": "h",
        "top_ngrams": ["bird"],
        "candidates": ["birds"],
        "scores": [1.0] if damage != "lengths" else [1.0, 2.0],
        "relevant": [["a bird"]],
        "irrelevant": [["a car"]],
    }
    if damage == "column":
        del row["scores"]
    import pyarrow as pa

    path = tmp_path / "runs.parquet"
    pq.write_table(pa.Table.from_pylist([row]), path)
    if damage == "file":
        path.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"runs\.parquet"):
        evaluate_explanation(out=tmp_path / "out", records=path, modules=tmp_path / "modules.json")


@pytest.mark.slow
def test_a_small_helper_explains_known_modules_and_a_rerun_asks_nothing(tmp_path: Path, smollm2_folder: str) -> None:
    options = {"families": ["lexical", "random"], "count": 3, "max_ngrams": 2000, "helper": "local:smollm2"}
    result = evaluate_explanation(out=tmp_path, **options)
    assert result.provenance["calls"] > 0
    assert result.metrics["accuracy"].n == 3
    assert result.metrics["identification"].n == 3
    assert result.metrics["discovery_controls"].n == 3
    rows = pq.read_table(tmp_path / "records.parquet").to_pylist()
    for row in rows:
        shown = {ngram.casefold() for ngram in row["top_ngrams"]}
        for candidate in row["candidates"]:
            assert not shown & {phrase.casefold() for phrase in (*candidate["related"], *candidate["unrelated"])}
    again = evaluate_explanation(out=tmp_path, **options)
    assert again.provenance["calls"] == 0
    assert again.metrics == result.metrics == recompute(tmp_path, result)


@pytest.mark.slow
def test_a_d3_module_is_explained_through_a_real_server(
    tmp_path: Path, served_smollm2: Any, one_layer_minilm: str
) -> None:
    if not (DATA / "d3").is_dir():
        pytest.skip(f"{DATA} has no D3 modules")
    result = evaluate_explanation(
        out=tmp_path,
        modules=DATA / "d3" / "modules.json",
        limit=1,
        max_ngrams=300,
        encoder=one_layer_minilm,
        helper=f"openai:{served_smollm2.model}",
        base_url=served_smollm2.base_url,
        concurrency=2,
    )
    rows = [row for row in pq.read_table(tmp_path / "records.parquet").to_pylist() if row["reason"] != "not run"]
    assert len(rows) == 1
    assert all(row["candidates"] and row["candidates"][0]["related"] for row in rows)
    usage = result.provenance
    assert usage["calls"] >= 5 + 2
    assert min(usage["tokens"].values()) > 0
    assert recompute(tmp_path, result) == result.metrics


@pytest.mark.slow
def test_one_module_is_explained(smollm2_folder: str) -> None:
    lexicon = load_lexicon()
    animals = {word.casefold() for word in lexicon["semantic/animals"].words}

    def module(texts: Sequence[str]) -> np.ndarray:
        return np.array([float(bool(animals & set(one.casefold().split()))) for one in texts])

    corpus = [word for concept in list(lexicon.values())[::10] for word in concept.words] + list(animals)
    found = explain(module, corpus, helper="local:smollm2", summaries=3, strings=5)
    assert set(found.top_ngrams[: len(animals)]) <= animals | {one.casefold() for one in found.top_ngrams}
    assert found.best is not None
    assert found.candidates[0].score == max(one.score for one in found.candidates if one.score is not None)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda texts: np.zeros(len(texts)), "same number"),
        (lambda texts: np.zeros((len(texts), 2)), "shape"),
        (lambda texts: np.full(len(texts), np.nan), "nan"),
        (lambda texts: [1.0] * len(texts), "list"),
        (lambda texts: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_bad_modules_are_told(module: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        explain(module, ["a few words of text"], helper="local:smollm2")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["nothing", "text:", "neuron:minilm:x:1", "neuron:minilm", "python:nothing:here"])
def test_unknown_modules_are_named(name: str) -> None:
    with pytest.raises(InputError, match="--module"):
        open_module(name)


def test_the_strongest_ngrams_stand_next_to_the_question() -> None:
    asked = summary_request(["the strongest", "a middling one", "the weakest"]).messages[-1].content
    assert asked.startswith("Phrases: the weakest / a middling one / the strongest\n")
