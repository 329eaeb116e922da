"""Replies that hold no answer: refusals, and those that say that there is none."""

from __future__ import annotations

import re
from typing import Final

_NOT: Final = r"(?:can\s?not|can(?:['’])?t|could\s?n(?:o|['’])t|wo(?:n['’]t)|will not|(?:am|['’]m) (?:not able|unable))"
_SPEAKS_OF_ITSELF: Final = re.compile(
    rf"\b(?:i\s?['’]?\s?m (?:so |very |truly )?sorry|i am (?:so |very )?sorry|i apologi[sz]e|"
    rf"as an ai\b|as an? (?:large )?(?:ai )?language model|i {_NOT}\b|i['’]m (?:unable|not able)\b|"
    rf"i must (?:respectfully )?decline|i (?:have|['’]ve) to decline|i(?:['’]d| would) (?:rather|prefer) not\b|"
    rf"i (?:do not|don['’]t) feel comfortable|i am not comfortable|i['’]m not comfortable)",
    re.IGNORECASE,
)
# Without "I" only as a sentence, since people unable to help may be what words are about.
_BARE: Final = re.compile(
    r"(?:^|[.!?:,]\s{0,3})\W{0,3}(?:(?:unfortunately|sorry|apologies|"
    r"my apologies)\W{1,3}(?:but )?)?(?:we |this request )?"
    r"(?:can(?:no|['’])?t|can not|unable to|not able to|won['’]t) (?:be )?(?:help|assist|comply|provide|label|fulfil)",
    re.IGNORECASE,
)
_OTHER_LANGUAGES: Final = re.compile(
    r"\W{0,3}(?:es tut mir (?:sehr )?leid,|tut mir leid, (?:aber )?ich|ich kann (?:dir |ihnen )?(?:dabei|"
    r"das|hier|leider)|"
    r"(?:je suis )?désolée?, (?:mais )?je|je ne peux pas|lo siento, (?:pero )?no|no puedo (?:ayudar|"
    r"cumplir|hacer|proporcionar)|"
    r"(?:很?抱歉|对不起|不好意思)[,，]|我(?:无法|不能)(?:提供|协助|帮助|回答|满足)|作为(?:一个|一名)?(?:ai|人工智能))",
    re.IGNORECASE,
)
# "Phrases such as I'm sorry" quote what a refusal says.
_QUOTING: Final = re.compile(
    r"\b(?:such as|like|including|e\.g\.|for example|(?:word|phrase|form|contraction|expression)s?(?: of)?)\W*$",
    re.IGNORECASE,
)

_WHAT: Final = (
    r"(?:label|theme|topic|pattern|concept|category|connection|link|relation(?:ship)?|meaning|answer|feature|thread)s?"
)
_NOTHING: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:none|n/?a|n\.a\.|null|nil|nan|undefined|unknown|unclear|undetermined|not (?:sure|applicable|known|"
        r"clear|available)|nothing|no idea|unlabell?ed|tbd|\?+|keine?|keine ahnung|aucune?|ninguna?|inconnue?|"
        r"unbekannt|desconocido|无|没有|未知|不知道|不清楚)",
        rf"(?:there (?:is|are|seems to be|appears to be) |i (?:see|find) )?(?:no|not (?:a|an|"
        rf"any)) (?:[\w-]+ ){{0,4}}{_WHAT}\b.*",
        r"(?:there (?:is|seems to be) )?(?:nothing|little) in common\b.*",
        r"none of (?:the|these|those) .*",
        r"(?:the|these|those|they)\b(?: \w+){0,3} (?:do not|don['’]t|does not|doesn['’]t) (?:seem to |appear to )?"
        r"(?:share|have|form|belong|relate)\b.*",
        r"(?:i|we) (?:do not|don['’]t|did not|didn['’]t) (?:know|see|have|understand|find|think)\b.*",
        r"(?:i am|i['’]m) (?:not|un)\s?(?:sure|certain|clear)\b.*",
        r"(?:cannot|can['’]t|could not) (?:be )?(?:determined?|tell|say|identif\w+)\b.*",
        r"(?:it is |it['’]s )?(?:hard|difficult|impossible|unclear|not clear|not possible) (?:to (?:say|tell|"
        r"determine|identify)|"
        r"what)\b.*",
        r"(?:insufficient|not enough) (?:information|context|data|words)\b.*",
        r"more (?:information|context) (?:is |would be )?(?:needed|required)\b.*",
        r"(?:i|we) (?:would |will )?need (?:more|some|the|to)\b.*",
        r"(?:please|could you|can you|would you) (?:please )?(?:provide|share|give|list|clarify|repeat|"
        r"specify|tell)\b.*",
        r"the words? (?:is|are|was|were) (?:missing|not (?:given|provided))",
        # Thinking that no mark tells from an answer.
        r"(?:okay|ok|alright|hmm+)\W{1,3}(?:so|let me|let['’]s|the user|we|first)\b.*",
        r"(?:let me|let['’]s|let us) (?:think|see|look|analy[sz]e|start|consider|try|break|find)\b.*",
        r"(?:we|i) (?:should|must|have to|are given|are asked)\b.*",
        r"the user (?:wants|asks|is asking|has given|gave|provided)\b.*",
    )
)


def is_refusal(text: str) -> bool:
    """Tell whether a text refuses to answer, and does not only name words of refusal.

    Examples
    --------
    >>> is_refusal("I’m sorry, but I can’t help with that."), is_refusal("apologies and refusals")
    (True, False)
    """
    if _BARE.search(text) or _OTHER_LANGUAGES.match(text):
        return True
    match = _SPEAKS_OF_ITSELF.search(text)
    return match is not None and not _QUOTING.search(text[max(0, match.start() - 40) : match.start()])


def says_nothing(text: str) -> bool:
    """Tell whether a text says that there is no answer, or holds no letter and no digit.

    Examples
    --------
    >>> says_nothing("N/A"), says_nothing("There is no common theme."), says_nothing("unknown quantities")
    (True, True, False)
    """
    core = text.strip(" \t\n.…!-–—\"'`*_()[]“”‘’。")
    if not any(character.isalnum() for character in core):
        return True
    return len(core) <= 400 and any(pattern.fullmatch(core) for pattern in _NOTHING)
