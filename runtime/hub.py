"""The Hub's client, with errors in ConceptBench's words, a limit on waiting, and no token in any output."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import get_session, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from conceptbench.runtime.errors import ConceptBenchError, InputError

SECONDS = 120.0
"""The seconds for which the Hub may be silent; without this limit the client would wait for ever."""

_LOG_IN = "log in with `hf auth login`, or give a token in HF_TOKEN"
_LONGEST = 300
_FULL = re.compile(r"quota|storage (?:limit|space|capacity)|out of storage|payment required", re.IGNORECASE)
# The client has no class for this error; its ValueError begins with this text.
_REFUSED = "LFS batch API returned errors"
_ANSWERS: dict[str, tuple[type[ConceptBenchError], str]] = {
    "revision": (InputError, "there is no such branch, tag or commit"),
    "file": (InputError, "there is no such file in it"),
    "missing": (
        InputError,
        f"the Hub has no such repository, or your token does not show it{{said}}: check the name, and {_LOG_IN}",
    ),
    "token": (InputError, f"the Hub does not accept the token{{said}}: {_LOG_IN}"),
    "rights": (InputError, f"the token may not do this{{said}}: {_LOG_IN} that has the right to write there"),
    "full": (
        ConceptBenchError,
        "there is no room left for it on the Hub{said}: make room or ask for more in the settings of the account, and "
        "{again}",
    ),
    "changed": (ConceptBenchError, "somebody else changed it in the meantime{said}: {again}"),
    "conflict": (ConceptBenchError, "something is there or under way that is in its way{said}: {again}"),
    "busy": (ConceptBenchError, "the Hub has had too many requests from you{said}: wait {wait}, and {again}"),
    "failed": (ConceptBenchError, "the Hub failed with status {status}{said}: {again}, a little later"),
    "refused": (InputError, "the Hub refused this{said}"),
}
_CLASSES = ((RevisionNotFoundError, "revision"), (EntryNotFoundError, "file"), (RepositoryNotFoundError, "missing"))
_STATUSES = {
    401: "token",
    402: "full",
    403: "rights",
    404: "missing",
    408: "failed",
    409: "conflict",
    412: "changed",
    413: "full",
    429: "busy",
    507: "full",
}
_SECRETS = (
    re.compile(r"\bhf_[A-Za-z0-9]{16,}"),
    re.compile(r"(?<=Bearer )\S+", re.IGNORECASE),
    re.compile(r"(?<=://)[^/\s@]+@"),
    # The address of an upload is signed: anyone who knows it may write.
    re.compile(r"(?<=\?)[^\s'\"]+"),
)


@contextmanager
def hub_errors(what: str, again: str = "try again") -> Iterator[None]:
    """Turn the errors of the Hub's client into those that users see.

    Parameters
    ----------
    what : the action or the repository; every message begins with it.
    again : the advice for errors that may pass.

    Raises
    ------
    InputError
        if the name, the revision, the token, its rights or what is sent are wrong.
    ConceptBenchError
        if the Hub cannot be reached, fails, is in the way of others, or is full.
    """
    try:
        yield
    except (HfHubHTTPError, httpx2.HTTPError, OSError, ValueError, RuntimeError) as error:
        our_error = _translated(what, error, again)
        if our_error is None:
            raise
        raise our_error from error


def require_token(what: str) -> None:
    """Check that there is a token.

    Raises
    ------
    InputError
        if there is none.
    """
    if get_token() is None:
        raise InputError(f"{what} needs a token of yours with the right to write: {_LOG_IN}")


@contextmanager
def hub_session(note: Callable[[str], None], seconds: float = SECONDS) -> Iterator[None]:
    """Use the Hub's client with a time limit on silence, its retries told by `note`, and without its own bars."""
    client = get_session()
    before = client.timeout
    client.timeout = httpx2.Timeout(seconds)
    logger = logging.getLogger("huggingface_hub.utils._http")
    handler = _Notes(note)
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    shows_bars = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        client.timeout = before
        logger.removeHandler(handler)
        logger.propagate = propagated
        if shows_bars:
            enable_progress_bars()


def without_secrets(text: str) -> str:
    """Take tokens, passwords and signatures out of a text."""
    token = get_token()
    if token:
        text = text.replace(token, "***")
    for secret in _SECRETS:
        text = secret.sub("***", text)
    return text


class _Notes(logging.Handler):
    """Passes on the messages of the client about its retries."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        self._note(without_secrets(record.getMessage()))


def _translated(what: str, error: Exception, again: str) -> ConceptBenchError | None:
    """Translate an error of the client into one of ConceptBench; None for an error that is not the Hub's."""
    cause = _cause(error)
    if isinstance(cause, OfflineModeIsEnabled):
        return InputError(
            f"{what}: HF_HUB_OFFLINE is set, and it is not in the Hub's cache here: unset it to ask the Hub"
        )
    if isinstance(cause, HfHubHTTPError):
        return _answered(what, cause, again)
    if isinstance(cause, httpx2.TimeoutException):
        return ConceptBenchError(f"{what}: the Hub did not answer in time: {again}")
    if isinstance(cause, httpx2.HTTPError):
        return ConceptBenchError(
            f"{what}: the Hub cannot be reached ({_short(cause)}): look at the network, HF_ENDPOINT and proxies, and "
            f"{again}"
        )
    return _unanswered(what, error, again)


def _answered(what: str, error: HfHubHTTPError, again: str) -> ConceptBenchError:
    raised, text = _ANSWERS[_kind(error)]
    wait = error.response.headers.get("Retry-After", "")
    return raised(
        f"{what}: "
        + text.format(
            status=error.response.status_code,
            said=f" (it says: {_short(error.server_message)})" if error.server_message else "",
            wait=f"{wait} seconds" if wait.isdigit() else "some minutes",
            again=again,
        )
    )


def _kind(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    for known, kind in _CLASSES:
        if isinstance(error, known):
            return kind
    if status != 429 and _FULL.search(error.server_message or ""):
        return "full"
    return _STATUSES.get(status, "failed" if status >= 500 else "refused")


def _unanswered(what: str, error: Exception, again: str) -> ConceptBenchError | None:
    if isinstance(error, HFValidationError):
        return InputError(f"{what}: {_short(error)}")
    if isinstance(error, json.JSONDecodeError):
        return ConceptBenchError(f"{what}: the answer is not one of the Hub's: look at HF_ENDPOINT and proxies")
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        if not str(error).startswith(_REFUSED):
            return None
        raised, text = _ANSWERS["full" if _FULL.search(str(error)) else "refused"]
        return raised(f"{what}: " + text.format(said=f" (it says: {_short(error)})", again=again))
    return ConceptBenchError(f"{what}: {_short(error)}: {again}")


def _cause(error: BaseException) -> BaseException:
    """Find the Hub's answer, or its absence, behind an error that wraps it."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, HfHubHTTPError | httpx2.HTTPError | OfflineModeIsEnabled):
            return link
        link = link.__cause__ or link.__context__
    return error


def _short(text_or_error: object) -> str:
    text = " ".join(without_secrets(str(text_or_error)).split())
    return text[:_LONGEST].rstrip(". ") or type(text_or_error).__name__
