"""A chat completions server on loopback that answers, or fails to, as each question is scripted."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self


@dataclass(frozen=True)
class Answer:
    """What the server does with one request.

    `drop` ends the connection before any byte, or in the middle of the body.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: Literal["", "before", "middle"] = ""


def chat(text: object, *, finish: str = "stop", delay: float = 0.0, **message: object) -> Answer:
    """A chat completion with this text; further fields go into the message."""
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": text, **message},
    }
    usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
    body = {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
    return Answer(json.dumps(body).encode(), delay=delay)


def error(status: int, message: str = "no", *, headers: Mapping[str, str] | None = None, **more: str) -> Answer:
    """An error as OpenAI words it; `code` and `param` go into the error."""
    body = json.dumps({"error": {"message": message, "type": "t", **more}}).encode()
    return Answer(body, status=status, headers=headers or {})


class FaultServer:
    """Counts what it is asked, and how many at once. A context manager.

    `script[question]` lists the answers to a question (the last message's content) in turn, the last one for
    ever; a question without a script gets what `answer` makes of the request's body, else `default`, or else
    `label of <question>`.
    """

    def __init__(self) -> None:
        self.script: dict[str, Sequence[Answer]] = {}
        self.answer: Callable[[dict[str, Any]], Answer] | None = None
        self.default: Answer | None = None
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.keys: list[str] = []
        self.peak = 0
        self.answered: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self._now = 0
        self._http = _Http(self)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def base_url(self) -> str:
        """Where a client asks."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def asked(self) -> Counter[str]:
        """How often each question came."""
        with self._lock:
            return Counter(question(body) for body in self.bodies)

    def forget(self) -> None:
        """Start counting anew; the scripts stay."""
        with self._lock:
            self.bodies, self.times, self.keys, self.peak = [], [], [], 0
            self.answered.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def begin(self, body: dict[str, Any], key: str) -> Answer:
        """Note a request and choose its answer."""
        asked = question(body)
        with self._lock:
            self.bodies.append(body)
            self.times.append(time.monotonic())
            self.keys.append(key)
            self._now += 1
            self.peak = max(self.peak, self._now)
            answers = self.script.get(asked) or [
                self.answer(body) if self.answer else self.default or chat(f"label of {asked}")
            ]
            turn = min(self._seen[asked], len(answers) - 1)
            self._seen[asked] += 1
        return answers[turn]

    def leave(self) -> None:
        """Note that a request's work is over; the client may have the answer only after this."""
        with self._lock:
            self._now -= 1


def question(body: Mapping[str, Any]) -> str:
    """The last message's content."""
    return str(body["messages"][-1]["content"])


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, faults: FaultServer) -> None:
        self.faults = faults
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        faults = self.server.faults
        answer = faults.begin(body, self.headers.get("Authorization", ""))
        try:
            time.sleep(answer.delay)
        finally:
            faults.leave()
        if answer.drop == "before":
            self._hang_up()
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if answer.drop == "middle":
            self.wfile.write(answer.body[: len(answer.body) // 2])
            self._hang_up()
            return
        self.wfile.write(answer.body)
        faults.answered[question(body)] += 1

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""
