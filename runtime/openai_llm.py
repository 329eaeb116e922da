"""Any OpenAI-compatible endpoint: many requests at once, retried, journaled, each reply named as it is."""

import asyncio
import ipaddress
import json
import logging
import math
import os
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

import openai

from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.journal import Journal, bare_url, request_key
from conceptbench.runtime.llm import OnReply, Reply, Request, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_DEFAULT_URL = "https://api.openai.com/v1"
_RETRIED = frozenset({408, 409, 425, 429})
# A wrong key, a forbidden or an unknown model would fail for every request.
_HOPELESS = frozenset({401, 403, 404})
# After this many failed requests in a row, each with all its retries, the server is taken to be gone.
_GIVEN_UP = 12
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0
_LONGEST_BODY = 4_000_000
_LONGEST_TEXT = 16_000
_LONGEST_DETAIL = 300
_FLUSH_SECONDS = 0.2
_FLUSH_REPLIES = 32

_log = logging.getLogger(__name__)


class OpenAILLM:
    """An LLM behind an OpenAI-compatible server.

    The key is read from `OPENAI_API_KEY`; a server on loopback needs none. `base_url` defaults to
    `OPENAI_BASE_URL`, else OpenAI's own.

    Raises
    ------
    InputError
        there is no key, or `base_url` is no URL.
    """

    def __init__(
        self,
        model: str,
        *,
        journal: Journal | None = None,
        base_url: str | None = None,
        concurrency: int = 8,
        timeout: float = 60.0,
        retries: int = 6,
        price: tuple[float, float] | None = None,
    ) -> None:
        self.system = f"openai:{model}"
        self.usage = Usage(cost=None if price is None else 0.0)
        self._model = model
        self._journal = journal
        self._base_url = _checked_url(base_url or os.environ.get("OPENAI_BASE_URL") or _DEFAULT_URL)
        self._key = _key(self._base_url)
        self._concurrency = concurrency
        self._timeout = timeout
        self._retries = retries
        self._price = price
        self._dialect = _Dialect()
        self._answered = False
        self._connected = False
        self._given_up = 0
        # Only spreads retries in time, so that not all come back at once; no result depends on it.
        self._jitter = random.Random()

    def complete(self, requests: Sequence[Request], on_reply: OnReply | None = None) -> list[Reply]:
        """Answer every request; equal ones are sent once, journaled ones not at all.

        Works inside a running event loop too. On Ctrl-C and SIGTERM what was answered is journaled first.

        Raises
        ------
        ConceptBenchError
            nothing was ever answered and the server refuses the key or the model, or cannot be reached; or it
            answers no request any more.
        """
        indices_of = _indices([request_key(self.system, self._base_url, request) for request in requests])
        replies: dict[int, Reply] = {}

        def tell(key: str, reply: Reply) -> None:
            for index in indices_of[key]:
                replies[index] = reply
                if on_reply is not None:
                    on_reply(index, reply)

        for key, reply in (self._journal.get_many(indices_of) if self._journal else {}).items():
            self.usage.from_journal += 1
            tell(key, reply)
        unanswered = {key: requests[indices[0]] for key, indices in indices_of.items() if indices[0] not in replies}
        if unanswered:
            _run(lambda: self._ask_all(unanswered, tell))
        return [replies[index] for index in range(len(requests))]

    def close(self) -> None:
        """Do nothing: connections are closed at the end of each `complete`."""

    async def _ask_all(self, requests: Mapping[str, Request], tell: Callable[[str, Reply], None]) -> None:
        waiting = iter(requests.items())
        writer = _JournalWriter(self._journal, self.system)

        async def work(client: "AsyncOpenAI") -> None:
            for key, request in waiting:
                reply = await self._ask(client, request)
                self.usage.add(reply, self._price)
                writer.add(key, reply)
                tell(key, reply)

        async with openai.AsyncOpenAI(
            api_key=self._key, base_url=self._base_url, max_retries=0, timeout=self._timeout
        ) as client:
            count = min(self._concurrency, len(requests))
            tasks = [asyncio.create_task(work(client)) for _ in range(count)]
            tasks.append(asyncio.create_task(writer.flush_forever()))
            try:
                # The flusher never ends by itself, but a full disk ends it with an error.
                await _all_or_first_error(tasks[:-1], tasks[-1])
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                writer.flush()

    async def _ask(self, client: "AsyncOpenAI", request: Request) -> Reply:
        """One request until it is answered, hopeless, or out of retries."""
        attempt = 0
        while True:
            started = time.monotonic()
            answer = await self._try(client, request)
            if isinstance(answer, Reply):
                self._answered = self._connected = True
                self._given_up = 0
                return replace(answer, seconds=time.monotonic() - started)
            if answer.everyone and not (self._answered if answer.status else self._connected):
                raise ConceptBenchError(answer.everyone)
            self._connected |= answer.status is not None
            if answer.learned:
                continue
            if not answer.retry or attempt >= self._retries:
                tries = f" (after {attempt + 1} calls)" if attempt else ""
                self._give_up(answer)
                return Reply(reason="failed", detail=answer.detail + tries, seconds=time.monotonic() - started)
            await asyncio.sleep(self._wait(attempt, answer.retry_after))
            attempt += 1

    def _give_up(self, trouble: "_Trouble") -> None:
        """Count a request given up, and end the run where the server seems to be gone."""
        self._given_up += trouble.retry
        if self._given_up >= max(_GIVEN_UP, 2 * self._concurrency):
            raise ConceptBenchError(
                f"{self._where()} has answered none of the last {self._given_up} requests ({trouble.detail}). What it "
                "answered is kept: see that it runs, and give the same command again."
            )

    def _wait(self, attempt: int, retry_after: float | None) -> float:
        """Seconds to wait: what the server asks, else doubling, spread a little."""
        backoff = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**attempt)
        if retry_after is None:
            return backoff * self._jitter.uniform(0.5, 1.0)
        return min(_LONGEST_WAIT, retry_after) + self._jitter.uniform(0.0, 0.1)

    async def _try(self, client: "AsyncOpenAI", request: Request) -> "Reply | _Trouble":
        try:
            async with asyncio.timeout(self._timeout):
                raw = await client.chat.completions.with_raw_response.create(
                    **cast("Any", self._dialect.body(self._model, request))
                )
                return self._clean(_read_reply(raw.content))
        except (TimeoutError, openai.APITimeoutError):
            return _Trouble(f"no answer within {self._timeout:g} s", retry=True)
        except openai.APIStatusError as error:
            return self._of_status(error, request)
        except openai.APIConnectionError as error:
            return self._of_connection(error)
        except _Garbage as error:
            return _Trouble(self._redact(str(error)), retry=True, status=200)
        except (openai.OpenAIError, ValueError, TypeError) as error:
            return _Trouble(self._redact(f"cannot be sent: {error}"))

    def _of_status(self, error: openai.APIStatusError, request: Request) -> "Reply | _Trouble":
        status = error.status_code
        message = self._redact(_server_message(error))
        if status == 400 and error.code in ("content_filter", "content_policy_violation"):
            return Reply(reason="filtered", detail=message)
        if status == 400 and self._dialect.learn(error, request):
            return _Trouble(message, learned=True, status=status)
        detail = f"HTTP {status}: {message}"
        if status in _HOPELESS:
            return _Trouble(detail, status=status, everyone=self._hopeless(status, message))
        if status == 429 and error.code == "insufficient_quota":
            everyone = f"{self._where()} says that the account has no quota left: {message}. Check its plan."
            return _Trouble(detail, status=status, everyone=everyone)
        retry = status in _RETRIED or status >= 500
        return _Trouble(detail, retry=retry, status=status, retry_after=_retry_after(error.response.headers))

    def _hopeless(self, status: int, message: str) -> str:
        advice = {
            401: "The key is refused: set OPENAI_API_KEY to one that this server accepts.",
            403: "The key may not use this model: choose another model or key.",
            404: "Check the model's name and --base-url, which usually ends in /v1.",
        }[status]
        return f"{self._where()} answered HTTP {status}: {message}. {advice}"

    def _of_connection(self, error: openai.APIConnectionError) -> "_Trouble":
        cause = _innermost(error)
        detail = self._redact(f"connection failed: {_one_line(str(cause)) or type(cause).__name__}")
        if not _never_connected(error):
            return _Trouble(detail, retry=True)
        everyone = (
            f"{self._where()} cannot be reached ({_one_line(str(cause))}). "
            "Check --base-url, the network, and that the server runs."
        )
        return _Trouble(detail, retry=True, everyone=self._redact(everyone))

    def _where(self) -> str:
        return f"the server of {self.system} at {bare_url(self._base_url)}"

    def _clean(self, reply: Reply) -> Reply:
        text = None if reply.text is None else self._without_key(reply.text)
        return replace(reply, text=text, detail=self._redact(reply.detail))

    def _redact(self, message: str) -> str:
        return _one_line(self._without_key(message))[:_LONGEST_DETAIL]

    def _without_key(self, text: str) -> str:
        """The text without our key, should a server send it back. A stand-in key is too short to look for."""
        return text.replace(self._key, "[key]") if len(self._key) >= 8 else text


@dataclass(frozen=True)
class _Trouble:
    """Why a call gave no reply, and what to do now.

    `everyone` is the message for the case that all requests would fail alike.
    """

    detail: str
    retry: bool = False
    retry_after: float | None = None
    status: int | None = None
    everyone: str = ""
    learned: bool = False


class _Garbage(Exception):
    """The body is no chat completion."""


@dataclass
class _Dialect:
    """Which decoding parameters the server takes; newer OpenAI models refuse some, and say which."""

    token_field: str = "max_tokens"  # noqa: S105 (no password)
    omitted: set[str] = field(default_factory=set)

    def body(self, model: str, request: Request) -> dict[str, object]:
        """The request's JSON."""
        body: dict[str, object] = {
            "model": model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            self.token_field: request.max_tokens,
            "temperature": request.temperature,
        }
        if request.stop:
            body["stop"] = list(request.stop)
        if request.seed is not None:
            body["seed"] = request.seed + request.sample
        return {name: value for name, value in body.items() if name not in self.omitted}

    def learn(self, error: openai.APIStatusError, request: Request) -> bool:
        """Whether the refusal names a parameter that can be sent otherwise, or not at all."""
        if error.code not in ("unsupported_parameter", "unsupported_value"):
            return False
        if error.param == "max_tokens" and "max_tokens" in self.body("", request):
            self.token_field = "max_completion_tokens"  # noqa: S105
            return True
        if error.param in ("temperature", "stop", "seed") and error.param in self.body("", request):
            _log.warning("the server does not take %s; it is left out", error.param)
            self.omitted.add(error.param)
            return True
        # Another worker was told the same and has already changed it.
        return error.param == "max_tokens" or error.param in self.omitted


class _JournalWriter:
    """Replies on their way to the journal, committed a few at a time."""

    def __init__(self, journal: Journal | None, system: str) -> None:
        self._journal = journal
        self._system = system
        self._waiting: dict[str, Reply] = {}

    def add(self, key: str, reply: Reply) -> None:
        """Take a reply; commit if many wait."""
        self._waiting[key] = reply
        if len(self._waiting) >= _FLUSH_REPLIES:
            self.flush()

    def flush(self) -> None:
        """Commit what waits."""
        if self._journal is None or not self._waiting:
            return
        self._journal.put_many(self._system, self._waiting)
        self._waiting = {}

    async def flush_forever(self) -> None:
        """Commit every fifth of a second."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            self.flush()


def _indices(keys: Sequence[str]) -> dict[str, list[int]]:
    """Give the indices of each key, in order of first appearance."""
    indices_of: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        indices_of.setdefault(key, []).append(index)
    return indices_of


async def _all_or_first_error(workers: list[asyncio.Task[None]], flusher: asyncio.Task[None]) -> None:
    """Wait for all workers; raise as soon as one of them, or the flusher, fails."""
    pending: set[asyncio.Task[None]] = {*workers, flusher}
    while pending - {flusher}:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


def _run(work: Callable[[], Awaitable[None]]) -> None:
    """Run the work to its end, also inside a running event loop, such as that of a notebook."""

    async def main() -> None:
        with _sigterm_cancels():
            await work()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(main())
        return
    _run_in_thread(main)


def _run_in_thread(main: Callable[[], Any]) -> None:
    """Run in a thread of its own; Ctrl-C here cancels there, and waits until what was answered is kept."""
    errors: list[BaseException] = []
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def noted() -> None:
        started.append((asyncio.get_running_loop(), cast("asyncio.Task[Any]", asyncio.current_task())))
        await main()

    def target() -> None:
        try:
            asyncio.run(noted())
        except BaseException as error:  # noqa: BLE001 (raised again by the caller)
            errors.append(error)

    thread = threading.Thread(target=target, name="conceptbench-openai")
    thread.start()
    try:
        thread.join()
    except BaseException:
        for loop, task in started:
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if errors:
        raise errors[0]


@contextmanager
def _sigterm_cancels() -> Iterator[None]:
    """Turn SIGTERM into a clean end (SystemExit 143), unless the program has a handler of its own."""
    ours = (
        threading.current_thread() is threading.main_thread()
        and hasattr(signal, "SIGTERM")
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if not ours:
        yield
        return
    loop = asyncio.get_running_loop()
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    signals: list[Literal[True]] = []

    def stop() -> None:
        signals.append(True)
        task.cancel()

    try:
        loop.add_signal_handler(signal.SIGTERM, stop)
    except NotImplementedError:  # Windows has no signals of this kind.
        yield
        return
    try:
        yield
    except asyncio.CancelledError:
        if signals:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        public_part = url.rpartition("@")[2]
        raise InputError(f"base URL '{public_part}' is no URL. Give one such as http://127.0.0.1:8000/v1.")
    return url


def _key(base_url: str) -> str:
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if key and (not key.isascii() or not key.isprintable()):
        raise InputError("OPENAI_API_KEY holds characters that no key has. Set it again.")
    if key:
        return key
    if _is_loopback(urlsplit(base_url).hostname or ""):
        return "none"
    raise InputError(
        f"no key for {bare_url(base_url)}: set OPENAI_API_KEY, or give --base-url of a server on this machine."
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_reply(body: bytes) -> Reply:
    """A chat completion's first choice as a Reply. Raises _Garbage where the body is none."""
    if len(body) > _LONGEST_BODY:
        raise _Garbage(f"the answer has {len(body)} bytes")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        start = _one_line(body[:60].decode("utf-8", "replace"))
        raise _Garbage(f"the answer is no JSON: {start!r}") from error
    choice = _first_choice(data)
    message = choice["message"]
    usage = data.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    reply = Reply(tokens_in=_count(counts.get("prompt_tokens")), tokens_out=_count(counts.get("completion_tokens")))
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal.strip():
        return replace(reply, reason="refused", detail=_storable(refusal)[:_LONGEST_DETAIL])
    finish = choice.get("finish_reason")
    if finish == "content_filter":
        return replace(reply, reason="filtered", detail="finish_reason content_filter")
    text = _storable(_text(message.get("content")))
    if finish == "length" or len(text) > _LONGEST_TEXT:
        return replace(reply, text=text[:_LONGEST_TEXT], reason="cut")
    if not text.strip():
        return replace(reply, reason="empty")
    return replace(reply, text=text)


def _first_choice(data: object) -> dict[str, Any]:
    """The first choice, with a message. Raises _Garbage for another shape."""
    choices = data.get("choices") if isinstance(data, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise _Garbage("the answer is no chat completion: it has no choice with a message")
    return choice


def _text(content: object) -> str:
    """The text of a message: some servers send it in parts."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise _Garbage("the answer is no chat completion: its content is no text")
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def _storable(text: str) -> str:
    """The text with lone surrogates replaced, which JSON may hold and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**53 else 0


def _server_message(error: openai.APIStatusError) -> str:
    """What the server says went wrong, in its own words where it has some."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    if not isinstance(message, str):
        message = body if isinstance(body, str) else error.response.text
    return _storable(_one_line(message)[:_LONGEST_DETAIL]) or error.response.reason_phrase


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to wait: `retry-after-ms`, or Retry-After in seconds or as an HTTP date."""
    with suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    value = headers.get("retry-after", "")
    with suppress(ValueError):
        return _finite(float(value))
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return None


def _finite(seconds: float) -> float:
    if math.isnan(seconds):
        raise ValueError("nan")
    return max(0.0, seconds)


def _innermost(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _never_connected(error: BaseException | None) -> bool:
    """Whether no connection was made at all: refused, no such host, no TLS.

    By class name, since the openai package may use any version of httpx.
    """
    while error is not None:
        if type(error).__name__ == "ConnectError":
            return True
        error = error.__cause__ or error.__context__
    return False
