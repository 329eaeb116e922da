"""The options of `build`: the command line, the function and presets are made from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from conceptbench.benchmark.prompts import DEFAULT_PROMPT, Unit
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.models import MINILM, Pooling
from conceptbench.runtime.options import CHECKED, LLMOptions, Option, Positive, Texts

Clustering = Literal["ward", "kmeans"]
TextPolicy = Literal["kept", "referred"]

LEXICAL: Final = "lexical"

NAMES: Final = "Names"
CORPUS: Final = "Corpus"
CONCEPTS: Final = "Vectors and concepts"


def _layers(value: Any) -> Any:
    """Write numbers of layers as a text."""
    return value if isinstance(value, str) or not isinstance(value, Iterable) else ",".join(map(str, value))


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class BuildOptions(LLMOptions):
    """The options of `build`."""

    corpus: Annotated[
        str,
        Option(
            "The text: a file with a sentence a line; .jsonl, .csv or .parquet with --text-column; "
            "hf:ID[:CONFIG[:SPLIT]]; the URL of a text file; or sample:news.",
            metavar="CORPUS",
            panel=CORPUS,
        ),
    ]
    text_column: Annotated[str | None, Option("The column that holds the text of a tabular corpus.", panel=CORPUS)] = (
        None
    )
    text: Annotated[
        TextPolicy,
        Option(
            "Give `referred` for a corpus that may not be passed on: the store is then published without its text.",
            panel=CORPUS,
        ),
    ] = "kept"
    max_sentences: Annotated[
        Positive | None,
        Option("Read only this many distinct sentences, from the beginning of the corpus.", panel=CORPUS),
    ] = None
    min_count: Annotated[Positive, Option("Leave out words that occur less often.", panel=CORPUS)] = 5
    max_count: Annotated[Positive, Option("Keep at most this many occurrences of a word.", panel=CORPUS)] = 20
    model: Annotated[
        Texts,
        Field(min_length=1),
        Option(
            "The model whose hidden states are clustered: minilm, smollm2, a folder or a Hub id. Repeat the option for "
            "several models.",
            metavar="MODEL",
            default=MINILM,
        ),
    ] = (MINILM,)
    layers: Annotated[
        str,
        BeforeValidator(_layers),
        Option("The layers: all, or numbers such as 0,3,6 or 2-5; layer 0 is the embedding layer.", panel=CONCEPTS),
    ] = "all"
    k: Annotated[int, Option("The number of concepts in each layer.", flag="-k", panel=CONCEPTS)] = 600
    pooling: Annotated[
        Pooling, Option("Which sub-words give the vector of a word that has several.", panel=CONCEPTS)
    ] = "last"
    max_length: Annotated[
        Positive, Option("The most sub-words of a sentence that the model reads.", panel=CONCEPTS)
    ] = 512
    clustering: Annotated[
        Clustering, Option("The method of clustering: ward also makes a merge tree, kmeans does not.", panel=CONCEPTS)
    ] = "ward"
    recut: Annotated[
        bool,
        Option(
            "Allow a -k that differs from an existing store's: its trees are cut again and its concepts replaced.",
            panel=CONCEPTS,
        ),
    ] = False
    annotator: Annotated[
        Texts,
        Option(
            "Who names the concepts: lexical, local:MODEL, openai:MODEL, file:PATH, python:MODULE:CLASS. Repeat the "
            "option for several; the labels of the first become the concepts' labels.",
            metavar="SYSTEM",
            default=LEXICAL,
            panel=NAMES,
        ),
    ] = (LEXICAL,)
    prompt: Annotated[
        str, Option("The annotators' prompt: a name (see `list prompts`) or a .toml file.", panel=NAMES)
    ] = DEFAULT_PROMPT
    contexts: Annotated[
        Annotated[int, Field(ge=0)] | None,
        Option(
            "The number of sentences that an annotator is shown with the words.", default="the prompt's", panel=NAMES
        ),
    ] = None
    unit: Annotated[
        Unit | None,
        Option("types shows each word once, tokens as often as it occurs.", default="the prompt's", panel=NAMES),
    ] = None
    seed: Annotated[int, Option("The seed of the draw of occurrences, and of k-means.")] = 0
    device: Annotated[
        str | None, Option("The torch device that computes the vectors.", default="a GPU if there is one")
    ] = None

    def __post_init__(self) -> None:
        if not self.annotator:
            raise InputError("--annotator: name at least one")
