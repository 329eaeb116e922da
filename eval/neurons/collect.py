"""A run of the neurons task: rank, align, ablate and resample each layer of a store, record, score."""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from conceptbench.benchmark.layers import Layer, chosen_layers, chosen_model, read_layer
from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.clustering import MergeTree
from conceptbench.eval.methods.neurons.alignment import CONTROLS, FRACTION, align
from conceptbench.eval.methods.neurons.pairs import ConceptPairs, label_pairs, lexicon_pairs, tree_pairs
from conceptbench.eval.methods.neurons.ranking import (
    Ints,
    Method,
    checked_vectors,
    concept_means,
    order_of,
    probeless,
    standard_deviations,
    top_count,
)
from conceptbench.eval.methods.neurons.stability import RESAMPLES, rank_agreement, stability
from conceptbench.eval.neurons.probed import (
    ProbedConcepts,
    RankingName,
    ablate_concept,
    probe_concepts,
    weights_of_another_seed,
)
from conceptbench.eval.neurons.records import Record, read_records, records_table
from conceptbench.eval.neurons.scoring import Scores, score
from conceptbench.eval.result import (
    ItemScores,
    Metric,
    Result,
    open_folder,
    package_version,
    write_records,
    write_result,
)
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Progress, Silent

TASK: Final = "neurons"
TASK_VERSION: Final = "1.0"

Source = Literal["tree", "labels", "lexicon"]
ABLATED: Final = 60
FACTORS: Final = (0.25, 0.5, 1.0, 2.0)
"""The study's numbers of concepts, by default: these times the store's own."""

_WORDS = 12
_NEURONS = 20


def evaluate_neurons(
    *,
    store: str | Path,
    out: str | Path,
    layers: str = "all",
    model: str | None = None,
    method: Method = "probeless",
    pairs: Sequence[Source] = get_args(Source),
    fraction: float = FRACTION,
    controls: int = CONTROLS,
    ablated: int = ABLATED,
    study: str | None = None,
    ks: Sequence[int] | None = None,
    limit: int | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: Progress | None = None,
) -> Result:
    """Tell which neurons carry the concepts of a store: shared by super- and sub-concepts, needed by probes, stable.

    Every metric and what it means is in docs/neurons.md.

    Parameters
    ----------
    store : a concept store with vectors and trees.
    out : folder for `result.json` and `records.parquet`.
    layers, model : of the store, see `layers.chosen_layers`.
    method : the ranking that the ablation's headline and curves are of; the others stand beside it.
    pairs : where super- and sub-concepts are from; the headline is of the first.
    fraction : of the neurons that count as top.
    controls : unrelated concepts that each pair is held against.
    ablated : concepts of each layer whose neurons are ablated, drawn by the seed.
    study : `k`, to align the concepts of other cuts of the tree too.
    ks : the study's numbers of concepts, by default those of `FACTORS`.
    limit : pairs of each source and layer, and ablated concepts of a layer, drawn by the seed.
    seed : of every draw and of the intervals.
    device : torch's, for probes.

    Raises
    ------
    InputError
        if an option is wrong, the store lacks a layer, its vectors or its tree, or holds values that are not finite.
    """
    _check_options(method, pairs, fraction, controls, ablated, study, ks, limit)
    opened = ConceptStore.open(store)
    name = chosen_model(opened, model)
    numbers = chosen_layers(opened, name, layers)
    if not numbers:
        raise InputError(f"{opened.path} has no layer of {name}: build it again")
    folder = open_folder(out)
    started = datetime.datetime.now(datetime.UTC)
    clock = time.perf_counter()
    run = _Run(list(pairs), fraction, controls, ablated, ks if study else (), limit, seed, device)
    records: list[Record] = []
    with (progress or Silent()).stage(f"Neurons of {name}", len(numbers)) as advance:
        for number in numbers:
            records += run.layer(_LayerNeurons.read(opened, name, number))
            advance(1)
    table = records_table(records)
    digest = write_records(folder, table)
    records = table.to_pylist()
    studied = sorted(run.studied)
    scores = score(records, source=pairs[0], method=method, ks=studied, seed=seed)
    undefined = run.undefined(records) | scores.undefined
    result = Result(
        task=TASK,
        task_version=TASK_VERSION,
        system=name,
        metrics=scores.metrics,
        provenance={
            "conceptbench": package_version(),
            "dataset": f"layers {', '.join(map(str, numbers))} of {name} over "
            f"{opened.manifest.get('corpus', {}).get('name', 'a corpus')}",
            "dataset_sha256": _items_digest(records),
            "study": study,
            "ks": studied,
            "seed": seed,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "method": method,
            "pairs": list(pairs),
            "fraction": fraction,
            "controls": controls,
            "ablated": ablated,
            "limit": limit,
            "found": run.found,
            "skipped": run.skipped,
            "constant_neurons": run.constant,
            "prompts": {},
            "cost_usd": None,
            "tokens": {"in": 0, "out": 0},
            "undefined": undefined,
        },
        records_sha256=digest,
    )
    write_result(folder, result)
    return result


def score_of(records: Sequence[Record], result: Result) -> Scores:
    """Compute a run's scores from its records as its result says that they were."""
    said = result.provenance
    return score(records, source=said["pairs"][0], method=said["method"], ks=said["ks"], seed=said["seed"])


def recompute(folder: Path, result: Result, progress: Progress | None = None) -> Mapping[str, Metric]:
    """Compute a run's metrics again from its records alone."""
    return score_of(read_records(folder), result).metrics


def item_scores(folder: Path, result: Result, progress: Progress | None = None) -> ItemScores:
    """Give the values of single pairs of the main source, and of single concepts, computed from the records."""
    return score_of(read_records(folder), result).item_scores()


class _LayerNeurons:
    """A layer as the task sees it."""

    def __init__(self, layer: Layer, where: str) -> None:
        self.layer, self.where = layer, where
        self.vectors: NDArray[Any] = checked_vectors(np.asarray(layer.vectors), f"{where}: the vectors")
        self.deviations = standard_deviations(self.vectors)
        self.constant = int((self.deviations == 0).sum())
        types, type_of = np.unique(layer.words.astype(str), return_inverse=True)
        self.types: list[str] = types.tolist()
        self.type_of: Ints = type_of.astype(np.int64)

    @classmethod
    def read(cls, store: ConceptStore, model: str, number: int) -> _LayerNeurons:
        """Read a layer, and refuse one whose concepts or neurons cannot be told apart.

        Raises
        ------
        InputError
            if it has no tree, fewer than two concepts, a value that is not finite, or constant neurons alone.
        """
        where = f"{store.path}, layer {number} of {model}"
        if store.manifest["models"][model].get("clustering", "ward") != "ward":
            raise InputError(f"{where}: has no merge tree; build a store with --clustering ward")
        layer = read_layer(store, model, number)
        if len(np.unique(layer.index)) < 2:
            raise InputError(f"{where}: has one concept, and concepts are compared: build it with a larger -k")
        found = cls(layer, where)
        if found.constant == len(found.deviations):
            raise InputError(f"{where}: all neurons are the same for all tokens; build the store's vectors again")
        return found

    @cached_property
    def zscored(self) -> NDArray[Any]:
        """The vectors with each neuron divided by its standard deviation; a constant one is 0."""
        scale = np.where(self.deviations == 0, 0.0, 1 / np.where(self.deviations == 0, 1.0, self.deviations))
        return (self.vectors * scale.astype(np.float32)).astype(np.float32)

    def words(self, rows: Ints, without: Ints | None = None) -> list[str]:
        """Give the most frequent word types of the tokens, but for other tokens of theirs."""
        counts = np.bincount(self.type_of[rows], minlength=len(self.types))
        if without is not None:
            counts = counts - np.bincount(self.type_of[np.intersect1d(rows, without)], minlength=len(self.types))
        first = np.argsort(-counts, kind="stable")[:_WORDS]
        return [self.types[number] for number in first.tolist() if counts[number] > 0]


class _Run:
    """What a run does with each layer, and what it leaves out."""

    def __init__(
        self,
        sources: Sequence[Source],
        fraction: float,
        controls: int,
        ablated: int,
        ks: Sequence[int] | None,
        limit: int | None,
        seed: int,
        device: str | None,
    ) -> None:
        self.sources, self.fraction, self.controls = sources, fraction, controls
        self.ablated = ablated if limit is None else min(ablated, limit)
        self.ks, self.limit, self.seed, self.device = ks, limit, seed, device
        self.studied: set[int] = set()
        self.found: dict[str, int] = {}
        self.skipped: dict[str, dict[str, Any]] = {}
        self.constant: dict[str, int] = {}

    def layer(self, layer: _LayerNeurons) -> list[Record]:
        """Give all records of a layer."""
        if layer.constant:
            self.constant[_place(layer)] = layer.constant
        return [
            *self._concepts(layer),
            *self._pairs(layer),
            *self._study(layer),
            *self._ablations(layer),
            *self._resamples(layer),
        ]

    def undefined(self, records: Sequence[Record]) -> dict[str, str]:
        """Say why headline metrics are absent."""
        found: dict[str, str] = {}
        kinds = {(record["kind"], record["source"], record["over"]) for record in records}
        for names, key, place in (
            (("alignment", "raw_alignment"), ("pair", self.sources[0], None), f"{self.sources[0]} pairs"),
            (("ablation_mean",), ("ablation", None, None), "ablation"),
            (("stability_overlap",), ("stability", None, "resamples"), "stability"),
        ):
            if key not in kinds:
                reasons = list(dict.fromkeys(map(_said, self.skipped.get(place, {}).values())))
                found |= dict.fromkeys(names, " ".join(reasons) or "No layer has any.")
        return found

    def _concepts(self, layer: _LayerNeurons) -> Iterator[Record]:
        """Give each concept's top neurons, by Probeless on z-scored neurons and all tokens."""
        index, ids = layer.layer.index, layer.layer.concepts
        there = np.unique(index)
        means = concept_means(layer.zscored, np.searchsorted(there, index), len(there))
        orders = order_of(probeless(means))
        by_concept = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index, minlength=len(ids)))[:-1])
        for place, concept in enumerate(there.tolist()):
            yield _row(layer, "concept", len(ids)) | {
                "concept": ids[concept],
                "label": layer.layer.labels[concept],
                "words": layer.words(by_concept[concept]),
                "size": len(by_concept[concept]),
                "ranking": "probeless",
                "neurons": orders[place, :_NEURONS].tolist(),
            }

    def _pairs(self, layer: _LayerNeurons) -> Iterator[Record]:
        for source in self.sources:
            pairs = _pairs_of(layer, source)
            if isinstance(pairs, str):
                self._skip(f"{source} pairs", layer, pairs)
            else:
                yield from self._aligned(layer, pairs, source, len(layer.layer.concepts), "")

    def _study(self, layer: _LayerNeurons) -> Iterator[Record]:
        """Align the tree's pairs at other numbers of concepts."""
        own, tokens = len(layer.layer.concepts), len(layer.vectors)
        wanted = [round(own * factor) for factor in FACTORS] if self.ks is None else self.ks
        for k in sorted(set(wanted)):
            if not 2 <= k <= tokens:
                self._skip(f"study k={k}", layer, f"A cut of {tokens} tokens has 2 to {tokens} concepts.")
                continue
            self.studied.add(k)
            if k == own and "tree" in self.sources:
                continue
            names = [f"{layer.layer.model}/L{layer.layer.layer:02d}/k={k}/C{number:04d}" for number in range(k)]
            pairs = tree_pairs(layer.layer.linkage, MergeTree(layer.layer.linkage).cut(k), names)
            yield from self._aligned(layer, pairs, "tree", k, f"k={k}")

    def _aligned(
        self, layer: _LayerNeurons, pairs: ConceptPairs, source: Source, k: int, condition: str
    ) -> Iterator[Record]:
        place = f"study {condition}" if condition else f"{source} pairs"
        pairs = self._limited(pairs, source, layer)
        if not len(pairs.pairs):
            self._skip(place, layer, _why_none(layer, source, k))
            return
        try:
            found = align(layer.vectors, pairs, fraction=self.fraction, controls=self.controls, seed=self.seed)
        except InputError as error:  # vectors and options are checked before: there is nothing to compare with
            self._skip(place, layer, f"{error}; it takes more concepts (K = {k}).")
            return
        left_out = found["raw"].left_out
        if left_out:
            self._skip(place, layer, f"{left_out} pairs have no unrelated concept beside them, or no token left.")
        self.found[place] = self.found.get(place, 0) + len(pairs.pairs) - left_out
        number = {name: i for i, name in enumerate(pairs.names)}
        wider = {one.name: np.unique(np.concatenate([pairs.tokens[i] for i in one.parts])) for one in pairs.supers}
        families = _family_names(layer, pairs, source, k)
        labels = dict(zip(layer.layer.concepts, layer.layer.labels, strict=True))
        words: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
        for scaling, alignment in found.items():
            fractions = sorted(alignment.curve)
            for pair in alignment.pairs:
                key = (pair.super_concept, pair.sub_concept)
                own = pairs.tokens[number[pair.sub_concept]]
                if key not in words:
                    words[key] = (layer.words(wider[pair.super_concept], own), layer.words(own))
                yield _row(layer, "pair", k) | {
                    "condition": condition,
                    "source": source,
                    "scaling": scaling,
                    "super": pair.super_concept,
                    "concept": pair.sub_concept,
                    "label": labels.get(pair.sub_concept),
                    "super_words": words[key][0],
                    "words": words[key][1],
                    "family": families[pair.super_concept],
                    "size": pair.size,
                    "fraction": self.fraction,
                    "controls": list(pair.nulls),
                    "p": pair.p,
                    "fractions": fractions,
                    "alignment": list(pair.curve),
                    "null": list(pair.null_curve),
                    "neurons": list(pair.shared),
                }

    def _limited(self, pairs: ConceptPairs, source: Source, layer: _LayerNeurons) -> ConceptPairs:
        if self.limit is None or len(pairs.pairs) <= self.limit:
            return pairs
        generator = generator_of("pairs", self.seed, layer.layer.model, layer.layer.layer, source, len(pairs.names))
        chosen = np.sort(generator.permutation(len(pairs.pairs))[: self.limit])
        return replace(pairs, pairs=pairs.pairs[chosen])

    def _ablations(self, layer: _LayerNeurons) -> Iterator[Record]:
        own, k = layer.layer, len(layer.layer.concepts)
        probed = probe_concepts(own, layer.vectors, self.ablated, self.seed, self.device)
        if probed.skipped:
            self.skipped.setdefault("ablation", {})[_place(layer)] = probed.skipped
        self.found["ablated concepts"] = self.found.get("ablated concepts", 0) + len(probed.concepts)
        for place, concept in enumerate(probed.concepts):
            for ranking in get_args(RankingName) if probed.scores else ():
                found = ablate_concept(probed, place, own.concepts[concept], ranking, layer.vectors, self.seed)
                for (mode, order), accuracy in found.accuracy.items():
                    yield _row(layer, "ablation", k) | {
                        "concept": own.concepts[concept],
                        "ranking": ranking,
                        "mode": mode,
                        "order": order,
                        "width": layer.vectors.shape[1],
                        "grid": found.grid.tolist(),
                        "accuracy": accuracy[0].tolist(),
                        "auroc": found.auroc[mode, order][0].tolist(),
                    }
        yield from self._seeds(layer, probed)

    def _seeds(self, layer: _LayerNeurons, probed: ProbedConcepts) -> Iterator[Record]:
        if not probed.concepts:
            return
        again, scores = weights_of_another_seed(layer.layer, layer.vectors, probed.concepts, self.seed + 1, self.device)
        places = [probed.concepts.index(concept) for concept in again]
        if not places:
            return
        agreed = rank_agreement(probed.scores["weights"][places], scores, self.fraction)
        for place, concept in enumerate(again):
            yield _row(layer, "stability", len(layer.layer.concepts)) | {
                "concept": layer.layer.concepts[concept],
                "ranking": "weights",
                "over": "seeds",
                "fraction": self.fraction,
                "overlap": float(agreed.overlap[place]),
                "spearman": float(agreed.spearman[place]),
                "resamples": 1,
            }

    def _resamples(self, layer: _LayerNeurons) -> Iterator[Record]:
        own = layer.layer
        if len(np.unique(own.sentences)) < 2:
            self._skip("stability", layer, "All tokens are of one sentence, and sentences are resampled.")
            return
        found = stability(
            layer.zscored, own.index, own.sentences, resamples=RESAMPLES, fraction=self.fraction, seed=self.seed
        )
        for place, number in enumerate(found.names):
            if found.resamples[place] > 0:
                yield _row(layer, "stability", len(own.concepts)) | {
                    "concept": own.concepts[int(number)],
                    "ranking": "probeless",
                    "over": "resamples",
                    "fraction": self.fraction,
                    "overlap": float(found.overlap[place]),
                    "spearman": float(found.spearman[place]),
                    "resamples": int(found.resamples[place]),
                }

    def _skip(self, what: str, layer: _LayerNeurons, why: str) -> None:
        self.skipped.setdefault(what, {})[_place(layer)] = why


def _check_options(
    method: str,
    pairs: Sequence[str],
    fraction: float,
    controls: int,
    ablated: int,
    study: str | None,
    ks: Sequence[int] | None,
    limit: int | None,
) -> None:
    if method not in get_args(Method):
        raise InputError(f"--method {method}: choose one of {', '.join(get_args(Method))}")
    unknown = [source for source in pairs if source not in get_args(Source)]
    if unknown or not pairs or len(set(pairs)) < len(pairs):
        raise InputError(f"--pairs {','.join(pairs)}: give some of {', '.join(get_args(Source))}, each once")
    top_count(fraction, 1)
    if study not in {None, "k"}:
        raise InputError(f"--study {study}: there is no such study; there is k")
    if ks is not None and study is None:
        raise InputError("--ks: the numbers of concepts are for --study k")
    if ks is not None and (not ks or min(ks) < 2):
        raise InputError(f"--ks {','.join(map(str, ks))}: give numbers of concepts, each at least 2")
    for name, value in (("--controls", controls), ("--ablated", ablated), ("--limit", limit)):
        if value is not None and value < 1:
            raise InputError(f"{name} {value}: give at least 1")


def _pairs_of(layer: _LayerNeurons, source: Source) -> ConceptPairs | str:
    """Find the pairs of one source, or say why there are none."""
    own = layer.layer
    there = np.unique(own.index)
    index = np.searchsorted(there, own.index)
    names = [own.concepts[concept] for concept in there.tolist()]
    if source == "tree":
        try:
            return tree_pairs(own.linkage, index, names)
        except InputError as error:
            raise InputError(f"{layer.where}: {error}; build it again") from error
    if source == "labels":
        labels = [own.labels[concept] for concept in there.tolist()]
        return label_pairs(index, labels, names) if any(labels) else _why_none(layer, source, len(names))
    return lexicon_pairs(_lexicon_tokens(layer))


def _lexicon_tokens(layer: _LayerNeurons) -> dict[str, Ints]:
    """Give the rows of the tokens whose word is in the list of each gold concept."""
    number = {word: place for place, word in enumerate(layer.types)}
    rows = np.split(np.argsort(layer.type_of, kind="stable"), np.cumsum(np.bincount(layer.type_of))[:-1])
    found: dict[str, Ints] = {}
    for name, gold in load_lexicon().items():
        own = sorted({number[word] for text in gold.words if (word := text.casefold()) in number})
        if own:
            found[name] = np.sort(np.concatenate([rows[place] for place in own]))
    return found


def _why_none(layer: _LayerNeurons, source: Source, k: int) -> str:
    if source == "tree":
        return f"No merge above the cut into {k} concepts holds few enough of them."
    if source == "labels":
        if not any(layer.layer.labels):
            return "The store has no labels: add them with `conceptbench build --annotator`."
        return "No label of two to ten concepts is, or is contained in, that of another."
    return "The words of the store are in no two gold concepts of which one is the other's parent."


def _family_names(layer: _LayerNeurons, pairs: ConceptPairs, source: Source, k: int) -> dict[str, str]:
    """Name each super-concept's family after its first member; families of labels and lexicon span the layers."""
    families, _ = pairs.families
    first: dict[int, str] = {}
    for one, family in sorted(zip((wider.name for wider in pairs.supers), families.tolist(), strict=True)):
        first.setdefault(family, one)
    start = f"{_place(layer)}, k={k}, " if source == "tree" else ""
    return {
        wider.name: f"{source}: {start}{first[family]}"
        for wider, family in zip(pairs.supers, families.tolist(), strict=True)
    }


def _row(layer: _LayerNeurons, kind: str, k: int) -> Record:
    return {"kind": kind, "layer": layer.layer.layer, "k": k}


def _place(layer: _LayerNeurons) -> str:
    return f"L{layer.layer.layer:02d}"


def _said(reason: str | Mapping[str, int]) -> str:
    if isinstance(reason, str):
        return reason
    return "Concepts that were drawn have no probe: " + ", ".join(f"{why} ({n})" for why, n in reason.items()) + "."


def _items_digest(records: Sequence[Record]) -> str:
    """Digest what was asked, so that runs on the same items can be told."""
    columns = ("kind", "layer", "k", "condition", "source", "super", "concept", "size", "words", "over")
    asked = sorted({json.dumps([record.get(name) for name in columns]) for record in records})
    return hashlib.sha256("\n".join(asked).encode()).hexdigest()
