"""What each metric of the quality task means, in the words of reports."""

from __future__ import annotations

from typing import Final

MAIN: Final = "alignment"

METRICS: Final = {
    "alignment": "clusters of whose tokens at least the threshold's share belong to one gold concept",
    "alignment_null": "the same with the lexicon's words exchanged among each other, over the shuffles",
    "alignment_gain": "alignment less its null, cluster by cluster",
    "alignment_known": "the same of tokens whose word the lexicon has, over clusters with at least 3 such word types",
    "alignment_known_null": "the same with the words exchanged",
    "alignment_known_gain": "alignment_known less its null, cluster by cluster",
    "coverage": "gold concepts with at least 3 word types in the layer to which some cluster is aligned",
    "coverage_null": "the same with the words exchanged",
    "coverage_gain": "coverage less its null, concept by concept",
    "purity": "share of a cluster's tokens that belong to its best gold concept, mean over clusters",
    "purity_null": "the same with the words exchanged",
    "ami": "adjusted mutual information between clusters and gold concepts over word types, mean over kinds and layers",
}
"""Metrics in the order in which reports show them."""
