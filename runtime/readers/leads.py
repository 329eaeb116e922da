"""What is said before an answer and after it: "Sure! Here is a label for the words:", "These words are ..."."""

from __future__ import annotations

import re
from typing import Final

from conceptbench.runtime.readers.wrapping import (
    leading_quote,
    without_bold,
    without_bullet,
    without_formula,
    without_quotes,
)

NOUN: Final = (
    r"(?:label|name|category|concept|theme|topic|title|tag|description|summary|answer|explanation|characteristic|"
    r"feature|thread|property)s?"
)
_ADJECTIVE: Final = (
    r"(?:best|better|suggested|possible|short|brief|concise|suitable|good|fitting|appropriate|common|shared|general|"
    r"overall|main|final|likely|probable|single|simple|precise|proposed|recommended|potential|reasonable|semantic|"
    r"concept|group|category|my|underlying|key|correct|most|more|very|one|accurate|descriptive|two-word|one-word|clear)"
)
_IS: Final = r"(?:is|are|was|would be|could be|might be|may be|can be|should be|will be|seems to be|appears to be)"
# What may follow such a noun before the answer: "for these words", "that best describes them", "or the kind of thing".
_OF: Final = (
    r"(?:\s(?:for|that|which|of|to|in|among|between|behind|connecting|linking|shared|describing|or|here|given|based|"
    r"these|they|i|the words)\b[^.,:!?\n\"“*]{0,120}?)?"
)
_HEDGE: Final = (
    r"(?:\s(?:likely|probably|most likely|perhaps|simply|as follows|that they (?:are|all are|all relate to|refer to)))?"
)
_LEADS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Sure! Certainly, here ...
        r"(?:sure(?: thing)?|certainly|of course|absolutely|definitely|okay|ok|great(?: question)?|alright|no problem|"
        r"got it|understood|gladly|with pleasure|happy to help|natürlich|gerne?|klar|selbstverständlich|bien sûr|"
        r"certainement|d['’]accord|¡?claro(?: que sí)?|¡?por supuesto|当然(?:可以)?|好的)"
        r"(?:\s?[!！:：.。]+\s*|[,，]\s*(?=(?:here|the|a|an|one|my|based|looking|given|i|i['’]d|this|hier|das|"
        r"voici|aquí|这|以下|标签)"
        r"(?![\w]*,)(?:\b|[\u4e00-\u9fff]))|\s+(?=here\b)|$)",
        # Here is a short label for the words:
        r"(?:here(?:['’]s| is| are)|below (?:is|are)|hier (?:ist|sind)|voici|aquí (?:está|tienes|están)|este es)\b"
        r"[^:：\n]{0,150}(?:[:：]\s*|$)",
        r"以下是[^:：\n]{0,150}(?:[:：]\s*|$)",
        rf"here(?:['’]s| is)\s(?:a|the|my|one)\s(?:{_ADJECTIVE},?\s){{0,4}}{NOUN}{_OF}\s(?=[\"“*`'])",
        # Label: X, label = X, Answer -> X
        rf"(?:(?:the|my|your)\s)?(?:{_ADJECTIVE}\s){{0,3}}(?:label|concept|answer|category|name|theme|topic)"
        r"(?:\s(?:for (?:the|these|this)[\w ]{0,40}|is))?\s?(?:[:：=]|[-=]+>|→)\s*",
        r"(?:(?:das|die|der|mein|le|la|l['’]|el|una?)\s?)?(?:bezeichnung|kategorie|thema|antwort|etikett|"
        r"étiquette|catégorie|"
        r"thème|réponse|libellé|etiqueta|categoría|tema|respuesta|标签|答案|类别|主题|概念|名称)"
        r"(?:\s(?:lautet|ist|wäre|est|serait|es|sería)|是)?\s?(?:[:：=→]|[-=]+>)\s*",
        r"(?:das label|die bezeichnung|le label|l['’]étiquette|la etiqueta) (?:lautet|wäre|ist|est|serait|es|"
        r"sería)\s?:?\s+",
        r"(?:这组词|这些词(?:语|汇)?)的?(?:共同)?(?:标签|主题|类别|特点)[:：是为]+\s*",
        # Based on the given words, a suitable label is
        r"(?:based on|looking at|given|considering|judging by|judging from|after (?:reviewing|looking at)|"
        r"from)\b[^\n:]{0,200}?"
        r"[,:]\s+(?=(?:the|a|an|one|my|here|i|i['’]d|i['’]ll|it|they|these|this|you)\b)",
    )
)
# Sentences whose end is the answer: what follows them is not searched for another lead-in.
_SENTENCES: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # The common theme among these words is
        rf"(?:the|a|an|one|my|your|this|their)\s(?:{_ADJECTIVE},?\s){{0,4}}{NOUN}{_OF}\s{_IS}\b{_HEDGE}\s?:?\s+",
        rf"what (?:they|these|the)\b[^.:!?\n\"]{{0,60}}? (?:have in common|share) {_IS}\b{_HEDGE}\s?:?\s+",
        # I would label this group as, These can be labelled as, You could call them
        r"(?:i|you|we)(?:['’]d|['’]ll|\swould|\swill|\scould|\scan|\smight)?\s(?:label|call|name|describe|tag|"
        r"categori[sz]e|title|"
        r"suggest|propose|choose|recommend|go with)\b"
        r"(?:\s(?:it|them|this|these|the|that|such)\b(?:\s(?!as\b)[\w-]+){0,5}?)?"
        r"(?:\s(?:as|the label|a label|with))?\s?(?::\s*|\s+(?=[\"“*`'])|(?<=as)\s+)",
        r"(?:these|they|the|this|it)\b(?:\s[\w-]+){0,3}?\s(?:can|could|may|might|should) (?:all )?be (?:best )?"
        r"(?:label|describ|categori[sz]|summari[sz]|call|nam|classifi|group)\w*(?: (?:together |under |"
        r"with )?as)?\s?:?\s+",
        r"(?:it is|it['’]s|i think (?:it is|it['’]s|the label is)|this is|that would be)\s?:?\s+(?=[\"“*])",
    )
)
# A line that ends in a colon and speaks of the words or of the label.
_LEADS_ALONE: Final = re.compile(
    r"(?:the|an?|here|you|these|this|words?|list|based|given|my|i|we|one|following|for|after|below)\b"
    r"(?=(?:[^:\n]{0,300}\b)?(?:labels?|words?|following|list|answers?|names?|category|theme|follows|"
    r"here)\b)[^:\n]{0,300}:\W*|words?\s?:",
    re.IGNORECASE,
)
_HEADING: Final = re.compile(
    rf"(?:(?:the|my)\s)?(?:{_ADJECTIVE}\s){{0,3}}(?:label|concept|answer|category|name|theme|topic|title|output|result|"
    r"response|json|yaml|text)s?\W*",
    re.IGNORECASE,
)

_EXPLAINS: Final = (
    r"(?:(?:these|the|those|all|most|both|each of the|many of the)(?: (?:of )?(?:these|the|given|listed))?"
    r"(?: [\w-]+)? (?:words|terms|items|tokens|names|phrases|examples|list|group|label|common|set)|"
    r"(?:these|they|it|this|all|each|most|both) (?:all |each |both )?(?:are|is|refer|refers|relate|share|"
    r"have|describe|belong|label|"
    r"words|of)|explanation|reasoning|note|rationale|reason|justification|because|since they|since all|"
    r"i (?:chose|hope|think)|"
    r"let me know|here|as they|as all|as these|words (?:that|such|like))\b"
)
_AFTER: Final = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        # X. These words are ...
        (rf"(?<=[\w)\"”'])[.!]\s+(?={_EXPLAINS})", re.IGNORECASE),
        (rf"\s?(?:[-–—:;]|--)\s+(?={_EXPLAINS})", re.IGNORECASE),
        (rf"\s\((?=(?:{_EXPLAINS}|as |i\.e\.|e\.g\. these))", re.IGNORECASE),
        (
            r",?\s(?:because (?:the|these|they|all|it|each|most)|(?:since|as) (?:they|these words|all of))\b",
            re.IGNORECASE,
        ),
        (r",\s(?:because|since|as) (?:the|these|they|all|it|each|most)\b", re.IGNORECASE),
    )
)
_ENDS: Final = re.compile(
    r"\s*(?:$|[.,;:!]+(?:\s|$)|[-–—(]|(?:because|since|as|which|and is|for|would|is|are|describes|fits)\b)"
)


def without_lead(line: str) -> str:
    """Take off what is said before an answer; nothing is left of a line that is a lead-in alone.

    Examples
    --------
    >>> without_lead("Sure! The common theme of these words is birds")
    'birds'
    >>> without_lead("Here is a short label for the words:")
    ''
    """
    line = line.strip()
    if _LEADS_ALONE.fullmatch(line):
        return ""
    for _ in range(6):
        match = next((match for lead in _LEADS if (match := lead.match(line)) and match.end()), None)
        if match is None:
            break
        line = without_bullet(line[match.end() :])
    match = next((match for sentence in _SENTENCES if (match := sentence.match(line))), None)
    return line if match is None else without_bullet(line[match.end() :])


def is_heading(line: str) -> bool:
    """Tell whether a line is the title of what follows ("**Label**"), and no answer.

    Examples
    --------
    >>> is_heading("## Final answer"), is_heading("names of birds")
    (True, False)
    """
    return _HEADING.fullmatch(without_quotes(without_bold(without_bullet(line)))) is not None


def without_explanation(line: str) -> str:
    """Take off what is said after an answer, to explain it.

    Examples
    --------
    >>> without_explanation("Birds. These words are names of animals.")
    'Birds'
    >>> without_explanation("**Birds** – animals that fly")
    'Birds'
    """
    quoted = leading_quote(line)
    if quoted is not None:
        inner, rest = quoted
        quote = line[0]
        if quote not in rest.strip() and inner and not is_heading(inner) and _ENDS.match(rest):
            return inner
    starts = [match.start() for pattern in _AFTER if (match := pattern.search(line, 1))]
    return line[: min(starts)].strip() if starts else line


def answer_in(line: str) -> str:
    """Give the answer in a line, without its wrapping and what is said before and after it.

    Examples
    --------
    >>> answer_in('- **Label:** "names of birds" (because they fly).')
    'names of birds'
    """
    line = without_formula(without_bullet(line))
    for _ in range(2):
        line = without_explanation(line)
        bare = without_lead(without_quotes_before_colon(without_bold(line)))
        if bare == line:
            break
        line = bare
    return " ".join(without_quotes(without_formula(without_explanation(line)).removesuffix(".")).split())


def without_quotes_before_colon(line: str) -> str:
    """Take emphasis off a lead-in that closes before or after its colon: `*Label*: birds`, `_Label:_ birds`.

    Examples
    --------
    >>> without_quotes_before_colon("*Label*: birds")
    'Label: birds'
    """
    return re.sub(r"^([*_`\"'])([\w ]{1,30})(?:(:)\1|\1(\s*[:=]))", r"\2\3\4", line) if line[:1] in "*_`\"'" else line
