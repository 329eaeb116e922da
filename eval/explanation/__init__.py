"""The explanation task: how well does an explainer say what a text module responds to?"""

from conceptbench.benchmark.module_families import DRAWN_FAMILIES, FILE_FAMILY, INNER_FAMILIES
from conceptbench.eval.explanation.metrics import METRICS
from conceptbench.eval.explanation.options import SETTINGS, ExplanationOptions, folder_name
from conceptbench.eval.task import BoardRules, Task, deferred

TASK = Task(
    name="explanation",
    version="1.0",
    summary="explanations of text modules, most with known answers",
    help="Have text modules explained, most with known answers, and score the explanations.\n\n"
    "Example: `conceptbench eval explanation --helper local:smollm2 --limit 6`",
    options=ExplanationOptions,
    schema=deferred("conceptbench.eval.explanation.records:schema"),
    rows=deferred("conceptbench.eval.explanation.records:rows"),
    metrics=METRICS,
    collect=deferred("conceptbench.eval.explanation.collect:collect"),
    score=deferred("conceptbench.eval.explanation.scoring:score"),
    examples=deferred("conceptbench.eval.explanation.examples:examples"),
    folder_name=folder_name,
    ranked_by=("accuracy", "score"),
    groups=dict.fromkeys(SETTINGS, "setting")
    | dict.fromkeys([*DRAWN_FAMILIES, *INNER_FAMILIES, FILE_FAMILY], "family"),
    board=BoardRules(
        asked=frozenset({"module", "answer", "top_ngrams", "baseline_tfidf"}),
        unique=("run",),
        items=("run", "module", "family", "setting", "repeat", "answer", "control", "ngrams"),
        check=deferred("conceptbench.eval.explanation.redraw:check"),
        redraw=deferred("conceptbench.eval.explanation.redraw:redraw"),
        shown=deferred("conceptbench.eval.explanation.records:rows_that_were_run"),
    ),
)

__all__ = ["TASK"]
