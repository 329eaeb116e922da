"""Untrusted texts: what they may contain, and how they are quoted in messages."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST_TEXT: Final = 20_000

_MARKUP = re.compile(r"<[A-Za-z/!?]|\b(?:java|vb)script:\S|\bdata:\w+/\w", re.IGNORECASE)
_FORMULA = re.compile(r"\s*(?:[=@]\s*[^\s=]|\+[\w(]|-[\d(]|[+-].*[|!])")
_INVISIBLE = "\u200b\ufeff\u00ad"


def fault_of_text(text: str, longest: int = LONGEST_TEXT) -> str:
    """Say what is wrong with a text that a submitter wrote; an empty text if nothing is."""
    if len(text) > longest:
        return f"has {len(text):,} characters, more than {longest:,}"
    if not text.isprintable() and any(_unprintable(character) for character in text):
        return "has a control character, or one that hides or turns around text"
    if _MARKUP.search(text):
        return f"holds markup or script ({shown(text)})"
    if _FORMULA.match(text):
        return f"starts like a formula of a spreadsheet ({shown(text)})"
    return ""


def shown(text: str, longest: int = 60) -> str:
    """Quote an untrusted text for a message, on one line, in ASCII."""
    return ascii(text if len(text) <= longest else text[:longest] + "...")


def _unprintable(character: str) -> bool:
    if character in "\n\t" or " " <= character <= "~":
        return False
    # Joiners are part of words in Persian, Hindi and others; Cf also has the marks that turn text around.
    if character in "\u200c\u200d":
        return False
    return character in _INVISIBLE or unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
