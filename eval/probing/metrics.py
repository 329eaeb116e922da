"""What each metric of the probing task means."""

from __future__ import annotations

from typing import Final

from conceptbench.eval.task import MetricInfo

METRICS: Final = (
    MetricInfo(
        "auroc",
        "AUROC of probes of gold concepts on words they were not fitted to, in another corpus: test concepts, at the "
        "layer that is best on dev concepts",
        unit="AUROC",
    ),
    MetricInfo(
        "accuracy",
        "accuracy of probes of gold concepts on words they were not fitted to, with as many negatives as positives: "
        "test concepts, at the layer that is best on dev concepts",
    ),
    MetricInfo(
        "accuracy_hard",
        "accuracy of probes of gold concepts when half of the weight is on positives and half on negatives from near "
        "concepts: test concepts, at the layer that is best on dev concepts",
    ),
    MetricInfo(
        "auroc_dev",
        "AUROC of probes of the gold lexicon's dev concepts at the layer of the headline, which was chosen by it",
        unit="AUROC",
    ),
    MetricInfo(
        "store_auroc",
        "AUROC of probes of the store's concepts on words they were not fitted to, over all layers; read it beside "
        "null_auroc",
        unit="AUROC",
    ),
    MetricInfo(
        "null_auroc",
        "AUROC of probes of clusters of permuted vectors, which mean nothing, over all layers",
        unit="AUROC",
        higher_is_better=None,
    ),
    MetricInfo(
        "store_auroc_gain",
        "AUROC of probes of the store's concepts less that of probes of clusters of permuted vectors",
        unit="difference of AUROC",
    ),
    MetricInfo("store_accuracy", "accuracy of probes of the store's concepts, on words they were not fitted to"),
    MetricInfo(
        "null_accuracy",
        "accuracy of probes of clusters of permuted vectors, on words they were not fitted to",
        higher_is_better=None,
    ),
    MetricInfo(
        "store_gain",
        "accuracy of probes of the store's concepts less that of probes of clusters of permuted vectors",
        unit="difference of shares",
    ),
    MetricInfo(
        "store_accuracy_hard",
        "accuracy of probes of the store's concepts when half of the weight is on positives and half on negatives from "
        "near concepts",
    ),
    MetricInfo(
        "selectivity",
        "token_accuracy less control_accuracy (Hewitt and Liang 2019), over the store's concepts",
        unit="difference of shares",
    ),
    MetricInfo(
        "token_accuracy", "accuracy of probes of the store's concepts on new tokens of words that they were fitted to"
    ),
    MetricInfo(
        "control_accuracy",
        "accuracy of probes on new tokens of words that they were fitted to, with labels drawn at random by word: what "
        "probes reach by remembering words",
        higher_is_better=None,
    ),
    MetricInfo(
        "label_correlation",
        "Spearman's correlation of a label's closeness to the concept's unseen words with the AUROC of the concept's "
        "probe, at the layer of the headline",
        unit="correlation",
        by_encoder=True,
    ),
)
"""Metrics in the order in which they are shown."""
