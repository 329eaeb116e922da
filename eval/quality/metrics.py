"""What each metric of the quality task means."""

from __future__ import annotations

from typing import Final

from conceptbench.eval.task import MetricInfo

METHODS: Final = ("ward", "kmeans", "leaders")

METRICS: Final = (
    MetricInfo(
        "alignment",
        "clusters that are aligned: at least the threshold's share of their tokens belongs to one gold concept",
    ),
    MetricInfo(
        "alignment_null",
        "clusters that are aligned by chance: when the lexicon's words are exchanged among each other, mean over the "
        "shuffles",
        higher_is_better=None,
    ),
    MetricInfo("alignment_gain", "alignment less alignment_null, cluster by cluster", unit="difference of shares"),
    MetricInfo(
        "alignment_known",
        "clusters that are aligned when only tokens count whose word the lexicon has, over clusters with at least 3 "
        "such word types",
    ),
    MetricInfo(
        "alignment_known_null",
        "clusters that are aligned by chance when only tokens count whose word the lexicon has: its words exchanged",
        higher_is_better=None,
    ),
    MetricInfo(
        "alignment_known_gain",
        "alignment_known less alignment_known_null, cluster by cluster",
        unit="difference of shares",
    ),
    MetricInfo("coverage", "gold concepts with at least 3 word types in the layer to which some cluster is aligned"),
    MetricInfo(
        "coverage_null",
        "gold concepts to which some cluster is aligned by chance: with the lexicon's words exchanged",
        higher_is_better=None,
    ),
    MetricInfo("coverage_gain", "coverage less coverage_null, concept by concept", unit="difference of shares"),
    MetricInfo("purity", "share of a cluster's tokens that belong to its best gold concept, mean over clusters"),
    MetricInfo(
        "purity_null",
        "share of a cluster's tokens that belong to its best gold concept with the lexicon's words exchanged",
        higher_is_better=None,
    ),
    MetricInfo(
        "ami",
        "adjusted mutual information between clusters and gold concepts over word types, mean over kinds and layers",
        unit="adjusted mutual information",
    ),
)
"""Metrics in the order in which they are shown."""
