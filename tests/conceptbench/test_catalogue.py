"""What there is to choose from, and the page that is made from the tasks' descriptions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conceptbench.catalogue import studies, tasks_page
from conceptbench.eval.tasks import PACKAGED, task_of
from conceptbench.runtime.options import option_fields

DOCS = Path(__file__).parents[2] / "docs"

LEANING = ("the same", "likewise", "of these", "as above", "such ", "this ", "their ")
"""Words with which a description leans on what stands above it."""


def test_the_page_on_tasks_is_the_one_that_their_descriptions_give() -> None:
    assert (DOCS / "tasks.md").read_text(encoding="utf-8") == tasks_page(), "run `make docs/tasks.md`"


@pytest.mark.parametrize("name", PACKAGED)
def test_every_option_and_metric_can_be_read_alone(name: str) -> None:
    task = task_of(name)
    for metric in task.metrics:
        assert len(metric.description.split()) > 3, metric.name
        assert not metric.description.startswith(LEANING), metric.name
        assert metric.unit
    for field in option_fields(task.options):
        assert field.option.help.endswith("."), field.flag
        assert len(field.option.help.split()) > 3, field.flag
    assert set(task.ranked_by) <= set(task.descriptions)
    assert set(task.open_breakdowns) | set(task.compared) <= set(task.descriptions)
    assert {metric for study in task.studies.values() for metric in study.metrics} <= set(task.descriptions)


def test_studies_of_all_tasks_are_listed() -> None:
    listed = {(row["task"], row["study"]) for row in studies()}
    assert {("annotation", "prompt"), ("quality", "k"), ("prototypes", "losses")} <= listed


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["--version"],
        ["list", "prompts"],
        ["list", "tasks"],
        ["eval", "--help"],
        ["eval", "annotation", "--help"],
    ],
)
def test_help_and_lists_load_no_torch(command: list[str]) -> None:
    code = (
        "import atexit, json, sys\n"
        "heavy = ('torch', 'transformers', 'datasets', 'scipy', 'statsmodels', 'sklearn', 'pyarrow')\n"
        "atexit.register(lambda: sys.stderr.write(json.dumps([name for name in heavy if name in sys.modules])))\n"
        f"sys.argv = ['conceptbench', *{command!r}]\n"
        "from conceptbench.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr) == []
