"""The quality task: clusters made of gold concepts' words, random ones, and a real store, counted again by hand."""

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score
from typer.testing import CliRunner

from conceptbench.benchmark.lexicon import GoldConcept, ancestors, load_lexicon
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.build import build
from conceptbench.builders.clustering import MergeTree
from conceptbench.cli import app
from conceptbench.eval.compare import compare_results
from conceptbench.eval.quality.clusterings import Clusters
from conceptbench.eval.quality.information import mean_information, mutual_information
from conceptbench.eval.quality.membership import membership
from conceptbench.eval.quality.overlap import overlap_records, shuffles
from conceptbench.eval.quality.records import CLUSTER, GOLD, Record, schema
from conceptbench.eval.quality.scoring import CURVE, score
from conceptbench.eval.result import Metric, MetricKey, Result
from conceptbench.eval.rows import table_of
from conceptbench.eval.run import evaluate, open_run
from conceptbench.runtime.errors import InputError

K = 40
FIELDS = ("semantic/fish", "semantic/weapons", "semantic/gemstones", "semantic/bones", "semantic/currencies")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, one_layer_minilm: str) -> ConceptStore:
    """A store of both layers of one-layer MiniLM on a part of the lexicon's sentences."""
    folder = tmp_path_factory.mktemp("quality")
    texts = [sentence for concept in load_lexicon().values() for sentence in concept.sentences][::4]
    (folder / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return build(
        corpus=str(folder / "texts.txt"),
        model=one_layer_minilm,
        layers="all",
        k=K,
        min_count=1,
        annotator="lexical",
        out=folder / "store",
    )


@pytest.fixture(scope="module")
def run(store: ConceptStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A run with every method and the study."""
    folder = tmp_path_factory.mktemp("run")
    methods = ("ward", "kmeans", "leaders")
    return folder, evaluate("quality", store=store.path, out=folder, methods=methods, study="k", threshold=0.8)


def gold_sets(word: str) -> set[str]:
    """Say which concepts have the word, by reading the lists: in its spelling, or in small letters."""
    concepts = set()
    for concept in load_lexicon().values():
        spellings = {word}
        if concept.kind != "orthography" and word[:1].isupper() and not any(c.isupper() for c in word[1:]):
            spellings.add(word.lower())
        if spellings.intersection(concept.words):
            concepts.add(concept.id)
    return concepts


def widened(concepts: set[str]) -> set[str]:
    lexicon = load_lexicon()
    return concepts | {wider.id for concept in concepts for wider in ancestors(lexicon[concept], lexicon)}


@dataclass(frozen=True)
class Measured:
    """The records of one clustering, its metrics by their keys in result files, and why some are absent."""

    records: list[Record]
    metrics: Mapping[str, Metric]
    undefined: Mapping[str, str]

    def of_role(self, role: str) -> list[Record]:
        return [record for record in self.records if record.role == role]


def measured(words: list[str], labels: np.ndarray, threshold: float = 0.95) -> Measured:
    """Score clusters that are given by their labels."""
    member = membership(words, load_lexicon())
    names = [f"c{cluster}" for cluster in range(int(labels.max()) + 1)]
    clusters = Clusters("ward", len(names), False, names, labels)
    orders = shuffles(member, 20, np.random.default_rng(0))
    records = overlap_records(words, clusters, member, orders, 0, True)
    scores = score(records, {"threshold": threshold, "seed": 0, "limit": None})
    return Measured(records, {str(key): metric for key, metric in scores.metrics.items()}, scores.undefined)


def planted(tokens_each: int = 3) -> tuple[list[str], np.ndarray]:
    """Take words that are in the list of one of five concepts alone, several tokens each; labels are the concepts."""
    lexicon = load_lexicon()
    lists = {field: [word for word in lexicon[field].words if gold_sets(word) == {field}] for field in FIELDS}
    words = [word for field in FIELDS for word in lists[field] for _ in range(tokens_each)]
    labels = [number for number, field in enumerate(FIELDS) for _ in range(tokens_each * len(lists[field]))]
    return words, np.array(labels)


def test_clusters_of_a_concepts_words_are_aligned_with_it() -> None:
    quality = measured(*planted())
    clusters = quality.of_role(CLUSTER)
    assert [(row.gold, row.share, row.share_known) for row in clusters] == [(field, 1.0, 1.0) for field in FIELDS]
    for name in ("alignment", "alignment_known", "purity", "ami"):
        assert quality.metrics[name].value == pytest.approx(1.0)
    assert quality.metrics["alignment_null"].value == 0.0
    assert quality.metrics["alignment_gain"].low > 0.0
    covered = {row.gold: row.share for row in quality.of_role(GOLD)}
    wider = widened(set(FIELDS)) - set(FIELDS)
    assert covered == dict.fromkeys([*FIELDS, *wider], 1.0)


def test_random_clusters_are_at_the_null() -> None:
    words, _ = planted()
    types = {word: number for number, word in enumerate(dict.fromkeys(words))}
    of_type = np.random.default_rng(1).integers(len(types) // 2, size=len(types))
    _, labels = np.unique([of_type[types[word]] for word in words], return_inverse=True)
    metrics = measured(words, labels).metrics
    gain = metrics["alignment_gain"]
    assert metrics["alignment"].value > 0.2  # many are of one word alone
    assert gain.low < 0.0 < gain.high
    assert metrics["purity"].value == pytest.approx(metrics["purity_null"].value, abs=0.05)
    information = metrics["ami"]
    assert information.low < 0.0 < information.high


def test_clusters_of_one_word_are_aligned_and_gain_nothing() -> None:
    words, _ = planted()
    _, labels = np.unique(words, return_inverse=True)
    quality = measured(words, labels)
    assert quality.metrics["alignment"].value == quality.metrics["alignment_null"].value == 1.0
    assert quality.metrics["alignment_gain"].value == 0.0
    assert "alignment_known" not in quality.metrics
    assert "3 word types" in quality.undefined["alignment_known"]


def test_words_that_the_lexicon_has_not_count_against_the_strict_share_alone() -> None:
    words, labels = planted(tokens_each=1)
    foreign = [f"zzyx{number}" for number in range(5)]
    first = int((labels == 0).sum())
    quality = measured(words + foreign, np.append(labels, [0] * len(foreign)))
    cluster = quality.records[0]
    assert cluster.share == pytest.approx(first / (first + 5))
    assert cluster.share_known == 1.0
    assert (cluster.tokens, cluster.known_tokens) == (first + 5, first)
    assert quality.metrics["alignment"].value == pytest.approx(0.8)
    assert quality.metrics["alignment_known"].value == 1.0


def test_a_share_of_just_the_threshold_is_enough() -> None:
    words, labels = planted(tokens_each=1)
    twenty = [*words[:19], words[int((labels == 0).sum())]]
    quality = measured(twenty, np.zeros(20, dtype=np.int64))
    assert quality.records[0].share == 0.95
    assert quality.metrics["alignment/at=0.95"].value == 1.0
    assert quality.metrics["alignment/at=1"].value == 0.0
    assert measured(twenty, np.zeros(20, dtype=np.int64), 0.951).metrics["alignment"].value == 0.0


def test_records_are_rows_of_their_schema() -> None:
    records = measured(*planted()).records
    table = table_of(records, Record)
    assert table.schema == schema()
    assert table["best"].to_pylist()[0][0]["gold"] == FIELDS[0]


def test_capitals_tell_words_apart() -> None:
    def concept(name: str, kind: str, words: tuple[str, ...], parent: str | None = None) -> GoldConcept:
        return GoldConcept(f"{kind}/{name}", name, (), name, kind, parent, words, (), "test")  # type: ignore[arg-type]

    gold = [
        concept("animals", "semantic", ("turkey",)),
        concept("birds", "semantic", ("turkey", "wren"), "semantic/animals"),
        concept("countries", "entity", ("Turkey",)),
        concept("pronouns", "function", ("us",)),
        concept("small", "orthography", ("turkey",)),
    ]
    words = ["turkey", "Turkey", "TURKEY", "Wren", "US", "Us"]
    units = membership(words, {concept.id: concept for concept in gold})
    dense = units.members.toarray()
    named = [
        {gold[column].name for column in np.flatnonzero(dense[unit])} if unit >= 0 else set() for unit in units.unit
    ]
    assert named == [
        {"animals", "birds", "small"},
        {"animals", "birds", "countries"},
        set(),
        {"animals", "birds"},
        set(),
        {"pronouns"},
    ]
    assert [units.words[unit] for unit in units.unit if unit >= 0] == ["turkey", "turkey", "wren", "us"]
    assert len(set(units.types.tolist())) == 3
    # The narrower of two lists that both have the word.
    assert [gold[column].name for column in units.narrowest[units.unit[0]]] == ["birds", "small"]


def test_alignment_coverage_and_purity_are_those_counted_by_hand(store: ConceptStore, run: tuple[Path, Result]) -> None:
    model = store.models[0]
    aligned, aligned_known, purity, covered = [], [], [], []
    for layer in store.layers(model):
        tokens = defaultdict(list)
        types = defaultdict(set)
        for row in store.occurrences(model, layer).to_pylist():
            tokens[row["concept"]].append((row["word"], widened(gold_sets(row["word"]))))
            for concept in tokens[row["concept"]][-1][1]:
                types[concept].add(row["word"].casefold())
        reached = set()
        for members in tokens.values():
            counts = Counter(concept for _, concepts in members for concept in concepts)
            most = max(counts.values(), default=0)
            purity.append(most / len(members))
            aligned.append(most / len(members) >= 0.8)
            reached |= {concept for concept, count in counts.items() if count / len(members) >= 0.8}
            known = [word.casefold() for word, concepts in members if concepts]
            if len(set(known)) >= 3:
                aligned_known.append(most / len(known) >= 0.8)
        covered += [concept in reached for concept, words_of_concept in types.items() if len(words_of_concept) >= 3]
    metrics = run[1].metrics
    assert 0 < sum(aligned) < len(aligned)
    for name, values in (
        ("alignment", aligned),
        ("alignment_known", aligned_known),
        ("purity", purity),
        ("coverage", covered),
    ):
        assert (metrics[name].value, metrics[name].n) == (pytest.approx(np.mean(values)), len(values)), name


def test_ami_is_scikit_learns_over_word_types(store: ConceptStore, run: tuple[Path, Result]) -> None:
    lexicon, model = load_lexicon(), store.models[0]
    words = store.occurrences(model, 1)["word"].to_pylist()
    concepts = store.occurrences(model, 1)["concept"].to_pylist()
    # Two spellings of a word type are one unit where the same lists have them.
    units: dict[tuple[str, tuple[str, ...]], Counter[str]] = {}
    for word, cluster in zip(words, concepts, strict=True):
        units.setdefault((word.casefold(), tuple(sorted(gold_sets(word)))), Counter())[cluster] += 1
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for (_, word_concepts), counts in units.items():
        wider = {above.id for concept in word_concepts for above in ancestors(lexicon[concept], lexicon)}
        home = max(sorted(counts), key=lambda cluster: counts[cluster])
        for kind in {lexicon[concept].kind for concept in word_concepts}:
            narrow = [name for name in word_concepts if lexicon[name].kind == kind and name not in wider]
            if len(narrow) == 1:
                pairs[kind].append((narrow[0], home))
    values = {name: metric.value for name, metric in run[1].metrics.items() if name.startswith("ami/L01:")}
    assert len(values) >= 4
    for name, value in values.items():
        of_kind = pairs[name.partition(":")[2]]
        expected = adjusted_mutual_info_score([gold for gold, _ in of_kind], [cluster for _, cluster in of_kind])
        assert value == pytest.approx(expected), name
    assert run[1].metrics["ami/L01"].value == pytest.approx(np.mean(list(values.values())))


def test_the_interval_of_ami_holds_the_truth_of_unrelated_labels_as_often_as_stated() -> None:
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        words = [f"{seed} {number}" for number in range(150)]
        clusters, gold = rng.integers(12, size=150).tolist(), [f"g{label}" for label in rng.integers(8, size=150)]
        values = mutual_information((words, clusters, gold))
        assert values is not None
        metric = mean_information([values], len(words))
        held += metric.low <= 0.0 <= metric.high
    assert held >= 51
    perfect = mutual_information((words, [int(label[1:]) for label in gold], gold))
    assert perfect is not None
    assert mean_information([perfect], 150).low == pytest.approx(1.0)
    assert mutual_information((words, clusters, ["g"] * 150)) is None
    assert mutual_information((words, list(range(150)), words)) is None
    assert mutual_information((words[:10], clusters[:10], gold[:10])) is None


def test_groups_are_of_layers_kinds_methods_and_cuts(store: ConceptStore, run: tuple[Path, Result]) -> None:
    folder, result = run
    metrics = result.metrics
    rows = [row for row in open_run(folder).rows if row.role == CLUSTER]
    assert metrics["alignment/ward"] == metrics["alignment"]
    assert metrics[f"alignment/k={K}"].value == pytest.approx(metrics["alignment"].value)
    assert {name.partition("/k=")[2] for name in metrics if name.startswith("alignment/k=")} == {
        "10",
        "20",
        "40",
        "80",
        "160",
    }
    assert metrics["alignment"].n == 2 * K == metrics["alignment/kmeans"].n
    assert metrics["alignment/L01"].n == K
    for kind in ("semantic", "function"):
        aligned = [
            max((concept.tokens for concept in row.best if concept.kind == kind), default=0) / row.tokens >= 0.8
            for row in rows
            if row.main and row.layer == 1
        ]
        assert metrics[f"alignment/L01:{kind}"].value == pytest.approx(np.mean(aligned))
    # The clusters are those of the methods themselves.
    model = store.models[0]
    tokens = store.occurrences(model, 1)["word"].to_pylist()
    cut = MergeTree(store.linkage(model, 1)).cut(10)
    sizes = [row.tokens for row in rows if (row.layer, row.method, row.k) == (1, "ward", 10)]
    assert sizes == np.bincount(cut).tolist()
    theirs = KMeans(n_clusters=K, random_state=0).fit_predict(np.asarray(store.vectors(model, 1), dtype=np.float64))
    ours = [row for row in rows if (row.layer, row.method) == (1, "kmeans")]
    assert sorted(row.tokens for row in ours) == sorted(np.bincount(theirs).tolist())
    assert sum(row.tokens for row in ours) == len(tokens)
    leaders = [row for row in rows if (row.layer, row.method) == (1, "leaders")]
    assert 0 < len(leaders) <= K
    counted = {
        (entry["layer"], entry["method"], entry["asked"]): entry["found"] for entry in result.provenance["clusters"]
    }
    assert counted[1, "leaders", K] == len(leaders)
    assert counted[1, "ward", 160] == 160


def test_the_curve_falls_and_meets_runs_at_its_thresholds(
    store: ConceptStore, run: tuple[Path, Result], tmp_path: Path
) -> None:
    at = [run[1].metrics[f"alignment/at={threshold:g}"].value for threshold in CURVE]
    assert at == sorted(at, reverse=True)
    assert at[0] > at[-1]
    assert run[1].metrics["alignment/at=0.8"] == run[1].metrics["alignment"]
    again = evaluate("quality", store=store.path, out=tmp_path, threshold=0.6)
    for name in ("alignment", "alignment_null", "coverage", "coverage_null"):
        assert again.metrics[name] == run[1].metrics[f"{name}/at=0.6"]
        assert again.metrics[f"{name}/at=0.8"] == run[1].metrics[name]


def test_metrics_are_computed_again_from_the_records(run: tuple[Path, Result]) -> None:
    folder, result = run
    opened = open_run(folder)
    assert opened.metrics == result.metrics
    opened.check_metrics()
    scores = opened.item_scores
    for name in ("alignment", "alignment_known", "alignment_gain", "purity", "coverage"):
        assert np.mean(list(scores.values[name].values())) == pytest.approx(result.metrics[name].value)
    assert set(scores.values["alignment"]) <= set(scores.groups)
    assert min(scores.values["alignment"]).endswith("/L00/C0000")
    assert opened.scores.metrics[MetricKey("alignment", f"k={K}")] == result.metrics[f"alignment/k={K}"]


def test_a_report_shows_layers_and_the_study(run: tuple[Path, Result], tmp_path: Path) -> None:
    from conceptbench.eval.report.write import report

    (html, markdown) = report([run[0]], out=tmp_path, recompute=True)
    assert "alignment" in html.read_text()
    assert "By layer" in markdown.read_text()
    assert "Study: k" in markdown.read_text()


def test_examples_are_on_their_side_of_the_threshold(run: tuple[Path, Result]) -> None:
    opened = open_run(run[0])
    share_of = {row.item: row.share for row in opened.rows if row.role == CLUSTER}
    assert {example.good for example in opened.examples} == {True, False}
    for example in opened.examples:
        assert (share_of[example.item] >= 0.8) is example.good
        assert share_of[example.item] >= 0.6
    assert opened.examples == open_run(run[0]).examples


def test_equal_runs_give_equal_bytes_and_compare_as_tied(store: ConceptStore, tmp_path: Path) -> None:
    first, second = (evaluate("quality", store=store.path, out=tmp_path / name, layers="1") for name in "ab")
    assert first.records_sha256 == second.records_sha256
    comparison = compare_results(tmp_path / "a", tmp_path / "b")
    assert comparison.main == "alignment"
    assert comparison.differences["alignment"].p == 1.0


def test_a_limit_leaves_out_what_needs_every_cluster(store: ConceptStore, tmp_path: Path) -> None:
    result = evaluate("quality", store=store.path, out=tmp_path, limit=7, study="k", methods=("kmeans", "ward"))
    assert result.metrics["alignment"].n == 7 == result.metrics["alignment/k=80"].n
    assert not {"coverage", "ami"} & set(result.metrics)
    assert "--limit" in result.provenance["undefined"]["coverage"]
    run = open_run(tmp_path)
    assert run.metrics == result.metrics
    assert run.item_scores.values["alignment"].keys() == {row.item for row in run.rows if row.main}


def copied(store: ConceptStore, folder: Path) -> Path:
    shutil.copytree(store.path, folder / "store")
    return folder / "store"


def test_vectors_are_needed_by_the_other_methods_alone(store: ConceptStore, tmp_path: Path) -> None:
    folder = copied(store, tmp_path)
    shutil.rmtree(folder / "vectors")
    assert evaluate("quality", store=folder, out=tmp_path / "ward").metrics["alignment"].n == 2 * K
    for method in ("kmeans", "leaders"):
        with pytest.raises(InputError, match="conceptbench build"):
            evaluate("quality", store=folder, out=tmp_path / method, methods=(method,))


def test_a_store_without_trees_is_scored_but_not_cut(store: ConceptStore, tmp_path: Path) -> None:
    folder = copied(store, tmp_path)
    shutil.rmtree(folder / "trees")
    with pytest.raises(InputError, match="--study k needs the layer's merge tree"):
        evaluate("quality", store=folder, out=tmp_path / "out", study="k")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["models"][store.models[0]]["clustering"] = "kmeans"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = evaluate("quality", store=folder, out=tmp_path / "out")
    assert result.system.startswith("kmeans:")
    with pytest.raises(InputError, match="clustered by kmeans and has no merge trees"):
        evaluate("quality", store=folder, out=tmp_path / "out", methods=("ward",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "--threshold 0.0"),
        ({"threshold": 1.01}, "--threshold 1.01"),
        ({"threshold": float("nan")}, "--threshold nan"),
        ({"methods": ("birch",)}, "--methods birch.*ward, kmeans, leaders"),
        ({"study": "seed"}, "--study seed"),
        ({"limit": 0}, "--limit 0"),
        ({"layers": "9"}, "layer 9 does not exist"),
        ({"model": "gpt2"}, "--model gpt2"),
        ({"store": "nowhere"}, "nowhere does not exist"),
    ],
)
def test_wrong_options_are_named(
    store: ConceptStore, tmp_path: Path, options: Mapping[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate("quality", **{"store": store.path, "out": tmp_path / "out", **options})
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_corpus_without_a_word_of_the_lexicon_is_refused(tmp_path: Path, one_layer_minilm: str) -> None:
    (tmp_path / "texts.txt").write_text("zzyx qqwe rrtu\nzzyx qqwe rrtu zzyx\nqqwe rrtu bbnm\n", encoding="utf-8")
    built = build(
        corpus=str(tmp_path / "texts.txt"),
        model=one_layer_minilm,
        layers="1",
        k=2,
        min_count=1,
        annotator="lexical",
        out=tmp_path / "store",
    )
    with pytest.raises(InputError, match="none of its 10 tokens is a word of the gold lexicon"):
        evaluate("quality", store=built.path, out=tmp_path / "out")


def test_the_command_prints_what_it_measured(store: ConceptStore, tmp_path: Path) -> None:
    arguments = ["eval", "quality", "--store", str(store.path), "--layers", "1", "--out", str(tmp_path / "out")]
    printed = CliRunner().invoke(app, [*arguments, "--study", "k"])
    assert printed.exit_code == 0, printed.output
    assert "alignment_null" in printed.output
    assert "k=20" in printed.output
    as_json = CliRunner().invoke(app, [*arguments, "--json", "--threshold", "0.9"])
    assert json.loads(as_json.stdout)["provenance"]["threshold"] == 0.9
    wrong = CliRunner().invoke(app, [*arguments, "--methods", "birch"])
    assert wrong.exit_code != 0
