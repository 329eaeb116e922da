"""A run of many requests: how many at once, what ends it, what is kept."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.llm import Reply, Request

Ask = Callable[..., Request]
KEY = "sk-test-0123456789abcdef"


def test_the_bound_on_concurrency_is_reached_and_kept(fault_server: Any, faults: ModuleType, ask: Ask) -> None:
    fault_server.default = faults.chat("x", delay=0.05)
    llm = open_llm("openai:m", base_url=fault_server.base_url, concurrency=5)
    llm.complete([ask(str(index)) for index in range(60)])
    assert fault_server.peak == 5


def test_replies_come_in_the_order_of_the_requests(fault_server: Any, faults: ModuleType, ask: Ask) -> None:
    for index in range(20):
        fault_server.script[str(index)] = [faults.chat(f"label {index}", delay=0.02 * (index % 3))]
    llm = open_llm("openai:m", base_url=fault_server.base_url)
    told: dict[int, Reply] = {}
    replies = llm.complete([ask(str(index)) for index in range(20)], told.__setitem__)
    assert [reply.text for reply in replies] == [f"label {index}" for index in range(20)]
    assert told == dict(enumerate(replies))


def test_equal_requests_are_sent_once(fault_server: Any, ask: Ask) -> None:
    llm = open_llm("openai:m", base_url=fault_server.base_url)
    replies = llm.complete([ask("a"), ask("b"), ask("a"), ask("a", sample=1)])
    assert [reply.text for reply in replies] == ["label of a", "label of b", "label of a", "label of a"]
    assert fault_server.asked == {"a": 2, "b": 1}


def test_a_server_that_is_gone_ends_the_run_and_what_it_answered_is_kept(
    fault_server: Any, faults: ModuleType, ask: Ask, tmp_path: Path
) -> None:
    for index in range(10):
        fault_server.script[str(index)] = [faults.chat("x")]
    fault_server.default = faults.error(500, "out of memory")
    with Journal(tmp_path / "j") as journal:
        llm = open_llm("openai:m", base_url=fault_server.base_url, concurrency=2, retries=0, journal=journal)
        with pytest.raises(ConceptBenchError, match="answered none of the last 12 requests .*out of memory.*again"):
            llm.complete([ask(str(index)) for index in range(100)])
        assert len(journal) == 10
    assert len(fault_server.bodies) < 30


def test_no_requests_ask_nothing(fault_server: Any) -> None:
    assert open_llm("openai:m", base_url=fault_server.base_url).complete([]) == []
    assert not fault_server.bodies


def test_the_journal_answers_the_second_time(fault_server: Any, faults: ModuleType, ask: Ask, tmp_path: Path) -> None:
    fault_server.script = {"b": [faults.chat(None, refusal="no")], "c": [faults.error(400, "bad")]}
    requests = [ask("a"), ask("b"), ask("c")]
    for _ in range(2):
        with Journal(tmp_path / "j") as journal:
            llm = open_llm("openai:m", base_url=fault_server.base_url, journal=journal)
            reasons = [reply.reason for reply in llm.complete(requests)]
            assert reasons == [None, "refused", "failed"]
    assert fault_server.asked == {"a": 1, "b": 1, "c": 2}
    assert (llm.usage.from_journal, llm.usage.calls, llm.usage.failed) == (2, 1, 1)


@pytest.mark.parametrize(("status", "advice"), [(401, "OPENAI_API_KEY"), (403, "another model"), (404, "--base-url")])
def test_what_would_fail_for_all_ends_the_run_at_once(
    fault_server: Any, faults: ModuleType, ask: Ask, status: int, advice: str
) -> None:
    fault_server.default = faults.error(status, "no such thing")
    llm = open_llm("openai:gone", base_url=fault_server.base_url, concurrency=4)
    with pytest.raises(ConceptBenchError) as caught:
        llm.complete([ask(str(index)) for index in range(100)])
    message = str(caught.value)
    assert all(part in message for part in ("openai:gone", fault_server.base_url, "no such thing", advice))
    assert len(fault_server.bodies) <= 4


def test_a_used_up_account_ends_the_run_at_once(fault_server: Any, faults: ModuleType, ask: Ask) -> None:
    fault_server.default = faults.error(429, "pay", code="insufficient_quota")
    with pytest.raises(ConceptBenchError, match="no quota left"):
        open_llm("openai:m", base_url=fault_server.base_url).complete([ask("a")])


def test_a_server_that_is_not_there_ends_the_run_at_once(ask: Ask) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        started = time.monotonic()
        with pytest.raises(ConceptBenchError, match=r"cannot be reached.*--base-url"):
            open_llm("openai:m", base_url=url).complete([ask("a")])
    assert time.monotonic() - started < 5


def test_one_bad_request_does_not_stop_the_others(fault_server: Any, faults: ModuleType, ask: Ask) -> None:
    fault_server.script = {"0": [faults.error(400)], "5": [faults.error(422)], "7": [faults.error(500)]}
    llm = open_llm("openai:m", base_url=fault_server.base_url, retries=1)
    replies = llm.complete([ask(str(index)) for index in range(20)])
    assert [index for index, reply in enumerate(replies) if reply.reason] == [0, 5, 7]


def test_a_key_is_needed_beyond_this_machine() -> None:
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        open_llm("openai:m")
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        open_llm("openai:m", base_url="https://user:secret@host.example/v1")


@pytest.mark.parametrize("url", ["host.example/v1", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="is no URL"):
        open_llm("openai:m", base_url=url)


def test_a_key_that_cannot_be_sent_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-sëcret-0123")
    with pytest.raises(InputError) as caught:
        open_llm("openai:m")
    assert "cret" not in str(caught.value)


def test_it_works_inside_a_running_loop(fault_server: Any, ask: Ask) -> None:
    async def notebook() -> list[Reply]:
        return open_llm("openai:m", base_url=fault_server.base_url).complete([ask("a"), ask("b")])

    assert [reply.text for reply in asyncio.run(notebook())] == ["label of a", "label of b"]


def test_errors_reach_the_caller_inside_a_running_loop(fault_server: Any, faults: ModuleType, ask: Ask) -> None:
    fault_server.default = faults.error(401)

    async def notebook() -> None:
        open_llm("openai:m", base_url=fault_server.base_url).complete([ask("a")])

    with pytest.raises(ConceptBenchError, match="401"):
        asyncio.run(notebook())


def test_an_error_of_the_callers_own_keeps_what_was_answered(fault_server: Any, ask: Ask, tmp_path: Path) -> None:
    def stop(index: int, reply: Reply) -> None:
        raise LookupError(index)

    with Journal(tmp_path / "j") as journal:
        llm = open_llm("openai:m", base_url=fault_server.base_url, journal=journal, concurrency=1)
        with pytest.raises(LookupError):
            llm.complete([ask("a"), ask("b")], stop)
        assert len(journal) == 1


# What a user's own program does; the questions are the numbers below argv[3].
_CHILD = """
import sys
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.llm import Message, Request
path, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Journal(path) as journal:
    llm = open_llm("openai:m", base_url=url, journal=journal, concurrency=4, retries=1)
    requests = [Request((Message("user", str(index)),)) for index in range(count)]
    for reply in llm.complete(requests, lambda index, reply: print(index, reply.reason, flush=True)):
        print(reply)
"""


def _start(journal: Path, server: Any, count: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(journal), server.base_url, str(count)],
        env={**os.environ, "OPENAI_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _read_lines(child: "subprocess.Popen[str]", count: int) -> None:
    assert child.stdout is not None
    for _ in range(count):
        assert child.stdout.readline()


def test_a_killed_run_asks_nothing_again_that_was_kept(fault_server: Any, faults: ModuleType, tmp_path: Path) -> None:
    fault_server.default = faults.chat("x", delay=0.02)
    path = tmp_path / "j"
    child = _start(path, fault_server, 300)
    _read_lines(child, 100)
    child.kill()
    child.communicate()
    answered = sum(fault_server.answered.values())
    with Journal(path) as journal:
        kept = len(journal)
    assert answered - 32 - 4 <= kept <= answered < 300
    fault_server.forget()
    child = _start(path, fault_server, 300)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert out.count("Reply(text='x', reason=None") == 300
    assert len(fault_server.bodies) == 300 - kept


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_being_told_to_stop_keeps_every_answer(
    fault_server: Any, faults: ModuleType, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    fault_server.default = faults.chat("never", delay=3.0)
    for index in range(10):
        fault_server.script[str(index)] = [faults.chat("x")]
    child = _start(tmp_path / "j", fault_server, 50)
    _read_lines(child, 10)
    started = time.monotonic()
    child.send_signal(number)
    child.communicate(timeout=20)
    assert time.monotonic() - started < 2.5
    assert child.returncode == code
    assert [left.name for left in tmp_path.iterdir()] == ["j"]
    with Journal(tmp_path / "j") as journal:
        assert len(journal) == 10


def test_the_key_is_sent_and_appears_nowhere_else(fault_server: Any, faults: ModuleType, tmp_path: Path) -> None:
    fault_server.script = {
        "0": [faults.chat(f"your key is {KEY}")],
        "1": [faults.error(400, f"bad key Bearer {KEY}")],
        "2": [faults.error(400, f"key {KEY}", code="content_filter")],
        "3": [faults.Answer(f"<html>{KEY}</html>".encode())],
        "4": [faults.Answer(f"{KEY}".encode(), status=500)],
        "5": [faults.chat(None, refusal=f"never {KEY}")],
    }
    child = _start(tmp_path / "j", fault_server, 8)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    fault_server.script = {}
    fault_server.default = faults.error(401, f"wrong key {KEY}")
    refused = _start(tmp_path / "j2", fault_server, 20)
    out2, err2 = refused.communicate(timeout=60)
    assert "wrong key [key]" in err2
    assert set(fault_server.keys) == {f"Bearer {KEY}"}
    assert KEY not in out + err + out2 + err2
    assert all(KEY.encode() not in left.read_bytes() for left in tmp_path.iterdir())
    assert "your key is [key]" in out
