"""Opening clients of language models: which one answers for a system, and the clients of a run together."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from conceptbench.runtime.errors import InputError
from conceptbench.runtime.llm import KINDS, LLM, Usage, parse_system

if TYPE_CHECKING:
    from conceptbench.runtime.journal import Journal


class Clients:
    """The clients of a run, one for each system and server; they share its journal and are closed together.

    Parameters
    ----------
    journal : the journal that keeps the answers.
    base_url : of the OpenAI-compatible server of systems that are given none of their own.
    concurrency, timeout, price : as in `open_llm`.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        base_url: str | None = None,
        concurrency: int = 8,
        timeout: float = 60.0,
        price: tuple[float, float] | None = None,
    ) -> None:
        self._journal, self._base_url = journal, base_url
        self._concurrency, self._timeout, self._price = concurrency, timeout, price
        self._open: dict[tuple[str, str | None], LLM] = {}

    def open(self, system: str, base_url: str | None = None) -> LLM:
        """Give the client of a system, opened when it is first asked for."""
        server = (base_url or self._base_url) if parse_system(system)[0] == "openai" else None
        if (system, server) not in self._open:
            self._open[system, server] = open_llm(
                system,
                journal=self._journal,
                base_url=server,
                concurrency=self._concurrency,
                timeout=self._timeout,
                price=self._price,
            )
        return self._open[system, server]

    def opener(self, base_url: str | None) -> Callable[[str], LLM]:
        """Give the function that opens clients at a server."""
        return lambda system: self.open(system, base_url)

    def usage(self) -> Usage:
        """Give what all clients used together."""
        total = Usage()
        for client in self._open.values():
            total = total + client.usage
        return total

    def close(self) -> None:
        """Close all clients; the journal stays open."""
        for client in self._open.values():
            client.close()
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_llm(
    system: str,
    *,
    journal: Journal | None = None,
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
    journal : the journal that keeps the answers.
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
