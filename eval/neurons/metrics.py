"""What each metric of the neurons task means, in the words of reports."""

from __future__ import annotations

from typing import Final

from conceptbench.eval.report.curves import CurvePlot

SHOWN: Final = ("alignment_gain", "raw_alignment_gain", "ablation_mean", "stability_overlap")
"""Metrics whose breakdowns stand in the open: nothing is ranked."""

METRICS: Final = {
    "alignment": "the share of a sub-concept's top neurons that are among those of its super-concept, computed without "
    "the sub-concept's tokens; neurons z-scored; over the pairs of the source that --pairs names first",
    "alignment_null": "the same for concepts of like size and depth that are no relatives of the super-concept",
    "alignment_gain": "alignment less that of these controls",
    "alignment_above": "pairs whose rank among their controls gives p <= 0.05, not corrected: 0.05 or less by chance",
    "alignment_significant": "pairs above their controls, with p <= 0.05 from the controls of all pairs, corrected for "
    "the number of pairs (FDR)",
    "raw_alignment": "alignment with neurons as they are: the figure of TCN, 0.36, is of this kind",
    "raw_alignment_null": "its null: neurons that are large everywhere raise both",
    "raw_alignment_gain": "raw alignment less that of its controls",
    "raw_alignment_above": "pairs whose rank by raw neurons gives p <= 0.05, not corrected",
    "raw_alignment_significant": "pairs above their controls by raw neurons, corrected likewise",
    "ablation_zero": "area between the curves of a probe's accuracy as neurons are set to 0, random ones and the "
    "concept's top ones by --method: above 0, the probe needs the top ones more",
    "ablation_mean": "the same with neurons set to their mean",
    "ablation_keep": "the same with all other neurons set to their mean: above 0, the top ones alone carry more",
    "ablation_zero_bottom": "as ablation_zero, against the ranking from its end",
    "ablation_mean_bottom": "as ablation_mean, against the ranking from its end",
    "ablation_keep_bottom": "as ablation_keep, against the ranking from its end",
    "ablation_auroc": "as ablation_mean, in AUROC, which is the same for neurons set to 0",
    "ablation_auroc_keep": "as ablation_keep, in AUROC",
    "probe_accuracy": "balanced accuracy of the probes with all neurons, on word types they were not fitted to",
    "probe_auroc": "their AUROC",
    "stability_overlap": "the share of a concept's top neurons that stay so over resamples of the corpus's sentences, "
    "by Probeless on z-scored neurons; by chance it is the fraction that counts as top",
    "stability_spearman": "rank correlation of the scores of all neurons, likewise",
    "stability_seeds_overlap": "the same share for the weights of probes with other tokens drawn by another seed",
    "stability_seeds_spearman": "rank correlation of these weights, in size",
    "accuracy_top": "accuracy of the probes as neurons are changed, the concept's top ones first",
    "accuracy_random": "the same in random order",
    "accuracy_bottom": "the same from the end of the ranking",
}
"""Metrics in the order in which reports show them."""

_ACCURACIES = ("accuracy_top", "accuracy_random", "accuracy_bottom")
CURVES: Final = (
    CurvePlot("Alignment by the share of neurons that count as top", "top", ("alignment", "alignment_null")),
    CurvePlot("The same with raw neurons", "top", ("raw_alignment", "raw_alignment_null")),
    CurvePlot("Accuracy by the share of neurons set to 0", "zero", _ACCURACIES),
    CurvePlot("Accuracy by the share of neurons set to their mean", "mean", _ACCURACIES),
    CurvePlot("Accuracy by the share of neurons kept", "keep", _ACCURACIES),
    CurvePlot("Alignment by the number of concepts", "k", ("alignment", "alignment_null")),
    CurvePlot("The same with raw neurons", "k", ("raw_alignment", "raw_alignment_null")),
)
"""Curves in reports: of breakdowns by numbers."""

GROUPS: Final = (
    dict.fromkeys(["tree", "labels", "lexicon"], "source of pairs")
    | dict.fromkeys(["probeless", "probeless_raw", "weights", "average_precision"], "ranking")
)  # fmt: skip
