"""Asking language models: what is asked, what comes back, and which client answers for which system."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from conceptbench.runtime.errors import InputError

if TYPE_CHECKING:
    from conceptbench.runtime.journal import Journal

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
    """What came back. `reason` is None for a usable text, else why there is none.

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
    """What the calls of this process took; replies from the journal only count in `from_journal`.

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
        """Give back what the client holds; the journal stays its owner's."""
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


def open_llm(
    system: str,
    *,
    journal: "Journal | None" = None,
    base_url: str | None = None,
    concurrency: int = 8,
    timeout: float = 60.0,
    retries: int = 6,
    batch_size: int = 16,
    price: tuple[float, float] | None = None,
) -> LLM:
    """The client for a system: `openai:<model>` or `local:<folder, Hub id or smollm2>`.

    Parameters
    ----------
    system : what to ask.
    journal : where answers are kept and found again.
    base_url : of an OpenAI-compatible server; `openai:` only.
    concurrency : requests under way at once; `openai:` only.
    timeout : seconds one call may take; `openai:` only.
    retries : calls after the first, where the trouble may pass; `openai:` only.
    batch_size : requests computed together; `local:` only.
    price : USD per million tokens in and out.

    Raises
    ------
    InputError
        unknown kind, missing key or weights, or an option out of range.
    """
    kind, name = parse_system(system)
    _check_options(concurrency, timeout, retries, batch_size)
    if kind == "openai":
        from conceptbench.runtime.openai_llm import OpenAILLM

        return OpenAILLM(
            name,
            journal=journal,
            base_url=base_url,
            concurrency=concurrency,
            timeout=timeout,
            retries=retries,
            price=price,
        )
    if kind == "local":
        from conceptbench.runtime.local_llm import LocalLLM

        return LocalLLM(name, journal=journal, batch_size=batch_size, price=price)
    known = ", ".join(f"{kind}:<name>" for kind in KINDS)
    raise InputError(f"system '{system}' cannot be asked: '{kind}' is no kind of language model. Use {known}.")


def _check_options(concurrency: int, timeout: float, retries: int, batch_size: int) -> None:
    if concurrency < 1:
        raise InputError(f"concurrency must be at least 1, not {concurrency}.")
    if not timeout > 0:
        raise InputError(f"timeout must be above 0 seconds, not {timeout}.")
    if retries < 0:
        raise InputError(f"retries must be at least 0, not {retries}.")
    if batch_size < 1:
        raise InputError(f"batch size must be at least 1, not {batch_size}.")
