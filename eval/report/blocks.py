"""Blocks on whole runs: the ranking, all metrics, judges, examples, and the provenance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from conceptbench.eval.report.numbers import interval, percent
from conceptbench.eval.report.page import (
    Block,
    Cell,
    System,
    Table,
    in_task_order,
    keys_of,
    measured,
    metric_cell,
    metric_table,
)
from conceptbench.eval.report.plots import draw
from conceptbench.eval.result import Metric, MetricKey
from conceptbench.eval.stats.paired import Difference, paired_difference
from conceptbench.eval.task import Example

_SENSITIVITY = MetricKey("judge_sensitivity")
_SPECIFICITY = MetricKey("judge_specificity")
_YOUDEN = MetricKey("judge_youden")

_DIGEST: Final = re.compile(r"\b[0-9a-f]{40,64}\b")
_DIGITS_OF_DIGEST: Final = 16
# Parts of the provenance that other blocks show.
_SHOWN_ELSEWHERE: Final = ("undefined", "findings")


def ranking(systems: Sequence[System], main: str) -> Block:
    """Rank systems by their main metric, and say which cannot be told apart from the best.

    Parameters
    ----------
    systems : in the order of the ranking.
    main : the metric.
    """
    best, key = systems[0], MetricKey(main)
    differences = {system.name: _behind(system, best, main) for system in systems[1:]}
    columns = ["", "system", main, "against the best"] if len(systems) > 1 else ["", "system", main]
    rows = [
        [
            Cell(str(system.series + 1)),
            Cell(system.name),
            metric_cell(system.metrics[key]),
            Cell("best") if system is best else _against(system, best, key, differences[system.name]),
        ][: len(columns)]
        for system in systems
    ]
    plots = [
        draw(name, [(system.name, [(system.series, system.name, metric)]) for system, metric in bars])
        for name in best.task.ranked_by
        if (bars := measured(systems, MetricKey(name)))
    ]
    notes = [f"{main}: {best.task.descriptions.get(main, '')}.", *_ranking_notes(best, differences)]
    return Block("Ranking", notes, plots, Table(columns, rows, words=True))


def headlines(systems: Sequence[System]) -> Block:
    """Show every metric over all items, with what it means, or why it is absent; and the runs' findings."""
    descriptions = systems[0].task.descriptions
    present = {key.name for key in keys_of(systems) if key.headline}
    names = in_task_order(systems, present.union(*(system.undefined for system in systems)))
    rows = [(Cell(name, descriptions.get(name, "")), MetricKey(name)) for name in names]
    findings = [
        f"{system.name}: {finding}" if len(systems) > 1 else finding
        for system in systems
        for finding in system.run.provenance.get("findings", ())
    ]
    notes = ["Value, 95 % interval, and n: the number of items asked.", *findings]
    return Block("All metrics", notes, table=metric_table("metric", rows, systems))


def judges(systems: Sequence[System]) -> Iterator[Block]:
    """Show how well panels of judges do on planted controls, where there are any."""
    judged = [
        system for system in systems if all(key in system.metrics for key in (_SENSITIVITY, _SPECIFICITY, _YOUDEN))
    ]
    if not judged:
        return
    descriptions = judged[0].task.descriptions
    rows = [
        (Cell(f"{key.name}: {key.group}") if key.group else Cell(key.name, descriptions.get(key.name, "")), key)
        for key in keys_of(judged)
        if key.name.startswith("judge_") and not key.condition
    ]
    notes = [f"{system.name}: {judge_sentence(system.metrics)}" for system in judged]
    yield Block("What the judges are worth", notes, table=metric_table("on planted controls", rows, judged))


def judge_sentence(metrics: Mapping[MetricKey, Metric]) -> str:
    """Say how far a run's panel of judges can be trusted, by the planted controls."""
    youden = metrics[_YOUDEN]
    rates = (
        f"the panel accepts {percent(metrics[_SENSITIVITY])} of right planted controls and rejects "
        f"{percent(metrics[_SPECIFICITY])} of wrong ones; Youden's J is {interval(youden)}."
    )
    if youden.value <= 0:
        return f"{rates} That is no better than chance: this panel is useless, and what it accepts says nothing."
    if youden.low <= 0:
        return f"{rates} That may be chance: nothing can be built on what this panel accepts."
    by_error = {key.group: metric.value for key, metric in metrics.items() if key.name == _SPECIFICITY.name}
    by_error.pop("", None)
    worst = min(by_error, key=by_error.__getitem__, default="")
    weakness = f"; the errors it rejects least are those of type {worst}" if worst else ""
    return f"{rates} That is better than chance{weakness}."


def examples(systems: Sequence[System]) -> Iterator[Block]:
    """Show single items of each run, good and bad."""
    tables = [_example_table(system.name, system.run.examples) for system in systems if system.run.examples]
    if tables:
        notes = ["Drawn at random from the records, some good and some bad, whatever their share."]
        yield Block("Examples", notes, folded=tables)


def provenance(systems: Sequence[System]) -> Block:
    """Show what the numbers depend on: the options that are set, the dataset, models, prompts and digests."""
    facts = [
        {
            "task version": system.run.result.task_version,
            **{name: value for name, value in system.run.provenance.items() if name not in _SHOWN_ELSEWHERE},
            "records_sha256": system.run.result.records_sha256,
        }
        for system in systems
    ]
    rows = [
        [Cell(_spaced(name)), *(Cell(_fact(by_name.get(name))) for by_name in facts)]
        for name in dict.fromkeys(name for by_name in facts for name in by_name)
    ]
    rows = [row for row in rows if any(cell.text for cell in row[1:])]
    notes = [f"Digests are cut to {_DIGITS_OF_DIGEST} digits; the result files have them whole."]
    return Block("Where it is from", notes, table=Table(["", *(s.name for s in systems)], rows, words=True))


def _behind(system: System, best: System, main: str) -> Difference | None:
    """Compare a system with the best item by item; None where the metric is not of the same items in both."""
    if not system.run.same_items(best.run):
        return None
    values, best_values = (run.item_scores.values.get(main, {}) for run in (system.run, best.run))
    if not values or values.keys() != best_values.keys():
        return None
    return paired_difference(values, best_values, best.run.item_scores.groups)


def _against(system: System, best: System, key: MetricKey, difference: Difference | None) -> Cell:
    """Say how a system compares with the best."""
    if difference is not None:
        return Cell("behind" if difference.told_apart else "tied", str(difference))
    apart = system.metrics[key].high < best.metrics[key].low
    return Cell("other items", f"the intervals {'do not overlap' if apart else 'overlap'}")


def _ranking_notes(best: System, differences: Mapping[str, Difference | None]) -> list[str]:
    compared = {name: difference for name, difference in differences.items() if difference is not None}
    tied = [name for name, difference in compared.items() if not difference.told_apart]
    notes = []
    if compared:
        notes += [
            f"{', '.join(tied)} cannot be told apart from {best.name}, the best here."
            if tied
            else f"{best.name} is ahead of every system that was asked the same items.",
            "Each is compared with the best item by item: tied is a p-value of 0.05 or more in a permutation test over "
            "concepts, not corrected for the number of systems.",
        ]
    if len(compared) < len(differences):
        notes.append("Of runs that were asked other items, only the intervals can be held against each other.")
    return notes


def _example_table(caption: str, items: Sequence[Example]) -> Table:
    columns = {
        "": [{True: "✓ good", False: "✗ bad", None: ""}[item.good] for item in items],
        "shown": [item.shown for item in items],
        "answer": [item.answer for item in items],
        "expected": [item.expected for item in items],
        "condition": [item.condition for item in items],
    }
    filled = {name: texts for name, texts in columns.items() if any(texts)}
    rows = [[Cell(text) for text in texts] for texts in zip(*filled.values(), strict=True)]
    return Table(list(filled), rows, caption, words=True)


def _fact(value: Any) -> str:
    """Put a value of the provenance in words; nothing where it is empty."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "; ".join(f"{_spaced(name)} {text}" for name, part in value.items() if (text := _fact(part)))
    if isinstance(value, list):
        return "; ".join(map(_fact, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"
    return _DIGEST.sub(
        lambda match: match[0][:_DIGITS_OF_DIGEST], f"{value:,}" if isinstance(value, int) else str(value)
    )


def _spaced(name: str) -> str:
    return name.replace("_", " ")
