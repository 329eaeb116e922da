"""The word lists of the annotation task, drawn again, so that neither items nor gold answers come from a stranger."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

from conceptbench.benchmark.items import PURITIES
from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.prompts import DEFAULT_PROMPT, load_prompt
from conceptbench.eval.annotation.controls import ERRORS, RIGHT, plant
from conceptbench.eval.annotation.items import Item, gold_items
from conceptbench.eval.annotation.panels import JUDGES
from conceptbench.eval.annotation.records import item_record
from conceptbench.eval.annotation.scores import gold_of
from conceptbench.eval.annotation.studies import conditions
from conceptbench.leaderboard.settings import not_taken
from conceptbench.leaderboard.submission import Submission
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import MINILM, SMOLLM2
from conceptbench.runtime.similarity import Similarity
from conceptbench.runtime.texts import shown

PINNED: Final = (MINILM, SMOLLM2)
"""The encoders that scores are computed with."""

ASKED: Final = (
    "condition",
    "item",
    "concept",
    "language",
    "kind",
    "purity",
    "model",
    "layer",
    "size",
    "words",
    "counts",
    "contexts",
    "held_out",
    "strangers",
)
"""The columns of records that say what was asked, and what the right answer is."""

_GOLD = re.compile(r"gold lexicon, split (dev|test), purities ([0-9.]+(?:, [0-9.]+){0,9})")


def check(submission: Submission) -> None:
    """Draw a submission's gold word lists again, and compare.

    Raises
    ------
    InputError
        if the dataset is no such draw, is of the split for trying prompts, or the records are not of it.
    """
    provenance, rows = submission.result.provenance, _rows(submission, "item")
    match = _GOLD.fullmatch(provenance["dataset"])
    if match is None:
        raise not_taken(provenance["dataset"])
    if match[1] != "test":
        raise InputError("its items are of the split dev, which is for trying prompts: run it with --split test")
    if provenance["encoder"]["model"] != MINILM:
        raise InputError(f"result.json, provenance.encoder: gold word lists are scored with {MINILM}")
    study = provenance.get("study")
    if study is not None and not isinstance(study, str):
        raise InputError("result.json, provenance.study: must be null or a study's name")
    concepts: dict[str, set[str]] = {}
    for row in rows:
        concepts.setdefault(row["condition"], set()).add(row["concept"])
    if not rows:
        raise InputError("its records have no item")
    limit = max(map(len, concepts.values()))
    expected = _drawn(study, _purities(match[2]), provenance["seed"], limit)
    _compare(rows, expected)


def check_controls(submission: Submission) -> None:
    """Plant the judges' controls again, and compare; and check that ratings are by the judges that the result names.

    Raises
    ------
    InputError
        if a control, or what labels are compared with, is not what it must be.
    """
    provenance, found = submission.result.provenance, _rows(submission, "control")
    items = _rows(submission, "item")
    if len(found) + len(items) != submission.records.num_rows:
        raise InputError("records.parquet: a row is neither an item nor a control")
    _check_other(provenance, items)
    tokens = {name: sum(row[f"tokens_{name}"] or 0 for row in [*items, *found]) for name in ("in", "out")}
    if tokens != provenance.get("tokens"):
        raise InputError("result.json, provenance.tokens: are not those of the records")
    raters = {own["rater"] for row in [*items, *found] for own in row["ratings"] if own["panel"] == JUDGES}
    named = {own.get("system") for own in provenance.get("judges") or [] if isinstance(own, dict)}
    if not raters <= named:
        raise InputError("records.parquet: has ratings by judges that the result does not name")
    if not raters and not found:
        return
    match = _GOLD.fullmatch(provenance["dataset"])
    purities = _purities(match[2]) if match else PURITIES
    other = "test" if match and match[1] == "dev" else "dev"
    types = 1 + len(ERRORS)
    planted = plant(
        load_lexicon(),
        split=other,  # type: ignore[arg-type]
        purities=purities,
        count=max(2, -(-len(found) // types)),
        seed=provenance["seed"],
    )
    columns = (*ASKED, "label", "control", "half")
    if not any(row["control"] == RIGHT for row in found) or [_of(row, columns) for row in found] != [
        _of(row, columns) for row in planted
    ]:
        raise InputError("records.parquet: the planted controls are not those that its seed plants")


def _rows(submission: Submission, role: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = submission.records.to_pylist()
    return [row for row in rows if row["role"] == role]


def _purities(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(", "))
    except ValueError as error:
        raise InputError("result.json, provenance.dataset: its purities are no numbers") from error


@cache
def _similarity() -> Similarity:
    # What it learns of the lexicon's words serves every draw.
    return Similarity(MINILM)


@lru_cache(maxsize=16)
def _drawn(study: str | None, purities: tuple[float, ...], seed: int, limit: int) -> Sequence[Mapping[str, Any]]:
    def draw(lexicon: Any) -> list[Item]:
        return gold_items(lexicon, _similarity(), split="test", purities=purities, seed=seed, limit=limit)

    return [
        item_record(item, [], condition=condition.name, language=condition.language)
        for condition in conditions(study, load_prompt(DEFAULT_PROMPT), [], draw)
        for item in condition.items
    ]


def _of(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[name] for name in columns)


def _compare(rows: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]) -> None:
    if len(rows) != len(expected):
        raise InputError(f"its records have {len(rows)} items; the dataset it names has {len(expected)}")
    for row, right in zip(rows, expected, strict=True):
        wrong = [name for name in ASKED if row[name] != right[name]]
        if wrong:
            raise InputError(
                f"its records are of another dataset: {shown(str(row['item']))} has another {wrong[0]} than "
                f"{shown(right['item'])} of the dataset it names"
            )


def _check_other(provenance: Mapping[str, Any], items: Sequence[dict[str, Any]]) -> None:
    if provenance.get("against") != "gold":
        return
    for row in items:
        gold = gold_of(row)
        if gold is not None and row["other"] != gold.name:
            raise InputError(f"records.parquet: {shown(row['item'])} is not compared with its gold name")
