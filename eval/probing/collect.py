"""A run of the probing task: gold concepts in a second corpus, the store's concepts, their null, and control labels."""

from __future__ import annotations

import datetime
import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from conceptbench.benchmark.layers import Layer, chosen_layers, chosen_model, read_layer
from conceptbench.benchmark.lexicon import GoldConcept, Split, load_lexicon
from conceptbench.benchmark.schema import SENTENCES, TOKENS
from conceptbench.benchmark.store import ConceptStore, read_table
from conceptbench.builders.clustering import MergeTree
from conceptbench.eval.methods.probes.design import Problem, Tokens, draw_problem, type_hashes
from conceptbench.eval.probing.gold import draw_gold, encode_gold, gold_digest, open_gold_corpus, read_gold
from conceptbench.eval.probing.null import null_tree, permuted
from conceptbench.eval.probing.predictions import Draw, draws_of, predict
from conceptbench.eval.probing.records import read_records
from conceptbench.eval.probing.scoring import Scores, layer_name, score
from conceptbench.eval.result import (
    ItemScores,
    Metric,
    Result,
    open_folder,
    package_version,
    write_records,
    write_result,
)
from conceptbench.runtime.draws import generator_of, sample
from conceptbench.runtime.encoder import WordEncoder
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import MINILM, SMOLLM2
from conceptbench.runtime.progress import Progress, Silent
from conceptbench.runtime.similarity import Similarity, check_weights

TASK: Final = "probing"
TASK_VERSION: Final = "1.0"
STUDIES: Final = ("k",)
FACTORS: Final = (0.25, 0.5, 1.0, 2.0)
"""Of the store's K, the cuts of the study `k`."""

_ROWS = 2**16
_SHORT = 12


def evaluate_probing(
    *,
    store: str | Path,
    out: str | Path,
    layers: str = "all",
    model: str | None = None,
    corpus: str | None = None,
    text_column: str | None = None,
    study: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    c: float = 1.0,
    l1_ratio: float = 0.0,
    device: str | None = None,
    progress: Progress | None = None,
) -> Result:
    """Probe an encoder's layers for gold concepts, and for the concepts of a store.

    What each metric means is in docs/probing.md. Run again into the same folder, it clusters no permuted vectors twice.

    Parameters
    ----------
    store : the store's folder, with its vectors.
    out : folder for `result.json`, `records.parquet` and the trees of permuted vectors.
    layers : `all`, `0,3,6` or `2-5`.
    model : the store's model that is meant; its folder, where the store's name of it does not load.
    corpus, text_column : as in `build`, where gold concepts are looked for; by default the lexicon's own sentences.
    study : `k`, to cut the trees at other K too; or None.
    limit : concepts drawn by the seed: of each split of the lexicon, and of each layer of the store.
    seed : of splits, negatives, control labels, the permutation and the intervals.
    c, l1_ratio : of the probes, as in `probe`.
    device : torch's, by default a GPU if there is one.

    Raises
    ------
    InputError
        if an option, the store or the corpus is wrong, or the store's model cannot be loaded.
    """
    _check_options(study, limit, c, l1_ratio)
    progress = progress or Silent()
    opened = ConceptStore.open(store)
    named = _store_name(opened, model)
    run = _Run(
        store=opened,
        model=named,
        layers=chosen_layers(opened, named, layers),
        seed=seed,
        limit=limit,
        options={"c": c, "l1_ratio": l1_ratio, "device": device},
        progress=progress,
    )
    run.check()
    # Missing weights should show before anything is done.
    encoder = _open_encoder(opened, named, model or named, device)
    similarity = Similarity(_judge_of_labels(named), progress, device) if study is not None else None
    folder = open_folder(out)
    started = datetime.datetime.now(datetime.UTC)
    clock = time.perf_counter()
    gold, facts = run.gold(encoder, corpus, text_column, folder)
    tables = [gold, *run.clusters(folder, study)]
    digest = write_records(folder, pa.concat_tables(tables).unify_dictionaries())
    entry = opened.manifest["models"][named]
    scores = score(read_records(folder), k=entry["k"], study=study, similarity=similarity, seed=seed)
    layer = "" if scores.layer is None else f"/{layer_name(scores.layer)}"
    result = Result(
        task=TASK,
        task_version=TASK_VERSION,
        system=f"{named}@{str(entry['revision']).removeprefix('sha256:')[:_SHORT]}{layer}",
        metrics=scores.metrics,
        provenance={
            "conceptbench": package_version(),
            **facts,
            "seed": seed,
            "study": study,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "layer": scores.layer,
            "layers": run.layers,
            "k": entry["k"],
            "store": {
                "model": named,
                "revision": entry["revision"],
                "pooling": entry["pooling"],
                "corpus": opened.manifest["corpus"]["name"],
                "corpus_digest": opened.manifest["corpus"]["digest"],
            },
            "probes": {"c": c, "l1_ratio": l1_ratio},
            "limit": limit,
            "encoder": None
            if similarity is None
            else {"model": _judge_of_labels(named), "name": similarity.name, "digest": similarity.digest},
            "skipped": {name: dict(counts.most_common()) for name, counts in run.skipped.items()},
            "cost_usd": None,
            "tokens": {"in": 0, "out": 0},
            "undefined": scores.undefined,
        },
        records_sha256=digest,
    )
    write_result(folder, result)
    return result


def rescore(folder: Path, result: Result, progress: Progress | None = None, *, labels: bool = True) -> Scores:
    """Compute a run's scores again from its records; without `labels`, all but `label_correlation`.

    Raises
    ------
    InputError
        if the encoder that compares labels with words is not the one of the run.
    """
    provenance = result.provenance
    similarity = None
    if labels and provenance["encoder"] is not None:
        similarity = Similarity(provenance["encoder"]["model"], progress)
        check_weights(similarity, provenance["encoder"]["digest"])
    return score(
        read_records(folder),
        k=provenance["k"],
        study=provenance["study"],
        similarity=similarity,
        seed=provenance["seed"],
    )


def recompute(folder: Path, result: Result, progress: Progress | None = None) -> Mapping[str, Metric]:
    """Compute a run's metrics again from its records alone."""
    return rescore(folder, result, progress).metrics


def item_scores(folder: Path, result: Result, progress: Progress | None = None) -> ItemScores:
    """Give what the probe of each gold concept of the headline comes to, computed from the records."""
    probes = rescore(folder, result, progress, labels=False).gold()
    names = ("auroc", "accuracy", "accuracy_hard")
    return ItemScores(
        values={
            name: {one.concept: value for one in probes if (value := getattr(one, name)) is not None} for name in names
        },
        groups={one.concept: one.concept for one in probes},
    )


@dataclass
class _Run:
    """The probes of a run; `skipped` counts by score the concepts that have none, by the reason."""

    store: ConceptStore
    model: str
    layers: Sequence[int]
    seed: int
    limit: int | None
    options: Mapping[str, Any]
    progress: Progress
    skipped: dict[str, Counter[str]] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse layers without vectors, and vectors that no probe can be fitted to."""
        for layer in self.layers:
            where = f"{self.store.path}, layer {layer} of {self.model}"
            vectors = self.store.vectors(self.model, layer)
            for start in range(0, len(vectors), _ROWS):
                bad = np.flatnonzero(~np.isfinite(vectors[start : start + _ROWS]).all(axis=1))
                if len(bad):
                    raise InputError(f"{where}: vector {start + bad[0]} holds NaN or infinity; build the store again")
            if self.store.concepts(self.model, layer).num_rows < 2:
                raise InputError(
                    f"{where}: has one concept; a probe tells a concept from others: build it with -k 2 or more"
                )

    def gold(
        self, encoder: WordEncoder, source: str | None, text_column: str | None, folder: Path
    ) -> tuple[pa.Table, dict[str, Any]]:
        """Probe for gold concepts in the second corpus; gives also what the provenance says of it."""
        lexicon = load_lexicon()
        key = hashlib.sha256(
            f"{source}\n{text_column}\n{encoder.revision}\n{self.seed}\n{self.store.path}".encode()
        ).hexdigest()
        # Kept by a killed run, which the next one then goes on from.
        work = open_folder(folder / f"journal-gold-{key[:16]}")
        corpus = open_gold_corpus(source, text_column, lexicon, work)
        clustered = set(self.store.sentences()["text"].to_pylist())
        tokens = read_gold(corpus, lexicon, clustered, work, self.seed, self.progress)
        texts = read_table(work / "sentences.parquet", SENTENCES)
        asked = draw_gold(tokens, lexicon, self._drawn_gold(lexicon), self.seed)
        draws, vectors = encode_gold(tokens, asked, encoder, self.layers, work, self.progress)
        self._count("gold", list(draws.values()))
        chosen = [draw for draw in draws.values() if isinstance(draw, Draw)]
        if not any(draw.split == "test" for draw in chosen):
            raise InputError(
                f"--corpus {corpus.source}: no gold concept of the split test can be probed "
                f"({_listed(self.skipped['gold'])}); give more text"
            )
        kept = read_table(work / "kept.parquet", TOKENS)
        words, sentences = np.array(kept["word"].to_pylist(), dtype=object), kept["sentence"].to_numpy()
        tables = []
        with self.progress.stage("Probing for gold concepts", len(self.layers)) as advance:
            for layer in self.layers:
                tables.append(predict(vectors[layer], words, sentences, layer, chosen, **self.options))
                advance(1)
        facts = {
            "dataset": f"gold concepts in {corpus.name}",
            "dataset_sha256": gold_digest(tokens, asked, lexicon, texts),
            "gold": {
                "corpus": corpus.name,
                "sentences": tokens.sentences_read,
                "left_out": tokens.left_out,
                "tokens": len(tokens.words),
                "concepts": len(chosen),
            },
        }
        shutil.rmtree(work, ignore_errors=True)
        return pa.concat_tables(tables), facts

    def clusters(self, folder: Path, study: str | None) -> Iterator[pa.Table]:
        """Probe the store's concepts and those of its null, layer by layer."""
        device = self.options["device"]
        nulls = {
            layer: null_tree(
                self.store.vectors(self.model, layer),
                folder / "null" / f"{layer_name(layer)}.npy",
                self.seed,
                layer,
                device,
                self.progress,
            )
            for layer in self.layers
        }
        with self.progress.stage("Probing the store's concepts and their null", len(self.layers)) as advance:
            for number in self.layers:
                layer = read_layer(self.store, self.model, number)
                _, types = np.unique(layer.words.astype(str), return_inverse=True)
                hashes = type_hashes(np.unique(layer.words.astype(str)).tolist(), self.seed)
                shuffled = permuted(layer.vectors, self.seed, number)
                k = len(layer.concepts)
                sides = {"store": (layer.vectors, MergeTree(layer.linkage)), "null": (shuffled, nulls[number])}
                for kind, (vectors, tree) in sides.items():
                    draws: list[Draw] = []
                    for cut in (None, *_cuts(k, len(layer.words), study)):
                        own = kind == "store" and cut is None
                        index = layer.index if own else tree.cut(cut or k)
                        tokens = Tokens(vectors, index, types.astype(np.int64), hashes, layer.sentences)
                        draws += self._draw(kind, tokens, layer, cut)
                    yield predict(vectors, layer.words, layer.sentences, number, draws, **self.options)
                advance(1)

    def _draw(self, kind: str, tokens: Tokens, layer: Layer, cut: int | None) -> list[Draw]:
        """Draw the probes of the concepts of a layer, or of a cut of its tree or its null's."""
        own = kind == "store" and cut is None
        prefix = (
            f"{self.model}/{layer_name(layer.layer)}/" + ("null/" * (kind == "null")) + (f"k={cut}/" if cut else "")
        )
        names = layer.concepts if own else [f"{prefix}C{number:04d}" for number in range(len(tokens.by_concept))]
        places = list(range(len(names)))
        if self.limit is not None:
            places = sorted(sample(places, self.limit, generator_of("probed", self.seed, prefix)))
        found, drawn = [], []
        for place in places:
            problem = draw_problem(tokens, place, names[place], self.seed)
            drawn.append(problem)
            if isinstance(problem, Problem):
                label = layer.labels[place] if own else None
                found += draws_of(problem, kind, names[place], k=cut, label=label, controls=own)
        self._count(kind if cut is None else f"{kind}, k={cut}", drawn)
        return found

    def _count(self, score_name: str, drawn: Sequence[object]) -> None:
        counts = self.skipped.setdefault(score_name, Counter())
        counts.update(one for one in drawn if isinstance(one, str))
        counts["probed"] += sum(not isinstance(one, str) for one in drawn)

    def _drawn_gold(self, lexicon: Mapping[str, GoldConcept]) -> list[str]:
        if self.limit is None:
            return list(lexicon)
        kept: set[str] = set()
        splits: tuple[Split, ...] = ("dev", "test")
        for split in splits:
            names = [one.id for one in lexicon.values() if one.split == split]
            kept.update(sample(names, self.limit, generator_of("gold concepts", self.seed, split)))
        return [name for name in lexicon if name in kept]


def _cuts(k: int, n: int, study: str | None) -> list[int]:
    """Give the other K of the study: those that are possible."""
    if study is None:
        return []
    return sorted({cut for factor in FACTORS if 2 <= (cut := round(factor * k)) <= n} - {k})


def _check_options(study: str | None, limit: int | None, c: float, l1_ratio: float) -> None:
    if study is not None and study not in STUDIES:
        raise InputError(f"--study {study}: there is no such study; there is {', '.join(STUDIES)}")
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit}: give a number of concepts")
    if not (c > 0 and np.isfinite(c)):
        raise InputError(f"--c {c:g}: give a number above 0")
    if not 0 <= l1_ratio <= 1:
        raise InputError(f"--l1-ratio {l1_ratio:g}: give a number from 0 (l2) to 1 (l1)")


def _store_name(store: ConceptStore, model: str | None) -> str:
    """Give the store's name of a model: that of a folder is its last part."""
    if model is not None and model not in store.models and Path(model).is_dir():
        return chosen_model(store, Path(model).resolve().name)
    return chosen_model(store, model)


def _open_encoder(store: ConceptStore, name: str, model: str, device: str | None) -> WordEncoder:
    """Open the model that the store's vectors are from.

    Raises
    ------
    InputError
        if it cannot be loaded, or is not the one.
    """
    entry = store.manifest["models"][name]
    try:
        encoder = WordEncoder(model, pooling=entry["pooling"], max_length=entry["max_length"], device=device)
    except InputError as error:
        raise InputError(
            f"{error} Probes of gold concepts need the model that {store.path} was built with: name its folder with "
            "--model"
        ) from error
    if encoder.revision != entry["revision"]:
        raise InputError(
            f"--model {model}: has other weights ({encoder.revision}) than the {name} of {store.path} "
            f"({entry['revision']}): give that one, or build the store again"
        )
    return encoder


def _judge_of_labels(model: str) -> str:
    """Name an encoder other than the one that was clustered."""
    return SMOLLM2 if model == MINILM else MINILM


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items() if count) or "none was found"
