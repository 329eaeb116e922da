"""Explaining a single module: what `conceptbench.explain` and `conceptbench explain` do."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from conceptbench.benchmark.modules import TextModule
from conceptbench.benchmark.modules.inside import neuron_modules
from conceptbench.benchmark.modules.responses import module_of
from conceptbench.builders.corpus import open_corpus, sentences
from conceptbench.eval.methods.sasc.candidates import Candidate, ranked, score_candidates
from conceptbench.eval.methods.sasc.ngrams import draw_ngrams, ngrams_of, respond
from conceptbench.eval.methods.sasc.parameters import CONSIDERED, FEWEST_STRINGS, STRINGS, SUMMARIES
from conceptbench.eval.methods.sasc.sasc import SASC, Subject
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
    """What a module responds to.

    Attributes
    ----------
    candidates : explanations with their scores, best first.
    top_ngrams : the n-grams with the strongest responses, strongest first.
    """

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
    corpus : texts that n-grams are taken from; or the name of a corpus, as in `build`.
    helper : the language model that summarises n-grams and writes strings.
    text_column : the column of a tabular corpus that has its text.
    max_ngrams : n-grams at most, drawn by the seed; all of the corpus where it is None.
    summaries : candidates that the helper is asked for.
    strings : texts that fit a candidate, and as many that do not, that it is tested on.
    seed : of all random draws.
    encoder : the encoder of modules of the form `text:<target>`.
    base_url : the server of an `openai:` helper.
    progress : shows how far the work is.

    Returns
    -------
    the candidates with their scores in standard deviations of the module over the n-grams, and the strongest n-grams.

    Raises
    ------
    InputError
        if the module, the corpus or an option is wrong, or the module gives the same number to everything.

    Examples
    --------
    A module that counts names of fish, and a stand-in for a language model:

    >>> import numpy as np
    >>> from conceptbench.runtime.llm import Reply, Usage
    >>> class Helper:
    ...     system, usage = "local:none", Usage()
    ...     def complete(self, requests, on_reply=None):
    ...         questions = [request.messages[-1].content for request in requests]
    ...         return [Reply(self.answer(question)) for question in questions]
    ...     def answer(self, question):
    ...         if question.startswith("Phrases:"):
    ...             return "fish"
    ...         return "a red car\\nour lamp" if "nothing to do with" in question else "trout soup\\nfresh salmon"
    >>> def fish(texts):
    ...     return np.array([float("trout" in text or "salmon" in text) for text in texts])
    >>> corpus = ["We caught a trout.", "They sell salmon.", "The shop is closed."]
    >>> explanation = explain(fish, corpus, helper=Helper(), summaries=1)
    >>> explanation.best, explanation.top_ngrams[:2]
    ('fish', ('caught a trout', 'a trout'))
    >>> round(explanation.candidates[0].score, 2)
    2.14
    """
    progress = progress or Silent()
    limits = (("summaries", summaries, 1), ("strings", strings, FEWEST_STRINGS), ("max_ngrams", max_ngrams, 1))
    for name, value, least in limits:
        if value is not None and value < least:
            raise InputError(f"{name} {value}: give {least} or more")
    function = open_module(module, encoder) if isinstance(module, str) else module
    texts = _texts(corpus, text_column) if isinstance(corpus, str) else corpus
    ngrams = draw_ngrams(ngrams_of(texts), max_ngrams, seed)
    if not ngrams:
        raise InputError("the corpus has no words")
    responses = respond({"module": (function, ngrams)}, progress=progress)["module"]
    if responses.spread == 0.0:
        raise InputError("the module gives the same number to every n-gram: there is nothing to explain")
    subject = Subject("module", function, responses.strongest(CONSIDERED))
    method = SASC(summaries=summaries, strings=strings, seed=seed)
    client = open_llm(helper, base_url=base_url) if isinstance(helper, str) else helper
    try:
        [tested] = method.explain([subject], client, progress)
    finally:
        if isinstance(helper, str):
            client.close()
    scored = score_candidates(tested, responses.spread, generator_of("permutations", seed))
    return Explanation(tuple(ranked(scored)), tuple(subject.top_ngrams))


def _texts(corpus: str, text_column: str | None) -> Iterator[str]:
    """Give the sentences of a named corpus."""
    return (" ".join(words) for words in sentences(open_corpus(corpus, text_column)))


def open_module(name: str, encoder: str = MINILM) -> TextModule:
    """Open a module by its name.

    Parameters
    ----------
    name : `text:<target>`, the closeness of embeddings to a text; `neuron:<model>:<layer>:<number>`, the mean of a
        neuron over the words of a text; `prototype:<classifier>:<number>`, the similarity to a prototype of a
        classifier that `eval prototypes` made; or `python:<module>:<name>`, a function of the user's, or a class
        without parameters.
    encoder : what embeds texts, for `text:`.

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
        function: TextModule = _user_function(name, rest)
        return function
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


def _user_function(name: str, rest: str) -> Any:
    module, _, attribute = rest.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        value = getattr(importlib.import_module(module), attribute)
        function = value() if isinstance(value, type) else value
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"--module {name}: cannot be opened: {error}") from error
    if not callable(function):
        raise InputError(f"--module {name}: it is not a function from texts to numbers")
    return function
