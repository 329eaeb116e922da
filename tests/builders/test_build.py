"""The build: its store, its loading, its resuming, and what it refuses."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import sklearn.cluster
import sklearn.metrics

from conceptbench.benchmark.loading import load_concepts
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.build import build
from conceptbench.builders.clustering import MergeTree
from conceptbench.runtime.errors import ConceptBenchError, InputError

K = 25


def news(folder: Path, lines: int = 200, skip: int = 0) -> Path:
    """Write some real sentences, one a line."""
    from gensim.test.utils import datapath

    with open(datapath("lee_background.cor"), encoding="utf-8") as file:
        texts = [text.strip() + "." for line in file for text in line.split(".") if len(text.split()) > 3]
    path = folder / "news.txt"
    path.write_text("\n".join(texts[skip : skip + lines]) + "\n", encoding="utf-8")
    return path


def make(folder: Path, out: str | Path = "store", **options: Any) -> ConceptStore:
    source = folder / "news.txt"
    defaults = {"corpus": str(source if source.exists() else news(folder)), "model": "minilm", "layers": "0,4", "k": K}
    return build(**{**defaults, "min_count": 3, "max_count": 10, "out": folder / out} | options)


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the journal and the manifest, which hold times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("journal") and path.name != "manifest.json"
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> ConceptStore:
    """A small store of two layers, named by the baseline."""
    return make(tmp_path_factory.mktemp("built"))


@pytest.fixture
def copy(built: ConceptStore, tmp_path: Path) -> Path:
    """A folder with a copy of that store, to be changed."""
    shutil.copytree(built.path.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_the_tables_agree(built: ConceptStore) -> None:
    texts = built.sentences()["text"].to_pylist()
    for layer in built.layers("minilm"):
        concepts = built.concepts("minilm", layer).to_pylist()
        occurrences = built.occurrences("minilm", layer).to_pylist()
        assert [row["concept"] for row in concepts] == [f"minilm/L{layer:02d}/C{i:04d}" for i in range(K)]
        words = {row["concept"]: Counter() for row in concepts}
        for row in occurrences:
            assert texts[row["sentence"]].split(" ")[row["position"]] == row["word"]
            words[row["concept"]][row["word"]] += 1
        for row in concepts:
            assert {word["word"]: word["count"] for word in row["words"]} == words[row["concept"]]
            assert row["size"] == words[row["concept"]].total()
            assert [word["count"] for word in row["words"]] == sorted(words[row["concept"]].values(), reverse=True)
            assert row["label"]
        annotations = built.annotations("minilm", layer).to_pylist()
        assert [(row["concept"], row["label"]) for row in annotations] == [(r["concept"], r["label"]) for r in concepts]
        assert built.vectors("minilm", layer).shape == (len(occurrences), 384)


def test_concepts_are_sklearns_clusters_and_row_i_is_leaf_i(built: ConceptStore) -> None:
    for layer in built.layers("minilm"):
        vectors = built.vectors("minilm", layer)
        expected = sklearn.cluster.AgglomerativeClustering(K, linkage="ward").fit_predict(vectors)
        ours = built.occurrences("minilm", layer)["concept"].to_pylist()
        assert sklearn.metrics.adjusted_rand_score(expected, ours) == 1.0
        cut = MergeTree(built.linkage("minilm", layer)).cut(K)
        assert [f"minilm/L{layer:02d}/C{i:04d}" for i in cut] == ours


def test_cohesion_is_the_share_of_variance_that_a_cluster_lacks(built: ConceptStore) -> None:
    vectors = np.asarray(built.vectors("minilm", 4), dtype=np.float64)
    owner = np.array(built.occurrences("minilm", 4)["concept"].to_pylist())
    for row in built.concepts("minilm", 4).to_pylist():
        own = vectors[owner == row["concept"]]
        expected = 1 - own.var(axis=0).sum() / vectors.var(axis=0).sum()
        assert row["cohesion"] == pytest.approx(expected, abs=1e-6)


def test_no_file_holds_the_name_of_the_folder(tmp_path: Path) -> None:
    store = make(tmp_path, "xyzzy-plugh")
    for path in store.path.rglob("*"):
        assert path.is_dir() or b"xyzzy" not in path.read_bytes(), path
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes(), path


def test_both_ways_of_loading_give_the_same_rows(built: ConceptStore) -> None:
    ours = load_concepts(built.path)
    theirs = datasets.load_dataset(str(built.path), "concepts", split="train")
    streamed = list(load_concepts(built.path, streaming=True))
    theirs_streamed = datasets.load_dataset(str(built.path), "concepts", split="train", streaming=True)
    assert len(ours) == 2 * K
    assert ours.to_list() == theirs.to_list() == streamed == list(theirs_streamed)
    assert ours.features == theirs.features
    for config in ("occurrences", "trees", "annotations", "sentences"):
        assert len(datasets.load_dataset(str(built.path), config, split="train")) > 0
    assert set(load_concepts(built.path, model="minilm", layer=4)["layer"]) == {4}
    assert [row["layer"] for row in load_concepts(built.path, layer=4, streaming=True)] == [4] * K


def test_two_stores_of_one_name_and_a_rewritten_one_give_their_own_rows(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    news(tmp_path / "b", skip=500)
    one = make(tmp_path / "a", layers="0")
    other = make(tmp_path / "b", layers="0")
    assert one.path.name == other.path.name

    def rows(store: ConceptStore) -> list[Any]:
        loaded = load_concepts(store.path).to_list()
        plain = datasets.load_dataset(str(store.path), "concepts", split="train").to_list()
        streamed = list(load_concepts(store.path, streaming=True))
        assert loaded == plain == streamed == store.concepts("minilm", 0).to_pylist()
        return loaded

    first, second = rows(one), rows(other)
    assert first != second
    again = make(tmp_path / "a", layers="0", k=K + 5, recut=True)
    assert len(rows(again)) == K + 5
    assert rows(other) == second


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "bert"}, "no model 'bert'"),
        ({"layer": 9}, "has no layer 9"),
        ({"model": "minilm", "layer": 9}, "layer 9"),
    ],
)
def test_loading_what_is_not_there(built: ConceptStore, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_concepts(built.path, **options)


def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_concepts(tmp_path / "nowhere")


def test_the_same_command_again_changes_nothing(copy: Path) -> None:
    before = contents(copy / "store")
    make(copy)
    assert contents(copy / "store") == before


def test_layers_models_and_annotators_are_added(copy: Path) -> None:
    before = contents(copy / "store")
    store = make(copy, layers="6")
    assert store.layers("minilm") == [0, 4, 6]
    labels = copy / "people.csv"
    labels.write_text("concept,label\nminilm/L06/C0001,a name by people\n")
    store = make(copy, layers="6", annotator=f"file:{labels}")
    annotators = set(store.annotations("minilm", 6)["annotator"].to_pylist())
    assert annotators == {"lexical", "file:people.csv"}
    # The first annotator stays the one whose labels the concepts carry.
    assert "a name by people" not in store.concepts("minilm", 6)["label"].to_pylist()
    after = contents(copy / "store")
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"README.md"}


def test_another_k_cuts_the_same_trees(copy: Path) -> None:
    with pytest.raises(InputError, match="built with -k 25, not 40: give --recut"):
        make(copy, k=40)
    before = contents(copy / "store")
    store = make(copy, k=40, recut=True)
    assert store.concepts("minilm", 4).num_rows == 40
    assert len(store.manifest["files"]) == 9
    assert contents(copy / "store")["trees/minilm/L04.parquet"] == before["trees/minilm/L04.parquet"]
    make(copy, k=K, recut=True)
    assert contents(copy / "store") == before


def test_layers_that_are_added_have_the_vectors_of_a_build_of_all(copy: Path) -> None:
    (copy / "all").mkdir()
    shutil.copy(copy / "news.txt", copy / "all")
    whole = contents(make(copy / "all", layers="0,4,6").path)
    make(copy, layers="6")
    parts = contents(copy / "store")
    assert parts["vectors/minilm/L06.npy"] == whole["vectors/minilm/L06.npy"]
    assert parts == whole


def test_k_means_has_no_tree(tmp_path: Path) -> None:
    store = make(tmp_path, clustering="kmeans", layers="4")
    assert store.concepts("minilm", 4).num_rows == K
    assert not (store.path / "trees").exists()
    assert "config_name: trees" not in (store.path / "README.md").read_text()
    assert len(datasets.load_dataset(str(store.path), "concepts", split="train")) == K
    with pytest.raises(InputError, match="k-means does not make"):
        make(tmp_path, clustering="kmeans", layers="4", k=30, recut=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_count": 4}, "min-count 3, not 4"),
        ({"seed": 1}, "seed 0, not 1"),
        ({"pooling": "mean"}, "pooling 'last', not 'mean'"),
        ({"max_length": 100}, "max-length 512, not 100"),
        ({"corpus": "sample:news"}, "file 'news.txt', not 'sample:news'"),
    ],
)
def test_a_store_of_another_run_is_refused_and_kept(copy: Path, options: dict[str, Any], message: str) -> None:
    before = contents(copy / "store")
    with pytest.raises(InputError, match=message):
        make(copy, **options)
    assert contents(copy / "store") == before


def test_a_corpus_that_changed_is_refused(copy: Path) -> None:
    with (copy / "news.txt").open("a") as file:
        file.write("One more sentence .\n")
    with pytest.raises(InputError, match="its corpus has text"):
        make(copy)


def test_a_store_of_another_version_is_refused(copy: Path) -> None:
    path = copy / "store" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": "conceptbench.store/0"}))
    with pytest.raises(InputError, match="another version"):
        make(copy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 100_000}, r"-k 100000: .* from 1 to \d+"),
        ({"k": 0}, "-k 0"),
        ({"layers": "0,7"}, r"layer 7 does not exist; this model has layers 0 \(embeddings\) to 6"),
        ({"layers": "first"}, "--layers 'first'"),
        ({"model": "no/such-model"}, "no/such-model"),
        ({"min_count": 10_000}, "no word is seen 10000 times"),
        ({"annotator": "lexcal"}, "lexcal: there is no such annotator"),
        ({"annotator": "local:no/such-model"}, "no/such-model"),
        ({"prompt": "chatty"}, "chatty"),
        ({"unit": "letters"}, "--unit letters"),
        ({"clustering": "dbscan"}, "dbscan"),
        ({"pooling": "max"}, "max"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(tmp_path, **options)
    assert not (tmp_path / "store").exists()


def test_a_folder_with_other_things_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").write_text("work of years")
    with pytest.raises(InputError, match="holds 'thesis.tex' and is not a concept store"):
        make(tmp_path)
    assert contents(tmp_path / "store") == {"thesis.tex": b"work of years"}
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        make(tmp_path, "file")


def test_two_builds_in_one_folder_do_not_meet(tmp_path: Path) -> None:
    import filelock

    (tmp_path / "store").mkdir()
    with (
        filelock.FileLock(tmp_path / "store" / "journal.lock"),
        pytest.raises(ConceptBenchError, match="another build is at work"),
    ):
        make(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of two megabytes; skips where mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_says_so_and_the_build_goes_on_with_room(tmp_path: Path, small_disk: Path) -> None:
    news(tmp_path)
    with pytest.raises(ConceptBenchError, match="space|full") as caught:
        make(tmp_path, small_disk / "store")
    assert caught.value.exit_code == 1
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    make(tmp_path, small_disk / "store")
    make(tmp_path, "undisturbed")
    assert contents(small_disk / "store") == contents(tmp_path / "undisturbed")


def test_a_folder_that_is_read_only_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a read-only file system needs root")
    try:
        with pytest.raises(ConceptBenchError, match="cannot write .*Read-only"):
            make(tmp_path, folder / "store")
    finally:
        subprocess.run(["umount", folder], check=True)


def test_failed_requests_are_said_and_asked_again(tmp_path: Path, fault_server: Any, faults: Any) -> None:
    options = {
        "layers": "0",
        "annotator": "openai:m",
        "base_url": fault_server.base_url,
        "prompt": "zero-shot",
        "timeout": 5.0,
    }
    fault_server.default = faults.error(422, "busy with other things")
    with pytest.raises(ConceptBenchError, match="25 concepts could not be asked.*Run the same command again") as caught:
        make(tmp_path, **options)
    assert caught.value.exit_code == 1
    store = ConceptStore.open(tmp_path / "store")
    assert set(store.annotations("minilm", 0)["reason"].to_pylist()) == {"failed"}
    fault_server.default = faults.chat("a label")
    store = make(tmp_path, **options)
    assert store.concepts("minilm", 0)["label"].to_pylist() == ["a label"] * K
    asked = len(fault_server.bodies)
    make(tmp_path, **options)
    assert len(fault_server.bodies) == asked


def test_an_annotator_that_cannot_work_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no causal language model"):
        make(tmp_path, layers="0", annotator="local:minilm")
    store = make(tmp_path, layers="0")
    assert [entry["annotator"] for entry in store.manifest["annotators"]] == ["lexical"]
    assert store.concepts("minilm", 0)["label"].null_count == 0


def test_a_prompt_or_label_file_that_changed_is_refused(copy: Path) -> None:
    labels = copy / "people.csv"
    labels.write_text("concept,label\nminilm/L00/C0001,one\n")
    make(copy, annotator=f"file:{labels}")
    labels.write_text("concept,label\nminilm/L00/C0001,two\n")
    with pytest.raises(InputError, match="another version of its file"):
        make(copy, annotator=f"file:{labels}")


def test_usage_and_cost_are_counted(tmp_path: Path, fault_server: Any) -> None:
    store = make(
        tmp_path, layers="0", annotator="openai:m", base_url=fault_server.base_url, price=(1.0, 2.0), prompt="semantic"
    )
    usage = store.manifest["usage"]["openai:m"]
    assert (usage["calls"], usage["tokens_in"], usage["tokens_out"]) == (K, 11 * K, 3 * K)
    assert usage["cost"] == pytest.approx(K * (11 * 1.0 + 3 * 2.0) / 1e6)


@pytest.mark.slow
def test_a_store_named_by_a_served_model(tmp_path: Path, served_smollm2: Any, long: bool) -> None:
    store = make(
        tmp_path,
        layers="4",
        annotator=f"openai:{served_smollm2.model}",
        base_url=served_smollm2.base_url,
        concurrency=1,
        timeout=120.0,
        k=K if long else 9,
    )
    rows = store.concepts("minilm", 4).to_pylist()
    labels = [row["label"] for row in rows if row["label"]]
    assert len(labels) >= 0.8 * len(rows)
    assert len(set(labels)) > len(rows) / 3
    usage = next(iter(store.manifest["usage"].values()))
    assert usage["tokens_in"] > 20 * len(rows)


# Makes each build in a fork of a process that has imported all it needs, since imports take longer than a small build.
BUILDER = """
import json, os, signal, sys, time
from contextlib import contextmanager
import transformers.models.bert.modeling_bert
import transformers.models.llama.modeling_llama
from conceptbench.builders.build import build
from conceptbench.runtime.progress import Silent

class Killing(Silent):
    def __init__(self, stage):
        self.fatal = stage

    @contextmanager
    def stage(self, name, total):
        done = 0

        def advance(steps):
            nonlocal done
            done += steps
            if done > 0.6 * (total or 0) and name.startswith(self.fatal):
                os.kill(os.getpid(), signal.SIGKILL)

        yield advance

print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    stage, seconds, options = json.loads(line)
    child = os.fork()
    if child == 0:
        build(**options, progress=Killing(stage) if stage else None)
        os._exit(0)
    if seconds:
        # A child that has ended before keeps its number until it is waited for below.
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            time.sleep(0.02)
        os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Builder:
    """A process that makes builds with these options, one after the other, each in a process that can be killed."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._process = subprocess.Popen(
            [sys.executable, "-c", BUILDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()

    def run(self, out: Path, fatal_stage: str | None = None, fatal_seconds: float | None = None) -> int:
        """Build, and give the exit code; the build is killed when a stage is more than half done, or after a time."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([fatal_stage, fatal_seconds, {**self._options, "out": str(out)}]) + "\n")
        self._process.stdin.flush()
        return int(self._read())

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@pytest.fixture
def start_builder(tmp_path: Path, long: bool) -> Iterator[Callable[..., Builder]]:
    """Start a builder of stores over some real sentences; `annotator` is the first of two."""
    with ExitStack() as stack:

        def start(annotator: str, **options: Any) -> Builder:
            # More sentences than are encoded at a time.
            corpus = news(tmp_path, lines=1500 if long else 700)
            annotators = [annotator, "lexical"]
            builder = Builder(corpus=str(corpus), min_count=3, max_count=10, annotator=annotators, **options)
            stack.callback(builder.close)
            return builder

        yield start


def check_like_undisturbed(folder: Path, layers: int) -> None:
    """Check that the store that was killed is the one that was not, and has left nothing else."""
    assert contents(folder / "killed") == contents(folder / "whole")
    assert len(contents(folder / "whole")) == layers * 4 + 2 + 1 + layers + 1
    extra = {path.name for path in (folder / "killed").rglob("journal*")}
    assert extra == {"journal.sqlite"}


@pytest.mark.slow
def test_a_build_killed_in_every_stage_equals_an_undisturbed_one(
    tmp_path: Path, one_layer_minilm: str, short_smollm2: str, start_builder: Callable[..., Builder]
) -> None:
    # Two batches of questions a layer, the second of which is still to be asked at the kill.
    builder = start_builder(f"local:{short_smollm2}", model=one_layer_minilm, layers="0,1", k=20)
    assert builder.run(tmp_path / "whole") == 0
    for stage in (
        "Reading the corpus",
        "Reading words as the model does",
        "Computing word vectors",
        "Clustering layer 0",
        "Clustering layer 1",
        "Naming layer 0 with local",
        "Naming layer 1 with local",
        "Naming layer 1 with lexical",
    ):
        assert builder.run(tmp_path / "killed", stage) == -signal.SIGKILL, stage
    assert builder.run(tmp_path / "killed") == 0
    check_like_undisturbed(tmp_path, layers=2)


@pytest.mark.slow
def test_a_build_killed_at_random_equals_an_undisturbed_one(
    tmp_path: Path, one_layer_minilm: str, short_smollm2: str, start_builder: Callable[..., Builder], long: bool
) -> None:
    if long:
        builder = start_builder("local:smollm2", model="minilm", layers="0,3,6", k=30)
    else:
        builder = start_builder(f"local:{short_smollm2}", model=one_layer_minilm, layers="1", k=30)
    started = time.monotonic()
    assert builder.run(tmp_path / "whole") == 0
    lasted = time.monotonic() - started
    draw = random.Random(os.environ.get("CONCEPTBENCH_KILL_SEED", "5"))
    times = [draw.uniform(0.1, 0.9) * lasted for _ in range(5 if long else 1)]
    exit_codes = [builder.run(tmp_path / "killed", fatal_seconds=seconds) for seconds in times]
    assert -signal.SIGKILL in exit_codes
    assert builder.run(tmp_path / "killed") == 0
    check_like_undisturbed(tmp_path, layers=3 if long else 1)


def test_temporaries_of_a_killed_run_are_removed(copy: Path) -> None:
    store = copy / "store"
    (store / "concepts" / "minilm" / "journal-part-L04.parquet").write_bytes(b"half")
    (store / "concepts" / "minilm" / "L04.parquet").unlink()
    make(copy)
    assert not list(store.rglob("journal-part*"))
    assert pq.read_table(store / "concepts" / "minilm" / "L04.parquet")["label"].null_count == 0
