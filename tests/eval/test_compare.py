"""Paired comparison: against scipy's tests and intervals, and power against a simulation."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from scipy.stats import bootstrap, permutation_test, ttest_1samp

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.eval.annotation import evaluate_annotation
from conceptbench.eval.annotation.metrics import METRICS
from conceptbench.eval.annotation.records import Record, records_table
from conceptbench.eval.compare import compare_results, paired_difference
from conceptbench.eval.result import read_result, write_records
from conceptbench.runtime.errors import InputError

Floats = NDArray[np.float64]


def scores(values: Floats) -> dict[str, float]:
    return {f"item{i}": float(value) for i, value in enumerate(values)}


def own_groups(items: int) -> dict[str, str]:
    return {f"item{i}": f"C{i:04d}" for i in range(items)}


def two_systems(items: int, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return rng.normal(0.3, 1, items), rng.normal(0, 1, items)


def test_the_exact_p_value_is_scipys() -> None:
    first, second = two_systems(10, seed=1)
    theirs = permutation_test((first - second,), np.mean, permutation_type="samples", n_resamples=np.inf)
    ours = paired_difference(scores(first), scores(second), own_groups(10))
    assert ours.value == pytest.approx(theirs.statistic)
    assert ours.p == pytest.approx(theirs.pvalue)


def test_equal_sums_count_as_equal() -> None:
    # Tenths do not add up exactly. Of 0.1, 0.2 and -0.1 the sum is 0.2; flipped, three in four are as far out: 0.2
    # twice and 0.4, but not 0. Of 0.1, 0.1, 0.1 and 0.4 only the sum itself and its opposite are.
    for values, p in (([0.1, 0.2, -0.1], 3 / 4), ([0.1, 0.1, 0.1, 0.4], 2 / 16)):
        items = len(values)
        assert paired_difference(scores(np.array(values)), scores(np.zeros(items)), own_groups(items)).p == p


def test_the_drawn_p_value_is_near_that_of_the_t_test() -> None:
    first, second = two_systems(100, seed=2)
    ours = paired_difference(scores(first), scores(second), own_groups(100))
    assert 0.01 < ours.p < 0.5
    assert ours.p == pytest.approx(ttest_1samp(first - second, 0).pvalue, abs=0.02)


def test_a_clear_difference_has_the_smallest_p_value_that_draws_can_show() -> None:
    ours = paired_difference(scores(np.ones(50)), scores(np.zeros(50)), own_groups(50))
    assert ours.p == 1 / 10_001


def test_the_interval_is_scipys() -> None:
    first, second = two_systems(80, seed=3)
    theirs = bootstrap((first - second,), np.mean, n_resamples=20_000, method="percentile", rng=4).confidence_interval
    ours = paired_difference(scores(first), scores(second), own_groups(80))
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=0.03), pytest.approx(theirs.high, abs=0.03))


def test_groups_are_resampled_and_flipped_whole() -> None:
    first, second = two_systems(12, seed=5)
    groups = {f"item{i}": f"C{i // 2}" for i in range(12)}
    sums = (first - second).reshape(6, 2).sum(axis=1)
    theirs = permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf)
    ours = paired_difference(scores(first), scores(second), groups)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.n, ours.groups) == (12, 6)
    # Repeating each item ten times in its group tells nothing new.
    many = paired_difference(
        scores(np.repeat(first, 10)), scores(np.repeat(second, 10)), {f"item{i}": f"C{i // 20}" for i in range(120)}
    )
    assert (many.p, many.low, many.high) == (ours.p, pytest.approx(ours.low), pytest.approx(ours.high))


def test_a_large_group_weighs_more() -> None:
    # Three items of one concept differ by 1, one item of another by 0.
    ours = paired_difference(
        scores(np.array([1.0, 1.0, 1.0, 0.0])),
        scores(np.zeros(4)),
        {"item0": "a", "item1": "a", "item2": "a", "item3": "b"},
    )
    assert (ours.value, ours.low, ours.high) == (0.75, 0, 1)


def test_so_many_groups_show_the_difference_in_four_runs_of_five() -> None:
    first, second = two_systems(60, seed=6)
    difference = first - second
    needed = paired_difference(scores(first), scores(second), own_groups(60), detect=0.5).needed
    assert needed is not None
    rng = np.random.default_rng(7)
    runs = rng.normal(0.5, difference.std(ddof=1), size=(4000, needed))
    assert np.mean(ttest_1samp(runs, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)


def test_a_small_difference_takes_more_groups() -> None:
    first, second = two_systems(60, seed=8)
    needed = [
        paired_difference(scores(first), scores(second), own_groups(60), detect=detect).needed or 0
        for detect in (1e-12, 0.001, 0.01, 0.1, 1.0, 100.0)
    ]
    assert needed == sorted(needed, reverse=True)
    assert needed[2] == pytest.approx(100 * needed[3], rel=0.01)
    # Below six groups no p-value of the permutation test is below 0.05.
    assert needed[-1] == 6


def test_equal_systems() -> None:
    first, _ = two_systems(20, seed=9)
    ours = paired_difference(scores(first), scores(first), own_groups(20))
    assert (ours.value, ours.low, ours.high, ours.p, ours.n, ours.needed) == (0, 0, 0, 1, 20, None)


def test_the_order_of_items_does_not_matter() -> None:
    first, second = two_systems(30, seed=10)
    turned = dict(reversed(scores(first).items()))
    assert paired_difference(turned, scores(second), own_groups(30)) == paired_difference(
        scores(first), scores(second), own_groups(30)
    )


def test_first_and_second_change_places() -> None:
    first, second = two_systems(12, seed=11)
    one = paired_difference(scores(first), scores(second), own_groups(12))
    other = paired_difference(scores(second), scores(first), own_groups(12))
    assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low))
    assert (other.p, other.needed) == (one.p, one.needed)


@pytest.mark.parametrize(
    ("first", "second", "groups", "message"),
    [
        ({"a": 1, "b": 1}, {"a": 1, "c": 0}, {"a": "x", "b": "x", "c": "x"}, "2 are in only one.*'b' in the first"),
        ({"a": 1}, {"a": 1, "c": 0}, {"a": "x", "c": "x"}, "1 are in only one.*'c' in the second"),
        ({"a": 1, "b": 1}, {"a": 1, "b": 0}, {"a": "x"}, "no group for 1 of 2 items, such as 'b'"),
        ({"a": 1, "b": float("nan")}, {"a": 1, "b": 0}, {"a": "x", "b": "x"}, "item 'b'.*finite.*nan and 0"),
        ({}, {}, {}, "no items"),
    ],
)
def test_what_cannot_be_compared_is_named(
    first: dict[str, float], second: dict[str, float], groups: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        paired_difference(first, second, groups)


@pytest.mark.parametrize("detect", [0.0, -0.1, float("nan")])
def test_a_difference_to_detect_is_above_zero(detect: float) -> None:
    with pytest.raises(InputError, match="detect: must be above 0"):
        paired_difference({"a": 1}, {"a": 0}, {"a": "x"}, detect=detect)


# Two results


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline's result on ten concepts."""
    folder = tmp_path_factory.mktemp("compare") / "lexical"
    evaluate_annotation(annotator="lexical", out=folder, limit=10)
    return folder


def variant(run: Path, out: Path, change: Callable[[dict[str, Any], list[Record]], object]) -> Path:
    """Copy a run with another result file and other records."""
    shutil.copytree(run, out)
    content, rows = json.loads((out / "result.json").read_text()), pq.read_table(out / "records.parquet").to_pylist()
    change(content, rows)
    content["records_sha256"] = write_records(out, records_table(rows))
    (out / "result.json").write_text(json.dumps(content))
    return out


def name_rightly(content: dict[str, Any], rows: list[Record]) -> None:
    content["system"] = "gold"
    for row in rows:
        row["label"] = load_lexicon()[row["concept"]].name


def rate(rows: list[Record], numbers: list[int]) -> None:
    rating = {"rater": "ann", "panel": "people", "grade": "precise", "preference": None, "chosen": None, "raw": None}
    for number in numbers:
        rows[number]["ratings"].append(rating)


def test_two_results_are_compared_by_every_metric_of_both(baseline: Path, tmp_path: Path) -> None:
    gold = variant(baseline, tmp_path / "gold", name_rightly)
    found = compare_results(baseline, gold / "result.json", detect=0.1)
    assert (found.task, found.first, found.second, found.main) == ("annotation", "lexical", "gold", "gold_match")
    assert {"gold_match", "gold_similarity", "discrimination", "identification", "copied"} <= set(found.differences)
    assert list(found.differences) == [name for name in METRICS if name in found.differences]
    metrics = read_result(baseline).metrics
    for name, (first, _) in found.means.items():
        assert first == pytest.approx(metrics[name].value, abs=1e-6)
    difference = found.differences["gold_match"]
    assert found.means["gold_match"][1] == 1.0
    assert difference.value == pytest.approx(metrics["gold_match"].value - 1.0)
    assert (difference.n, difference.groups) == (30, 10)
    # A label that is a mere copy tells nothing of other concepts either, and the baseline has many.
    assert {name for name in found.unpaired if not name.endswith("_shuffled")} == set()
    # Nothing tells the gold label's own score apart from itself.
    assert found.differences["discrimination_gold"].needed is None
    finer = compare_results(baseline, gold, detect=0.05).differences["discrimination"].needed
    assert (finer or 0) > (found.differences["discrimination"].needed or 0) >= 6


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
    one = variant(baseline, tmp_path / "one", lambda _content, rows: rate(rows, [0, 1]))
    two = variant(baseline, tmp_path / "two", lambda _content, rows: rate(rows, [0, 2]))
    found = compare_results(one, two)
    assert list(found.unpaired) == ["acceptance_people"]
    assert "acceptance_people" not in found.differences
    assert "acceptance_people" in compare_results(one, one).differences


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
