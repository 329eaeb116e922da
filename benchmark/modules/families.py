"""Families of modules, drawn by seed from the gold lexicon, so that there are always new ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count as counted
from itertools import islice
from typing import Final, TypeVar

import numpy as np

from conceptbench.benchmark.lexicon import GoldConcept, Split, lineages
from conceptbench.benchmark.modules.answers import Answer, Part, Rule
from conceptbench.benchmark.modules.known import KnownModule
from conceptbench.benchmark.modules.patterns import TEMPLATES, Pattern, patterns_of
from conceptbench.benchmark.modules.responses import (
    ComposedModule,
    ConstantModule,
    Encoder,
    FormModule,
    LexicalModule,
    NoisyModule,
    RandomModule,
    TextModule,
    module_of,
    plus_half,
    unless,
)
from conceptbench.runtime.draws import generator_of, sample
from conceptbench.runtime.errors import InputError

NOISE_LEVELS: Final = (0.5, 1.0, 2.0)
"""The noise of the modules of the noisy family, in turn.

The unit is the standard deviation of the clean module's responses to texts of the corpus.
"""

_KINDS = ("semantic", "entity")
_REFERENCE_TEXTS = 2000
_FEWEST_WORDS = 5

T = TypeVar("T", GoldConcept, Pattern)
_Drawn = tuple[str, TextModule, Answer | None]
"""The middle of a module's id, the module, and its answer."""


def draw_modules(
    lexicon: Mapping[str, GoldConcept],
    families: Sequence[str],
    count: int,
    seed: int,
    *,
    encoder: Encoder | None = None,
    split: Split | None = "test",
) -> list[KnownModule]:
    """Draw `count` modules of each family.

    A module depends neither on the other families that are drawn nor on the number of modules. Its corpus is the
    whole lexicon, both splits: each sentence, and each word as a text of its own.

    Parameters
    ----------
    families : names from `FAMILIES`.
    encoder : what embeds the texts, for the families `semantic` and `noisy`.
    split : the split of the concepts that modules respond to; None for both. Patterns have no split.

    Raises
    ------
    InputError
        if a family is unknown, needs an encoder and there is none, or has fewer than `count` modules.
    """
    unknown = [family for family in families if family not in FAMILIES]
    if unknown or not families:
        raise InputError(f"families {unknown or list(families)}: give one or more of {', '.join(FAMILIES)}")
    if count < 1:
        raise InputError(f"{count} modules of each family: give 1 or more")
    texts = texts_of(lexicon)
    modules = []
    for family in dict.fromkeys(families):
        members = list(islice(FAMILIES[family].draw(Draw(family, lexicon, texts, split, seed, encoder)), count))
        if len(members) < count:
            raise InputError(f"family {family}: it has {len(members)} modules with split {split!r}, not {count}")
        modules += [
            KnownModule(f"{family}/{slug}/{seed}", family, module, answer, lambda: texts, control=answer is None)
            for slug, module, answer in members
        ]
    return modules


def texts_of(lexicon: Mapping[str, GoldConcept]) -> tuple[str, ...]:
    """Give the corpus of modules that are drawn: the lexicon's sentences, and each word as a text of its own."""
    return tuple(dict.fromkeys(text for concept in lexicon.values() for text in (*concept.sentences, *concept.words)))


@dataclass(frozen=True)
class Draw:
    """What the modules of one family are drawn from."""

    family: str
    lexicon: Mapping[str, GoldConcept]
    texts: Sequence[str]
    split: Split | None
    seed: int
    given_encoder: Encoder | None

    @property
    def encoder(self) -> Encoder:
        """The encoder that embeds texts; an InputError where none was given."""
        if self.given_encoder is None:
            raise InputError(f"family {self.family}: its modules embed texts; give an encoder")
        return self.given_encoder

    def ranked(self, values: Sequence[T], purpose: str) -> list[T]:
        """Put values into a random order that stays the same when others are added."""
        return sorted(
            values, key=lambda value: generator_of("module", self.family, self.seed, purpose, value.id).random()
        )

    def concepts(self, purpose: str = "") -> list[GoldConcept]:
        """Give the concepts of meaning in random order, without those whose pattern does not match whole phrases."""
        fit = [
            concept
            for concept in self.lexicon.values()
            if concept.kind in _KINDS
            and self.split in {None, concept.split}
            and all(map(concept.accepts, (*concept.aliases, concept.name, f"mentions {concept.name}")))
        ]
        return self.ranked(fit, purpose)

    def patterns(self, purpose: str = "") -> list[Pattern]:
        """Give the patterns in random order: first one of each template, then a second one of those that have more."""
        rounds: dict[int, list[Pattern]] = {}
        for template in TEMPLATES:
            for number, pattern in enumerate(self.ranked(patterns_of(template), purpose)):
                rounds.setdefault(number, []).append(pattern)
        return [pattern for number in sorted(rounds) for pattern in self.ranked(rounds[number], purpose)]

    def answer(self, concept: GoldConcept, verb: str) -> Answer:
        """Give the answer of a module that responds to a concept."""
        part = Part(concept.name, concept.accept, concept.id, self._kin(concept))
        return Answer(concept.name, concept.aliases, f"{verb} {concept.name}", (part,))

    def _kin(self, concept: GoldConcept) -> tuple[str, ...]:
        """Give the ids of a concept, its ancestors, descendants and siblings."""
        line = lineages(self.lexicon)[concept.id]
        return tuple(
            relative.id
            for relative in self.lexicon.values()
            if relative.id in line or (relative.parent is not None and relative.parent == concept.parent)
        )


def _slug(concept: GoldConcept) -> str:
    return concept.id.replace("/", "-")


def _listed(concept: GoldConcept) -> LexicalModule:
    return LexicalModule(frozenset(word.casefold() for word in concept.words))


def _lexical(draw: Draw) -> Iterator[_Drawn]:
    for concept in draw.concepts():
        yield _slug(concept), _listed(concept), draw.answer(concept, "mentions")


def _semantic(draw: Draw) -> Iterator[_Drawn]:
    for concept in draw.concepts():
        yield _slug(concept), module_of(draw.encoder, concept.name), draw.answer(concept, "is about")


def _noisy(draw: Draw) -> Iterator[_Drawn]:
    reference = draw.encoder.encode(sample(draw.texts, _REFERENCE_TEXTS, generator_of("noise reference")))
    for number, concept in enumerate(draw.concepts()):
        clean = module_of(draw.encoder, concept.name)
        level = NOISE_LEVELS[number % len(NOISE_LEVELS)]
        slug = f"{_slug(concept)}@{level:g}"
        module = NoisyModule(clean, level * float(clean.respond(reference).std()), _key(draw, slug))
        yield slug, module, draw.answer(concept, "is about")


def _pattern(draw: Draw) -> Iterator[_Drawn]:
    for pattern in draw.patterns():
        yield pattern.id, pattern.module, pattern.answer


def _constant(draw: Draw) -> Iterator[_Drawn]:
    for number in counted():
        yield str(number), ConstantModule(float(generator_of("module", "constant", draw.seed, number).normal())), None


def _random(draw: Draw) -> Iterator[_Drawn]:
    for number in counted():
        yield str(number), RandomModule(_key(draw, str(number))), None


def _key(draw: Draw, slug: str) -> bytes:
    return hashlib.blake2b(f"{draw.family}/{slug}/{draw.seed}".encode(), digest_size=16).digest()


def _crossing(draw: Draw, concept: GoldConcept) -> Iterator[tuple[str, TextModule, Answer]]:
    """Give the patterns that at least a fifth of a concept's words have and at least a fifth have not."""
    fewest = max(_FEWEST_WORDS, len(concept.words) / 5)
    for pattern in draw.patterns(concept.id):
        if isinstance(pattern.module, FormModule):
            having = int((pattern.module(concept.words) > 0).sum())
            if fewest <= having <= len(concept.words) - fewest:
                yield pattern.id, pattern.module, pattern.answer


def _strangers(draw: Draw, concept: GoldConcept) -> Iterator[tuple[str, TextModule, Answer]]:
    """Give the concepts that are not kin to a concept and share no word with it."""
    kin = draw.answer(concept, "mentions").parts[0].kin
    for stranger in draw.concepts(concept.id):
        if stranger.id not in kin and not _listed(stranger).words & _listed(concept).words:
            yield _slug(stranger), _listed(stranger), draw.answer(stranger, "mentions")


@dataclass(frozen=True)
class _Composition:
    """A way to put a concept and a second property together: in ids, in words, and in numbers."""

    slug: str
    connective: str
    rule: Rule
    combine: Callable[[np.ndarray, np.ndarray], np.ndarray]
    seconds: Callable[[Draw, GoldConcept], Iterator[tuple[str, TextModule, Answer]]]

    def draw(self, draw: Draw, concept: GoldConcept) -> _Drawn | None:
        """Compose a concept with the first property whose answer in words passes its own rule."""
        first = draw.answer(concept, "mentions")
        for slug, module, second in self.seconds(draw, concept):
            answer = Answer(
                first.name + self.connective + second.name,
                (first.aliases[0] + self.connective + second.aliases[0],),
                first.explanation + self.connective + second.name,
                (*first.parts, *second.parts),
                self.rule,
            )
            if all(map(answer.accepts, answer.wordings)):
                return (
                    f"{_slug(concept)}-{self.slug}-{slug}",
                    ComposedModule(_listed(concept), module, self.combine),
                    answer,
                )
        return None


_COMPOSITIONS = (
    _Composition("and", " and ", "all", np.minimum, _crossing),
    _Composition("or", " or ", "any", np.maximum, _strangers),
    _Composition("but-not", " but not ", "but not", unless, _crossing),
)
_POLYSEMY = _Composition("over", " and, more weakly, ", "first", plus_half, _strangers)


def _compose(draw: Draw, ways: Sequence[_Composition]) -> Iterator[_Drawn]:
    count = 0
    for concept in draw.concepts():
        composed = ways[count % len(ways)].draw(draw, concept)
        if composed is not None:
            count += 1
            yield composed


@dataclass(frozen=True)
class Family:
    """A sort of module: what it responds to, what a right explanation is, and what it is drawn from."""

    responds_to: str
    answer: str
    drawn_from: str
    draw: Callable[[Draw], Iterator[_Drawn]]


_CONCEPTS = "semantic and entity concepts of the gold lexicon"

FAMILIES: Final[Mapping[str, Family]] = {
    "lexical": Family("the share of words that are a concept's", "the concept", _CONCEPTS, _lexical),
    "semantic": Family("closeness of embeddings to a concept's name", "the concept", _CONCEPTS, _semantic),
    "pattern": Family(
        "the form of words or text", "the form", f"{len(TEMPLATES)} forms, some with parameters", _pattern
    ),
    "composed": Family(
        "a concept and, or, but not another property",
        "both; either; the first, not the second",
        f"{_CONCEPTS}, and the forms of pattern",
        lambda draw: _compose(draw, _COMPOSITIONS),
    ),
    "polysemantic": Family(
        "a concept, and half as strongly another",
        "the stronger concept",
        _CONCEPTS,
        lambda draw: _compose(draw, [_POLYSEMY]),
    ),
    "noisy": Family(
        f"as semantic, with noise of {', '.join(f'{level:g}' for level in NOISE_LEVELS)} standard deviations",
        "the concept",
        _CONCEPTS,
        _noisy,
    ),
    "constant": Family("nothing: always the same", "none", "a control", _constant),
    "random": Family("nothing: a hash of the text", "none", "a control", _random),
}
