"""The neurons task: which neurons carry a concept, do wider concepts share them, and does the probe need them?"""

from conceptbench.eval.neurons.metrics import CURVES, GROUPS, METRICS, OPEN_BREAKDOWNS
from conceptbench.eval.neurons.options import NeuronsOptions
from conceptbench.eval.task import BoardRules, Study, Task, deferred

TASK = Task(
    name="neurons",
    version="1.0",
    summary="neurons of concepts: shared with wider concepts, needed by probes, stable; reported, not ranked",
    help="Tell which neurons carry a store's concepts: shared with wider concepts, needed by probes, stable.\n\n"
    "Example: `conceptbench eval neurons --store store --layers 0,3,6`",
    options=NeuronsOptions,
    schema=deferred("conceptbench.eval.neurons.records:schema"),
    rows=deferred("conceptbench.eval.neurons.records:rows"),
    metrics=METRICS,
    collect=deferred("conceptbench.eval.neurons.collect:collect"),
    score=deferred("conceptbench.eval.neurons.scoring:score"),
    examples=deferred("conceptbench.eval.neurons.examples:examples"),
    folder_name=lambda options: options.store.resolve().name,
    unranked="Reported, not ranked: there is no better or worse in how neurons are shared.",
    studies={
        "k": Study(
            "the concepts of other cuts of the merge tree, aligned with their super-concepts too",
            metrics=("alignment", "alignment_null", "alignment_gain"),
            needs="a store with merge trees",
        )
    },
    groups=GROUPS,
    open_breakdowns=OPEN_BREAKDOWNS,
    curves=CURVES,
    board=BoardRules(
        asked=frozenset({"words", "super_words"}),
        items=("layer", "concept", "size", "words"),
        item_rows=deferred("conceptbench.eval.neurons.records:concept_rows"),
    ),
)

__all__ = ["TASK"]
