"""The comparison of two results: what is compared, what is left out, and which results are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.eval.compare import compare_results
from conceptbench.eval.result import read_result
from conceptbench.eval.rows import write_records
from conceptbench.eval.run import evaluate
from conceptbench.eval.tasks import task_of
from conceptbench.runtime.errors import InputError

Row = dict[str, Any]


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline's result on ten concepts."""
    folder = tmp_path_factory.mktemp("compare") / "lexical"
    evaluate("annotation", annotator="lexical", out=folder, limit=10)
    return folder


def variant(run: Path, out: Path, change: Callable[[dict[str, Any], list[Row]], object]) -> Path:
    """Copy a run with another result file and other records."""
    shutil.copytree(run, out)
    content, records = json.loads((out / "result.json").read_text()), pq.read_table(out / "records.parquet")
    rows = records.to_pylist()
    change(content, rows)
    content["records_sha256"] = write_records(out, pa.Table.from_pylist(rows, schema=records.schema))
    (out / "result.json").write_text(json.dumps(content))
    return out


def name_rightly(content: dict[str, Any], rows: list[Row]) -> None:
    content["system"] = "gold"
    for row in rows:
        row["label"] = load_lexicon()[row["concept"]].name


def rate(rows: list[Row], numbers: list[int]) -> None:
    rating = {"rater": "ann", "panel": "people", "grade": "precise", "preference": None, "chosen": None, "raw": None}
    for number in numbers:
        rows[number]["ratings"].append(rating)


def test_two_results_are_compared_by_every_metric_of_both(baseline: Path, tmp_path: Path) -> None:
    gold = variant(baseline, tmp_path / "gold", name_rightly)
    comparison = compare_results(baseline, gold / "result.json", detect=0.1)
    assert (comparison.task, comparison.first, comparison.second, comparison.main) == (
        "annotation",
        "lexical",
        "gold",
        "gold_match",
    )
    assert {"gold_match", "gold_similarity", "discrimination", "identification", "copied"} <= set(
        comparison.differences
    )
    assert list(comparison.differences) == [
        name for name in task_of("annotation").descriptions if name in comparison.differences
    ]
    metrics = read_result(baseline).metrics
    for name, (first, _) in comparison.means.items():
        assert first == pytest.approx(metrics[name].value, abs=1e-6)
    difference = comparison.differences["gold_match"]
    assert comparison.means["gold_match"][1] == 1.0
    assert difference.value == pytest.approx(metrics["gold_match"].value - 1.0)
    assert (difference.n, difference.groups) == (30, 10)
    # A label that is a mere copy tells nothing of other concepts either, and the baseline has many.
    assert {name for name in comparison.unpaired if not name.endswith("_shuffled")} == set()
    # Nothing tells the gold label's own score apart from itself.
    assert comparison.differences["discrimination_gold"].needed is None
    finer = compare_results(baseline, gold, detect=0.05).differences["discrimination"].needed
    assert (finer or 0) > (comparison.differences["discrimination"].needed or 0) >= 6


def test_the_verdict_says_who_is_better(baseline: Path, tmp_path: Path) -> None:
    gold = variant(baseline, tmp_path / "gold", name_rightly)
    better = "gold (second) is better than lexical (first) on gold_match: first minus second is −"
    assert compare_results(baseline, gold).verdict.startswith(better)
    assert compare_results(gold, baseline).verdict.startswith("gold (first) is better than lexical (second)")
    same = variant(baseline, tmp_path / "same", lambda _content, _rows: None)
    assert compare_results(baseline, same).verdict == (
        "lexical (first) and lexical (second) cannot be told apart on gold_match: first minus second is +0.000 "
        "(+0.000 to +0.000), p = 1.000."
    )


def test_metrics_of_other_items_in_each_are_left_out_and_named(baseline: Path, tmp_path: Path) -> None:
    first = variant(baseline, tmp_path / "first", lambda _content, rows: rate(rows, [0, 1]))
    second = variant(baseline, tmp_path / "second", lambda _content, rows: rate(rows, [0, 2]))
    comparison = compare_results(first, second)
    assert list(comparison.unpaired) == ["acceptance_people"]
    assert "acceptance_people" not in comparison.differences
    assert "acceptance_people" in compare_results(first, first).differences


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["provenance"].update(dataset_sha256="0", seed=3), "not of the same items.*seed 0, 30.*seed 3, 30"),
        (lambda c: c["provenance"].pop("dataset_sha256"), "not of the same items"),
        (lambda c: c.update(task_version="0.9"), r"is a result of annotation 0\.9; here is annotation 1\.0"),
        (lambda c: c.update(task="reading"), "no such task"),
    ],
)
def test_results_that_cannot_be_compared_are_refused(
    baseline: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    other = variant(baseline, tmp_path / "other", lambda content, _rows: change(content))
    with pytest.raises(InputError, match=message):
        compare_results(baseline, other)
