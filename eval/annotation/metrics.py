"""What each metric of the annotation task means, in the words of reports."""

from __future__ import annotations

from typing import Final

MAIN: Final = "gold_match"
MAIN_ON_STORES: Final = "discrimination"

METRICS: Final = {
    "gold_match": "labels that the gold concept's pattern takes, and that of no unrelated concept",
    "gold_includes": "labels that hold the gold name word for word: what a plain harness measures",
    "gold_similarity": "cosine between label and gold name, by the encoder",
    "bertscore": "BERTScore F1 between label and gold name",
    "discrimination": "AUROC of the label telling unseen words of the concept from words of its nearest neighbours; "
    "0.5 is chance, and what a missing label counts",
    "discrimination_normalised": "the same on a scale where a shuffled label is 0 and the gold label 1",
    "discrimination_gold": "the same for the gold label",
    "discrimination_shuffled": "the same for labels of other concepts",
    "discrimination_llm": "balanced accuracy of the judges telling these words apart by the label",
    "identification": "labels closest to their own concept among all of the sample (of its layer)",
    "identification_shuffled": "the same for labels of other concepts: its chance",
    "acceptance": "Q1: labels that the judges accept; a missing label is not accepted",
    "acceptance_people": "Q1: labels that people accept",
    "acceptance_corrected": "acceptance corrected for the judges' errors on planted controls",
    "acceptance_ppi": "people's acceptance of all labels, from the judges' and people's on a part",
    "precision": "Q2: of the labels the judges accept, those they find precise",
    "precision_people": "Q2: of the labels people accept, those they find precise",
    "preference": "Q3: labels that the judges prefer to the other label",
    "preference_tie": "Q3: pairs in which the judges prefer neither",
    "preference_people": "Q3: labels that people prefer to the other label",
    "preference_tie_people": "Q3: pairs in which people prefer neither",
    "fleiss_kappa": "agreement of the judges on Q1",
    "krippendorff_alpha": "agreement of the judges on the scale unacceptable, imprecise, precise",
    "gwet_ac1": "agreement of the judges on Q1, robust where nearly all labels are accepted",
    "fleiss_kappa_people": "agreement of people on Q1",
    "krippendorff_alpha_people": "agreement of people on the scale unacceptable, imprecise, precise",
    "gwet_ac1_people": "agreement of people on Q1, robust where nearly all labels are accepted",
    "judge_sensitivity": "right planted labels that the panel accepts",
    "judge_specificity": "wrong planted labels that the panel rejects",
    "judge_youden": "sensitivity + specificity - 1: 0 for a judge that tells nothing",
    "copied": "labels that list words they were shown instead of naming them",
    "refused": "labels missing since the system refused to the end",
    "refused_first": "concepts refused or filtered at the first attempt",
    "recovered": "of these, concepts named when asked in another way",
    "filtered": "labels missing since a filter of the provider stepped in",
    "unparsable": "answers that hold no label",
    "failed": "concepts that could not be asked, or for which there is no label",
}
"""Metrics in the order in which reports show them."""
