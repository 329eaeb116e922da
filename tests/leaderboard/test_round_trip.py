"""From a store to the board: published, loaded, evaluated, submitted, merged, verified, and ranked."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conceptbench.builders.build import build
from conceptbench.eval.result import read_result

_MERGE = """
import sys
from huggingface_hub import HfApi
api = HfApi()
for number in sys.argv[2:]:
    api.merge_pull_request(sys.argv[1], int(number), repo_type="dataset")
"""
_DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], repo_type="dataset", revision=sys.argv[2], local_dir=sys.argv[3])
"""
_LOAD = """
import json, sys
from conceptbench import load_concepts
concepts = load_concepts(sys.argv[1], revision=sys.argv[2])
print(json.dumps([list(concepts["concept"]), list(concepts["label"])]))
"""
SENTENCES = [
    f"The {animal} {verb} near the {spot} on {day} morning ."
    for animal in ("cat", "dog", "horse", "cow")
    for verb in ("slept", "walked", "waited")
    for spot in ("river", "house", "road")
    for day in ("Monday", "Friday")
]


@pytest.mark.slow
def test_from_a_store_to_the_board_and_back(
    hub: Any,
    hub_env: Callable[..., dict[str, str]],
    open_command_line: Callable[..., Any],
    one_layer_minilm: str,
    tmp_path: Path,
) -> None:
    env = hub_env(hub.endpoint, hub.token)
    with open_command_line(env) as command_line:
        check_the_way(hub, env, command_line, one_layer_minilm, tmp_path)


def check_the_way(hub: Any, env: dict[str, str], command_line: Any, encoder: str, tmp_path: Path) -> None:
    """Go all the way."""

    def run(*command: str) -> str:
        process = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=tmp_path)
        assert process.returncode == 0, process.stderr
        assert hub.token not in process.stdout + process.stderr
        return process.stdout

    def tool(*command: str) -> str:
        done = command_line.run(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert hub.token not in done.stdout + done.stderr
        return str(done.stdout)

    # A store, published with a tag and read back at it.
    (tmp_path / "texts.txt").write_text("\n".join(SENTENCES) + "\n")
    store = build(
        corpus=str(tmp_path / "texts.txt"), model=encoder, layers="1", k=8, annotator="lexical",
        max_count=12, out=tmp_path / "store",
    )  # fmt: skip
    tool("publish", str(store.path), "--repo", "org/concepts", "--revision", "v1")
    concepts, labels = json.loads(run(sys.executable, "-c", _LOAD, "org/concepts", "v1"))
    (model,) = store.models
    assert concepts == store.concepts(model, 1)["concept"].to_pylist()
    assert labels == store.concepts(model, 1)["label"].to_pylist()

    # Two annotators are evaluated on the published store.
    run(sys.executable, "-c", _DOWNLOAD, "org/concepts", "v1", "published")
    (tmp_path / "labels.csv").write_text("concept,label\n" + "".join(f"{name},words\n" for name in concepts))
    for name, annotator in (("lexical", "lexical"), ("words", "file:labels.csv")):
        tool(
            "eval",
            "annotation",
            "--annotator",
            annotator,
            "--store",
            "published",
            "--encoder",
            "smollm2",
            "--out",
            name,
        )

    # The board accepts the dataset after its keepers ran a system on it.
    hub.add_repo("org/board", "dataset", {"board.toml": tool("board", "items", "lexical", "--name", "tiny").encode()})
    opened = [
        json.loads(tool("submit", name, "--board", "org/board", "--name", f"System {name}", "--json"))["opened"]
        for name in ("lexical", "words")
    ]
    assert opened == [[f"{hub.endpoint}/datasets/org/board/discussions/{number}"] for number in (1, 2)]
    run(sys.executable, "-c", _MERGE, "org/board", "1", "2")
    run(sys.executable, "-c", _DOWNLOAD, "org/board", "main", "board")
    verdicts = json.loads(tool("board", "verify", "board", "--json"))
    assert [verdict["verdict"] for verdict in verdicts] == ["accepted", "accepted"], verdicts
    tool("board", "build", "board", "--out", "site")
    board = json.loads((tmp_path / "site" / "board.json").read_text())
    (table,) = [each for each in board["tasks"] if any(row["kind"] == "self" for row in each["rows"])]
    rows = {row["name"]: row for row in table["rows"] if row["kind"] == "self"}
    assert set(rows) == {"System lexical", "System words"}
    stated = read_result(tmp_path / "lexical").metrics["discrimination"]
    assert rows["System lexical"]["metrics"]["discrimination"]["value"] == stated.value
    assert "System words" in (tmp_path / "site" / "index.html").read_text()
