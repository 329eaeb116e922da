"""The rows of the neurons task's records, of four kinds, which are told by their column `kind`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from conceptbench.eval.result import read_rows

Record = dict[str, Any]

_NUMBERS = pa.list_(pa.float64())
_NEURONS = pa.list_(pa.int64())
_TEXTS = pa.list_(pa.string())

RECORDS: Final = pa.schema(
    [
        ("kind", pa.string()),
        ("layer", pa.int32()),
        ("k", pa.int64()),
        ("condition", pa.string()),
        ("source", pa.string()),
        ("scaling", pa.string()),
        ("super", pa.string()),
        ("concept", pa.string()),
        ("label", pa.string()),
        ("super_words", _TEXTS),
        ("words", _TEXTS),
        ("family", pa.string()),
        ("size", pa.int64()),
        ("fraction", pa.float64()),
        ("controls", _NUMBERS),
        ("p", pa.float64()),
        ("fractions", _NUMBERS),
        ("alignment", _NUMBERS),
        ("null", _NUMBERS),
        ("neurons", _NEURONS),
        ("ranking", pa.string()),
        ("mode", pa.string()),
        ("order", pa.string()),
        ("width", pa.int64()),
        ("grid", _NEURONS),
        ("accuracy", _NUMBERS),
        ("auroc", _NUMBERS),
        ("over", pa.string()),
        ("overlap", pa.float64()),
        ("spearman", pa.float64()),
        ("resamples", pa.int64()),
    ]
)
"""What a row of each kind has, beside `layer`, `k` (the layer's concepts) and `concept`; all else is null.

`concept`: `label`, `words`, `size`, and `neurons`, its first ones by `ranking` over all tokens.

`pair`: a super-concept and its part, the concept, under one `scaling`, of one `source`. `condition` is empty, or that
of the study. `alignment` and `null` are those at `fractions`; at `fraction`, `controls` are the alignments of the
controls, `p` comes from the rank among them, not corrected, and `neurons` are those shared. `super_words` are those of
the super-concept without the tokens of its part. Intervals are resampled over `family`.

`ablation`: `accuracy` and `auroc` of the concept's probe on its test tokens when as many neurons as `grid` says, of the
`width` that there are, are changed as `mode` says, by `order` of the `ranking`.

`stability`: the agreement of two rankings; `over` is `resamples` of the corpus, or `seeds` of the probe."""


def records_table(records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Put records into a table."""
    return pa.Table.from_pylist(list(records), schema=RECORDS)


def read_records(folder: Path) -> list[Record]:
    """Read the records of a run's folder; see `result.read_rows`."""
    return read_rows(folder, RECORDS, "neurons")
