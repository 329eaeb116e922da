"""The report on results: an HTML page that opens without a network, and the same as Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os.path import commonpath
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from conceptbench.eval.annotation.studies import condition_names
from conceptbench.eval.compare import Run, open_run, paired_difference
from conceptbench.eval.report.axes import axis, digits_of, signed
from conceptbench.eval.report.curves import Curves, draw_curves
from conceptbench.eval.result import Example, Metric, package_version
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.files import write_text
from conceptbench.runtime.progress import Progress, Silent

TOLERANCE: Final = 1e-6
"""A metric computed again may differ from the file's by this much."""

_FILES = ("report.html", "report.md")
_TEMPLATES = {".html": "report.html.jinja", ".md": "report.md.jinja"}
_PANEL = ("judge_sensitivity", "judge_specificity", "judge_youden")
_REFUSALS = ("refused", "refused_first", "recovered")
_DIGEST = re.compile(r"\b[0-9a-f]{40,64}\b")
_CROSSED = re.compile(r"(L\d+):(.+)")
_DIGEST_SHOWN = 16
# Of the provenance, what stands elsewhere on the page.
_TOLD = ("undefined", "findings")
_LONGEST_NAME = 30
# More systems than this make a plot of groups unreadable; tables show all.
_PLOTTED = 6
# Rows of a table of single items by layer.
_PROFILES = 60
_NBSP = "\N{NO-BREAK SPACE}"
_ROW, _LINE, _AXIS = 24, 16, 26

Key = tuple[str, str, str]
"""A metric's name, its condition in a study, and its group in a breakdown; each of the last two may be empty."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, and what is said in small print below.

    `heat`, from 0 to 1, shades the cell of a heat map, where the note is shown when it is pointed at.
    """

    text: str
    note: str = ""
    heat: float | None = None


@dataclass(frozen=True)
class Table:
    """A table; `words` for one of texts instead of numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    words: bool = False


@dataclass(frozen=True)
class Bar:
    """An interval with its value, drawn at a height, in percent of the width; `series` gives colour and shape."""

    name: str
    x: float
    low: float
    high: float
    y: int
    series: int


@dataclass(frozen=True)
class Plot:
    """A plot of intervals: rows with a label, and the value where a row has but one, above the bars."""

    caption: str
    text: str
    height: int
    ticks: Sequence[tuple[float, str]]
    rows: Sequence[tuple[int, str, str]]
    bars: Sequence[Bar]
    legend: Sequence[tuple[int, str]]


@dataclass(frozen=True)
class Block:
    """A part of a section: sentences, plots, curves, a table, and tables that are folded away."""

    title: str
    notes: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    table: Table | None = None
    folded: Sequence[Table] = ()
    curves: Sequence[Curves] = ()


@dataclass(frozen=True)
class Section:
    """What runs of one task, ranked by one metric, came to."""

    title: str
    what: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class System:
    """A run, the name that tells it from the others, and its metrics by (name, condition, group).

    `place` is that in the ranking, from 0: it gives the colour and shape in plots.
    """

    name: str
    run: Run
    metrics: Mapping[Key, Metric]
    place: int = 0

    @property
    def undefined(self) -> Mapping[str, str]:
        """Why a metric is absent, by its name."""
        reasons: Mapping[str, str] = self.run.result.provenance.get("undefined", {})
        return reasons


def report(
    results: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    recompute: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write a report on results: rankings, intervals, breakdowns, examples, and where all of it is from.

    Parameters
    ----------
    results : folders of results, or their files.
    out : a file ending in .html or .md; or a folder for `report.html` and `report.md`, by default the current one.
    recompute : compute every metric again from the records first.

    Returns
    -------
    the files written.

    Raises
    ------
    InputError
        if a result cannot be read, or was given twice.
    ConceptBenchError
        if a metric computed again is not that of the file; then nothing is written.
    """
    targets = _targets(Path(out or "."))
    runs = [open_run(path) for path in results]
    if not runs:
        raise InputError("give at least one result")
    progress = progress or Silent()
    if recompute:
        with progress.stage("Computing metrics again", len(runs)) as advance:
            for run in runs:
                check_metrics(run)
                advance(1)
    ranked: dict[tuple[str, str | None], list[System]] = {}
    for system in _systems(runs):
        ranked.setdefault((system.run.result.task, system.run.main), []).append(system)
    page = {
        "title": f"Results of {runs[0].result.system if len(runs) == 1 else f'{len(runs)} runs'}",
        "origin": "Every number was recomputed from the records, and agrees with the result files."
        if recompute
        else "Numbers as they stand in the result files; they were not recomputed from the records.",
        "sections": [_section(systems, main, progress) for (_, main), systems in ranked.items()],
        "version": package_version(),
    }
    for path in targets:
        write_text(path, _render(path.suffix, page))
    return targets


def check_metrics(run: Run) -> None:
    """Compute a run's metrics again from its records.

    Raises
    ------
    ConceptBenchError
        if they are not those of its result file.
    """
    stated, found = run.result.metrics, run.task.recompute(run.folder, run.result, None)
    wrong = [name for name in {**stated, **found} if not _same(stated.get(name), found.get(name))]
    if wrong:
        name = wrong[0]
        more = f" (and {len(wrong) - 1} more metrics differ)" if len(wrong) > 1 else ""
        raise ConceptBenchError(
            f"{run.folder}: metric {name!r} is {_exact(stated.get(name))} in the result file, but "
            f"{_exact(found.get(name))} by its records{more}. The file was changed since the run, or the code was; "
            "run the evaluation again"
        )


def draw(
    caption: str, rows: Sequence[tuple[str, Sequence[tuple[int, str, Metric]]]], legend: Sequence[tuple[int, str]] = ()
) -> Plot:
    """Lay out a plot of intervals.

    Parameters
    ----------
    rows : a label, and the bars below it: series, name, metric.
    legend : series and their names; none where the rows' labels are these.
    """
    metrics = [metric for _, bars in rows for _, _, metric in bars]
    ticks = axis(min(metric.low for metric in metrics), max(metric.high for metric in metrics))

    def across(value: float) -> float:
        return round(3 + 94 * (value - ticks[0]) / (ticks[-1] - ticks[0]), 3)

    placed, labels, y = [], [], 0
    for label, bars in rows:
        labels.append((y + _ROW - 8, _shortened(label), _interval(bars[0][2]) if len(bars) == 1 else ""))
        y += _ROW
        for series, name, metric in bars:
            x, low, high = map(across, (metric.value, metric.low, metric.high))
            placed.append(Bar(f"{name}: {_interval(metric)}", x, low, high, y + 5, series))
            y += _LINE
    digits = digits_of(ticks)
    said = [
        f"{label}: " + ", ".join((f"{name} " if legend else "") + _interval(metric) for _, name, metric in bars)
        for label, bars in rows
    ]
    return Plot(
        caption=caption,
        text=f"{caption} with 95 % intervals. {'; '.join(said)}.",
        height=y + _AXIS,
        ticks=[(across(tick), signed(f"{tick:.{digits}f}")) for tick in ticks],
        rows=labels,
        bars=placed,
        legend=legend,
    )


def _targets(out: Path) -> list[Path]:
    if out.is_dir() or not out.suffix:
        return [out / name for name in _FILES]
    if out.suffix not in _TEMPLATES:
        raise InputError(f"--out {out}: give a folder, or a file ending in .html or .md")
    return [out]


def _same(one: Metric | None, other: Metric | None) -> bool:
    if one is None or other is None:
        return False
    pairs = ((one.value, other.value), (one.low, other.low), (one.high, other.high))
    return one.n == other.n and all(abs(first - second) <= TOLERANCE for first, second in pairs)


def _exact(metric: Metric | None) -> str:
    return "absent" if metric is None else f"{metric.value:.9g} ({metric.low:.9g} to {metric.high:.9g}, n {metric.n})"


def _systems(runs: Sequence[Run]) -> list[System]:
    """Name the runs: by system, and by what tells their folders apart where a system is there more than once."""
    folders = [run.folder.resolve() for run in runs]
    systems = []
    for run, folder in zip(runs, folders, strict=True):
        if folders.count(folder) > 1:
            raise InputError(f"{run.folder}: was given twice")
        name = run.result.system
        alike = [own for own, other in zip(folders, runs, strict=True) if other.result.system == name]
        if len(alike) > 1:
            name += f" ({folder.relative_to(commonpath(alike)).as_posix()})"
        conditions = condition_names(run.result.metrics)
        metrics = {_parts(key, conditions): metric for key, metric in run.result.metrics.items()}
        systems.append(System(name, run, metrics))
    return systems


def _parts(key: str, conditions: Sequence[str]) -> Key:
    """Split a metric's name into name, condition and group."""
    name, _, rest = key.partition("/")
    for condition in conditions:
        if rest == condition or rest.startswith(f"{condition}/"):
            return name, condition, rest[len(condition) + 1 :]
    return name, "", rest


def _section(systems: Sequence[System], main: str | None, progress: Progress) -> Section:
    if main is not None:
        systems = sorted(systems, key=lambda system: -system.metrics[main, "", ""].value)
    systems = [replace(system, place=place) for place, system in enumerate(systems)]
    result, task = systems[0].run.result, systems[0].run.task
    blocks = [
        *([_ranking(systems, main, progress)] if main is not None else []),
        _headlines(systems),
        *_judges(systems),
        *_breakdowns(systems, main),
        *_heat_maps(systems),
        *_profiles(systems),
        *_studies(systems),
        *_examples(systems),
        _provenance(systems),
    ]
    title = result.task.capitalize() + (f", ranked by {main}" if main is not None else "")
    return Section(title, f"{task.what[0].upper()}{task.what[1:]}.", blocks)


def _ranking(systems: Sequence[System], main: str, progress: Progress) -> Block:
    best = systems[0]
    same = [other for other in systems[1:] if other.run.same_items(best.run)]
    scores = {}
    if same:
        with progress.stage("Comparing systems", 1 + len(same)) as advance:
            for system in (best, *same):
                scores[system.name] = system.run.item_scores()
                advance(1)
    rows, tied = [], []
    for system in systems:
        if system is best:
            against = Cell("best")
        elif system.name in scores:
            found = paired_difference(
                scores[system.name].values[main], scores[best.name].values[main], scores[best.name].groups
            )
            against = Cell("behind" if found.told_apart else "tied", str(found))
            tied += [] if found.told_apart else [system.name]
        else:
            apart = system.metrics[main, "", ""].high < best.metrics[main, "", ""].low
            against = Cell("other items", f"the intervals {'do not overlap' if apart else 'overlap'}")
        rows.append([Cell(str(system.place + 1)), Cell(system.name), _cell(system.metrics[main, "", ""]), against])
    notes = [f"{main}: {best.run.task.metrics.get(main, '')}."]
    if same:
        notes.append(
            f"{', '.join(tied)} cannot be told apart from {best.name}, the best here."
            if tied
            else f"{best.name} is ahead of every system that was asked the same items."
        )
        notes.append(
            "Each is compared with the best item by item: tied is a p-value of 0.05 or more in a permutation test over "
            "concepts, not corrected for the number of systems."
        )
    if len(same) < len(systems) - 1:
        notes.append("Of runs that were asked other items, only the intervals can be held against each other.")
    plots = [
        draw(name, [(system.name, [(system.place, system.name, metric)]) for system, metric in measured])
        for name in best.run.task.main
        if (measured := _found(systems, (name, "", "")))
    ]
    columns = ["", "system", main, "against the best"] if len(systems) > 1 else ["", "system", main]
    table = Table(columns, [row[: len(columns)] for row in rows], words=True)
    return Block("Ranking", notes, plots, table)


def _headlines(systems: Sequence[System]) -> Block:
    task = systems[0].run.task
    given = {name for name, condition, group in _keys(systems) if not condition + group}
    names = _in_order(systems, given.union(*(system.undefined for system in systems)))
    rows = [(Cell(name, task.metrics.get(name, "")), (name, "", "")) for name in names]
    notes = ["Value, 95 % interval, and n: the number of items asked."]
    found = [(system.name, text) for system in systems for text in system.run.result.provenance.get("findings", ())]
    notes += [f"{name}: {text}" if len(systems) > 1 else text for name, text in found]
    return Block("All metrics", notes, table=_table("metric", rows, systems))


def _breakdowns(systems: Sequence[System], main: str | None) -> Iterable[Block]:
    keys = [
        key
        for key in _keys(systems)
        if key[2] and not key[1] and not key[0].startswith("judge_") and not _CROSSED.fullmatch(key[2])
    ]
    known = systems[0].run.task.groups
    for sort in dict.fromkeys(_sort(group, known) for _, _, group in keys):
        own = [key for key in keys if _sort(key[2], known) == sort]
        groups = _natural({group for _, _, group in own})
        # One group alone is all that there is.
        if len(groups) < 2:
            continue
        inside = [system for system in systems if any(key in system.metrics for key in own)]
        names = _in_order(inside, {name for name, _, _ in own})
        refusals = _REFUSALS if any(s.run.result.provenance.get("study") == "refusals" for s in inside) else ()
        curves = _curves(sort, own, inside)
        wanted = [main, *refusals, *([] if curves else inside[0].run.task.shown)]
        shown = [name for name in dict.fromkeys(wanted) if name in names]
        lines = [(name, system, [(name, "", group) for group in groups]) for name in names for system in inside]
        captions = [plot.caption for plot in inside[0].run.task.curves if plot.by == sort]
        yield _split(
            captions[0] if curves else f"By {sort}",
            [(_bare(group), "", group) for group in groups],
            shown,
            inside,
            [_folded(f"All metrics by {sort}", ["metric", *map(_bare, groups)], lines)],
            curves,
        )


def _heat_maps(systems: Sequence[System]) -> Iterable[Block]:
    """Show metrics broken down by layer and group at once, as `auroc/L03:semantic`: a table a metric and system."""
    tables, ends = [], []
    for system in systems:
        crossed = [(key, found) for key in system.metrics if not key[1] and (found := _CROSSED.fullmatch(key[2]))]
        for name in _in_order(systems, {key[0] for key, _ in crossed}):
            own = [found for key, found in crossed if key[0] == name]
            layers, groups = _natural({found[1] for found in own}), _natural({found[2] for found in own})
            values = [system.metrics[name, "", found[0]].value for found in own]
            ends += values
            rows = [
                [Cell(group or "all"), *(_shaded(system.metrics.get((name, "", inner)), values) for inner in inside)]
                for group, inside in [
                    ("", layers),
                    *((group, [f"{layer}:{group}" for layer in layers]) for group in groups),
                ]
            ]
            tables.append(Table([name, *layers], rows, f"{name} of {system.name}"))
    if tables:
        notes = [
            f"The darker, the higher, from {min(ends):.2f} to {max(ends):.2f}; point at a cell for its interval.",
        ]
        yield Block(
            "By layer and kind", notes, table=tables[0] if len(tables) == 1 else None, folded=tables[1:] and tables
        )


def _shaded(metric: Metric | None, values: Sequence[float]) -> Cell:
    """Make a cell of a heat map whose darkest is the highest of the values."""
    if metric is None:
        return Cell("—")
    return replace(_heated(metric.value, values), note=_cell(metric).note)


def _heated(value: float, values: Sequence[float]) -> Cell:
    low, high = min(values), max(values)
    heat = 0.5 if high == low else min(max((value - low) / (high - low), 0.0), 1.0)
    return Cell(signed(f"{value:.2f}"), heat=round(heat, 3))


def _profiles(systems: Sequence[System]) -> Iterable[Block]:
    """Show single items by layer, those that change most: a table a system."""
    tables = []
    for system in systems:
        task = system.run.task
        found = task.profiles(system.run.folder, system.run.result) if task.profiles is not None else {}
        layers = _natural({layer for own in found.values() for layer in own})
        if len(layers) < 2:
            continue
        values = [value for own in found.values() for value in own.values()]
        changing = sorted(found, key=lambda item: (min(found[item].values()) - max(found[item].values()), item))
        rows = [
            [Cell(item), *(_heated(own[layer], values) if layer in own else Cell("—") for layer in layers)]
            for item in changing[:_PROFILES]
            for own in [found[item]]
        ]
        caption = f"{task.main[0]} of {system.name}: {len(rows)} of {len(found)} concepts"
        tables.append(Table(["concept", *layers], rows, caption))
    if tables:
        yield Block("By layer and concept", ["Those concepts that change most between layers."], folded=tables)


def _studies(systems: Sequence[System]) -> Iterable[Block]:
    keys = [key for key in _keys(systems) if key[1]]
    for study in dict.fromkeys(condition.partition("=")[0] for _, condition, _ in keys):
        own = [key for key in keys if key[1].startswith(f"{study}=")]
        conditions = list(dict.fromkeys(condition for _, condition, _ in own))
        inside = [system for system in systems if any(key in system.metrics for key in own)]
        task = inside[0].run.task
        given = {name for name, _, _ in own}
        names = [name for name in (*task.main, *task.shown) if name in given] or _in_order(inside, given)
        groups = _natural({group for _, _, group in own if group})
        folded = []
        for name in names:
            lines = [
                (_bare(c), system, [(name, c, group) for group in groups]) for c in conditions for system in inside
            ]
            folded.append(_folded(f"{name} by {study} and group", [study, *groups], lines))
        curves = _curves(study, own, inside)
        yield _split(f"Study: {study}", [(_bare(c), c, "") for c in conditions], names, inside, folded, curves)


def _curves(by: str, keys: Sequence[Key], systems: Sequence[System]) -> list[Curves]:
    """Draw the task's curves over a breakdown or a study by numbers: one of each kind for each system."""
    drawn = []
    for plot in systems[0].run.task.curves if by in {plot.by for plot in systems[0].run.task.curves} else ():
        for system in systems[:_PLOTTED]:
            own = [key for key in keys if key in system.metrics and plot.by == by]
            lines = {
                name: [(float(_bare(key[1] or key[2])), system.metrics[key]) for key in own if key[0] == name]
                for name in plot.metrics
            }
            if all(len(points) > 1 for points in lines.values()):
                drawn.append(draw_curves(plot.caption + (f", {system.name}" if len(systems) > 1 else ""), lines))
    return drawn


def _split(
    title: str,
    parts: Sequence[Key],
    names: Sequence[str],
    systems: Sequence[System],
    folded: Sequence[Table],
    curves: Sequence[Curves] = (),
) -> Block:
    """Show metrics of parts of the items: a label, a condition and a group each."""
    plots = [
        plot
        for name in names
        for plot in _plots(name, [(label, (name, condition, group)) for label, condition, group in parts], systems)
    ]
    columns = [(name, system) for name in names for system in systems]
    # What all columns share stands in the corner.
    corner = names[0] if len(names) == 1 else systems[0].name if len(systems) == 1 else ""
    heads = [", ".join(part for part in (name, system.name) if part != corner) for name, system in columns]
    rows = [
        [Cell(label), *(_cell(system.metrics.get((name, condition, group))) for name, system in columns)]
        for label, condition, group in parts
    ]
    table = Table([corner, *heads], rows) if columns else None
    return Block(title, plots=plots, curves=curves, table=table, folded=folded)


def _folded(caption: str, columns: Sequence[str], lines: Sequence[tuple[str, System, Sequence[Key]]]) -> Table:
    rows = [
        [Cell(label), Cell(system.name), *(_cell(system.metrics.get(key)) for key in keys)]
        for label, system, keys in lines
    ]
    return Table([columns[0], "system", *columns[1:]], rows, caption)


def _judges(systems: Sequence[System]) -> Iterable[Block]:
    inside = [system for system in systems if all((name, "", "") in system.metrics for name in _PANEL)]
    if not inside:
        return
    keys = [key for key in _keys(inside) if key[0].startswith("judge_")]
    task = inside[0].run.task
    rows = [
        (
            Cell(": ".join(filter(None, (name, group))), task.metrics.get(name, "") if not group else ""),
            (name, "", group),
        )
        for name, _, group in keys
    ]
    notes = [f"{system.name}: {judge_sentence(system.metrics)}" for system in inside]
    yield Block("What the judges are worth", notes, table=_table("on planted controls", rows, inside))


def judge_sentence(metrics: Mapping[Key, Metric]) -> str:
    """Say what a run's panel of judges is worth, by the planted controls."""
    right, wrong, youden = (metrics[name, "", ""] for name in _PANEL)
    rates = (
        f"the panel accepts {_percent(right)} of right planted controls and rejects {_percent(wrong)} of wrong ones; "
        f"Youden's J is {_interval(youden)}."
    )
    if youden.value <= 0:
        return f"{rates} That is no better than chance: this panel is useless, and what it accepts says nothing."
    if youden.low <= 0:
        return f"{rates} That may be chance: nothing can be built on what this panel accepts."
    errors = {group: metric.value for (name, _, group), metric in metrics.items() if name == _PANEL[1] and group}
    worst = f"; the errors it rejects least are those of type {min(errors, key=errors.__getitem__)}" if errors else ""
    return f"{rates} That is better than chance{worst}."


def _examples(systems: Sequence[System]) -> Iterable[Block]:
    tables = []
    for system in systems:
        found = system.run.task.examples(system.run.folder, system.run.result)
        if found:
            tables.append(_example_table(system.name, found))
    if tables:
        notes = ["Drawn at random from the records, some good and some bad, whatever their share."]
        yield Block("Examples", notes, folded=tables)


def _example_table(caption: str, examples: Sequence[Example]) -> Table:
    columns = {
        "": [{True: "✓ good", False: "✗ bad", None: ""}[example.good] for example in examples],
        "shown": [example.shown for example in examples],
        "answer": [example.answer for example in examples],
        "expected": [example.expected for example in examples],
        "condition": [example.condition for example in examples],
    }
    filled = {name: texts for name, texts in columns.items() if any(texts)}
    return Table(
        list(filled), [[Cell(text) for text in row] for row in zip(*filled.values(), strict=True)], caption, words=True
    )


def _provenance(systems: Sequence[System]) -> Block:
    facts = [
        {
            "task version": system.run.result.task_version,
            **{name: value for name, value in system.run.result.provenance.items() if name not in _TOLD},
            "records_sha256": system.run.result.records_sha256,
        }
        for system in systems
    ]
    rows = [
        [Cell(name.replace("_", " ")), *(Cell(_fact(own.get(name))) for own in facts)]
        for name in dict.fromkeys(name for own in facts for name in own)
    ]
    rows = [row for row in rows if any(cell.text for cell in row[1:])]
    notes = [f"Digests are cut to {_DIGEST_SHOWN} digits; the result files have them whole."]
    return Block("Where it is from", notes, table=Table(["", *(s.name for s in systems)], rows, words=True))


def _fact(value: Any) -> str:
    """Put a value of the provenance in words."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "; ".join(f"{name.replace('_', ' ')} {text}" for name, own in value.items() if (text := _fact(own)))
    if isinstance(value, list):
        return "; ".join(map(_fact, value))
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"
    return _DIGEST.sub(lambda match: match[0][:_DIGEST_SHOWN], f"{value:,}" if isinstance(value, int) else str(value))


def _table(corner: str, rows: Sequence[tuple[Cell, Key]], systems: Sequence[System]) -> Table:
    """Make a table with a column a system; where a headline metric is absent, the reason stands in its place."""

    def cell(system: System, key: Key) -> Cell:
        return _cell(system.metrics.get(key), system.undefined.get(key[0], "") if not key[1] + key[2] else "")

    return Table(
        [corner, *(system.name for system in systems)],
        [[label, *(cell(system, key) for system in systems)] for label, key in rows],
    )


def _plots(name: str, rows: Sequence[tuple[str, Key]], systems: Sequence[System]) -> list[Plot]:
    shown = systems[:_PLOTTED]
    drawn = [
        (label, [(system.place, system.name, metric) for system, metric in found])
        for label, key in rows
        if (found := _found(shown, key))
    ]
    caption = f"{name}, the first {_PLOTTED} systems" if len(systems) > _PLOTTED else name
    return [draw(caption, drawn, [(system.place, system.name) for system in shown])] if drawn else []


def _found(systems: Sequence[System], key: Key) -> list[tuple[System, Metric]]:
    return [(system, system.metrics[key]) for system in systems if key in system.metrics]


def _keys(systems: Sequence[System]) -> list[Key]:
    return list(dict.fromkeys(key for system in systems for key in system.metrics))


def _in_order(systems: Sequence[System], names: Iterable[str]) -> list[str]:
    """Put metrics in the order of the task; those that it does not know come last."""
    known = systems[0].run.task.metrics
    return [name for name in known if name in names] + sorted(set(names) - set(known))


def _sort(group: str, known: Mapping[str, str]) -> str:
    """Tell what a group is one of."""
    if group in known:
        return known[group]
    if "=" in group:
        return group.partition("=")[0]
    return "layer" if re.fullmatch(r"(.+-)?L\d+", group) else "kind"


def _bare(group: str) -> str:
    return group.partition("=")[2] or group


def _natural(groups: Iterable[str]) -> list[str]:
    """Sort with numbers by their size."""
    return sorted(
        groups,
        key=lambda group: [
            (float(part), "") if part[:1].isdigit() else (math.inf, part)
            for part in re.split(r"(\d+(?:\.\d+)?)", group)
        ],
    )


def _cell(metric: Metric | None, why: str = "") -> Cell:
    if metric is None:
        return Cell("—", why)
    return Cell(
        signed(f"{metric.value:.3f}"),
        signed(f"{metric.low:.3f}{_NBSP}to{_NBSP}{metric.high:.3f}, n{_NBSP}{metric.n:,}"),
    )


def _percent(metric: Metric) -> str:
    return f"{100 * metric.value:.0f} %"


def _interval(metric: Metric) -> str:
    return signed(f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})")


def _shortened(name: str) -> str:
    half = (_LONGEST_NAME - 1) // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}…{name[-half:]}"


def _render(suffix: str, page: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("conceptbench.eval.report", ""),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(["html.jinja"]),
        finalize=_markdown if suffix == ".md" else None,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATES[suffix]).render(**page)


def _markdown(value: Any) -> str:
    """Keep a text in one line, and its characters from being read as markup."""
    if isinstance(value, Markup):
        return value
    text = " ".join(str(value).split())
    text = re.sub(r"[\\`*\[\]<>|~#&]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)
    return re.sub(r"(www|:)(\.|//)", r"\1\\\2", text)
