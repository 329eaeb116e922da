"""The charts of a report: axes that enclose what they show, and bars and curves where the numbers are."""

import pytest

from conceptbench.eval.report.plots import axis, digits_of, draw, draw_curves, shortened
from conceptbench.eval.result import Metric


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.203, 0.35, [0.2, 0.25, 0.3, 0.35]),
        (0.507, 0.698, [0.5, 0.55, 0.6, 0.65, 0.7]),
        (-1.666, 0.6, [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0]),
        (0.0, 0.0, [0.0, 0.01, 0.02, 0.03, 0.04, 0.05]),
        (1.0, 1.0, [0.95, 0.96, 0.97, 0.98, 0.99, 1.0]),
    ],
)
def test_an_axis_encloses_what_it_shows(low: float, high: float, ticks: list[float]) -> None:
    assert axis(low, high) == pytest.approx(ticks)


def test_bars_lie_where_the_numbers_are() -> None:
    plot = draw("m", [("a", [(0, "x", Metric(0.5, 0.0, 1.0, 9))]), ("b", [(3, "y", Metric(0.25, 0.25, 0.5, 9))])])
    across = {label: x for x, label in plot.ticks}
    assert list(across) == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    first, second = plot.bars
    assert (first.low, first.high) == (across["0.0"], across["1.0"])
    assert first.x == pytest.approx((across["0.4"] + across["0.6"]) / 2)
    assert second.x == pytest.approx(across["0.2"] + (across["0.4"] - across["0.2"]) / 4)
    assert first.y < second.y < plot.height
    assert (first.series, second.series) == (0, 3)
    assert plot.text == "m with 95 % intervals. a: 0.500 (0.000 to 1.000); b: 0.250 (0.250 to 0.500)."


def test_curves_go_through_the_numbers() -> None:
    curves = draw_curves("by k", {"m": [(100.0, Metric(0.5, 0.25, 0.75, 9)), (0.0, Metric(-0.5, -1.0, 0.0, 9))]})
    across, up = ({label: x for x, label in ticks} for ticks in (curves.across, curves.up))
    (line,) = curves.lines
    # They are sorted by the number that they are drawn over.
    assert [point.x for point in line.points] == [across["0"], across["100"]]
    assert [point.y for point in line.points] == pytest.approx(
        [(up["−1.0"] + up["0.0"]) / 2, (up["0.0"] + up["1.0"]) / 2]
    )
    # The outline is that of the intervals: along the upper ends, and back along the lower ones.
    corners = [tuple(map(float, corner.split(","))) for corner in line.band.split()]
    assert corners[0] == (across["0"], up["0.0"])
    assert corners[3] == (across["0"], up["−1.0"])
    assert curves.text == ("by k, with 95 % intervals. m at 0: −0.500 (−1.000 to 0.000), 100: 0.500 (0.250 to 0.750).")


def test_ticks_have_the_decimals_that_tell_them_apart() -> None:
    assert [digits_of(axis(0.0, high)) for high in (0.2, 1.0, 40.0)] == [2, 1, 0]


def test_a_long_name_keeps_both_its_ends() -> None:
    name = "openai:organisation/a-model-with-a-long-name-v2"
    assert len(shortened(name)) <= 30
    assert shortened(name).startswith("openai:")
    assert shortened(name).endswith("name-v2")
    assert shortened("lexical") == "lexical"
