"""Collecting the records of an annotation run: ask the annotator, ask the judges, take in people's ratings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from conceptbench.benchmark.lexicon import Split, load_lexicon
from conceptbench.benchmark.prompts import Prompt, load_prompt
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.annotate import Annotator, annotate, open_annotator, read_labels
from conceptbench.eval.annotation.controls import plant
from conceptbench.eval.annotation.gold import gold_of
from conceptbench.eval.annotation.items import Item, gold_items, store_items
from conceptbench.eval.annotation.judges import judge, rubric_sha256
from conceptbench.eval.annotation.options import GOLD, AnnotationOptions
from conceptbench.eval.annotation.panels import selected_judges
from conceptbench.eval.annotation.records import CONTROL, ITEM, Rating, Record, item_record
from conceptbench.eval.annotation.studies import Condition, conditions
from conceptbench.eval.judges.asking import check_judges
from conceptbench.eval.rating.ratings import Rating as PersonsRating
from conceptbench.eval.rating.ratings import read_ratings
from conceptbench.eval.result import open_folder
from conceptbench.eval.rows import table_of
from conceptbench.eval.task import Collected
from conceptbench.runtime.clients import Clients
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.llm import Usage, parse_system, public_name
from conceptbench.runtime.models import MINILM, SMOLLM2
from conceptbench.runtime.progress import Progress
from conceptbench.runtime.similarity import Similarity, open_token_encoder
from conceptbench.runtime.text_encoder import TextEncoder

JOURNAL_FILE = "journal.sqlite"


def collect(options: AnnotationOptions, folder: Path, progress: Progress) -> Collected:
    """Have a system name concepts, and judges and people rate the labels.

    The concepts are gold items (word lists whose right name is known) or those of a store. When a run is started again
    in its folder, no question is asked twice.

    Raises
    ------
    InputError
        if an option is wrong.
    ConceptBenchError
        if the system or a judge cannot be asked at all.
    """
    check_judges(options.judges, options.annotator, allow_self_judging=options.allow_self_judging)
    inputs = _read_inputs(options, progress)
    with (
        Journal(open_folder(folder) / JOURNAL_FILE) as journal,
        Clients(journal, **options.client_options()) as clients,
    ):
        named = _name(options, inputs, clients, progress)
        records = _compared(named.records, options.against, inputs.labels)
        if options.judges:
            records += _controls(options)
        records, usages = _judged(records, options, clients, progress)
    undefined = {}
    if options.ratings is not None:
        records, used = _rated_by_people(records, options.ratings)
        left_out = len(inputs.ratings) - used
        if left_out:
            undefined["ratings"] = f"{left_out} of {len(inputs.ratings)} ratings are of other labels than these."
    return Collected(
        system=named.system,
        dataset=_dataset(inputs.stores, options),
        dataset_sha256=_items_digest(records),
        records=table_of(records, Record),
        facts=_facts(named, inputs, options, records, usages),
        undefined=undefined,
    )


@dataclass(frozen=True)
class _Inputs:
    """What a run reads before anybody is asked, so that a wrong file costs nothing.

    `labels` are those to compare with, by item; empty where none are compared, or the gold names are. `encoder` is the
    model of `similarity`, `token_encoder` that of BERTScore.
    """

    stores: Sequence[ConceptStore]
    prompt: Prompt
    labels: Mapping[str, str]
    ratings: Sequence[PersonsRating]
    encoder: str
    similarity: Similarity
    token_encoder: TextEncoder | None


@dataclass(frozen=True)
class _Named:
    """What the annotator gave, and what it is: its name, its prompt, the digests of its files, and what it cost."""

    records: list[Record]
    system: str
    prompt: str
    digests: Mapping[str, str]
    cost: float | None


def _read_inputs(options: AnnotationOptions, progress: Progress) -> _Inputs:
    stores = [ConceptStore.open(path) for path in options.store]
    prompt = load_prompt(options.prompt).vary(unit=options.unit, contexts=options.contexts)
    compares_files = options.against not in {None, GOLD}
    labels = read_labels(Path(parse_system(str(options.against))[1])) if compares_files else {}
    ratings = read_ratings(options.ratings) if options.ratings is not None else []
    encoder = options.encoder or _default_encoder(stores)
    return _Inputs(
        stores=stores,
        prompt=prompt,
        labels=labels,
        ratings=ratings,
        encoder=encoder,
        similarity=Similarity(encoder, progress),
        token_encoder=open_token_encoder(options.bertscore) if options.bertscore is not None else None,
    )


def _default_encoder(stores: Sequence[ConceptStore]) -> str:
    """Name an encoder other than the one that was clustered."""
    return SMOLLM2 if any(model == MINILM for store in stores for model in store.models) else MINILM


def _name(options: AnnotationOptions, inputs: _Inputs, clients: Clients, progress: Progress) -> _Named:
    """Have the annotator name the items of each condition."""

    def draw(source: Any) -> list[Item]:
        if isinstance(source, Mapping):
            return gold_items(
                source,
                inputs.similarity,
                split=options.split,
                purities=options.purities,
                seed=options.seed,
                limit=options.limit,
            )
        return store_items(source, inputs.similarity, seed=options.seed, limit=options.limit)

    annotators: list[Annotator] = []
    records: list[Record] = []
    for condition in conditions(options.study, inputs.prompt, inputs.stores, draw):
        annotator = open_annotator(options.annotator, prompt=condition.prompt, open_client=clients.open)
        annotators.append(annotator)
        records += _named_under(condition, annotator, progress)
    first = annotators[0]
    return _Named(
        records=records,
        system=first.name,
        prompt=inputs.prompt.name if first.prompt else "",
        digests={name: digest for annotator in annotators for name, digest in annotator.digests().items()},
        # Taken before the judges are asked: one that is the same model goes on counting.
        cost=first.usage.cost if first.usage is not None else None,
    )


def _named_under(condition: Condition, annotator: Annotator, progress: Progress) -> list[Record]:
    stage = f"Naming concepts with {annotator.name}" + (f", {condition.name}" if condition.name else "")
    attempts = annotate([item.view for item in condition.items], annotator, progress, stage)
    return [
        item_record(item, of_item, condition=condition.name, language=condition.language)
        for item, of_item in zip(condition.items, attempts, strict=True)
    ]


def _compared(records: Sequence[Record], against: str | None, labels: Mapping[str, str]) -> list[Record]:
    """Give the records with the label that each is to be compared with.

    Raises
    ------
    InputError
        if there is a label for none of them.
    """
    if against is None:
        return list(records)
    compared = []
    for record in records:
        gold = gold_of(record) if against == GOLD else None
        compared.append(replace(record, other=gold.name if gold is not None else labels.get(record.item)))
    if all(record.other is None for record in compared):
        raise InputError(f"--against {against}: it has a label for none of the items")
    return compared


def _controls(options: AnnotationOptions) -> list[Record]:
    """Plant controls on gold items of the split that is not asked about."""
    split: Split = "dev" if options.split == "test" else "test"
    return plant(load_lexicon(), split=split, purities=options.purities, count=options.controls, seed=options.seed)


def _judged(
    records: Sequence[Record], options: AnnotationOptions, clients: Clients, progress: Progress
) -> tuple[list[Record], dict[str, Usage]]:
    """Have each judge rate the labels; give the records with the ratings, and what each judge took, by its name."""
    judged, usages = list(records), {}
    for system in options.judges:
        client = clients.open(system, options.judge_base_url)
        ratings, usage = judge(records, system, client, seed=options.seed, progress=progress)
        usages[public_name(system)] = usage
        judged = [_with_rating(record, ratings.get(number)) for number, record in enumerate(judged)]
    return judged, usages


def _rated_by_people(records: Sequence[Record], path: Path) -> tuple[list[Record], int]:
    """Give the records with people's ratings of the present labels, and the number of these ratings."""
    items = {record.item: record for record in records if _is_rated_by_people(record)}
    ratings = read_ratings(path, {name: record.label for name, record in items.items()})
    for rating in ratings:
        record = items[rating.item]
        preference = rating.q3 if rating.other == record.other else None
        items[rating.item] = _with_rating(record, Rating(rating.rater, "people", rating.grade, preference))
    return [items[record.item] if _is_rated_by_people(record) else record for record in records], len(ratings)


def _is_rated_by_people(record: Record) -> bool:
    return record.role == ITEM and not record.condition


def _with_rating(record: Record, rating: Rating | None) -> Record:
    return record if rating is None else replace(record, ratings=(*record.ratings, rating))


def _dataset(stores: Sequence[ConceptStore], options: AnnotationOptions) -> str:
    if stores:
        return "; ".join(
            f"concepts of {', '.join(store.models)} over {store.manifest.get('corpus', {}).get('name', 'a corpus')}"
            for store in stores
        )
    purities = ", ".join(f"{purity:g}" for purity in options.purities)
    return f"gold lexicon, split {options.split}, purities {purities}"


def _items_digest(records: Sequence[Record]) -> str:
    """Digest what was asked, so that runs on the same items can be told."""
    columns = ("condition", "item", "words", "counts", "held_out", "strangers")
    rows = [[getattr(record, name) for name in columns] for record in records if record.role == ITEM]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


def _facts(
    named: _Named,
    inputs: _Inputs,
    options: AnnotationOptions,
    records: Sequence[Record],
    usages: Mapping[str, Usage],
) -> dict[str, Any]:
    """Give what the provenance records beside the options, or in their place."""
    deciding = selected_judges([record for record in records if record.role == CONTROL]) or []
    token_encoder = inputs.token_encoder
    return {
        "prompts": {**named.digests, **({"rubric": rubric_sha256()} if options.judges else {})},
        "prompt": named.prompt,
        "decoding": {"temperature": 0},
        "encoder": {"model": inputs.encoder, "name": inputs.similarity.name, "digest": inputs.similarity.digest},
        "bertscore": (
            {"model": options.bertscore, "digest": token_encoder.digest, "reference": "gold name"}
            if token_encoder is not None
            else None
        ),
        "judges": [asdict(usage) | {"system": name, "decides": name in deciding} for name, usage in usages.items()],
        "cost_usd": named.cost,
        "tokens": {
            "in": sum(record.tokens_in for record in records),
            "out": sum(record.tokens_out for record in records),
        },
    }
