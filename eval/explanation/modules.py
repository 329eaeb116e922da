"""Which modules a run explains: those of a file, or drawn ones, also inside models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.modules import (
    FAMILIES,
    INNER_FAMILIES,
    Encoder,
    Inside,
    KnownModule,
    draw_inner_modules,
    draw_modules,
    read_modules,
)
from conceptbench.benchmark.modules.voxels import read_responses
from conceptbench.builders.corpus import Corpus, open_corpus, sentences
from conceptbench.eval.explanation.options import ExplanationOptions, public_model
from conceptbench.runtime.files import sha256
from conceptbench.runtime.models import MINILM
from conceptbench.runtime.progress import Progress


@dataclass(frozen=True)
class ChosenModules:
    """The modules of a run.

    Attributes
    ----------
    modules : in their order.
    inside : what modules inside models are drawn from, for the provenance; None where there are none.
    """

    modules: Sequence[KnownModule]
    inside: Mapping[str, Any] | None = None

    @property
    def encoders(self) -> list[str]:
        """The names of the encoders whose vectors modules are functions of."""
        return sorted({module.encoder for module in self.modules if module.encoder is not None})


def choose_modules(options: ExplanationOptions, encoder: Encoder, progress: Progress) -> ChosenModules:
    """Give the modules of the options' file, or of their families in the order of these.

    Parameters
    ----------
    options : of the run.
    encoder : of modules that embed texts.
    progress : shows how far the fitting of modules inside models is.

    Raises
    ------
    InputError
        as `read_modules`, `draw_modules`, `draw_inner_modules`, `open_corpus`, `read_responses`.
    """
    if options.modules is not None:
        return ChosenModules([module for module in read_modules(options.modules, encoder) if module.corpus is not None])
    inner = [family for family in options.families if family in INNER_FAMILIES]
    from_lexicon = [family for family in options.families if family in FAMILIES]
    modules: list[KnownModule] = []
    if from_lexicon:
        modules += draw_modules(load_lexicon(), from_lexicon, options.count, options.seed, encoder=encoder)
    if not inner:
        return ChosenModules(_in_order(modules, options.families))
    corpus = None if options.corpus is None else open_corpus(options.corpus, options.text_column)
    inside = Inside(
        model=options.model or MINILM,
        layer=options.layer,
        texts=None if corpus is None else [" ".join(words) for words in sentences(corpus)],
        encoder=encoder,
        recording=None if options.responses is None else read_responses(options.responses),
    )
    modules += draw_inner_modules(load_lexicon(), inner, options.count, options.seed, inside, progress=progress)
    return ChosenModules(_in_order(modules, options.families), _source(options, corpus))


def _in_order(modules: Sequence[KnownModule], families: Sequence[str]) -> list[KnownModule]:
    return sorted(modules, key=lambda module: families.index(module.family))


def _source(options: ExplanationOptions, corpus: Corpus | None) -> dict[str, Any]:
    return {
        "model": public_model(options.model or MINILM),
        "layer": options.layer if options.layer is not None else "half the depth",
        "corpus": "the lexicon" if corpus is None else corpus.name,
        "corpus_sha256": None if corpus is None else corpus.digest(),
        "responses": None if options.responses is None else options.responses.name,
        "responses_sha256": None if options.responses is None else sha256(options.responses),
    }
