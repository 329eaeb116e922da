"""A rating study: the labels to rate, the plan that draws them, and the summary of their ratings."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError
from statsmodels.stats.proportion import proportion_confint

from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.annotate import read_labels
from conceptbench.builders.concepts import concept_views
from conceptbench.eval.rating.ratings import Q3, Rating, read_ratings
from conceptbench.eval.result import RECORDS_FILE, Metric
from conceptbench.eval.stats.agreement import agreement
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import write_json
from conceptbench.runtime.llm import parse_system
from conceptbench.runtime.progress import Progress, Silent

PLAN_SCHEMA: Final = "conceptbench.rating-plan/1"
CONTEXTS: Final = 5
SECONDS: Final = 20
"""About how many seconds a rater needs for an item."""
_SIZES = ("small", "medium", "large")
_RECORDS: Final = pa.schema(
    [
        ("item", pa.string()),
        ("role", pa.string()),
        ("words", pa.list_(pa.string())),
        ("contexts", pa.list_(pa.string())),
        ("label", pa.string()),
        ("other", pa.string()),
        ("kind", pa.string()),
        ("purity", pa.float64()),
        ("layer", pa.int32()),
        ("size", pa.int64()),
        ("condition", pa.string()),
        ("counts", pa.list_(pa.int64())),
        ("concept", pa.string()),
    ]
)
_OPTIONAL = ("condition", "counts", "concept")


@dataclass(frozen=True)
class StudyItem:
    """A label to rate: the words that it is to name, with counts, and another label to compare it with, if any.

    Items of one `concept` are resampled together.
    """

    item: str
    concept: str
    words: tuple[tuple[str, int], ...]
    contexts: tuple[str, ...]
    label: str
    other: str | None
    stratum: str


@dataclass(frozen=True)
class Stratum:
    """How many labels there are of a kind, and how many of them were drawn."""

    name: str
    labels: int
    drawn: int


@dataclass(frozen=True)
class PlannedItem:
    """An item of a plan, with its label at the time it was drawn and the label to compare it with."""

    item: str
    label: str
    other: str | None


@dataclass(frozen=True)
class Plan:
    """Which labels the raters of a study see."""

    schema: Literal["conceptbench.rating-plan/1"]
    seed: int
    against: str | None
    strata: tuple[Stratum, ...]
    items: tuple[PlannedItem, ...]


@dataclass(frozen=True)
class Study:
    """The labels of a folder that people rate; open one with `open_study`.

    `labels` holds the present label of every item, None where there is none; `items` are those with a label.
    """

    folder: Path
    labels: Mapping[str, str | None]
    items: tuple[StudyItem, ...]
    plan: Plan | None

    @property
    def ratings_folder(self) -> Path:
        """Where the plan and the raters' files are."""
        return self.folder / "ratings"

    @property
    def to_rate(self) -> tuple[StudyItem, ...]:
        """The items of the plan that still have a label; all items where there is no plan."""
        if self.plan is None:
            return self.items
        other_labels = {planned.item: planned.other for planned in self.plan.items}
        return tuple(replace(item, other=other_labels[item.item]) for item in self.items if item.item in other_labels)

    def in_order(self, rater: str) -> list[StudyItem]:
        """Give the items in the order that this rater sees them in: a shuffle of its own for each rater and plan."""
        items = self.to_rate
        seed = "\n".join([rater, str(self.plan.seed if self.plan else ""), *(item.item for item in items)])
        order = np.random.default_rng(list(hashlib.sha256(seed.encode()).digest())).permutation(len(items))
        return [items[i] for i in order]

    def ratings(self, file: Path | None = None) -> tuple[list[Rating], int]:
        """Read the ratings that count, those of the present labels of items to rate; and count those that do not.

        An answer to Q3 in which another label was compared is taken out of its rating.

        Parameters
        ----------
        file : one file; by default all raters' files of the study.

        Raises
        ------
        InputError
            see `read_ratings`.
        """
        if file is None and not self.ratings_folder.exists():
            return [], 0
        path = file or self.ratings_folder
        item_of = {item.item: item for item in self.to_rate}
        counting = [
            rating if rating.other == item_of[rating.item].other else replace(rating, q3=None, other=None)
            for rating in read_ratings(path, self.labels)
            if rating.item in item_of
        ]
        return counting, len(read_ratings(path)) - len(counting)


def open_study(folder: Path, contexts: int = CONTEXTS, progress: Progress | None = None) -> Study:
    """Open a concept store, or a result folder of `eval annotation`, to have its labels rated.

    Parameters
    ----------
    contexts : sentences to show with an item at most.

    Raises
    ------
    InputError
        if the folder is neither of them, or its plan cannot be read.
    """
    plan = _read_plan(folder / "ratings" / "plan.json")
    if (folder / RECORDS_FILE).exists():
        labels, sources = _from_records(folder / RECORDS_FILE, contexts)
    elif (folder / "manifest.json").exists():
        planned_names = None if plan is None else {planned.item for planned in plan.items}
        labels, sources = _from_store(ConceptStore.open(folder), contexts, planned_names, progress or Silent())
    else:
        raise InputError(
            f"{folder} is neither a concept store (no manifest.json) nor a result of `eval annotation` "
            f"(no {RECORDS_FILE}): make one with `conceptbench build` or `conceptbench eval annotation`"
        )
    return Study(folder, labels, _stratified(sources), plan)


def complete(item: StudyItem, rating: Rating | None) -> bool:
    """Tell whether every question of an item is answered."""
    if rating is None or (rating.q1 == "yes" and rating.q2 is None):
        return False
    return item.other is None or rating.q3 is not None


def plan(study: Study, n: int, seed: int = 0, against: str | None = None) -> Plan:
    """Draw the labels of a study and write its plan.

    Labels are drawn without replacement, from each stratum in proportion to its size (largest remainder), so that
    plain means over the drawn labels estimate those over all.

    Parameters
    ----------
    n : labels to draw.
    seed : the seed of the draw; equal arguments give equal plans.
    against : `file:<labels>`, see `read_labels`: labels to compare with in Q3.

    Raises
    ------
    InputError
        if there are fewer labels than `n`, `against` cannot be read, or the present plan has ratings.
    """
    if study.plan is not None and (rated := read_ratings(study.ratings_folder)):
        raise InputError(
            f"{study.ratings_folder} has {len(rated)} ratings of the present plan, which a new one would strand: to "
            f"start another study, move them away first (mv {study.ratings_folder} {study.ratings_folder}-before)"
        )
    if not 1 <= n <= len(study.items):
        raise InputError(f"--plan {n}: {study.folder} has {len(study.items)} labels; give a number from 1 up to that")
    other_labels = _labels_against(study, against) if against else {item.item: item.other for item in study.items}
    strata: defaultdict[str, list[StudyItem]] = defaultdict(list)
    for item in sorted(study.items, key=lambda item: item.item):
        strata[item.stratum].append(item)
    names = sorted(strata)
    shares = _largest_remainder([len(strata[name]) for name in names], n)
    rng = np.random.default_rng(seed)
    chosen = [
        strata[name][i]
        for name, share in zip(names, shares, strict=True)
        for i in sorted(rng.choice(len(strata[name]), share, replace=False))
    ]
    new_plan = Plan(
        schema=PLAN_SCHEMA,
        seed=seed,
        against=f"file:{Path(parse_system(against)[1]).name}" if against else None,
        strata=tuple(Stratum(name, len(strata[name]), share) for name, share in zip(names, shares, strict=True)),
        items=tuple(PlannedItem(item.item, item.label, other_labels[item.item]) for item in chosen),
    )
    write_json(study.ratings_folder / "plan.json", asdict(new_plan))
    return new_plan


def half_width(n: int, acceptance: float = 0.9) -> float:
    """Give half the width of the 95 % interval (Wilson 1927) to expect for an acceptance over n labels."""
    low, high = proportion_confint(acceptance * n, n, method="wilson")
    return float(high - low) / 2


@dataclass(frozen=True)
class Summary:
    """The results of a study so far.

    `done` is the number of items that each rater has answered completely, out of `items`. `left_out` counts ratings
    of labels that have changed since or are not in the plan. `metrics` are those of `agreement`, and the shares of
    the answers to Q3, `preference/label`, `preference/other`, `preference/both`, `preference/neither`; for each metric
    that cannot be computed, `undefined` says why.
    """

    items: int
    done: Mapping[str, int]
    left_out: int
    metrics: Mapping[str, Metric]
    undefined: Mapping[str, str]


def summary(study: Study) -> Summary:
    """Sum the ratings of a study up.

    Raises
    ------
    InputError
        if a file of ratings has an error.
    """
    ratings, left_out = study.ratings()
    item_of = {item.item: item for item in study.to_rate}
    raters = sorted({rating.rater for rating in ratings})
    by_both = {(rating.item, rating.rater): rating for rating in ratings}
    rated = sorted({rating.item for rating in ratings})
    grades = [[by_both[item, rater].grade if (item, rater) in by_both else None for rater in raters] for item in rated]
    groups = [item_of[name].concept for name in rated]
    agreed = agreement(np.array(grades, dtype=object), groups) if grades else None
    return Summary(
        items=len(item_of),
        done={
            rater: sum(complete(item, by_both.get((name, rater))) for name, item in item_of.items()) for rater in raters
        },
        left_out=left_out,
        metrics={**(agreed.metrics if agreed else {}), **_preferences(ratings, item_of)},
        undefined=agreed.undefined if agreed else {},
    )


def _preferences(ratings: Iterable[Rating], item_of: Mapping[str, StudyItem]) -> dict[str, Metric]:
    compared = [rating for rating in ratings if rating.q3 is not None]
    if not compared:
        return {}
    groups = [item_of[rating.item].concept for rating in compared]
    return {
        f"preference/{answer}": mean_metric([float(rating.q3 == answer) for rating in compared], groups)
        for answer in get_args(Q3)
    }


_Labels: TypeAlias = dict[str, str | None]
_Sources: TypeAlias = list[tuple[StudyItem, int | None]]
"""Items with a label, and their sizes; their stratum does not tell of their size yet."""


def _from_store(
    store: ConceptStore, contexts: int, planned_names: Collection[str] | None, progress: Progress
) -> tuple[_Labels, _Sources]:
    layers = [(model, layer) for model in store.models for layer in store.layers(model)]
    labels: _Labels = {}
    sources: _Sources = []
    with progress.stage("Reading concepts", len(layers)) as advance:
        for model, layer in layers:
            rows = store.concepts(model, layer).select(["concept", "label", "size"]).to_pylist()
            # Sentences take long to find; a layer without an item of the plan needs none.
            context_count = (
                contexts if planned_names is None or any(row["concept"] in planned_names for row in rows) else 0
            )
            for view, row in zip(concept_views(store, model, layer, context_count), rows, strict=True):
                name, label = row["concept"], row["label"]
                labels[name] = label
                if label is not None:
                    stratum = f"{model}/L{layer:02d}"
                    item = StudyItem(name, name, view.words, view.contexts, label, None, stratum)
                    sources.append((item, row["size"]))
            advance(1)
    return labels, sources


def _from_records(path: Path, contexts: int) -> tuple[_Labels, _Sources]:
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    missing = [name for name in _RECORDS.names if name not in (*table.column_names, *_OPTIONAL)]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}: it is not of `eval annotation`, or of an older version; "
            "run that command again (it asks nothing twice)"
        )
    schema = pa.schema([field for field in _RECORDS if field.name in table.column_names])
    try:
        rows = table.select(schema.names).cast(schema).to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
    # A study asks for an item's label under several conditions; people rate that of a plain run.
    item_rows = [row for row in rows if row["role"] == "item" and not row.get("condition")]
    sources: _Sources = [
        (
            StudyItem(
                row["item"],
                row.get("concept") or row["item"],
                tuple(zip(row["words"], row.get("counts") or [1] * len(row["words"]), strict=True)),
                tuple((row["contexts"] or ())[:contexts]),
                row["label"],
                _different(row["other"], row["label"]),
                _group(row),
            ),
            row["size"] if row["kind"] is None else None,
        )
        for row in item_rows
        if row["label"] is not None
    ]
    return {row["item"]: row["label"] for row in item_rows}, sources


def _group(row: Mapping[str, Any]) -> str:
    if row["kind"] is not None:
        return f"{row['kind']}" if row["purity"] is None else f"{row['kind']} {row['purity']:g}"
    return "all" if row["layer"] is None else f"L{row['layer']:02d}"


def _stratified(sources: _Sources) -> tuple[StudyItem, ...]:
    """Put items of known size into one stratum with the same third of their layer."""
    sizes: defaultdict[str, list[int]] = defaultdict(list)
    for item, size in sources:
        if size is not None:
            sizes[item.stratum].append(size)
    edges = {group: np.quantile(group_sizes, [1 / 3, 2 / 3]) for group, group_sizes in sizes.items()}
    return tuple(
        item
        if size is None
        else replace(item, stratum=f"{item.stratum} {_SIZES[int(np.searchsorted(edges[item.stratum], size))]}")
        for item, size in sources
    )


def _labels_against(study: Study, against: str) -> dict[str, str | None]:
    kind, name = parse_system(against) if ":" in against else ("", "")
    if kind != "file":
        raise InputError(f"--against {against}: give file:<labels>, a CSV file with the columns concept and label")
    labels = read_labels(Path(name))
    other_labels = {item.item: _different(labels.get(item.item), item.label) for item in study.items}
    if not any(other_labels.values()):
        raise InputError(f"--against {against}: has no label that differs from one of {study.folder}")
    return other_labels


def _different(candidate: str | None, label: str) -> str | None:
    """Give the label to compare with, unless it is none or the same."""
    return None if candidate is None or candidate.strip().casefold() in {"", label.strip().casefold()} else candidate


def _largest_remainder(sizes: Sequence[int], n: int) -> list[int]:
    """Divide n in proportion to sizes; ties go to the first."""
    exact = [n * size / sum(sizes) for size in sizes]
    shares = [int(share) for share in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[: n - sum(shares)]:
        shares[i] += 1
    return shares


def _read_plan(path: Path) -> Plan | None:
    try:
        return TypeAdapter(Plan).validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"{path}: {where}: {first['msg']}: restore the file, or remove it and draw a plan anew"
        ) from error
