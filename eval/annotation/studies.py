"""Studies: the same annotator under several conditions, so that their effect can be seen."""

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


@dataclass(frozen=True)
class Study:
    """A study: what it compares, the number of stores it takes, and its conditions."""

    what: str
    stores: int
    conditions: Callable[[Prompt, Sequence[ConceptStore], Draw], Iterator[Condition]]


def conditions(study: str | None, prompt: Prompt, stores: Sequence[ConceptStore], draw: Draw) -> Iterator[Condition]:
    """Give the conditions of a study, one after the other; of a plain run there is one.

    Parameters
    ----------
    study : a name in `STUDIES`, or None.
    prompt : the prompt of conditions that do not name their own.
    stores : those to take concepts from; none for gold items.
    draw : how items are drawn.

    Raises
    ------
    InputError
        if there is no such study, or it needs another number of stores.
    """
    if study is None:
        if len(stores) > 1:
            raise InputError("--store: give one, or two with --study corpus")
        return _plain(prompt, stores, draw)
    if study not in STUDIES:
        raise InputError(f"--study {study}: there is no such study; there are {', '.join(STUDIES)}")
    wanted = STUDIES[study]
    if len(stores) != wanted.stores:
        raise InputError(f"--study {study} takes {wanted.stores or 'no'} --store: {wanted.what}")
    return wanted.conditions(prompt, stores, draw)


def condition_names(metrics: Mapping[str, Any]) -> list[str]:
    """Give the conditions that a result's metrics are broken down by, in their order."""
    names = [name.split("/")[1] for name in metrics if "/" in name]
    own = tuple(f"{study}=" for study in STUDIES)
    return list(dict.fromkeys(name for name in names if name.startswith(own)))


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


STUDIES: Final = {
    "prompt": Study("each packaged prompt, on gold items", 0, _of_prompt),
    "contexts": Study("0, 5, 10 and 20 sentences shown with the words, on a store", 1, _of_contexts),
    "unit": Study("word types or tokens, on a store", 1, _of_unit),
    "k": Study("half, as many and twice as many concepts a layer, on a store with merge trees", 1, _of_k),
    "corpus": Study("one store against another of other text: give --store twice", 2, _of_corpus),
    "refusals": Study("who refuses which kind, and what asking in another way recovers, on gold items", 0, _plain),
    "language": Study("the same concepts in English, German, Spanish and Swahili", 0, _of_language),
}
"""The studies, by name."""


def _layers(store: ConceptStore, contexts: int) -> list[Layer]:
    """Take the layers of a store, with sentences enough that some are left when words are held out."""
    found = []
    for model in store.models:
        for layer in store.layers(model):
            concepts = store.concepts(model, layer)
            sizes = dict(zip(concepts["concept"].to_pylist(), concepts["size"].to_pylist(), strict=True))
            shown = max(contexts, SHOWN_CONTEXTS)
            found.append(Layer(model, layer, concept_views(store, model, layer, 3 * shown), sizes, shown))
    return found


def _recut(store: ConceptStore, factor: float) -> list[Layer]:
    """Cut each layer's merge tree into `factor` times as many concepts as the store has."""
    found = []
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
            found.append(Layer(model, layer, views, dict(zip(ids, columns["size"], strict=True)), 0))
    return found
