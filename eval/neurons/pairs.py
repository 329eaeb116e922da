"""The alignment of super- and sub-concepts of a layer, of each source and of the study's cuts of the tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.builders.clustering import MergeTree
from conceptbench.eval.methods.neurons.alignment import Alignment, align
from conceptbench.eval.methods.neurons.choices import Scaling
from conceptbench.eval.methods.neurons.pairs import ConceptPairs, label_pairs, lexicon_pairs, tree_pairs
from conceptbench.eval.methods.neurons.vectors import Ints
from conceptbench.eval.neurons.layers import LayerNeurons
from conceptbench.eval.neurons.measured import Measured
from conceptbench.eval.neurons.options import FACTORS, NeuronsOptions, Source
from conceptbench.eval.neurons.records import PairRow
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError


def pair_rows(layer: LayerNeurons, source: Source, options: NeuronsOptions) -> Measured:
    """Align the pairs of one source.

    Raises
    ------
    InputError
        if the store's tree is not that of its concepts.
    """
    if source == "labels" and not any(layer.layer.labels[concept] for concept in layer.concepts):
        return Measured(skipped={f"{source} pairs": _why_none(layer, source, layer.k)})
    return _aligned(_Question(layer, _pairs_of(layer, source), source, layer.k), options)


def study_rows(layer: LayerNeurons, k: int, options: NeuronsOptions) -> Measured:
    """Align the pairs of the tree when it is cut into `k` concepts; those of the layer's own cut are not repeated."""
    condition, tokens = f"k={k}", len(layer.vectors)
    if not _can_cut(layer, k):
        return Measured(skipped={f"study {condition}": f"A cut of {tokens} tokens has 2 to {tokens} concepts."})
    if k == layer.k and "tree" in options.pairs:
        return Measured()
    names = [f"{layer.layer.model}/{layer.name}/k={k}/C{number:04d}" for number in range(k)]
    pairs = tree_pairs(layer.layer.linkage, MergeTree(layer.layer.linkage).cut(k), names)
    return _aligned(_Question(layer, pairs, "tree", k, condition), options)


def study_ks(layer: LayerNeurons, options: NeuronsOptions) -> list[int]:
    """Give the numbers of concepts that the study asks for: those of the options, or the factors of the layer's."""
    if options.study is None:
        return []
    return sorted(set(options.ks or [round(layer.k * factor) for factor in FACTORS]))


def studied_ks(layer: LayerNeurons, options: NeuronsOptions) -> list[int]:
    """Give those of the study's numbers of concepts that the layer's tree can be cut into."""
    return [k for k in study_ks(layer, options) if _can_cut(layer, k)]


def _can_cut(layer: LayerNeurons, k: int) -> bool:
    return 2 <= k <= len(layer.vectors)


@dataclass(frozen=True, eq=False)
class _Question:
    """Pairs of a layer to align: their source, the number of concepts, and the condition of the study, if any."""

    layer: LayerNeurons
    pairs: ConceptPairs
    source: Source
    k: int
    condition: str = ""

    @property
    def name(self) -> str:
        """The name of the pairs in the provenance."""
        return f"study {self.condition}" if self.condition else f"{self.source} pairs"

    def limited(self, limit: int | None, seed: int) -> _Question:
        """Draw at most `limit` of the pairs."""
        count = len(self.pairs.pairs)
        if limit is None or count <= limit:
            return self
        layer = self.layer.layer
        generator = generator_of("pairs", seed, layer.model, layer.layer, self.source, len(self.pairs.names))
        chosen = np.sort(generator.permutation(count)[:limit])
        return replace(self, pairs=replace(self.pairs, pairs=self.pairs.pairs[chosen]))

    def families(self) -> dict[str, str]:
        """Name the family of each super-concept after its first member.

        Families of labels and of the lexicon span the layers; those of a tree do not.
        """
        numbers, _ = self.pairs.families
        supers = [(wider.name, number) for wider, number in zip(self.pairs.supers, numbers.tolist(), strict=True)]
        first: dict[int, str] = {}
        for name, number in sorted(supers):
            first.setdefault(number, name)
        start = f"{self.layer.name}, k={self.k}, " if self.source == "tree" else ""
        return {name: f"{self.source}: {start}{first[number]}" for name, number in supers}


def _aligned(question: _Question, options: NeuronsOptions) -> Measured:
    """Align pairs under both scalings, and say what is left out."""
    question = question.limited(options.limit, options.seed)
    count = len(question.pairs.pairs)
    if not count:
        return Measured(skipped={question.name: _why_none(question.layer, question.source, question.k)})
    try:
        alignments = align(
            question.layer.vectors,
            question.pairs,
            fraction=options.fraction,
            controls=options.controls,
            seed=options.seed,
        )
    except InputError as error:  # vectors and options are checked before: there is nothing to compare with
        return Measured(skipped={question.name: f"{error}; it takes more concepts (K = {question.k})."})
    left_out = alignments["raw"].left_out
    return Measured(
        rows=list(_rows(question, alignments, options.fraction)),
        counts={question.name: count - left_out},
        skipped={question.name: f"{left_out} pairs have no unrelated concept beside them, or no token left."}
        if left_out
        else {},
    )


def _rows(question: _Question, alignments: Mapping[Scaling, Alignment], fraction: float) -> Iterator[PairRow]:
    layer, families = question.layer, question.families()
    labels = dict(zip(layer.layer.concepts, layer.layer.labels, strict=True))
    words = _words(question, alignments["raw"])
    for scaling, alignment in alignments.items():
        for pair in alignment.pairs:
            super_words, sub_words = words[pair.super_concept, pair.sub_concept]
            yield PairRow(
                layer=layer.layer.layer,
                k=question.k,
                condition=question.condition,
                source=question.source,
                scaling=scaling,
                super=pair.super_concept,
                concept=pair.sub_concept,
                label=labels.get(pair.sub_concept),
                super_words=super_words,
                words=sub_words,
                family=families[pair.super_concept],
                size=pair.size,
                fraction=fraction,
                controls=pair.nulls,
                p=pair.p,
                fractions=tuple(sorted(alignment.curve)),
                alignment=pair.curve,
                null=pair.null_curve,
                neurons=pair.shared,
            )


def _words(question: _Question, alignment: Alignment) -> dict[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]]:
    """Give the words of each pair's super-concept, without its part's tokens, and of the part."""
    pairs, layer = question.pairs, question.layer
    super_tokens = {wider.name: pairs.super_tokens(number) for number, wider in enumerate(pairs.supers)}
    tokens = dict(zip(pairs.names, pairs.tokens, strict=True))
    return {
        (pair.super_concept, pair.sub_concept): (
            layer.words(super_tokens[pair.super_concept], tokens[pair.sub_concept]),
            layer.words(tokens[pair.sub_concept]),
        )
        for pair in alignment.pairs
    }


def _pairs_of(layer: LayerNeurons, source: Source) -> ConceptPairs:
    """Find the pairs of one source."""
    if source == "lexicon":
        return lexicon_pairs(_lexicon_tokens(layer))
    names = [layer.layer.concepts[concept] for concept in layer.concepts.tolist()]
    if source == "labels":
        labels = [layer.layer.labels[concept] for concept in layer.concepts.tolist()]
        return label_pairs(layer.concept_of, labels, names)
    try:
        return tree_pairs(layer.layer.linkage, layer.concept_of, names)
    except InputError as error:
        raise InputError(f"{layer.where}: {error}; build it again") from error


def _lexicon_tokens(layer: LayerNeurons) -> dict[str, Ints]:
    """Give the rows of the tokens whose word is in the list of each gold concept."""
    number = {word: i for i, word in enumerate(layer.types)}
    tokens: dict[str, Ints] = {}
    for name, gold in load_lexicon().items():
        types = sorted({number[word] for text in gold.words if (word := text.casefold()) in number})
        if types:
            tokens[name] = np.sort(np.concatenate([layer.rows_of_types[i] for i in types]))
    return tokens


def _why_none(layer: LayerNeurons, source: Source, k: int) -> str:
    """Say why there are no pairs of a source."""
    if source == "tree":
        return f"No merge above the cut into {k} concepts holds few enough of them."
    if source == "labels":
        if not any(layer.layer.labels):
            return "The store has no labels: add them with `conceptbench build --annotator`."
        return "No label of two to ten concepts is, or is contained in, that of another."
    return "The words of the store are in no two gold concepts of which one is the other's parent."
