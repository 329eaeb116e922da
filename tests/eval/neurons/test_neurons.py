"""The neurons task from a store to its page: real vectors, planted ones, shuffled ones, and what is refused."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from conceptbench.benchmark.layers import read_layer
from conceptbench.benchmark.schema import CONCEPTS, OCCURRENCES, SENTENCES, STORE_SCHEMA, TREES
from conceptbench.benchmark.store import ConceptStore, write_table
from conceptbench.builders.build import build
from conceptbench.builders.clustering import ward_tree
from conceptbench.eval.compare import compare_results
from conceptbench.eval.methods.probes.probes import probe
from conceptbench.eval.neurons.p_values import pooled_p_values
from conceptbench.eval.neurons.records import AblationRow, ConceptRow, PairRow, Record, rows, table
from conceptbench.eval.neurons.scoring import score
from conceptbench.eval.result import Result, read_result
from conceptbench.eval.run import evaluate, open_run
from conceptbench.runtime.errors import InputError

FAMILIES, SIZE, EACH, WIDTH = 20, 4, 12, 80
COUNT = FAMILIES * SIZE


def letters(number: int) -> str:
    """A word for a number, of letters alone."""
    return "".join(chr(97 + int(digit)) for digit in str(number))


def write_store(
    folder: Path,
    vectors: np.ndarray,
    k: int,
    names: np.ndarray,
    *,
    labels: Callable[[str], str | None] = lambda name: name,
    words: np.ndarray | None = None,
    sentences: np.ndarray | None = None,
) -> Path:
    """Write a store of one layer: the tree of the vectors (tokens, width), cut into k; `names` (tokens,) label it."""
    tree = ward_tree(vectors)
    concept = tree.cut(k)
    tokens = len(vectors)
    spellings = np.array([f"{name} {i % 6}" for i, name in enumerate(names)]) if words is None else words
    sentence_of = np.random.default_rng(0).integers(80, size=tokens) if sentences is None else sentences
    ids = [f"toy/L00/C{number:04d}" for number in range(k)]
    tokens_of = [np.flatnonzero(concept == number) for number in range(k)]
    write_table(
        folder / "concepts" / "toy" / "L00.parquet",
        CONCEPTS,
        {
            "concept": ids,
            "model": ["toy"] * k,
            "layer": [0] * k,
            "cluster": range(k),
            "size": [len(members) for members in tokens_of],
            "words": [[{"word": word, "count": 1} for word in spellings[members]] for members in tokens_of],
            "label": [labels(max(set(names[members]), key=names[members].tolist().count)) for members in tokens_of],
            "cohesion": [0.0] * k,
        },
    )
    write_table(
        folder / "occurrences" / "toy" / "L00.parquet",
        OCCURRENCES,
        {
            "concept": [ids[number] for number in concept],
            "word": spellings.tolist(),
            "sentence": sentence_of.tolist(),
            "position": [0] * tokens,
        },
    )
    write_table(folder / "trees" / "toy" / "L00.parquet", TREES, dict(zip(TREES.names, tree.linkage.T, strict=True)))
    write_table(folder / "sentences.parquet", SENTENCES, {"sentence": range(80), "text": ["a"] * 80})
    (folder / "vectors" / "toy").mkdir(parents=True, exist_ok=True)
    np.save(folder / "vectors" / "toy" / "L00.npy", vectors.astype(np.float32))
    manifest = {"schema": STORE_SCHEMA, "models": {"toy": {"layers_available": 1, "k": k}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors whose concepts move neurons of their family and some others; the name `family concept` of each."""
    generator = np.random.default_rng(seed)
    concept = np.repeat(np.arange(COUNT), EACH)
    vectors = generator.normal(size=(len(concept), WIDTH)) * 0.5
    for family in range(FAMILIES):
        neurons = generator.choice(WIDTH, 8, replace=False)
        vectors[np.ix_(concept // SIZE == family, neurons)] += 3.0 * generator.choice([-1, 1], 8)
    for number in range(COUNT):
        neurons = generator.choice(WIDTH, 8, replace=False)
        vectors[np.ix_(concept == number, neurons)] += 1.5 * generator.choice([-1, 1], 8)
    return vectors, np.array([f"q{letters(number // SIZE)} z{letters(number)}" for number in concept])


def kin(name: str) -> str:
    """The family's name alone: concepts of a family have one label."""
    return name.partition(" ")[0]


@pytest.fixture(scope="module")
def planted_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vectors, names = planted()
    vectors[:, 5] = 7.0
    return write_store(tmp_path_factory.mktemp("planted") / "store", vectors, COUNT, names, labels=kin)


@pytest.fixture(scope="module")
def planted_run(planted_store: Path) -> tuple[Path, Result]:
    out = planted_store.parent / "result"
    return out, evaluate("neurons", store=planted_store, out=out, pairs=["tree", "labels"], ablated=25)


def pair_rows(out: Path) -> list[PairRow]:
    return [row for row in open_run(out).rows if isinstance(row, PairRow)]


@pytest.fixture(scope="module")
def real_store(tmp_path_factory: pytest.TempPathFactory, one_layer_minilm: str) -> Path:
    """A store of both layers of MiniLM's first layer, of real sentences."""
    from gensim.test.utils import datapath

    folder = tmp_path_factory.mktemp("real")
    with open(datapath("lee_background.cor"), encoding="utf-8") as file:
        texts = [text.strip() + "." for line in file for text in line.split(".") if len(text.split()) > 3]
    (folder / "news.txt").write_text("\n".join(texts[:300]), encoding="utf-8")
    build(
        corpus=str(folder / "news.txt"),
        model=one_layer_minilm,
        layers="all",
        k=40,
        min_count=3,
        max_count=10,
        out=folder / "store",
    )
    return folder / "store"


@pytest.fixture(scope="module")
def real_run(real_store: Path) -> tuple[Path, Result]:
    out = real_store.parent / "result"
    return out, evaluate("neurons", store=real_store, out=out, controls=30, ablated=15, study="k", ks=[20, 40])


# Real vectors


def test_a_real_store_from_end_to_end(real_run: tuple[Path, Result], real_store: Path) -> None:
    out, result = real_run
    assert result == read_result(out)
    assert result.provenance["constant_neurons"] == {}
    for name in ("alignment", "raw_alignment", "alignment_null", "stability_overlap", "probe_auroc", "ablation_mean"):
        metric = result.metrics[name]
        assert metric.low <= metric.value <= metric.high <= 1.0
        parts = [result.metrics[f"{name}/L{layer:02d}"] for layer in (0, 1)]
        assert metric.n == sum(part.n for part in parts)
        assert metric.value == pytest.approx(sum(part.value * part.n for part in parts) / metric.n)
    assert result.metrics["probe_auroc"].low > 0.7
    assert result.metrics["stability_overlap"].low > 0.5
    assert result.metrics["alignment"] == result.metrics["alignment/tree"]
    assert {"alignment/lexicon", "raw_alignment/top=0.5", "accuracy_random/keep=0.1"} <= result.metrics.keys()
    assert result.metrics["alignment/top=0.5"].value > result.metrics["alignment/top=0.1"].value
    store = ConceptStore.open(real_store)
    concepts = {row.concept: row for row in open_run(out).rows if isinstance(row, ConceptRow)}
    for layer in (0, 1):
        stored = store.concepts(store.models[0], layer).to_pylist()
        assert all(concepts[row["concept"]].size == row["size"] for row in stored)


def with_full_raw_alignment(row: Record) -> Record:
    """The row as if every pair shared all top neurons, without z-scoring."""
    if isinstance(row, PairRow) and row.scaling == "raw":
        return replace(row, alignment=(1.0,) * len(row.alignment))
    return row


def test_every_metric_comes_from_the_records(real_run: tuple[Path, Result]) -> None:
    out, result = real_run
    run = open_run(out)
    run.check_metrics()
    changed_rows = [with_full_raw_alignment(row) for row in run.rows]
    changed = score(rows(table(changed_rows)), result.provenance).metrics
    by_name = {str(key): metric for key, metric in changed.items()}
    assert by_name["raw_alignment"].value == 1.0
    assert by_name["raw_alignment_significant"].value > result.metrics["raw_alignment_significant"].value
    assert by_name["alignment"] == result.metrics["alignment"]


def test_the_same_run_gives_the_same_records(real_store: Path, tmp_path: Path) -> None:
    first, again, reseeded = (
        evaluate("neurons", store=real_store, out=tmp_path, layers="1", controls=30, limit=5, seed=seed)
        for seed in (0, 0, 1)
    )
    assert again.records_sha256 == first.records_sha256
    assert again.metrics == first.metrics
    assert reseeded.metrics["alignment"].n == reseeded.metrics["ablation_zero"].n == 5
    assert reseeded.records_sha256 != first.records_sha256


def test_the_study_cuts_the_tree_again(real_run: tuple[Path, Result]) -> None:
    out, result = real_run
    assert result.provenance["ks"] == [20, 40]
    assert result.metrics["alignment/k=40"] == result.metrics["alignment"]
    pairs = pair_rows(out)
    half = [row for row in pairs if row.condition == "k=20" and row.scaling == "zscored"]
    assert {row.layer for row in half} == {0, 1}
    assert result.metrics["alignment/k=20"].n == len(half) <= 40


def test_the_whole_probe_is_that_of_the_probing_task(real_run: tuple[Path, Result], real_store: Path) -> None:
    store = ConceptStore.open(real_store)
    layer = read_layer(store, store.models[0], 1)
    names = np.array(layer.concepts, dtype=object)[layer.index]
    ablations = [row for row in open_run(real_run[0]).rows if isinstance(row, AblationRow) and row.layer == 1]
    whole = {row.concept: row.auroc[0] for row in ablations if row.mode == "zero" and row.order == "top"}
    assert len(whole) == 15
    probes = probe(np.asarray(layer.vectors), names, layer.words, sentences=layer.sentences, only=list(whole))
    assert whole == pytest.approx({name: probes[name].auroc.value for name in whole}, abs=1e-6)


def test_the_page_draws_curves(real_run: tuple[Path, Result], tmp_path: Path) -> None:
    from conceptbench.eval.report.write import report

    html, markdown = (path.read_text() for path in report([real_run[0]], out=tmp_path, recompute=True))
    # Two lines in each of four plots of alignment, three in each of three of accuracy.
    assert html.count("<polyline") == html.count("<polygon") == 2 * 4 + 3 * 3
    lines = [
        [tuple(map(float, point.split(","))) for point in line.split(" ")]
        for line in re.findall(r'<polyline points="([^"]+)"', html)
    ]
    for line in lines:
        assert [x for x, _ in line] == sorted(x for x, _ in line)
        assert all(48 <= x <= 466 and 12 <= y <= 236 for x, y in line)
    value = real_run[1].metrics["alignment/top=0.2"].value
    assert f"alignment at 0.2: {value:.3f}" in html
    assert "ranked by" not in html
    assert "## Neurons" in markdown
    assert "shares" in markdown
    assert "top neurons:" in markdown


# Planted vectors


def test_planted_kinship_is_found_and_its_neurons_are_needed(planted_run: tuple[Path, Result]) -> None:
    metrics = planted_run[1].metrics
    for source in ("tree", "labels"):
        for prefix in ("", "raw_"):
            assert metrics[f"{prefix}alignment/{source}"].value > 0.7
            assert metrics[f"{prefix}alignment_gain/{source}"].low > 0.4
            assert metrics[f"{prefix}alignment_significant/{source}"].value > 0.9
    for ranking in ("probeless", "probeless_raw", "weights", "average_precision"):
        assert metrics[f"ablation_mean/{ranking}"].low > 0.05
    assert metrics["accuracy_top/mean=0.2"].high < metrics["accuracy_random/mean=0.2"].low
    assert metrics["stability_overlap"].low > 0.5


def test_constant_neurons_are_counted_and_never_shared(planted_run: tuple[Path, Result]) -> None:
    out, result = planted_run
    assert result.provenance["constant_neurons"] == {"L00": 1}
    shared = [row.neurons for row in pair_rows(out)]
    assert shared
    assert not any(5 in neurons for neurons in shared)


def test_shuffled_labels_are_not_found(tmp_path: Path) -> None:
    vectors, names = planted()
    shuffled = iter(np.random.default_rng(3).permutation(np.repeat(np.arange(FAMILIES), SIZE)).tolist())
    store = write_store(tmp_path / "store", vectors, COUNT, names, labels=lambda _: f"q{letters(next(shuffled))}")
    metrics = evaluate("neurons", store=store, out=tmp_path / "out", pairs=["labels"], ablated=1).metrics
    assert metrics["alignment"].n > 70
    for prefix in ("", "raw_"):
        assert abs(metrics[f"{prefix}alignment_gain"].value) < 0.05
        assert metrics[f"{prefix}alignment_significant"].value <= 0.05
        assert metrics[f"{prefix}alignment_above"].value <= 0.15


def test_corrected_p_values_are_those_of_the_definition(real_run: tuple[Path, Result]) -> None:
    run = open_run(real_run[0])
    pairs = {
        number: row
        for number, row in enumerate(run.rows)
        if isinstance(row, PairRow) and (row.source, row.scaling, row.k) == ("tree", "zscored", 40)
    }
    pool = []
    deviations = []
    for row in pairs.values():
        for i, control in enumerate(row.controls):
            rest = row.controls[:i] + row.controls[i + 1 :]
            pool.append((control - np.mean(rest)) / np.std(rest, ddof=1))
        at = row.fractions.index(0.1)
        assert row.null[at] == pytest.approx(np.mean(row.controls))
        above = sum(control >= row.alignment[at] for control in row.controls)
        assert row.p == pytest.approx((1 + above) / (1 + len(row.controls)))
        deviations.append((row.alignment[at] - np.mean(row.controls)) / np.std(row.controls, ddof=1))
    p = [(1 + sum(control >= value - 1e-9 for control in pool)) / (1 + len(pool)) for value in deviations]
    expected = false_discovery_control(p)
    assert [run.scores.corrected[number] for number in pairs] == pytest.approx(expected)


def test_pooled_p_values_are_uniform_for_values_like_their_controls() -> None:
    generator = np.random.default_rng(0)
    location, scale = generator.normal(size=(2, 1500, 1))
    values = location + np.exp(scale) * generator.normal(size=(1500, 41))
    p = pooled_p_values(values[:, 0].tolist(), values[:, 1:].tolist())
    for level in (0.01, 0.05, 0.2, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=4 * np.sqrt(level / 1500))
    assert pooled_p_values([9.0, 9.0], [[0.0, 1.0, 2.0, 1.5], [0.0, 1.0]]).tolist() == [1 / 5, 1.0]


def test_runs_are_compared_pair_by_pair(planted_run: tuple[Path, Result], planted_store: Path, tmp_path: Path) -> None:
    out, result = planted_run
    items = open_run(out).item_scores
    pairs = items.values["alignment"]
    assert np.mean(list(pairs.values())) == pytest.approx(result.metrics["alignment"].value)
    assert len(pairs) == result.metrics["alignment"].n
    assert {item for by_item in items.values.values() for item in by_item} <= items.groups.keys()
    wide = evaluate("neurons", store=planted_store, out=tmp_path, pairs=["tree", "labels"], ablated=25, fraction=0.5)
    comparison = compare_results(out, tmp_path)
    assert comparison.main is None
    difference = result.metrics["alignment_gain"].value - wide.metrics["alignment_gain"].value
    assert comparison.differences["alignment_gain"].value == pytest.approx(difference)


def test_examples_show_pairs_and_concepts(planted_run: tuple[Path, Result]) -> None:
    examples = open_run(planted_run[0]).examples
    good = [example for example in examples if example.good]
    assert len(good) == 12
    assert all("shares 0." in example.answer or "shares 1." in example.answer for example in good)
    assert sum(example.good is None and "top neurons" in example.answer for example in examples) == 12
    assert examples == open_run(planted_run[0]).examples


def test_the_method_chooses_the_ablations_headline(planted_store: Path, tmp_path: Path) -> None:
    result = evaluate("neurons", store=planted_store, out=tmp_path, pairs=["labels"], method="weights", ablated=10)
    assert result.metrics["ablation_keep"] == result.metrics["ablation_keep/weights"]
    assert result.metrics["ablation_keep"] != result.metrics["ablation_keep/probeless"]
    open_run(tmp_path).check_metrics()


# What is left out, and what is refused


def test_what_a_store_lacks_is_reported(tmp_path: Path) -> None:
    vectors, names = planted()
    words = np.array(["alike"] * len(names))
    store = write_store(tmp_path / "store", vectors, COUNT, names, labels=lambda _: None, words=words)
    result = evaluate("neurons", store=store, out=tmp_path / "out", pairs=["labels", "lexicon", "tree"])
    assert "no labels" in result.provenance["undefined"]["alignment"]
    assert "no labels" in result.provenance["skipped"]["labels pairs"]["L00"]
    assert "no two gold concepts" in result.provenance["skipped"]["lexicon pairs"]["L00"]
    assert result.provenance["skipped"]["ablation"]["L00"] == {"too few word types": COUNT}
    assert f"too few word types ({COUNT})" in result.provenance["undefined"]["ablation_mean"]
    assert not any(name.startswith(("ablation", "probe")) for name in result.metrics)
    assert result.metrics["alignment/tree"].n == COUNT
    open_run(tmp_path / "out").check_metrics()


def test_the_page_says_why_metrics_are_absent(tmp_path: Path) -> None:
    from conceptbench.eval.report.write import report

    vectors, names = planted()
    store = write_store(tmp_path / "store", vectors, COUNT, names, labels=lambda _: None)
    evaluate("neurons", store=store, out=tmp_path / "out", pairs=["labels"], ablated=1)
    (page, _) = report([tmp_path / "out"], out=tmp_path, recompute=True)
    assert "add them with" in page.read_text()


def test_too_few_concepts_leave_no_pairs(tmp_path: Path) -> None:
    vectors, names = planted()
    one_sentence = np.zeros(len(names), dtype=int)
    store = write_store(tmp_path / "store", vectors, 2, names, labels=lambda _: None, sentences=one_sentence)
    result = evaluate("neurons", store=store, out=tmp_path / "out", pairs=["tree"], study="k", ks=[3, 10**6])
    assert "more concepts (K = 2)" in result.provenance["undefined"]["alignment"]
    assert "one sentence" in result.provenance["undefined"]["stability_overlap"]
    assert "2 to 960" in result.provenance["skipped"]["study k=1000000"]["L00"]
    assert not any(name.startswith(("alignment", "stability_overlap")) for name in result.metrics)


def test_pairs_of_the_study_are_not_those_of_the_store(tmp_path: Path) -> None:
    vectors, names = planted()
    store = write_store(tmp_path / "store", vectors, 2, names, labels=lambda _: None)
    result = evaluate("neurons", store=store, out=tmp_path / "out", pairs=["tree"], study="k", ks=[2, COUNT], ablated=1)
    assert result.provenance["ks"] == [2, COUNT]
    assert result.metrics[f"alignment/k={COUNT}"].n > 0
    assert "alignment" not in result.metrics
    assert "more concepts (K = 2)" in result.provenance["undefined"]["alignment"]


def test_few_controls_give_no_share_of_significant_pairs(planted_store: Path, tmp_path: Path) -> None:
    result = evaluate("neurons", store=planted_store, out=tmp_path, pairs=["tree"], controls=10, ablated=1)
    assert "No pair has 19 controls" in result.provenance["undefined"]["alignment_significant"]
    assert "alignment_significant" not in result.metrics
    assert result.metrics["alignment_gain"].low > 0.4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "gradient"}, "--method gradient: give one of probeless"),
        ({"pairs": ["tree", "words"]}, "--pairs tree,words: give some of tree"),
        ({"pairs": []}, "--pairs"),
        ({"pairs": ["tree", "tree"]}, "--pairs tree,tree: give each source once"),
        ({"fraction": 0.0}, "--fraction 0.0: give above 0, at most 1"),
        ({"fraction": float("nan")}, "--fraction nan"),
        ({"controls": 0}, "--controls 0: give at least 1"),
        ({"ablated": 0}, "--ablated 0: give at least 1"),
        ({"limit": 0}, "--limit 0: give at least 1"),
        ({"study": "prompt"}, "--study prompt: give one of k"),
        ({"ks": [3]}, "--ks: the numbers of concepts are for --study k"),
        ({"study": "k", "ks": [1]}, "--ks 1: "),
        ({"study": "k", "ks": []}, "--ks"),
        ({"layers": "3"}, "layer 3 does not exist"),
        ({"model": "bert"}, "--model bert"),
    ],
)
def test_wrong_options_are_named(planted_store: Path, tmp_path: Path, options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        evaluate("neurons", store=planted_store, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def changed(store: Path, folder: Path, change: Callable[[np.ndarray], np.ndarray | None]) -> Path:
    """A copy of the store with other vectors, or none."""
    shutil.copytree(store, folder / "store")
    path = folder / "store" / "vectors" / "toy" / "L00.npy"
    vectors = change(np.load(path))
    if vectors is None:
        path.unlink()
    else:
        np.save(path, vectors)
    return folder / "store"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: None, "vectors are kept only where a store was built"),
        (lambda vectors: np.where(np.arange(960)[:, None] == 7, np.nan, vectors), "layer 0 of toy: the vectors: row 7"),
        (lambda vectors: np.where(np.arange(960)[:, None] == 7, np.inf, vectors), "row 7 holds"),
        (np.ones_like, "all neurons are the same"),
        (lambda vectors: vectors[:9], "9 vectors of 960 tokens"),
    ],
)
def test_vectors_that_cannot_be_used(
    planted_store: Path, tmp_path: Path, change: Callable[[np.ndarray], np.ndarray | None], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate("neurons", store=changed(planted_store, tmp_path, change), out=tmp_path / "out")


def test_one_concept_cannot_be_ranked(tmp_path: Path) -> None:
    vectors, names = planted()
    store = write_store(tmp_path / "store", vectors, 1, names)
    with pytest.raises(InputError, match="has one concept"):
        evaluate("neurons", store=store, out=tmp_path / "out")


def test_a_tree_of_other_concepts_is_refused(planted_store: Path, tmp_path: Path) -> None:
    shutil.copytree(planted_store, tmp_path / "store")
    linkage = ward_tree(np.random.default_rng(0).normal(size=(960, 3))).linkage
    columns = dict(zip(TREES.names, linkage.T, strict=True))
    write_table(tmp_path / "store" / "trees" / "toy" / "L00.parquet", TREES, columns)
    with pytest.raises(InputError, match="layer 0 of toy: The labels are not the cut of this tree"):
        evaluate("neurons", store=tmp_path / "store", out=tmp_path / "out")


def test_a_store_of_k_means_has_no_tree(planted_store: Path, tmp_path: Path) -> None:
    shutil.copytree(planted_store, tmp_path / "store")
    manifest = json.loads((planted_store / "manifest.json").read_text())
    manifest["models"]["toy"]["clustering"] = "kmeans"
    (tmp_path / "store" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="has no merge tree; build a store with --clustering ward"):
        evaluate("neurons", store=tmp_path / "store", out=tmp_path / "out")


def test_the_command_prints_a_table_and_refuses_bad_input(planted_store: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "conceptbench", "eval", "neurons", "--store", str(planted_store)]
        return subprocess.run(
            [*command, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    done = run("--pairs", "tree", "--ablated", 5, "--limit", 20, "--study", "k", "--ks", "40,80")
    assert done.returncode == 0, done.stderr
    assert "alignment_gain" in done.stdout
    assert "k=40" in done.stdout
    assert read_result(tmp_path / "results" / "neurons-store").metrics["alignment"].n == 20
    wrong = run("--ks", "4,five", "--study", "k")
    assert wrong.returncode == 2
    assert "--ks 4,five: " in wrong.stderr
    assert "Traceback" not in wrong.stderr
