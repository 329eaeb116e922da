"""BERTScore of explanations against the two references that a module has: its keyword and its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from conceptbench.eval.explanation.records import Record
from conceptbench.runtime.similarity import bertscore
from conceptbench.runtime.text_encoder import TextEncoder

REFERENCES: Final = {"keyword": "name", "sentence": "explanation"}
"""Which field of an answer is held against an explanation, by the metric's ending."""


def bertscores(
    runs: Sequence[Record], candidates: Sequence[Sequence[str]], encoder: TextEncoder
) -> Mapping[str, dict[int, list[float]]]:
    """Give BERTScore's F1 of every candidate of the runs of modules that have an answer.

    Parameters
    ----------
    runs : as in `records.RECORDS`.
    candidates : the texts of each run's candidates, best first.
    encoder : see `similarity.bertscore`.

    Returns
    -------
    for each of `REFERENCES`, by the run's place, the score of each candidate.
    """
    rows = [row for row, record in enumerate(runs) if record["answer"] is not None]
    pairs = [
        (text, runs[row]["answer"][field]) for field in REFERENCES.values() for row in rows for text in candidates[row]
    ]
    found = iter(bertscore(encoder, [text for text, _ in pairs], [reference for _, reference in pairs]).tolist())
    return {name: {row: [next(found) for _ in candidates[row]] for row in rows} for name in REFERENCES}
