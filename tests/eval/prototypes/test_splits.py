"""Splits, the paired test over them, and the questions of simulators."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from conceptbench.eval.prototypes.forms import read_form, write_form
from conceptbench.eval.prototypes.questions import Question, draw_texts, read_label
from conceptbench.eval.prototypes.splits import cross_validation, given_test, paired_test
from conceptbench.runtime.errors import InputError


def test_folds_part_the_texts_in_the_classes_shares_anew_each_repeat() -> None:
    labels = np.repeat([0, 1, 2], [50, 20, 7])
    splits = cross_validation(labels, 5, 2, seed=0)
    assert [(split.repeat, split.fold) for split in splits] == [(r, f) for r in (0, 1) for f in range(5)]
    for repeat in (0, 1):
        of_repeat = [split for split in splits if split.repeat == repeat]
        assert sorted(np.concatenate([split.test for split in of_repeat])) == list(range(77))
        for split in of_repeat:
            assert set(split.train) | set(split.test) == set(range(77))
            assert len(split.train) + len(split.test) == 77
            counts = np.bincount(labels[split.test], minlength=3)
            assert counts[:2].tolist() == [10, 4]
            assert counts[2] in {1, 2}
    assert any(
        (a.test != b.test).any() for a, b in zip(splits[:5], splits[5:], strict=True) if len(a.test) == len(b.test)
    )
    again = cross_validation(labels, 5, 2, seed=0)
    assert all((a.test == b.test).all() for a, b in zip(splits, again, strict=True))


def test_a_given_test_set_is_the_same_each_repeat() -> None:
    splits = given_test(3, 2, 2)
    assert [(s.repeat, s.fold, s.train.tolist(), s.test.tolist()) for s in splits] == [
        (0, 0, [0, 1, 2], [3, 4]),
        (1, 0, [0, 1, 2], [3, 4]),
    ]


def test_on_a_given_test_set_it_is_the_t_test_over_texts() -> None:
    generator = np.random.default_rng(0)
    differences = generator.choice([-1.0, 0.0, 1.0], p=[0.2, 0.7, 0.1], size=(1, 200))
    test = paired_test(differences, np.zeros((1, 200), dtype=int), margin=0.05)
    assert test is not None
    expected = stats.ttest_1samp(differences[0], -0.05, alternative="greater")
    assert test.p == test.texts_p == pytest.approx(expected.pvalue)
    low, high = stats.ttest_1samp(differences[0], 0).confidence_interval()
    assert (test.difference.low, test.difference.high) == pytest.approx((low, high))
    # At the smallest margin, p is 5 %.
    at_the_margin = paired_test(differences, np.zeros((1, 200), dtype=int), margin=test.smallest_margin)
    assert at_the_margin is not None
    assert at_the_margin.p == pytest.approx(0.05)


def test_over_folds_the_variance_allows_for_shared_training_texts() -> None:
    generator = np.random.default_rng(1)
    differences = generator.integers(-1, 2, size=(3, 100)).astype(float)
    folds = np.stack([generator.permutation(np.arange(100) % 4) for _ in range(3)])
    test = paired_test(differences, folds, margin=0.05)
    assert test is not None
    means = [differences[r][folds[r] == f].mean() for r in range(3) for f in range(4)]
    # Nadeau and Bengio: 1/J + test texts / training texts, of 12 splits with 25 and 75 texts.
    error = np.sqrt(np.var(means, ddof=1) * (1 / 12 + 25 / 75))
    half = stats.t(11).ppf(0.975) * error
    assert test.difference.value == pytest.approx(np.mean(means))
    assert test.difference.high - test.difference.value == pytest.approx(half)
    assert test.p == pytest.approx(stats.t(11).sf((np.mean(means) + 0.05) / error))
    over_texts = stats.ttest_1samp(differences.mean(axis=0), -0.05, alternative="greater")
    assert test.texts_p == pytest.approx(over_texts.pvalue)


def test_a_worse_classifier_is_seldom_called_non_inferior_and_an_equal_one_mostly() -> None:
    """Texts on which two classifiers differ at random: at the margin itself, at most 5 % are called non-inferior."""
    generator = np.random.default_rng(2)
    folds = (np.arange(2000) % 5)[None].repeat(2, axis=0)
    called = {0.0: 0, -0.03: 0}
    detectable = []
    for truth in called:
        for _ in range(300):
            loss = 0.05 - truth / 2
            differences = generator.choice([-1.0, 0.0, 1.0], p=[loss, 0.9, 0.1 - loss], size=(1, 2000)).repeat(
                2, axis=0
            )
            shuffled = np.stack([folds[0], generator.permutation(folds[0])])
            test = paired_test(differences, shuffled, margin=0.03)
            assert test is not None
            called[truth] += test.non_inferior
            detectable.append(test.detectable.value)
    assert called[-0.03] <= 0.08 * 300
    assert called[0.0] >= 0.85 * 300
    assert np.mean(detectable) < 0.03


def test_classifiers_that_never_differ_have_no_test() -> None:
    assert paired_test(np.zeros((2, 10)), np.arange(20).reshape(2, 10) % 2, margin=0.01) is None


def test_texts_for_simulators_are_drawn_from_each_answer_alike() -> None:
    predicted = np.repeat([0, 1, 2], [90, 8, 2])
    rows = draw_texts(predicted, 12, np.random.default_rng(0))
    assert np.bincount(predicted[rows]).tolist() == [5, 5, 2]
    assert len(set(rows.tolist())) == 12
    assert len(draw_texts(predicted, 500, np.random.default_rng(0))) == 100


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("positive", "positive"),
        (" Positive.\nText: another", "positive"),
        ("Class: not positive", "not positive"),
        ("It is negative, not positive", "negative"),
        ("positively so", None),
        ("", None),
        ("2", "2"),
        ("12", None),
    ],
)
def test_the_class_that_is_named_first_is_the_answer(reply: str, label: str | None) -> None:
    assert read_label(reply, ["negative", "positive", "not positive", "2"]) == label


def test_a_form_holds_no_formula_and_is_read_again(tmp_path: Path) -> None:
    classes = ["a", "b"]
    questions = [
        Question("T0", "input", "=1+1", []),
        Question("T0", "examples", "=1+1", [("one", "a"), ("two", "b")]),
        Question("T0", "prototypes", "=1+1", [("three", "a")]),
    ]
    path = tmp_path / "form.csv"
    write_form(path, questions, classes)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert not any(cell.startswith(tuple("=+-@")) for row in rows for cell in row.values())
    assert "Text: one\nClass: a" in rows[1]["question"]
    with pytest.raises(InputError, match="T0, input: there is no answer"):
        read_form(path).predictions(questions, classes)
    path.write_text("item,condition,question,answer\n" + "".join(f"T0,{q.condition},x,B\n" for q in questions))
    assert [prediction.label for prediction in read_form(path).predictions(questions, classes)] == ["b", "b", "b"]
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="give a filled-in"):
        read_form(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_form(tmp_path / "nothing.csv")
