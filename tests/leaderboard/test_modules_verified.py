"""Explanations are verified against the answers and the responses of modules that are drawn again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conceptbench.eval.run import evaluate
from conceptbench.eval.tasks import task_of
from conceptbench.leaderboard.verify import verify

EXPLAINER = """
class Own:
    def explain(self, module, top_ngrams, helper):
        return top_ngrams[:2]
"""


@pytest.fixture(scope="module")
def run(smollm2_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an explainer that gives the two strongest n-grams, with strings that SmolLM2 writes."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "own_explainer.py").write_text(EXPLAINER)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        evaluate(
            "explanation",
            explainer="python:own_explainer:Own",
            helper="local:smollm2",
            families=("lexical", "semantic"),
            count=1,
            max_ngrams=200,
            strings=3,
            out=folder / "result",
        )
    return folder / "result"


@pytest.fixture
def submission(run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "submissions" / "python--own_explainer--Own" / "explanation" / "2999-01-01"
    folder.mkdir(parents=True)
    started = json.loads((run / "result.json").read_text())["provenance"]["started"]
    folder = folder.rename(folder.with_name(started[:10]))
    for name in ("result.json", "records.parquet"):
        shutil.copy(run / name, folder / name)
    form = {"schema": "conceptbench.form/1", "name": "N-grams", "seeds": [0]}
    (folder / "form.json").write_text(json.dumps(form))
    return folder


def reason(board: Path) -> str:
    (checked,) = verify(board)
    return checked.verdict.reason


@pytest.mark.slow
def test_a_run_is_accepted_and_every_edit_of_it_is_not(submission: Path, tmp_path: Path, made: ModuleType) -> None:
    assert reason(tmp_path) == ""
    contents = {name: (submission / name).read_bytes() for name in ("result.json", "records.parquet")}

    def spoiled(change: Callable[[list[dict]], object]) -> str:
        for name, content in contents.items():
            (submission / name).write_bytes(content)
        rows = pq.read_table(submission / "records.parquet").to_pylist()
        change(rows)
        made.write_table(submission, pa.Table.from_pylist(rows, schema=task_of("explanation").schema()))
        return reason(tmp_path)

    tested = next(
        number
        for number, row in enumerate(pq.read_table(submission / "records.parquet").to_pylist())
        if row["candidates"] and row["candidates"][0]["related"] and row["own_scores"]
    )
    # With a pattern that accepts everything, the submitter would have chosen the answer.
    assert "has another answer" in spoiled(lambda rows: rows[0]["answer"]["parts"][0].update(accept="."))
    assert "has another answer" in spoiled(lambda rows: rows[0]["answer"].update(name="anything"))
    assert "has another control" in spoiled(lambda rows: rows[0].update(control=not rows[0]["control"]))
    assert "has another spread" in spoiled(lambda rows: rows[tested].update(spread=rows[tested]["spread"] / 2))
    assert "has another spread" in spoiled(lambda rows: rows[tested].update(ngrams=7))
    assert "does not give" in spoiled(lambda rows: rows[tested]["candidates"][0]["related_values"].__setitem__(0, 1e3))
    assert "do not get" in spoiled(lambda rows: rows[tested]["own_scores"][0].update(score=99.0))
    assert "other modules" in spoiled(lambda rows: rows[tested]["own_scores"].pop())
    assert "not in the corpus" in spoiled(lambda rows: rows[tested]["top_ngrams"].append("zzz qqq"))
    assert "holds markup" in spoiled(
        lambda rows: rows[tested]["candidates"][0].update(text="<script>alert(1)</script>")
    )
    assert "by its records" in spoiled(
        lambda rows: rows[tested]["candidates"][0].update(text=rows[tested]["answer"]["name"])
    )
    for name, content in contents.items():
        (submission / name).write_bytes(content)
    made.edit(submission, "result.json", lambda content: content["provenance"].update(plain_patterns=True))
    assert "plain_patterns" in reason(tmp_path)
