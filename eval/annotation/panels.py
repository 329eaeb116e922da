"""Scores from ratings: what people and judges say of the labels, and what the judges are worth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from conceptbench.eval.annotation.controls import ERRORS, RIGHT
from conceptbench.eval.annotation.judges import shown_for_belonging
from conceptbench.eval.annotation.records import Record
from conceptbench.eval.annotation.scores import Scores
from conceptbench.eval.judges.calibration import Share, corrected, prediction_powered, worth, youden
from conceptbench.eval.stats.agreement import SCALE, agreement

JUDGES: Final = "judges"
PEOPLE: Final = "people"

_TIES = ("both", "neither")


def score_panel(scores: Scores, panel: str, kept: Sequence[str] | None, seed: int) -> None:
    """Score what a panel says: people and judges apart; of judges, only those that were selected decide."""
    end = "" if panel == "judges" else f"_{panel}"
    ratings = [
        {r["rater"]: r for r in record["ratings"] if r["panel"] == panel and (kept is None or r["rater"] in kept)}
        for record in scores.items
    ]
    accepted: dict[int, float] = {}
    for row, record in enumerate(scores.items):
        if record["label"] is None:
            accepted[row] = 0.0
        elif (decision := _decision(ratings[row].values())) is not None:
            accepted[row] = float(decision)
    if panel == "people":
        # Labels that people did not see say nothing of theirs; that none was given is the same for all.
        accepted = {row: value for row, value in accepted.items() if ratings[row]}
    scores.values[f"acceptance{end}"] = accepted
    if not accepted:
        scores.undefined[f"acceptance{end}"] = "No answer of this panel could be read."
    raters = sorted({rater for own in ratings for rater in own})
    rows = [row for row, own in enumerate(ratings) if any(rating["grade"] for rating in own.values())]
    if rows:
        grades = [[ratings[row].get(rater, {}).get("grade") for rater in raters] for row in rows]
        agreed = agreement(grades, scores.concepts(rows), seed)
        for name, metric in agreed.metrics.items():
            if name != "acceptance":
                scores.metrics[name + end] = metric
        scores.undefined |= {name + end: why for name, why in agreed.undefined.items()}
    preferred = {row: verdict for row, own in enumerate(ratings) if (verdict := _preference(own.values())) is not None}
    if preferred:
        scores.values[f"preference{end}"] = {row: float(verdict == "label") for row, verdict in preferred.items()}
        scores.values[f"preference_tie{end}"] = {row: float(verdict in _TIES) for row, verdict in preferred.items()}
    chosen = {
        row: float(np.mean(values))
        for row, own in enumerate(ratings)
        if (values := [_belongs(scores.items[row], rating["chosen"]) for rating in own.values()])
        and scores.items[row]["held_out"]
        and scores.items[row]["strangers"]
    }
    if panel == "judges" and chosen:
        missing = {row: 0.5 for row, r in enumerate(scores.items) if r["label"] is None and r["held_out"]}
        scores.values["discrimination_llm"] = missing | chosen


def calibrate(scores: Scores, controls: Sequence[Record], kept: Sequence[str] | None, seed: int) -> None:
    """Measure the panel on the other half of the controls, and correct acceptance by what that shows."""
    half = [record for record in controls if record["half"] == "measure"]
    sensitivity, specificities = _hits(half, kept or [])
    if not sensitivity.n or not specificities or kept is None:
        scores.undefined["acceptance_corrected"] = "The judges were not calibrated: there are no controls."
        return
    scores.metrics |= worth(sensitivity, sum(specificities.values(), Share(0, 0)))
    scores.metrics |= {f"judge_specificity/{control}": share.metric for control, share in specificities.items()}
    panel = scores.metrics["judge_youden"]
    for judge in sorted({rating["rater"] for record in half for rating in record["ratings"]}):
        own_sensitivity, own_specificities = _hits(half, [judge])
        scores.metrics[f"judge_youden/{judge}"] = youden(own_sensitivity, sum(own_specificities.values(), Share(0, 0)))
    if panel.low <= 0.0:
        scores.undefined["acceptance_corrected"] = (
            f"The panel does not tell right labels from planted wrong ones better than chance: Youden's J is "
            f"{panel.value:.2f} ({panel.low:.2f} to {panel.high:.2f}). Its acceptance means nothing; take other judges."
        )
        return
    rows, decisions, asked = _decided(scores)
    if not rows:
        return
    # Labels that no judge answered for are not among the decisions; neither may such controls be here.
    answered, answered_by_type = _hits([record for record in half if _votes(record, kept)], kept)
    scores.metrics["acceptance_corrected"] = corrected(
        decisions, scores.concepts(rows), answered, specificities | answered_by_type, asked=asked, seed=seed
    )


def power_by_people(scores: Scores, seed: int) -> None:
    """Estimate people's acceptance of all labels from the judges', where people rated a part of them."""
    rows, decisions, asked = _decided(scores)
    people = scores.values.get("acceptance_people", {})
    both = {place: people[row] for place, row in enumerate(rows) if row in people}
    if both:
        scores.metrics["acceptance_ppi"] = prediction_powered(
            decisions, both, scores.concepts(rows), asked=asked, seed=seed
        )


def _decided(scores: Scores) -> tuple[list[int], list[float], int]:
    """Give the labels that the judges decided on, their decisions, and how many items were asked."""
    accepted = scores.values["acceptance"]
    rows = sorted(row for row in accepted if scores.items[row]["label"] is not None)
    return rows, [accepted[row] for row in rows], len(accepted)


def selected_judges(controls: Sequence[Record]) -> list[str] | None:
    """Give the judges that did better than chance on the selecting half; all of them where none did; None without.

    Half of all judges that throw coins do better by chance, so what counts is the lower end of their J.
    """
    judges = sorted({rating["rater"] for record in controls for rating in record["ratings"]})
    if not judges:
        return None
    half = [record for record in controls if record["half"] == "select"]
    good = []
    for judge in judges:
        sensitivity, specificities = _hits(half, [judge])
        wrong = sum(specificities.values(), Share(0, 0))
        if sensitivity.n and wrong.n and youden(sensitivity, wrong).low > 0.0:
            good.append(judge)
    return good or judges


def _hits(controls: Sequence[Record], judges: Sequence[str]) -> tuple[Share, dict[str, Share]]:
    """Count right decisions of a panel on right controls, and on wrong ones by error type.

    A control that no judge answered counts as a wrong decision.
    """
    counts: defaultdict[str, list[bool]] = defaultdict(list)
    for record in controls:
        decision = _decision(_votes(record, judges))
        counts[record["control"]].append(decision is (record["control"] == RIGHT))
    shares = {control: Share(sum(hits), len(hits)) for control, hits in counts.items()}
    return shares.pop(RIGHT, Share(0, 0)), {control: shares[control] for control in ERRORS if control in shares}


def _votes(record: Record, judges: Sequence[str]) -> list[Mapping[str, Any]]:
    return [r for r in record["ratings"] if r["rater"] in judges and r["grade"] is not None]


def _decision(ratings: Iterable[Mapping[str, Any]]) -> bool | None:
    """Decide by strict majority of those who answered; None where nobody did."""
    grades = [rating["grade"] for rating in ratings if rating["grade"] is not None]
    return None if not grades else 2 * sum(grade != SCALE[0] for grade in grades) > len(grades)


def _preference(ratings: Iterable[Mapping[str, Any]]) -> str | None:
    """Decide for the label or the other one where more raters prefer it than the reverse; else it is a tie."""
    verdicts = [r["preference"] for r in ratings if r["preference"] is not None]
    if not verdicts:
        return None
    lead = verdicts.count("label") - verdicts.count("other")
    return "both" if lead == 0 else "label" if lead > 0 else "other"


def _belongs(record: Record, chosen: Sequence[str] | None) -> float:
    """Give the balanced accuracy of a judge's choice of words; no answer is chance."""
    shown = shown_for_belonging(record)
    if chosen is None or shown is None:
        return 0.5
    own, strange = shown[: len(shown) // 2], shown[len(shown) // 2 :]
    hits = sum(word in chosen for word in own) / len(own)
    return float(hits + 1.0 - sum(word in chosen for word in strange) / len(strange)) / 2.0
