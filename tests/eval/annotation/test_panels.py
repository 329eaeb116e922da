"""Selecting judges by planted controls."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from conceptbench.eval.annotation.controls import ERRORS, RIGHT, SELECT
from conceptbench.eval.annotation.items import Item
from conceptbench.eval.annotation.panels import selected_judges
from conceptbench.eval.annotation.records import Rating, Record, control_record

JUDGES = {"good": (0.9, 0.9), "fair": (0.8, 0.7), "coin": (0.5, 0.5), "yes": (1.0, 0.0)}


def rated_controls(judges: Sequence[str], generator: np.random.Generator) -> list[Record]:
    """The selecting half of 30 controls a type, as judges of these sensitivities and specificities rate them."""

    def grade(judge: str, control: str) -> str:
        sensitivity, specificity = JUDGES[judge]
        accepts = generator.random() < (sensitivity if control == RIGHT else 1 - specificity)
        return "precise" if accepts else "unacceptable"

    item = Item(item="control", concept="concept", words=(("word", 1),), kind="semantic", purity=1.0)
    return [
        replace(
            control_record(item, "a label", control, SELECT),
            ratings=tuple(Rating(judge, "judges", grade(judge, control)) for judge in judges),
        )
        for control in (RIGHT, *ERRORS)
        for _ in range(15)
    ]


def test_judges_that_throw_coins_are_not_selected() -> None:
    generator = np.random.default_rng(11)
    selections = [selected_judges(rated_controls(list(JUDGES), generator)) or [] for _ in range(300)]
    counts = {judge: sum(judge in selection for selection in selections) for judge in JUDGES}
    assert counts["good"] == 300
    assert counts["fair"] >= 0.95 * 300
    assert counts["coin"] <= 0.06 * 300
    assert counts["yes"] == 0
    # Where none does better than chance there is nobody else to ask; without controls nobody is left out.
    assert selected_judges(rated_controls(["yes"], generator)) == ["yes"]
    assert selected_judges([]) is None
