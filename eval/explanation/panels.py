"""Scores from judgements: how many best explanations the judges find equivalent, and how good the judges are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from conceptbench.eval.explanation.judges import Pair, best_pairs, plant
from conceptbench.eval.explanation.records import DIFFERENT, SAME, Record
from conceptbench.eval.judges.calibration import Share, corrected, worth, youden
from conceptbench.eval.result import Metric, MetricKey
from conceptbench.eval.stats.intervals import mean_metric


@dataclass(frozen=True)
class Verdicts:
    """The scores of judgements.

    Attributes
    ----------
    equivalent : whether the best explanation of each run is equivalent to the true one, by the record's row.
    metrics : of the single judges, and of the panel on planted controls.
    undefined : why a metric is absent, by its name.
    """

    equivalent: Mapping[int, float] = field(default_factory=dict)
    metrics: Mapping[MetricKey, Metric] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)


def score_judgements(records: Sequence[Record], best: Mapping[int, str | None], seed: int) -> Verdicts:
    """Score what the judges decided on the best explanations, and on planted controls.

    Parameters
    ----------
    records : all of a run, since controls are planted on modules that were not run too.
    best : the text of each run's best explanation, None where there is none, by the record's row.
    seed : of the controls and the intervals.
    """
    judges = sorted({judgement.rater for record in records for judgement in record.judgements})
    rows = [row for row in best if records[row].answer is not None]
    if not judges or not rows:
        return Verdicts()
    decisions = _Decisions(records)
    pairs = {row: pair for row, pair in best_pairs(records, best).items() if not pair.addresses_rater}
    # Runs without an explanation, or with one that speaks to its rater, have nothing that could be equivalent.
    nothing = dict.fromkeys(rows, 0.0)
    equivalent = nothing | {row: decisions.of(pair, judges) for row, pair in pairs.items()}
    metrics: dict[MetricKey, Metric] = {}
    for judge in judges if len(judges) > 1 else ():
        by_judge = nothing | {row: decisions.of(pair, [judge]) for row, pair in pairs.items()}
        modules = [records[row].module for row in rows]
        metrics[MetricKey("equivalence", group=f"judge={judge}")] = mean_metric(list(by_judge.values()), modules, seed)
    controls = plant(records, seed)
    sensitivity, specificity = decisions.hits(controls, judges)
    undefined = _not_corrected(sensitivity, specificity, len(pairs))
    if sensitivity.n and specificity.n:
        metrics |= {MetricKey(name): metric for name, metric in worth(sensitivity, specificity).items()}
        metrics |= {
            MetricKey("judge_youden", group=judge): youden(*decisions.hits(controls, [judge])) for judge in judges
        }
    if not undefined:
        metrics[MetricKey("equivalence_corrected")] = corrected(
            [equivalent[row] for row in pairs],
            [records[row].module for row in pairs],
            sensitivity,
            {DIFFERENT: specificity},
            asked=len(rows),
            seed=seed,
        )
    return Verdicts(equivalent, metrics, undefined)


class _Decisions:
    """The judges' answers of a run, looked up by what was judged."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._equivalent = {
            (row, judgement.role, judgement.text, judgement.rater): judgement.equivalent
            for row, record in enumerate(records)
            for judgement in record.judgements
        }

    def of(self, pair: Pair, judges: Sequence[str]) -> float:
        """Give 1.0 where a strict majority of the judges find a pair equivalent; an unreadable answer does not."""
        votes = [self._equivalent.get((pair.row, pair.role, pair.text, judge)) is True for judge in judges]
        return float(2 * sum(votes) > len(judges))

    def hits(self, controls: Sequence[Pair], judges: Sequence[str]) -> tuple[Share, Share]:
        """Count right decisions: on controls that are the same, and on those that are different."""
        same = [self.of(pair, judges) for pair in controls if pair.role == SAME]
        different = [self.of(pair, judges) for pair in controls if pair.role == DIFFERENT]
        return Share(same.count(1.0), len(same)), Share(different.count(0.0), len(different))


def _not_corrected(sensitivity: Share, specificity: Share, judged: int) -> dict[str, str]:
    """Say why the panel's decisions cannot be corrected, if so, and which other metrics are absent for it.

    Parameters
    ----------
    sensitivity, specificity : of the panel on controls.
    judged : the number of explanations that the judges were asked about.
    """
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
    elif not judged:
        why = "No run has an explanation that the judges could be asked about."
    else:
        return {}
    if not sensitivity.n or not specificity.n:
        names += ["judge_sensitivity", "judge_specificity", "judge_youden"]
    return dict.fromkeys(names, why)
