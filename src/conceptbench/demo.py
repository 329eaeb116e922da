"""The demo: the main job on embedded defaults, made of the functions that users call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.build import build
from conceptbench.builders.report import write_report
from conceptbench.eval.report.write import report
from conceptbench.eval.result import Result
from conceptbench.eval.run import evaluate
from conceptbench.runtime.progress import Progress

DEMO_CONCEPTS = 200
DEMO_ITEMS = 100
ANNOTATORS = ("local:smollm2", "lexical")


@dataclass(frozen=True)
class Demo:
    """What the demo made: the store, the page on its concepts, the results, and the report that ranks them."""

    store: ConceptStore
    concepts: Path
    results: tuple[Result, ...]
    report: Path


def demo(out: str | Path = "conceptbench-demo", *, progress: Progress | None = None) -> Demo:
    """Build a store from packaged news, MiniLM and SmolLM2, offline; score SmolLM2 and the baseline as annotators.

    Raises
    ------
    InputError
        if a package with the demo's weights or text is missing; it says which command installs it.
    """
    folder = Path(out)
    store = build(
        corpus="sample:news",
        model="minilm",
        layers="all",
        k=DEMO_CONCEPTS,
        min_count=5,
        max_count=10,
        annotator=ANNOTATORS[0],
        out=folder / "store",
        progress=progress,
    )
    write_report(store, folder / "concepts.html")
    runs = [folder / "results" / name.rpartition(":")[2] for name in ANNOTATORS]
    results = tuple(
        evaluate("annotation", annotator=name, out=run, limit=DEMO_ITEMS, progress=progress)
        for name, run in zip(ANNOTATORS, runs, strict=True)
    )
    report(runs, out=folder / "report.html", progress=progress)
    return Demo(store, folder / "concepts.html", results, folder / "report.html")
