"""Scores from judgements: how many best explanations the judges find equivalent, and what the judges are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from conceptbench.eval.explanation.judges import BEST, DIFFERENT, SAME, Pair, plant
from conceptbench.eval.explanation.records import Record
from conceptbench.eval.judges.calibration import Share, corrected, worth, youden
from conceptbench.eval.result import Metric
from conceptbench.eval.stats.intervals import mean_metric


@dataclass
class Verdicts:
    """What judgements come to.

    `equivalent` says of each run, by its place, whether its best explanation is; `undefined` why a metric is absent.
    """

    equivalent: dict[int, float] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)


def score_judgements(
    records: Sequence[Record], runs: Sequence[Record], best: Sequence[str | None], seed: int
) -> Verdicts:
    """Score what the judges said of the best explanations, and of planted controls.

    Parameters
    ----------
    records : rows as in `records.RECORDS`: what controls are planted on.
    runs : those of them that were run.
    best : the text of each run's best explanation, None where there is none.
    seed : of the controls and the intervals.
    """
    verdicts = Verdicts()
    judges = sorted({own["rater"] for record in records for own in record["judgements"]})
    rows = [row for row, record in enumerate(runs) if record["answer"] is not None]
    if not judges or not rows:
        return verdicts
    pairs = {row: Pair(runs[row], BEST, text) for row in rows if (text := best[row]) is not None}
    asked = {row: pair for row, pair in pairs.items() if not pair.addresses_rater}
    modules = {row: runs[row]["module"] for row in rows}
    # Runs without an explanation, or with one that speaks to its rater, have nothing that could be equivalent.
    nothing = dict.fromkeys(rows, 0.0)
    verdicts.equivalent = nothing | {row: _decision(pair, judges) for row, pair in asked.items()}
    for judge in judges if len(judges) > 1 else ():
        own = nothing | {row: _decision(pair, [judge]) for row, pair in asked.items()}
        verdicts.metrics[f"equivalence/judge={judge}"] = mean_metric(list(own.values()), list(modules.values()), seed)
    controls = plant(records, seed)
    sensitivity, specificity = _hits(controls, judges)
    verdicts.undefined = _not_corrected(sensitivity, specificity, len(asked))
    if sensitivity.n and specificity.n:
        verdicts.metrics |= worth(sensitivity, specificity)
        verdicts.metrics |= {f"judge_youden/{judge}": youden(*_hits(controls, [judge])) for judge in judges}
    if not verdicts.undefined:
        verdicts.metrics["equivalence_corrected"] = corrected(
            [verdicts.equivalent[row] for row in asked],
            [modules[row] for row in asked],
            sensitivity,
            {DIFFERENT: specificity},
            asked=len(rows),
            seed=seed,
        )
    return verdicts


def _not_corrected(sensitivity: Share, specificity: Share, asked: int) -> dict[str, str]:
    """Say why the panel's decisions cannot be corrected, if so, and which other metrics are absent for it."""
    names = ["equivalence_corrected"]
    if not sensitivity.n:
        why = "The judges were not calibrated: no answer has a second wording."
    elif not specificity.n:
        why = "The judges were not calibrated: no two modules have unrelated answers."
    elif (panel := youden(sensitivity, specificity)).low <= 0.0:
        why = (
            "The panel does not tell other wordings of an answer from those of unrelated answers better than chance: "
            f"Youden's J is {panel.value:.2f} ({panel.low:.2f} to {panel.high:.2f}). Its equivalence means nothing; "
            "take other judges, or more modules."
        )
    elif not asked:
        why = "No run has an explanation that the judges could be asked about."
    else:
        return {}
    if not sensitivity.n or not specificity.n:
        names += ["judge_sensitivity", "judge_specificity", "judge_youden"]
    return dict.fromkeys(names, why)


def _hits(controls: Sequence[Pair], judges: Sequence[str]) -> tuple[Share, Share]:
    """Count right decisions: on controls that are the same, and on those that are not."""
    same = [_decision(pair, judges) for pair in controls if pair.role == SAME]
    different = [_decision(pair, judges) for pair in controls if pair.role == DIFFERENT]
    return Share(same.count(1.0), len(same)), Share(different.count(0.0), len(different))


def _decision(pair: Pair, judges: Sequence[str]) -> float:
    """Give 1.0 where a strict majority of the judges find a pair equivalent; an answer that cannot be read does not."""
    said = {
        own["rater"]: own["equivalent"]
        for own in pair.record["judgements"]
        if (own["role"], own["text"]) == (pair.role, pair.text)
    }
    return float(2 * sum(said.get(judge) is True for judge in judges) > len(judges))
