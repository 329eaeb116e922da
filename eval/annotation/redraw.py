"""Drawing word lists and planted controls again, so that neither items nor gold answers come from a stranger."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

import pyarrow as pa

from conceptbench.benchmark.lexicon import PURITIES, Split, load_lexicon
from conceptbench.benchmark.prompts import DEFAULT_PROMPT, load_prompt
from conceptbench.eval.annotation.columns import ASKED
from conceptbench.eval.annotation.controls import ERRORS, RIGHT, plant
from conceptbench.eval.annotation.gold import gold_of
from conceptbench.eval.annotation.items import Item, gold_items
from conceptbench.eval.annotation.options import GOLD
from conceptbench.eval.annotation.records import CONTROL, ITEM, JUDGES, Record, item_record, rows
from conceptbench.eval.annotation.studies import conditions
from conceptbench.eval.task import Provenance
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import MINILM
from conceptbench.runtime.similarity import Similarity
from conceptbench.runtime.texts import shown

_GOLD: Final = re.compile(r"gold lexicon, split (dev|test), purities ([0-9.]+(?:, [0-9.]+){0,9})")


def redraw(records: pa.Table, provenance: Provenance) -> bool:
    """Draw a run's gold word lists again, and compare.

    Parameters
    ----------
    records : of a submission.
    provenance : its `dataset`, `encoder`, `seed` and `study` are read.

    Returns
    -------
    whether the provenance names such a draw; False of a run on the concepts of a store.

    Raises
    ------
    InputError
        if the records are not of the draw, or the draw is of the split for trying prompts.
    """
    dataset = _dataset(provenance)
    if dataset is None:
        return False
    split, purities = dataset
    if split != "test":
        raise InputError("its items are of the split dev, which is for trying prompts: run it with --split test")
    encoder = provenance.get("encoder")
    if not isinstance(encoder, Mapping) or encoder.get("model") != MINILM:
        raise InputError(f"result.json, provenance.encoder: gold word lists are scored with {MINILM}")
    study = provenance.get("study")
    if study is not None and not isinstance(study, str):
        raise InputError("result.json, provenance.study: must be null or a study's name")
    items = [row for row in rows(records) if row.role == ITEM]
    if not items:
        raise InputError("its records have no item")
    concepts: dict[str, set[str]] = {}
    for item in items:
        concepts.setdefault(item.condition, set()).add(item.concept)
    _compare(items, _draw(study, purities, _seed(provenance), max(map(len, concepts.values()))))
    return True


def check(records: pa.Table, provenance: Provenance) -> None:
    """Plant the judges' controls again, and compare; and hold the records against what the result says of the run.

    Raises
    ------
    InputError
        if a control, or what labels are compared with, is not what it must be; if ratings are by judges that the
        result does not name, or its tokens are not those of the records.
    """
    all_rows = rows(records)
    items = [row for row in all_rows if row.role == ITEM]
    controls = [row for row in all_rows if row.role == CONTROL]
    _check_compared(provenance, items)
    tokens = {"in": sum(row.tokens_in for row in all_rows), "out": sum(row.tokens_out for row in all_rows)}
    if tokens != provenance.get("tokens"):
        raise InputError("result.json, provenance.tokens: are not those of the records")
    raters = {rating.rater for row in all_rows for rating in row.ratings if rating.panel == JUDGES}
    judges = provenance.get("judges") or []
    names = {judge.get("system") for judge in judges if isinstance(judge, Mapping)}
    if not raters <= names:
        raise InputError("records.parquet: has ratings by judges that the result does not name")
    if raters or controls:
        _check_controls(provenance, controls)


def _check_controls(provenance: Provenance, controls: Sequence[Record]) -> None:
    split, purities = _dataset(provenance) or ("test", PURITIES)
    of_controls: Split = "test" if split == "dev" else "dev"
    types = 1 + len(ERRORS)
    planted = plant(
        load_lexicon(),
        split=of_controls,
        purities=purities,
        count=max(2, -(-len(controls) // types)),
        seed=_seed(provenance),
    )
    columns = (*ASKED, "label", "control", "half")
    if not any(control.control == RIGHT for control in controls) or (
        [_cells(control, columns) for control in controls] != [_cells(control, columns) for control in planted]
    ):
        raise InputError("records.parquet: the planted controls are not those that its seed plants")


def _check_compared(provenance: Provenance, items: Sequence[Record]) -> None:
    if provenance.get("against") != GOLD:
        return
    for item in items:
        gold = gold_of(item)
        if gold is not None and item.other != gold.name:
            raise InputError(f"records.parquet: {shown(item.item)} is not compared with its gold name")


def _dataset(provenance: Provenance) -> tuple[str, tuple[float, ...]] | None:
    """Read the split and the purities of gold word lists; None where the dataset is no such draw."""
    match = _GOLD.fullmatch(str(provenance.get("dataset")))
    if match is None:
        return None
    try:
        return match[1], tuple(float(part) for part in match[2].split(", "))
    except ValueError as error:
        raise InputError("result.json, provenance.dataset: its purities are no numbers") from error


def _seed(provenance: Provenance) -> int:
    seed = provenance.get("seed")
    if not isinstance(seed, int):
        raise InputError("result.json, provenance.seed: must be a whole number")
    return seed


@cache
def _similarity() -> Similarity:
    # What it learns of the lexicon's words serves every draw.
    return Similarity(MINILM)


@lru_cache(maxsize=16)
def _draw(study: str | None, purities: tuple[float, ...], seed: int, limit: int) -> Sequence[Record]:
    def draw(lexicon: Any) -> list[Item]:
        return gold_items(lexicon, _similarity(), split="test", purities=purities, seed=seed, limit=limit)

    return [
        item_record(item, [], condition=condition.name, language=condition.language)
        for condition in conditions(study, load_prompt(DEFAULT_PROMPT), [], draw)
        for item in condition.items
    ]


def _cells(row: Record, columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in columns)


def _compare(items: Sequence[Record], expected: Sequence[Record]) -> None:
    if len(items) != len(expected):
        raise InputError(f"its records have {len(items)} items; the dataset it names has {len(expected)}")
    for item, right in zip(items, expected, strict=True):
        wrong = [name for name in ASKED if getattr(item, name) != getattr(right, name)]
        if wrong:
            raise InputError(
                f"its records are of another dataset: {shown(item.item)} has another {wrong[0]} than "
                f"{shown(right.item)} of the dataset it names"
            )
