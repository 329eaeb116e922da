"""From records to numbers: every score of the explanation task, computed from the records alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from conceptbench.benchmark.modules import Answer, judge_explanation
from conceptbench.eval.explanation.bertscores import bertscores
from conceptbench.eval.explanation.panels import score_judgements
from conceptbench.eval.explanation.records import NOT_RUN, Record, answers_of
from conceptbench.eval.methods.sasc.candidates import Candidate, ranked, score_candidates
from conceptbench.eval.result import Metric, MetricKey
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.eval.task import ItemScores, Provenance, Scores
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.progress import Progress
from conceptbench.runtime.similarity import Similarity, auroc, check_weights, open_token_encoder

LEVEL: Final = 0.05
"""P-values below it are significant."""

Values = dict[int, float]
"""The value of single runs, by the record's row."""

_NO_ANSWER = "No module of the run has an answer."


@dataclass(frozen=True)
class ScoredRun:
    """A run with its scored candidates.

    Attributes
    ----------
    record : of the run.
    candidates : best first.
    matches : whether each candidate is right; None where the module's answer is not known.
    """

    record: Record
    candidates: tuple[Candidate, ...]
    matches: tuple[bool, ...] | None

    @property
    def best(self) -> str | None:
        """The text of the best candidate; None where there is none."""
        return self.candidates[0].text if self.candidates else None


Runs = Mapping[int, ScoredRun]
"""Runs by their record's row."""


@dataclass(frozen=True)
class ExplanationScores(Scores):
    """The scores of an explanation run, with the runs that they are of, in the order of the records."""

    runs: tuple[ScoredRun, ...] = ()


@dataclass(frozen=True)
class _Marker:
    """Tells right explanations from wrong ones; `plain` by the answers' patterns alone, as in the SASC paper."""

    answers: Mapping[str, Answer]
    plain: bool

    def right(self, text: str | None, module: str) -> bool:
        """Tell whether a text is a right explanation of a module; without a text it is not."""
        if text is None:
            return False
        answer = self.answers[module]
        return answer.accepts(text) if self.plain else judge_explanation(text, answer, self.answers.values())

    def by_chance(self, text: str | None, module: str) -> float:
        """Give the share of the other modules that a text would be a right explanation of."""
        return float(np.mean([self.right(text, rival) for rival in self.answers if rival != module]))


def score(rows: Sequence[Record], provenance: Provenance, progress: Progress | None = None) -> ExplanationScores:
    """Compute every metric from the records.

    Parameters
    ----------
    rows : see `records.Record`.
    provenance : is read for `seed`; `keeps_order`, whether the explainer ranked its candidates itself, which else are
        ranked by their strings; `plain_patterns`, whether an explanation is right where the pattern takes it, without
        the guard; `encoder` of explanation_similarity and `bertscore`, where they are not None; and `judges`.
    progress : shows how far the encoder is.

    Raises
    ------
    InputError
        if an encoder has other weights here than in the run.
    """
    seed = provenance["seed"]
    marker = _Marker(answers_of(rows), provenance["plain_patterns"])
    runs = {
        row: _scored_run(record, marker, provenance["keeps_order"], seed)
        for row, record in enumerate(rows)
        if record.reason != NOT_RUN
    }
    verdicts = score_judgements(rows, {row: run.best for row, run in runs.items()}, seed)
    closeness = _bertscores(runs, provenance)
    values: dict[str, Values] = {
        **_accuracy(runs, marker),
        **_auroc_within(runs),
        **_scores(runs),
        **_discoveries(runs),
        **_identification(runs),
        **_similarity(runs, provenance, progress),
        **{f"bertscore_{end}": _of_best(scores) for end, scores in closeness.items() if scores},
        "equivalence": dict(verdicts.equivalent),
    }
    # Over candidates, not runs, as in the paper.
    of_candidates: dict[str, Mapping[int, Sequence[float]]] = {
        "accuracy_no_ranking": {row: run.matches for row, run in runs.items() if run.matches is not None},
        **{f"bertscore_no_ranking_{end}": scores for end, scores in closeness.items()},
    }
    metrics = dict(verdicts.metrics)
    for name, by_run in values.items():
        metrics |= _breakdowns(name, {row: [value] for row, value in by_run.items()}, runs, seed)
    for name, by_candidate in of_candidates.items():
        metrics |= _breakdowns(name, by_candidate, runs, seed)
    return ExplanationScores(
        metrics=metrics,
        items=_item_scores(values, runs),
        undefined={**verdicts.undefined, **_undefined(values, runs, judged=bool(provenance.get("judges")))},
        runs=tuple(runs.values()),
    )


def candidates_of(record: Record, *, keeps_order: bool, seed: int) -> list[Candidate]:
    """Score a run's candidates and put the best first.

    Parameters
    ----------
    record : of the run.
    keeps_order : whether the explainer gave the best first; else they are ranked by their scores.
    seed : of the permutations.
    """
    spread = record.spread or 0.0
    if spread <= 0.0:
        return [Candidate(candidate.text) for candidate in record.candidates]
    scored = score_candidates(record.candidates, spread, generator_of("permutations", seed, record.run))
    return scored if keeps_order else ranked(scored)


def _scored_run(record: Record, marker: _Marker, keeps_order: bool, seed: int) -> ScoredRun:
    candidates = tuple(candidates_of(record, keeps_order=keeps_order, seed=seed))
    if record.module not in marker.answers:
        return ScoredRun(record, candidates, None)
    matches = tuple(marker.right(candidate.text, record.module) for candidate in candidates)
    return ScoredRun(record, candidates, matches)


def _accuracy(runs: Runs, marker: _Marker) -> dict[str, Values]:
    """Tell whether the explanations of modules with an answer are right, and baselines, and how often by chance."""
    known = {row: run for row, run in runs.items() if run.matches is not None}
    if not known:
        return {}

    def right(texts: Mapping[int, str | None]) -> Values:
        return {row: float(marker.right(text, runs[row].record.module)) for row, text in texts.items()}

    first = {row: run.record.candidates[0].text if run.record.candidates else None for row, run in known.items()}
    values = {
        "accuracy": {row: float((run.matches or (False,))[0]) for row, run in known.items()},
        "accuracy_any": {row: float(any(run.matches or ())) for row, run in known.items()},
        "accuracy_first": right(first),
    }
    if len(marker.answers) > 1:
        values["accuracy_chance"] = {row: marker.by_chance(run.best, run.record.module) for row, run in known.items()}
    baselines = {
        "accuracy_top_ngram": {row: next(iter(run.record.top_ngrams), None) for row, run in known.items()},
        "accuracy_tfidf": {row: run.record.baseline_tfidf for row, run in known.items()},
    }
    return values | {
        name: right(texts) for name, texts in baselines.items() if any(text is not None for text in texts.values())
    }


def _auroc_within(runs: Runs) -> dict[str, Values]:
    """Tell how well scores, ours and the explainer's own, tell right candidates of a run from wrong ones."""
    values: dict[str, Values] = {"auroc_within": {}, "auroc_within_own": {}}
    for row, run in runs.items():
        if run.matches is None:
            continue
        stated = {candidate.text: candidate.score for candidate in run.record.candidates}
        for name, scores in (
            ("auroc_within", [candidate.score for candidate in run.candidates]),
            ("auroc_within_own", [stated[candidate.text] for candidate in run.candidates]),
        ):
            matched = [(value, match) for value, match in zip(scores, run.matches, strict=True) if value is not None]
            right = np.array([value for value, match in matched if match])
            wrong = np.array([value for value, match in matched if not match])
            if len(right) and len(wrong):
                values[name][row] = auroc(right, wrong)
    return values


def _scores(runs: Runs) -> dict[str, Values]:
    """Give the best candidate's score, 0 where there is none; modules that always respond the same have no unit."""
    values = {}
    for name, controls in (("score", False), ("score_controls", True)):
        best = {
            row: run.candidates[0].score if run.candidates else None
            for row, run in runs.items()
            if run.record.control is controls and (run.record.spread or 0.0) > 0
        }
        if any(value is not None for value in best.values()):
            values[name] = {row: value or 0.0 for row, value in best.items()}
    return values


def _discoveries(runs: Runs) -> dict[str, Values]:
    """Find the runs whose best candidate is significant: on controls their share is the false-positive rate.

    What is said of a voxel rests on two tests, its prediction's and its explanation's; both must be significant.
    """
    values = {}
    for name, controls in (("discovery", False), ("discovery_controls", True)):
        group = {row: run for row, run in runs.items() if run.record.control is controls}
        if any(candidate.p is not None for run in group.values() for candidate in run.candidates):
            values[name] = {row: float(_significant(run)) for row, run in group.items()}
    return values


def _significant(run: ScoredRun) -> bool:
    p = run.candidates[0].p if run.candidates else None
    return p is not None and max(p, run.record.fit_p or 0.0) < LEVEL


def _identification(runs: Runs) -> dict[str, Values]:
    """Tell whether the best candidate's strings move the run's module more than any other, and how often by chance."""
    identified: Values = {}
    by_chance: Values = {}
    for row, run in runs.items():
        scores = {stated.module: stated.score for stated in run.record.own_scores}
        if run.record.control or len(scores) < 2:
            continue
        by_chance[row] = 1.0 / len(scores.keys() | {run.record.module})
        of_module = scores.pop(run.record.module, None)
        identified[row] = float(of_module is not None and of_module > max(scores.values()))
    if not identified:
        return {}
    # Runs without a candidate have no strings, and identify nothing.
    chance = float(np.mean(list(by_chance.values())))
    for row, run in runs.items():
        if not run.record.control and not run.record.own_scores:
            identified[row], by_chance[row] = 0.0, chance
    return {"identification": identified, "identification_chance": by_chance}


def _similarity(runs: Runs, provenance: Provenance, progress: Progress | None) -> dict[str, Values]:
    """Compare the best explanations with the true ones, by the encoder's vectors; 0 where there is none."""
    answers = {row: run.record.answer for row, run in runs.items() if run.record.answer is not None}
    if provenance["encoder"] is None:
        return {}
    similarity = Similarity(provenance["encoder"]["model"], progress)
    check_weights(similarity, provenance["encoder"]["digest"])
    best = {row: text for row in answers if (text := runs[row].best) is not None}
    similarity.learn([*best.values(), *(answers[row].explanation for row in best)])
    values = dict.fromkeys(answers, 0.0)
    for row, text in best.items():
        first, second = similarity.vectors([text, answers[row].explanation])
        values[row] = float(first @ second)
    return {"explanation_similarity": values}


def _bertscores(runs: Runs, provenance: Provenance) -> dict[str, dict[int, list[float]]]:
    """Give BERTScore's F1 of all candidates, by the references; nothing where the run names no encoder for it."""
    if provenance["bertscore"] is None:
        return {}
    encoder = open_token_encoder(provenance["bertscore"]["model"])
    check_weights(encoder, provenance["bertscore"]["digest"])
    answers = {row: run.record.answer for row, run in runs.items() if run.record.answer is not None}
    texts = {row: [candidate.text for candidate in runs[row].candidates] for row in answers}
    return bertscores(answers, texts, encoder)


def _of_best(scores: Mapping[int, Sequence[float]]) -> Values:
    """Give the first candidate's value of each run, 0 where there is no candidate."""
    return {row: candidates[0] if candidates else 0.0 for row, candidates in scores.items()}


def _breakdowns(name: str, values: Mapping[int, Sequence[float]], runs: Runs, seed: int) -> dict[MetricKey, Metric]:
    """Average values, of which a run may have several, over all runs and over each group of them."""
    metrics = {}
    for group, rows in _groups(runs, [row for row, of_run in values.items() if of_run]).items():
        pairs = [(float(value), runs[row].record.module) for row in rows for value in values[row]]
        metrics[MetricKey(name, group=group)] = mean_metric(
            [value for value, _ in pairs], [module for _, module in pairs], seed
        )
    return metrics


def _groups(runs: Runs, rows: Sequence[int]) -> Mapping[str, list[int]]:
    """Group runs: all, and by setting, family and helper, where there are several."""
    records = [run.record for run in runs.values()]
    several_families = len({record.family for record in records}) > 1
    several_helpers = len({record.helper for record in records}) > 1
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        record = runs[row].record
        groups[""].append(row)
        groups[f"{record.setting}"].append(row)
        if several_families:
            groups[record.family].append(row)
        if several_helpers:
            groups[f"helper={record.helper}"].append(row)
    return groups


def _item_scores(values: Mapping[str, Values], runs: Runs) -> ItemScores:
    """Name the values of single runs; the group of a run is its module."""
    names = {row: str(run.record.run) for row, run in runs.items()}
    return ItemScores(
        values={
            metric: {names[row]: value for row, value in by_run.items()} for metric, by_run in values.items() if by_run
        },
        groups={names[row]: run.record.module for row, run in runs.items()},
    )


def _undefined(values: Mapping[str, Values], runs: Runs, *, judged: bool) -> dict[str, str]:
    """Say why headline metrics are absent."""
    reasons = {}
    if not any(run.matches is not None for run in runs.values()):
        reasons["accuracy"] = "No module of the run has a known answer."
    elif not values["auroc_within"]:
        reasons["auroc_within"] = "No run has both right and wrong candidates with a score."
    if judged and not values["equivalence"]:
        reasons["equivalence"] = _NO_ANSWER
    return reasons
