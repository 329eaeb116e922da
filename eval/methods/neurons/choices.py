"""The choices that the methods on neurons have, and their defaults; nothing heavy is imported for them."""

from __future__ import annotations

from typing import Final, Literal

Method = Literal["probeless", "weights", "average_precision"]
"""The rankings of neurons, see `ranking.rank_neurons`."""

Scaling = Literal["raw", "zscored"]
"""Neurons as they are, or each divided by its standard deviation over the tokens."""

Mode = Literal["zero", "mean", "keep"]
"""What is done to the first k neurons of an order: they are set to 0, they are set to their mean, or they alone are
kept while all others are set to their mean."""

Order = Literal["top", "bottom", "random"]
"""The order in which neurons are changed: as ranked, the ranking from its end, or at random."""

FRACTION: Final = 0.1
"""The share of the neurons that count as top."""

CURVE: Final = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
"""The shares of top neurons at which alignments are given."""

CONTROLS: Final = 99
"""Unrelated concepts that a pair is compared with."""

LEVEL: Final = 0.05
"""A p-value of at most this is significant."""

DRAWS: Final = 5
"""Random orders of neurons over which an ablation is averaged."""

GRID: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
"""The shares of the neurons that an ablation changes, or keeps."""

RESAMPLES: Final = 20
"""Resamples of a corpus over which stability is measured."""
