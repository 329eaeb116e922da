"""What each metric of the neurons task means, and how reports group and draw them."""

from __future__ import annotations

from typing import Final, get_args

from conceptbench.eval.neurons.options import Source
from conceptbench.eval.task import CurvePlot, MetricInfo

_AREA = "area between curves"
_GAIN = "difference of shares"

METRICS: Final = (
    MetricInfo(
        "alignment",
        "share of a sub-concept's top neurons that are also top neurons of its super-concept, which is ranked without "
        "the sub-concept's tokens; neurons z-scored; mean over the pairs of the source that --pairs names first",
        higher_is_better=None,
    ),
    MetricInfo(
        "alignment_null",
        "share of top neurons, z-scored, that concepts of like size and depth which are unrelated to the super-concept "
        "have in common with it: what alignment would be by chance",
        higher_is_better=None,
    ),
    MetricInfo(
        "alignment_gain",
        "alignment less alignment_null, pair by pair: above 0, super- and sub-concepts share more top neurons than "
        "unrelated concepts do",
        unit=_GAIN,
        higher_is_better=None,
    ),
    MetricInfo(
        "alignment_above",
        "pairs whose alignment of z-scored neurons ranks so high among their controls that p <= 0.05, not corrected: "
        "0.05 or less by chance",
        higher_is_better=None,
    ),
    MetricInfo(
        "alignment_significant",
        "pairs whose alignment of z-scored neurons is above that of their controls with p <= 0.05, computed from the "
        "controls of all pairs and corrected for the number of pairs (FDR)",
        higher_is_better=None,
    ),
    MetricInfo(
        "raw_alignment",
        "share of a sub-concept's top neurons that are also top neurons of its super-concept, with neurons as they "
        "are, not z-scored: the figure of TCN, 0.36, is of this kind",
        higher_is_better=None,
    ),
    MetricInfo(
        "raw_alignment_null",
        "share of top neurons, not z-scored, that unrelated concepts of like size and depth have in common with the "
        "super-concept: neurons that are large everywhere raise it",
        higher_is_better=None,
    ),
    MetricInfo(
        "raw_alignment_gain", "raw_alignment less raw_alignment_null, pair by pair", unit=_GAIN, higher_is_better=None
    ),
    MetricInfo(
        "raw_alignment_above",
        "pairs whose alignment of neurons as they are ranks so high among their controls that p <= 0.05, not "
        "corrected: 0.05 or less by chance",
        higher_is_better=None,
    ),
    MetricInfo(
        "raw_alignment_significant",
        "pairs whose alignment of neurons as they are is above that of their controls with p <= 0.05, computed from "
        "the controls of all pairs and corrected for the number of pairs (FDR)",
        higher_is_better=None,
    ),
    MetricInfo(
        "ablation_zero",
        "area between the curves of a probe's accuracy as neurons are set to 0, random ones and the concept's top ones "
        "by --method: above 0, the probe needs the top ones more",
        unit=_AREA,
        higher_is_better=None,
    ),
    MetricInfo(
        "ablation_mean",
        "area between the curves of a probe's accuracy as neurons are set to their mean, random ones and the concept's "
        "top ones by --method: above 0, the probe needs the top ones more",
        unit=_AREA,
        higher_is_better=None,
    ),
    MetricInfo(
        "ablation_keep",
        "area between the curves of a probe's accuracy as neurons are kept and all others set to their mean, the "
        "concept's top ones by --method and random ones: above 0, the top ones alone carry more",
        unit=_AREA,
        higher_is_better=None,
    ),
    MetricInfo(
        "ablation_zero_bottom",
        "area between the curves of a probe's accuracy as neurons are set to 0, the last ones and the first ones of "
        "the ranking by --method",
        unit=_AREA,
        higher_is_better=None,
    ),
    MetricInfo(
        "ablation_mean_bottom",
        "area between the curves of a probe's accuracy as neurons are set to their mean, the last ones and the first "
        "ones of the ranking by --method",
        unit=_AREA,
        higher_is_better=None,
    ),
    MetricInfo(
        "ablation_keep_bottom",
        "area between the curves of a probe's accuracy as neurons are kept and all others set to their mean, the first "
        "ones and the last ones of the ranking by --method",
        unit=_AREA,
        higher_is_better=None,
    ),
    MetricInfo(
        "ablation_auroc",
        "area between the curves of a probe's AUROC as neurons are set to their mean (or to 0, which gives equal "
        "AUROCs), random ones and the concept's top ones by --method",
        unit=_AREA,
        higher_is_better=None,
    ),
    MetricInfo(
        "ablation_auroc_keep",
        "area between the curves of a probe's AUROC as neurons are kept and all others set to their mean, the "
        "concept's top ones by --method and random ones",
        unit=_AREA,
        higher_is_better=None,
    ),
    MetricInfo(
        "probe_accuracy",
        "balanced accuracy of the ablated concepts' probes with all neurons, on word types they were not fitted to",
        unit="balanced accuracy",
        higher_is_better=None,
    ),
    MetricInfo(
        "probe_auroc",
        "AUROC of the ablated concepts' probes with all neurons, on word types they were not fitted to",
        unit="AUROC",
        higher_is_better=None,
    ),
    MetricInfo(
        "stability_overlap",
        "share of a concept's top neurons that stay top neurons over resamples of the corpus's sentences, by Probeless "
        "on z-scored neurons; by chance it is the fraction that counts as top",
        higher_is_better=None,
    ),
    MetricInfo(
        "stability_spearman",
        "rank correlation of the scores of all neurons for a concept with those over resamples of the corpus's "
        "sentences, by Probeless on z-scored neurons; 0 by chance",
        unit="rank correlation",
        higher_is_better=None,
    ),
    MetricInfo(
        "stability_seeds_overlap",
        "share of a concept's top neurons by the weights of its probe that are top neurons by a probe whose tokens "
        "another seed drew; by chance it is the fraction that counts as top",
        higher_is_better=None,
    ),
    MetricInfo(
        "stability_seeds_spearman",
        "rank correlation of the sizes of a probe's weights with those of a probe of the concept whose tokens another "
        "seed drew; 0 by chance",
        unit="rank correlation",
        higher_is_better=None,
    ),
    MetricInfo(
        "accuracy_top",
        "balanced accuracy of the probes when a share of the neurons is changed, the concept's top ones by --method "
        "first",
        unit="balanced accuracy",
        higher_is_better=None,
    ),
    MetricInfo(
        "accuracy_random",
        "balanced accuracy of the probes when a share of the neurons is changed, in random order",
        unit="balanced accuracy",
        higher_is_better=None,
    ),
    MetricInfo(
        "accuracy_bottom",
        "balanced accuracy of the probes when a share of the neurons is changed, the last ones of the ranking by "
        "--method first",
        unit="balanced accuracy",
        higher_is_better=None,
    ),
)
"""Metrics in the order in which reports show them."""

OPEN_BREAKDOWNS: Final = ("alignment_gain", "raw_alignment_gain", "ablation_mean", "stability_overlap")
"""Metrics whose breakdowns reports show in the open, since no main metric is ranked by."""

_ACCURACIES = ("accuracy_top", "accuracy_random", "accuracy_bottom")
CURVES: Final = (
    CurvePlot("Alignment by the share of neurons that count as top", "top", ("alignment", "alignment_null")),
    CurvePlot(
        "Alignment of raw neurons by the share that count as top", "top", ("raw_alignment", "raw_alignment_null")
    ),
    CurvePlot("Accuracy by the share of neurons set to 0", "zero", _ACCURACIES),
    CurvePlot("Accuracy by the share of neurons set to their mean", "mean", _ACCURACIES),
    CurvePlot("Accuracy by the share of neurons kept", "keep", _ACCURACIES),
    CurvePlot("Alignment by the number of concepts", "k", ("alignment", "alignment_null")),
    CurvePlot("Alignment of raw neurons by the number of concepts", "k", ("raw_alignment", "raw_alignment_null")),
)
"""Curves in reports: of breakdowns by numbers."""

GROUPS: Final = {
    **dict.fromkeys(get_args(Source), "source of pairs"),
    **dict.fromkeys(["probeless", "probeless_raw", "weights", "average_precision"], "ranking"),
}
"""Of each group of a breakdown, what it is one of."""
