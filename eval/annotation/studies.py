"""The conditions of studies: the same annotator is asked under each, so that their effect can be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from conceptbench.benchmark.lexicon import Language, load_language, load_lexicon
from conceptbench.benchmark.prompts import Prompt, Unit, load_prompt
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.annotate import ConceptView
from conceptbench.builders.clustering import MergeTree
from conceptbench.builders.concepts import concept_views, sizes_and_words
from conceptbench.eval.annotation.items import SHOWN_CONTEXTS, Item, Layer
from conceptbench.eval.annotation.options import check_stores
from conceptbench.runtime.errors import InputError

PROMPTS: Final = ("zero-shot", "lexical", "part-of-speech", "semantic", "few-shot")
CONTEXTS: Final = (0, 5, 10, 20)
FACTORS: Final = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Condition:
    """What is asked under one condition of a study, or in a plain run, where the name is empty."""

    name: str
    items: Sequence[Item]
    prompt: Prompt
    language: str = "en"


Draw = Callable[[Any], list[Item]]
"""Gives the items of a lexicon, or of layers of a store."""

Conditions = Callable[[Prompt, Sequence[ConceptStore], Draw], Iterator[Condition]]
"""Gives the conditions of a study, from the run's prompt and stores."""


def conditions(study: str | None, prompt: Prompt, stores: Sequence[ConceptStore], draw: Draw) -> Iterator[Condition]:
    """Give the conditions of a study, one after the other; a run without a study has one.

    Parameters
    ----------
    study : a name in `STUDIES`, or None.
    prompt : the prompt of conditions that do not name their own.
    stores : those to take concepts from; none for gold items.
    draw : how items are drawn.

    Raises
    ------
    InputError
        if there is no such study, or it takes another number of stores.
    """
    if study is not None and study not in STUDIES:
        raise InputError(f"--study {study}: there is no such study; there are {', '.join(STUDIES)}")
    check_stores(study, len(stores))
    return (_plain if study is None else STUDIES[study])(prompt, stores, draw)


def _plain(prompt: Prompt, stores: Sequence[ConceptStore], draw: Draw) -> Iterator[Condition]:
    yield Condition("", draw(_layers(stores[0], prompt.contexts) if stores else load_lexicon()), prompt)


def _of_prompt(_prompt: Prompt, _stores: Sequence[ConceptStore], draw: Draw) -> Iterator[Condition]:
    items = draw(load_lexicon())
    for name in PROMPTS:
        yield Condition(f"prompt={name}", items, load_prompt(name))


def _of_contexts(prompt: Prompt, stores: Sequence[ConceptStore], draw: Draw) -> Iterator[Condition]:
    items = draw(_layers(stores[0], CONTEXTS[-1]))
    for count in CONTEXTS:
        yield Condition(f"contexts={count}", items, prompt.vary(contexts=count))


def _of_unit(prompt: Prompt, stores: Sequence[ConceptStore], draw: Draw) -> Iterator[Condition]:
    items = draw(_layers(stores[0], prompt.contexts))
    for unit in get_args(Unit):
        yield Condition(f"unit={unit}", items, prompt.vary(unit=unit))


def _of_k(prompt: Prompt, stores: Sequence[ConceptStore], draw: Draw) -> Iterator[Condition]:
    for factor in FACTORS:
        yield Condition(f"k=x{factor:g}", draw(_recut(stores[0], factor)), prompt.vary(contexts=0))


def _of_corpus(prompt: Prompt, stores: Sequence[ConceptStore], draw: Draw) -> Iterator[Condition]:
    for number, store in enumerate(stores, 1):
        corpus = str(store.manifest.get("corpus", {}).get("name", "corpus")).replace("/", "-")
        yield Condition(f"corpus={number}:{corpus}", draw(_layers(store, prompt.contexts)), prompt)


def _of_language(prompt: Prompt, _stores: Sequence[ConceptStore], draw: Draw) -> Iterator[Condition]:
    for language in get_args(Language):
        yield Condition(f"language={language}", draw(load_language(language)), prompt, language)


STUDIES: Final[Mapping[str, Conditions]] = {
    "prompt": _of_prompt,
    "contexts": _of_contexts,
    "unit": _of_unit,
    "k": _of_k,
    "corpus": _of_corpus,
    "refusals": _plain,
    "language": _of_language,
}
"""What gives the conditions of each study; the task's description says what it compares."""


def _layers(store: ConceptStore, contexts: int) -> list[Layer]:
    """Take the layers of a store, with sentences enough that some are left when words are held out."""
    kept_contexts = max(contexts, SHOWN_CONTEXTS)
    layers = []
    for model in store.models:
        for layer in store.layers(model):
            concepts = store.concepts(model, layer)
            sizes = dict(zip(concepts["concept"].to_pylist(), concepts["size"].to_pylist(), strict=True))
            views = concept_views(store, model, layer, 3 * kept_contexts)
            layers.append(Layer(model, layer, views, sizes, kept_contexts))
    return layers


def _recut(store: ConceptStore, factor: float) -> list[Layer]:
    """Cut each layer's merge tree into `factor` times as many concepts as the store has."""
    layers = []
    for model in store.models:
        for layer in store.layers(model):
            k = max(2, round(factor * store.concepts(model, layer).num_rows))
            labels = MergeTree(store.linkage(model, layer)).cut(k)
            columns = sizes_and_words(store.occurrences(model, layer)["word"].to_pylist(), labels)
            ids = [f"{model}/L{layer:02d}/K{k}C{cluster:04d}" for cluster in range(k)]
            views = [
                ConceptView(concept, tuple((word["word"], word["count"]) for word in words))
                for concept, words in zip(ids, columns["words"], strict=True)
            ]
            layers.append(Layer(model, layer, views, dict(zip(ids, columns["size"], strict=True)), 0))
    return layers
