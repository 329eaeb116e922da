"""What each metric of the explanation task means, in the words of reports."""

from __future__ import annotations

from typing import Final

MAIN: Final = "accuracy"
MAIN_WITHOUT_ANSWERS: Final = "score"

METRICS: Final = {
    "accuracy": "runs whose best explanation is right by the answer's pattern, and says little else",
    "accuracy_no_ranking": "candidates that are right, over all runs: what a pick at random gives",
    "accuracy_any": "runs with a right candidate: what a perfect ranking would give",
    "accuracy_first": "runs whose first summary is right: without ranking",
    "accuracy_top_ngram": "runs whose strongest n-gram is right: a baseline without a helper",
    "accuracy_tfidf": "runs whose most telling word of the strongest n-grams is right: another such baseline",
    "accuracy_chance": "answers of other modules that the best explanation would be right for: the null of accuracy",
    "identification": "runs whose explanation's strings move their own module more than any other",
    "identification_chance": "the same for a pick at random",
    "explanation_similarity": "cosine between the best explanation and the module's, by the encoder",
    "bertscore_keyword": "BERTScore F1 between the best explanation and the answer's name",
    "bertscore_sentence": "BERTScore F1 between the best explanation and the answer's explanation",
    "bertscore_no_ranking_keyword": "BERTScore F1 between a candidate and the answer's name, over all candidates",
    "bertscore_no_ranking_sentence": "the same with the answer's explanation",
    "equivalence": "runs whose best explanation most judges find equivalent to the module's; a tie is not",
    "equivalence_corrected": "equivalence corrected for the judges' errors on planted controls",
    "judge_sensitivity": "other true wordings of an answer that the panel finds equivalent to it",
    "judge_specificity": "wordings of unrelated answers that the panel does not find equivalent",
    "judge_youden": "sensitivity + specificity - 1: 0 for a judge that tells nothing",
    "auroc_within": "AUROC of the score telling right candidates from wrong ones of the same run, over runs with both",
    "auroc_within_own": "the same for scores that the explainer gave itself",
    "score": "the best explanation's score, in standard deviations of the module; 0 where there is none",
    "score_controls": "the same for controls: what the best of several explanations gets from nothing",
    "discovery": "modules that are no controls, whose best explanation has p < 0.05 (of voxels, the prediction too)",
    "discovery_controls": "the same for controls, which respond to nothing: the false-positive rate",
}
"""Metrics in the order in which reports show them."""
