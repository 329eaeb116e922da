"""The prototypes task: a classifier that explains itself by prototypes, and whether its explanations are true."""

from pathlib import Path

from conceptbench.eval.prototypes.metrics import CLASSIFIERS, METRICS
from conceptbench.eval.prototypes.options import PrototypesOptions
from conceptbench.eval.task import BoardRules, Study, Task, deferred


def _data_name(options: PrototypesOptions) -> str:
    """Name the data in the default folder's name."""
    path = Path(options.dataset)
    return path.stem if path.is_file() else options.dataset.removeprefix("hf:").replace(":", "-")


TASK = Task(
    name="prototypes",
    version="1.0",
    summary="a classifier that decides by prototypes: as accurate as a linear head, and are its reasons true?",
    help="Train Proto-lm and a linear head on a classification task, and test whether Proto-lm's reasons are true.\n\n"
    "The folder also gets `classifier`, which `explain --classifier` reads.\n\n"
    "Example: `conceptbench eval prototypes --dataset films.csv --text-column text --label-column mood`",
    options=PrototypesOptions,
    schema=deferred("conceptbench.eval.prototypes.records:schema"),
    rows=deferred("conceptbench.eval.prototypes.records:rows"),
    metrics=METRICS,
    collect=deferred("conceptbench.eval.prototypes.collect:collect"),
    score=deferred("conceptbench.eval.prototypes.scoring:score"),
    examples=deferred("conceptbench.eval.prototypes.examples:examples"),
    folder_name=_data_name,
    ranked_by=("accuracy",),
    studies={
        "prototypes": Study("Proto-lm with other numbers of prototypes a class, N"),
        "nearest": Study("Proto-lm with other numbers of nearest prototypes in the loss, K"),
        "losses": Study("Proto-lm with other weights of cohesion and separation in the loss"),
    },
    groups=dict.fromkeys(CLASSIFIERS, "classifier"),
    open_breakdowns=("difference", "swap_all", "swap_top"),
    compared=("accuracy", "difference", "swap_all", "swap_top"),
    board=BoardRules(
        asked=frozenset({"text", "reason", "nearest"}),
        unique=("role", "repeat", "item"),
        items=("item", "text", "label"),
        item_rows=deferred("conceptbench.eval.prototypes.records:first_repeat"),
        check=deferred("conceptbench.eval.prototypes.board:check_examples"),
    ),
)

__all__ = ["TASK"]
