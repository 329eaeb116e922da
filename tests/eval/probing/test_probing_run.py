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
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from conceptbench.benchmark.lexicon import lineages, load_lexicon
from conceptbench.benchmark.schema import slug
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.build import build
from conceptbench.builders.clustering import ward_tree
from conceptbench.cli import app
from conceptbench.eval.compare import compare_results
from conceptbench.eval.probing import TASK
from conceptbench.eval.probing.gold import specify_gold
from conceptbench.eval.probing.gold_tokens import GoldTokens, open_gold_corpus, read_gold
from conceptbench.eval.probing.labels import spearman
from conceptbench.eval.probing.null import null_tree, permuted
from conceptbench.eval.probing.predictions import ProbeSpec
from conceptbench.eval.probing.probe_scores import layer_profiles
from conceptbench.eval.probing.records import RECORDS, gold_of_lowest_layer, rows
from conceptbench.eval.probing.scoring import score
from conceptbench.eval.result import Result, read_result
from conceptbench.eval.run import evaluate, open_run
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
    path.write_text("".join(f"{text}\n" for concept in concepts for text in concept.sentences), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def whole(built: Path, one_layer_minilm: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A run on all layers, over the lexicon's own sentences, with the study."""
    out = tmp_path_factory.mktemp("run") / "whole"
    return out, evaluate("probing", store=built, model=one_layer_minilm, out=out, study="k")


@pytest.fixture
def run(built: Path, one_layer_minilm: str, few: str, tmp_path: Path) -> Callable[..., Result]:
    """Run the task on the last layer over few sentences."""

    def run(**options: Any) -> Result:
        defaults = {"store": built, "model": one_layer_minilm, "corpus": few, "layers": "1", "out": tmp_path / "run"}
        return evaluate("probing", **{**defaults, **options})

    return run


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    """A store that a test may change."""
    shutil.copytree(built, tmp_path / "store")
    return tmp_path / "store"


def change(store: Path, layer: int, vectors: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """Replace a layer's vectors by what a function makes of them and of the numbers of their concepts."""
    opened = ConceptStore.open(store)
    concepts = opened.concepts(MODEL, layer)["concept"].to_pylist()
    index = np.array([concepts.index(name) for name in opened.occurrences(MODEL, layer)["concept"].to_pylist()])
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
    kinds = {concept.kind for concept in load_lexicon().values()}
    assert sum(metrics[f"auroc/{kind}"].n for kind in kinds) == metrics["auroc"].n


def test_metrics_are_those_of_the_records(whole: tuple[Path, Result]) -> None:
    out, result = whole
    run = open_run(out)
    assert dict(run.metrics) == dict(result.metrics)
    run.check_metrics()
    records = run.records.to_pandas()
    at = records[(records.kind == "gold") & (records.split == "test") & (records.layer == result.provenance["layer"])]
    by_concept = dict(list(at.groupby("concept", observed=True)))
    values = run.item_scores.values
    assert set(values) == {"auroc", "accuracy", "accuracy_hard"}
    areas = {name: roc_auc_score(tokens.positive, tokens.logit) for name, tokens in by_concept.items()}
    assert values["auroc"] == pytest.approx(areas)
    assert np.mean(list(areas.values())) == pytest.approx(result.metrics["auroc"].value)
    correct = {name: ((tokens.logit > 0) == tokens.positive).mean() for name, tokens in by_concept.items()}
    assert values["accuracy"] == pytest.approx(correct)
    for name, tokens in by_concept.items():
        positives, near = tokens[tokens.positive], tokens[tokens.hard]
        expected = ((positives.logit > 0).mean() + (near.logit <= 0).mean()) / 2
        assert values["accuracy_hard"][name] == pytest.approx(expected)
    assert dict(run.item_scores.groups) == {name: name for name in by_concept}


def test_changed_records_change_the_metrics(whole: tuple[Path, Result]) -> None:
    out, result = whole
    table = open_run(out).records
    turned = table.set_column(
        table.schema.get_field_index("logit"), "logit", pa.array(-table["logit"].to_numpy(), pa.float32())
    )
    metrics = {str(key): metric for key, metric in score(turned, result.provenance).metrics.items()}
    layer = f"auroc/L{result.provenance['layer']:02d}"
    assert metrics[layer].value == pytest.approx(1 - result.metrics[layer].value)


def test_records_of_other_types_are_refused(whole: tuple[Path, Result]) -> None:
    records = open_run(whole[0]).records
    assert records.schema == RECORDS == TASK.schema()
    number = records.schema.get_field_index("logit")
    with pytest.raises(InputError, match="records"):
        rows(records.set_column(number, "logit", pa.array(["high"] * len(records))))
    with pytest.raises(InputError, match="records, logit: .* rows have no value"):
        rows(records.set_column(number, "logit", pa.array([None] * len(records), pa.float32())))


def test_a_board_tells_datasets_apart_by_gold_tokens_alone(whole: tuple[Path, Result]) -> None:
    records = open_run(whole[0]).records
    gold = gold_of_lowest_layer(records).to_pandas()
    assert set(gold.kind) == {"gold"}
    assert set(gold.layer) == {0}
    other_layer = records.to_pandas().query("kind == 'gold' and layer == 1")
    for name in TASK.board.items:
        assert gold[name].astype(str).tolist() == other_layer[name].astype(str).tolist()


def test_no_word_type_is_on_both_sides_and_negatives_are_no_kin(gold: GoldTokens) -> None:
    lexicon = load_lexicon()
    lines = lineages(lexicon)
    outcomes = specify_gold(gold, lexicon, list(lexicon), 0)
    specs = {name: spec for name, spec in outcomes.items() if isinstance(spec, ProbeSpec)}
    assert len(specs) > 350
    shared = []
    for name, spec in specs.items():
        words = np.array([word.casefold() for word in gold.words[spec.rows]])
        assert not set(words[spec.in_test]) & set(words[~spec.in_test])
        listed = {word.casefold() for word in lexicon[name].words}
        assert set(words[spec.targets]) <= listed
        of_line = {word.casefold() for relative in lines[name] for word in lexicon[relative].words}
        assert not set(words[~spec.targets]) & of_line
        assert len(set(spec.rows.tolist())) == len(spec.rows)
        kind = lexicon[name].kind
        same_kind = {word for concept in lexicon.values() if concept.kind == kind for word in concept.words}
        for side in (True, False):
            at = spec.in_test == side
            assert len(set(words[spec.targets & at])) >= 2
            assert (spec.targets & at).sum() >= (~spec.targets & at).sum() > 0
            beside = set(gold.sentences[spec.rows[spec.targets & at]].tolist())
            for row in spec.rows[spec.hard & at]:
                word = gold.words[row]
                assert int(gold.sentences[row]) in beside or word in same_kind or word.casefold() in same_kind
            shared.append(np.isin(gold.sentences[spec.rows[spec.hard & at]], list(beside)).mean())
    # A sentence alone tells little: most hard negatives are in one with a positive.
    assert np.mean(shared) > 0.6
    reasons = {outcome for outcome in outcomes.values() if isinstance(outcome, str)}
    assert reasons <= {"too few word types", "one sentence"}


def test_the_probe_of_a_concept_is_the_same_whichever_others_are_drawn(gold: GoldTokens) -> None:
    lexicon = load_lexicon()
    specs = specify_gold(gold, lexicon, list(lexicon), 0)
    for name in CHOSEN:
        (alone,) = specify_gold(gold, lexicon, [name], 0).values()
        together = specs[name]
        assert isinstance(alone, ProbeSpec)
        assert isinstance(together, ProbeSpec)
        assert alone.rows.tolist() == together.rows.tolist()


def test_words_are_looked_up_in_their_own_spelling_first(tmp_path: Path) -> None:
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
    records = open_run(out).records.to_pandas()
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
    run = open_run(out)
    for k in (4, 8, 32):
        clusters = [probe.concept for probe in run.scores.probes if probe.k == k and probe.kind == "null"]
        assert 0 < len(clusters) == len(set(clusters)) <= 2 * k
    correlation = metrics.get("label_correlation")
    assert ("label_correlation" in result.provenance["undefined"]) == (correlation is None)
    if correlation is not None:
        assert -1 <= correlation.low <= correlation.value <= correlation.high <= 1


def test_a_concept_has_a_profile_over_the_layers(whole: tuple[Path, Result]) -> None:
    out, result = whole
    run = open_run(out)
    profiles = layer_profiles(run.scores.probes)
    assert all(set(profile) == {0, 1} for profile in profiles.values())
    test = [name for name, concept in load_lexicon().items() if name in profiles and concept.split == "test"]
    assert np.mean([profiles[name][0] for name in test]) == pytest.approx(result.metrics["auroc/L00"].value)
    assert 0 < len(run.profiles) < len(profiles)
    for name, by_layer in run.profiles.items():
        assert by_layer == {"L00": profiles[name][0], "L01": profiles[name][1]}


def test_examples_are_of_the_best_and_of_the_worst_probes(whole: tuple[Path, Result]) -> None:
    run = open_run(whole[0])
    areas = run.item_scores.values["auroc"]
    good, bad = ([example for example in run.examples if example.good is is_good] for is_good in (True, False))
    assert len(good) == len(bad) == 12
    assert min(areas[example.item] for example in good) >= max(areas[example.item] for example in bad)
    assert all(example.expected.endswith(f"(AUROC {areas[example.item]:.2f})") for example in run.examples)
    assert all("taken for it: " in example.answer for example in run.examples)


def test_a_report_shows_layers_kinds_and_concepts(whole: tuple[Path, Result], tmp_path: Path) -> None:
    from conceptbench.eval.report.write import report

    out, result = whole
    page, text = report([out], out=tmp_path, recompute=True)
    assert 'class="heat" style="--heat: ' in page.read_text()
    rows_of_kinds = text.read_text().split("### By layer and kind")[1].splitlines()
    semantic = next(row for row in rows_of_kinds if row.startswith("| semantic"))
    cells = [cell.strip() for cell in semantic.strip("|").split("|")]
    for cell, layer in zip(cells[1:], (0, 1), strict=True):
        assert cell.startswith(f"{result.metrics[f'auroc/L{layer:02d}:semantic'].value:.2f} ")
    assert "taken for it: " in page.read_text()
    by_concept = text.read_text().split("### By layer and concept")[1].split("###")[0]
    profiles = layer_profiles(open_run(out).scores.probes)
    table_rows = [row.strip("| ").split(" | ") for row in by_concept.splitlines() if row.startswith("|") and "/" in row]
    assert table_rows
    for concept, *cells in table_rows:
        assert [float(cell) for cell in cells] == pytest.approx([profiles[concept][n] for n in (0, 1)], abs=0.006)
    assert "Study: k" in page.read_text()


def test_two_layers_compare_on_the_same_concepts(run: Callable[..., Result], tmp_path: Path) -> None:
    results = [run(layers=str(layer), out=tmp_path / str(layer)) for layer in (0, 1)]
    assert results[0].provenance["dataset_sha256"] == results[1].provenance["dataset_sha256"]
    comparison = compare_results(tmp_path / "0", tmp_path / "1")
    assert comparison.main == "auroc"
    assert comparison.differences["auroc"].n == results[0].metrics["auroc"].n
    assert comparison.differences["auroc"].value == pytest.approx(
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
    # The tree of the first run is read: another one gives other clusters.
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
    totals = {name: sum(by_reason.values()) for name, by_reason in counts.items()}
    assert totals == {"gold": 16, "store": 8, "null": 8}


@pytest.mark.parametrize(
    ("options", "message"),
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
def test_wrong_options_are_refused(run: Callable[..., Result], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("-", "[-]")):
        run(**options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zzyzx qwxyz blorft\n", "none is in the gold lexicon"),
        ("cats dogs horses cows sheep goats pigs hens .\n", "no gold concept of the split test can be probed"),
    ],
)
def test_a_corpus_without_gold_concepts_is_refused(
    run: Callable[..., Result], tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
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
    command = ["eval", "probing", "--store", str(built), "--model", one_layer_minilm, "--corpus", few, "--layers", "0"]
    printed = CliRunner().invoke(app, [*command, "--limit", "12", "--out", str(tmp_path / "run")])
    assert printed.exit_code == 0, printed.output
    assert "auroc" in printed.output
    assert "gold: " in printed.output
    assert "too few word types" in printed.output
    as_json = CliRunner().invoke(app, [*command, "--limit", "12", "--out", str(tmp_path / "run"), "--json"])
    assert json.loads(as_json.stdout)["provenance"]["skipped"]["gold"]["probed"] > 0
    wrong = CliRunner().invoke(app, [*command, "--l1-ratio", "2"])
    assert isinstance(wrong.exception, InputError)


def test_the_provenance_has_every_option_and_no_path(run: Callable[..., Result], built: Path, few: str) -> None:
    result = run(limit=8, c=0.5)
    recorded = {name: result.provenance[name] for name in ("seed", "limit", "study", "c", "l1_ratio", "text_column")}
    assert recorded == {"seed": 0, "limit": 8, "study": None, "c": 0.5, "l1_ratio": 0.0, "text_column": None}
    assert result.provenance["probes"] == {"c": 0.5, "l1_ratio": 0.0}
    assert result.provenance["model"] == result.provenance["store"]["model"] == MODEL
    assert result.provenance["corpus"] == Path(few).name == result.provenance["gold"]["corpus"]
    assert result.provenance["layers"] == [1]
    assert result.provenance["encoder"] is None
    assert str(built.parent) not in json.dumps(result.to_json())
    assert str(Path(few).parent) not in json.dumps(result.to_json())


def test_correlations_of_ranks_are_those_of_scipy() -> None:
    generator = np.random.default_rng(0)
    first = generator.integers(9, size=60).astype(float)
    second = first + generator.normal(size=60) * 3
    metric = spearman(first, second, seed=0)
    assert metric is not None
    assert metric.value == pytest.approx(spearmanr(first, second).statistic)
    assert 0 < metric.low < metric.value < metric.high < 1
    assert metric.n == 60
    assert spearman(first[:9], second[:9], seed=0) is None
    assert spearman(np.ones(60), second, seed=0) is None


def test_the_tree_of_permuted_vectors_is_that_of_ward(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    np.save(path, np.random.default_rng(0).normal(size=(700, 12)).astype(np.float32))
    vectors = np.load(path, mmap_mode="r")
    tree = null_tree(vectors, tmp_path / "null.npy", 0, 3, None, Silent())
    direct = ward_tree(permuted(vectors, 0, 3))
    assert np.allclose(tree.linkage[:, 2], direct.linkage[:, 2], rtol=1e-4)
    assert np.array_equal(tree.linkage[:, 3], direct.linkage[:, 3])
    assert np.array_equal(tree.linkage, null_tree(vectors, tmp_path / "null.npy", 0, 3, None, Silent()).linkage)
