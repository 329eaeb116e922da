"""Explaining one module: what `conceptbench.explain` and `conceptbench explain` do."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from conceptbench.benchmark.modules import TextModule
from conceptbench.benchmark.modules.inside import neuron_modules
from conceptbench.benchmark.modules.responses import module_of
from conceptbench.builders.corpus import open_corpus, sentences
from conceptbench.eval.methods.sasc.candidates import Candidate, ranked, score_candidates
from conceptbench.eval.methods.sasc.ngrams import drawn, ngrams_of, respond
from conceptbench.eval.methods.sasc.sasc import CONSIDERED, SASC, STRINGS, SUMMARIES, Subject
from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.encoder import WordEncoder
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.llm import LLM
from conceptbench.runtime.models import MINILM
from conceptbench.runtime.progress import Progress, Silent
from conceptbench.runtime.text_encoder import TextEncoder


@dataclass(frozen=True)
class Explanation:
    """What a module responds to: candidates with their scores, best first, and its strongest n-grams."""

    candidates: tuple[Candidate, ...]
    top_ngrams: tuple[str, ...]

    @property
    def best(self) -> str | None:
        """The text of the best candidate; None where the helper gave none."""
        return self.candidates[0].text if self.candidates else None


def explain(
    module: TextModule | str,
    corpus: Iterable[str] | str,
    *,
    helper: LLM | str,
    text_column: str | None = None,
    max_ngrams: int | None = None,
    summaries: int = SUMMARIES,
    strings: int = STRINGS,
    seed: int = 0,
    encoder: str = MINILM,
    base_url: str | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Explain a function from texts to numbers by SASC (Singh et al. 2023).

    Parameters
    ----------
    module : a function from a list of n texts to an array of shape (n,); or its name, see `open_module`.
    corpus : texts that n-grams are taken from; or a name, as in `build`.
    helper : the LLM that summarises and writes strings.
    text_column : where a tabular corpus has its text.
    max_ngrams : n-grams at most, drawn by the seed.
    summaries : candidates asked for.
    strings : texts that fit a candidate, and as many that do not, that it is tested on.
    seed : of every draw.
    encoder : of modules of the form `text:<target>`.
    base_url : of an `openai:` helper.

    Raises
    ------
    InputError
        if the module, the corpus or an option is wrong, or the module answers the same to everything.
    """
    progress = progress or Silent()
    for name, value, least in (("summaries", summaries, 1), ("strings", strings, 2), ("max_ngrams", max_ngrams, 1)):
        if value is not None and value < least:
            raise InputError(f"{name} {value}: give {least} or more")
    function = open_module(module, encoder) if isinstance(module, str) else module
    texts = (
        (" ".join(words) for words in sentences(open_corpus(corpus, text_column)))
        if isinstance(corpus, str)
        else corpus
    )
    ngrams = drawn(ngrams_of(texts), max_ngrams, seed)
    if not ngrams:
        raise InputError("the corpus has no words")
    responses = respond({"module": (function, ngrams)}, progress=progress)["module"]
    if responses.spread == 0.0:
        raise InputError("the module gives the same number to every n-gram: there is nothing to explain")
    subject = Subject("module", function, responses.strongest(CONSIDERED))
    client = open_llm(helper, base_url=base_url) if isinstance(helper, str) else helper
    try:
        found = SASC(summaries=summaries, strings=strings, seed=seed).explain([subject], client, progress)[0]
    finally:
        if isinstance(helper, str):
            client.close()
    scored = score_candidates(found, responses.spread, generator_of("permutations", seed))
    return Explanation(tuple(ranked(scored)), tuple(subject.top_ngrams))


def open_module(name: str, encoder: str = MINILM) -> TextModule:
    """Open a module by its name.

    `text:<target>`: closeness of embeddings to a text; `neuron:<model>:<layer>:<number>`: the mean of a neuron over
    the words of a text; `prototype:<classifier>:<number>`: similarity to a prototype of a classifier that
    `eval prototypes` made; `python:<module>:<name>`: a function of one's own, or a class without parameters.

    Raises
    ------
    InputError
        if there is no such module.
    """
    kind, _, rest = name.partition(":")
    if kind == "text" and rest.strip():
        return module_of(TextEncoder(encoder), rest)
    if kind == "neuron":
        model, layer, neuron = [*rest.rsplit(":", 2), "", ""][:3]
        if not (model and layer.isdigit() and neuron.isdigit()):
            raise InputError(f"--module {name}: give neuron:<model>:<layer>:<number>, such as neuron:minilm:6:17")
        return neuron_modules(WordEncoder(model), int(layer), [int(neuron)])[0]
    if kind == "prototype":
        return _prototype(name, rest)
    if kind == "python":
        own: TextModule = _own(name, rest)
        return own
    raise InputError(
        f"--module {name}: there is no such module; give text:<target>, neuron:<model>:<layer>:<number>, "
        "prototype:<classifier>:<number> or python:<module>:<name>"
    )


def _prototype(name: str, rest: str) -> TextModule:
    # The prototypes task names its prototypes by SASC, so that it imports this package.
    from conceptbench.eval.methods.protolm.explaining import prototype_modules
    from conceptbench.eval.methods.protolm.model import PrototypeClassifier

    folder, _, number = rest.rpartition(":")
    if not (folder and number.isdigit()):
        raise InputError(f"--module {name}: give prototype:<folder of a classifier>:<number>")
    modules = prototype_modules(PrototypeClassifier.from_pretrained(folder))
    if int(number) >= len(modules):
        raise InputError(f"--module {name}: the classifier has prototypes 0 to {len(modules) - 1}")
    return modules[int(number)]


def _own(name: str, rest: str) -> Any:
    module, _, attribute = rest.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), attribute)
        function = found() if isinstance(found, type) else found
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"--module {name}: cannot be opened: {error}") from error
    if not callable(function):
        raise InputError(f"--module {name}: it is not a function from texts to numbers")
    return function
