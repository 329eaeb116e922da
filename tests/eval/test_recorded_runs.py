"""Runs made by version 0.1.0 before the redesign of `eval`: every number of theirs follows from their records.

They lie in tests/data/runs, a folder a run, and hold no text but that of the gold lexicon and single words.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from conceptbench.eval.report.write import report
from conceptbench.eval.run import open_run
from conceptbench.eval.tasks import PACKAGED
from conceptbench.runtime.errors import ConceptBenchError

RUNS = sorted((Path(__file__).parents[1] / "data" / "runs").iterdir())


def test_every_task_has_a_recorded_run() -> None:
    assert {json.loads((run / "result.json").read_text())["task"] for run in RUNS} == set(PACKAGED)


@pytest.mark.slow
@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_the_records_of_a_recorded_run_give_its_numbers_again(folder: Path, tmp_path: Path) -> None:
    run = open_run(folder)
    run.check_metrics()
    assert run.metrics.keys() == run.result.metrics.keys()
    assert {**run.provenance["undefined"], **run.scores.undefined} == run.provenance["undefined"]
    assert run.scores.items.values
    assert run.examples
    written = report([folder], out=tmp_path / "report.md", recompute=True)[0].read_text()
    assert run.result.system.partition(":")[2].partition("/")[0] in written


@pytest.mark.slow
def test_a_number_that_does_not_follow_from_the_records_is_told(tmp_path: Path) -> None:
    source = next(run for run in RUNS if run.name == "quality-limit")
    shutil.copytree(source, tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    result["metrics"]["alignment"]["value"] += 1e-5
    (tmp_path / "run" / "result.json").write_text(json.dumps(result))
    with pytest.raises(ConceptBenchError, match="metric 'alignment' is .* in the result file, but"):
        open_run(tmp_path / "run").check_metrics()
