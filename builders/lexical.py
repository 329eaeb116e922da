"""The baseline annotator: a label from the form of the words, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_SHARE = 0.8
_SHOWN = 3
_LONGEST = 25
_CLASSES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("numbers", lambda word: any(c.isdigit() for c in word) and not any(c.isalpha() for c in word)),
    ("punctuation", lambda word: not any(c.isalnum() for c in word)),
    ("words with digits", lambda word: any(c.isdigit() for c in word)),
    ("words in capital letters", lambda word: len(word) > 1 and word.isupper()),
    ("hyphenated words", lambda word: "-" in word.strip("-")),
)


def lexical_label(words: Sequence[tuple[str, int]]) -> str:
    """Name words by the form that at least 80 % of them share, else by the most frequent ones.

    Tried in order: one word in all its spellings; a class of characters; a common suffix or prefix of at
    least three letters (two, where every word has it); a capital first letter; the three most
    frequent words.

    Parameters
    ----------
    words : (word, count), most frequent first; at least one.
    """
    types = [word[:_LONGEST] for word, _ in words]
    folded = {word.casefold() for word in types}
    if len(folded) == 1:
        return f'the word "{types[0]}"'
    for label, test in _CLASSES:
        if _share(types, test) >= _SHARE:
            return label
    affix = _common_affix(sorted(folded))
    if affix is not None:
        return affix
    spelt = [word for word in types if any(c.isalnum() for c in word)]
    examples = ", ".join(spelt[:_SHOWN])
    if _share(types, lambda word: word[:1].isupper()) >= _SHARE:
        return f"capitalised words such as {examples}"
    return examples


def _share(words: Sequence[str], test: Callable[[str], bool]) -> float:
    return sum(map(test, words)) / len(words)


def _common_affix(words: Sequence[str]) -> str | None:
    """Name the longest ending, or else beginning, that enough of at least three words share."""
    if len(words) < 3:
        return None
    for length in range(6, 1, -1):
        needed = _SHARE if length > 2 else 1.0
        long_enough = [word for word in words if len(word) > length]
        for form, cut in (("ending in -{}", slice(-length, None)), ("starting with {}-", slice(0, length))):
            affixes = [word[cut] for word in long_enough]
            best = max(sorted(set(affixes)), key=affixes.count, default=None)
            if best is not None and best.isalpha() and affixes.count(best) / len(words) >= needed:
                return "words " + form.format(best)
    return None
