"""The prompts, one TOML file each, and their reader."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from conceptbench.runtime.errors import InputError
from conceptbench.runtime.llm import Message

Unit = Literal["types", "tokens"]

DEFAULT_PROMPT = "few-shot"
MOST_WORDS = 60
LONGEST_WORD = 60
LONGEST_CONTEXT = 400
_FIELDS = {"description", "unit", "contexts", "system", "user", "examples"}


@dataclass(frozen=True)
class Prompt:
    """How an LLM is asked to name a list of words.

    `unit` says whether the list has a word once (`types`) or as often as it occurs (`tokens`), and
    `contexts` how many sentences with the words are shown. `sha256` is the digest of the prompt's file.
    """

    name: str
    description: str
    system: str
    user: str
    examples: tuple[tuple[tuple[str, ...], str], ...]
    unit: Unit
    contexts: int
    sha256: str

    def vary(self, *, unit: Unit | None = None, contexts: int | None = None) -> Prompt:
        """Change the unit or the number of contexts; the new name says so: `few-shot+tokens+contexts=5`.

        Raises
        ------
        InputError
            if the unit is unknown or `contexts` is negative.
        """
        if unit not in {None, *get_args(Unit)}:
            raise InputError(f"--unit {unit}: give {' or '.join(get_args(Unit))}")
        if contexts is not None and contexts < 0:
            raise InputError(f"--contexts {contexts}: give a number of sentences")
        name = self.name
        if unit is not None and unit != self.unit:
            name += f"+{unit}"
        if contexts is not None and contexts != self.contexts:
            name += f"+contexts={contexts}"
        return replace(
            self,
            name=name,
            unit=unit or self.unit,
            contexts=self.contexts if contexts is None else contexts,
        )

    def messages(self, words: Sequence[tuple[str, int]], contexts: Sequence[str] = ()) -> tuple[Message, ...]:
        """Write the messages that ask for the label of some words.

        Parameters
        ----------
        words : pairs of a word and its count, most frequent first.
        contexts : sentences with the words; the first `self.contexts` of them are shown.
        """
        turns = [Message("system", self.system)]
        for example, label in self.examples:
            turns.append(Message("user", self._ask(example, ())))
            turns.append(Message("assistant", label))
        turns.append(Message("user", self._ask(self._list(words), contexts[: self.contexts])))
        return tuple(turns)

    def _list(self, words: Sequence[tuple[str, int]]) -> list[str]:
        if self.unit == "types":
            listed = [word for word, _ in words[:MOST_WORDS]]
        else:
            listed = [word for word, count in words for _ in range(min(count, MOST_WORDS))][:MOST_WORDS]
        return [word[:LONGEST_WORD] for word in listed]

    def _ask(self, words: Sequence[str], contexts: Sequence[str]) -> str:
        context_lines = ""
        if contexts:
            context_lines = (
                "Sentences with these words:\n" + "".join(f"- {text[:LONGEST_CONTEXT]}\n" for text in contexts) + "\n"
            )
        # Words may contain braces, so str.format cannot be used.
        return context_lines + self.user.replace("{words}", ", ".join(words))


def prompt_names() -> list[str]:
    """The names of the packaged prompts."""
    return sorted(file.name.removesuffix(".toml") for file in files(__name__).iterdir() if file.name.endswith(".toml"))


def load_prompt(name: str) -> Prompt:
    """Load a packaged prompt by name, or a user's own by the path of its TOML file.

    Raises
    ------
    InputError
        if there is no such prompt, or its file lacks a field or has a wrong one.
    """
    if name in prompt_names():
        return _parse(name, (files(__name__) / f"{name}.toml").read_bytes(), f"prompt {name}")
    path = Path(name)
    if not name.endswith(".toml"):
        raise InputError(
            f"--prompt {name}: there is no such prompt; there are {', '.join(prompt_names())}, or give the path of "
            "a .toml file of your own"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"--prompt {name}: {error.strerror}") from error
    return _parse(path.stem, content, str(path))


def _parse(name: str, content: bytes, where: str) -> Prompt:
    try:
        fields = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not TOML ({error})") from error
    unknown = sorted(set(fields) - _FIELDS)
    if unknown:
        raise InputError(f"{where}: unknown field {unknown[0]!r}; a prompt has {', '.join(sorted(_FIELDS))}")
    user = _text(fields, "user", where)
    if "{words}" not in user:
        raise InputError(f"{where}: `user` must hold {{words}}, where the list goes")
    unit = fields.get("unit", "types")
    if unit not in {"types", "tokens"}:
        raise InputError(f"{where}: `unit` is {unit!r}; give types or tokens")
    contexts = fields.get("contexts", 0)
    if not isinstance(contexts, int) or contexts < 0:
        raise InputError(f"{where}: `contexts` is {contexts!r}; give a number of sentences")
    return Prompt(
        name=name,
        description=_text(fields, "description", where),
        system=_text(fields, "system", where),
        user=user,
        examples=_examples(fields.get("examples", []), where),
        unit=unit,
        contexts=contexts,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _text(fields: dict[str, Any], field: str, where: str) -> str:
    value = fields.get(field, "")
    if not isinstance(value, str):
        raise InputError(f"{where}: `{field}` must be text")
    return value


def _examples(values: Any, where: str) -> tuple[tuple[tuple[str, ...], str], ...]:
    try:
        examples = tuple((tuple(value["words"]), value["label"]) for value in values)
    except (KeyError, TypeError) as error:
        raise InputError(f"{where}: each of `examples` must have `words` and `label`") from error
    if not all(isinstance(text, str) for words, label in examples for text in (*words, label)):
        raise InputError(f"{where}: `words` and `label` of `examples` must be text")
    return examples
