"""Command lines made from dataclasses of options: a parameter for each field."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any

import typer

from conceptbench.runtime.options import OptionField, option_fields


def command_of(
    run: Callable[..., None], options: type, more: Sequence[inspect.Parameter], optional: Collection[str] = ()
) -> Callable[..., None]:
    """Give a function that typer makes a command of.

    Parameters
    ----------
    run : is called with the values of all parameters by name; its docstring is the command's help.
    options : the dataclass of options.
    more : parameters beside these.
    optional : fields that must be given in Python, but not on the command line.
    """

    def command(**values: Any) -> None:
        run(**values)

    visible = [field for field in option_fields(options) if not field.option.hidden]
    parameters = [*(_parameter(field, field.name in optional) for field in visible), *more]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = run.__doc__
    return command


def stated(options: type, values: dict[str, Any]) -> dict[str, Any]:
    """Choose those values of a command line that are options and hold something; the others have their defaults."""
    names = {field.name for field in option_fields(options)}
    return {name: value for name, value in values.items() if name in names and value is not None}


def _parameter(field: OptionField, optional: bool) -> inspect.Parameter:
    """Make a parameter of the command line of an option; ranges and choices are checked with the options."""
    names = [field.flag, *([field.option.short] if field.option.short else [])]
    notes = [field.option.help, *([f"{field.range.capitalize()}."] if field.range else [])]
    option = typer.Option(
        *names,
        help=" ".join(notes),
        metavar=field.option.metavar or ("|".join(map(str, field.choices)) if field.choices else None),
        show_default=field.option.default
        or not (field.default is None or field.default is False or field.default == ()),
        rich_help_panel=field.option.panel or None,
    )
    kind, default = _typed(field)
    if field.required and optional:
        return keyword(field.name, Annotated[kind | None, option], None)
    return keyword(field.name, Annotated[kind, option], inspect.Parameter.empty if field.required else default)


def _typed(field: OptionField) -> tuple[Any, Any]:
    """Give the type and the default of an option on the command line."""
    if field.several == "commas":
        text = ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in field.default or ())
        return (str | None, text or None) if field.default is None or not text else (str, text)
    if field.several == "repeated":
        return list[str] | None, None
    kind = str if field.choices else field.kind
    return (kind if field.required or field.default is not None else kind | None), field.default


def keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """Make a parameter that is not an option of the dataclass."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
