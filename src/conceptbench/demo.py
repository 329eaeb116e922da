"""The demo: the main job on embedded defaults, made of the functions that users call."""

from __future__ import annotations

from pathlib import Path

from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.build import build
from conceptbench.builders.report import write_report
from conceptbench.runtime.progress import Progress

DEMO_CONCEPTS = 200


def demo(out: str | Path = "conceptbench-demo", *, progress: Progress | None = None) -> tuple[ConceptStore, Path]:
    """Build a store from packaged news, MiniLM and SmolLM2, offline, and write its report.

    Returns
    -------
    the store (in `out/store`) and the report's path (`out/report.html`).

    Raises
    ------
    InputError
        if a package with the demo's weights or text is missing; it says which command installs it.
    """
    store = build(
        corpus="sample:news",
        model="minilm",
        layers="all",
        k=DEMO_CONCEPTS,
        min_count=5,
        max_count=10,
        annotator="local:smollm2",
        out=Path(out) / "store",
        progress=progress,
    )
    report = Path(out) / "report.html"
    write_report(store, report)
    return store, report
