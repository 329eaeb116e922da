"""What each metric of the probing task means, in the words of reports."""

from __future__ import annotations

from typing import Final

MAIN: Final = "auroc"

METRICS: Final = {
    "auroc": "AUROC of probes of gold concepts on words they were not fitted to, in another corpus: test concepts, at "
    "the layer that is best on dev concepts",
    "accuracy": "the same probes' accuracy, as many negatives as positives",
    "accuracy_hard": "the same, half positives and half negatives from near concepts",
    "auroc_dev": "AUROC of probes of the gold lexicon's dev concepts at that layer, which was chosen by it",
    "store_auroc": "AUROC of probes of the store's concepts, over all layers; read it beside null_auroc",
    "null_auroc": "the same for clusters of permuted vectors, which mean nothing",
    "store_auroc_gain": "store_auroc less null_auroc",
    "store_accuracy": "accuracy of probes of the store's concepts, on words they were not fitted to",
    "null_accuracy": "the same for clusters of permuted vectors",
    "store_gain": "store_accuracy less null_accuracy",
    "store_accuracy_hard": "accuracy of probes of the store's concepts against near concepts",
    "selectivity": "token_accuracy less control_accuracy (Hewitt and Liang 2019), of the store's concepts",
    "token_accuracy": "accuracy on new tokens of words that the probes were fitted to",
    "control_accuracy": "the same with labels drawn by word: what probes get by remembering words",
    "label_correlation": "Spearman's correlation of a label's closeness to the concept's unseen words with its probe's "
    "AUROC, at the layer of the headline",
}
"""Metrics in the order in which reports show them."""
