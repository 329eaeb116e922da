"""From records to numbers: every score of the explanation task, computed from the records alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from conceptbench.benchmark.modules import Answer, judge_explanation
from conceptbench.eval.explanation.bertscores import bertscores
from conceptbench.eval.explanation.panels import score_judgements
from conceptbench.eval.explanation.records import NOT_RUN, Record, answer_of
from conceptbench.eval.methods.sasc.candidates import Candidate, Strings, ranked, score_candidates
from conceptbench.eval.result import Metric
from conceptbench.eval.stats.intervals import mean_metric
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.similarity import Similarity, auroc
from conceptbench.runtime.text_encoder import TextEncoder

LEVEL: Final = 0.05


@dataclass
class Scores:
    """What the records come to.

    `candidates` of each run, best first, and whether each `matches`; the `values` of single runs by metric, by the
    run's place; and the metrics with their breakdowns.
    """

    runs: list[Record]
    candidates: list[list[Candidate]] = field(default_factory=list)
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    matches: dict[int, list[bool]] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)


def score(
    records: Sequence[Record],
    similarity: Similarity | None,
    *,
    keeps_order: bool = False,
    plain_patterns: bool = False,
    bertscore_encoder: TextEncoder | None = None,
    seed: int = 0,
) -> Scores:
    """Compute every metric from the records.

    Parameters
    ----------
    records : rows as in `records.RECORDS`.
    similarity : of the pinned encoder, for `explanation_similarity`; left out where None.
    keeps_order : the explainer ranked its candidates itself; else they are ranked by their strings.
    plain_patterns : an explanation is right where the pattern takes it, without the guard (as in the SASC paper).
    bertscore_encoder : for `bertscore_keyword` and `bertscore_sentence`; left out where None.
    seed : of permutations, planted controls and intervals.
    """
    scores = Scores([record for record in records if record["reason"] != NOT_RUN])
    scores.candidates = [candidates_of(record, keeps_order, seed) for record in scores.runs]
    known = {record["module"]: answer for record in records if (answer := answer_of(record)) is not None}
    _match(scores, known, plain_patterns)
    _measure(scores)
    _discover(scores)
    _identify(scores)
    if similarity is not None:
        _resemble(scores, similarity)
    each: dict[str, Mapping[int, Sequence[float]]] = {"accuracy_no_ranking": scores.matches}
    if bertscore_encoder is not None:
        texts = [[one.text for one in own] for own in scores.candidates]
        for end, closeness in bertscores(scores.runs, texts, bertscore_encoder).items():
            if closeness:
                scores.values[f"bertscore_{end}"] = {row: own[0] if own else 0.0 for row, own in closeness.items()}
            each[f"bertscore_no_ranking_{end}"] = closeness
    best = [own[0].text if own else None for own in scores.candidates]
    verdicts = score_judgements(records, scores.runs, best, seed)
    if verdicts.equivalent:
        scores.values["equivalence"] = verdicts.equivalent
    scores.metrics |= verdicts.metrics
    scores.undefined |= verdicts.undefined
    for name, values in scores.values.items():
        for group, rows in _groups(scores, list(values)).items():
            modules = [scores.runs[row]["module"] for row in rows]
            scores.metrics[name + group] = mean_metric([values[row] for row in rows], modules, seed)
    # Over candidates, not runs, as in the paper.
    for name, found in each.items():
        for group, rows in _groups(scores, [row for row, own in found.items() if own]).items():
            pairs = [(float(value), scores.runs[row]["module"]) for row in rows for value in found[row]]
            modules = [module for _, module in pairs]
            scores.metrics[name + group] = mean_metric([value for value, _ in pairs], modules, seed)
    return scores


def candidates_of(record: Record, keeps_order: bool, seed: int) -> list[Candidate]:
    """Score a run's candidates and put the best first."""
    strings = [
        Strings(
            own["text"],
            tuple(own["related"]),
            tuple(own["unrelated"]),
            tuple(own["related_values"]),
            tuple(own["unrelated_values"]),
        )
        for own in record["candidates"]
    ]
    spread = record["spread"] or 0.0
    if spread <= 0.0:
        return [Candidate(one.text, None, None, None, None) for one in strings]
    found = score_candidates(strings, spread, generator_of("permutations", seed, record["run"]))
    return found if keeps_order else ranked(found)


def _match(scores: Scores, answers: Mapping[str, Answer], plain: bool) -> None:
    others = list(answers.values())

    def right(text: str | None, module: str) -> bool:
        if text is None:
            return False
        return answers[module].accepts(text) if plain else judge_explanation(text, answers[module], others)

    rows = [row for row, record in enumerate(scores.runs) if record["module"] in answers]
    if not rows:
        scores.undefined["accuracy"] = "No module of the run has a known answer."
        return
    module_of = {row: scores.runs[row]["module"] for row in rows}
    matches = {row: [right(one.text, module_of[row]) for one in scores.candidates[row]] for row in rows}
    values = scores.values
    values["accuracy"] = {row: float(bool(own) and own[0]) for row, own in matches.items()}
    scores.matches = matches
    values["accuracy_any"] = {row: float(any(own)) for row, own in matches.items()}
    first = {row: next((own["text"] for own in scores.runs[row]["candidates"]), None) for row in rows}
    values["accuracy_first"] = {row: float(right(text, module_of[row])) for row, text in first.items()}
    if len(answers) > 1:
        best = {row: next((one.text for one in scores.candidates[row]), None) for row in rows}
        values["accuracy_chance"] = {
            row: float(np.mean([right(text, other) for other in answers if other != module_of[row]]))
            for row, text in best.items()
        }
    baselines = {
        "accuracy_top_ngram": {row: next(iter(scores.runs[row]["top_ngrams"]), None) for row in rows},
        "accuracy_tfidf": {row: scores.runs[row]["baseline_tfidf"] for row in rows},
    }
    for name, texts in baselines.items():
        if any(text is not None for text in texts.values()):
            values[name] = {row: float(right(text, module_of[row])) for row, text in texts.items()}
    for name, said in (("auroc_within", False), ("auroc_within_own", True)):
        values[name] = {row: value for row in rows if (value := _auroc(scores, row, matches[row], said)) is not None}
        if not values[name]:
            del values[name]
    if "auroc_within" not in values:
        scores.undefined["auroc_within"] = "No run has both right and wrong candidates with a score."


def _auroc(scores: Scores, row: int, matches: Sequence[bool], said: bool) -> float | None:
    """Tell how well a run's scores, ours or those that the explainer said, tell right candidates from wrong ones."""
    stated = {own["text"]: own["score"] for own in scores.runs[row]["candidates"]}
    found = [
        (value, match)
        for one, match in zip(scores.candidates[row], matches, strict=True)
        if (value := stated[one.text] if said else one.score) is not None
    ]
    right = np.array([value for value, match in found if match])
    wrong = np.array([value for value, match in found if not match])
    return auroc(right, wrong) if len(right) and len(wrong) else None


def _measure(scores: Scores) -> None:
    """Give the best candidate's score, 0 where there is none; modules that always respond the same have no unit."""
    for name, controls in (("score", False), ("score_controls", True)):
        rows = [row for row, own in enumerate(scores.runs) if own["control"] is controls and (own["spread"] or 0.0) > 0]
        best = {row: next((one.score for one in scores.candidates[row]), None) for row in rows}
        if any(value is not None for value in best.values()):
            scores.values[name] = {row: value or 0.0 for row, value in best.items()}


def _discover(scores: Scores) -> None:
    """Count the runs whose best candidate is significant: on controls that is the false-positive rate.

    What is said of a voxel rests on two tests, its prediction's and its explanation's; both must be significant.
    """
    for name, controls in (("discovery", False), ("discovery_controls", True)):
        rows = [row for row, record in enumerate(scores.runs) if record["control"] is controls]
        if rows and any(one.p is not None for row in rows for one in scores.candidates[row]):
            best = {row: next(iter(scores.candidates[row]), None) for row in rows}
            scores.values[name] = {
                row: float(
                    one is not None and one.p is not None and max(one.p, scores.runs[row]["fit_p"] or 0.0) < LEVEL
                )
                for row, one in best.items()
            }


def _identify(scores: Scores) -> None:
    """Tell whether the best candidate's strings move its own module more than any other; null is one in so many."""
    found, null = {}, {}
    for row, record in enumerate(scores.runs):
        own = {one["module"]: one["score"] for one in record["own_scores"]}
        if record["control"] or len(own) < 2:
            continue
        mine = own.pop(record["module"], None)
        found[row] = float(mine is not None and mine > max(own.values()))
        null[row] = 1.0 / (len(own) + 1)
    # Runs without a candidate have no strings, and identify nothing.
    if found:
        for row, record in enumerate(scores.runs):
            if not record["control"] and not record["own_scores"]:
                found[row], null[row] = 0.0, float(np.mean(list(null.values())))
        scores.values["identification"], scores.values["identification_chance"] = found, null


def _resemble(scores: Scores, similarity: Similarity) -> None:
    rows = [row for row, record in enumerate(scores.runs) if record["answer"] is not None]
    best = {row: scores.candidates[row][0].text for row in rows if scores.candidates[row]}
    similarity.forget()
    similarity.learn([*best.values(), *(scores.runs[row]["answer"]["explanation"] for row in best)])
    values = dict.fromkeys(rows, 0.0)
    for row, text in best.items():
        one, other = similarity.vectors([text, scores.runs[row]["answer"]["explanation"]])
        values[row] = float(one @ other)
    if rows:
        scores.values["explanation_similarity"] = values


def _groups(scores: Scores, rows: Sequence[int]) -> Mapping[str, list[int]]:
    """Group runs: all, and by setting, family and helper, where there are several."""
    several = {name: len({record[name] for record in scores.runs}) > 1 for name in ("setting", "family", "helper")}
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        record = scores.runs[row]
        groups[""].append(row)
        groups[f"/{record['setting']}"].append(row)
        if several["family"]:
            groups[f"/{record['family']}"].append(row)
        if several["helper"]:
            groups[f"/helper={record['helper']}"].append(row)
    return groups
