"""Loading from the Hub: the real client in a process of its own, against a Hub on loopback."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conceptbench.benchmark.loading import load_concepts
from conceptbench.runtime.errors import InputError

LOAD = """
import json, sys
from conceptbench import ConceptBenchError, load_concepts
for options in json.loads(sys.argv[1]):
    try:
        found = list(load_concepts(**{"source": "org/news", **options}))
    except ConceptBenchError as error:
        found = f"{type(error).__name__}: {error}"
    print(json.dumps(found))
"""

Load = Callable[..., list[Any]]


@pytest.fixture
def load(hub: Any, hub_env: Callable[..., dict[str, str]], tmp_path: Path) -> Load:
    """Load for each of some options, in a process with the test's own cache: rows, or what is said of a failure."""

    def run(*calls: dict[str, Any], **env: str) -> list[Any]:
        done = subprocess.run(
            [sys.executable, "-c", LOAD, json.dumps(calls or [{}])],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**hub_env(hub.endpoint), **env},
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture
def put(hub: Any, tmp_path: Path, write_store: Any) -> Callable[[str], list[dict[str, Any]]]:
    """Put a store whose labels begin as told on the Hub as org/news, and give its concepts."""

    def run(label: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = write_store(tmp_path / label, label)
        files = {
            path.relative_to(tmp_path / label).as_posix(): path.read_bytes()
            for path in (tmp_path / label).rglob("*")
            if path.is_file()
        }
        if ("dataset", "org/news") not in hub.repos:
            hub.add_repo("org/news")
        hub.repo("org/news").put(files)
        return rows

    return run


def test_a_dataset_on_the_hub_gives_the_rows_of_its_store(hub: Any, load: Load, put: Any) -> None:
    rows = put("label")
    found = load({}, {"model": "org/one"}, {"model": "two", "layer": 3, "streaming": True})
    assert found == [rows, rows[:2], rows[3:]]
    read_at = {asked.path.split("/")[5] for asked in hub.requests("resolve/.*/concepts/")}
    assert read_at == {hub.repo("org/news").head}


def test_a_dataset_that_was_published_again_gives_its_new_rows_and_its_old_ones_at_their_revision(
    hub: Any, load: Load, put: Any
) -> None:
    old = put("old")
    repo = hub.repo("org/news")
    repo.tags["v1"] = repo.head
    assert load({"layer": 3}) == [[old[1], old[3]]]
    new = put("new")
    found = load(
        {"layer": 3}, {"layer": 3, "revision": "v1"}, {"layer": 0, "revision": repo.tags["v1"], "streaming": True}
    )
    assert found == [[new[1], new[3]], [old[1], old[3]], [old[0], old[2]]]


def test_what_is_in_the_cache_is_not_fetched_again_and_needs_no_network(hub: Any, load: Load, put: Any) -> None:
    rows = put("label")
    assert load() == [rows]
    hub.exchanges.clear()
    assert load() == [rows]
    assert [(asked.method, asked.path.rpartition("/")[2]) for asked in hub.exchanges] == [("HEAD", "manifest.json")]
    hub.exchanges.clear()
    found, missing = load({}, {"source": "org/other"}, HF_HUB_OFFLINE="1")
    assert found == rows
    assert "InputError: org/other on the Hub" in missing
    assert "HF_HUB_OFFLINE is set, and it is not in the Hub's cache here" in missing
    assert hub.exchanges == []


def test_a_file_that_is_not_the_manifests_is_refused(hub: Any, load: Load, put: Any, tmp_path: Path) -> None:
    rows = put("label")
    repo = hub.repo("org/news")
    assert load({"model": "two"}) == [rows[2:]]
    damaged = next((tmp_path / "home" / "hub").glob("*/snapshots/*/concepts/two/L03.parquet")).resolve()
    damaged.write_bytes(damaged.read_bytes()[::-1])
    assert load({"model": "two"}) == [rows[2:]], "a file damaged in the cache is fetched again"
    repo.put({"concepts/two/L03.parquet": repo.files()["concepts/two/L00.parquet"]})
    *told, whole = load({"model": "two"}, {"model": "two", "streaming": True}, {"model": "two", "layer": 0})
    reason = f"org/news: concepts/two/L03.parquet at {repo.head[:8]} is not the file that manifest.json names"
    assert [reason in one for one in told] == [True, True]
    assert whole == rows[2:3]


def test_what_is_not_on_the_hub_is_named(hub: Any, load: Load, put: Any) -> None:
    put("label")
    hub.add_repo("org/text", files={"data.txt": b"words"})
    hub.add_repo("org/old", files={"manifest.json": b'{"schema": "conceptbench.store/1", "models": {"a": {}}}'})
    hub.add_repo("org/none", files={"manifest.json": b"<html>"})
    hub.add_repo("org/hidden", private=True)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"model": "three"}, "InputError: org/news has no model 'three'; it has org/one, two"),
        ({"model": "two", "layer": 9}, "InputError: org/news has no layer 9 of two"),
        (
            {"revision": "v9"},
            "InputError: org/news at v9 on the Hub (it is no folder here): manifest.json: there is no",
        ),
        ({"source": "org/text"}, "org/text on the Hub (it is no folder here): manifest.json: there is no such file"),
        ({"source": "org/old"}, "org/old: its manifest.json names no files"),
        ({"source": "org/none"}, "is not JSON"),
        ({"source": "org/gone"}, "InputError: org/gone on the Hub (it is no folder here): manifest.json: the Hub has"),
        ({"source": "org/hidden"}, "check the name, and log in with `hf auth login`"),
        ({"source": "what is this"}, "InputError: what is this on the Hub"),
    ]
    told = load(*(options for options, _ in cases))
    assert [expected in one for one, (_, expected) in zip(told, cases, strict=True)] == [True] * len(cases), told


def test_a_private_dataset_is_read_with_a_token(hub: Any, load: Load, put: Any) -> None:
    rows = put("label")
    hub.repo("org/news").private = True
    assert load(HF_TOKEN=hub.reader) == [rows]
    [told] = load(HF_TOKEN=hub.stranger, HF_HOME="elsewhere")
    assert "the Hub has no such repository, or your token does not show it" in told


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_told(load: Load) -> None:
    [told] = load(HF_ENDPOINT="http://127.0.0.1:9")
    assert "ConceptBenchError: org/news on the Hub (it is no folder here): manifest.json: the Hub cannot be re" in told


def test_a_folder_has_no_revisions(tmp_path: Path, write_store: Any) -> None:
    write_store(tmp_path / "store", "label")
    with pytest.raises(InputError, match="is a folder; only datasets on the Hub have revisions"):
        load_concepts(tmp_path / "store", revision="v1")
