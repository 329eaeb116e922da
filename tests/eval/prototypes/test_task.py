"""The prototypes task from data to result: on planted texts, with real encoders and a real language model."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from conceptbench.cli import app
from conceptbench.eval.compare import compare_results
from conceptbench.eval.methods.protolm.model import PrototypeConfig
from conceptbench.eval.methods.protolm.training import Training
from conceptbench.eval.prototypes import evaluate_prototypes
from conceptbench.eval.prototypes.collect import item_scores, recompute
from conceptbench.eval.prototypes.examples import examples
from conceptbench.eval.prototypes.records import PROTOTYPE, TEXT, Record, read_records
from conceptbench.eval.prototypes.scoring import score
from conceptbench.eval.report.write import report
from conceptbench.eval.result import Result, read_result
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Silent

FOOD = ("soup", "bread", "cheese", "apple pie", "rice", "salad", "pasta", "roast beef", "fish", "cake")
SKY = ("moon", "planet", "comet", "galaxy", "eclipse", "telescope", "orbit", "asteroid", "rocket", "satellite")
FRAMES = ("We talked about the {}.", "The {} was a good one.", "She likes every {} there is.")
TEXTS = [
    (frame.format(word), label) for words, label in ((FOOD, "food"), (SKY, "sky")) for frame in FRAMES for word in words
]
OPTIONS = {
    "text_columns": ["text"],
    "label_column": "topic",
    "config": PrototypeConfig(2, 1, attention=16),
    "training": Training(epochs=4, batch=16),
    "folds": 3,
    "looked_at": 9,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "topics.parquet"
    pq.write_table(pa.table({"text": [text for text, _ in TEXTS], "topic": [label for _, label in TEXTS]}), path)
    return path


@pytest.fixture(scope="module")
def run(data: Path, one_layer_minilm: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("prototypes")
    result = evaluate_prototypes(dataset=str(data), out=folder, model=one_layer_minilm, study="prototypes", **OPTIONS)
    return folder, result


def test_every_text_is_answered_once_a_repeat_by_classifiers_that_did_not_see_it(run: tuple[Path, Result]) -> None:
    texts = [record for record in read_records(run[0]) if record["role"] == TEXT]
    assert len(texts) == 2 * len(TEXTS)
    for repeat in (0, 1):
        own = [record for record in texts if record["repeat"] == repeat]
        assert {(record["text"], record["label"]) for record in own} == set(TEXTS)
        counts = np.bincount([record["fold"] for record in own])
        assert len(counts) == 3
        assert counts.max() - counts.min() <= 2
    first = ["prototypes", "aligned", "linear", "random", "kmeans", "N=1", "N=3", "N=10"]
    assert {tuple(answer["classifier"] for answer in record["answers"]) for record in texts} == {
        tuple(first),
        ("prototypes", "linear"),
    }


def test_metrics_are_those_of_the_records(run: tuple[Path, Result]) -> None:
    folder, result = run
    texts = [record for record in read_records(folder) if record["role"] == TEXT]

    def accuracy(name: str, repeats: tuple[int, ...]) -> float:
        return float(
            np.mean(
                [
                    answer["label"] == record["label"]
                    for record in texts
                    for answer in record["answers"]
                    if answer["classifier"] == name and record["repeat"] in repeats
                ]
            )
        )

    metrics = result.metrics
    assert metrics["accuracy"].value == pytest.approx(accuracy("prototypes", (0, 1)))
    assert metrics["accuracy/linear"].value == pytest.approx(accuracy("linear", (0, 1)))
    assert metrics["accuracy/N=1"].value == pytest.approx(accuracy("N=1", (0,)))
    assert metrics["accuracy"].n == len(TEXTS)
    assert metrics["accuracy"].value > 0.8
    assert metrics["swap_all/aligned"].value == 1
    assert metrics["swap_logit_change/aligned"].value == pytest.approx(0, abs=1e-4)
    assert metrics["swap_logit_change"].value > 0.01
    assert metrics["attention_agreement"].n == 9
    assert dict(recompute(folder, read_result(folder))) == metrics
    assert read_result(folder) == result
    values = item_scores(folder, result).values
    assert np.mean(list(values["accuracy"].values())) == pytest.approx(metrics["accuracy"].value)


def test_a_run_that_was_stopped_goes_on_and_ends_as_one_that_was_not(
    run: tuple[Path, Result], data: Path, one_layer_minilm: str, tmp_path: Path
) -> None:
    options = {"dataset": str(data), "out": tmp_path, "model": one_layer_minilm, "study": "prototypes", **OPTIONS}
    with pytest.raises(KeyboardInterrupt):
        evaluate_prototypes(**options, progress=_Stopping(8))
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("parts/*/*.npz")}
    # What was under way at the time is kept too.
    assert 8 <= len(kept) <= 8 + (os.cpu_count() or 1) + 1
    result = evaluate_prototypes(**options, progress=_Watching(kept, tmp_path))
    assert result.metrics == run[1].metrics
    assert read_records(tmp_path) == read_records(run[0])
    assert not (tmp_path / "parts").exists()


def test_other_options_take_nothing_from_a_run_that_was_stopped(
    data: Path, one_layer_minilm: str, tmp_path: Path
) -> None:
    options = {"dataset": str(data), "out": tmp_path, "model": one_layer_minilm, **OPTIONS, "repeats": 1}
    with pytest.raises(KeyboardInterrupt):
        evaluate_prototypes(**options, progress=_Stopping(2))
    evaluate_prototypes(**options | {"seed": 1}, progress=_Stopping(99))
    assert {record["fold"] for record in read_records(tmp_path)} == {0, 1, 2, None}


class _Stopping(Silent):
    """Stops the run once so many classifiers have been tested."""

    def __init__(self, after: int) -> None:
        self._left = after

    def stage(self, name: str, total: int | None = None):  # type: ignore[no-untyped-def]
        stage = super().stage(name, total)
        if not name.startswith("Training and testing"):
            return stage
        return _Counting(self)

    def count(self, number: int) -> None:
        self._left -= number
        if self._left <= 0:
            raise KeyboardInterrupt


class _Counting:
    def __init__(self, owner: _Stopping) -> None:
        self._owner = owner

    def __enter__(self):  # type: ignore[no-untyped-def]
        return self._owner.count

    def __exit__(self, *_: object) -> None:
        pass


class _Watching(Silent):
    """Checks, when names are looked for, that the parts of the stopped run were not made again."""

    def __init__(self, kept: dict[str, int], folder: Path) -> None:
        self._kept, self._folder = kept, folder

    def stage(self, name: str, total: int | None = None):  # type: ignore[no-untyped-def]
        for path in self._folder.glob("parts/*/*.npz"):
            assert self._kept.get(path.name, path.stat().st_mtime_ns) == path.stat().st_mtime_ns
        return super().stage(name, total)


@pytest.mark.slow
def test_simulators_are_asked_and_people_can_answer_the_same_questions(
    data: Path, one_layer_minilm: str, smollm2_folder: str, tmp_path: Path
) -> None:
    options = {"dataset": str(data), "model": one_layer_minilm, **OPTIONS, "repeats": 1, "asked": 4}
    asked = evaluate_prototypes(
        out=tmp_path / "lm", simulators=["local:smollm2"], helper="local:smollm2", max_ngrams=60, **options
    )
    drawn = [record for record in read_records(tmp_path / "lm") if record["simulations"]]
    assert len(drawn) == 4
    answers = {record["item"]: record["answers"][0]["label"] for record in drawn}
    assert sorted(answers.values()) == ["food", "food", "sky", "sky"]
    for record in drawn:
        assert [own["condition"] for own in record["simulations"]] == ["input", "examples", "prototypes"]
    assert asked.metrics["simulatability"].n == 4
    prototypes = [record for record in read_records(tmp_path / "lm") if record["role"] == PROTOTYPE]
    assert len(prototypes) == 4
    assert any(record["name"] for record in prototypes)

    form = tmp_path / "lm" / "simulation.csv"
    with form.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert row["answer"] == ""
        wrong = {"food": "sky", "sky": "food"}[answers[row["item"]]]
        row["answer"] = answers[row["item"]] if row["condition"] == "prototypes" else wrong
        assert ("typical" in row["question"]) == (row["condition"] == "prototypes")
    filled = tmp_path / "filled.csv"
    _write_form(filled, rows)
    people = evaluate_prototypes(out=tmp_path / "people", simulators=[f"file:{filled}"], **options)
    metrics = people.metrics
    assert metrics["simulatability"].value == 1
    assert metrics["simulatability_input"].value == 0
    assert metrics["simulatability_gain"].value == 1
    assert people.provenance["simulators"] == ["file:filled.csv"]

    _write_form(filled, [{**row, "answer": "neither"} for row in rows])
    with pytest.raises(InputError, match=r'"neither" is no class; give one of food, sky'):
        evaluate_prototypes(out=tmp_path / "people", simulators=[f"file:{filled}"], **options)
    _write_form(filled, rows[1:])
    with pytest.raises(InputError, match="the form of another run"):
        evaluate_prototypes(out=tmp_path / "people", simulators=[f"file:{filled}"], **options)


def _write_form(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_decision_is_explained_on_the_command_line(run: tuple[Path, Result]) -> None:
    folder = str(run[0] / "classifier")
    told = CliRunner().invoke(app, ["explain", "--classifier", folder, "--text", "They ate a pizza."])
    assert told.exit_code == 0, told.output
    assert "is food (probability" in told.output
    assert "prototype" in told.output
    found = CliRunner().invoke(app, ["explain", "--classifier", folder, "--text", "They ate a pizza.", "--json"])
    decision = json.loads(found.stdout)
    assert decision["label"] == "food"
    assert decision["reasons"][0]["examples"][0]["text"] in dict(TEXTS)
    table = CliRunner().invoke(app, ["explain", "--classifier", folder])
    assert table.exit_code == 0, table.output
    assert "nearest training texts" in table.output


def test_a_prototype_is_a_text_module_by_name(run: tuple[Path, Result]) -> None:
    from conceptbench.eval.methods.explain import open_module

    folder = run[0] / "classifier"
    own = [record for record in read_records(run[0]) if record["role"] == PROTOTYPE]
    for number, record in enumerate(own):
        module = open_module(f"prototype:{folder}:{number}")
        values = module([text for text, _ in TEXTS])
        assert TEXTS[int(np.argmax(values))][0] == record["nearest"][0]
    with pytest.raises(InputError, match="prototypes 0 to 3"):
        open_module(f"prototype:{folder}:4")


def test_results_are_compared_and_reported(run: tuple[Path, Result], tmp_path: Path) -> None:
    shutil.copytree(run[0], tmp_path / "second")
    found = compare_results(run[0], tmp_path / "second")
    assert found.differences["accuracy"].value == 0
    page = report([run[0]], out=tmp_path / "report.html", recompute=True)[0].read_text(encoding="utf-8")
    assert "Prototypes, ranked by accuracy" in page
    assert run[1].provenance["findings"][0] in page.replace("&lt;", "<")
    sorts = {example.condition for example in examples(*run)}
    assert sorts == {"decision", "prototype"}


def test_the_command_line_prints_what_is_shown(data: Path, one_layer_minilm: str, tmp_path: Path) -> None:
    options = ["--text-column", "text", "--label-column", "topic", "--model", one_layer_minilm, "-n", "2"]
    options += ["--folds", "2", "--repeats", "1", "--epochs", "2", "--out", str(tmp_path)]
    told = CliRunner().invoke(app, ["eval", "prototypes", "--dataset", str(data), *options])
    assert told.exit_code == 0, told.output
    words = " ".join(told.output.split())
    assert "Non-inferiority to the linear head at a margin of 1.5 points" in words
    for name in ("linear", "random", "kmeans", "aligned"):
        assert name in words


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"study": "colours"}, "there are prototypes, nearest, losses"),
        ({"margin": 0.0}, "give a fraction"),
        ({"folds": 1}, "two folds or more"),
        ({"folds": 31}, "a class has 30 texts only"),
        ({"limit": 0}, "give 1 or more"),
        ({"config": PrototypeConfig(40)}, "to get 40 prototypes; give fewer"),
        ({"label_column": "colour"}, "there is no column 'colour'"),
        ({"label_column": None}, "--label-column"),
        ({"dataset": "sst2"}, "a ready setting knows its columns"),
        ({"model": "/nowhere/at-all"}, "nowhere"),
    ],
)
def test_wrong_use_is_told(
    change: dict[str, object], message: str, data: Path, one_layer_minilm: str, tmp_path: Path
) -> None:
    options = {"dataset": str(data), "model": one_layer_minilm, **OPTIONS} | change
    with pytest.raises(InputError, match=message):
        evaluate_prototypes(out=tmp_path / "out", **options)  # type: ignore[arg-type]


def test_an_encoder_can_be_tuned(data: Path, one_layer_minilm: str, tmp_path: Path) -> None:
    options = OPTIONS | {"folds": 2, "repeats": 1, "limit": 24, "training": Training(epochs=2, batch=8)}
    result = evaluate_prototypes(dataset=str(data), out=tmp_path, model=one_layer_minilm, tuned=True, **options)
    assert result.provenance["tuned"] is True
    assert result.metrics["accuracy"].n == 24
    told = CliRunner().invoke(app, ["explain", "--classifier", str(tmp_path / "classifier"), "--text", "A fish."])
    assert told.exit_code == 0, told.output


_SETTING = """
import json, sys
from conceptbench.eval.prototypes import evaluate_prototypes
from conceptbench.eval.methods.protolm.model import PrototypeConfig
from conceptbench.eval.methods.protolm.training import Training
result = evaluate_prototypes(dataset="sst2", out="out", model=sys.argv[1], config=PrototypeConfig(1), repeats=2,
                             training=Training(epochs=2), looked_at=3)
print(json.dumps(result.to_json()))
"""


@pytest.mark.slow
def test_a_ready_setting_has_test_texts_of_its_own(
    hub: Any, hub_env: Callable[..., dict[str, str]], one_layer_minilm: str, tmp_path: Path
) -> None:
    parts = {}
    for part, rows in (("train", TEXTS[::2]), ("validation", TEXTS[1::4])):
        columns = {"sentence": [text for text, _ in rows], "label": [int(label == "sky") for _, label in rows]}
        pq.write_table(pa.table(columns), tmp_path / f"{part}.parquet")
        parts[f"data/{part}-00000-of-00001.parquet"] = (tmp_path / f"{part}.parquet").read_bytes()
    hub.add_repo("stanfordnlp/sst2", "dataset", parts)
    command = [sys.executable, "-c", _SETTING, one_layer_minilm]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=hub_env(hub.endpoint), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["metrics"]["accuracy"]["n"] == len(TEXTS[1::4])
    assert result["provenance"]["classes"] == {"negative": 23, "positive": 22}
    tested = {record["text"] for record in read_records(tmp_path / "out") if record["role"] == TEXT}
    assert tested == {text for text, _ in TEXTS[1::4]}


def test_a_weight_list_of_another_length_is_told(data: Path) -> None:
    told = CliRunner().invoke(app, ["eval", "prototypes", "--dataset", str(data), "--losses", "1,2"])
    assert told.exit_code != 0
    assert "give three numbers" in str(told.exception)


def test_scores_of_hand_made_records() -> None:
    def text(item: str, fold: int, label: str, prototypes: str, linear: str) -> Record:
        return {
            "role": TEXT, "item": item, "text": item, "label": label, "repeat": 0, "fold": fold,
            "answers": [
                {"classifier": "prototypes", "label": prototypes, "probability": 0.9},
                {"classifier": "linear", "label": linear, "probability": 0.9},
            ],
            "swaps": [{"classifier": "prototypes", "all_stay": fold == 0, "top_stays": True, "change": 0.5}],
            "tokens": None, "simulations": None,
        }  # fmt: skip

    records = [
        text("a", 0, "x", "x", "x"), text("b", 0, "x", "x", "y"), text("c", 0, "y", "y", "y"),
        text("d", 1, "x", "y", "x"), text("e", 1, "x", "x", "x"), text("f", 1, "y", "y", "x"),
    ]  # fmt: skip
    scores = score(records, margin=0.1)
    assert scores.metrics["accuracy"].value == pytest.approx(5 / 6)
    assert scores.metrics["accuracy/linear"].value == pytest.approx(4 / 6)
    assert scores.metrics["balanced_accuracy"].value == pytest.approx((3 / 4 + 1) / 2)
    # Folds differ by 1/3 and 0: mean 1/6, deviation √2/6, times √(1/2 + 1).
    assert scores.metrics["difference"].value == pytest.approx(1 / 6)
    error = np.sqrt(2) / 6 * np.sqrt(1.5)
    assert scores.metrics["difference"].high == pytest.approx(1 / 6 + 12.706205 * error)
    assert scores.metrics["swap_all"].value == 0.5
    assert "simulatability" in scores.undefined
