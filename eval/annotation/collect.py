"""A run of the annotation task: ask the annotator, ask the judges, take in people's ratings, record, score."""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, get_args

from conceptbench.benchmark.items import PURITIES
from conceptbench.benchmark.lexicon import Split, load_lexicon
from conceptbench.benchmark.prompts import DEFAULT_PROMPT, Unit, load_prompt
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.annotate import Annotator, annotate, open_annotator, read_labels
from conceptbench.eval.annotation.controls import CONTROLS, plant
from conceptbench.eval.annotation.items import Item, gold_items, store_items
from conceptbench.eval.annotation.judges import judge, load_rubric
from conceptbench.eval.annotation.panels import PEOPLE, selected_judges
from conceptbench.eval.annotation.records import Record, item_record, read_records, records_table
from conceptbench.eval.annotation.scores import Scores, gold_of
from conceptbench.eval.annotation.scoring import score
from conceptbench.eval.annotation.studies import Condition, conditions
from conceptbench.eval.judges.asking import check_judges
from conceptbench.eval.rating.ratings import read_ratings
from conceptbench.eval.result import (
    ItemScores,
    Metric,
    Result,
    open_folder,
    package_version,
    write_records,
    write_result,
)
from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.llm import LLM, Usage, parse_system
from conceptbench.runtime.models import MINILM, SMOLLM2
from conceptbench.runtime.progress import Progress, Silent
from conceptbench.runtime.similarity import Similarity, check_weights, open_token_encoder

TASK: Final = "annotation"
TASK_VERSION: Final = "1.0"
GOLD: Final = "gold"


def evaluate_annotation(
    *,
    annotator: str,
    out: str | Path,
    store: str | Path | Sequence[str | Path] | None = None,
    limit: int | None = None,
    seed: int = 0,
    split: Split = "test",
    purities: Sequence[float] = PURITIES,
    prompt: str = DEFAULT_PROMPT,
    contexts: int | None = None,
    unit: Unit | None = None,
    study: str | None = None,
    judges: Sequence[str] = (),
    judge_base_url: str | None = None,
    allow_self_judging: bool = False,
    controls: int = CONTROLS,
    against: str | None = None,
    ratings: str | Path | None = None,
    encoder: str | None = None,
    bertscore: str | None = None,
    base_url: str | None = None,
    concurrency: int = 8,
    timeout: float = 60.0,
    price: tuple[float, float] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Have a system name concepts, and score the labels.

    The concepts are gold items (word lists whose right name is known) or those of a store. Every metric and what it
    means is in docs/annotation.md. Run again into the same folder, it asks no question twice.

    Parameters
    ----------
    annotator : the system, see `open_annotator`; `file:` labels go by item, or by a store's concept.
    out : folder for `result.json`, `records.parquet` and the journal.
    store : score on the concepts of this store (of several for the study `corpus`) instead of gold items.
    limit : concepts, drawn by the seed.
    seed : of the items, of every shuffle and of the intervals.
    split : of gold items: `dev` (for trying prompts) or `test`; planted controls come from the other one.
    purities : shares of each gold list that belong to its concept.
    prompt, contexts, unit : as in `build`.
    study : ask under several conditions and compare them, see `studies.STUDIES`.
    judges : language models that rate the labels; calibrated on planted controls.
    judge_base_url : the server of `openai:` judges, by default the annotator's.
    allow_self_judging : let a model judge its own labels all the same.
    controls : planted controls of each type.
    against : labels to compare with (Q3): `gold`, or `file:<path>`.
    ratings : people's ratings: a CSV file, or a folder of them.
    encoder : that tells words apart; by default MiniLM, and SmolLM2 for stores of MiniLM's concepts.
    bertscore : also give BERTScore against the gold name, with this encoder.
    base_url, concurrency, timeout, price : of `openai:` systems.

    Raises
    ------
    InputError
        if an option is wrong.
    ConceptBenchError
        if the system or a judge cannot be asked at all.
    """
    if split not in get_args(Split):
        raise InputError(f"--split {split}: give {' or '.join(get_args(Split))}")
    if against not in {None, GOLD} and not str(against).startswith("file:"):
        raise InputError(f"--against {against}: give gold, or file:<path>")
    if controls < 2:
        raise InputError(f"--controls {controls}: give at least 2, one for each half")
    progress = progress or Silent()
    check_judges(judges, annotator, allow_self_judging=allow_self_judging)
    paths = [] if store is None else [store] if isinstance(store, str | Path) else list(store)
    stores = [ConceptStore.open(path) for path in paths]
    chosen_encoder = encoder or _default_encoder(stores)
    asked = load_prompt(prompt).vary(unit=unit, contexts=contexts)
    drawing = _Drawing(Similarity(chosen_encoder, progress), split, purities, seed, limit)
    token_encoder = open_token_encoder(bertscore) if bertscore is not None else None
    folder = open_folder(out)
    started = datetime.datetime.now(datetime.UTC)
    clock = time.perf_counter()
    # Read before anybody is asked, so that a wrong file costs nothing.
    labels = _labels_against(against)
    rated = read_ratings(Path(ratings)) if ratings is not None else []
    with ExitStack() as held:
        clients = _Clients(
            held.enter_context(Journal(folder / "journal.sqlite")),
            {"concurrency": concurrency, "timeout": timeout, "price": price},
        )
        held.callback(clients.close)
        namers: list[Annotator] = []
        records: list[Record] = []
        for condition in conditions(study, asked, stores, drawing.items):
            namer = open_annotator(annotator, prompt=condition.prompt, open_client=clients.opener(base_url))
            namers.append(namer)
            records += _named(condition, namer, progress)
        # A copy: a model that judges too goes on counting.
        usage = replace(namers[0].usage) if namers[0].usage is not None else None
        _compare_with(records, against, labels)
        records += _controls(split, purities, controls, seed) if judges else []
        judge_usage = _judge(records, judges, clients.opener(judge_base_url or base_url), seed, progress)
    taken = _add_people(records, Path(ratings)) if ratings is not None else 0
    digest = write_records(folder, records_table(records))
    scores = score(records, drawing.similarity, bertscore_encoder=token_encoder, seed=seed)
    if taken < len(rated):
        scores.undefined["ratings"] = f"{len(rated) - taken} of {len(rated)} ratings are of other labels than these."
    planted = [record for record in records if record["role"] == "control"]
    prompts = {name: digest for namer in namers for name, digest in namer.digests().items()}
    result = Result(
        task=TASK,
        task_version=TASK_VERSION,
        system=namers[0].name,
        metrics=scores.metrics,
        provenance={
            "conceptbench": package_version(),
            "dataset": _dataset(stores, split, purities),
            "dataset_sha256": _items_digest(records),
            "study": study,
            "seed": seed,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "prompts": prompts | ({"rubric": load_rubric().sha256} if judges else {}),
            "prompt": asked.name if namers[0].prompt else "",
            "decoding": {"temperature": 0},
            "encoder": {"model": chosen_encoder, "name": drawing.similarity.name, "digest": drawing.similarity.digest},
            "bertscore": (
                {"model": bertscore, "digest": token_encoder.digest, "reference": "gold name"}
                if token_encoder
                else None
            ),
            "against": against,
            "judges": [
                asdict(used) | {"system": name, "decides": name in (selected_judges(planted) or [])}
                for name, used in judge_usage.items()
            ],
            "cost_usd": usage.cost if usage is not None else None,
            "tokens": {name: sum(record[f"tokens_{name}"] for record in records) for name in ("in", "out")},
            "undefined": scores.undefined,
        },
        records_sha256=digest,
    )
    write_result(folder, result)
    return result


def rescore(folder: Path, result: Result, progress: Progress | None = None) -> Scores:
    """Compute a run's scores again from its records, with the encoder that its result names.

    Raises
    ------
    InputError
        if the encoder here is not the one of the run.
    """
    provenance = result.provenance
    similarity = Similarity(provenance["encoder"]["model"], progress)
    check_weights(similarity, provenance["encoder"]["digest"])
    token_encoder = None
    if provenance["bertscore"] is not None:
        token_encoder = open_token_encoder(provenance["bertscore"]["model"])
        check_weights(token_encoder, provenance["bertscore"]["digest"])
    return score(read_records(folder), similarity, bertscore_encoder=token_encoder, seed=provenance["seed"])


def item_scores(folder: Path, result: Result, progress: Progress | None = None) -> ItemScores:
    """Give the values of single items, computed from the records; in a study an item stands once a condition."""
    scores = rescore(folder, result, progress)
    names = [record["condition"] + "|" * bool(record["condition"]) + record["item"] for record in scores.items]
    return ItemScores(
        values={name: {names[row]: value for row, value in own.items()} for name, own in scores.values.items()},
        groups={name: record["concept"] for name, record in zip(names, scores.items, strict=True)},
    )


def recompute(folder: Path, result: Result, progress: Progress | None = None) -> Mapping[str, Metric]:
    """Compute a run's metrics again from its records alone."""
    return rescore(folder, result, progress).metrics


@dataclass(frozen=True)
class _Drawing:
    """How items are drawn in this run."""

    similarity: Similarity
    split: Split
    purities: Sequence[float]
    seed: int
    limit: int | None

    def items(self, source: Any) -> list[Item]:
        """Draw the items of a lexicon (a mapping) or of layers of a store."""
        if isinstance(source, Mapping):
            return gold_items(
                source, self.similarity, split=self.split, purities=self.purities, seed=self.seed, limit=self.limit
            )
        return store_items(source, self.similarity, seed=self.seed, limit=self.limit)


class _Clients:
    """The clients of a run, one a system and server; they share its journal and are closed together."""

    def __init__(self, journal: Journal, options: Mapping[str, Any]) -> None:
        self._journal, self._options = journal, options
        self._open: dict[tuple[str, str | None], LLM] = {}

    def opener(self, base_url: str | None) -> Callable[[str], LLM]:
        def open_client(system: str) -> LLM:
            key = (system, base_url if parse_system(system)[0] == "openai" else None)
            if key not in self._open:
                self._open[key] = open_llm(system, journal=self._journal, base_url=base_url, **self._options)
            return self._open[key]

        return open_client

    def close(self) -> None:
        for client in self._open.values():
            client.close()
        self._open.clear()


def _named(condition: Condition, namer: Annotator, progress: Progress) -> list[Record]:
    stage = f"Naming concepts with {namer.name}" + (f", {condition.name}" if condition.name else "")
    attempts = annotate([item.view for item in condition.items], namer, progress, stage)
    return [
        item_record(item, tried, condition=condition.name, language=condition.language)
        for item, tried in zip(condition.items, attempts, strict=True)
    ]


def _labels_against(against: str | None) -> dict[str, str]:
    return {} if against in {None, GOLD} else read_labels(Path(parse_system(str(against))[1]))


def _compare_with(records: Sequence[Record], against: str | None, labels: Mapping[str, str]) -> None:
    """Set the label that each is to be compared with."""
    if against is None:
        return
    found = 0
    for record in records:
        gold = gold_of(record) if against == GOLD else None
        record["other"] = gold.name if gold is not None else labels.get(record["item"])
        found += record["other"] is not None
    if not found:
        raise InputError(f"--against {against}: it has a label for none of the items")


def _controls(split: Split, purities: Sequence[float], count: int, seed: int) -> list[Record]:
    other: Split = "dev" if split == "test" else "test"
    return plant(load_lexicon(), split=other, purities=purities, count=count, seed=seed)


def _judge(
    records: Sequence[Record],
    judges: Sequence[str],
    open_client: Callable[[str], LLM],
    seed: int,
    progress: Progress,
) -> dict[str, Usage]:
    used = {}
    for system in judges:
        name, ratings, usage = judge(records, system, open_client(system), seed=seed, progress=progress)
        used[name] = usage
        for row, rating in ratings.items():
            records[row]["ratings"].append(rating)
    return used


def _add_people(records: Sequence[Record], path: Path) -> int:
    """Put people's ratings of the present labels into the records, and count them."""
    items = [record for record in records if record["role"] == "item" and not record["condition"]]
    row_of = {record["item"]: record for record in items}
    ratings = read_ratings(path, {record["item"]: record["label"] for record in items})
    for rating in ratings:
        record = row_of[rating.item]
        record["ratings"].append(
            {
                "rater": rating.rater,
                "panel": PEOPLE,
                "grade": rating.grade,
                "preference": rating.q3 if rating.other == record["other"] else None,
                "chosen": None,
                "raw": None,
            }
        )
    return len(ratings)


def _default_encoder(stores: Sequence[ConceptStore]) -> str:
    """Name an encoder other than the one that was clustered."""
    return SMOLLM2 if any(model == MINILM for store in stores for model in store.models) else MINILM


def _dataset(stores: Sequence[ConceptStore], split: str, purities: Sequence[float]) -> str:
    if stores:
        return "; ".join(
            f"concepts of {', '.join(store.models)} over {store.manifest.get('corpus', {}).get('name', 'a corpus')}"
            for store in stores
        )
    return f"gold lexicon, split {split}, purities {', '.join(f'{purity:g}' for purity in purities)}"


def _items_digest(records: Sequence[Record]) -> str:
    """Digest what was asked, so that runs on the same items can be told."""
    columns = ("condition", "item", "words", "counts", "held_out", "strangers")
    asked = [[record[name] for name in columns] for record in records if record["role"] == "item"]
    return hashlib.sha256(json.dumps(asked, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()
