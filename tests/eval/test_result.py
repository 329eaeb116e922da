"""Results and intervals."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import bootstrap
from statsmodels.stats.proportion import proportion_confint

from conceptbench.eval.result import Metric, Result, read_result, write_records, write_result
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.runtime.errors import InputError


def write(folder: Path) -> Result:
    digest = write_records(folder, pa.table({"item": ["a", "b"]}))
    metrics = {"gold_match": Metric(0.5, 0.1, 0.9, 2), "gold_match/semantic": Metric(1.0, 0.2, 1.0, 1)}
    result = Result("annotation", "1.0", "lexical", metrics, {"seed": 0}, digest)
    write_result(folder, result)
    return result


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = write(tmp_path)
    assert read_result(tmp_path) == read_result(tmp_path / "result.json") == result
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["schema"] == "conceptbench.result/1"
    assert content["metrics"]["gold_match"] == {"value": 0.5, "low": 0.1, "high": 0.9, "n": 2}
    assert content["records"] == "records.parquet"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("system"), "not a result of this version"),
        (lambda c: c.update(schema="x/2"), "not a result of this version"),
        (lambda c: c.update(records="../x"), "must lie beside it"),
        (lambda c: c["metrics"].update(x={"value": float("nan"), "low": 0, "high": 1, "n": 1}), "'x'.*finite"),
        (lambda c: c["metrics"].update(x={"value": 1}), "'x'.*must have value"),
        (lambda c: c["metrics"].update(x={"value": 1.0, "low": 0.0, "high": 1.0, "n": -1}), "'x'"),
    ],
)
def test_a_wrong_result_is_named(tmp_path: Path, change: object, message: str) -> None:
    write(tmp_path)
    content = json.loads((tmp_path / "result.json").read_text())
    change(content)  # type: ignore[operator]
    (tmp_path / "result.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_result(tmp_path)


def test_records_that_were_changed_are_seen(tmp_path: Path) -> None:
    write(tmp_path)
    write_records(tmp_path, pa.table({"item": ["a", "c"]}))
    with pytest.raises(InputError, match="was changed since the run"):
        read_result(tmp_path)


def test_the_interval_is_scipys_where_every_item_is_its_own_group() -> None:
    values = np.random.default_rng(1).normal(size=80)
    ours = mean_metric(values.tolist(), range(80))
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=2).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.03)
    assert ours.high == pytest.approx(theirs.high, abs=0.03)


def test_groups_are_resampled_whole() -> None:
    # Ten groups of ten equal items say no more than ten items.
    groups = [i // 10 for i in range(100)]
    values = [float(group % 2) for group in groups]
    wide, narrow = mean_metric(values, groups), mean_metric(values, range(100))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert wide.n == narrow.n == 100


def test_a_proportion_of_one_has_wilsons_interval() -> None:
    metric = mean_metric([1.0] * 30, [i // 3 for i in range(30)])
    low, high = proportion_confint(10, 10, method="wilson")
    assert (metric.value, metric.low, metric.high, metric.n) == (1.0, pytest.approx(low), pytest.approx(high), 30)
