"""Requests to language models, their replies, and the names of systems."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from conceptbench.runtime.errors import InputError

KINDS = ("openai", "local")

Reason = Literal["refused", "filtered", "empty", "cut", "failed"]


@dataclass(frozen=True)
class Message:
    """One turn of a chat; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True)
class Request:
    """One question to a model and how to decode its answer.

    `temperature` 0 is greedy. `sample` tells repeated draws of one question apart; it is added to `seed`.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 32
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    sample: int = 0


@dataclass(frozen=True)
class Reply:
    """The reply of a language model. `reason` is None for a usable text, else it says why there is none.

    A `cut` reply (it reached `max_tokens`, or was over-long) keeps its text. `detail` is the server's
    message for `filtered` and `failed`. `seconds` is the time of the call that was answered (for a batch,
    the request's share).
    """

    text: str | None = None
    reason: Reason | None = None
    detail: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0


@dataclass
class Usage:
    """The usage of the calls of this process; replies from the journal count only in `from_journal`.

    `cost` is in USD, None where no price was given.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    cost: float | None = None
    calls: int = 0
    failed: int = 0
    from_journal: int = 0

    def since(self, before: "Usage") -> "Usage":
        """What was used after `before` was copied."""
        cost = None if self.cost is None else self.cost - (before.cost or 0.0)
        counts = {name: value - getattr(before, name) for name, value in vars(self).items() if name != "cost"}
        return Usage(**counts, cost=cost)

    def __add__(self, other: "Usage") -> "Usage":
        costs = [cost for cost in (self.cost, other.cost) if cost is not None]
        counts = {name: value + getattr(other, name) for name, value in vars(self).items() if name != "cost"}
        return Usage(**counts, cost=sum(costs) if costs else None)

    def add(self, reply: Reply, price: tuple[float, float] | None) -> None:
        """Count one call's reply; `price` is USD per million tokens in and out."""
        self.calls += 1
        self.failed += reply.reason == "failed"
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out
        self.seconds += reply.seconds
        if price is not None:
            spent = (reply.tokens_in * price[0] + reply.tokens_out * price[1]) / 1e6
            self.cost = (self.cost or 0.0) + spent


OnReply = Callable[[int, Reply], None]


class LLM(Protocol):
    """A language model that answers requests, in whatever order suits it."""

    system: str
    usage: Usage

    def complete(self, requests: Sequence[Request], on_reply: OnReply | None = None) -> list[Reply]:
        """Answer every request, in the order given.

        `on_reply(index, reply)` is called as each becomes known, those of the journal first.
        """
        ...

    def close(self) -> None:
        """Release the resources of the client; the journal stays open."""
        ...


def parse_system(system: str) -> tuple[str, str]:
    """Split `<kind>:<name>` into kind and name.

    Raises
    ------
    InputError
        there is no colon, or nothing on one side of it.
    """
    kind, colon, name = system.partition(":")
    if not colon or not kind.strip() or not name.strip():
        raise InputError(f"system '{system}' is not of the form <kind>:<name>, for example local:smollm2.")
    return kind.strip(), name.strip()


def public_name(system: str) -> str:
    """Name a system in files: of a local model's folder only its own name is kept."""
    kind, _, name = system.partition(":")
    path = Path(name)
    return f"{kind}:{path.resolve().name if path.is_dir() else name}"
