"""What each metric of the prototypes task means."""

from __future__ import annotations

from typing import Final

from conceptbench.eval.task import MetricInfo

CLASSIFIERS: Final = ("prototypes", "linear", "random", "kmeans", "aligned")
"""Groups of breakdowns that are classifiers; the variants of a study are groups too."""

_POINTS = "difference of shares"
_FALL = "difference of probabilities"

METRICS: Final = (
    MetricInfo("accuracy", "texts whose class a classifier gives that was trained on other texts"),
    MetricInfo(
        "balanced_accuracy",
        "accuracy within a class, mean over the classes, each weighing alike",
    ),
    MetricInfo(
        "difference",
        "accuracy less that of a linear head over the same encoder and pooling, on the same texts",
        unit=_POINTS,
    ),
    MetricInfo(
        "detectable_margin",
        "the margin for which a test of this size shows non-inferiority to the linear head with 80 % power, if there "
        "is no difference",
        unit=_POINTS,
        higher_is_better=None,
    ),
    MetricInfo(
        "swap_all",
        "decisions that stay when each prototype is replaced by the training text that it is said to be like",
    ),
    MetricInfo(
        "swap_top",
        "decisions that stay when the prototype that is their first reason is replaced by the training text that it is "
        "said to be like",
    ),
    MetricInfo(
        "swap_logit_change",
        "mean change of the logits when each prototype is replaced by the training text that it is said to be like",
        unit="standard deviations of the logits",
        higher_is_better=False,
    ),
    MetricInfo(
        "alignment_cost",
        "accuracy less that after alignment, which puts training texts in the prototypes' places so that the stated "
        "examples are true",
        unit=_POINTS,
        higher_is_better=False,
    ),
    MetricInfo(
        "attention_agreement",
        "correlation of the attention to a text's tokens with what leaving each out does to the decision, mean over "
        "texts",
        unit="Spearman's correlation",
    ),
    MetricInfo(
        "comprehensiveness",
        "fall of the decision's probability when the most attended tokens are deleted; high is faithful",
        unit=_FALL,
    ),
    MetricInfo(
        "comprehensiveness_random",
        "fall of the decision's probability when random tokens are deleted",
        unit=_FALL,
        higher_is_better=None,
    ),
    MetricInfo(
        "comprehensiveness_gain",
        "fall of the decision's probability without the most attended tokens, less that without random ones",
        unit=_FALL,
    ),
    MetricInfo(
        "sufficiency",
        "fall of the decision's probability when the most attended tokens alone are left; low is faithful",
        unit=_FALL,
        higher_is_better=False,
    ),
    MetricInfo(
        "sufficiency_random",
        "fall of the decision's probability when random tokens alone are left",
        unit=_FALL,
        higher_is_better=None,
    ),
    MetricInfo(
        "sufficiency_gain",
        "fall of the decision's probability with random tokens alone, less that with the most attended ones alone",
        unit=_FALL,
    ),
    MetricInfo(
        "simulatability",
        "answers of the classifier that a simulator predicts who sees the nearest training texts of its prototypes",
    ),
    MetricInfo(
        "simulatability_input",
        "answers of the classifier that a simulator predicts who sees the text and the names of the classes alone",
        higher_is_better=None,
    ),
    MetricInfo(
        "simulatability_examples",
        "answers of the classifier that a simulator predicts who sees random training texts of each class",
        higher_is_better=None,
    ),
    MetricInfo(
        "simulatability_gain",
        "simulatability less what is predicted from the text and the names of the classes alone",
        unit=_POINTS,
    ),
    MetricInfo(
        "simulatability_over_examples",
        "simulatability less what is predicted with random training texts of each class",
        unit=_POINTS,
    ),
    MetricInfo(
        "prototypes_used",
        "prototypes that are the first reason of a decision on some training text",
    ),
    MetricInfo(
        "name_score",
        "how much more similar texts that fit a prototype's name are to it than texts that do not: SASC's score, mean "
        "over prototypes",
        unit="standard deviations of the similarity over n-grams",
    ),
    MetricInfo(
        "names_significant",
        "prototypes whose name has p < 0.05, which allows for its choice among several candidates",
    ),
)
"""Metrics in the order in which they are shown."""
