"""BERTScore of explanations against the two references that a module has: its keyword and its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from conceptbench.eval.explanation.records import RecordedAnswer
from conceptbench.runtime.similarity import bertscore
from conceptbench.runtime.text_encoder import TextEncoder

REFERENCES: Final = {"keyword": "name", "sentence": "explanation"}
"""Which field of an answer an explanation is compared with, by the metric's ending."""


def bertscores(
    answers: Mapping[int, RecordedAnswer], candidates: Mapping[int, Sequence[str]], encoder: TextEncoder
) -> dict[str, dict[int, list[float]]]:
    """Give BERTScore's F1 of every candidate of the runs of modules that have an answer.

    Parameters
    ----------
    answers : by the run's row.
    candidates : the texts of each run's candidates, best first, by the run's row.
    encoder : see `similarity.bertscore`.

    Returns
    -------
    for each of `REFERENCES`, by the run's row, the score of each candidate.
    """
    pairs = [
        (text, getattr(answer, field))
        for field in REFERENCES.values()
        for row, answer in answers.items()
        for text in candidates[row]
    ]
    scores = iter(bertscore(encoder, [text for text, _ in pairs], [reference for _, reference in pairs]).tolist())
    return {name: {row: [next(scores) for _ in candidates[row]] for row in answers} for name in REFERENCES}
