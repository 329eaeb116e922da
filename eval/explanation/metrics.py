"""What each metric of the explanation task means."""

from __future__ import annotations

from typing import Final

from conceptbench.eval.task import MetricInfo

METRICS: Final = (
    MetricInfo(
        "accuracy",
        "runs whose best explanation is right: the pattern of the module's answer is found in it, and it says little "
        "else",
    ),
    MetricInfo(
        "accuracy_no_ranking",
        "explanations that are right, over all candidates of all runs: what a pick at random gives",
    ),
    MetricInfo("accuracy_any", "runs with a right explanation among their candidates: what a perfect ranking gives"),
    MetricInfo("accuracy_first", "runs whose first explanation is right: what the explainer gives without ranking"),
    MetricInfo(
        "accuracy_top_ngram",
        "runs in which the module's strongest n-gram is a right explanation: a baseline without a helper",
        higher_is_better=None,
    ),
    MetricInfo(
        "accuracy_tfidf",
        "runs in which the most typical word of the module's strongest n-grams is a right explanation: a baseline "
        "without a helper",
        higher_is_better=None,
    ),
    MetricInfo(
        "accuracy_chance",
        "answers of other modules that a run's best explanation would be right for: the null of accuracy",
        higher_is_better=None,
    ),
    MetricInfo(
        "identification",
        "runs whose best explanation's strings move the explained module more than any other module of the run",
    ),
    MetricInfo(
        "identification_chance",
        "runs that would be identified by a pick of a module at random: the null of identification",
        higher_is_better=None,
    ),
    MetricInfo(
        "explanation_similarity",
        "cosine between the encoder's vectors of a run's best explanation and of the module's true one",
        unit="cosine",
        by_encoder=True,
    ),
    MetricInfo(
        "bertscore_keyword",
        "BERTScore's F1 between a run's best explanation and the name of the module's answer",
        unit="F1",
        by_encoder=True,
    ),
    MetricInfo(
        "bertscore_sentence",
        "BERTScore's F1 between a run's best explanation and the module's true explanation",
        unit="F1",
        by_encoder=True,
    ),
    MetricInfo(
        "bertscore_no_ranking_keyword",
        "BERTScore's F1 between an explanation and the name of the module's answer, over all candidates of all runs",
        unit="F1",
        by_encoder=True,
    ),
    MetricInfo(
        "bertscore_no_ranking_sentence",
        "BERTScore's F1 between an explanation and the module's true one, over all candidates of all runs",
        unit="F1",
        by_encoder=True,
    ),
    MetricInfo(
        "equivalence",
        "runs whose best explanation most judges find equivalent to the module's true one; a tie does not count",
    ),
    MetricInfo(
        "equivalence_corrected",
        "runs whose best explanation is equivalent to the module's true one, estimated from what the judges find and "
        "from their errors on planted controls",
    ),
    MetricInfo(
        "judge_sensitivity",
        "planted controls that are other true wordings of an answer, and that the panel finds equivalent to it",
    ),
    MetricInfo(
        "judge_specificity",
        "planted controls that are wordings of unrelated answers, and that the panel does not find equivalent",
    ),
    MetricInfo(
        "judge_youden",
        "judge_sensitivity + judge_specificity - 1 on planted controls: 0 for judges that tell nothing",
        unit="Youden's J",
    ),
    MetricInfo(
        "auroc_within",
        "AUROC of the score telling right explanations from wrong ones of one run, over runs with both",
        unit="AUROC",
    ),
    MetricInfo(
        "auroc_within_own",
        "AUROC of the score that the explainer itself states telling right explanations from wrong ones of one run, "
        "over runs with both",
        unit="AUROC",
    ),
    MetricInfo(
        "score",
        "how much more the module responds to strings that fit a run's best explanation than to strings that do not, "
        "over modules that are no controls; 0 where there is no explanation",
        unit="standard deviations of the module",
    ),
    MetricInfo(
        "score_controls",
        "how much more a control, which responds to nothing, responds to strings that fit a run's best explanation "
        "than to strings that do not: the null of score",
        unit="standard deviations of the module",
        higher_is_better=None,
    ),
    MetricInfo(
        "discovery",
        "runs of modules that are no controls whose best explanation has p < 0.05; of a voxel, the prediction of its "
        "responses must have p < 0.05 too",
    ),
    MetricInfo(
        "discovery_controls",
        "runs of controls, which respond to nothing, whose best explanation has p < 0.05: the false-positive rate",
        higher_is_better=None,
    ),
)
"""Metrics in the order in which they are shown."""
