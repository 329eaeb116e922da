"""Local pages: a port of this machine that nobody else can reach, and the server for the browsers that open it.

Starlette and uvicorn are imported where they are used, so that this module costs nothing at the start of a command.
"""

from __future__ import annotations

import json
import signal
import socket
import threading
import traceback
from typing import TYPE_CHECKING, Final

from conceptbench.runtime.errors import InputError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST: Final = "127.0.0.1"
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""The headers of every answer, whatever the page contains."""

_NAMES: Final = (HOST, "localhost")


def listen(port: int) -> socket.socket:
    """Open a port of this machine, which nobody else can reach.

    Parameters
    ----------
    port : its number, 0 for any that is free.

    Raises
    ------
    InputError
        if the port is taken, or may not be opened.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        # From now on a browser waits for the server instead of being refused.
        listening.listen()
    except OSError as error:
        listening.close()
        raise InputError(f"--port {port}: {error.strerror}: give another one") from error
    return listening


def address(listening: socket.socket) -> str:
    """Give the address under which browsers of this machine find an open port, with a slash at its end."""
    return f"http://{HOST}:{listening.getsockname()[1]}/"


def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Serve an application on an open port until Ctrl-C or SIGTERM; only its errors are printed, on stderr.

    Answers carry `HEADERS` where the application sets no others. Requests for another host than this one are refused,
    since a page elsewhere could have its own name lead here, and so read what is served.

    Parameters
    ----------
    listening : the socket that `listen` gave; it is closed at the end.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        import uvicorn

        if in_main_thread:
            # After a clean stop uvicorn raises again the signal that stopped it.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        config = uvicorn.Config(
            _guarded(app),
            http="h11",
            ws="none",
            lifespan="off",
            server_header=False,
            access_log=False,
            log_config=None,
            log_level="critical",
            # An answer under way is cut after this many seconds; open connections without one are closed at once.
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        return
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, handler)


async def posted_texts(request: Request, max_bytes: int = 1 << 16) -> dict[str, str]:
    """Read a JSON object of texts that a page of this server has sent.

    Raises
    ------
    starlette.exceptions.HTTPException
        with status 403 if the request comes from another site's page, 413 if it is longer than `max_bytes`, 415 if it
        is no JSON by its content type, and 400 if it is no object of texts.
    """
    from starlette.exceptions import HTTPException

    if not _from_our_page(request):
        raise HTTPException(403)
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise HTTPException(413)
    try:
        texts = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400) from error
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise HTTPException(400)
    return texts


def _from_our_page(request: Request) -> bool:
    """Tell whether a page of this very server sent a request; a browser says so, and no page can make it lie."""
    port = request.scope["server"][1]
    hosts = {f"{name}:{port}" for name in _NAMES} | ({*_NAMES} if port == 80 else set())
    host = request.headers.get("Host")
    return (
        host in hosts
        and request.headers.get("Origin") == f"http://{host}"
        and request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    )


def _guarded(app: ASGIApp) -> ASGIApp:
    from starlette.datastructures import MutableHeaders
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import ClientDisconnect

    checked = TrustedHostMiddleware(app, allowed_hosts=_NAMES, www_redirect=False)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await checked(scope, receive, send_with_headers)
        except ClientDisconnect:
            return
        except Exception:
            # Printed here, since uvicorn would also report the answers that are cut off when the server stops.
            traceback.print_exc()
            raise

    return answer
