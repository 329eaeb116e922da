"""Names in a submission: none may be taken for code, for a formula, or for another name."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from conceptbench.runtime.texts import fault_of_text, shown

LONGEST_NAME: Final = 100

_FOLDER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/@+()\[\],'=-]*")
_SPELLED_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s"})


def folder_of(system: str, variant: str = "") -> str:
    """Name the folder of a system's submissions: characters outside `[A-Za-z0-9._]` become `--`.

    Entries of one system that differ in something, such as the prompt, have a folder for each `variant`.

    Examples
    --------
    >>> folder_of("openai:gpt-4o-mini", "few shot")
    'openai--gpt--4o--mini--few--shot'
    """
    entry = f"{system} {variant}" if variant else system
    return re.sub(r"[^A-Za-z0-9._]+", "--", entry).strip("-.")[:LONGEST_NAME]


def fault_of_folder(name: str) -> str:
    """Say what is wrong with the name of a folder; nothing if all is well."""
    if _FOLDER.fullmatch(name) and ".." not in name:
        return ""
    return "may hold only letters, digits, dots, dashes and underscores, and neither start nor end with one of these"


def fault_of_name(text: str) -> str:
    """Say what is wrong with a name (of a system, a rater, a prompt); nothing if all is well.

    Only ASCII is accepted, so that no name can look like another one in other letters.
    """
    if not text or len(text) > LONGEST_NAME:
        return f"must have 1 to {LONGEST_NAME} characters"
    if not text.isascii():
        return f"has a character that is not ASCII ({shown(text)}); names that look alike are refused"
    if not _NAME.fullmatch(text):
        return f"must start with a letter or digit and hold no markup ({shown(text)})"
    return fault_of_text(text)


def skeleton(name: str) -> str:
    """Reduce a name to what it has in common with the names that are easily mistaken for it.

    Examples
    --------
    >>> skeleton("5ystem_1") == skeleton("System l")
    True
    """
    letters = re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKC", name).casefold())
    return letters.translate(_SPELLED_ALIKE).replace("rn", "m").replace("vv", "w")
