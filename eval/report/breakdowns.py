"""Blocks on parts of the items: breakdowns by group, heat maps, profiles, and the conditions of studies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from conceptbench.eval.report import numbers
from conceptbench.eval.report.groups import bare, crossed, group_kind, natural
from conceptbench.eval.report.page import (
    Block,
    Cell,
    System,
    Table,
    folded_table,
    in_task_order,
    keys_of,
    measured,
    metric_cell,
)
from conceptbench.eval.report.plots import Curves, Plot, draw, draw_curves
from conceptbench.eval.result import Metric, MetricKey

PLOTTED: Final = 6
"""More systems than this make a plot of groups unreadable; tables have all of them."""

PROFILES: Final = 60
"""Rows of a table of single items by layer, at most."""

Part = tuple[str, MetricKey]
"""A part of the items: its label, and its condition and group in a key without a metric's name."""


def breakdowns(systems: Sequence[System], main: str | None) -> Iterator[Block]:
    """Show metrics by group: a block for each thing that groups are groups of."""
    keys = [
        key
        for key in keys_of(systems)
        if key.group and not key.condition and not key.name.startswith("judge_") and crossed(key.group) is None
    ]
    known = systems[0].task.groups
    by_kind: dict[str, list[MetricKey]] = {}
    for key in keys:
        by_kind.setdefault(group_kind(key.group, known), []).append(key)
    for kind, members in by_kind.items():
        # One group alone is all that there is.
        if len({key.group for key in members}) > 1:
            yield _breakdown(kind, members, systems, main)


def heat_maps(systems: Sequence[System]) -> Iterator[Block]:
    """Show metrics broken down by layer and group at once, as `auroc/L03:semantic`: a table a metric and system."""
    tables, values = [], []
    for system in systems:
        cells: dict[str, dict[tuple[str, str], Metric]] = {}
        for key, metric in system.metrics.items():
            layer_and_group = crossed(key.group)
            if layer_and_group is not None and not key.condition:
                cells.setdefault(key.name, {})[layer_and_group] = metric
                values.append(metric.value)
        tables += [_heat_map(system, name, cells[name]) for name in in_task_order(systems, cells)]
    if tables:
        notes = [
            f"The darker, the higher, from {min(values):.2f} to {max(values):.2f}; point at a cell for its interval."
        ]
        yield Block(
            "By layer and kind",
            notes,
            table=tables[0] if len(tables) == 1 else None,
            folded=tables if len(tables) > 1 else (),
        )


def profiles(systems: Sequence[System]) -> Iterator[Block]:
    """Show single items by layer, those that change most: a table a system."""
    tables = []
    for system in systems:
        by_item = system.run.profiles
        layers = natural({layer for by_layer in by_item.values() for layer in by_layer})
        if len(layers) < 2:
            continue
        values = [value for by_layer in by_item.values() for value in by_layer.values()]
        changing = sorted(by_item, key=lambda item: (min(by_item[item].values()) - max(by_item[item].values()), item))
        rows = [
            [Cell(item), *(_heated(by_item[item].get(layer), values) for layer in layers)]
            for item in changing[:PROFILES]
        ]
        metric = next(iter(system.task.ranked_by), system.task.name)
        caption = f"{metric} of {system.name}: {len(rows)} of {len(by_item)} concepts"
        tables.append(Table(["concept", *layers], rows, caption))
    if tables:
        yield Block("By layer and concept", ["Those concepts that change most between layers."], folded=tables)


def studies(systems: Sequence[System]) -> Iterator[Block]:
    """Show metrics by the condition of a study: a block a study."""
    by_study: dict[str, list[MetricKey]] = {}
    for key in keys_of(systems):
        if key.condition:
            by_study.setdefault(group_kind(key.condition, {}), []).append(key)
    for study, keys in by_study.items():
        yield _study(study, keys, systems)


def _breakdown(kind: str, keys: Sequence[MetricKey], systems: Sequence[System], main: str | None) -> Block:
    members = _with_some(systems, keys)
    task = members[0].task
    groups = natural({key.group for key in keys})
    names = in_task_order(members, {key.name for key in keys})
    curves = _curves(kind, keys, members)
    in_the_open = [main, *_studied_by_group(members), *([] if curves else task.open_breakdowns)]
    rows = [(name, system, [MetricKey(name, group=group) for group in groups]) for name in names for system in members]
    return _parts_block(
        next(plot.caption for plot in task.curves if plot.by == kind) if curves else f"By {kind}",
        [(bare(group), MetricKey("", group=group)) for group in groups],
        [name for name in dict.fromkeys(in_the_open) if name in names],
        members,
        [folded_table(f"All metrics by {kind}", "metric", list(map(bare, groups)), rows)],
        curves,
    )


def _studied_by_group(systems: Sequence[System]) -> list[str]:
    """Give the metrics of studies that are read by group instead of by condition."""
    names: set[str] = set()
    for system in systems:
        study = system.task.studies.get(str(system.run.provenance.get("study")))
        if study is not None and study.by_group:
            names |= set(study.metrics)
    return in_task_order(systems, names)


def _study(study: str, keys: Sequence[MetricKey], systems: Sequence[System]) -> Block:
    members = _with_some(systems, keys)
    task = members[0].task
    conditions = list(dict.fromkeys(key.condition for key in keys))
    present = {key.name for key in keys}
    names = [name for name in (*task.ranked_by, *task.open_breakdowns) if name in present]
    names = names or in_task_order(members, present)
    groups = natural({key.group for key in keys if key.group})
    folded = [
        folded_table(
            f"{name} by {study} and group",
            study,
            groups,
            [
                (bare(condition), system, [MetricKey(name, condition, group) for group in groups])
                for condition in conditions
                for system in members
            ],
        )
        for name in names
    ]
    parts = [(bare(condition), MetricKey("", condition)) for condition in conditions]
    return _parts_block(f"Study: {study}", parts, names, members, folded, _curves(study, keys, members))


def _with_some(systems: Sequence[System], keys: Sequence[MetricKey]) -> list[System]:
    """Give the systems that have some of these metrics."""
    return [system for system in systems if any(key in system.metrics for key in keys)]


def _parts_block(
    title: str,
    parts: Sequence[Part],
    names: Sequence[str],
    systems: Sequence[System],
    folded: Sequence[Table],
    curves: Sequence[Curves],
) -> Block:
    """Show metrics of parts of the items: a row a part, a column a metric and system."""
    columns = [(name, system) for name in names for system in systems]
    # What all columns share is written in the corner.
    corner = names[0] if len(names) == 1 else systems[0].name if len(systems) == 1 else ""
    heads = [", ".join(text for text in (name, system.name) if text != corner) for name, system in columns]
    rows = [
        [Cell(label), *(metric_cell(system.metrics.get(part._replace(name=name))) for name, system in columns)]
        for label, part in parts
    ]
    return Block(
        title,
        plots=[plot for name in names for plot in _plots(name, parts, systems)],
        curves=curves,
        table=Table([corner, *heads], rows) if columns else None,
        folded=folded,
    )


def _plots(name: str, parts: Sequence[Part], systems: Sequence[System]) -> list[Plot]:
    """Draw a metric of parts of the items; nothing where no system has it."""
    plotted = systems[:PLOTTED]
    rows = [
        (label, [(system.series, system.name, metric) for system, metric in bars])
        for label, part in parts
        if (bars := measured(plotted, part._replace(name=name)))
    ]
    caption = f"{name}, the first {PLOTTED} systems" if len(systems) > PLOTTED else name
    return [draw(caption, rows, [(system.series, system.name) for system in plotted])] if rows else []


def _curves(by: str, keys: Sequence[MetricKey], systems: Sequence[System]) -> list[Curves]:
    """Draw the task's curves over a breakdown or a study by numbers: one of each kind for each system."""
    drawn = []
    for plot in systems[0].task.curves:
        for system in systems[:PLOTTED] if plot.by == by else ():
            lines = {
                name: [
                    (float(bare(key.condition or key.group)), system.metrics[key])
                    for key in keys
                    if key.name == name and key in system.metrics
                ]
                for name in plot.metrics
            }
            if all(len(points) > 1 for points in lines.values()):
                drawn.append(draw_curves(plot.caption + (f", {system.name}" if len(systems) > 1 else ""), lines))
    return drawn


def _heat_map(system: System, name: str, cells: Mapping[tuple[str, str], Metric]) -> Table:
    """Make a table of a metric with a row a group and a column a layer."""
    layers = natural({layer for layer, _ in cells})
    values = [metric.value for metric in cells.values()]
    whole = [system.metrics.get(MetricKey(name, group=layer)) for layer in layers]
    rows = [[Cell("all"), *(_shaded(metric, values) for metric in whole)]]
    rows += [
        [Cell(group), *(_shaded(cells.get((layer, group)), values) for layer in layers)]
        for group in natural({group for _, group in cells})
    ]
    return Table([name, *layers], rows, f"{name} of {system.name}")


def _shaded(metric: Metric | None, values: Sequence[float]) -> Cell:
    """Make a cell of a heat map whose darkest is the highest of the values."""
    if metric is None:
        return Cell("—")
    return _heated(metric.value, values, numbers.interval_and_n(metric))


def _heated(value: float | None, values: Sequence[float], note: str = "") -> Cell:
    if value is None:
        return Cell("—")
    low, high = min(values), max(values)
    heat = 0.5 if high == low else min(max((value - low) / (high - low), 0.0), 1.0)
    return Cell(numbers.signed(f"{value:.2f}"), note, round(heat, 3))
