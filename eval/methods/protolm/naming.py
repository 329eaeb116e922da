"""Names of prototypes: SASC says in words what texts a prototype is similar to."""

from __future__ import annotations

from collections.abc import Sequence

from conceptbench.eval.methods.protolm.explaining import prototype_modules
from conceptbench.eval.methods.protolm.model import PrototypeClassifier
from conceptbench.eval.methods.protolm.tokens import Text
from conceptbench.eval.methods.sasc.candidates import Candidate, ranked, score_candidates
from conceptbench.eval.methods.sasc.ngrams import draw_ngrams, ngrams_of, respond
from conceptbench.eval.methods.sasc.parameters import CONSIDERED
from conceptbench.eval.methods.sasc.sasc import SASC, Subject
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.llm import LLM
from conceptbench.runtime.progress import Progress


def name_prototypes(
    classifier: PrototypeClassifier,
    numbers: Sequence[int],
    texts: Sequence[Text],
    helper: LLM,
    *,
    max_ngrams: int | None,
    seed: int,
    progress: Progress,
) -> dict[int, Candidate]:
    """Say in words what texts are similar to prototypes, by SASC over the n-grams of texts.

    Parameters
    ----------
    numbers : the prototypes to name.
    texts : the training texts; both sentences of a pair give n-grams.
    helper : the language model that summarises n-grams and writes test strings.
    max_ngrams : n-grams at most, drawn by the seed; all where it is None.
    seed : of every draw.
    progress : shows how far the naming is.

    Returns
    -------
    the best candidate of each prototype that has one.
    """
    sentences = [part for text in texts for part in ((text,) if isinstance(text, str) else text)]
    ngrams = draw_ngrams(ngrams_of(sentences), max_ngrams, seed)
    modules = prototype_modules(classifier)
    number_of = {f"P{number:03d}": number for number in numbers}
    responses = respond({item: (modules[number], ngrams) for item, number in number_of.items()}, progress=progress)
    subjects = [
        Subject(item, modules[number], responses[item].strongest(CONSIDERED))
        for item, number in number_of.items()
        if responses[item].spread > 0.0
    ]
    names = {}
    for subject, candidates in zip(subjects, SASC(seed=seed).explain(subjects, helper, progress), strict=True):
        generator = generator_of("permutations", seed, subject.run)
        best = next(iter(ranked(score_candidates(candidates, responses[subject.run].spread, generator))), None)
        if best is not None:
            names[number_of[subject.run]] = best
    return names
