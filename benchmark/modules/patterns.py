"""Properties of form that modules respond to, with hand-written answers; `{x}` is drawn by seed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from conceptbench.benchmark.modules.answers import Answer, Part
from conceptbench.benchmark.modules.responses import CountModule, FormModule

_QUOTES = r"[\"'‘’“”`]*"


@dataclass(frozen=True)
class Template:
    """A property, or one for each of some parameters.

    `form` is the regular expression that the module searches for, in each word (`FormModule`) or in the text
    (`CountModule`), `accept` the one that is searched for in an explanation.
    """

    slug: str
    name: str
    aliases: tuple[str, ...]
    accept: str
    form: str
    module: Callable[[re.Pattern[str]], FormModule | CountModule] = FormModule
    parameters: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Pattern:
    """A property of form: the module that responds to it, and its answer."""

    id: str
    module: FormModule | CountModule
    answer: Answer


TEMPLATES: Final = (
    Template(
        "suffix",
        "words ending in -{x}",
        ("the suffix -{x}", "words that end with the letters '{x}'"),
        rf"(?<!\w)[-–]{{x}}\b|\b(end|finish|terminat)\w*( \w+){{0,4}}? {_QUOTES}[-–]?{{x}}\b"
        rf"|\bsuffix\w*( \w+){{0,2}} {_QUOTES}[-–]?{{x}}\b|\b{{x}}{_QUOTES} (suffix|ending)",
        r"(?i)\w{x}$",
        parameters=("ness", "ment", "tion", "ful", "less", "able", "ous", "ism", "ship", "hood"),
    ),
    Template(
        "prefix",
        "words starting with {x}-",
        ("the prefix {x}-", "words that begin with the letters '{x}'"),
        rf"(?<![\w-]){{x}}[-–](?!\w)|\b(start|begin)\w*( \w+){{0,4}}? {_QUOTES}{{x}}\b"
        rf"|\bprefix\w*( \w+){{0,2}} {_QUOTES}{{x}}\b|\b{{x}}{_QUOTES} prefix",
        r"(?i)^{x}-?\w",
        parameters=("un", "re", "dis", "pre", "anti", "over", "mis", "inter", "sub", "non", "super"),
    ),
    Template(
        "initial",
        "words starting with the letter {x}",
        ("words beginning with '{x}'", "{x} as the first letter"),
        rf"\b(start|begin)\w*( \w+){{0,4}}? {_QUOTES}{{x}}\b|\b{{x}}{_QUOTES}( \w+){{0,2}} (first|initial)\b"
        rf"|\b(first|initial)( \w+){{0,3}} {_QUOTES}{{x}}\b|\b{{x}}{_QUOTES}[- ](words?|initial)\b",
        "(?i)^{x}",
        parameters=("k", "v", "w", "g", "y"),
    ),
    Template(
        "final",
        "words ending with the letter {x}",
        ("words that end in '{x}'", "{x} as the last letter"),
        rf"\b(end|finish|terminat)\w*( \w+){{0,4}}? {_QUOTES}{{x}}\b|\b(last|final)( \w+){{0,3}} {_QUOTES}{{x}}\b"
        rf"|\b{{x}}{_QUOTES}( \w+){{0,2}} (last|final)\b",
        "(?i){x}$",
        parameters=("e", "n", "r", "t", "y"),
    ),
    Template(
        "letter",
        "words with the letter {x}",
        ("words containing '{x}'", "words spelled with {x}"),
        r"^(?!.*\b(start|begin|end|first|initial|last|final)).*"
        rf"(\bletters? {_QUOTES}{{x}}\b|\b(contain|includ|hav|with|spel|us)\w*( \w+){{0,3}}? {_QUOTES}{{x}}\b)",
        "(?i){x}",
        parameters=("x", "z", "j", "q"),
    ),
    Template(
        "vowel",
        "words starting with a vowel",
        ("words beginning with a, e, i, o or u", "vowel-initial words", "a vowel as the first letter"),
        r"\b(start|begin|initial|first)\w*( \w+){0,4}? vowels?\b|\bvowels?[- ]initial\b|\bvowels?( \w+){0,3} first\b"
        r"|\b(start|begin)\w* (with|in|by)( \w+){0,2}? a, ?e, ?i\b",
        "(?i)^[aeiou]",
    ),
    Template(
        "double-letter",
        "words with a double letter",
        ("words with doubled letters", "words containing the same letter twice in a row"),
        r"\b(doubled?|repeat\w*|geminate\w*|twin|consecutive)( \w+){0,2}? (letters?|consonants?|vowels?|characters?)\b"
        r"|\b(same|identical|equal) (letters?|characters?)\b|\bletters?( \w+){0,2} (doubled|repeated|twice)\b",
        r"(?i)([^\W\d_])\1",
    ),
    Template(
        "hyphen",
        "hyphenated words",
        ("words with a hyphen", "compounds joined by hyphens"),
        r"\bhyphen|\bdash(es|ed)?\b",
        r"\w-\w",
    ),
    Template(
        "apostrophe",
        "words with an apostrophe",
        ("apostrophes", "contractions with apostrophes"),
        r"\bapostroph|\bcontractions?\b",
        r"\w['’]\w",
    ),
    Template(
        "accent",
        "words with accented letters",
        ("words with diacritics", "letters with accent marks"),
        r"\bdiacrit|\baccent(s|ed)\b|\baccent[- ](mark|sign)|\bumlaut|\bnon-(ascii|english) (letter|character)",
        r"[^\W\d_a-zA-Z]",
    ),
    Template(
        "digits",
        "numbers in digits",
        ("digits", "words that contain digits", "numerals"),
        r"\bdigits?\b|\bnumerals?\b|\bnumbers?\b(?! of)|\bnumeric(al)?\b|\bfigures in\b",
        r"\d",
    ),
    Template(
        "capitals",
        "words in all capitals",
        ("all-caps words", "uppercase words", "words written entirely in capital letters"),
        r"\ball[- ]?cap(s|itals?)\b|\bupper[- ]?case\b(?! (first|initial))|\bblock (capitals|letters)\b"
        r"|\b(in|all|only|entirely|fully) capital(s| letters|i[sz]ed)\b|\b(acronyms|initialisms)\b",
        "^[A-Z]{2,}$",
    ),
    Template(
        "title-case",
        "words with an initial capital",
        ("capitalised words", "title case", "words starting with a capital letter"),
        r"\binitial(ly)? (capital|upper)|(?<!fully )(?<!entirely )\bcapitali[sz]ed\b|\btitle[- ]?case"
        r"|\b(start|begin)\w* with (an? )?(capital|upper)|\bfirst letters?( \w+)? (capital|upper)"
        r"|\b(capital|upper[- ]?case) (first|initials?)\b|\bproper (nouns?|names?)\b",
        r"^[A-Z][a-z]",
    ),
    Template(
        "length",
        "many characters",
        ("long texts", "text length", "the number of characters", "long words and phrases"),
        r"\b(long|longer|longest|lengthy),?( \w+)? (texts?|sentences?|strings?|words?|phrases?|passages?|n-?grams?)\b"
        r"|\b(text|sentence|string|phrase|word|character) (length|count)\b"
        r"|\blength (of|in)( \w+)? (the )?(text|char|str)|\b(number of|many) (characters|letters|words)\b",
        r"(?s).",
        CountModule,
    ),
    Template(
        "punctuation",
        "punctuation marks",
        ("punctuation", "commas, full stops and other punctuation"),
        r"\bpunctuat|\bcommas\b",
        r"[^\w\s]",
        CountModule,
    ),
    Template(
        "question",
        "question marks",
        ("questions", "texts that ask a question"),
        r"\bquestion|\binterrogative|\bask(s|ing)?\b",
        r"\?",
        CountModule,
    ),
)


def patterns_of(template: Template) -> list[Pattern]:
    """Make the patterns of a template, one for each of its parameters."""
    return [_pattern(template, parameter) for parameter in template.parameters]


def _pattern(template: Template, parameter: str) -> Pattern:
    def fill(text: str) -> str:
        return text.replace("{x}", parameter)

    name = fill(template.name)
    answer = Answer(
        name, tuple(map(fill, template.aliases)), f"texts with {name}", (Part(name, fill(template.accept)),)
    )
    return Pattern(
        "-".join(filter(None, (template.slug, parameter))), template.module(re.compile(fill(template.form))), answer
    )
