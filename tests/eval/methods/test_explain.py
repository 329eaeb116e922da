"""Explaining a single module with a real helper, and what is refused."""

from collections.abc import Sequence

import numpy as np
import pytest

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.eval.methods.explain import explain, open_module
from conceptbench.runtime.errors import InputError


@pytest.mark.slow
def test_one_module_is_explained(smollm2_folder: str) -> None:
    lexicon = load_lexicon()
    animals = {word.casefold() for word in lexicon["semantic/animals"].words}

    def module(texts: Sequence[str]) -> np.ndarray:
        return np.array([float(bool(animals & set(text.casefold().split()))) for text in texts])

    corpus = [word for concept in list(lexicon.values())[::10] for word in concept.words] + list(animals)
    explanation = explain(module, corpus, helper="local:smollm2", summaries=3, strings=5)
    assert set(explanation.top_ngrams[: len(animals)]) <= animals | {
        ngram.casefold() for ngram in explanation.top_ngrams
    }
    assert explanation.best is not None
    assert explanation.candidates[0].score == max(
        candidate.score for candidate in explanation.candidates if candidate.score is not None
    )


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda texts: np.zeros(len(texts)), "same number"),
        (lambda texts: np.zeros((len(texts), 2)), "shape"),
        (lambda texts: np.full(len(texts), np.nan), "nan"),
        (lambda texts: [1.0] * len(texts), "list"),
        (lambda texts: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_bad_modules_are_told(module: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        explain(module, ["a few words of text"], helper="local:smollm2")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["nothing", "text:", "neuron:minilm:x:1", "neuron:minilm", "python:nothing:here"])
def test_unknown_modules_are_named(name: str) -> None:
    with pytest.raises(InputError, match="--module"):
        open_module(name)
