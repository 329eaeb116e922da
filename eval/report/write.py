"""The report on results: an HTML page that opens without a network, and the same as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from conceptbench.eval.report import blocks, breakdowns
from conceptbench.eval.report.page import Section, System, named_systems
from conceptbench.eval.result import MetricKey, package_version
from conceptbench.eval.run import open_run
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import write_text
from conceptbench.runtime.progress import Progress, Silent

_FILES: Final = ("report.html", "report.md")
_TEMPLATES: Final = {".html": "report.html.jinja", ".md": "report.md.jinja"}


def report(
    results: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    recompute: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write a report on results: rankings, intervals, breakdowns, examples, and the provenance of all of it.

    Parameters
    ----------
    results : folders of results, or their files.
    out : a file ending in .html or .md; or a folder for `report.html` and `report.md`, by default the current one.
    recompute : check that every metric of the result files can be computed again from the records.
    progress : shows how far the scoring of the runs is; each is scored once, since examples and comparisons of single
        items are not in the result files.

    Returns
    -------
    the files written.

    Raises
    ------
    InputError
        if a result cannot be read, or was given twice.
    ConceptBenchError
        if a metric computed again is not that of the file; then nothing is written.

    Examples
    --------
    >>> import tempfile
    >>> from conceptbench.eval.run import evaluate
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = evaluate("annotation", annotator="lexical", limit=2, purities=[1.0], out=f"{folder}/lexical")
    ...     [page] = report([f"{folder}/lexical"], out=f"{folder}/report.md", recompute=True)
    ...     print(page.read_text().splitlines()[0])
    # Results of lexical
    """
    targets = _targets(Path(out or "."))
    progress = progress or Silent()
    runs = [open_run(path, progress) for path in results]
    if not runs:
        raise InputError("give at least one result")
    systems = named_systems(runs)
    with progress.stage("Computing metrics again" if recompute else "Scoring items", len(runs)) as advance:
        for run in runs:
            if recompute:
                run.check_metrics()
            # Scores are computed when they are first read, and are part of the run from then on.
            _ = run.scores
            advance(1)
    ranked: dict[tuple[str, str | None], list[System]] = {}
    for system in systems:
        ranked.setdefault((system.task.name, system.run.main), []).append(system)
    page = {
        "title": f"Results of {runs[0].result.system if len(runs) == 1 else f'{len(runs)} runs'}",
        "origin": "Every number was recomputed from the records, and agrees with the result files."
        if recompute
        else "Numbers as they stand in the result files; they were not recomputed from the records.",
        "sections": [_section(members, main) for (_, main), members in ranked.items()],
        "version": package_version(),
    }
    for path in targets:
        write_text(path, _render(path.suffix, page))
    return targets


def _targets(out: Path) -> list[Path]:
    if out.is_dir() or not out.suffix:
        return [out / name for name in _FILES]
    if out.suffix not in _TEMPLATES:
        raise InputError(f"--out {out}: give a folder, or a file ending in .html or .md")
    return [out]


def _section(systems: Sequence[System], main: str | None) -> Section:
    """Put together what is shown of runs of one task.

    Parameters
    ----------
    main : the metric that they are ranked by; None where they are not ranked.
    """
    if main is not None:
        systems = sorted(systems, key=lambda system: -system.metrics[MetricKey(main)].value)
    systems = [replace(system, series=series) for series, system in enumerate(systems)]
    task = systems[0].task
    title = task.name.capitalize() + (f", ranked by {main}" if main is not None else "")
    return Section(
        title,
        f"{task.summary[0].upper()}{task.summary[1:]}.",
        [
            *([blocks.ranking(systems, main)] if main is not None else []),
            blocks.headlines(systems),
            *blocks.judges(systems),
            *breakdowns.breakdowns(systems, main),
            *breakdowns.heat_maps(systems),
            *breakdowns.profiles(systems),
            *breakdowns.studies(systems),
            *blocks.examples(systems),
            blocks.provenance(systems),
        ],
    )


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
