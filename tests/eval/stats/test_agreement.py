"""Agreement of raters: against worked examples, other packages, and the coefficients' definitions over pairs."""

import os
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_kappa
from statsmodels.stats.proportion import proportion_confint

from conceptbench.eval.stats.agreement import SCALE, agreement, fleiss_kappa, gwet_ac1, krippendorff_alpha
from conceptbench.runtime.errors import InputError

DATA = Path(os.environ.get("CONCEPTBENCH_DATA", Path(__file__).parents[4] / "shared" / "data"))
COEFFICIENTS = {"fleiss_kappa", "krippendorff_alpha", "gwet_ac1"}
NAN = float("nan")
Floats = NDArray[np.float64]

# Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), section C: 12 units, 4 observers.
OBSERVED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
).T


def random_ratings(items: int, raters: int, missing: float, seed: int) -> Floats:
    """Ratings of 0, 1 or 2 that agree more than chance."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, size=(items, 1), p=[0.2, 0.3, 0.5])
    ratings = np.where(rng.random((items, raters)) < 0.6, truth, rng.integers(3, size=(items, raters)))
    return np.where(rng.random((items, raters)) < missing, NAN, ratings)


def ac1_by_pairs(ratings: Floats, categories: list[float]) -> float:
    """Gwet's definition, one item and one pair of raters at a time."""
    agreeing, prevalence = [], {category: [] for category in categories}  # type: ignore[var-annotated]
    for row in ratings:
        present = [value for value in row if not np.isnan(value)]
        pairs = list(combinations(present, 2))
        if pairs:
            agreeing.append(sum(first == second for first, second in pairs) / len(pairs))
        for category in categories if present else []:
            prevalence[category].append(present.count(category) / len(present))
    observed = np.mean(agreeing)
    by_chance = sum(np.mean(p) * (1 - np.mean(p)) for p in prevalence.values()) / (len(categories) - 1)
    return float((observed - by_chance) / (1 - by_chance))


def test_fleiss_own_example() -> None:
    # Fleiss (1971), as on Wikipedia: 10 subjects, 14 raters, 5 categories; kappa is 0.210.
    counts = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    ratings = np.array([np.repeat(np.arange(5.0), row) for row in counts])
    assert fleiss_kappa(ratings) == pytest.approx(0.210, abs=5e-4)


def test_kappa_is_over_the_items_that_all_rated() -> None:
    ratings = random_ratings(60, 4, missing=0.1, seed=1)
    complete = ratings[~np.isnan(ratings).any(axis=1)]
    assert 10 < len(complete) < 60
    assert fleiss_kappa(ratings) == pytest.approx(statsmodels_kappa(aggregate_raters(complete)[0]))


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_own_example(level: Any, alpha: float) -> None:
    assert krippendorff_alpha(OBSERVED, level) == pytest.approx(alpha, abs=5e-4)


def test_gwets_own_example() -> None:
    # Gwet, "Kappa statistic is not satisfactory" (2002): two raters, 125 subjects; both say + of 118, only the first
    # of 5, only the second of 2, neither of none. Observed agreement is 118 / 125 = 0.944. The prevalence of + is
    # (123 + 120) / 250 = 0.972, agreement by chance 2 * 0.972 * 0.028 = 0.054432, and
    # AC1 = (0.944 - 0.054432) / (1 - 0.054432) = 0.940776, as irrCAC 0.4.4 gives it too.
    ratings = np.array([[1.0, 1.0]] * 118 + [[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 2)
    assert gwet_ac1(ratings) == pytest.approx(0.940776, abs=5e-7)


def test_ac1_of_missing_ratings() -> None:
    # As irrCAC 0.4.4: CAC(..., categories=[1, 2, 3, 4, 5]).gwet(). If not told the categories, it counts NaN as one.
    assert gwet_ac1(OBSERVED) == pytest.approx(0.775444, abs=5e-7)
    ratings = random_ratings(80, 5, missing=0.5, seed=2)
    assert gwet_ac1(ratings) == pytest.approx(ac1_by_pairs(ratings, [0, 1, 2]))
    assert gwet_ac1(ratings, categories=[0, 1, 2, 3]) == pytest.approx(ac1_by_pairs(ratings, [0, 1, 2, 3]))


@pytest.mark.parametrize(
    "ratings", [[[1, 1], [1, 1]], [[1.0], [2.0]], [[1, NAN], [NAN, 2]], [[NAN, NAN]], [[1, 1], [2, NAN]]]
)
def test_a_coefficient_that_is_not_defined_is_none(ratings: list[list[float]]) -> None:
    table = np.array(ratings, dtype=float)
    assert fleiss_kappa(table) is None
    assert krippendorff_alpha(table, "nominal") is None
    assert gwet_ac1(table[:1]) is None


def test_a_panel_of_many_on_real_ratings() -> None:
    file = DATA / "nyt_editorial.parquet"
    if not file.is_file():
        pytest.skip(f"{file} is absent; CONCEPTBENCH_DATA names its folder")
    signs = np.sign(np.array(pq.read_table(file)["ratings"].to_pylist())) + 1
    measured = agreement(signs).metrics
    assert signs.shape == (5190, 20)
    accepts = (signs > 0).astype(float)
    expected = {
        "fleiss_kappa": statsmodels_kappa(aggregate_raters(accepts)[0]),
        "krippendorff_alpha": krippendorff.alpha(signs.T, level_of_measurement="ordinal"),
        "gwet_ac1": ac1_by_pairs(accepts, [0, 1]),
    }
    for name, value in expected.items():
        assert measured[name].value == pytest.approx(value)
        assert measured[name].low < value < measured[name].high
        assert measured[name].n == 5190
    assert gwet_ac1(signs.astype(float)) == pytest.approx(ac1_by_pairs(signs.astype(float), [0, 1, 2]))


def test_what_the_panel_decides() -> None:
    ratings: list[list[str | None]] = [
        ["precise", "precise", "unacceptable"],  # accepted, precise
        ["precise", "imprecise", None],  # accepted; a tie is imprecise
        ["acceptable", "acceptable", "imprecise"],  # accepted, imprecise
        ["acceptable", None, None],  # accepted, of unknown precision
        ["precise", "unacceptable", None],  # a tie is not accepted
        [None, None, None],  # not rated
    ]
    metrics = agreement(ratings).metrics
    assert (metrics["acceptance"].value, metrics["acceptance"].n) == (4 / 5, 5)
    assert (metrics["precision"].value, metrics["precision"].n) == (1 / 3, 3)
    assert metrics["fleiss_kappa"].n == 2
    assert metrics["gwet_ac1"].n == 4
    assert metrics["gwet_ac1"].value == pytest.approx(
        ac1_by_pairs(np.array([[1, 1, 0], [1, 1, NAN], [1, 1, 1], [1, NAN, NAN], [1, 0, NAN]]), [0, 1])
    )
    # "acceptable" has no place on the scale: the third and fourth items have no pair there.
    on_scale = np.array([[2, 2, 0], [2, 1, NAN], [2, 0, NAN]])
    assert metrics["krippendorff_alpha"].n == 3
    assert metrics["krippendorff_alpha"].value == pytest.approx(
        krippendorff.alpha(on_scale.T, level_of_measurement="ordinal")
    )


def test_ratings_come_in_many_forms() -> None:
    codes: list[list[int | None]] = [[0, 2, 1], [2, 2, None], [1, 1, 0], [0, 0, 0]]
    words = [[None if code is None else SCALE[code] for code in row] for row in codes]
    expected, frame = agreement(codes), pd.DataFrame(codes)
    assert set(expected.metrics) == {"acceptance", "precision", *COEFFICIENTS}
    for same in (words, pd.DataFrame(words), frame, frame.astype("Int64"), np.array(codes, dtype=float)):
        assert agreement(same) == expected


def test_kappas_paradox() -> None:
    # Two raters agree on 95 of 100, nearly all of them acceptable.
    metrics = agreement([["precise", "precise"]] * 95 + [["precise", "unacceptable"]] * 5).metrics
    assert metrics["fleiss_kappa"].value < 0
    assert metrics["gwet_ac1"].value > 0.9


def test_unanimous_raters_have_no_kappa() -> None:
    measured = agreement([["precise"] * 3] * 30)
    assert set(measured.undefined) == {"fleiss_kappa", "krippendorff_alpha"}
    assert all("one category" in why for why in measured.undefined.values())
    low, high = proportion_confint(30, 30, method="wilson")
    for name in ("acceptance", "precision", "gwet_ac1"):
        metric = measured.metrics[name]
        assert (metric.value, metric.low, metric.high) == (1.0, pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(
    ("ratings", "why"),
    [
        ([["precise"], ["unacceptable"]], "two raters.* 1\\.$"),
        ([["precise", None], ["unacceptable", None]], "two raters.* 1\\.$"),
        ([["precise", "imprecise"]], "two items.* 1\\.$"),
        ([["precise", None], [None, "unacceptable"]], "two items.* 0\\.$"),
        ([[None, None]], "two raters.* 0\\.$"),
    ],
)
def test_too_little_to_agree_on(ratings: list[list[str | None]], why: str) -> None:
    measured = agreement(ratings)
    rated = any(value for row in ratings for value in row)
    assert ("acceptance" in measured.metrics) == rated
    assert set(measured.metrics).isdisjoint(COEFFICIENTS)
    for name in COEFFICIENTS:
        assert re.search(why, measured.undefined[name])


def test_a_rater_who_rated_nothing_is_none() -> None:
    ratings = random_ratings(20, 3, missing=0.1, seed=3)
    assert agreement(np.insert(ratings, 1, NAN, axis=1)) == agreement(ratings)


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ([["precise", "precise"], ["precise", "good"]], "item row 1, rater column 1: 'good' is not a rating"),
        ([[0, 3]], "item row 0, rater column 1: 3 is not a rating"),
        ([[0.5, 1]], "item row 0, rater column 0: 0.5"),
        ([[True, False]], "item row 0, rater column 0: True"),
        ([["", 1]], "item row 0, rater column 0: ''"),
        ([[{"q1": 1}, 1]], "item row 0, rater column 0: {'q1': 1}"),
        ([[1, 1], [1, 1], [1]], r"one row an item.*row 0 has 2, row 2 has 1"),
        (["precise", "imprecise"], "one row an item"),
        ([np.ones((2, 2)), np.ones((2, 3))], "one row an item"),
        ([], "there are none"),
        ([[], []], "there are none"),
    ],
)
def test_a_bad_rating_is_named(ratings: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        agreement(ratings)


def test_groups_are_one_an_item() -> None:
    with pytest.raises(InputError, match="each of the 2 items; there are 3"):
        agreement([[0, 1], [1, 1]], groups=["a", "b", "c"])


def test_every_resample_is_measured_as_the_whole_is() -> None:
    # Of two groups there are three resamples, each drawn often: the interval spans what the packages say of these.
    first, second = random_ratings(9, 4, missing=0.2, seed=4), random_ratings(12, 4, missing=0.2, seed=5)
    measured = agreement(np.vstack([first, second]), groups=["one"] * 9 + ["other"] * 12).metrics
    resamples = [np.vstack(blocks) for blocks in ([first, first], [first, second], [second, second])]
    accepts = [np.where(np.isnan(ratings), NAN, ratings > 0) for ratings in resamples]
    for name, values in {
        "fleiss_kappa": [fleiss_kappa(ratings) for ratings in accepts],
        "krippendorff_alpha": [krippendorff_alpha(ratings, "ordinal") for ratings in resamples],
        "gwet_ac1": [ac1_by_pairs(ratings, [0, 1]) for ratings in accepts],
    }.items():
        defined = [value for value in values if value is not None]
        assert len(set(defined)) == 3
        assert (measured[name].low, measured[name].high) == (pytest.approx(min(defined)), pytest.approx(max(defined)))


def test_a_seed_gives_its_interval_again() -> None:
    ratings = random_ratings(30, 3, missing=0.1, seed=6)
    assert agreement(ratings, seed=1) == agreement(ratings, seed=1)
    assert agreement(ratings, seed=1) != agreement(ratings, seed=2)


def test_perfect_agreement_on_few_items_is_not_certain() -> None:
    # No disagreement in n items; had a share of 1 - Wilson's bound disagreed, kappa of even prevalence were 1 less
    # twice that share.
    for items in (4, 40):
        metric = agreement([[0, 0], [2, 2]] * (items // 2)).metrics["fleiss_kappa"]
        bound, _ = proportion_confint(items, items, method="wilson")
        assert (metric.value, metric.high) == (pytest.approx(1.0), pytest.approx(1.0))
        assert metric.low == pytest.approx(max(-1, 1 - 2 * (1 - bound)))


def test_the_interval_of_kappa_covers_the_truth() -> None:
    # A rater gives the item's true answer with probability 0.8, else the toss of a coin. Two raters then agree by
    # truth with probability 0.64, else by chance: kappa is 0.64.
    rng = np.random.default_rng(7)
    covered = 0
    for seed in range(100):
        truth = rng.integers(2, size=(80, 1))
        ratings = np.where(rng.random((80, 3)) < 0.8, truth, rng.integers(2, size=(80, 3)))
        metric = agreement(ratings, seed=seed).metrics["fleiss_kappa"]
        covered += metric.low <= 0.64 <= metric.high
    assert 88 <= covered <= 100


def test_intervals_and_values_stay_within_bounds() -> None:
    rng = np.random.default_rng(8)
    for _ in range(100):
        ratings = rng.choice([0, 1, 2, NAN], size=(rng.integers(1, 6), rng.integers(1, 4)))
        measured = agreement(ratings)
        assert {*measured.metrics, *measured.undefined} == {"acceptance", "precision", *COEFFICIENTS}
        for metric in measured.metrics.values():
            assert -1 <= metric.low <= metric.value <= metric.high <= 1
