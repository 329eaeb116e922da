"""From records to numbers: every score of the annotation task, computed from the records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from conceptbench.eval.annotation.gold import gold_values
from conceptbench.eval.annotation.groups import Measured, Values, means
from conceptbench.eval.annotation.labels import normalised, reason_values, telling_apart
from conceptbench.eval.annotation.panels import acceptance_by_people, calibration, panel_scores, selected_judges
from conceptbench.eval.annotation.records import CONTROL, ITEM, JUDGES, Record
from conceptbench.eval.task import ItemScores, Provenance, Scores
from conceptbench.runtime.progress import Progress
from conceptbench.runtime.similarity import Similarity, check_weights, open_token_encoder
from conceptbench.runtime.text_encoder import TextEncoder


def score(rows: Sequence[Record], provenance: Provenance, progress: Progress | None = None) -> Scores:
    """Compute every metric from the records, with the encoders that the provenance names.

    Parameters
    ----------
    rows : see `records.Record`.
    provenance : its `encoder`, `bertscore` and `seed` are read.
    progress : shows how far the encoding is.

    Raises
    ------
    InputError
        if an encoder here has other weights than that of the run.
    """
    seed = provenance["seed"]
    items = [row for row in rows if row.role == ITEM]
    # A vector's last digits depend on the texts that it is encoded with, so nothing may be encoded before this.
    similarity = _similarity(provenance, progress)
    gold = gold_values(items, similarity, _token_encoder(provenance))
    apart = telling_apart(items, similarity, seed)
    rated = _ratings(items, [row for row in rows if row.role == CONTROL], seed)
    values = {**reason_values(items), **gold, **apart.values, **rated.values}
    scale = normalised(items, values, seed)
    return Scores(
        metrics={**means(items, values, seed), **scale.metrics, **rated.metrics},
        items=_item_scores(items, values),
        undefined={**apart.undefined, **scale.undefined, **rated.undefined},
    )


def _similarity(provenance: Provenance, progress: Progress | None) -> Similarity:
    similarity = Similarity(provenance["encoder"]["model"], progress)
    check_weights(similarity, provenance["encoder"]["digest"])
    return similarity


def _token_encoder(provenance: Provenance) -> TextEncoder | None:
    if provenance["bertscore"] is None:
        return None
    encoder = open_token_encoder(provenance["bertscore"]["model"])
    check_weights(encoder, provenance["bertscore"]["digest"])
    return encoder


def _ratings(items: Sequence[Record], controls: Sequence[Record], seed: int) -> Measured:
    """Score what each panel says, and what controls and people show of the judges."""
    panels = sorted({rating.panel for item in items for rating in item.ratings})
    deciding = selected_judges(controls)
    measured = {panel: panel_scores(items, panel, deciding if panel == JUDGES else None, seed) for panel in panels}
    parts = list(measured.values())
    if JUDGES in measured:
        accepted = measured[JUDGES].values["acceptance"]
        by_people = _values(parts).get("acceptance_people", {})
        parts += [
            calibration(items, controls, accepted, deciding, seed),
            Measured(metrics=acceptance_by_people(items, accepted, by_people, seed)),
        ]
    return Measured(
        _values(parts),
        {key: metric for part in parts for key, metric in part.metrics.items()},
        {name: why for part in parts for name, why in part.undefined.items()},
    )


def _values(parts: Sequence[Measured]) -> dict[str, Values]:
    return {name: values for part in parts for name, values in part.values.items()}


def _item_scores(items: Sequence[Record], values: Mapping[str, Values]) -> ItemScores:
    """Give the values of single items; in a study an item has one for each condition."""
    names = [f"{item.condition}|{item.item}" if item.condition else item.item for item in items]
    return ItemScores(
        values={name: {names[number]: value for number, value in by_item.items()} for name, by_item in values.items()},
        groups={name: item.concept for name, item in zip(names, items, strict=True)},
    )
