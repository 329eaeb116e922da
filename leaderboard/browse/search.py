"""Finding concepts by their words, labels and ids, and by model and layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conceptbench.leaderboard.browse.layers import Entry, Layers

ORDERS: Final = ("concept", "label", "size", "cohesion")
PER_PAGE: Final = 50


@dataclass(frozen=True)
class Matches:
    """A page of the concepts that match a query, and the number of all that match."""

    entries: list[Entry]
    total: int


def find(layers: Layers, where: Sequence[tuple[str, int]], query: str, order: str, page: int) -> Matches:
    """Find the concepts whose words, label or id contain every word of the query.

    Parameters
    ----------
    where : the models and layers to search.
    order : one of ORDERS, with `-` in front for descending order; empty labels and numbers come last in both.
    page : the number of a page of PER_PAGE concepts, from 1.
    """
    terms = query.split()
    tables = []
    for model, layer in where:
        table = layers.concepts(model, layer)
        tables.append(table.filter(_mask(table, terms)) if terms else table)
    if not tables:
        return Matches([], 0)
    matches = pa.concat_tables(tables)
    direction = "descending" if order.startswith("-") else "ascending"
    column = order.removeprefix("-")
    matches = matches.append_column("empty", pc.is_null(matches[column]))
    ties = [("model", "ascending"), ("layer", "ascending"), ("cluster", "ascending")]
    keys = [(name, direction) for name, _ in ties] if column == "concept" else [(column, direction), *ties]
    ranked = pc.sort_indices(matches, sort_keys=[("empty", "ascending"), *keys])
    of_page = matches.take(ranked.slice((page - 1) * PER_PAGE, PER_PAGE))
    return Matches([Entry.of(row) for row in of_page.to_pylist()], len(matches))


def _mask(table: pa.Table, terms: Sequence[str]) -> pa.Array:
    """Tell which concepts of a layer contain every term."""
    words = table["words"].combine_chunks()
    owner = pc.list_parent_indices(words).to_numpy()
    flat = words.flatten().field("word")
    mask = np.ones(len(table), dtype=bool)
    for term in terms:
        has_term = np.zeros(len(table), dtype=bool)
        has_term[owner[_contains(flat, term)]] = True
        for name in ("label", "concept"):
            has_term |= _contains(table[name], term)
        mask &= has_term
    return pa.array(mask)


def _contains(texts: pa.Array | pa.ChunkedArray, term: str) -> np.ndarray:
    matches = pc.fill_null(pc.match_substring(texts, term, ignore_case=True), False)
    contains: np.ndarray = (
        matches.to_numpy(zero_copy_only=False) if isinstance(matches, pa.Array) else matches.to_numpy()
    )
    return contains
