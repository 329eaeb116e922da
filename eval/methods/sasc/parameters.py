"""SASC's parameters, by default those of the paper, apart from the method, which takes longer to import."""

from __future__ import annotations

from typing import Final

SUMMARIES: Final = 5
"""Summaries that the helper is asked for, each of which is a candidate."""

CONSIDERED: Final = 50
"""Strongest n-grams that those of a summary are drawn from."""

PER_SUMMARY: Final = 30
"""N-grams that the helper is shown for a summary."""

STRINGS: Final = 10
"""Strings that fit a candidate, and as many that do not, that it is tested on."""

FEWEST_STRINGS: Final = 2
"""Strings of either sort that a candidate needs to get a score."""
