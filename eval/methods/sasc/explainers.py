"""Explainers: SASC, baselines, and a user's own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from conceptbench.eval.methods.sasc.candidates import Strings
from conceptbench.eval.methods.sasc.sasc import SASC, Subject
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.llm import LLM
from conceptbench.runtime.progress import Progress

BASELINES: Final[dict[str, Callable[[Subject], str | None]]] = {
    "ngram": lambda subject: next(iter(subject.top_ngrams), None),
    "tfidf": lambda subject: subject.telling_word,
}
"""Explainers that need no helper: a module's strongest n-gram, and the word that stands out most in these."""

Said = list[tuple[Strings, float | None]]
"""A run's candidates with their strings, and what the explainer itself scored them."""


class Explainer(Protocol):
    """Whatever explains modules; `keeps_order` tells that its candidates stand best first already."""

    keeps_order: bool

    def explain(self, subjects: Sequence[Subject], progress: Progress) -> list[Said]:
        """Give each subject's candidates."""
        ...


def open_explainer(name: str, helper: LLM | None, method: SASC) -> Explainer:
    """Open an explainer: `sasc`, `ngram`, `tfidf`, or `python:<module>:<class>`.

    The two baselines say one thing, without a helper: a module's strongest n-gram, or the word that stands out most in
    its strongest ones. A class of one's own has `explain(module, top_ngrams, helper)`, and gives texts, or (text,
    score) pairs, best first. Where there is a helper, `method` tests what they say.

    Raises
    ------
    InputError
        if there is no such explainer, or it cannot be made.
    """
    if name == "sasc":
        if helper is None:
            raise InputError("--explainer sasc: it needs a helper, --helper SYSTEM")
        return _Sasc(helper, method)
    if name in BASELINES:
        return _Baseline(name, helper, method)
    if name.startswith("python:"):
        return _Own(name, helper, method)
    raise InputError(
        f"--explainer {name}: there is no such explainer; give sasc, {', '.join(BASELINES)} or python:<module>:<class>"
    )


class _Sasc:
    keeps_order = False

    def __init__(self, helper: LLM, method: SASC) -> None:
        self._helper, self._method = helper, method

    def explain(self, subjects: Sequence[Subject], progress: Progress) -> list[Said]:
        found = self._method.explain(subjects, self._helper, progress)
        return [[(strings, None) for strings in own] for own in found]


class _Baseline:
    keeps_order = True

    def __init__(self, name: str, helper: LLM | None, method: SASC) -> None:
        self._name, self._helper, self._method = name, helper, method

    def explain(self, subjects: Sequence[Subject], progress: Progress) -> list[Said]:
        said = [BASELINES[self._name](subject) for subject in subjects]
        texts = [[] if text is None else [text] for text in said]
        return [[(one, None) for one in own] for own in _tested(subjects, texts, self._helper, self._method, progress)]


class _Own:
    keeps_order = True

    def __init__(self, name: str, helper: LLM | None, method: SASC) -> None:
        module, _, attribute = name.removeprefix("python:").partition(":")
        if "" not in sys.path:
            sys.path.insert(0, "")
        try:
            self._instance = getattr(importlib.import_module(module), attribute)()
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise InputError(f"--explainer {name}: cannot be made: {error}") from error
        if not callable(getattr(self._instance, "explain", None)):
            raise InputError(f"--explainer {name}: the class needs a method explain(module, top_ngrams, helper)")
        self._name, self._helper, self._method = name, helper, method

    def explain(self, subjects: Sequence[Subject], progress: Progress) -> list[Said]:
        said: list[list[tuple[str, float | None]]] = []
        with progress.stage(f"Explaining with {self._name}", len(subjects)) as advance:
            for subject in subjects:
                answer = self._instance.explain(subject.module, list(subject.top_ngrams), self._helper)
                said.append([self._checked(one) for one in answer])
                advance(1)
        texts = [[text for text, _ in own] for own in said]
        tested = _tested(subjects, texts, self._helper, self._method, progress)
        return [
            [(strings, score) for strings, (_, score) in zip(own, scored, strict=True)]
            for own, scored in zip(tested, said, strict=True)
        ]

    def _checked(self, one: Any) -> tuple[str, float | None]:
        text, score = (one, None) if isinstance(one, str) else one if isinstance(one, tuple | list) else (None, None)
        if not isinstance(text, str) or not (score is None or isinstance(score, int | float)):
            raise ConceptBenchError(f"{self._name}: explain() must give texts, or (text, score) pairs")
        return text, None if score is None else float(score)


def _tested(
    subjects: Sequence[Subject],
    texts: Sequence[Sequence[str]],
    helper: LLM | None,
    method: SASC,
    progress: Progress,
) -> list[list[Strings]]:
    """Test what was said on strings that a helper writes; without one, there are none."""
    if helper is None:
        return [[Strings(text, (), (), (), ()) for text in own] for own in texts]
    return method.test(subjects, texts, helper, progress)
