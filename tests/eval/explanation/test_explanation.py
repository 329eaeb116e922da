"""The explanation task: n-grams, scores of candidates, SASC with a real helper, published runs, adversaries."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conceptbench.benchmark import module_families
from conceptbench.benchmark.modules import FAMILIES, INNER_FAMILIES
from conceptbench.benchmark.modules.files import FILE_FAMILY
from conceptbench.eval.compare import compare_results
from conceptbench.eval.explanation.records import rows, rows_that_were_run
from conceptbench.eval.result import read_result
from conceptbench.eval.run import evaluate, open_run
from conceptbench.runtime.errors import ConceptBenchError, InputError

DATA = Path(os.environ.get("CONCEPTBENCH_DATA", Path(__file__).parents[4] / "shared" / "data"))
ORACLE = '''
from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.modules import FAMILIES, draw_modules
from conceptbench.runtime.text_encoder import TextEncoder

TEXTS = [word for concept in load_lexicon().values() for word in concept.words][::7]


class Oracle:
    """Knows every module by what it answers, and says what is known of it."""

    def __init__(self):
        known = draw_modules(load_lexicon(), list(FAMILIES), 3, 0, encoder=TextEncoder({encoder!r}))
        self.answers = {{module.module(TEXTS).tobytes(): module.answer for module in known}}

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


def test_the_names_of_families_are_those_that_are_drawn() -> None:
    assert list(module_families.DRAWN_FAMILIES) == list(FAMILIES)
    assert list(module_families.INNER_FAMILIES) == list(INNER_FAMILIES)
    assert module_families.FILE_FAMILY == FILE_FAMILY


def test_who_sees_the_answer_is_right_in_every_family_and_adversaries_are_not(
    explainers: Path, one_layer_minilm: str
) -> None:
    options = {"count": 3, "encoder": one_layer_minilm, "max_ngrams": 12_000}
    oracle = evaluate("explanation", out=explainers / "oracle", explainer="python:own_explainers:Oracle", **options)
    for family in FAMILIES:
        if FAMILIES[family].answer != "none":
            assert oracle.metrics[f"accuracy/{family}"].value == 1.0
            assert oracle.metrics[f"accuracy_no_ranking/{family}"].value == 0.5
    assert read_result(explainers / "oracle") == oracle
    assert open_run(explainers / "oracle").metrics == oracle.metrics
    for name in ("Text", "Stuffed"):
        adversary = evaluate("explanation", out=explainers / name, explainer=f"python:own_explainers:{name}", **options)
        assert adversary.metrics["accuracy"].value <= 0.1, name
    comparison = compare_results(explainers / "oracle", explainers / "Text")
    assert comparison.differences["accuracy"].low > 0.5


@pytest.mark.parametrize(("name", "metric"), [("ngram", "accuracy_top_ngram"), ("tfidf", "accuracy_tfidf")])
def test_a_baseline_is_as_good_as_every_run_says_of_it(
    name: str, metric: str, explainers: Path, one_layer_minilm: str
) -> None:
    options = {"families": ["lexical", "semantic", "random"], "count": 2, "encoder": one_layer_minilm}
    result = evaluate("explanation", out=explainers / name, explainer=name, max_ngrams=2000, **options)
    assert result.system == name
    assert result.metrics["accuracy"].value == result.metrics[metric].value
    assert result.metrics["accuracy"].n == 4


def test_controls_have_no_accuracy_and_a_constant_module_no_candidates(explainers: Path) -> None:
    options = {"families": ["constant", "random"], "count": 2, "max_ngrams": 500}
    result = evaluate("explanation", out=explainers / "c", explainer="python:own_explainers:Text", **options)
    assert not [name for name in result.metrics if name.startswith("accuracy")]
    records = open_run(explainers / "c").rows
    assert {record.family: record.top_ngrams == () for record in records} == {"constant": True, "random": False}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": ["loud"]}, "--settings loud"),
        ({"settings": []}, "--settings"),
        ({"limit": 0}, "--limit 0"),
        ({"max_ngrams": 0}, "--max-ngrams 0"),
        ({"strings": 1, "explainer": "ngram"}, "--strings 1: give at least 2"),
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
        evaluate("explanation", **{"out": explainers / "x", "families": ["lexical"], "count": 2} | options)  # type: ignore[arg-type]


def test_a_missing_helper_shows_before_any_response_is_computed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing-here"):
        evaluate("explanation", out=tmp_path, families=["lexical"], count=1, helper="local:nothing-here")
    assert not (tmp_path / "responses").exists()


def test_an_explainer_that_gives_no_texts_is_told(explainers: Path) -> None:
    with pytest.raises(ConceptBenchError, match="must give texts"):
        evaluate(
            "explanation", out=explainers / "x", families=["lexical"], count=1, explainer="python:own_explainers:Wrong"
        )


def test_the_papers_table_comes_out_of_its_records(tmp_path: Path) -> None:
    records = DATA / "sasc_published.parquet"
    if not records.exists():
        pytest.skip(f"{records} is not there: set CONCEPTBENCH_DATA")
    result = evaluate("explanation", out=tmp_path, records=records)
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
    assert open_run(tmp_path).metrics == result.metrics


def test_published_runs_of_several_helpers_are_told_apart(tmp_path: Path, one_layer_minilm: str) -> None:
    records = DATA / "sasc_published.parquet"
    if not records.exists():
        pytest.skip(f"{records} is not there: set CONCEPTBENCH_DATA")
    table = pq.read_table(records)
    helpers = ["first" if setting == "default" else "second" for setting in table["setting"].to_pylist()]
    column = table.schema.get_field_index("helper")
    pq.write_table(table.set_column(column, "helper", pa.array(helpers)), tmp_path / "runs.parquet")
    metrics = evaluate(
        "explanation",
        out=tmp_path / "run",
        records=tmp_path / "runs.parquet",
        modules=DATA / "d3" / "modules.json",
        encoder=one_layer_minilm,
    ).metrics
    assert metrics["accuracy/helper=first"] == metrics["accuracy/default"]
    restricted_noisy = [metrics[f"accuracy/{setting}"] for setting in ("restricted", "noisy")]
    assert metrics["accuracy/helper=second"].n == sum(metric.n for metric in restricted_noisy) == 252
    assert metrics["accuracy/helper=second"].value == pytest.approx(
        np.mean([metric.value for metric in restricted_noisy])
    )


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
    path = tmp_path / "runs.parquet"
    pq.write_table(pa.Table.from_pylist([row]), path)
    if damage == "file":
        path.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"runs\.parquet"):
        evaluate("explanation", out=tmp_path / "out", records=path, modules=tmp_path / "modules.json")


@pytest.mark.slow
def test_a_small_helper_explains_known_modules_and_a_rerun_asks_nothing(
    tmp_path: Path, smollm2_folder: str, long: bool
) -> None:
    count = 3 if long else 2
    options = {"families": ["lexical", "random"], "count": count, "max_ngrams": 2000, "helper": "local:smollm2"}
    if not long:
        options["strings"] = 4
    result = evaluate("explanation", out=tmp_path, **options)
    assert result.provenance["calls"] > 0
    assert result.metrics["accuracy"].n == count
    assert result.metrics["identification"].n == count
    assert result.metrics["discovery_controls"].n == count
    for record in open_run(tmp_path).rows:
        top = {ngram.casefold() for ngram in record.top_ngrams}
        for candidate in record.candidates:
            assert not top & {phrase.casefold() for phrase in (*candidate.related, *candidate.unrelated)}
    again = evaluate("explanation", out=tmp_path, **options)
    assert again.provenance["calls"] == 0
    assert again.metrics == result.metrics == open_run(tmp_path).metrics


@pytest.mark.slow
def test_a_d3_module_is_explained_through_a_real_server(
    tmp_path: Path, served_smollm2: Any, one_layer_minilm: str, long: bool
) -> None:
    if not (DATA / "d3").is_dir():
        pytest.skip(f"{DATA} has no D3 modules")
    result = evaluate(
        "explanation",
        out=tmp_path,
        modules=DATA / "d3" / "modules.json",
        limit=1,
        max_ngrams=300,
        encoder=one_layer_minilm,
        helper=f"openai:{served_smollm2.model}",
        base_url=served_smollm2.base_url,
        concurrency=2,
        **({} if long else {"strings": 2}),
    )
    run = open_run(tmp_path)
    (record,) = rows(rows_that_were_run(run.records))
    assert record.candidates[0].related
    assert {row.reason for row in run.rows if row.run is None} == {"not run"}
    usage = result.provenance
    assert usage["calls"] >= 5 + 2
    assert min(usage["tokens"].values()) > 0
    assert open_run(tmp_path).metrics == result.metrics
