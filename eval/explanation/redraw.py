"""Drawing a run's modules again: answers, and what modules respond, are never taken from a stranger."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.modules import FAMILIES, KnownModule, draw_modules
from conceptbench.eval.explanation.explaining import StringScorer, best_candidate
from conceptbench.eval.explanation.options import SETTINGS
from conceptbench.eval.explanation.records import NOT_RUN, Record, not_run, rows
from conceptbench.eval.methods.sasc.ngrams import draw_ngrams, ngrams_of, respond
from conceptbench.eval.task import Provenance
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import MINILM
from conceptbench.runtime.text_encoder import TextEncoder
from conceptbench.runtime.texts import shown

TOLERANCE: Final = 1e-3
"""A module's response may differ by this much of the module's own spread: encoders differ by machine."""

_DATASET = re.compile(r"drawn modules: ([a-z-]+(?:, [a-z-]+)*), (\d{1,3}) each")
_MOST_REPEATS = 100


@dataclass(frozen=True)
class _Draw:
    """The modules of a draw; of those that were run, the spread of their responses to n-grams, and the n-grams."""

    modules: Sequence[KnownModule]
    spread: Mapping[str, float]
    ngrams: Mapping[str, frozenset[str]]

    @property
    def run(self) -> Sequence[KnownModule]:
        """The modules that were run."""
        return self.modules[: len(self.spread)]


def check(_records: pa.Table, provenance: Provenance) -> None:
    """Refuse runs that were scored in another way than a leaderboard scores.

    Raises
    ------
    InputError
        if that is so.
    """
    if provenance.get("plain_patterns") is not False:
        raise InputError("result.json, provenance.plain_patterns: the board scores with the guard; run it without")
    if provenance.get("keeps_order") is not (provenance.get("explainer") != "sasc"):
        raise InputError("result.json, provenance.keeps_order: is not that of the explainer")


def redraw(records: pa.Table, provenance: Provenance) -> bool:
    """Draw a run's modules again, and compare: answers, spreads, and responses to all test strings.

    Returns
    -------
    False where the provenance names no modules that this package draws from the gold lexicon.

    Raises
    ------
    InputError
        if the records are not of these modules.
    """
    match = _DATASET.fullmatch(provenance["dataset"])
    families = tuple(match[1].split(", ")) if match else ()
    if match is None or not set(families) <= set(FAMILIES):
        return False
    settings, repeats = provenance.get("settings"), provenance.get("repeats")
    if not isinstance(settings, list) or not settings or not set(settings) <= set(SETTINGS):
        raise InputError(f"result.json, provenance.settings: must be some of {', '.join(SETTINGS)}")
    if not isinstance(repeats, int) or not 1 <= repeats <= _MOST_REPEATS:
        raise InputError(f"result.json, provenance.repeats: must be from 1 to {_MOST_REPEATS}")
    if provenance["encoder"]["model"] != MINILM:
        raise InputError(f"result.json, provenance.encoder: drawn modules are of {MINILM}")
    stated = rows(records)
    limit = len({record.module for record in stated if record.reason != NOT_RUN})
    draw = _draw(families, int(match[2]), provenance["seed"], _most(provenance.get("max_ngrams")), limit)
    _compare(stated, _expected(draw, settings, repeats))
    _check_responses(
        [record for record in stated if record.reason != NOT_RUN],
        draw,
        keeps_order=provenance["keeps_order"],
        seed=provenance["seed"],
    )
    return True


def _most(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise InputError("result.json, provenance.max_ngrams: must be null or a number from 1")
    return value


@lru_cache(maxsize=4)
def _draw(families: tuple[str, ...], count: int, seed: int, most: int | None, limit: int) -> _Draw:
    modules = draw_modules(load_lexicon(), families, count, seed, encoder=TextEncoder(MINILM))
    modules.sort(key=lambda module: families.index(module.family))
    texts = {module.id: tuple(module.corpus() if module.corpus is not None else ()) for module in modules}
    corpora = {of_module: ngrams_of(of_module) for of_module in set(texts.values())}
    with_ngrams = {
        module.id: (module.module, draw_ngrams(corpora[texts[module.id]], most, seed)) for module in modules[:limit]
    }
    responses = respond(with_ngrams)
    return _Draw(
        modules,
        {name: of_module.spread for name, of_module in responses.items()},
        {name: frozenset(ngrams) for name, (_, ngrams) in with_ngrams.items()},
    )


def _expected(draw: _Draw, settings: Sequence[str], repeats: int) -> list[dict[str, Any]]:
    """Give what each record must say of its module, in their order."""
    run = [
        _facts(module) | {"run": f"{module.id}/{setting}/{repeat}", "setting": setting, "repeat": repeat}
        for setting in settings
        for module in draw.run
        for repeat in range(repeats)
    ]
    left_out = draw.modules[len(draw.run) :]
    return [*run, *(_facts(module) | {"reason": NOT_RUN} for module in left_out if module.answer is not None)]


def _facts(module: KnownModule) -> dict[str, Any]:
    record = not_run(module)
    return {name: getattr(record, name) for name in ("module", "family", "answer", "control", "fit_p")}


def _compare(stated: Sequence[Record], expected: Sequence[Mapping[str, Any]]) -> None:
    if len(stated) != len(expected):
        raise InputError(f"its records have {len(stated)} rows; those of the dataset it names are {len(expected)}")
    for record, facts in zip(stated, expected, strict=True):
        wrong = [name for name, value in facts.items() if getattr(record, name) != value]
        if wrong:
            raise InputError(
                f"its records are of another dataset: a row of the module {shown(record.module)} has another "
                f"{wrong[0]} than that of {shown(facts['module'])} in the dataset it names"
            )


def _check_responses(stated: Sequence[Record], draw: _Draw, *, keeps_order: bool, seed: int) -> None:
    """Compare the responses to n-grams and to the strings of all candidates with those of the modules."""
    texts = list(
        dict.fromkeys(
            text
            for record in stated
            for candidate in record.candidates
            for text in (*candidate.related, *candidate.unrelated)
        )
    )
    index = {text: number for number, text in enumerate(texts)}
    responses = respond({module.id: (module.module, texts) for module in draw.run})
    values = {name: of_module.values for name, of_module in responses.items()}
    rivals = [module.id for module in draw.run if not module.control and draw.spread[module.id] > 0]
    scorer = StringScorer(index, {name: values[name] for name in rivals}, draw.spread)
    for record in stated:
        _check_ngrams(record, draw)
        near = _near(record, draw)
        for candidate in record.candidates:
            for strings, stated_values in (
                (candidate.related, candidate.related_values),
                (candidate.unrelated, candidate.unrelated_values),
            ):
                if not _close(stated_values, [float(values[record.module][index[text]]) for text in strings], near):
                    raise InputError(
                        f"records.parquet: {shown(str(record.run))} states responses that its module does not give"
                    )
        _check_own_scores(record, scorer, keeps_order=keeps_order, seed=seed)


def _check_ngrams(record: Record, draw: _Draw) -> None:
    """Compare the number of n-grams, the spread over them, and the strongest ones."""
    ngrams, spread = draw.ngrams[record.module], draw.spread[record.module]
    if record.ngrams != len(ngrams) or not _close([record.spread], [spread], _near(record, draw)):
        raise InputError(
            f"its records are of other n-grams: {shown(str(record.run))} has another spread than the module"
        )
    if not set(record.top_ngrams) <= ngrams:
        raise InputError(f"records.parquet: {shown(str(record.run))} names n-grams that are not in the corpus")


def _check_own_scores(record: Record, scorer: StringScorer, *, keeps_order: bool, seed: int) -> None:
    """Compare what the best candidate's strings score on every module."""
    if not record.own_scores:
        return
    best = best_candidate(record, keeps_order=keeps_order, seed=seed)
    expected = scorer.scores(best) if best is not None else ()
    if not expected or [score.module for score in record.own_scores] != [score.module for score in expected]:
        raise InputError(f"records.parquet: {shown(str(record.run))} has scores of other modules than those of the run")
    if not _close([score.score for score in record.own_scores], [score.score for score in expected], TOLERANCE):
        raise InputError(f"records.parquet: {shown(str(record.run))} states scores that its strings do not get")


def _near(record: Record, draw: _Draw) -> float:
    """Give how far responses may be from the module's."""
    return TOLERANCE * (draw.spread[record.module] or 1.0)


def _close(stated: Sequence[float | None], expected: Sequence[float], within: float) -> bool:
    if len(stated) != len(expected) or any(value is None for value in stated):
        return False
    return bool(np.allclose(np.array(stated, dtype=float), np.array(expected), rtol=0.0, atol=within))
