"""Calibration of judges, and acceptance corrected for their errors: hand numbers, and studies with planted truths."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from conceptbench.eval.judges.calibration import Share, corrected, prediction_powered, youden
from conceptbench.eval.stats.intervals import mean_metric

ERRORS = ("near", "far", "general", "stuffed")
STUDIES = 200
MIXES = {"near": (1, 0, 0, 0), "far": (0, 1, 0, 0), "mixed": (0.25, 0.25, 0.25, 0.25)}
SHARP = dict(zip(ERRORS, (0.6, 0.95, 0.8, 0.9), strict=True))
BLUNT = dict(zip(ERRORS, (0.7, 0.8, 0.75, 0.75), strict=True))


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's interval (1927), as the textbooks write it."""
    z = 1.959963984540054
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


@pytest.mark.parametrize(("right", "wrong"), [((12, 15), (45, 60)), ((15, 15), (60, 60)), ((0, 15), (3, 60))])
def test_youdens_j_and_its_interval(right: tuple[int, int], wrong: tuple[int, int]) -> None:
    (low_one, high_one), (low_two, high_two) = wilson(*right), wilson(*wrong)
    sensitivity, specificity = right[0] / right[1], wrong[0] / wrong[1]
    j = youden(Share(*right), Share(*wrong))
    assert j.value == pytest.approx(sensitivity + specificity - 1)
    # Zou and Donner (2008), equation 7.
    assert j.low == pytest.approx(
        max(-1, j.value - math.sqrt((sensitivity - low_one) ** 2 + (specificity - low_two) ** 2))
    )
    assert j.high == pytest.approx(
        min(1, j.value + math.sqrt((high_one - sensitivity) ** 2 + (high_two - specificity) ** 2))
    )
    assert j.n == 75


def test_youdens_j_holds_the_truth() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        j = youden(Share(int(generator.binomial(15, 0.9)), 15), Share(int(generator.binomial(60, 0.8)), 60))
        held += j.low <= 0.7 <= j.high
    assert 0.93 <= held / 1000 < 1.0


def test_a_judge_that_always_says_the_same_is_not_above_chance() -> None:
    for right, wrong in ((15, 0), (0, 60)):
        j = youden(Share(right, 15), Share(wrong, 60))
        assert j.low < j.value == 0.0 < j.high


def test_a_perfect_judge_on_few_controls_keeps_doubt() -> None:
    few, many = youden(Share(3, 3), Share(12, 12)), youden(Share(300, 300), Share(1200, 1200))
    assert few.value == many.value == few.high == many.high == 1.0
    assert few.low < 0.5
    assert 0.98 < many.low < 1.0


def test_shares_add_up() -> None:
    metric = (Share(3, 10) + Share(5, 10)).metric
    assert (metric.value, metric.n) == (0.4, 20)
    assert (metric.low, metric.high) == pytest.approx(wilson(8, 20))


def panel(
    generator: np.random.Generator, sensitivity: float, specificities: Mapping[str, float], controls: int
) -> tuple[Share, dict[str, Share]]:
    """Draw how a panel does on so many planted controls of each type."""
    return Share(int(generator.binomial(controls, sensitivity)), controls), {
        error: Share(int(generator.binomial(controls, share)), controls) for error, share in specificities.items()
    }


@pytest.mark.parametrize(
    ("mix", "truth", "specificities", "widest"),
    [
        ("near", 0.3, SHARP, 0.75),
        ("far", 0.3, SHARP, 0.75),
        ("mixed", 0.3, SHARP, 0.75),
        ("mixed", 0.85, SHARP, 0.65),
        ("near", 0.05, BLUNT, 0.5),
        ("far", 0.05, BLUNT, 0.5),
    ],
)
def test_corrected_acceptance_holds_the_truth_whichever_errors_are_made(
    mix: str, truth: float, specificities: Mapping[str, float], widest: float
) -> None:
    generator = np.random.default_rng(3)
    sensitivity, labels, groups = 0.9, 120, range(120)
    held, held_plain, widths = 0, 0, []
    for seed in range(STUDIES):
        errors = generator.choice(4, size=labels, p=MIXES[mix])
        chance = np.where(
            generator.random(labels) < truth, sensitivity, 1 - np.array(list(specificities.values()))[errors]
        )
        decisions = (generator.random(labels) < chance).astype(float).tolist()
        share, shares = panel(generator, sensitivity, specificities, 60)
        metric = corrected(decisions, groups, share, shares, asked=labels, seed=seed)
        assert 0.0 <= metric.low <= metric.value <= metric.high <= 1.0
        plain = mean_metric(decisions, groups, seed)
        held += metric.low <= truth <= metric.high
        held_plain += plain.low <= truth <= plain.high
        widths.append(metric.high - metric.low)
    assert held / STUDIES >= 0.92
    # An interval of all there is would hold it too; and what is corrected is off.
    assert np.mean(widths) < widest
    if truth < 0.5 and mix != "far":
        assert held_plain / STUDIES < 0.7


def test_corrected_acceptance_of_few_labels_and_a_perfect_panel_keeps_doubt() -> None:
    perfect = Share(15, 15), dict.fromkeys(ERRORS, Share(15, 15))
    for value in (0.0, 1.0):
        metric = corrected([value] * 20, range(20), *perfect, asked=20)
        assert metric.value == value
        assert 0.05 < metric.high - metric.low < 0.4


def test_corrected_acceptance_is_wider_where_one_type_of_error_is_hard_to_see() -> None:
    decisions = [1.0, 0.0, 1.0, 0.0] * 25
    sharp = dict.fromkeys(ERRORS, Share(38, 40))
    blunt = sharp | {"near": Share(15, 40)}
    blind = sharp | {"near": Share(2, 40)}
    metrics = [corrected(decisions, range(100), Share(38, 40), kinds, asked=100) for kinds in (sharp, blunt, blind)]
    widths = [metric.high - metric.low for metric in metrics]
    assert widths[0] < widths[1] < widths[2]
    # All that were accepted may be errors of a kind that the panel hardly sees.
    assert metrics[2].low == 0.0


def test_corrected_acceptance_by_hand() -> None:
    # Sensitivity 0.8 and specificity 0.7 on average: (0.5 - 0.3) / 0.5.
    shares = dict(zip(ERRORS, (Share(50, 100), Share(90, 100), Share(70, 100), Share(70, 100)), strict=True))
    metric = corrected([1.0, 0.0] * 100, range(200), Share(80, 100), shares, asked=200)
    assert metric.value == pytest.approx(0.4)
    half = corrected([1.0, 0.0] * 100, range(200), Share(80, 100), shares, asked=400)
    assert (half.value, half.n) == (pytest.approx(0.2), 400)
    assert (half.low, half.high) == pytest.approx((metric.low / 2, metric.high / 2))


def test_corrected_acceptance_resamples_concepts() -> None:
    perfect = Share(200, 200), dict.fromkeys(ERRORS, Share(200, 200))
    decisions = [float(i % 20 < 10) for i in range(200)]
    narrow = corrected(decisions, range(200), *perfect, asked=200)
    wide = corrected(decisions, [i // 10 for i in range(200)], *perfect, asked=200)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def ratings(
    generator: np.random.Generator, truth: float, labels: int, rated: int, *, bias: float
) -> tuple[list[float], dict[int, float]]:
    """Draw what a judge that accepts a share `bias` of the wrong labels says of all, and what people say of a part."""
    people = generator.random(labels) < truth
    judged = generator.random(labels) < np.where(people, 0.97, bias)
    return judged.astype(float).tolist(), {int(i): float(people[i]) for i in generator.permutation(labels)[:rated]}


@pytest.mark.parametrize(
    ("truth", "bias", "rated"), [(0.6, 0.3, 80), (0.6, 0.3, 12), (0.9, 0.6, 30), (0.95, 1.0, 12), (0.3, 0.02, 200)]
)
def test_prediction_powered_acceptance_is_unbiased_and_holds_the_truth(truth: float, bias: float, rated: int) -> None:
    generator = np.random.default_rng(5)
    held, judges, values, widths = 0, [], [], []
    for seed in range(STUDIES):
        judged, people = ratings(generator, truth, 200, rated, bias=bias)
        metric = prediction_powered(judged, people, range(200), asked=200, seed=seed)
        assert 0.0 <= metric.low <= metric.value <= metric.high <= 1.0
        held += metric.low <= truth <= metric.high
        judges.append(np.mean(judged))
        values.append(metric.value)
        widths.append(metric.high - metric.low)
    assert held / STUDIES >= 0.9
    # Clipping to 1 pulls means of values near it down a little.
    error = np.std(values) / math.sqrt(STUDIES)
    assert np.mean(values) == pytest.approx(truth, abs=4 * error + 0.005)
    assert np.mean(widths) < 0.6
    if bias > 0.1:
        assert abs(np.mean(judges) - truth) > 5 * error


def test_prediction_powered_acceptance_by_the_formula() -> None:
    judged, people = ratings(np.random.default_rng(7), 0.6, 100, 40, bias=0.3)
    metric = prediction_powered(judged, people, [i // 2 for i in range(100)], asked=100)
    # Angelopoulos et al. (2023), equation 1 for a mean: all predictions, less the rectifier.
    rectifier = sum(judged[i] - answer for i, answer in people.items()) / 40
    assert metric.value == pytest.approx(sum(judged) / 100 - rectifier)
    half = prediction_powered(judged, people, [i // 2 for i in range(100)], asked=200)
    assert (half.value, half.n) == (pytest.approx(metric.value / 2), 200)
    assert (half.low, half.high) == pytest.approx((metric.low / 2, metric.high / 2))


def test_prediction_powered_acceptance_is_the_peoples_where_they_rated_all() -> None:
    judged, people = ratings(np.random.default_rng(9), 0.6, 150, 150, bias=0.5)
    metric = prediction_powered(judged, people, range(150), asked=150)
    plain = mean_metric([people[i] for i in range(150)], range(150))
    assert metric.value == pytest.approx(plain.value)
    assert (metric.low, metric.high) == pytest.approx((plain.low, plain.high), abs=0.03)


def test_people_who_all_agree_with_the_judges_leave_doubt() -> None:
    few = prediction_powered([1.0] * 100, dict.fromkeys(range(5), 1.0), range(100), asked=100)
    many = prediction_powered([1.0] * 100, dict.fromkeys(range(60), 1.0), range(100), asked=100)
    assert few.value == many.value == 1.0
    assert 0.5 < few.low < 0.85
    assert 0.95 < many.low < 1.0
