"""From records to numbers: every score of the annotation task, computed from the records alone."""

from __future__ import annotations

from collections.abc import Sequence

from conceptbench.eval.annotation.labels import count_reasons, match_gold, normalise, tell_words_apart
from conceptbench.eval.annotation.panels import JUDGES, calibrate, power_by_people, score_panel, selected_judges
from conceptbench.eval.annotation.records import Record
from conceptbench.eval.annotation.scores import Scores
from conceptbench.runtime.similarity import Similarity
from conceptbench.runtime.text_encoder import TextEncoder


def score(
    records: Sequence[Record], similarity: Similarity, *, bertscore_encoder: TextEncoder | None = None, seed: int = 0
) -> Scores:
    """Compute every metric from the records, with the pinned encoder.

    Parameters
    ----------
    records : rows as in `records.RECORDS`.
    similarity : of the run's encoder.
    bertscore_encoder : for `bertscore`; left out where None.
    seed : of shuffles and intervals.
    """
    scores = Scores([record for record in records if record["role"] == "item"])
    # So that the numbers are those of a later run over the records alone, to the last digit.
    similarity.forget()
    controls = [record for record in records if record["role"] == "control"]
    count_reasons(scores)
    match_gold(scores, similarity, bertscore_encoder)
    tell_words_apart(scores, similarity, seed)
    panels = sorted({rating["panel"] for record in scores.items for rating in record["ratings"]})
    kept = selected_judges(controls)
    for panel in panels:
        score_panel(scores, panel, kept if panel == JUDGES else None, seed)
    scores.summarise(seed)
    normalise(scores, seed)
    if JUDGES in panels:
        calibrate(scores, controls, kept, seed)
        power_by_people(scores, seed)
    return scores
