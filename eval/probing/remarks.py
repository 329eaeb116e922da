"""What the command line prints below a result of the probing task."""

from __future__ import annotations

from collections.abc import Mapping

from conceptbench.eval.task import Provenance


def skipped_concepts(provenance: Provenance) -> list[str]:
    """Say of each score how many concepts were probed, and how many were not and why.

    Examples
    --------
    >>> skipped_concepts({"skipped": {"store": {"probed": 44, "too few word types": 6}}})
    ['store: 44 probed; skipped: 6 too few word types']
    """
    return [f"{score}: {_counted(counts)}" for score, counts in provenance["skipped"].items()]


def _counted(counts: Mapping[str, int]) -> str:
    skipped = [f"{count:,} {reason}" for reason, count in counts.items() if reason != "probed" and count]
    return f"{counts['probed']:,} probed" + (f"; skipped: {', '.join(skipped)}" if skipped else "")
