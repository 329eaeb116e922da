"""The probing task: how well does a linear probe find a concept in a layer's vectors of words that it has not seen?"""

from conceptbench.eval.probing.metrics import METRICS
from conceptbench.eval.probing.options import ProbingOptions
from conceptbench.eval.probing.remarks import skipped_concepts
from conceptbench.eval.task import BoardRules, Study, Task, deferred

TASK = Task(
    name="probing",
    version="1.0",
    summary="linear probes: an encoder's layers, of gold concepts in a second corpus and of the concepts of a store",
    help="Probe an encoder's layers for gold concepts in another corpus, and for the concepts of a store.\n\n"
    "Example: `conceptbench eval probing --store concepts --layers 0,3,6`",
    options=ProbingOptions,
    schema=deferred("conceptbench.eval.probing.records:schema"),
    rows=deferred("conceptbench.eval.probing.records:rows"),
    metrics=METRICS,
    collect=deferred("conceptbench.eval.probing.collect:collect"),
    score=deferred("conceptbench.eval.probing.scoring:score"),
    examples=deferred("conceptbench.eval.probing.examples:examples"),
    profiles=deferred("conceptbench.eval.probing.examples:profiles"),
    folder_name=lambda options: options.store.resolve().name,
    ranked_by=("auroc",),
    studies={
        "k": Study(
            "the merge trees of the store and of its null, cut at other numbers of clusters too",
            metrics=("store_auroc", "null_auroc", "store_auroc_gain"),
            needs="a store with its vectors",
        )
    },
    remarks=skipped_concepts,
    board=BoardRules(
        asked=frozenset({"word"}),
        items=("concept", "group", "split", "word", "sentence", "positive", "hard"),
        item_rows=deferred("conceptbench.eval.probing.records:gold_of_lowest_layer"),
    ),
)

__all__ = ["TASK"]
