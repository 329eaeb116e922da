"""Local pages: who may read them, what a page may send, and how the server ends; over real connections."""

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from conceptbench.runtime import pages
from conceptbench.runtime.errors import InputError

APP = """
import asyncio, sys, time
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from conceptbench.runtime import pages

async def read(request):
    return PlainTextResponse("read", headers={"Cache-Control": "max-age=9"})

async def post(request):
    return JSONResponse(await pages.posted_texts(request, max_bytes=1000))

async def slow(request):
    await asyncio.sleep(600)

def broken(request):
    raise RuntimeError("a fault of ours")

routes = [Route("/", read), Route("/post", post, methods=["POST"]), Route("/slow", slow), Route("/broken", broken)]
with pages.listen(0) as listening:
    print(pages.address(listening), flush=True)
    pages.serve(Starlette(routes=routes), listening)
print("ended")
"""


@pytest.fixture
def server() -> Iterator["subprocess.Popen[str]"]:
    """A server in a process of its own, which a test may end."""
    with subprocess.Popen(
        [sys.executable, "-c", APP], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def host_of(server: "subprocess.Popen[str]") -> str:
    assert server.stdout is not None
    return server.stdout.readline().removeprefix("http://").rstrip("/\n")


def ask(
    host: str, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, str]:
    connection = http.client.HTTPConnection(host, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named, encode_chunked=not isinstance(body, (str, bytes, type(None))))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def test_every_answer_is_guarded(server: "subprocess.Popen[str]") -> None:
    host = host_of(server)
    port = host.rpartition(":")[2]
    for path, status in (("/", 200), ("/none", 404), ("/broken", 500)):
        answered, headers, _ = ask(host, "GET", path)
        assert answered == status
        assert {name: headers[name] for name in pages.HEADERS} == pages.HEADERS | (
            {"Cache-Control": "max-age=9"} if status == 200 else {}
        )
        assert "Server" not in headers
    for name, status in (
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("elsewhere.example", 400),
        ("127.0.0.1.example", 400),
    ):
        answered, headers, text = ask(host, "GET", "/", Host=f"{name}:{port}")
        assert (answered, "read" in text) == (status, status == 200)
        assert headers["X-Frame-Options"] == "DENY"
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=20)
    assert (server.returncode, out) == (0, "ended\n")
    # A fault of ours is told, visits are not.
    assert "a fault of ours" in err
    assert "GET" not in err


def test_only_our_own_page_may_post(server: "subprocess.Popen[str]") -> None:
    host = host_of(server)
    port = host.rpartition(":")[2]
    ours = {"Origin": f"http://{host}", "Content_Type": "application/json", "Sec_Fetch_Site": "same-origin"}
    texts = json.dumps({"a": "ä", "b": ""})
    assert ask(host, "POST", "/post", texts, **ours)[::2] == (200, '{"a":"ä","b":""}')
    local = {**ours, "Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
    assert ask(host, "POST", "/post", texts, **local)[0] == 200
    assert ask(host, "POST", "/post", texts, **{**ours, "Content_Type": "application/json; charset=utf-8"})[0] == 200
    for status, body, changes in (
        (403, texts, {"Origin": "http://elsewhere.example"}),
        (403, texts, {"Origin": "null"}),
        (403, texts, {"Origin": ""}),
        (403, texts, {"Origin": f"https://{host}"}),
        (403, texts, {"Origin": f"http://localhost:{port}"}),
        (403, texts, {"Origin": "http://127.0.0.1:1", "Host": "127.0.0.1:1"}),
        (403, texts, {"Sec_Fetch_Site": "cross-site"}),
        (403, texts, {"Sec_Fetch_Site": "same-site"}),
        (400, texts, {"Host": "elsewhere.example", "Origin": "http://elsewhere.example"}),
        (415, texts, {"Content_Type": "text/plain"}),
        (415, texts, {"Content_Type": "application/x-www-form-urlencoded"}),
        (413, json.dumps({"a": "x" * 1000}), {}),
        (413, iter([b'{"a": "', b"x" * 1000, b'"}']), {"Transfer_Encoding": "chunked"}),
        (400, "{", {}),
        (400, b"\xff", {}),
        (400, "[" * 900, {}),
        (400, "[]", {}),
        (400, '{"a": 1}', {}),
    ):
        assert ask(host, "POST", "/post", body, **{**ours, **changes})[0] == status, (body, changes)
    assert ask(host, "POST", "/post", texts, Content_Type="application/json")[0] == 403
    assert ask(host, "GET", "/post")[0] == 405


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_open_connections_do_not_block_a_stop(server: "subprocess.Popen[str]", number: signal.Signals) -> None:
    host = host_of(server)
    silent, idle, slow = (http.client.HTTPConnection(host, timeout=10) for _ in range(3))
    silent.connect()
    idle.request("GET", "/")
    assert idle.getresponse().read() == b"read"
    slow.request("GET", "/slow")
    assert ask(host, "GET", "/")[0] == 200
    server.send_signal(number)
    assert server.communicate(timeout=10) == ("ended\n", "")
    assert server.returncode == 0
    for connection in (silent, idle, slow):
        connection.close()


def test_a_taken_port_is_named() -> None:
    with pages.listen(0) as listening:
        port = listening.getsockname()[1]
        assert listening.getsockname()[0] == "127.0.0.1"
        assert pages.address(listening) == f"http://127.0.0.1:{port}/"
        with pytest.raises(InputError, match=f"--port {port}: Address already in use: give another one"):
            pages.listen(port)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
