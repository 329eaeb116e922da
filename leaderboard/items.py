"""The items of a submission, compared with the dataset as this package draws it, or as the board knows it."""

from __future__ import annotations

import hashlib
import json
from typing import Final

import pyarrow as pa

from conceptbench.eval.task import Provenance
from conceptbench.eval.tasks import task_of
from conceptbench.leaderboard.settings import Board, not_taken
from conceptbench.leaderboard.submission import Submission
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import MINILM, SMOLLM2

PINNED: Final = (MINILM, SMOLLM2)
"""The encoders that scores may be computed with."""


def items_digest(task: str, records: pa.Table) -> str:
    """Digest the items of a run's records: the columns that the task's description names, which no answer changes.

    Raises
    ------
    InputError
        if the task names no such columns, so that its items cannot be told from those of another dataset.
    """
    rules = task_of(task).board
    if not rules.items:
        raise InputError(f"the task {task} names no columns that hold its items, so that no board can accept it")
    rows = rules.item_rows(records).select(list(rules.items)).to_pylist()
    return hashlib.sha256(json.dumps(rows, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def check_items(submission: Submission, board: Board) -> str:
    """Compare the items of a submission with the dataset, and give their digest.

    A dataset of the package is drawn again, with the right answers. The digest of any other dataset must be in the
    board's settings, where its keepers add it after a run of their own.

    Raises
    ------
    InputError
        if the records are of other items, or of a dataset that the board does not accept.
    """
    task, records, provenance = submission.result.task, submission.records, submission.result.provenance
    _check_encoders(provenance)
    digest = items_digest(task, records)
    rules = task_of(task).board
    rules.check(records, provenance)
    if (task, digest) not in board.datasets and not rules.redraw(records, provenance):
        raise not_taken(f"{provenance['dataset']}, items {digest[:16]}")
    return digest


def _check_encoders(provenance: Provenance) -> None:
    """Refuse encoders other than the package's own: a name alone may be that of any model, or of a folder."""
    for name in ("encoder", "bertscore"):
        encoder = provenance.get(name)
        if encoder is None:
            continue
        if not isinstance(encoder, dict) or encoder.get("model") not in PINNED:
            raise InputError(f"result.json, provenance.{name}: must be one of the pinned encoders, {', '.join(PINNED)}")
