"""Explaining modules under their settings: responses to n-grams, explanations, and what their strings score."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from conceptbench.benchmark.modules import KnownModule
from conceptbench.eval.explanation.options import ExplanationOptions
from conceptbench.eval.explanation.records import (
    CONSTANT,
    NO_ANSWER,
    ModuleScore,
    Record,
    RecordedCandidate,
    not_run,
)
from conceptbench.eval.explanation.scoring import candidates_of
from conceptbench.eval.methods.sasc.explainers import Explained, Explainer
from conceptbench.eval.methods.sasc.ngrams import Responses, draw_ngrams, ngrams_of, respond
from conceptbench.eval.methods.sasc.parameters import CONSIDERED
from conceptbench.eval.methods.sasc.sasc import Subject
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.llm import public_name
from conceptbench.runtime.progress import Progress

NOISE: Final = 3.0
"""The noise of the setting `noisy`, in standard deviations of the 100 strongest responses to n-grams."""

FEWEST_NGRAMS: Final = 10
"""N-grams that a module's corpus needs."""


def explain_modules(
    modules: Sequence[KnownModule], explainer: Explainer, options: ExplanationOptions, cache: Path, progress: Progress
) -> list[Record]:
    """Explain every module under every setting, and test the explanations.

    Parameters
    ----------
    modules : with their corpora.
    explainer : that gives the explanations.
    options : of the run.
    cache : a folder that responses are kept in.
    progress : shows how far the run is.

    Returns
    -------
    a record for each setting, module and repeat, in this order, without judgements.

    Raises
    ------
    InputError
        if a corpus has too few n-grams, or the setting `restricted` has a single corpus.
    """
    corpora = _ngrams(modules, options.settings, progress)
    ngrams = {module.id: draw_ngrams(corpora[module.id], options.max_ngrams, options.seed) for module in modules}
    for name, of_module in ngrams.items():
        if len(of_module) < FEWEST_NGRAMS:
            raise InputError(
                f"module {name}: its corpus has {len(of_module)} n-grams; at least {FEWEST_NGRAMS} are needed"
            )
    cache.mkdir(exist_ok=True)
    with_ngrams = {module.id: (module.module, ngrams[module.id]) for module in modules}
    responses = respond(with_ngrams, cache=cache, progress=progress)
    runs = _Runs(modules, corpora, responses, options).all()
    explained = explainer.explain([run.subject for run in runs], progress)
    records = [_with_candidates(run.record, candidates) for run, candidates in zip(runs, explained, strict=True)]
    return _with_own_scores(
        records, modules, responses, keeps_order=explainer.keeps_order, seed=options.seed, progress=progress
    )


@dataclass(frozen=True)
class _Run:
    """A run before it is explained: its record without candidates, and what the explainer gets."""

    record: Record
    subject: Subject


@dataclass(frozen=True)
class _Runs:
    """Modules with all n-grams of their corpora, and with their responses to those that were drawn."""

    modules: Sequence[KnownModule]
    corpora: Mapping[str, Sequence[str]]
    responses: Mapping[str, Responses]
    options: ExplanationOptions

    def all(self) -> list[_Run]:
        """Give the runs of each setting, module and repeat, in this order."""
        runs = []
        for setting in self.options.settings:
            for index, module in enumerate(self.modules):
                following = self.modules[(index + 1) % len(self.modules)]
                allowed = set(self.corpora[following.id]) if setting == "restricted" else None
                runs += [self._run(module, setting, repeat, allowed) for repeat in range(self.options.repeats)]
        return runs

    def _run(self, module: KnownModule, setting: str, repeat: int, allowed: set[str] | None) -> _Run:
        name = f"{module.id}/{setting}/{repeat}"
        responses = self.responses[module.id]
        spread = responses.spread
        top: list[str] = []
        if spread > 0.0:
            heard = responses
            if setting == "noisy":
                heard = responses.with_noise(NOISE, generator_of("noise", self.options.seed, name))
            top = heard.strongest(CONSIDERED, allowed)
        record = replace(
            not_run(module),
            run=name,
            setting=setting,
            repeat=repeat,
            helper=None if self.options.helper is None else public_name(self.options.helper),
            ngrams=len(responses.ngrams),
            spread=spread,
            top_ngrams=tuple(top),
            baseline_tfidf=_typical_word(top, responses.ngrams),
            reason=CONSTANT if spread == 0.0 else None,
        )
        return _Run(record, Subject(name, module.module, top, record.baseline_tfidf))


def _ngrams(modules: Sequence[KnownModule], settings: Sequence[str], progress: Progress) -> dict[str, list[str]]:
    """List the n-grams of each module's corpus; drawn modules share a corpus, or two."""
    ngrams: dict[str, list[str]] = {}
    of_corpus: dict[tuple[str, ...], list[str]] = {}
    with progress.stage("Reading n-grams", len(modules)) as advance:
        for module in modules:
            texts = tuple(module.corpus()) if module.corpus is not None else ()
            if texts not in of_corpus:
                of_corpus[texts] = ngrams_of(texts)
            ngrams[module.id] = of_corpus[texts]
            advance(1)
    if "restricted" in settings and len(of_corpus) < 2:
        raise InputError("--settings restricted: it needs two modules or more, with corpora of their own")
    return ngrams


def _typical_word(top: Sequence[str], ngrams: Sequence[str]) -> str | None:
    """Give the most typical word of the strongest n-grams: tf in them, idf over all n-grams."""
    counts = Counter(word for ngram in top for word in set(ngram.casefold().split()) if re.search(r"\w\w", word))
    if not counts:
        return None
    holders = Counter(word for ngram in ngrams for word in set(ngram.casefold().split()) if word in counts)
    return max(sorted(counts), key=lambda word: counts[word] * math.log(len(ngrams) / (1 + holders[word])))


def _with_candidates(record: Record, explained: Sequence[Explained]) -> Record:
    """Complete a record with the explainer's candidates; a module that always responds the same has none."""
    if record.reason is not None:
        return record
    candidates = tuple(RecordedCandidate.of(tested, score) for tested, score in explained)
    return replace(record, candidates=candidates, reason=None if candidates else NO_ANSWER)


def _with_own_scores(
    records: Sequence[Record],
    modules: Sequence[KnownModule],
    responses: Mapping[str, Responses],
    *,
    keeps_order: bool,
    seed: int,
    progress: Progress,
) -> list[Record]:
    """Complete records with what the best candidate's strings score on every module that is no control."""
    rivals = [module for module in modules if not module.control and responses[module.id].spread > 0]
    best: dict[int, RecordedCandidate] = {}
    for row, record in enumerate(records):
        candidate = None if record.control else best_candidate(record, keeps_order=keeps_order, seed=seed)
        if candidate is not None and candidate.related:
            best[row] = candidate
    strings = (text for candidate in best.values() for text in (*candidate.related, *candidate.unrelated))
    texts = list(dict.fromkeys(strings))
    if len(rivals) < 2 or not texts:
        return list(records)
    heard = respond({module.id: (module.module, texts) for module in rivals}, progress=progress)
    scorer = StringScorer(
        {text: index for index, text in enumerate(texts)},
        {name: of_module.values for name, of_module in heard.items()},
        {name: responses[name].spread for name in heard},
    )
    return [
        replace(record, own_scores=scorer.scores(best[row])) if row in best else record
        for row, record in enumerate(records)
    ]


def best_candidate(record: Record, *, keeps_order: bool, seed: int) -> RecordedCandidate | None:
    """Give the best candidate of a run with its strings; None where there is none."""
    ranked = candidates_of(record, keeps_order=keeps_order, seed=seed)
    # Of candidates with one text the last is meant.
    by_text = {candidate.text: candidate for candidate in record.candidates}
    return by_text[ranked[0].text] if ranked else None


@dataclass(frozen=True)
class StringScorer:
    """Scores the strings of an explanation on every module of a run.

    Attributes
    ----------
    index : of each string among the values.
    values : of each module, its responses to all strings; shape (strings,).
    spread : of each module, the standard deviation of its responses to n-grams.
    """

    index: Mapping[str, int]
    values: Mapping[str, np.ndarray]
    spread: Mapping[str, float]

    def scores(self, candidate: RecordedCandidate) -> tuple[ModuleScore, ...]:
        """Give what a candidate's strings score on each module; nothing where strings of either sort are missing."""
        if not candidate.related or not candidate.unrelated:
            return ()
        related = [self.index[text] for text in candidate.related]
        unrelated = [self.index[text] for text in candidate.unrelated]
        return tuple(
            ModuleScore(name, float(values[related].mean() - values[unrelated].mean()) / self.spread[name])
            for name, values in self.values.items()
        )
