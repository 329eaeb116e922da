"""What a submission was asked, held against what this package, or the board, knows to be the dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from conceptbench.leaderboard import drawn_items, drawn_modules
from conceptbench.leaderboard.settings import Board, not_taken
from conceptbench.leaderboard.submission import Submission
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.texts import fault_of_text

RANKED: Final[Mapping[str, str]] = {
    "annotation": "",
    "explanation": "",
    "probing": "",
    "prototypes": "",
    "quality": "Each system has clusters of its own, so that there are no items in common to be compared on.",
    "neurons": "Reported, not ranked: there is no better or worse in how neurons are shared.",
}
"""Why a task is not ranked; empty where it is."""

_ASKED: Final[Mapping[str, tuple[str, ...]]] = {
    "annotation": drawn_items.ASKED,
    "explanation": ("run", "module", "family", "setting", "repeat", "answer", "control", "ngrams"),
    "quality": ("item", "layer", "tokens", "types", "words"),
    "probing": ("concept", "group", "split", "word", "sentence", "positive", "hard"),
    "neurons": ("layer", "concept", "size", "words"),
    "prototypes": ("item", "text", "label"),
}


def items_digest(task: str, records: pa.Table) -> str:
    """Digest what was asked, from the records alone: no answer changes it.

    Of probes it is the gold tokens, at one layer, since all encoders and layers are asked the same. Modules that a
    limit left out count too: their answers take part in judging explanations.
    """
    rows = records
    if task == "annotation":
        rows = rows.filter(pc.equal(rows["role"], "item"))
    elif task == "quality":
        rows = rows.filter(pc.and_(rows["main"], pc.equal(rows["role"], "cluster")))
    elif task == "neurons":
        rows = rows.filter(pc.equal(rows["kind"], "concept"))
    elif task == "prototypes":
        rows = rows.filter(pc.equal(rows["repeat"], 0))
    elif task == "probing":
        rows = rows.filter(pc.equal(rows["kind"].cast(pa.string()), "gold"))
        rows = rows.filter(pc.equal(rows["layer"], pc.min(rows["layer"])))
    asked = rows.select(list(_ASKED[task])).to_pylist()
    return hashlib.sha256(json.dumps(asked, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def check_items(submission: Submission, board: Board) -> str:
    """Hold what was asked against the dataset, and give the digest of the items.

    Gold word lists and modules of the package are drawn again, answers and all; of any other dataset the digest must
    stand in the board's settings, where its keepers put it after a run of their own.

    Raises
    ------
    InputError
        if the records are of other items, or of a dataset that the board does not take.
    """
    task, records = submission.result.task, submission.records
    _check_encoders(submission.result.provenance)
    digest = items_digest(task, records)
    if task == "annotation":
        drawn_items.check_controls(submission)
    elif task == "prototypes":
        _check_examples(records)
    known = (task, digest) in board.datasets
    if task == "annotation" and not known:
        drawn_items.check(submission)
    elif task == "explanation":
        drawn_modules.check_options(submission)
        if not known:
            drawn_modules.check(submission)
    elif not known:
        raise not_taken(f"{submission.result.provenance['dataset']}, items {digest[:16]}")
    return digest


def _check_examples(records: pa.Table) -> None:
    """Refuse stated examples with what texts of a submitter may not hold, unless they are texts of the dataset."""
    known = set(records["text"].to_pylist())
    stated = {*records["reason"].to_pylist(), *pc.list_flatten(records["nearest"]).to_pylist()}
    for text in sorted(stated - known - {None}):
        if fault := fault_of_text(text):
            raise InputError(f"records.parquet, reason and nearest: a text {fault}")


def _check_encoders(provenance: Mapping[str, Any]) -> None:
    """Refuse encoders that are not the package's own: a name may be that of any model, or of a folder."""
    for name in ("encoder", "bertscore"):
        given = provenance.get(name)
        if given is None:
            continue
        if not isinstance(given, dict) or given.get("model") not in drawn_items.PINNED:
            raise InputError(
                f"result.json, provenance.{name}: must be one of the pinned encoders, {', '.join(drawn_items.PINNED)}"
            )
