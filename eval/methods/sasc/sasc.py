"""SASC (Singh et al. 2023): explain a text module by summarising what it responds to, and test the summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from conceptbench.benchmark.modules import TextModule, checked
from conceptbench.eval.judges.asking import ask
from conceptbench.eval.methods.sasc.candidates import Strings
from conceptbench.eval.methods.sasc.helper import read_strings, read_summary, strings_request, summary_request
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.llm import LLM
from conceptbench.runtime.progress import Progress

SUMMARIES: Final = 5
CONSIDERED: Final = 50
SHOWN: Final = 30
STRINGS: Final = 10


@dataclass(frozen=True)
class Subject:
    """A module to explain under one setting: its strongest n-grams under that setting, best first.

    `telling_word` is the word that stands out most in these, where it is known.
    """

    run: str
    module: TextModule
    top_ngrams: Sequence[str]
    telling_word: str | None = None


@dataclass(frozen=True)
class SASC:
    """The method's parameters, by default the paper's.

    `considered` of the strongest n-grams are drawn from, `shown` of them for each of `summaries`; each candidate is
    tested on `strings` texts that fit it and as many that do not.
    """

    summaries: int = SUMMARIES
    considered: int = CONSIDERED
    shown: int = SHOWN
    strings: int = STRINGS
    seed: int = 0

    def explain(self, subjects: Sequence[Subject], helper: LLM, progress: Progress) -> list[list[Strings]]:
        """Give each subject's candidates, in the order of their summaries, each once.

        All subjects are asked about together, so that a server or a batch is never idle. Strings that repeat an
        n-gram that was shown are left out: those were chosen for their response.
        """
        places, requests = [], []
        for number, subject in enumerate(subjects):
            for attempt in range(self.summaries if subject.top_ngrams else 0):
                places.append(number)
                requests.append(summary_request(self._shown(subject, attempt)))
        replies = ask(helper, requests, f"Summarising n-grams with {helper.system}", progress)[0]
        texts: list[dict[str, str]] = [{} for _ in subjects]
        for number, reply in zip(places, replies, strict=True):
            text = read_summary(reply)
            if text is not None:
                texts[number].setdefault(text.casefold(), text)
        return self.test(subjects, [list(own.values()) for own in texts], helper, progress)

    def test(
        self, subjects: Sequence[Subject], texts: Sequence[Sequence[str]], helper: LLM, progress: Progress
    ) -> list[list[Strings]]:
        """Have strings written for each explanation, and compute the module's responses to them."""
        distinct = list(dict.fromkeys(text for own in texts for text in own))
        requests = [
            strings_request(text, self.strings, related=related) for text in distinct for related in (True, False)
        ]
        replies = ask(helper, requests, f"Writing test strings with {helper.system}", progress)[0]
        written = {
            text: tuple(read_strings(reply, self.strings) for reply in replies[2 * place : 2 * place + 2])
            for place, text in enumerate(distinct)
        }
        found = []
        for subject, own in zip(subjects, texts, strict=True):
            shown = {ngram.casefold() for ngram in subject.top_ngrams}
            candidates = []
            for text in own:
                related, unrelated = (
                    [phrase for phrase in phrases if phrase.casefold() not in shown] for phrases in written[text]
                )
                values = checked(subject.module, [*related, *unrelated]) if related or unrelated else np.zeros(0)
                candidates.append(
                    Strings(
                        text,
                        tuple(related),
                        tuple(unrelated),
                        tuple(values[: len(related)].tolist()),
                        tuple(values[len(related) :].tolist()),
                    )
                )
            found.append(candidates)
        return found

    def _shown(self, subject: Subject, attempt: int) -> list[str]:
        """Draw n-grams for one summary, in order of their response."""
        considered = subject.top_ngrams[: self.considered]
        generator = generator_of("summary", self.seed, subject.run, attempt)
        kept = generator.choice(len(considered), size=min(self.shown, len(considered)), replace=False)
        return [considered[i] for i in np.sort(kept)]
