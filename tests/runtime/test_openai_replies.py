"""What one reply of an OpenAI-compatible server becomes, good or bad."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import ModuleType
from typing import Any

import pytest

from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.llm import Message, Reply, Request

Ask = Callable[..., Request]


def _one(server: Any, request: Request, **options: Any) -> Reply:
    """The reply to one request, after another that shows the server to be there."""
    llm = open_llm("openai:m", base_url=server.base_url, **options)
    replies = llm.complete([Request((Message("user", "hello"),))])
    assert replies[0].reason is None
    return llm.complete([request])[0]


def test_a_reply_carries_text_tokens_and_seconds(fault_server: Any, ask: Ask) -> None:
    llm = open_llm("openai:m", base_url=fault_server.base_url, price=(1.0, 10.0))
    reply = llm.complete([ask("apples", max_tokens=7, stop=("\n",), seed=3, sample=2)])[0]
    assert (reply.text, reply.reason, reply.tokens_in, reply.tokens_out) == ("label of apples", None, 11, 3)
    assert 0 < reply.seconds < 10
    assert (llm.usage.calls, llm.usage.tokens_in, llm.usage.tokens_out) == (1, 11, 3)
    assert llm.usage.cost == pytest.approx((11 * 1 + 3 * 10) / 1e6)
    assert fault_server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "apples"}],
            "max_tokens": 7,
            "temperature": 0.0,
            "stop": ["\n"],
            "seed": 5,
        }
    ]


def _body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_replies_are_named_for_what_they_are(fault_server: Any, faults: ModuleType, ask: Ask) -> None:
    chat, error = faults.chat, faults.error
    parts = [{"type": "text", "text": "Fr"}, {"type": "text", "text": "uits"}]
    cases: dict[str, tuple[object, str | None, str | None]] = {
        "refusal": (chat(None, refusal="I cannot"), None, "refused"),
        "filtered reply": (chat("Fru", finish="content_filter"), None, "filtered"),
        "filtered prompt": (error(400, "policy", code="content_filter"), None, "filtered"),
        "empty": (chat(""), None, "empty"),
        "blank": (chat(" \n"), None, "empty"),
        "null": (chat(None), None, "empty"),
        "cut": (chat("Fruits and", finish="length"), "Fruits and", "cut"),
        "cut at once": (chat("", finish="length"), "", "cut"),
        "over-long": (chat("x" * 100_000), "x" * 16_000, "cut"),
        "in parts": (chat(parts), "Fruits", None),
        "surrogate": (chat("Fruit\ud83c"), "Fruit?", None),
        "no usage": (faults.Answer(_body(choices=[{"message": {"content": "Fruits"}}])), "Fruits", None),
        "odd usage": (
            faults.Answer(_body(choices=[{"message": {"content": "Fruits"}}], usage={"prompt_tokens": "x"})),
            "Fruits",
            None,
        ),
    }
    fault_server.script = {name: [case[0]] for name, case in cases.items()}
    llm = open_llm("openai:m", base_url=fault_server.base_url)
    replies = llm.complete([ask(name) for name in cases])
    got = {name: (reply.text, reply.reason) for name, reply in zip(cases, replies, strict=True)}
    assert got == {name: (case[1], case[2]) for name, case in cases.items()}
    assert max(fault_server.asked.values()) == 1


_GARBAGE = {
    "truncated": b'{"choices": [{"message": {"content": "Fru',
    "html": b"<!DOCTYPE html><html><body>Bad gateway</body></html>",
    "nothing": b"",
    "binary": bytes(range(256)),
    "no choices": b'{"choices": []}',
    "null message": b'{"choices": [{"message": null}]}',
    "a list": b"[1, 2]",
    "content is a number": b'{"choices": [{"message": {"content": 7}}]}',
    "deep": b"[" * 100_000,
    "five megabytes": b'"' + b"x" * 5_000_000 + b'"',
}


@pytest.mark.parametrize("kind", _GARBAGE)
def test_garbage_is_asked_again(fault_server: Any, faults: ModuleType, ask: Ask, kind: str) -> None:
    fault_server.script["q"] = [faults.Answer(_GARBAGE[kind]), faults.chat("Fruits")]
    assert _one(fault_server, ask("q")).text == "Fruits"
    assert fault_server.asked["q"] == 2


@pytest.mark.parametrize("kind", _GARBAGE)
def test_garbage_for_ever_is_a_failed_reply(fault_server: Any, faults: ModuleType, ask: Ask, kind: str) -> None:
    fault_server.script["q"] = [faults.Answer(_GARBAGE[kind])]
    reply = _one(fault_server, ask("q"), retries=1)
    assert (reply.text, reply.reason) == (None, "failed")
    assert "the answer " in reply.detail
    assert len(reply.detail) < 400
    assert fault_server.asked["q"] == 2


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_trouble_that_passes_is_waited_out(fault_server: Any, faults: ModuleType, ask: Ask, status: int) -> None:
    fault_server.script["q"] = [faults.error(status), faults.chat("Fruits")]
    assert _one(fault_server, ask("q")).text == "Fruits"


@pytest.mark.parametrize("drop", ["before", "middle"])
def test_a_dropped_connection_is_tried_again(fault_server: Any, faults: ModuleType, ask: Ask, drop: str) -> None:
    whole = faults.chat("Fruits")
    fault_server.script["q"] = [faults.Answer(whole.body, drop=drop), whole]
    assert _one(fault_server, ask("q")).text == "Fruits"
    assert fault_server.asked["q"] == 2


def test_a_slow_reply_is_given_up_and_asked_again(fault_server: Any, faults: ModuleType, ask: Ask) -> None:
    fault_server.script["q"] = [faults.chat("late", delay=2.0), faults.chat("in time")]
    assert _one(fault_server, ask("q"), timeout=0.5).text == "in time"


def test_slow_for_ever_is_a_failed_reply(fault_server: Any, faults: ModuleType, ask: Ask) -> None:
    fault_server.script["q"] = [faults.chat("late", delay=1.0)]
    reply = _one(fault_server, ask("q"), timeout=0.3, retries=1)
    assert reply.reason == "failed"
    assert "no answer within 0.3 s (after 2 calls)" in reply.detail


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_cannot_get_better_is_not_asked_again(
    fault_server: Any, faults: ModuleType, ask: Ask, status: int
) -> None:
    fault_server.script["q"] = [faults.error(status, "not like this")]
    reply = _one(fault_server, ask("q"))
    assert (reply.reason, reply.detail) == ("failed", f"HTTP {status}: not like this")
    assert fault_server.asked["q"] == 1


def _gap(server: Any) -> float:
    return float(server.times[-1] - server.times[-2])


def test_retry_after_in_seconds_is_waited(fault_server: Any, faults: ModuleType, ask: Ask) -> None:
    fault_server.script["q"] = [faults.error(429, headers={"Retry-After": "1.2"}), faults.chat("x")]
    assert _one(fault_server, ask("q")).text == "x"
    assert 1.2 <= _gap(fault_server) < 2.5


def test_retry_after_as_a_date_is_waited(fault_server: Any, faults: ModuleType, ask: Ask) -> None:
    # The date has whole seconds: three ahead is more than two.
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    fault_server.script["q"] = [faults.error(503, headers={"Retry-After": date}), faults.chat("x")]
    started = time.monotonic()
    assert _one(fault_server, ask("q")).text == "x"
    assert 1.5 < time.monotonic() - started < 5


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "Tue, 99 Foo 2020", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_senseless_retry_after_does_not_hold_up(fault_server: Any, faults: ModuleType, ask: Ask, value: str) -> None:
    fault_server.script["q"] = [faults.error(429, headers={"Retry-After": value}), faults.chat("x")]
    assert _one(fault_server, ask("q")).text == "x"
    assert _gap(fault_server) < 1.5


def test_a_long_retry_after_is_capped(
    fault_server: Any, faults: ModuleType, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conceptbench.runtime.openai_llm._LONGEST_WAIT", 0.3)
    fault_server.script["q"] = [faults.error(429, headers={"Retry-After": "86400"}), faults.chat("x")]
    assert _one(fault_server, ask("q")).text == "x"
    assert _gap(fault_server) < 2


def test_a_model_that_renames_or_refuses_parameters_is_followed(
    fault_server: Any, faults: ModuleType, ask: Ask
) -> None:
    refusals = [
        faults.error(400, "use max_completion_tokens", code="unsupported_parameter", param="max_tokens"),
        faults.error(400, "only 1", code="unsupported_value", param="temperature"),
    ]
    fault_server.script["q"] = [*refusals, faults.chat("Fruits")]
    llm = open_llm("openai:m", base_url=fault_server.base_url, retries=0)
    replies = llm.complete([ask("q", max_tokens=9), *(ask(f"w{index}") for index in range(20))])
    assert {reply.reason for reply in replies} == {None}
    last = fault_server.bodies[-1]
    assert last["max_completion_tokens"] in (9, 32)
    assert "max_tokens" not in last
    assert "temperature" not in last


def test_a_request_that_cannot_be_sent_fails_alone(fault_server: Any, ask: Ask) -> None:
    llm = open_llm("openai:m", base_url=fault_server.base_url)
    replies = llm.complete([ask("half of an emoji: \ud83c"), ask("apples")])
    assert [reply.reason for reply in replies] == ["failed", None]
    assert replies[0].detail.startswith("cannot be sent")
