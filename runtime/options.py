"""Options: one dataclass for a command, from which its command line, function, provenance and docs are made."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import annotated_types
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from conceptbench.runtime.errors import InputError
from conceptbench.runtime.llm import public_name

OptionsT = TypeVar("OptionsT")

CHECKED: Final = ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)
"""How every dataclass of options is validated."""


@plain_dataclass(frozen=True)
class Option:
    """The description of an option, beside its type, range and default.

    Attributes
    ----------
    help : a sentence or two that can be read alone.
    flag : on the command line; by default the field's name, `--like-this`.
    short : a second, short flag.
    metavar : the value's name on the command line.
    default : in words, where it is worked out from other options.
    panel : the heading under which the command line's help lists it.
    recorded : gives what the provenance holds of a value.
    hidden : whether only Python can set it.
    """

    help: str
    flag: str = ""
    short: str = ""
    metavar: str = ""
    default: str = ""
    panel: str = ""
    recorded: Callable[[Any], Any] | None = None
    hidden: bool = False


def split_commas(value: Any) -> Any:
    """Split a text at its commas; leave anything else as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def as_sequence(value: Any) -> Any:
    """Put a single text or path into a list; leave anything else as it is."""
    return [value] if isinstance(value, str | Path) else value


Names = Annotated[tuple[str, ...], BeforeValidator(split_commas)]
"""Several names; as a text, with commas between."""

Integers = Annotated[tuple[int, ...], BeforeValidator(split_commas)]
"""Several whole numbers; as a text, with commas between."""

Numbers = Annotated[tuple[float, ...], BeforeValidator(split_commas)]
"""Several numbers; as a text, with commas between."""

Texts = Annotated[tuple[str, ...], BeforeValidator(as_sequence)]
"""Several texts; on the command line the option is repeated."""

Paths = Annotated[tuple[Path, ...], BeforeValidator(as_sequence)]
"""Several files or folders; on the command line the option is repeated."""

Positive = Annotated[int, Field(ge=1)]


def public_url(url: str) -> str:
    """Leave out of an address what may be secret: a user's name and password, and what follows a question mark."""
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.partition("?")[0].rpartition("@")[2]


LLM_PANEL: Final = "Language models"
JUDGES_PANEL: Final = "Judges"


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class LLMOptions:
    """The options of tasks that ask language models."""

    base_url: Annotated[
        str | None,
        Option(
            "The address of the OpenAI-compatible server that `openai:` systems are asked at.",
            panel=LLM_PANEL,
            recorded=public_url,
        ),
    ] = None
    concurrency: Annotated[Positive, Option("Requests that may be under way at once.", panel=LLM_PANEL)] = 8
    timeout: Annotated[float, Field(ge=0.1), Option("The seconds that a request may take.", panel=LLM_PANEL)] = 60.0
    price: Annotated[
        tuple[float, float] | None,
        Option(
            "USD per million tokens in and out, with which the cost is counted.",
            metavar="IN OUT",
            panel=LLM_PANEL,
        ),
    ] = None

    def client_options(self) -> dict[str, Any]:
        """Give the options of `runtime.clients.Clients`."""
        return {name: getattr(self, name) for name in ("base_url", "concurrency", "timeout", "price")}


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class JudgeOptions(LLMOptions):
    """The options of tasks in which language models judge the answers of others."""

    judges: Annotated[
        Names,
        Option(
            "Language models that judge the answers; in the same run they are calibrated on planted controls.",
            metavar="SYSTEM,…",
            panel=JUDGES_PANEL,
            recorded=public_name,
        ),
    ] = ()
    judge_base_url: Annotated[
        str | None,
        Option(
            "The server of `openai:` judges.",
            default="that of --base-url",
            panel=JUDGES_PANEL,
            recorded=public_url,
        ),
    ] = None
    allow_self_judging: Annotated[
        bool, Option("Let a model judge its own answers, which is refused otherwise.", panel=JUDGES_PANEL)
    ] = False


@plain_dataclass(frozen=True)
class OptionField:
    """A field of a dataclass of options, taken apart.

    `kind` is its type without None and annotations; `several` says how a sequence is given on the command line: with
    `commas`, `repeated`, or not at all (empty).
    """

    name: str
    option: Option
    kind: Any
    default: Any
    required: bool
    several: Literal["", "commas", "repeated"]
    bounds: tuple[Any, ...]

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return self.option.flag or "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed values of an option that takes one of a few names; else empty."""
        inner = get_args(self.kind)[0] if get_origin(self.kind) is tuple else self.kind
        return get_args(inner) if get_origin(inner) is Literal else ()

    @property
    def range(self) -> str:
        """The range of a number, in words; empty if any number is allowed."""
        words = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
        parts = [
            text.format(f"{limit:g}")
            for bound in self.bounds
            for name, text in words.items()
            if (limit := getattr(bound, name, None)) is not None
        ]
        return ", ".join(parts)


def option_fields(options: type) -> Iterator[OptionField]:
    """Take a dataclass of options apart: the task's own options first, then those that tasks share."""
    hints = get_type_hints(options, include_extras=True)
    by_name = {field.name: field for field in fields(options)}
    for owner in options.__mro__:
        for name in vars(owner).get("__annotations__", ()):
            if name in by_name:
                yield _field(by_name.pop(name), hints[name])


def read_options(options: type[OptionsT], given: Mapping[str, Any]) -> OptionsT:
    """Make a task's options of what a user gave, and check them.

    Raises
    ------
    InputError
        if one is missing, unknown, of another type or out of its range.
    """
    try:
        return options(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        known = {field.name: field for field in option_fields(options)}
        name = str(first["loc"][0]) if first["loc"] else ""
        if name not in known:
            names = ", ".join(known)
            raise InputError(f"option {name!r}: there is no such option; there are {names}") from error
        if first["type"] == "missing":
            raise InputError(f"{known[name].flag}: must be given. {known[name].option.help}") from error
        value = _written(given.get(name, first["input"]))
        raise InputError(f"{known[name].flag} {value}: {_advice(first, known[name])}") from error


def recorded_options(options: object) -> dict[str, Any]:
    """Give the options as the provenance records them: every one, as JSON, without paths of this machine."""
    return {field.name: _recorded(getattr(options, field.name), field.option) for field in option_fields(type(options))}


def _recorded(value: Any, option: Option) -> Any:
    if isinstance(value, list | tuple):
        return [_recorded(part, option) for part in value]
    if value is None or option.recorded is None:
        return value.resolve().name if isinstance(value, Path) else value
    return option.recorded(value)


def _field(field: Any, hint: Any) -> OptionField:
    kind, extras = _taken_apart(hint)
    option = next((extra for extra in extras if isinstance(extra, Option)), None)
    if option is None:
        raise TypeError(f"{field.name} has no Option in its annotation")
    validators = [extra.func for extra in extras if isinstance(extra, BeforeValidator)]
    several: Literal["", "commas", "repeated"] = (
        "commas" if split_commas in validators else "repeated" if as_sequence in validators else ""
    )
    bounds = tuple(
        bound
        for extra in extras
        for bound in (extra.metadata if hasattr(extra, "metadata") else [extra])
        if isinstance(bound, annotated_types.BaseMetadata)
    )
    missing = field.default is MISSING
    return OptionField(field.name, option, kind, None if missing else field.default, missing, several, bounds)


def _taken_apart(hint: Any) -> tuple[Any, list[Any]]:
    """Give a hint's type without None, and all that annotates it."""
    extras: list[Any] = []
    while True:
        if get_origin(hint) is Annotated:
            hint, *more = get_args(hint)
            extras += more
        elif get_origin(hint) in {Union, types.UnionType}:
            (hint,) = [part for part in get_args(hint) if part is not types.NoneType]
        else:
            return hint, extras


def _advice(error: Mapping[str, Any], field: OptionField) -> str:
    if field.choices:
        return f"give {'some' if get_origin(field.kind) is tuple else 'one'} of {', '.join(map(str, field.choices))}"
    if field.range and error["type"] in {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}:
        return f"give {field.range}"
    return str(error["msg"])


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
