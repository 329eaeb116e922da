"""What each metric of the annotation task means."""

from __future__ import annotations

from typing import Final

from conceptbench.eval.task import MetricInfo

METRICS: Final = (
    MetricInfo(
        "gold_match", "labels that are right: the gold concept's pattern takes them, and that of no unrelated concept"
    ),
    MetricInfo("gold_includes", "labels that hold the gold name word for word, which is what a plain harness measures"),
    MetricInfo("gold_similarity", "cosine between label and gold name", unit="cosine", by_encoder=True),
    MetricInfo("bertscore", "BERTScore between label and gold name", unit="F1", by_encoder=True),
    MetricInfo(
        "discrimination",
        "how well the label tells unseen words of the concept from words of its nearest neighbours; 0.5 is chance, and "
        "what a missing label counts",
        unit="AUROC",
        by_encoder=True,
    ),
    MetricInfo(
        "discrimination_normalised",
        "discrimination on a scale on which labels of other concepts are 0 and the gold label is 1",
        unit="share of the gold label's gain",
        by_encoder=True,
    ),
    MetricInfo(
        "discrimination_gold",
        "how well the gold label tells unseen words of the concept from words of its nearest neighbours",
        unit="AUROC",
        higher_is_better=None,
        by_encoder=True,
    ),
    MetricInfo(
        "discrimination_shuffled",
        "how well labels of other concepts tell unseen words of the concept from words of its nearest neighbours: the "
        "chance of discrimination",
        unit="AUROC",
        higher_is_better=None,
        by_encoder=True,
    ),
    MetricInfo(
        "discrimination_llm",
        "how well judges tell unseen words of the concept from words of its nearest neighbours by the label",
        unit="balanced accuracy",
    ),
    MetricInfo(
        "identification",
        "labels that are closest to their own concept among all concepts of the sample and layer",
        by_encoder=True,
    ),
    MetricInfo(
        "identification_shuffled",
        "labels of other concepts that are closest to the concept they are tried on: the chance of identification",
        higher_is_better=None,
        by_encoder=True,
    ),
    MetricInfo("acceptance", "Q1: labels that the judges accept; a missing label is not accepted"),
    MetricInfo("acceptance_people", "Q1: labels that people accept; a missing label is not accepted"),
    MetricInfo("acceptance_corrected", "Q1: labels that the judges accept, corrected for their errors on controls"),
    MetricInfo(
        "acceptance_ppi",
        "Q1: labels that people would accept, estimated from the judges' answers to all and people's to a part",
    ),
    MetricInfo("precision", "Q2: labels that the judges find precise, of those that they accept"),
    MetricInfo("precision_people", "Q2: labels that people find precise, of those that they accept"),
    MetricInfo("preference", "Q3: labels that the judges prefer to the label compared with"),
    MetricInfo(
        "preference_tie",
        "Q3: labels that the judges prefer neither to the label compared with nor the reverse",
        higher_is_better=None,
    ),
    MetricInfo("preference_people", "Q3: labels that people prefer to the label compared with"),
    MetricInfo(
        "preference_tie_people",
        "Q3: labels that people prefer neither to the label compared with nor the reverse",
        higher_is_better=None,
    ),
    MetricInfo("fleiss_kappa", "agreement of the judges on whether a label is acceptable", unit="Fleiss' kappa"),
    MetricInfo(
        "krippendorff_alpha",
        "agreement of the judges on the scale unacceptable, imprecise, precise",
        unit="Krippendorff's alpha",
    ),
    MetricInfo(
        "gwet_ac1",
        "agreement of the judges on whether a label is acceptable, robust where nearly all labels are",
        unit="Gwet's AC1",
    ),
    MetricInfo("fleiss_kappa_people", "agreement of people on whether a label is acceptable", unit="Fleiss' kappa"),
    MetricInfo(
        "krippendorff_alpha_people",
        "agreement of people on the scale unacceptable, imprecise, precise",
        unit="Krippendorff's alpha",
    ),
    MetricInfo(
        "gwet_ac1_people",
        "agreement of people on whether a label is acceptable, robust where nearly all labels are",
        unit="Gwet's AC1",
    ),
    MetricInfo("judge_sensitivity", "right labels among the planted controls that the panel of judges accepts"),
    MetricInfo("judge_specificity", "wrong labels among the planted controls that the panel of judges rejects"),
    MetricInfo(
        "judge_youden",
        "sensitivity + specificity - 1 of the panel of judges on planted controls; 0 for a judge that tells nothing",
        unit="Youden's J",
    ),
    MetricInfo(
        "copied", "labels that list words that the annotator was shown instead of naming them", higher_is_better=False
    ),
    MetricInfo("refused", "labels that are missing since the system refused to the end", higher_is_better=False),
    MetricInfo("refused_first", "concepts that were refused or filtered at the first attempt", higher_is_better=False),
    MetricInfo(
        "recovered", "concepts that were named when asked in another way, of those refused or filtered at first"
    ),
    MetricInfo("filtered", "labels that are missing since a filter of the provider stepped in", higher_is_better=False),
    MetricInfo("unparsable", "answers that hold no label", higher_is_better=False),
    MetricInfo("failed", "concepts that could not be asked, or for which a file has no label", higher_is_better=False),
)
"""Metrics in the order in which they are shown."""
