"""Result files: read as written, and refused where they are wrong or were changed."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from conceptbench.eval.result import Metric, MetricKey, Result, read_result, write_result
from conceptbench.eval.rows import write_records
from conceptbench.runtime.errors import InputError


def write(folder: Path) -> Result:
    digest = write_records(folder, pa.table({"item": ["a", "b"]}))
    metrics = {"gold_match": Metric(0.5, 0.1, 0.9, 2), "gold_match/semantic": Metric(1.0, 0.2, 1.0, 1)}
    result = Result(
        task="annotation",
        task_version="1.0",
        system="lexical",
        metrics=metrics,
        provenance={"seed": 0},
        records_sha256=digest,
    )
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
        (lambda c: c.pop("system"), "system: Field required"),
        (lambda c: c.update(schema="x/2"), "not a result of this version"),
        (lambda c: c.update(records="../x"), "records: Input should be 'records.parquet'"),
        (lambda c: c.update(more=1), "more: Extra inputs"),
        (lambda c: c["metrics"].update(x={"value": float("nan"), "low": 0.0, "high": 1.0, "n": 1}), "x.value.*finite"),
        (lambda c: c["metrics"].update(x={"value": 1.0, "high": 1.0, "n": 1}), "x.low: Field required"),
        (lambda c: c["metrics"].update(x={"value": "1", "low": 0.0, "high": 1.0, "n": 1}), "x.value: .*number"),
        (lambda c: c["metrics"].update(x={"value": 1.0, "low": 0.0, "high": 1.0, "n": -1}), "x.n: .*greater"),
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


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("gold_match", MetricKey("gold_match")),
        ("gold_match/semantic", MetricKey("gold_match", group="semantic")),
        ("gold_match/purity=0.9", MetricKey("gold_match", group="purity=0.9")),
        ("gold_match/prompt=few-shot", MetricKey("gold_match", "prompt=few-shot")),
        ("gold_match/prompt=few-shot/purity=0.9", MetricKey("gold_match", "prompt=few-shot", "purity=0.9")),
        ("judge_youden/openai:org/model", MetricKey("judge_youden", group="openai:org/model")),
    ],
)
def test_a_metrics_key_tells_conditions_of_studies_from_groups(text: str, key: MetricKey) -> None:
    assert MetricKey.parse(text, studies=["prompt", "k"]) == key
    assert str(key) == text
    assert key.headline == (text == "gold_match")
