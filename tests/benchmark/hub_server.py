"""The reading side of the Hub's protocol over HTTP on loopback: one folder served as one dataset repository."""

import hashlib
import json
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class HubServer:
    """Serves `folder` as the dataset `name`; what it holds at each request is its newest commit. A context manager."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.asked: list[str] = []
        server = self

        class Handler(_Handler):
            hub = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def endpoint(self) -> str:
        """For HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def files(self) -> list[Path]:
        """All files, sorted."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def commit(self) -> str:
        """The id of what the folder holds."""
        digest = hashlib.sha1()
        for path in self.files():
            digest.update(path.relative_to(self.folder).as_posix().encode() + path.read_bytes())
        return digest.hexdigest()

    def entry(self, path: Path) -> dict[str, Any]:
        """A file or folder as the tree lists it."""
        name = path.relative_to(self.folder).as_posix()
        if path.is_dir():
            return {"type": "directory", "path": name, "oid": "0" * 40}
        oid = hashlib.sha1(path.read_bytes()).hexdigest()
        return {"type": "file", "path": name, "size": path.stat().st_size, "oid": oid}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if re.fullmatch(rf"/api/datasets/{self.hub.name}/paths-info/\w+", self.path) is None:
            self._send(404, b"{}")
            return
        try:
            wanted = json.loads(body)["paths"]
        except ValueError:
            wanted = urllib.parse.parse_qs(body.decode())["paths"]
        names = [wanted] if isinstance(wanted, str) else wanted
        found = [self.hub.folder / name for name in names if (self.hub.folder / name).exists()]
        self._json([self.hub.entry(path) for path in found])

    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        api, resolve = f"/api/datasets/{self.hub.name}", f"/datasets/{self.hub.name}/resolve/"
        if path.startswith(resolve):
            self._file(self.hub.folder / path.removeprefix(resolve).partition("/")[2])
        elif path == api or re.fullmatch(rf"{api}/revision/\w+", path):
            names = [{"rfilename": file.relative_to(self.hub.folder).as_posix()} for file in self.hub.files()]
            self._json({"id": self.hub.name, "sha": self.hub.commit(), "siblings": names, "tags": [], "private": False})
        elif match := re.fullmatch(rf"{api}/tree/\w+/?(.*)", path):
            folder = self.hub.folder / match[1]
            recursive = "recursive=true" in self.path.lower()
            entries = sorted(folder.rglob("*") if recursive else folder.glob("*"))
            if folder.is_dir():
                self._json([self.hub.entry(entry) for entry in entries])
            else:
                self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.hub.commit()})
            return
        content = path.read_bytes()
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": self.hub.commit()}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if part is None:
            self._send(200, content, headers)
            return
        first, last = int(part[1]), min(int(part[2] or len(content)), len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self._send(206, content[first : last + 1], headers)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Accept-Ranges": "bytes", **(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
