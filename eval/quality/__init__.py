"""The quality task: do the discovered concepts of a store agree with those of the gold lexicon?"""

from conceptbench.eval.quality.metrics import METHODS, METRICS
from conceptbench.eval.quality.options import QualityOptions
from conceptbench.eval.task import BoardRules, Study, Task, deferred

TASK = Task(
    name="quality",
    version="1.0",
    summary="the concepts of a store themselves, held against those of the gold lexicon",
    help="Hold the concepts of a store against those of the gold lexicon.\n\n"
    "Example: `conceptbench eval quality --store mystore --study k`",
    options=QualityOptions,
    schema=deferred("conceptbench.eval.quality.records:schema"),
    rows=deferred("conceptbench.eval.quality.records:rows"),
    metrics=METRICS,
    collect=deferred("conceptbench.eval.quality.collect:collect"),
    score=deferred("conceptbench.eval.quality.scoring:score"),
    examples=deferred("conceptbench.eval.quality.examples:examples"),
    folder_name=lambda options: options.store.resolve().name,
    ranked_by=("alignment",),
    unranked="Each system has clusters of its own, so that there are no items in common to be compared on.",
    studies={
        "k": Study(
            "the merge trees, cut at other numbers of clusters too",
            metrics=(
                "alignment",
                "alignment_null",
                "alignment_gain",
                "coverage_gain",
                "ami",
            ),
            needs="a store with merge trees",
        )
    },
    groups=dict.fromkeys(METHODS, "method"),
    board=BoardRules(
        asked=frozenset({"words", "alone"}),
        unique=("role", "item", "layer", "method", "k", "recut"),
        items=("item", "layer", "tokens", "types", "words"),
        item_rows=deferred("conceptbench.eval.quality.records:main_clusters"),
    ),
)

__all__ = ["TASK"]
