"""Explainers: SASC, baselines, and a user's own class."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from conceptbench.eval.methods.sasc.candidates import TestedExplanation
from conceptbench.eval.methods.sasc.sasc import SASC, Subject
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.llm import LLM
from conceptbench.runtime.progress import Progress

BASELINES: Final[dict[str, Callable[[Subject], str | None]]] = {
    "ngram": lambda subject: next(iter(subject.top_ngrams), None),
    "tfidf": lambda subject: subject.telling_word,
}
"""Explainers that need no helper: a module's strongest n-gram, and the most typical word of its strongest n-grams."""


class Explained(NamedTuple):
    """A candidate with its strings, and the score that the explainer itself gave it, if any."""

    explanation: TestedExplanation
    score: float | None


class Explainer(Protocol):
    """Something that explains modules; `keeps_order` tells that its candidates are best first already."""

    keeps_order: bool

    def explain(self, subjects: Sequence[Subject], progress: Progress) -> list[list[Explained]]:
        """Give each subject's candidates."""
        ...


def open_explainer(name: str, helper: LLM | None, method: SASC) -> Explainer:
    """Open an explainer.

    Parameters
    ----------
    name : `sasc`; a baseline, `ngram` (a module's strongest n-gram) or `tfidf` (the most typical word of its strongest
        n-grams); or `python:<module>:<class>`, a class of the user's that has `explain(module, top_ngrams, helper)`
        and gives texts, or (text, score) pairs, best first.
    helper : the language model that summarises and writes strings. SASC needs one; without one the explanations of
        other explainers have no strings.
    method : what tests the explanations.

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
        return _UserExplainer(name, helper, method)
    raise InputError(
        f"--explainer {name}: there is no such explainer; give sasc, {', '.join(BASELINES)} or python:<module>:<class>"
    )


class _Sasc:
    keeps_order = False

    def __init__(self, helper: LLM, method: SASC) -> None:
        self._helper, self._method = helper, method

    def explain(self, subjects: Sequence[Subject], progress: Progress) -> list[list[Explained]]:
        candidates = self._method.explain(subjects, self._helper, progress)
        return [[Explained(tested, None) for tested in of_subject] for of_subject in candidates]


class _Baseline:
    keeps_order = True

    def __init__(self, name: str, helper: LLM | None, method: SASC) -> None:
        self._name, self._helper, self._method = name, helper, method

    def explain(self, subjects: Sequence[Subject], progress: Progress) -> list[list[Explained]]:
        texts = [BASELINES[self._name](subject) for subject in subjects]
        stated = [[] if text is None else [(text, None)] for text in texts]
        return _tested(subjects, stated, self._helper, self._method, progress)


class _UserExplainer:
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

    def explain(self, subjects: Sequence[Subject], progress: Progress) -> list[list[Explained]]:
        stated: list[list[tuple[str, float | None]]] = []
        with progress.stage(f"Explaining with {self._name}", len(subjects)) as advance:
            for subject in subjects:
                answer = self._instance.explain(subject.module, list(subject.top_ngrams), self._helper)
                stated.append([self._checked(part) for part in answer])
                advance(1)
        return _tested(subjects, stated, self._helper, self._method, progress)

    def _checked(self, part: Any) -> tuple[str, float | None]:
        """Read a part of the class's answer: a text, or a text with a score."""
        if isinstance(part, str):
            return part, None
        if isinstance(part, tuple | list) and len(part) == 2:
            text, score = part
            if isinstance(text, str) and (score is None or isinstance(score, int | float)):
                return text, None if score is None else float(score)
        raise ConceptBenchError(f"{self._name}: explain() must give texts, or (text, score) pairs")


def _tested(
    subjects: Sequence[Subject],
    stated: Sequence[Sequence[tuple[str, float | None]]],
    helper: LLM | None,
    method: SASC,
    progress: Progress,
) -> list[list[Explained]]:
    """Test explanations on strings that a helper writes; without a helper there are no strings."""
    texts = [[text for text, _ in pairs] for pairs in stated]
    if helper is None:
        tested = [[TestedExplanation(text, (), (), (), ()) for text in of_subject] for of_subject in texts]
    else:
        tested = method.test(subjects, texts, helper, progress)
    return [
        [Explained(explanation, score) for explanation, (_, score) in zip(of_subject, pairs, strict=True)]
        for of_subject, pairs in zip(tested, stated, strict=True)
    ]
