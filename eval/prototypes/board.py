"""What a leaderboard checks of a submission's records: the examples that a classifier states may be no attack."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from conceptbench.eval.task import Provenance
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.texts import fault_of_text


def check_examples(records: pa.Table, _provenance: Provenance) -> None:
    """Refuse stated examples with what texts of a submitter may not hold, unless they are texts of the dataset.

    Raises
    ------
    InputError
        if there is such an example.
    """
    dataset = set(records["text"].to_pylist())
    stated = {*records["reason"].to_pylist(), *pc.list_flatten(records["nearest"]).to_pylist()}
    for text in sorted(stated - dataset - {None}):
        if fault := fault_of_text(text):
            raise InputError(f"records.parquet, reason and nearest: a text {fault}")
