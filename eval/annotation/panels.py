"""Scores from ratings: what people and judges say of the labels, and what controls show of the judges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from conceptbench.eval.annotation.controls import ERRORS, MEASURE, RIGHT, SELECT
from conceptbench.eval.annotation.groups import Measured, Values, resampled_units
from conceptbench.eval.annotation.judges import words_for_belonging
from conceptbench.eval.annotation.labels import CHANCE
from conceptbench.eval.annotation.records import JUDGES, PEOPLE, Rating, Record
from conceptbench.eval.judges.calibration import Share, corrected, prediction_powered, worth, youden
from conceptbench.eval.result import Metric, MetricKey
from conceptbench.eval.stats.agreement import SCALE, agreement

Votes = Sequence[Mapping[str, Rating]]
"""The ratings of each item by those of a panel who decide, by rater."""

_TIES: Final = ("both", "neither")


def panel_scores(items: Sequence[Record], panel: str, deciding: Sequence[str] | None, seed: int) -> Measured:
    """Score what a panel says of the labels.

    Parameters
    ----------
    panel : `judges` or `people`.
    deciding : the raters of the panel that count; all of them where it is None.
    seed : of the intervals.
    """
    end = "" if panel == JUDGES else f"_{panel}"
    votes = [
        {
            rating.rater: rating
            for rating in item.ratings
            if rating.panel == panel and (deciding is None or rating.rater in deciding)
        }
        for item in items
    ]
    accepted = _accepted(items, votes, missing_counts=panel != PEOPLE)
    values: dict[str, Values] = {f"acceptance{end}": accepted}
    undefined = {} if accepted else {f"acceptance{end}": "No answer of this panel could be read."}
    agreed = _agreement(items, votes, end, seed)
    values |= _preferences(votes, end)
    if panel == JUDGES:
        values |= _belonging(items, votes)
    return Measured(values, agreed.metrics, undefined | dict(agreed.undefined))


def calibration(
    items: Sequence[Record], controls: Sequence[Record], accepted: Values, deciding: Sequence[str] | None, seed: int
) -> Measured:
    """Measure the judges on one half of the controls, and correct acceptance by what that shows.

    Parameters
    ----------
    accepted : 1.0 for each item that the judges accept, else 0.0.
    deciding : the judges that were selected on the other half; None where there are no controls.
    seed : of the intervals.
    """
    half = [control for control in controls if control.half == MEASURE]
    sensitivity, specificities = _hits(half, deciding or [])
    if not sensitivity.n or not specificities or deciding is None:
        return Measured(undefined={"acceptance_corrected": "The judges were not calibrated: there are no controls."})
    metrics = {MetricKey(name): metric for name, metric in worth(sensitivity, _sum(specificities)).items()}
    metrics |= {MetricKey("judge_specificity", group=control): share.metric for control, share in specificities.items()}
    for judge in _raters(half):
        right, wrong = _hits(half, [judge])
        metrics[MetricKey("judge_youden", group=judge)] = youden(right, _sum(wrong))
    panel = metrics[MetricKey("judge_youden")]
    if panel.low <= 0.0:
        why = (
            f"The panel does not tell right labels from planted wrong ones better than chance: Youden's J is "
            f"{panel.value:.2f} ({panel.low:.2f} to {panel.high:.2f}). Its acceptance means nothing; take other judges."
        )
        return Measured(metrics=metrics, undefined={"acceptance_corrected": why})
    numbers, decisions = _decided(items, accepted)
    if numbers:
        # Labels that no judge answered for are not among the decisions; neither may such controls be here.
        answered, answered_by_type = _hits([control for control in half if _votes(control, deciding)], deciding)
        metrics[MetricKey("acceptance_corrected")] = corrected(
            decisions,
            resampled_units(items, numbers),
            answered,
            specificities | answered_by_type,
            asked=len(accepted),
            seed=seed,
        )
    return Measured(metrics=metrics)


def acceptance_by_people(
    items: Sequence[Record], accepted: Values, accepted_by_people: Values, seed: int
) -> dict[MetricKey, Metric]:
    """Estimate people's acceptance of all labels from the judges', where people rated a part of them."""
    numbers, decisions = _decided(items, accepted)
    people = {row: accepted_by_people[number] for row, number in enumerate(numbers) if number in accepted_by_people}
    if not people:
        return {}
    units = resampled_units(items, numbers)
    metric = prediction_powered(decisions, people, units, asked=len(accepted), seed=seed)
    return {MetricKey("acceptance_ppi"): metric}


def selected_judges(controls: Sequence[Record]) -> list[str] | None:
    """Give the judges that did better than chance on the selecting half; all of them where none did; None without.

    Half of all judges that throw coins do better by chance, so what counts is the lower end of their J.
    """
    judges = _raters(controls)
    if not judges:
        return None
    half = [control for control in controls if control.half == SELECT]
    good = []
    for judge in judges:
        sensitivity, specificities = _hits(half, [judge])
        wrong = _sum(specificities)
        if sensitivity.n and wrong.n and youden(sensitivity, wrong).low > 0.0:
            good.append(judge)
    return good or judges


def _accepted(items: Sequence[Record], votes: Votes, *, missing_counts: bool) -> dict[int, float]:
    """Decide which labels a panel accepts; an item that nobody answered for has no value.

    Parameters
    ----------
    missing_counts : whether a missing label counts as not accepted. People did not see all labels, so those that are
        missing say nothing of the ones that they saw.
    """
    accepted: dict[int, float] = {}
    for number, item in enumerate(items):
        if item.label is None:
            if missing_counts:
                accepted[number] = 0.0
        elif (decision := _decision(votes[number].values())) is not None:
            accepted[number] = float(decision)
    return accepted


def _agreement(items: Sequence[Record], votes: Votes, end: str, seed: int) -> Measured:
    """Measure how far the raters agree, and how precise they find what they accept."""
    numbers = [number for number, by_rater in enumerate(votes) if any(rating.grade for rating in by_rater.values())]
    if not numbers:
        return Measured()
    raters = sorted({rater for by_rater in votes for rater in by_rater})
    grades = [
        [rating.grade if (rating := votes[number].get(rater)) is not None else None for rater in raters]
        for number in numbers
    ]
    agreed = agreement(grades, resampled_units(items, numbers), seed)
    return Measured(
        metrics={MetricKey(name + end): metric for name, metric in agreed.metrics.items() if name != "acceptance"},
        undefined={name + end: why for name, why in agreed.undefined.items()},
    )


def _preferences(votes: Votes, end: str) -> dict[str, Values]:
    preferred = {
        number: verdict
        for number, by_rater in enumerate(votes)
        if (verdict := _preference(by_rater.values())) is not None
    }
    if not preferred:
        return {}
    return {
        f"preference{end}": {number: float(verdict == "label") for number, verdict in preferred.items()},
        f"preference_tie{end}": {number: float(verdict in _TIES) for number, verdict in preferred.items()},
    }


def _belonging(items: Sequence[Record], votes: Votes) -> dict[str, Values]:
    """Score how well the judges' choice of words is the concept's; a missing label counts as chance."""
    chosen = {
        number: float(np.mean([_balanced_accuracy(item, rating.chosen) for rating in votes[number].values()]))
        for number, item in enumerate(items)
        if votes[number] and item.held_out and item.strangers
    }
    if not chosen:
        return {}
    missing = {number: CHANCE for number, item in enumerate(items) if item.label is None and item.held_out}
    return {"discrimination_llm": missing | chosen}


def _decided(items: Sequence[Record], accepted: Values) -> tuple[list[int], list[float]]:
    """Give the labels that the judges decided on, and their decisions."""
    numbers = sorted(number for number in accepted if items[number].label is not None)
    return numbers, [accepted[number] for number in numbers]


def _hits(controls: Sequence[Record], judges: Sequence[str]) -> tuple[Share, dict[str, Share]]:
    """Count right decisions of a panel on right controls, and on wrong ones by error type.

    A control that no judge answered counts as a wrong decision.
    """
    counts: defaultdict[str | None, list[bool]] = defaultdict(list)
    for control in controls:
        decision = _decision(_votes(control, judges))
        counts[control.control].append(decision is (control.control == RIGHT))
    shares = {control: Share(sum(hits), len(hits)) for control, hits in counts.items()}
    return shares.get(RIGHT, Share(0, 0)), {control: shares[control] for control in ERRORS if control in shares}


def _sum(shares: Mapping[str, Share]) -> Share:
    return sum(shares.values(), Share(0, 0))


def _raters(controls: Sequence[Record]) -> list[str]:
    return sorted({rating.rater for control in controls for rating in control.ratings})


def _votes(control: Record, judges: Sequence[str]) -> list[Rating]:
    return [rating for rating in control.ratings if rating.rater in judges and rating.grade is not None]


def _decision(ratings: Iterable[Rating]) -> bool | None:
    """Decide by strict majority of those who answered; None where nobody did."""
    grades = [rating.grade for rating in ratings if rating.grade is not None]
    return None if not grades else 2 * sum(grade != SCALE[0] for grade in grades) > len(grades)


def _preference(ratings: Iterable[Rating]) -> str | None:
    """Decide for the label or the one compared with where more raters prefer it than the reverse; else it is a tie."""
    verdicts = [rating.preference for rating in ratings if rating.preference is not None]
    if not verdicts:
        return None
    lead = verdicts.count("label") - verdicts.count("other")
    return "both" if lead == 0 else "label" if lead > 0 else "other"


def _balanced_accuracy(item: Record, chosen: Sequence[str] | None) -> float:
    """Give the balanced accuracy of a judge's choice of words; no answer is chance."""
    words = words_for_belonging(item)
    if chosen is None or words is None:
        return CHANCE
    members, strangers = words[: len(words) // 2], words[len(words) // 2 :]
    hits = sum(word in chosen for word in members) / len(members)
    return float(hits + 1.0 - sum(word in chosen for word in strangers) / len(strangers)) / 2.0
