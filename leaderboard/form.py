"""The form that accompanies a submission: the system's name, links, and how it was run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from conceptbench.leaderboard.names import fault_of_name
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.texts import fault_of_text

FORM_SCHEMA: Final = "conceptbench.form/1"
FORM_FILE: Final = "form.json"
LONGEST_NOTES: Final = 2000
LARGEST_SEED: Final = 2**63 - 1

_LONGEST_LINK = 300
_MOST_SEEDS = 1000
_MOST_PARAMETERS = 50


def _name(text: str) -> str:
    if fault := fault_of_name(text):
        raise ValueError(fault)
    return text


def _text(text: str) -> str:
    if fault := fault_of_text(text):
        raise ValueError(fault)
    return text


def _link(text: str) -> str:
    if not text:
        return text
    plain = text.isascii() and text.isprintable() and not set(text) & set("<>\"'`\\ ")
    parts = urlsplit(text) if plain else None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise ValueError("must be empty or a link that starts with https:// or http://")
    return text


def _seeds(seeds: list[int]) -> list[int]:
    if len(set(seeds)) != len(seeds):
        raise ValueError("name a seed twice")
    return seeds


def _variant(text: str) -> str:
    return _name(text) if text else text


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_name)]
Variant = Annotated[str, Field(max_length=60), AfterValidator(_variant)]
Text = Annotated[str, Field(max_length=LONGEST_NOTES), AfterValidator(_text)]
Link = Annotated[str, Field(max_length=_LONGEST_LINK), AfterValidator(_link)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Short = Annotated[str, Field(max_length=200), AfterValidator(_text)]
Parameter = bool | int | Number | Short | None


class Form(BaseModel):
    """What a submitter states about a submission."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    form_schema: Annotated[Literal["conceptbench.form/1"], Field(alias="schema")] = FORM_SCHEMA
    name: Annotated[
        Name, Field(description="The system's name on the board, in ASCII and unlike any name that is on it already.")
    ]
    variant: Annotated[
        Variant,
        Field(description="What tells this entry from others of its system, such as a prompt; may be empty."),
    ] = ""
    model_link: Annotated[Link, Field(description="The address of the model's page; may be empty.")] = ""
    code_link: Annotated[Link, Field(description="The address of the code; may be empty.")] = ""
    decoding: Annotated[
        dict[Name, Parameter], Field(max_length=_MOST_PARAMETERS, description="Decoding parameters, by name.")
    ] = {}
    seeds: Annotated[
        list[Seed],
        Field(
            min_length=1, max_length=_MOST_SEEDS, description="All seeds that were run, including that of this result."
        ),
        AfterValidator(_seeds),
    ]
    notes: Annotated[Text, Field(description="Anything else that readers of the board should know.")] = ""

    def to_json(self) -> dict[str, Any]:
        """Give the contents of the form's file."""
        return self.model_dump(by_alias=True)


def read_form(content: Mapping[str, Any]) -> Form:
    """Check a form.

    Raises
    ------
    InputError
        if a field is missing, unknown, or holds a value that it may not; the message names the first such field.
    """
    try:
        return Form.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(ascii(part)[:60] if isinstance(part, str) else str(part) for part in first["loc"][:2])
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{FORM_FILE}, {where.replace(chr(39), '') or 'the form'}: {message}") from error


def form_schema() -> str:
    """Give the JSON schema of the form, as it is published in docs/submission.schema.json."""
    schema = Form.model_json_schema(by_alias=True)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=1) + "\n"
