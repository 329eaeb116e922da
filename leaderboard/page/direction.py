"""Characters that turn the direction of text."""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def undirected(text: str) -> str:
    """Replace the characters that turn text around; where one is left open, the rest of the page is turned too."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)
