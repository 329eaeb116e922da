"""The modules of the explanation task, drawn again: answers, and what modules respond, never come from a stranger."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from conceptbench.benchmark.modules import FAMILIES, KnownModule
from conceptbench.eval.explanation.collect import SETTINGS
from conceptbench.eval.explanation.modules import Choice
from conceptbench.eval.explanation.records import NOT_RUN, answer_row
from conceptbench.eval.explanation.scoring import candidates_of
from conceptbench.eval.methods.sasc.ngrams import drawn, ngrams_of, respond
from conceptbench.leaderboard.settings import not_taken
from conceptbench.leaderboard.submission import Submission
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import MINILM
from conceptbench.runtime.progress import Silent
from conceptbench.runtime.text_encoder import TextEncoder
from conceptbench.runtime.texts import shown

TOLERANCE: Final = 1e-3
"""A module's response may differ by this much of the module's own spread: encoders differ by machine."""

_DRAWN = re.compile(r"drawn modules: ([a-z-]+(?:, [a-z-]+)*), (\d{1,3}) each")
_MOST_REPEATS = 100


@dataclass(frozen=True)
class _Draw:
    """The modules of a draw, what each gives to its n-grams, and the n-grams themselves."""

    modules: Sequence[KnownModule]
    spread: Mapping[str, float]
    ngrams: Mapping[str, frozenset[str]]


def check_options(submission: Submission) -> None:
    """Refuse runs that were scored in another way than the board scores.

    Raises
    ------
    InputError
        if that is so.
    """
    provenance = submission.result.provenance
    if provenance.get("plain_patterns") is not False:
        raise InputError("result.json, provenance.plain_patterns: the board scores with the guard; run it without")
    if provenance.get("keeps_order") is not (provenance.get("explainer") != "sasc"):
        raise InputError("result.json, provenance.keeps_order: is not that of the explainer")


def check(submission: Submission) -> None:
    """Draw a submission's modules again, and compare: answers, spreads, and responses to all test strings.

    Raises
    ------
    InputError
        if the dataset is no such draw, or the records are not of it.
    """
    provenance = submission.result.provenance
    match = _DRAWN.fullmatch(provenance["dataset"])
    families = tuple(match[1].split(", ")) if match else ()
    if match is None or not set(families) <= set(FAMILIES):
        raise not_taken(provenance["dataset"])
    settings, repeats = provenance.get("settings"), provenance.get("repeats")
    if not isinstance(settings, list) or not settings or not set(settings) <= set(SETTINGS):
        raise InputError(f"result.json, provenance.settings: must be some of {', '.join(SETTINGS)}")
    if not isinstance(repeats, int) or not 1 <= repeats <= _MOST_REPEATS:
        raise InputError(f"result.json, provenance.repeats: must be from 1 to {_MOST_REPEATS}")
    if provenance["encoder"]["model"] != MINILM:
        raise InputError(f"result.json, provenance.encoder: drawn modules are of {MINILM}")
    rows = submission.records.to_pylist()
    run = [row for row in rows if row["reason"] != NOT_RUN]
    count = len({row["module"] for row in run})
    found = _draw(families, int(match[2]), provenance["seed"], _most(provenance.get("max_ngrams")), count)
    _compare(rows, _expected(found.modules, count, settings, repeats))
    _check_responses(run, found, count, keeps_order=provenance["keeps_order"], seed=provenance["seed"])


def _most(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise InputError("result.json, provenance.max_ngrams: must be null or a number from 1")
    return value


@lru_cache(maxsize=4)
def _draw(families: tuple[str, ...], count: int, seed: int, most: int | None, limit: int) -> _Draw:
    encoder = TextEncoder(MINILM)
    modules, _ = Choice(file=None, families=families, count=count, seed=seed).open(encoder, Silent())
    texts = {module.id: tuple(module.corpus() if module.corpus is not None else ()) for module in modules}
    corpora = {own: ngrams_of(own) for own in set(texts.values())}
    asked = {module.id: (module.module, drawn(corpora[texts[module.id]], most, seed)) for module in modules[:limit]}
    responses = respond(asked)
    return _Draw(
        modules,
        {name: own.spread for name, own in responses.items()},
        {name: frozenset(ngrams) for name, (_, ngrams) in asked.items()},
    )


def _expected(
    modules: Sequence[KnownModule], limit: int, settings: Sequence[str], repeats: int
) -> list[Mapping[str, Any]]:
    """Give what each record must say of its module, in their order."""
    run = [
        _facts(module) | {"run": f"{module.id}/{setting}/{repeat}", "setting": setting, "repeat": repeat}
        for setting in settings
        for module in modules[:limit]
        for repeat in range(repeats)
    ]
    left_out = [_facts(module) | {"reason": NOT_RUN} for module in modules[limit:] if module.answer is not None]
    return [*run, *left_out]


def _facts(module: KnownModule) -> dict[str, Any]:
    answer = answer_row(module.answer)
    return {
        "module": module.id,
        "family": module.family,
        "answer": None if answer is None else _listed(answer),
        "control": module.control,
        "fit_p": module.fit_p,
    }


def _listed(value: Any) -> Any:
    """Give tuples as lists, as Parquet gives them back."""
    if isinstance(value, dict):
        return {name: _listed(own) for name, own in value.items()}
    return [_listed(own) for own in value] if isinstance(value, list | tuple) else value


def _compare(rows: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]) -> None:
    if len(rows) != len(expected):
        raise InputError(f"its records have {len(rows)} rows; those of the dataset it names are {len(expected)}")
    for row, right in zip(rows, expected, strict=True):
        wrong = [name for name, value in right.items() if row[name] != value]
        if wrong:
            raise InputError(
                f"its records are of another dataset: a row of the module {shown(str(row['module']))} has another "
                f"{wrong[0]} than that of {shown(right['module'])} in the dataset it names"
            )


def _check_responses(
    rows: Sequence[Mapping[str, Any]], found: _Draw, limit: int, *, keeps_order: bool, seed: int
) -> None:
    modules = {module.id: module.module for module in found.modules[:limit]}
    rivals = [module.id for module in found.modules[:limit] if not module.control and found.spread[module.id] > 0]
    texts = list(
        dict.fromkeys(
            text for row in rows for own in row["candidates"] for text in (*own["related"], *own["unrelated"])
        )
    )
    place = {text: number for number, text in enumerate(texts)}
    heard = {name: own.values for name, own in respond({n: (m, texts) for n, m in modules.items()}).items()}
    for row in rows:
        name = row["module"]
        spread = found.spread[name]
        near = TOLERANCE * (spread or 1.0)
        if row["ngrams"] != len(found.ngrams[name]) or not _near([row["spread"]], [spread], near):
            raise InputError(
                f"its records are of other n-grams: {shown(row['run'])} has another spread than the module"
            )
        if not set(row["top_ngrams"]) <= found.ngrams[name]:
            raise InputError(f"records.parquet: {shown(row['run'])} names n-grams that are not in the corpus")
        for own in row["candidates"]:
            for side in ("related", "unrelated"):
                right = [float(heard[name][place[text]]) for text in own[side]]
                if not _near(own[f"{side}_values"], right, near):
                    raise InputError(
                        f"records.parquet: {shown(row['run'])} states responses that its module does not give"
                    )
        _check_own_scores(row, found, rivals, heard, place, keeps_order=keeps_order, seed=seed)


def _check_own_scores(
    row: Mapping[str, Any],
    found: _Draw,
    rivals: Sequence[str],
    heard: Mapping[str, np.ndarray],
    place: Mapping[str, int],
    *,
    keeps_order: bool,
    seed: int,
) -> None:
    """Compare what the best candidate's strings score on every module."""
    stated = {own["module"]: own["score"] for own in row["own_scores"]}
    if not stated:
        return
    best = next(iter(candidates_of(dict(row), keeps_order, seed)), None)
    strings = next((own for own in row["candidates"] if best is not None and own["text"] == best.text), None)
    if strings is None or not strings["related"] or not strings["unrelated"] or list(stated) != list(rivals):
        raise InputError(f"records.parquet: {shown(row['run'])} has scores of other modules than those of the run")
    sides = [[place[text] for text in strings[side]] for side in ("related", "unrelated")]
    right = [float(heard[name][sides[0]].mean() - heard[name][sides[1]].mean()) / found.spread[name] for name in rivals]
    if not _near(list(stated.values()), right, TOLERANCE):
        raise InputError(f"records.parquet: {shown(row['run'])} states scores that its strings do not get")


def _near(stated: Sequence[float | None], right: Sequence[float], within: float) -> bool:
    if len(stated) != len(right) or any(value is None for value in stated):
        return False
    return bool(np.allclose(np.array(stated, dtype=float), np.array(right), rtol=0.0, atol=within))
