"""SASC (Singh et al. 2023): explain a text module by summarising what it responds to, and test the summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from conceptbench.benchmark.modules import TextModule, checked
from conceptbench.eval.judges.asking import ask
from conceptbench.eval.methods.sasc.candidates import TestedExplanation
from conceptbench.eval.methods.sasc.helper import read_strings, read_summary, strings_request, summary_request
from conceptbench.eval.methods.sasc.parameters import CONSIDERED, PER_SUMMARY, STRINGS, SUMMARIES
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.llm import LLM
from conceptbench.runtime.progress import Progress


@dataclass(frozen=True)
class Subject:
    """A module to explain under one setting.

    Attributes
    ----------
    run : the name of the run, which seeds its draws.
    module : what is explained.
    top_ngrams : its strongest n-grams under the setting, best first.
    telling_word : the word that is the most typical of these n-grams, where it is known.
    """

    run: str
    module: TextModule
    top_ngrams: Sequence[str]
    telling_word: str | None = None


@dataclass(frozen=True)
class SASC:
    """The method with its parameters, by default the paper's.

    Attributes
    ----------
    summaries : summaries that the helper is asked for, each of which is a candidate.
    considered : strongest n-grams that those of a summary are drawn from.
    per_summary : n-grams that the helper is shown for a summary.
    strings : texts that fit a candidate, and as many that do not, that it is tested on.
    seed : of the draws of n-grams.
    """

    summaries: int = SUMMARIES
    considered: int = CONSIDERED
    per_summary: int = PER_SUMMARY
    strings: int = STRINGS
    seed: int = 0

    def explain(self, subjects: Sequence[Subject], helper: LLM, progress: Progress) -> list[list[TestedExplanation]]:
        """Give each subject's candidates, in the order of their summaries, each once.

        All subjects are asked about together, so that a server or a batch is never idle. Strings that repeat an
        n-gram that was shown are left out: those were chosen for their response.
        """
        indices, requests = [], []
        for index, subject in enumerate(subjects):
            for attempt in range(self.summaries if subject.top_ngrams else 0):
                indices.append(index)
                requests.append(summary_request(self._ngrams_to_show(subject, attempt)))
        replies = ask(helper, requests, f"Summarising n-grams with {helper.system}", progress)[0]
        summaries: list[dict[str, str]] = [{} for _ in subjects]
        for index, reply in zip(indices, replies, strict=True):
            summary = read_summary(reply)
            if summary is not None:
                summaries[index].setdefault(summary.casefold(), summary)
        return self.test(subjects, [list(distinct.values()) for distinct in summaries], helper, progress)

    def test(
        self, subjects: Sequence[Subject], explanations: Sequence[Sequence[str]], helper: LLM, progress: Progress
    ) -> list[list[TestedExplanation]]:
        """Have strings written for the explanations of each subject, and compute the module's responses to them."""
        distinct = list(dict.fromkeys(text for texts in explanations for text in texts))
        requests = [
            strings_request(text, self.strings, related=related) for text in distinct for related in (True, False)
        ]
        replies = ask(helper, requests, f"Writing test strings with {helper.system}", progress)[0]
        strings = [read_strings(reply, self.strings) for reply in replies]
        written = {text: (strings[2 * index], strings[2 * index + 1]) for index, text in enumerate(distinct)}
        return [
            [_tested(subject, text, *written[text]) for text in texts]
            for subject, texts in zip(subjects, explanations, strict=True)
        ]

    def _ngrams_to_show(self, subject: Subject, attempt: int) -> list[str]:
        """Draw n-grams for one summary, in order of their response."""
        considered = subject.top_ngrams[: self.considered]
        generator = generator_of("summary", self.seed, subject.run, attempt)
        indices = generator.choice(len(considered), size=min(self.per_summary, len(considered)), replace=False)
        return [considered[index] for index in np.sort(indices)]


def _tested(subject: Subject, text: str, related: Sequence[str], unrelated: Sequence[str]) -> TestedExplanation:
    """Compute the module's responses to the strings of an explanation that are none of its strongest n-grams."""
    top = {ngram.casefold() for ngram in subject.top_ngrams}
    related = [phrase for phrase in related if phrase.casefold() not in top]
    unrelated = [phrase for phrase in unrelated if phrase.casefold() not in top]
    values = checked(subject.module, [*related, *unrelated]) if related or unrelated else np.zeros(0)
    return TestedExplanation(
        text,
        tuple(related),
        tuple(unrelated),
        tuple(values[: len(related)].tolist()),
        tuple(values[len(related) :].tolist()),
    )
