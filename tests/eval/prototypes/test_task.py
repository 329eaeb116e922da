"""The prototypes task from data to result: on planted texts, with real encoders and a real language model."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from conceptbench.cli import app
from conceptbench.eval.compare import compare_results
from conceptbench.eval.methods.protolm.settings import PrototypeConfig, Training
from conceptbench.eval.prototypes.options import PrototypesOptions
from conceptbench.eval.prototypes.records import ClassifierAnswer, Rows, SwapOutcome, TextRow, rows, schema, table
from conceptbench.eval.prototypes.scoring import score
from conceptbench.eval.report.write import report
from conceptbench.eval.result import Result, read_result
from conceptbench.eval.rows import read_records
from conceptbench.eval.run import evaluate, open_run
from conceptbench.eval.tasks import task_of
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.options import read_options
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
    "prototypes": 2,
    "attention": 16,
    "epochs": 4,
    "batch": 16,
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
    result = evaluate(
        "prototypes", dataset=str(data), out=folder, model=one_layer_minilm, study="prototypes", **OPTIONS
    )
    return folder, result


def test_every_text_is_answered_once_a_repeat_by_classifiers_that_did_not_see_it(run: tuple[Path, Result]) -> None:
    texts = open_run(run[0]).rows.texts
    assert len(texts) == 2 * len(TEXTS)
    for repeat in (0, 1):
        of_repeat = [row for row in texts if row.repeat == repeat]
        assert {(row.text, row.label) for row in of_repeat} == set(TEXTS)
        counts = np.bincount([row.fold for row in of_repeat])
        assert len(counts) == 3
        assert counts.max() - counts.min() <= 2
    first = ["prototypes", "aligned", "linear", "random", "kmeans", "N=1", "N=3", "N=10"]
    assert {tuple(answer.classifier for answer in row.answers) for row in texts} == {
        tuple(first),
        ("prototypes", "linear"),
    }


def test_metrics_are_those_of_the_records(run: tuple[Path, Result]) -> None:
    folder, result = run
    texts = open_run(folder).rows.texts

    def accuracy(name: str, repeats: tuple[int, ...]) -> float:
        return float(
            np.mean(
                [
                    answer.label == row.label
                    for row in texts
                    for answer in row.answers
                    if answer.classifier == name and row.repeat in repeats
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
    assert open_run(folder).metrics == metrics
    assert read_result(folder) == result
    values = open_run(folder).item_scores.values
    assert np.mean(list(values["accuracy"].values())) == pytest.approx(metrics["accuracy"].value)


def test_a_run_that_was_stopped_goes_on_and_ends_as_one_that_was_not(
    run: tuple[Path, Result], data: Path, one_layer_minilm: str, tmp_path: Path
) -> None:
    options = {"dataset": str(data), "out": tmp_path, "model": one_layer_minilm, "study": "prototypes", **OPTIONS}
    with pytest.raises(KeyboardInterrupt):
        evaluate("prototypes", **options, progress=_Stopping(8))
    stored = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("parts/*/*.npz")}
    # What was under way at the time is stored too.
    assert 8 <= len(stored) <= 8 + (os.cpu_count() or 1) + 1
    result = evaluate("prototypes", **options, progress=_Watching(stored, tmp_path))
    assert result.metrics == run[1].metrics
    assert open_run(tmp_path).records == open_run(run[0]).records
    assert not (tmp_path / "parts").exists()


def test_other_options_take_nothing_from_a_run_that_was_stopped(
    data: Path, one_layer_minilm: str, tmp_path: Path
) -> None:
    options = {"dataset": str(data), "out": tmp_path, "model": one_layer_minilm, **OPTIONS, "repeats": 1}
    with pytest.raises(KeyboardInterrupt):
        evaluate("prototypes", **options, progress=_Stopping(2))
    evaluate("prototypes", **options | {"seed": 1}, progress=_Stopping(99))
    assert {row.fold for row in open_run(tmp_path).rows.texts} == {0, 1, 2}


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

    def __init__(self, stored: dict[str, int], folder: Path) -> None:
        self._stored, self._folder = stored, folder

    def stage(self, name: str, total: int | None = None):  # type: ignore[no-untyped-def]
        for path in self._folder.glob("parts/*/*.npz"):
            assert self._stored.get(path.name, path.stat().st_mtime_ns) == path.stat().st_mtime_ns
        return super().stage(name, total)


@pytest.mark.slow
def test_simulators_are_asked_and_people_can_answer_the_same_questions(
    data: Path, one_layer_minilm: str, smollm2_folder: str, tmp_path: Path, long: bool
) -> None:
    prototypes = 2 if long else 1
    options = {"dataset": str(data), "model": one_layer_minilm, **OPTIONS, "repeats": 1, "asked": 4}
    options["prototypes"] = prototypes
    simulated = evaluate(
        "prototypes",
        out=tmp_path / "lm",
        simulators=["local:smollm2"],
        helper="local:smollm2",
        max_ngrams=60,
        **options,
    )
    records = open_run(tmp_path / "lm").rows
    texts = [row for row in records.texts if row.simulations]
    assert len(texts) == 4
    answers = {row.item: row.answers[0].label for row in texts}
    assert sorted(answers.values()) == ["food", "food", "sky", "sky"]
    for row in texts:
        assert [answer.condition for answer in row.simulations] == ["input", "examples", "prototypes"]
    assert simulated.metrics["simulatability"].n == 4
    assert len(records.prototypes) == 2 * prototypes
    assert any(row.name for row in records.prototypes)

    form = tmp_path / "lm" / "simulation.csv"
    with form.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        assert line["answer"] == ""
        wrong = {"food": "sky", "sky": "food"}[answers[line["item"]]]
        line["answer"] = answers[line["item"]] if line["condition"] == "prototypes" else wrong
        assert ("typical" in line["question"]) == (line["condition"] == "prototypes")
    filled = tmp_path / "filled.csv"
    _write_form(filled, lines)
    people = evaluate("prototypes", out=tmp_path / "people", simulators=[f"file:{filled}"], **options)
    metrics = people.metrics
    assert metrics["simulatability"].value == 1
    assert metrics["simulatability_input"].value == 0
    assert metrics["simulatability_gain"].value == 1
    assert people.provenance["simulators"] == ["file:filled.csv"]

    _write_form(filled, [{**line, "answer": "neither"} for line in lines])
    with pytest.raises(InputError, match=r'"neither" is no class; give one of food, sky'):
        evaluate("prototypes", out=tmp_path / "people", simulators=[f"file:{filled}"], **options)
    _write_form(filled, lines[1:])
    with pytest.raises(InputError, match="the form of another run"):
        evaluate("prototypes", out=tmp_path / "people", simulators=[f"file:{filled}"], **options)


def _write_form(path: Path, lines: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def test_a_decision_is_explained_on_the_command_line(run: tuple[Path, Result]) -> None:
    folder = str(run[0] / "classifier")
    printed = CliRunner().invoke(app, ["explain", "--classifier", folder, "--text", "They ate a pizza."])
    assert printed.exit_code == 0, printed.output
    assert "is food (probability" in printed.output
    assert "prototype" in printed.output
    as_json = CliRunner().invoke(app, ["explain", "--classifier", folder, "--text", "They ate a pizza.", "--json"])
    decision = json.loads(as_json.stdout)
    assert decision["label"] == "food"
    assert decision["reasons"][0]["examples"][0]["text"] in dict(TEXTS)
    table = CliRunner().invoke(app, ["explain", "--classifier", folder])
    assert table.exit_code == 0, table.output
    assert "nearest training texts" in table.output


def test_a_prototype_is_a_text_module_by_name(run: tuple[Path, Result]) -> None:
    from conceptbench.eval.methods.explain import open_module

    folder = run[0] / "classifier"
    for number, row in enumerate(open_run(run[0]).rows.prototypes):
        module = open_module(f"prototype:{folder}:{number}")
        values = module([text for text, _ in TEXTS])
        assert TEXTS[int(np.argmax(values))][0] == row.nearest[0]
    with pytest.raises(InputError, match="prototypes 0 to 3"):
        open_module(f"prototype:{folder}:4")


def test_results_are_compared_and_reported(run: tuple[Path, Result], tmp_path: Path) -> None:
    shutil.copytree(run[0], tmp_path / "second")
    comparison = compare_results(run[0], tmp_path / "second")
    assert comparison.differences["accuracy"].value == 0
    page = report([run[0]], out=tmp_path / "report.html", recompute=True)[0].read_text(encoding="utf-8")
    assert "Prototypes, ranked by accuracy" in page
    assert run[1].provenance["findings"][0] in page.replace("&lt;", "<")
    sorts = {example.condition for example in open_run(run[0]).examples}
    assert sorts == {"decision", "prototype"}


def test_the_command_line_prints_what_is_shown(data: Path, one_layer_minilm: str, tmp_path: Path) -> None:
    options = ["--text-column", "text", "--label-column", "topic", "--model", one_layer_minilm, "-n", "2"]
    options += ["--folds", "2", "--repeats", "1", "--epochs", "2", "--out", str(tmp_path)]
    printed = CliRunner().invoke(app, ["eval", "prototypes", "--dataset", str(data), *options])
    assert printed.exit_code == 0, printed.output
    words = " ".join(printed.output.split())
    assert "Non-inferiority to the linear head at a margin of 1.5 points" in words
    for name in ("linear", "random", "kmeans", "aligned"):
        assert name in words


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"study": "colours"}, "--study colours: give one of prototypes, nearest, losses"),
        ({"margin": 0.0}, "--margin 0.0: give above 0, below 1"),
        ({"folds": 1}, "--folds 1: give at least 2"),
        ({"folds": 31}, "a class has 30 texts only"),
        ({"repeats": 0}, "--repeats 0: give at least 1"),
        ({"limit": 0}, "--limit 0: give at least 1"),
        ({"asked": 0}, "--asked 0: give at least 1"),
        ({"looked_at": 0}, "--looked-at 0: give at least 1"),
        ({"prototypes": 0}, "--prototypes 0: give at least 1"),
        ({"prototypes": 40}, "to get 40 prototypes; give fewer"),
        ({"nearest": 3}, "K = 3 with 2 prototypes a class: give K from 1 to 2"),
        ({"losses": (1.0, -1.0, 0.0)}, "a weight of the loss is below 0"),
        ({"losses": (1.0, 0.0)}, "--losses 1,0: give three numbers"),
        ({"dev_share": 1.0}, "--dev-share 1.0: give at least 0, below 1"),
        ({"start": "middle"}, "--start middle: give one of kmeans, examples"),
        ({"text_columns": ["a", "b", "c"]}, "--text-column: give one column, or two for pairs"),
        ({"helper": "file:form.csv"}, "--helper file:form.csv: give openai:… or local:…"),
        ({"simulators": ["nobody:x"]}, "--simulators nobody:x: give openai:… or local:… or file:…"),
        ({"simulators": ["file:/nowhere.csv"]}, "/nowhere.csv: cannot be read"),
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
        evaluate("prototypes", out=tmp_path / "out", **options)  # type: ignore[arg-type]


def test_an_encoder_can_be_tuned(data: Path, one_layer_minilm: str, tmp_path: Path) -> None:
    options = OPTIONS | {"folds": 2, "repeats": 1, "limit": 24, "epochs": 2, "batch": 8}
    result = evaluate("prototypes", dataset=str(data), out=tmp_path, model=one_layer_minilm, tuned=True, **options)
    assert result.provenance["tuned"] is True
    assert result.metrics["accuracy"].n == 24
    printed = CliRunner().invoke(app, ["explain", "--classifier", str(tmp_path / "classifier"), "--text", "A fish."])
    assert printed.exit_code == 0, printed.output


_SETTING = """
import json, sys
from conceptbench.eval.run import evaluate
result = evaluate("prototypes", dataset="sst2", out="out", model=sys.argv[1], prototypes=1, repeats=2, epochs=2,
                  looked_at=3)
print(json.dumps(result.to_json()))
"""


@pytest.mark.slow
def test_a_ready_setting_has_test_texts_of_its_own(
    hub: Any, hub_env: Callable[..., dict[str, str]], one_layer_minilm: str, tmp_path: Path
) -> None:
    parts = {}
    for part, pairs in (("train", TEXTS[::2]), ("validation", TEXTS[1::4])):
        columns = {"sentence": [text for text, _ in pairs], "label": [int(label == "sky") for _, label in pairs]}
        pq.write_table(pa.table(columns), tmp_path / f"{part}.parquet")
        parts[f"data/{part}-00000-of-00001.parquet"] = (tmp_path / f"{part}.parquet").read_bytes()
    hub.add_repo("stanfordnlp/sst2", "dataset", parts)
    command = [sys.executable, "-c", _SETTING, one_layer_minilm]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=hub_env(hub.endpoint), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["metrics"]["accuracy"]["n"] == len(TEXTS[1::4])
    assert result["provenance"]["classes"] == {"negative": 23, "positive": 22}
    assert result["provenance"]["folds"] is None
    tested = {row.text for row in open_run(tmp_path / "out").rows.texts}
    assert tested == {text for text, _ in TEXTS[1::4]}


def test_a_weight_list_of_another_length_is_told(data: Path) -> None:
    columns = ["--text-column", "text", "--label-column", "topic"]
    printed = CliRunner().invoke(app, ["eval", "prototypes", "--dataset", str(data), *columns, "--losses", "1,2"])
    assert printed.exit_code != 0
    assert "give three numbers" in str(printed.exception)


def test_the_options_default_to_those_of_the_method() -> None:
    options = read_options(PrototypesOptions, {"dataset": "sst2"})
    assert options.config() == PrototypeConfig()
    assert options.training() == Training()
    changed = read_options(PrototypesOptions, {"dataset": "sst2", "losses": "1,0.5,0", "rate": 0.1, "seed": 3})
    assert changed.config() == PrototypeConfig(cohesion=0.5, separation=0.0)
    assert changed.training() == Training(rate=0.1, seed=3)


def test_rows_are_read_as_they_were_written(run: tuple[Path, Result]) -> None:
    records = read_records(run[0], schema(), "prototypes")
    assert table(rows(records)) == records
    roles = records.column_names.index("role")
    unknown = records.set_column(roles, "role", pa.array(["word"] * len(records)))
    with pytest.raises(InputError, match="role: 'word' is neither 'text' nor 'prototype'"):
        rows(unknown)


def test_a_stated_example_of_a_strangers_may_be_no_script(run: tuple[Path, Result]) -> None:
    board = task_of("prototypes").board
    records = read_records(run[0], schema(), "prototypes")
    board.check(records, {})
    assert len(board.item_rows(records)) == len(TEXTS)
    reasons = records.column_names.index("reason")
    script = pa.array(["<script>alert(1)</script>"] * len(records))
    with pytest.raises(InputError, match="reason and nearest: a text holds markup"):
        board.check(records.set_column(reasons, "reason", script), {})


def test_scores_of_hand_made_records() -> None:
    def text(item: str, fold: int, label: str, prototypes: str, linear: str) -> TextRow:
        return TextRow(
            item=item,
            text=item,
            label=label,
            repeat=0,
            fold=fold,
            answers=(ClassifierAnswer("prototypes", prototypes, 0.9), ClassifierAnswer("linear", linear, 0.9)),
            swaps=(SwapOutcome("prototypes", fold == 0, True, 0.5),),
        )

    texts = [
        text("a", 0, "x", "x", "x"), text("b", 0, "x", "x", "y"), text("c", 0, "y", "y", "y"),
        text("d", 1, "x", "y", "x"), text("e", 1, "x", "x", "x"), text("f", 1, "y", "y", "x"),
    ]  # fmt: skip
    scores = score(Rows(texts, []), {"margin": 0.1, "seed": 0})
    metrics = {str(key): metric for key, metric in scores.metrics.items()}
    assert metrics["accuracy"].value == pytest.approx(5 / 6)
    assert metrics["accuracy/linear"].value == pytest.approx(4 / 6)
    assert metrics["balanced_accuracy"].value == pytest.approx((3 / 4 + 1) / 2)
    # Folds differ by 1/3 and 0: mean 1/6, deviation √2/6, times √(1/2 + 1).
    assert metrics["difference"].value == pytest.approx(1 / 6)
    error = np.sqrt(2) / 6 * np.sqrt(1.5)
    assert metrics["difference"].high == pytest.approx(1 / 6 + 12.706205 * error)
    assert metrics["swap_all"].value == 0.5
    assert len(scores.findings) == 2
    assert "simulatability" in scores.undefined
    with pytest.raises(InputError, match="there are none of the classifier 'linear'"):
        score(Rows([replace(row, answers=row.answers[:1]) for row in texts], []), {"margin": 0.1, "seed": 0})
