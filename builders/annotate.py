"""Naming concepts: annotators, their attempts, and how a reply becomes a label."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from conceptbench.benchmark.prompts import Prompt, load_prompt
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.lexical import lexical_label
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.files import sha256
from conceptbench.runtime.llm import LLM, Reply, Request, Usage, parse_system, public_name
from conceptbench.runtime.models import model_config
from conceptbench.runtime.progress import Progress, Silent
from conceptbench.runtime.readers import check_label, read_label

_LONGEST_RAW = 2000
_REPLY_TOKENS = 32
_OWN_CONTEXTS = 5


@dataclass(frozen=True)
class ConceptView:
    """What an annotator sees of a concept: words with counts, most frequent first, and sentences."""

    concept: str
    words: tuple[tuple[str, int], ...]
    contexts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """One attempt to name a concept: a label, or the reason there is none (see `schema.REASONS`)."""

    prompt: str
    label: str | None
    reason: str | None
    raw: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0


class Annotator(Protocol):
    """A system that names concepts.

    `name` is the system's string, `prompt` that of the first attempt (empty where there is none), `contexts`
    the number of sentences it wants to see.
    """

    name: str
    prompt: str
    contexts: int

    @property
    def usage(self) -> Usage | None:
        """The tokens, seconds and cost of the calls of this process; None for an annotator that makes no calls."""
        ...

    def annotate(self, views: Sequence[ConceptView], on_named: Callable[[], None]) -> list[list[Attempt]]:
        """Give each concept's attempts, of which the last counts; call `on_named` once a concept."""
        ...

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file that is used (prompts, recorded labels), by name."""
        ...

    def close(self) -> None:
        """Release the resources that the annotator holds."""
        ...


def annotate(
    views: Sequence[ConceptView], annotator: Annotator, progress: Progress | None = None, stage: str | None = None
) -> list[list[Attempt]]:
    """Name concepts and give every attempt, in the order of `views`.

    Raises
    ------
    ConceptBenchError
        if the annotator cannot work at all; a single failure is an attempt with its reason.
    """
    progress = progress or Silent()
    with progress.stage(stage or f"Naming concepts with {annotator.name}", len(views)) as advance:
        return annotator.annotate(views, lambda: advance(1))


def open_annotator(
    system: str, *, prompt: Prompt | None = None, open_client: Callable[[str], LLM] | None = None
) -> Annotator:
    """Open the annotator that a system string names.

    Parameters
    ----------
    system : `lexical`, `openai:<model>`, `local:<model>`, `file:<path>` or `python:<module>:<class>`.
    prompt : for language models.
    open_client : makes the client of a language model; it is called at the first use.

    Raises
    ------
    InputError
        if the kind is unknown, or the file or class cannot be read.
    """
    if system == "lexical":
        return _Named("lexical", lambda view: lexical_label(view.words))
    kind, name = parse_system(system) if ":" in system else ("", "")
    if kind == "file":
        path = Path(name)
        labels = read_labels(path)
        files = sorted(path.glob("concepts/*/*.parquet")) if path.is_dir() else [path]
        digests = {path.name: sha256(*files)}
        return _Named(f"file:{path.name}", lambda view: labels.get(view.concept), digests=digests)
    if kind == "python":
        return _Named(system, _load_own(name), contexts=_OWN_CONTEXTS)
    if kind in {"openai", "local"} and prompt is not None and open_client is not None:
        return LLMAnnotator(system, prompt, open_client)
    raise InputError(
        f"--annotator {system}: there is no such annotator; give lexical, openai:<model>, local:<model>, file:<path> "
        "or python:<module>:<class>"
    )


class LLMAnnotator:
    """A language model that names concepts under a prompt.

    A concept that is refused or filtered is asked about again with word types and without contexts, and then with
    another prompt. A concept whose answer cannot be parsed is not, since the model did answer.
    """

    def __init__(self, system: str, prompt: Prompt, open_client: Callable[[str], LLM]) -> None:
        self.name = public_name(system)
        self.prompt = prompt.name
        self.contexts = prompt.contexts
        plain = prompt.vary(unit="types", contexts=0)
        fallback = load_prompt("semantic" if prompt.name.startswith("lexical") else "lexical")
        self._prompts = [prompt, plain, fallback]
        self._system, self._open = system, open_client
        # A missing key or missing weights should be reported before any long work starts.
        kind, name = parse_system(system)
        if kind == "local":
            model_config(name)
        self._client: LLM | None = open_client(system) if kind == "openai" else None

    def annotate(self, views: Sequence[ConceptView], on_named: Callable[[], None]) -> list[list[Attempt]]:
        """Ask for every concept, then again for those refused or filtered."""
        if self._client is None:
            self._client = self._open(self._system)
        attempts: list[list[Attempt]] = [[] for _ in views]
        unnamed = list(range(len(views)))
        for turn, prompt in enumerate(self._prompts):
            to_ask = [i for i in unnamed if turn == 0 or not self._same_question(views[i], turn)]
            requests = [_request(prompt, views[i]) for i in to_ask]
            first = (lambda _i, _reply: on_named()) if turn == 0 else None
            for i, reply in zip(to_ask, self._client.complete(requests, first), strict=True):
                attempts[i].append(_attempt(prompt.name, reply))
            unnamed = [i for i in unnamed if attempts[i][-1].reason in {"refused", "filtered"}]
            if not unnamed:
                break
        return attempts

    @property
    def usage(self) -> Usage | None:
        """The usage that the client counted."""
        return self._client.usage if self._client is not None else None

    def digests(self) -> dict[str, str]:
        """The digests of the prompts, including the fallback prompt."""
        return {prompt.name.partition("+")[0]: prompt.sha256 for prompt in self._prompts}

    def close(self) -> None:
        """Close the client, if one was opened."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _same_question(self, view: ConceptView, turn: int) -> bool:
        questions = [prompt.messages(view.words, view.contexts) for prompt in self._prompts[: turn + 1]]
        return questions[-1] in questions[:-1]


class _Named:
    """An annotator that is a function from a concept to its label."""

    prompt = ""
    usage = None

    def __init__(
        self,
        name: str,
        label: Callable[[ConceptView], str | None],
        *,
        contexts: int = 0,
        digests: dict[str, str] | None = None,
    ) -> None:
        self.name, self._label, self.contexts = name, label, contexts
        self._digests = digests or {}

    def annotate(self, views: Sequence[ConceptView], on_named: Callable[[], None]) -> list[list[Attempt]]:
        attempts = []
        for view in views:
            raw = self._label(view)
            # An annotator that gives None did not attempt the concept.
            label, reason = (None, None) if raw is None else check_label(" ".join(raw.split()))
            attempts.append([] if raw is None else [Attempt("", label, reason, raw[:_LONGEST_RAW])])
            on_named()
        return attempts

    def digests(self) -> dict[str, str]:
        return self._digests

    def close(self) -> None:
        pass


def read_labels(path: Path) -> dict[str, str]:
    """Read recorded labels: `concept` and `label` a row of CSV or JSON lines, or the labels of a concept store.

    Raises
    ------
    InputError
        if the file cannot be read, a column is missing, or a concept occurs in it twice.
    """
    if path.is_dir():
        return _store_labels(ConceptStore.open(path))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".jsonl":
                rows = [json.loads(line) for line in file if line.strip()]
            else:
                rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"file:{path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"file:{path}: neither CSV nor JSON lines in UTF-8 ({error})") from error
    labels: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        concept, label = (row.get("concept"), row.get("label")) if isinstance(row, Mapping) else (None, None)
        if not isinstance(concept, str) or not isinstance(label, str):
            raise InputError(f"file:{path}, row {number}: a row must have `concept` and `label`")
        if concept in labels:
            raise InputError(f"file:{path}, row {number}: concept {concept} stands in it twice")
        labels[concept] = label
    return labels


def _store_labels(store: ConceptStore) -> dict[str, str]:
    tables = [store.concepts(model, layer) for model in store.models for layer in store.layers(model)]
    pairs = [zip(table["concept"].to_pylist(), table["label"].to_pylist(), strict=True) for table in tables]
    return {concept: label for layer_pairs in pairs for concept, label in layer_pairs if label is not None}


def _request(prompt: Prompt, view: ConceptView) -> Request:
    return Request(prompt.messages(view.words, view.contexts), max_tokens=_REPLY_TOKENS, stop=("\n",))


def _attempt(prompt: str, reply: Reply) -> Attempt:
    label: str | None = None
    reason: str | None
    if reply.reason is None or reply.reason == "cut":
        label, reason = read_label(reply.text or "", cut=reply.reason == "cut")
    else:
        reason = "unparsable" if reply.reason == "empty" else reply.reason
    raw = reply.text if reply.text is not None else (reply.detail or None)
    return Attempt(
        prompt, label, reason, None if raw is None else raw[:_LONGEST_RAW], reply.tokens_in, reply.tokens_out
    )


def _load_own(name: str) -> Callable[[ConceptView], str | None]:
    """Make a user's class; it must have `label(words, contexts)`, with words as (word, count)."""
    module, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        instance = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"--annotator python:{name}: cannot be made: {error}") from error
    if not callable(getattr(instance, "label", None)):
        raise InputError(f"--annotator python:{name}: the class needs a method label(words, contexts) -> str")

    def label(view: ConceptView) -> str | None:
        answer = instance.label(list(view.words), list(view.contexts))
        if answer is not None and not isinstance(answer, str):
            raise ConceptBenchError(f"python:{name}: label() gave {type(answer).__name__}, not str or None")
        return answer

    return label
