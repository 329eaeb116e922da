"""Families of modules inside models, and of voxels: drawn by seed from a layer's words, or from a recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from conceptbench.benchmark.lexicon import GoldConcept
from conceptbench.benchmark.modules.answers import Answer
from conceptbench.benchmark.modules.families import Draw, texts_of
from conceptbench.benchmark.modules.inside import (
    Probe,
    WordVectors,
    factor_modules,
    fit_factors,
    fit_probe,
    neuron_modules,
    probe_modules,
    word_vectors,
)
from conceptbench.benchmark.modules.known import KnownModule
from conceptbench.benchmark.modules.responses import Encoder, TextModule, tokens_of
from conceptbench.benchmark.modules.voxels import Recording, fit_voxels, synthetic_subject
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import MINILM
from conceptbench.runtime.progress import Progress, Silent

if TYPE_CHECKING:
    from conceptbench.runtime.encoder import WordEncoder

FACTORS: Final = 200
"""The number of transformer factors that are learned; modules are drawn from these."""
FEWEST_ACTIVE: Final = 20
"""A factor is drawn only if it is active in at least this many different words."""
FEWEST_WORDS: Final = 10
"""A concept gets a probe only if the texts have at least this many different words of it."""
MOST_WORDS: Final = 50_000
"""Texts are read, in random order, until they have at least this many words for factors and probes to learn from."""

_HELD_OUT = 0.2


@dataclass(frozen=True)
class Inside:
    """What modules inside models are drawn from.

    Parameters
    ----------
    model : the model that gives the words' vectors, for `neuron`, `factor` and `probe`.
    layer : a layer of the model, 0 for the embeddings; by default the one at half its depth.
    texts : the texts whose words factors and probes learn from, and whose n-grams the modules of all these families
        are explained by; None for the texts of the lexicon.
    encoder : the encoder of texts, for `voxel`.
    recording : the voxels' responses; by default those of a made-up subject.
    """

    model: str = MINILM
    layer: int | None = None
    texts: Sequence[str] | None = None
    encoder: Encoder | None = None
    recording: Recording | None = None


def draw_inner_modules(
    lexicon: Mapping[str, GoldConcept],
    families: Sequence[str],
    count: int,
    seed: int,
    inside: Inside,
    *,
    progress: Progress | None = None,
) -> list[KnownModule]:
    """Draw `count` modules of each family; of a made-up subject, `count` planted voxels and as many of noise.

    Modules of one family share an encoder. The draw depends neither on the other families nor on `count`. Voxels are
    the exception: a subject's stimuli are about all its planted concepts.

    Parameters
    ----------
    families : names from `INNER_FAMILIES`.

    Raises
    ------
    InputError
        if a family is unknown, the model or the layer does not exist, or there is too little to draw from.
    """
    unknown = [family for family in families if family not in INNER_FAMILIES]
    if unknown or not families:
        raise InputError(f"families {unknown or list(families)}: give one or more of {', '.join(INNER_FAMILIES)}")
    if count < 1:
        raise InputError(f"{count} modules of each family: give 1 or more")
    texts = texts_of(lexicon) if inside.texts is None else tuple(inside.texts)
    source = _Source(lexicon, texts, inside, count, seed, progress or Silent())
    modules = []
    for family in dict.fromkeys(families):
        members = INNER_FAMILIES[family].draw(source)
        modules += [
            KnownModule(
                id=f"{family}/{member.slug}/{seed}",
                family=family,
                module=member.module,
                answer=member.answer,
                corpus=lambda: texts,
                control=member.control,
                fit=member.fit,
                fit_p=member.fit_p,
            )
            for member in members
        ]
    return modules


@dataclass(frozen=True)
class _Drawn:
    """The middle of a module's id, and what else `KnownModule` has of it."""

    slug: str
    module: TextModule
    answer: Answer | None = None
    control: bool = False
    fit: float | None = None
    fit_p: float | None = None


@dataclass(frozen=True)
class _Source:
    """What modules are drawn from; the model is loaded, and the texts are read, when a family needs it."""

    lexicon: Mapping[str, GoldConcept]
    texts: tuple[str, ...]
    inside: Inside
    count: int
    seed: int
    progress: Progress = field(repr=False)

    @cached_property
    def model(self) -> WordEncoder:
        from conceptbench.runtime.encoder import WordEncoder

        return WordEncoder(self.inside.model)

    @property
    def layer(self) -> int:
        return self.model.layers // 2 if self.inside.layer is None else self.inside.layer

    @cached_property
    def words(self) -> WordVectors:
        """The words of the texts and their vectors, from as many texts as are needed, in an order drawn by the seed."""
        texts, words = [], 0
        for index in generator_of("words", self.seed).permutation(len(self.texts)):
            texts.append(self.texts[index])
            words += len(tokens_of(self.texts[index]))
            if words >= MOST_WORDS:
                break
        with self.progress.stage(f"Reading layer {self.layer} of {self.inside.model}", None):
            return word_vectors(self.model, self.layer, texts)

    def choose(self, family: str, candidates: Sequence[int] | np.ndarray, what: str) -> list[int]:
        """Draw `count` of the candidates."""
        if len(candidates) < self.count:
            raise InputError(
                f"family {family}: there are {len(candidates)} {what}, not {self.count}; give a lower --count"
            )
        order = generator_of("module", family, self.seed).permutation(len(candidates))
        return [int(candidates[index]) for index in order[: self.count]]


def _neurons(source: _Source) -> list[_Drawn]:
    neurons = source.choose("neuron", range(source.model.width), "neurons in a layer")
    modules = neuron_modules(source.model, source.layer, neurons)
    return [_Drawn(_slug(source, neuron), module) for neuron, module in zip(neurons, modules, strict=True)]


def _factors(source: _Source) -> list[_Drawn]:
    words, vectors = source.words
    if len(words) < 2 * FACTORS:
        raise InputError(
            f"family factor: the texts have {len(words)} words; {FACTORS} factors are learned from {2 * FACTORS} or "
            "more: give more text"
        )
    with source.progress.stage(f"Learning {FACTORS} factors", None):
        factors = fit_factors(vectors, FACTORS, source.seed)
        active = factors.codes(vectors) > 0
    folded = np.array([word.casefold() for word in words])
    often = [factor for factor in range(FACTORS) if np.unique(folded[active[:, factor]]).size >= FEWEST_ACTIVE]
    chosen = source.choose("factor", often, f"factors that are active in {FEWEST_ACTIVE} words or more")
    modules = factor_modules(source.model, source.layer, factors)
    return [_Drawn(_slug(source, factor), modules[factor]) for factor in chosen]


def _probes(source: _Source) -> list[_Drawn]:
    words, vectors = source.words
    folded = np.array([word.casefold() for word in words])
    draw = Draw("probe", source.lexicon, source.texts, "test", source.seed, None)
    chosen: list[tuple[GoldConcept, Probe, float]] = []
    with source.progress.stage("Fitting probes", source.count) as advance:
        for concept in draw.concepts():
            inside = np.isin(folded, [word.casefold() for word in concept.words])
            if np.unique(folded[inside]).size >= FEWEST_WORDS:
                chosen.append((concept, *_tested_probe(vectors, folded, inside, source.seed)))
                advance(1)
            if len(chosen) == source.count:
                break
    if len(chosen) < source.count:
        raise InputError(
            f"family probe: there are {len(chosen)} concepts of which the texts have {FEWEST_WORDS} words or more, not "
            f"{source.count}; give a lower --count, or more text"
        )
    modules = probe_modules(source.model, source.layer, [probe for _, probe, _ in chosen])
    return [
        _Drawn(concept.id.replace("/", "-"), module, draw.answer(concept, "mentions"), fit=auroc)
        for (concept, _, auroc), module in zip(chosen, modules, strict=True)
    ]


def _tested_probe(vectors: np.ndarray, words: np.ndarray, inside: np.ndarray, seed: int) -> tuple[Probe, float]:
    """Fit a probe without a fifth of the different words of either class, and give its AUROC on these."""
    from sklearn.metrics import roc_auc_score

    generator = generator_of("held-out words", seed)
    held = np.zeros(len(words), dtype=bool)
    for class_words in (np.unique(words[inside]), np.unique(words[~inside])):
        held |= np.isin(words, generator.choice(class_words, size=round(_HELD_OUT * len(class_words)), replace=False))
    probe = fit_probe(vectors[~held], inside[~held], seed)
    return probe, float(roc_auc_score(inside[held], vectors[held] @ probe.weights + probe.bias))


def _voxels(source: _Source) -> list[_Drawn]:
    encoder, recording = source.inside.encoder, source.inside.recording
    if encoder is None:
        raise InputError("family voxel: its modules embed texts; give an encoder")
    if recording is None:
        subject = synthetic_subject(source.lexicon, source.count, source.seed, controls=source.count)
        fitted = fit_voxels(encoder.encode(subject.texts), subject.responses)
        fits = zip(fitted.correlations.tolist(), fitted.p_values.tolist(), strict=True)
        planted = zip(fitted.modules(encoder), subject.answers, fits, strict=True)
        return [
            _Drawn(_voxel(answer, voxel), module, answer, answer is None, *fit)
            for voxel, (module, answer, fit) in enumerate(planted)
        ]
    fitted = fit_voxels(encoder.encode(recording.texts), recording.responses)
    best = np.argsort(-fitted.correlations, kind="stable")[: source.count]
    if len(best) < source.count:
        raise InputError(f"family voxel: the recording has {len(best)} voxels, not {source.count}")
    modules = fitted.modules(encoder)
    # The best of many voxels has a high correlation by chance too, hence Bonferroni's correction.
    p_values = np.minimum(1.0, fitted.p_values * len(modules))
    return [
        _Drawn(str(voxel), modules[voxel], fit=float(fitted.correlations[voxel]), fit_p=float(p_values[voxel]))
        for voxel in best
    ]


def _slug(source: _Source, number: int) -> str:
    return f"L{source.layer:02d}-{number}"


def _voxel(answer: Answer | None, number: int) -> str:
    return f"noise-{number}" if answer is None else (answer.parts[0].concept or answer.name).replace("/", "-")


@dataclass(frozen=True)
class InnerFamily:
    """A sort of module inside a model: what it responds to, what a right explanation is, what it is drawn from."""

    responds_to: str
    answer: str
    drawn_from: str
    draw: Callable[[_Source], list[_Drawn]] = field(repr=False)


INNER_FAMILIES: Final[Mapping[str, InnerFamily]] = {
    "neuron": InnerFamily("a neuron, the mean over words", "not known", "the neurons of a model's layer", _neurons),
    "factor": InnerFamily(
        "the sparse code of a transformer factor, the highest of the words",
        "not known",
        f"{FACTORS} factors, learned from a layer's vectors of words",
        _factors,
    ),
    "probe": InnerFamily(
        "the logit of a concept's linear probe, the highest of the words",
        "the concept",
        "semantic and entity concepts of the gold lexicon, fitted on a layer's vectors of words",
        _probes,
    ),
    "voxel": InnerFamily(
        "a voxel's response, predicted from the text's vector",
        "the planted concept; none for noise, a control; not known for recorded voxels",
        "a made-up subject, or --responses",
        _voxels,
    ),
}
