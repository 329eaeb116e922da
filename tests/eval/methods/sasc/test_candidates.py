"""Scores of candidates, beside scipy's permutation test, and under selection of the best."""

import numpy as np
import pytest
from scipy.stats import permutation_test, ttest_ind

from conceptbench.benchmark.modules.responses import RandomModule
from conceptbench.eval.methods.sasc.candidates import TestedExplanation, ranked, score_candidates


def test_the_p_value_of_one_candidate_is_that_of_a_permutation_test() -> None:
    generator = np.random.default_rng(3)
    related, unrelated = generator.normal(0.6, 1.0, 8), generator.normal(0.0, 1.0, 9)
    tested = TestedExplanation("a", ("",) * 8, ("",) * 9, tuple(related), tuple(unrelated))
    (candidate,) = score_candidates([tested], 2.0, np.random.default_rng(0))
    theirs = permutation_test(
        (related, unrelated),
        lambda a, b, axis: ttest_ind(a, b, equal_var=False, axis=axis).statistic,
        alternative="greater",
        n_resamples=20_000,
        rng=1,
        vectorized=True,
    )
    assert candidate.p == pytest.approx(theirs.pvalue, abs=0.02)
    assert candidate.score == pytest.approx((related.mean() - unrelated.mean()) / 2.0)
    assert candidate.low is not None
    assert candidate.high is not None
    assert candidate.low < candidate.score < candidate.high


def test_the_best_of_several_is_significant_on_controls_as_often_as_stated() -> None:
    module = RandomModule(b"control")
    rejected = 0
    for study in range(400):
        candidates = []
        for number in range(5):
            texts = [f"{study} {number} {i}" for i in range(20)]
            values = module(texts).tolist()
            candidates.append(TestedExplanation(str(number), texts[:10], texts[10:], values[:10], values[10:]))  # type: ignore[arg-type]
        best = ranked(score_candidates(candidates, 1.0, np.random.default_rng(study)))[0]
        rejected += best.p is not None and best.p < 0.05
    # The score that ranks is not the statistic of the test, so the rate may lie below the level.
    assert 0.01 < rejected / 400 < 0.075


def test_the_interval_holds_the_best_candidates_true_score() -> None:
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        truths = generator.normal(0.5, 0.5, 4)
        candidates = [
            TestedExplanation(
                str(i), ("",) * 10, ("",) * 10, tuple(generator.normal(t, 1, 10)), tuple(generator.normal(0, 1, 10))
            )
            for i, t in enumerate(truths)
        ]
        best = ranked(score_candidates(candidates, 1.0, generator))[0]
        assert best.low is not None
        assert best.high is not None
        held += best.low <= truths[int(best.text)] <= best.high
    assert held / 300 > 0.92


def test_candidates_without_strings_have_no_score_and_come_last() -> None:
    some = TestedExplanation("some", ("a", "b"), ("c", "d"), (1.0, 1.1), (0.0, 0.1))
    none = TestedExplanation("none", (), ("c", "d"), (), (0.0, 0.1))
    best_first = ranked(score_candidates([none, some], 1.0, np.random.default_rng(0)))
    assert [candidate.text for candidate in best_first] == ["some", "none"]
    assert best_first[1].score is None
    assert best_first[1].p is None
