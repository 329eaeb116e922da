"""The annotation task: how well does a system name concepts?"""

from typing import Final

from conceptbench.eval.annotation.columns import ASKED, TEXTS
from conceptbench.eval.annotation.metrics import METRICS
from conceptbench.eval.annotation.options import AnnotationOptions
from conceptbench.eval.task import BoardRules, PanelRanking, Study, Task, deferred

_STUDY_METRICS: Final = ("gold_match", "discrimination", "identification", "acceptance", "unparsable")


def _folder_name(options: AnnotationOptions) -> str:
    """Name a system in the default folder: of a path only the last part is kept."""
    if options.annotator.startswith(("file:", "local:")):
        return options.annotator.rstrip("/").rpartition("/")[2]
    return options.annotator


TASK: Final = Task(
    name="annotation",
    version="1.0",
    summary="names of concepts: gold items whose right name is known, or the concepts of a store",
    help="Have a system name concepts, and score its labels.\n\n"
    "Concepts are word lists of a gold lexicon, whose right name is known, at purities of 100, 90 and 75 %; or those "
    "of a store. Writes `result.json` and `records.parquet`; `report` makes a page of them, `rate` lets people rate "
    "them.\n\n"
    "Example: `conceptbench eval annotation --annotator local:smollm2 --limit 100`",
    options=AnnotationOptions,
    schema=deferred("conceptbench.eval.annotation.records:schema"),
    rows=deferred("conceptbench.eval.annotation.records:rows"),
    metrics=METRICS,
    collect=deferred("conceptbench.eval.annotation.collect:collect"),
    score=deferred("conceptbench.eval.annotation.scoring:score"),
    examples=deferred("conceptbench.eval.annotation.examples:examples"),
    folder_name=_folder_name,
    ranked_by=("gold_match", "discrimination"),
    studies={
        "prompt": Study("each packaged prompt, on gold items", _STUDY_METRICS),
        "contexts": Study("0, 5, 10 and 20 sentences shown with the words, on a store", _STUDY_METRICS, "one store"),
        "unit": Study("word types or tokens, on a store", _STUDY_METRICS, "one store"),
        "k": Study(
            "half, as many and twice as many concepts a layer, on a store", _STUDY_METRICS, "one store with merge trees"
        ),
        "corpus": Study("one store against another of other text", _STUDY_METRICS, "two stores: --store twice"),
        "refusals": Study(
            "which kinds a system refuses, and what asking in another way recovers, on gold items",
            ("refused_first", "recovered", "refused", "gold_match"),
            by_group=True,
        ),
        "language": Study("the same concepts in English, German, Spanish and Swahili", _STUDY_METRICS),
    },
    board=BoardRules(
        asked=TEXTS,
        unique=("role", "condition", "item"),
        items=ASKED,
        item_rows=deferred("conceptbench.eval.annotation.records:item_rows"),
        check=deferred("conceptbench.eval.annotation.redraw:check"),
        redraw=deferred("conceptbench.eval.annotation.redraw:redraw"),
        hub_metric="gold_includes",
        panel=PanelRanking("acceptance", "rubric", deferred("conceptbench.eval.annotation.judges:rubric_sha256")),
    ),
)

__all__ = ["TASK"]
