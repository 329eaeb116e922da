"""The probing task: gold concepts in a second corpus, a store's concepts, their null, and what the records give."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from conceptbench.benchmark.lexicon import lineages, load_lexicon
from conceptbench.benchmark.schema import slug
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.build import build
from conceptbench.builders.clustering import ward_tree
from conceptbench.cli import app
from conceptbench.eval.compare import compare_results
from conceptbench.eval.probing.collect import evaluate_probing, item_scores, recompute
from conceptbench.eval.probing.gold import GoldTokens, draw_gold, open_gold_corpus, read_gold
from conceptbench.eval.probing.null import null_tree, permuted
from conceptbench.eval.probing.predictions import Draw
from conceptbench.eval.probing.records import read_records
from conceptbench.eval.probing.scoring import layer_profiles, probes_of
from conceptbench.eval.report.write import report
from conceptbench.eval.result import Result, read_result
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Silent

K = 16
MODEL = "one-layer-minilm"
SLUG = slug(MODEL)
# Of the lexicon's test and dev concepts alike: enough words and sentences for a probe, quickly encoded.
CHOSEN = ("semantic/animals", "semantic/food", "semantic/music", "entity/months", "function/prepositions")


@pytest.fixture(scope="module")
def built(one_layer_minilm: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of some real news, of both layers of a small encoder, named by the baseline."""
    from gensim.test.utils import datapath

    folder = tmp_path_factory.mktemp("probing")
    with open(datapath("lee_background.cor"), encoding="utf-8") as file:
        texts = [text.strip() + " ." for line in file for text in line.split(".") if len(text.split()) > 3]
    (folder / "news.txt").write_text("\n".join(texts[:300]) + "\n", encoding="utf-8")
    build(
        corpus=str(folder / "news.txt"),
        model=one_layer_minilm,
        layers="all",
        k=K,
        min_count=3,
        annotator="lexical",
        out=folder / "store",
    )
    return folder / "store"


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A second corpus: the sentences of every fourth gold concept."""
    path = tmp_path_factory.mktemp("corpus") / "few.txt"
    concepts = list(load_lexicon().values())[::4]
    path.write_text("".join(f"{text}\n" for one in concepts for text in one.sentences), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def whole(built: Path, one_layer_minilm: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A run on all layers, over the lexicon's own sentences, with the study."""
    out = tmp_path_factory.mktemp("run") / "whole"
    return out, evaluate_probing(store=built, model=one_layer_minilm, out=out, study="k")


@pytest.fixture
def run(built: Path, one_layer_minilm: str, few: str, tmp_path: Path) -> Callable[..., Result]:
    """Run the task on the last layer over few sentences."""

    def run(**options: Any) -> Result:
        defaults = {"store": built, "model": one_layer_minilm, "corpus": few, "layers": "1", "out": tmp_path / "run"}
        return evaluate_probing(**{**defaults, **options})

    return run


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    """A store that a test may change."""
    shutil.copytree(built, tmp_path / "store")
    return tmp_path / "store"


def change(store: Path, layer: int, vectors: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """Replace a layer's vectors by what a function makes of them and of the numbers of their concepts."""
    opened = ConceptStore.open(store)
    own = opened.concepts(MODEL, layer)["concept"].to_pylist()
    index = np.array([own.index(name) for name in opened.occurrences(MODEL, layer)["concept"].to_pylist()])
    file = store / "vectors" / SLUG / f"L{layer:02d}.npy"
    np.save(file, vectors(np.load(file), index).astype(np.float32))


def edit_manifest(store: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    edit(manifest)
    (store / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def gold(tmp_path_factory: pytest.TempPathFactory) -> GoldTokens:
    folder = tmp_path_factory.mktemp("gold")
    lexicon = load_lexicon()
    return read_gold(open_gold_corpus(None, None, lexicon, folder), lexicon, set(), folder, 0, Silent())


def test_the_headline_is_of_test_concepts_at_the_layer_that_dev_concepts_chose(whole: tuple[Path, Result]) -> None:
    _, result = whole
    metrics, layer = result.metrics, result.provenance["layer"]
    best = max((0, 1), key=lambda at: metrics[f"auroc_dev/L{at:02d}"].value)
    assert layer == best
    assert (
        result.system == f"{MODEL}@{result.provenance['store']['revision'].removeprefix('sha256:')[:12]}/L{layer:02d}"
    )
    for name in ("auroc", "accuracy", "accuracy_hard"):
        assert metrics[name] == metrics[f"{name}/L{layer:02d}"]
        assert metrics[name].low <= metrics[name].value <= metrics[name].high
    assert metrics["auroc"].value > 0.75
    assert metrics["auroc/semantic"] == metrics[f"auroc/L{layer:02d}:semantic"]
    kinds = {one.kind for one in load_lexicon().values()}
    assert sum(metrics[f"auroc/{kind}"].n for kind in kinds) == metrics["auroc"].n


def test_metrics_are_those_of_the_records(whole: tuple[Path, Result]) -> None:
    out, result = whole
    assert dict(recompute(out, result)) == dict(result.metrics)
    records = read_records(out).to_pandas()
    at = records[(records.kind == "gold") & (records.split == "test") & (records.layer == result.provenance["layer"])]
    theirs = {name: roc_auc_score(own.positive, own.logit) for name, own in at.groupby("concept", observed=True)}
    scores = item_scores(out, result)
    assert scores.values["auroc"] == pytest.approx(theirs)
    assert np.mean(list(theirs.values())) == pytest.approx(result.metrics["auroc"].value)
    right = {name: ((own.logit > 0) == own.positive).mean() for name, own in at.groupby("concept", observed=True)}
    assert scores.values["accuracy"] == pytest.approx(right)
    for name, own in at.groupby("concept", observed=True):
        positives, near = own[own.positive], own[own.hard]
        wanted = ((positives.logit > 0).mean() + (near.logit <= 0).mean()) / 2
        assert scores.values["accuracy_hard"][name] == pytest.approx(wanted)


def test_changed_records_change_the_metrics(whole: tuple[Path, Result], tmp_path: Path) -> None:
    out, result = whole
    table = read_records(out)
    turned = table.set_column(
        table.schema.get_field_index("logit"), "logit", pa.array(-table["logit"].to_numpy(), pa.float32())
    )
    pq.write_table(turned, tmp_path / "records.parquet")
    layer = f"auroc/L{result.provenance['layer']:02d}"
    assert recompute(tmp_path, result)[layer].value == pytest.approx(1 - result.metrics[layer].value)


def test_no_word_type_is_on_both_sides_and_negatives_are_no_kin(gold: GoldTokens) -> None:
    lexicon = load_lexicon()
    lines = lineages(lexicon)
    drawn = draw_gold(gold, lexicon, list(lexicon), 0)
    draws = {name: draw for name, draw in drawn.items() if isinstance(draw, Draw)}
    assert len(draws) > 350
    shared = []
    for name, draw in draws.items():
        words = np.array([word.casefold() for word in gold.words[draw.rows]])
        assert not set(words[draw.in_test]) & set(words[~draw.in_test])
        listed = {word.casefold() for word in lexicon[name].words}
        assert set(words[draw.targets]) <= listed
        of_kin = {word.casefold() for kin in lines[name] for word in lexicon[kin].words}
        assert not set(words[~draw.targets]) & of_kin
        assert len(set(draw.rows.tolist())) == len(draw.rows)
        for side in (True, False):
            assert len(set(words[draw.targets & (draw.in_test == side)])) >= 2
            assert (draw.targets & (draw.in_test == side)).sum() >= (~draw.targets & (draw.in_test == side)).sum() > 0
        same_kind = {w for one in lexicon.values() if one.kind == lexicon[name].kind for w in one.words}
        for side in (True, False):
            at = draw.in_test == side
            beside = set(gold.sentences[draw.rows[draw.targets & at]].tolist())
            for row in draw.rows[draw.hard & at]:
                word = gold.words[row]
                assert int(gold.sentences[row]) in beside or word in same_kind or word.casefold() in same_kind
            shared.append(np.isin(gold.sentences[draw.rows[draw.hard & at]], list(beside)).mean())
    # A sentence alone tells little: most hard negatives stand in one with a positive.
    assert np.mean(shared) > 0.6
    assert {reason for reason in drawn.values() if isinstance(reason, str)} <= {"too few word types", "one sentence"}


def test_the_draw_of_a_concept_hangs_on_no_other(gold: GoldTokens) -> None:
    lexicon = load_lexicon()
    every = draw_gold(gold, lexicon, list(lexicon), 0)
    for name in CHOSEN:
        (one,) = draw_gold(gold, lexicon, [name], 0).values()
        other = every[name]
        assert isinstance(one, Draw)
        assert isinstance(other, Draw)
        assert one.rows.tolist() == other.rows.tolist()


def test_words_are_looked_up_as_they_stand_first(tmp_path: Path) -> None:
    lexicon = load_lexicon()
    text = tmp_path / "text.txt"
    text.write_text("In May she may see Cats and cats in TURKEY .\nTurkey ate turkey in may .\n", encoding="utf-8")
    tokens = read_gold(open_gold_corpus(str(text), None, lexicon, tmp_path), lexicon, set(), tmp_path, 0, Silent())

    def words(name: str) -> set[str]:
        return set(tokens.words[tokens.rows[name]])

    assert words("entity/months") == {"May"}
    assert words("function/modal-verbs") == {"may"}
    assert words("entity/countries") == {"Turkey"}
    # Only what the lexicon writes in lower case is found case folded.
    assert words("semantic/birds") == {"turkey", "TURKEY"}


def test_the_null_is_below_the_store(whole: tuple[Path, Result]) -> None:
    _, result = whole
    metrics = result.metrics
    assert metrics["store_gain"].low > 0
    assert metrics["store_auroc_gain"].low > 0
    assert metrics["store_gain"].value == pytest.approx(
        metrics["store_accuracy"].value - metrics["null_accuracy"].value
    )
    # Clusters can be told apart by construction.
    assert metrics["null_auroc"].low > 0.6
    assert metrics["store_accuracy"].n == 2 * K - sum(
        count for reason, count in result.provenance["skipped"]["store"].items() if reason != "probed"
    )


def test_selectivity_is_less_than_accuracy(whole: tuple[Path, Result]) -> None:
    out, result = whole
    metrics = result.metrics
    difference = metrics["token_accuracy"].value - metrics["control_accuracy"].value
    assert metrics["selectivity"].value == pytest.approx(difference)
    assert metrics["selectivity"].value < metrics["token_accuracy"].value
    records = read_records(out).to_pandas()
    token, control = (records[(records.kind == kind) & (records.layer == 0)] for kind in ("token", "control"))
    assert token.word.tolist() == control.word.tolist()
    labels = control.assign(type=control.word.astype(str).str.casefold())
    # One control label a word type.
    assert (labels.groupby(["concept", "type"], observed=True).positive.nunique() == 1).all()


def test_the_study_cuts_both_trees_at_several_k(whole: tuple[Path, Result]) -> None:
    out, result = whole
    metrics = result.metrics
    for name in ("store_auroc", "null_auroc", "store_gain"):
        assert metrics[f"{name}/k={K}"] == metrics[name]
        assert {key for key in metrics if key.startswith(f"{name}/k=")} == {f"{name}/k={k}" for k in (4, 8, 16, 32)}
    probes = probes_of(read_records(out))
    for k in (4, 8, 32):
        found = [one.concept for one in probes if one.k == k and one.kind == "null"]
        assert 0 < len(found) == len(set(found)) <= 2 * k
    correlation = metrics.get("label_correlation")
    assert ("label_correlation" in result.provenance["undefined"]) == (correlation is None)
    if correlation is not None:
        assert -1 <= correlation.low <= correlation.value <= correlation.high <= 1


def test_a_concept_has_a_profile_over_the_layers(whole: tuple[Path, Result]) -> None:
    out, result = whole
    profiles = layer_profiles(probes_of(read_records(out)))
    assert all(set(profile) == {0, 1} for profile in profiles.values())
    own = [profiles[name][0] for name, one in load_lexicon().items() if name in profiles and one.split == "test"]
    assert np.mean(own) == pytest.approx(result.metrics["auroc/L00"].value)


def test_reports_and_examples(whole: tuple[Path, Result], tmp_path: Path) -> None:
    out, result = whole
    page, text = report([out], out=tmp_path, recompute=True)
    assert 'class="heat" style="--heat: ' in page.read_text()
    rows = text.read_text().split("### By layer and kind")[1].splitlines()
    cells = [cell.strip() for cell in next(row for row in rows if row.startswith("| semantic")).strip("|").split("|")]
    for cell, layer in zip(cells[1:], (0, 1), strict=True):
        assert cell.startswith(f"{result.metrics[f'auroc/L{layer:02d}:semantic'].value:.2f} ")
    assert "taken for it: " in page.read_text()
    by_concept = text.read_text().split("### By layer and concept")[1].split("###")[0]
    profiles = layer_profiles(probes_of(read_records(out)))
    shown = [row.strip("| ").split(" | ") for row in by_concept.splitlines() if row.startswith("|") and "/" in row]
    assert shown
    for concept, *cells in shown:
        assert [float(cell) for cell in cells] == pytest.approx([profiles[concept][n] for n in (0, 1)], abs=0.006)
    assert "Study: k" in page.read_text()


def test_two_layers_compare_on_the_same_concepts(run: Callable[..., Result], tmp_path: Path) -> None:
    results = [run(layers=str(layer), out=tmp_path / str(layer)) for layer in (0, 1)]
    assert results[0].provenance["dataset_sha256"] == results[1].provenance["dataset_sha256"]
    found = compare_results(tmp_path / "0", tmp_path / "1")
    assert found.main == "auroc"
    assert found.differences["auroc"].n == results[0].metrics["auroc"].n
    assert found.differences["auroc"].value == pytest.approx(
        results[0].metrics["auroc"].value - results[1].metrics["auroc"].value
    )


def test_a_run_again_gives_the_same_records_and_clusters_nothing_twice(
    run: Callable[..., Result], built: Path, tmp_path: Path
) -> None:
    first = run()
    (tree,) = (tmp_path / "run" / "null").glob("*.npy")
    written = tree.stat().st_mtime_ns
    assert run().records_sha256 == first.records_sha256 == read_result(tmp_path / "run").records_sha256
    assert tree.stat().st_mtime_ns == written
    # The kept tree is what is read: another one gives other clusters.
    np.save(tree, ConceptStore.open(built).linkage(MODEL, 0))
    assert run().metrics["null_auroc"] != first.metrics["null_auroc"]
    assert not list((tmp_path / "run").glob("journal-gold*"))


def test_planted_concepts_are_found_and_noise_is_not(run: Callable[..., Result], copied: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)

    def planted(vectors: np.ndarray, index: np.ndarray) -> np.ndarray:
        return 0.3 * generator.normal(size=vectors.shape) + 4 * np.eye(vectors.shape[1])[index]

    change(copied, 0, planted)
    change(copied, 1, lambda vectors, _: generator.normal(size=vectors.shape))
    metrics = run(store=copied, layers="0,1").metrics
    assert metrics["store_accuracy/L00"].value > 0.97
    assert metrics["store_auroc/L01"].value == pytest.approx(0.5, abs=0.08)
    assert metrics["store_auroc_gain/L01"].high < 0


def test_concepts_without_a_probe_are_counted_by_reason(run: Callable[..., Result], copied: Path) -> None:
    path = copied / "occurrences" / SLUG / "L01.parquet"
    table = pq.read_table(path)
    concepts = np.array(table["concept"].to_pylist())
    words = np.array(table["word"].to_pylist(), dtype=object)
    names = ConceptStore.open(copied).concepts(MODEL, 1)["concept"].to_pylist()
    words[concepts == names[0]] = "same"
    sentences = table["sentence"].to_numpy().copy()
    large = [name for name in names if len(set(words[concepts == name])) >= 4]
    sentences[concepts == large[0]] = 0
    table = table.set_column(1, "word", pa.array(words.tolist())).set_column(2, "sentence", pa.array(sentences))
    pq.write_table(table, path)
    result = run(store=copied)
    skipped = result.provenance["skipped"]["store"]
    assert skipped["one sentence"] == 1
    assert skipped["too few word types"] >= 1
    assert sum(skipped.values()) == K
    assert result.metrics["store_auroc"].n == skipped["probed"]


def test_a_store_in_one_sentence_leaves_the_gold_concepts(run: Callable[..., Result], copied: Path) -> None:
    path = copied / "occurrences" / SLUG / "L01.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(2, "sentence", pa.array(np.zeros(len(table), np.int64))), path)
    result = run(store=copied)
    assert "store_auroc" not in result.metrics
    assert "store_auroc" in result.provenance["undefined"]
    assert result.metrics["auroc"].n > 5


def test_sentences_of_the_store_are_left_out(built: Path, few: str, tmp_path: Path) -> None:
    lexicon = load_lexicon()
    clustered = set(ConceptStore.open(built).sentences()["text"].to_pylist())
    lines = (built.parent / "news.txt").read_text(encoding="utf-8").splitlines()[:50]
    both = tmp_path / "both.txt"
    both.write_text(Path(few).read_text(encoding="utf-8") + "\n".join(lines) + "\n", encoding="utf-8")
    mixed, pure = (
        read_gold(open_gold_corpus(source, None, lexicon, tmp_path), lexicon, clustered, tmp_path, 0, Silent())
        for source in (str(both), few)
    )
    assert mixed.left_out == len(set(lines))
    assert mixed.sentences_read == pure.sentences_read + mixed.left_out
    # The store's sentences come last, and none of their tokens is taken.
    assert mixed.sentences.max() < pure.sentences_read


def test_a_limit_draws_concepts(run: Callable[..., Result]) -> None:
    counts = run(limit=8).provenance["skipped"]
    assert {name: sum(own.values()) for name, own in counts.items()} == {"gold": 16, "store": 8, "null": 8}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": "7"}, "7"),
        ({"layers": "0-1,x"}, "layers"),
        ({"model": "minilm"}, "has one-layer-minilm"),
        ({"model": None}, "name its folder with --model"),
        ({"study": "layers"}, "--study layers"),
        ({"limit": 0}, "--limit 0"),
        ({"c": 0.0}, "--c 0"),
        ({"l1_ratio": 2.0}, "--l1-ratio 2"),
        ({"store": "nowhere"}, "conceptbench build"),
        ({"corpus": "nowhere.txt"}, "nowhere.txt"),
    ],
)
def test_wrong_options_are_refused(run: Callable[..., Result], options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said.replace("-", "[-]")):
        run(**options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("zzyzx qwxyz blorft\n", "none is in the gold lexicon"),
        ("cats dogs horses cows sheep goats pigs hens .\n", "no gold concept of the split test can be probed"),
    ],
)
def test_a_corpus_without_gold_concepts_is_refused(
    run: Callable[..., Result], tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        run(corpus=str(tmp_path / "text.txt"))


def test_the_stores_own_text_is_refused(run: Callable[..., Result], built: Path) -> None:
    with pytest.raises(InputError, match="sentences are the store's own"):
        run(corpus=str(built.parent / "news.txt"))


def test_damaged_stores_are_refused(run: Callable[..., Result], copied: Path, tmp_path: Path) -> None:
    def spoilt(vectors: np.ndarray, _: np.ndarray) -> np.ndarray:
        vectors[5, 3] = np.nan
        return vectors

    change(copied, 1, spoilt)
    with pytest.raises(InputError, match="layer 1 of one-layer-minilm: vector 5 holds NaN"):
        run(store=copied)
    edit_manifest(copied, lambda manifest: manifest["models"][MODEL].update(revision="sha256:other"))
    with pytest.raises(InputError, match="has other weights"):
        run(store=copied, layers="0")
    edit_manifest(copied, lambda manifest: manifest["models"].update({"second": manifest["models"][MODEL]}))
    with pytest.raises(InputError, match="name one of them"):
        run(store=copied, model=None)
    shutil.rmtree(copied / "vectors")
    with pytest.raises(InputError, match="conceptbench build"):
        run(store=copied, layers="0")


def test_vectors_that_are_all_the_same_are_counted(run: Callable[..., Result], copied: Path) -> None:
    change(copied, 1, lambda vectors, _: np.ones_like(vectors))
    result = run(store=copied)
    assert result.provenance["skipped"]["store"]["identical vectors"] > 0
    assert "store_auroc" in result.provenance["undefined"]


def test_the_command_says_what_was_skipped(built: Path, one_layer_minilm: str, few: str, tmp_path: Path) -> None:
    asked = ["eval", "probing", "--store", str(built), "--model", one_layer_minilm, "--corpus", few, "--layers", "0"]
    found = CliRunner().invoke(app, [*asked, "--limit", "12", "--out", str(tmp_path / "run")])
    assert found.exit_code == 0, found.output
    assert "auroc" in found.output
    assert "gold: " in found.output
    assert "too few word types" in found.output


def test_the_tree_of_permuted_vectors_is_that_of_ward(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    np.save(path, np.random.default_rng(0).normal(size=(700, 12)).astype(np.float32))
    vectors = np.load(path, mmap_mode="r")
    tree = null_tree(vectors, tmp_path / "null.npy", 0, 3, None, Silent())
    other = ward_tree(permuted(vectors, 0, 3))
    assert np.allclose(tree.linkage[:, 2], other.linkage[:, 2], rtol=1e-4)
    assert np.array_equal(tree.linkage[:, 3], other.linkage[:, 3])
    assert np.array_equal(tree.linkage, null_tree(vectors, tmp_path / "null.npy", 0, 3, None, Silent()).linkage)
