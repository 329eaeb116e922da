"""A Hub for the tests: the protocol of the installed `huggingface_hub` over HTTP on loopback.

Set `HF_ENDPOINT` to `HubServer.endpoint`; clients run in processes of their own, with `HF_HUB_OFFLINE=0` and
`HF_HUB_DISABLE_XET=1`. Covered, for models, datasets and spaces: create, delete and settings of repositories, whoami,
validate-yaml, preupload, the LFS batch with its PUT and verify, commits (also as a pull request, also with a parent
commit that must still be the newest), tree (in pages), paths-info, resolve with ETag and ranges, branches, tags, refs,
commits (in pages), and the discussions API with pull requests that are opened, listed, changed, merged and closed.
`HubServer.fail` orders faults: a status, a time of silence, or a connection that is cut.

Not covered: Xet, multipart LFS uploads, git itself, names without an organisation, gated repositories, the search for
repositories, moves and copies between repositories, inherited rights of organisations (a member writes, others do not),
hidden or edited comments, and the dataset viewer.
"""

import asyncio
import base64
import binascii
import datetime
import difflib
import fnmatch
import hashlib
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import uvicorn
import yaml
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from conceptbench.runtime import pages

_TYPES = {"models": "model", "datasets": "dataset", "spaces": "space", None: "model"}
_ATTRIBUTES = "".join(
    f"*.{ending} filter=lfs diff=lfs merge=lfs -text\n"
    for ending in ("parquet", "arrow", "bin", "gz", "zip", "npy", "npz", "safetensors", "png", "jpg")
).encode()
_LICENCES = {"apache-2.0", "cc-by-4.0", "cc-by-sa-4.0", "mit", "odc-by", "other", "unknown"}
_LARGE = 10 << 20
_OPEN = {"draft", "open"}
_STATUSES = {"all": {"draft", "open", "closed", "merged"}, "open": _OPEN, "closed": {"closed", "merged"}}


class HubError(Exception):
    """An answer that is no success."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}


@dataclass(frozen=True)
class Commit:
    """A state of a repository: paths with the SHA-256 of their content, and how it came about."""

    oid: str
    tree: Mapping[str, str]
    parent: str | None
    title: str
    message: str
    author: str
    date: str


@dataclass
class Discussion:
    """A discussion; a pull request where `base` is set, the commit that it started from."""

    num: int
    title: str
    author: str
    date: str
    base: str | None
    status: str
    events: list[dict[str, Any]] = field(default_factory=list)
    merged: str | None = None

    def add(self, author: str, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """Add an event."""
        date = _now()
        oid = _sha1(f"{author}{kind}{date}".encode())[:24]
        event = {"id": oid, "author": {"name": author}, "createdAt": date, "type": kind, "data": data}
        self.events.append(event)
        return event

    def comment(self, author: str, text: str) -> dict[str, Any]:
        """Add a comment."""
        return self.add(author, "comment", {"edited": False, "hidden": False, "latest": {"raw": text}})


@dataclass
class Repo:
    """A repository.

    `stored` are the large objects that were uploaded to it, committed or not, `large` the paths with the contents that
    are such objects in some commit; `quota` is how many bytes of them there is room for.
    """

    name: str
    kind: str
    hub: "HubServer"
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pull_requests: dict[str, str] = field(default_factory=dict)
    discussions: list[Discussion] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    large: set[tuple[str, str]] = field(default_factory=set)
    quota: int | None = None

    @property
    def owner(self) -> str:
        """The user or organisation that it belongs to."""
        return self.name.partition("/")[0]

    @property
    def url(self) -> str:
        """Its page."""
        return f"{self.hub.endpoint}/{'' if self.kind == 'model' else self.kind + 's/'}{self.name}"

    @property
    def head(self) -> str:
        """The newest commit of main."""
        return self.branches["main"]

    def at(self, revision: str) -> Commit:
        """The commit that a branch, tag, pull request or id (at least 5 digits of it) names."""
        for names in (self.branches, self.tags, self.pull_requests):
            if revision in names:
                return self.commits[names[revision]]
        oids = [oid for oid in self.commits if len(revision) >= 5 and oid.startswith(revision)]
        if len(oids) != 1:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oids[0]]

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """The content of all files at a revision."""
        return {path: self.hub.content(sha) for path, sha in self.at(revision).tree.items()}

    def log(self, revision: str = "main") -> list[Commit]:
        """The commits of a revision, newest first."""
        commits = [self.at(revision)]
        while commits[-1].parent is not None:
            commits.append(self.commits[commits[-1].parent])
        return commits

    def commit(
        self, tree: Mapping[str, str], title: str, message: str = "", author: str = "ada", parent: str | None = None
    ) -> Commit:
        """Record a state; no branch is moved."""
        date = _now()
        written = json.dumps([sorted(tree.items()), parent, title, message, author, date, len(self.commits)])
        commit = Commit(_sha1(written.encode()), dict(tree), parent, title, message, author, date)
        self.commits[commit.oid] = commit
        return commit

    def put(self, files: Mapping[str, bytes | None], title: str = "Put files", revision: str = "main") -> Commit:
        """Commit files to a branch as somebody else would; None deletes one."""
        parent = self.at(revision)
        tree = dict(parent.tree)
        for path, content in files.items():
            if content is None:
                del tree[path]
                continue
            tree[path] = self.hub.keep(content)
            if self.goes_to_lfs(path, len(content), self.hub.content(parent.tree[".gitattributes"])):
                self.large.add((path, tree[path]))
                self.stored.add(tree[path])
        commit = self.commit(tree, title, parent=parent.oid)
        self.branches[revision] = commit.oid
        return commit

    def goes_to_lfs(self, path: str, size: int, attributes: bytes) -> bool:
        """Tell by .gitattributes and size whether a file is a large one."""
        patterns = [line.split()[0] for line in attributes.decode().splitlines() if "filter=lfs" in line]
        return size > _LARGE or any(fnmatch.fnmatch(path.rpartition("/")[2], pattern) for pattern in patterns)

    def discussion(self, number: str) -> Discussion:
        """The discussion of a number."""
        if not number.isdigit() or not 1 <= int(number) <= len(self.discussions):
            raise HubError(404, f"Discussion not found: {number}")
        return self.discussions[int(number) - 1]

    def pull_at(self, revision: str) -> Discussion | None:
        """The pull request that a revision is of, if it is one's."""
        number = re.fullmatch(r"refs/pr/(\d+)", revision)
        return self.discussion(number[1]) if number else None

    def open(self, author: str, title: str, description: str, base: str | None, status: str) -> Discussion:
        """Open a discussion."""
        discussion = Discussion(len(self.discussions) + 1, title, author, _now(), base, status)
        discussion.comment(author, description)
        self.discussions.append(discussion)
        return discussion

    def conflicts(self, pull: Discussion) -> list[str]:
        """The files that both main and a pull request changed, to different contents."""
        assert pull.base is not None
        base, ours = self.commits[pull.base].tree, self.at("main").tree
        theirs = self.at(f"refs/pr/{pull.num}").tree
        changed = {path for path in {*base, *theirs} if base.get(path) != theirs.get(path)}
        return sorted(path for path in changed if ours.get(path) not in {base.get(path), theirs.get(path)})


@dataclass
class Exchange:
    """A request and its answer; `received` and `sent` count the bytes of bodies, `status` 0 is no answer."""

    method: str
    path: str
    received: int = 0
    sent: int = 0
    status: int = 0


@dataclass
class Fault:
    """What `HubServer.fail` orders, `times` times."""

    pattern: str = ""
    status: int | None = None
    after: int = 0
    times: int = 1
    headers: Mapping[str, str] | None = None
    message: str = "ordered by the test"
    hang: float = 0.0
    cut: bool = False


class _Connection(H11Protocol):
    """Lets the application cut the connection that a request came by."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {"transport": transport}


class HubServer:
    """A Hub that keeps contents in the folder `root`; a context manager, and an ASGI application.

    `token` is that of `ada`, a member of `org` who may write; `reader` is a token of hers that may only read,
    `stranger` that of `bob`, who is a member of nothing.
    """

    token = "hf_adaMayWrite0123456789"
    reader = "hf_adaMayRead0123456789"
    stranger = "hf_bobIsElsewhere0123456789"

    def __init__(self, root: Path, *, page: int = 1000) -> None:
        self.root, self.page = root, page
        root.mkdir(parents=True, exist_ok=True)
        self.tokens = {
            self.token: {"name": "ada", "orgs": ["org"], "role": "write"},
            self.reader: {"name": "ada", "orgs": ["org"], "role": "read"},
            self.stranger: {"name": "bob", "orgs": [], "role": "write"},
        }
        self.repos: dict[tuple[str, str], Repo] = {}
        self.exchanges: list[Exchange] = []
        self._faults: list[Fault] = []
        self._listening = pages.listen(0)
        self.endpoint = pages.address(self._listening).rstrip("/")
        # A stop waits for nothing that is under way. What a fault breaks is no news to the tests.
        config = uvicorn.Config(
            self,
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            timeout_graceful_shutdown=0,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listening]})

    def add_repo(
        self,
        name: str,
        kind: str = "dataset",
        files: Mapping[str, bytes | None] | None = None,
        *,
        private: bool = False,
    ) -> Repo:
        """Make a repository, with a first commit as the Hub makes it."""
        repo = Repo(name, kind, self, private)
        repo.branches["main"] = repo.commit({".gitattributes": self.keep(_ATTRIBUTES)}, "initial commit").oid
        self.repos[kind, name] = repo
        if files:
            repo.put(files)
        return repo

    def repo(self, name: str, kind: str = "dataset") -> Repo:
        """A repository that is there."""
        return self.repos[kind, name]

    def fail(self, pattern: str, status: int | None = None, **fault: Any) -> None:
        """Order a fault for requests whose "METHOD /path" matches `pattern`, letting `after` of them pass first.

        It answers with `status`; or is silent for `hang` seconds and answers then; or reads at least half of what
        is sent to it and cuts the connection (`cut`), or, where nothing is sent, sends half of its answer. See `Fault`.
        """
        self._faults.append(Fault(pattern, status, **fault))

    def mend(self) -> None:
        """Forget all orders for faults."""
        self._faults.clear()

    def requests(self, pattern: str) -> list[Exchange]:
        """The exchanges whose request matches, in order."""
        return [exchange for exchange in self.exchanges if re.search(pattern, f"{exchange.method} {exchange.path}")]

    def _fault_for(self, request: str) -> Fault:
        for fault in self._faults:
            if fault.times and re.search(fault.pattern, request):
                if fault.after:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return Fault()

    def keep(self, content: bytes) -> str:
        """Store a content under its SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.root / digest
        if not path.exists():
            path.write_bytes(content)
        return digest

    def content(self, sha256: str) -> bytes:
        """A stored content."""
        return (self.root / sha256).read_bytes()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or do to it what a fault orders; requests are worked on one at a time."""
        request = Request(scope, receive)
        query = scope["query_string"].decode()
        exchange = Exchange(request.method, scope["raw_path"].decode() + (f"?{query}" if query else ""))
        fault = self._fault_for(f"{exchange.method} {exchange.path}")
        cut_answer = fault.cut and exchange.method != "HEAD"

        async def send_counted(message: Message) -> None:
            exchange.status = message.get("status", exchange.status)
            body = message.get("body", b"")
            if body and cut_answer:
                message = {**message, "body": body[: len(body) // 2], "more_body": True}
            exchange.sent += len(message.get("body", b"")) if exchange.method != "HEAD" else 0
            await send(message)
            if body and cut_answer:
                await _cut(request)

        body = bytearray()
        length = request.headers.get("content-length")
        try:
            async for part in request.stream():
                body += part
                exchange.received = len(body)
                if fault.cut and (length or part) and 2 * len(body) >= int(length or 0):
                    self.exchanges.append(exchange)
                    await _cut(request)
                    return
        except ClientDisconnect:
            self.exchanges.append(exchange)
            return
        await asyncio.sleep(fault.hang)
        response = _Call(self, request, bytes(body)).answer(fault)
        exchange.status = response.status_code
        # What a client has got is on record before it can go on.
        self.exchanges.append(exchange)
        await response(scope, receive, send_counted)


async def _cut(request: Request) -> None:
    request.state.transport.close()
    # Let uvicorn see it.
    await asyncio.sleep(0)


_Method = TypeVar("_Method", bound=Callable[..., Response])
_ROUTES: list[tuple[re.Pattern[str], Callable[..., Response]]] = []
_API = "/api/{kinds}/{org}/{name}"
_WEB = "(/{kinds})?/{org}/{name}"


def _route(*routes: str) -> Callable[[_Method], _Method]:
    """Let a method answer what matches "METHOD /path": `{x}` is a part of it, `{x*}` several, and `{kinds}` a kind."""

    def add(method: _Method) -> _Method:
        for route in routes:
            pattern = route.replace("{kinds}", "(?P<kinds>models|datasets|spaces)")
            pattern = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", pattern)
            _ROUTES.append((re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)), method))
        return method

    return add


class _File(FileResponse):
    # Sent in one piece, which a fault may cut in half.
    chunk_size = 1 << 30


class _Call:
    """A request; the methods give what it is answered."""

    def __init__(self, hub: HubServer, request: Request, body: bytes) -> None:
        self.hub, self.request, self.body = hub, request, body
        self.query = dict(request.query_params)

    def answer(self, fault: Fault) -> Response:
        try:
            return self._work(fault)
        except HubError as error:
            return JSONResponse({"error": error.message}, error.status, error.headers)
        except (KeyError, ValueError, TypeError, binascii.Error) as error:
            message = f"bad request: {type(error).__name__}: {error}"
            return JSONResponse({"error": message}, 400, {"X-Error-Message": message})

    def _work(self, fault: Fault) -> Response:
        if fault.status is not None:
            raise HubError(fault.status, fault.message, headers=fault.headers)
        method = "GET" if self.request.method == "HEAD" else self.request.method
        line = f"{method} {self.request.scope['raw_path'].decode().rstrip('/')}"
        for pattern, work in _ROUTES:
            if parts := pattern.fullmatch(line):
                names = {name: urllib.parse.unquote(part) for name, part in parts.groupdict().items() if part}
                if "org" in names:
                    kind, name = _TYPES[names.pop("kinds", None)], f"{names.pop('org')}/{names.pop('name')}"
                    return work(self, self._repo(kind, name), **names)
                return work(self, **names)
        raise HubError(404, "Sorry, we can't find the page you are looking for.")

    def _values(self) -> dict[str, Any]:
        value = json.loads(self.body or b"{}")
        if not isinstance(value, dict):
            raise TypeError("not an object")
        return value

    # Who asks, and what they may do.

    def _user(self) -> dict[str, Any] | None:
        header = self.request.headers.get("Authorization")
        if header is None:
            return None
        user = self.hub.tokens.get(header.removeprefix("Bearer "))
        if user is None:
            raise HubError(401, "Invalid credentials in Authorization header")
        return user

    def _known(self) -> dict[str, Any]:
        user = self._user()
        if user is None:
            raise HubError(401, "Invalid username or password.")
        return user

    def _writer(self, owner: str) -> dict[str, Any]:
        user = self._known()
        if user["role"] != "write" or owner not in {user["name"], *user["orgs"]}:
            raise HubError(403, f'You don\'t have the rights to write under the namespace "{owner}"')
        return user

    def _repo(self, kind: str, name: str) -> Repo:
        user = self._user()
        repo = self.hub.repos.get((kind, name))
        owner = name.partition("/")[0]
        if repo is not None and (not repo.private or (user and owner in {user["name"], *user["orgs"]})):
            return repo
        if user is None:
            raise HubError(401, "Invalid username or password.", "RepoNotFound")
        raise HubError(404, "Repository not found", "RepoNotFound")

    @_route("GET /api/whoami-v2")
    def _whoami(self) -> Response:
        user = self._known()
        orgs = [{"name": name, "type": "org", "roleInOrg": "write"} for name in user["orgs"]]
        token = {"type": "access_token", "accessToken": {"displayName": "test", "role": user["role"]}}
        names = {"name": user["name"], "fullname": user["name"].title()}
        return JSONResponse({"type": "user", **names, "orgs": orgs, "auth": token})

    # Repositories.

    @_route("POST /api/repos/create")
    def _create(self) -> Response:
        kind, name = self._named()
        self._writer(name.partition("/")[0])
        if (kind, name) in self.hub.repos:
            error = "You already created this repo"
            return JSONResponse({"error": error, "url": self.hub.repos[kind, name].url}, 409)
        repo = self.hub.add_repo(name, kind, private=self._values().get("visibility") == "private")
        return JSONResponse({"url": repo.url, "name": name, "id": _sha1(name.encode())})

    def _named(self) -> tuple[str, str]:
        values = self._values()
        return values.get("type") or "model", f"{values.get('organization') or self._known()['name']}/{values['name']}"

    @_route("DELETE /api/repos/delete")
    def _delete(self) -> Response:
        kind, name = self._named()
        self._writer(self._repo(kind, name).owner)
        del self.hub.repos[kind, name]
        return JSONResponse({})

    @_route(f"PUT {_API}/settings")
    def _settings(self, repo: Repo) -> Response:
        self._writer(repo.owner)
        repo.private = self._values().get("visibility", "") == "private"
        return JSONResponse({"private": repo.private})

    @_route(f"GET {_API}", f"GET {_API}/revision/{{revision}}")
    def _info(self, repo: Repo, revision: str = "main") -> Response:
        commit = repo.at(revision)
        siblings: list[dict[str, Any]] = []
        for path, sha in sorted(commit.tree.items()):
            entry = self._entry(repo, path, sha)
            more = {"size": entry["size"], "blobId": entry["oid"]} if "blobs" in self.query else {}
            if "blobs" in self.query and "lfs" in entry:
                more["lfs"] = {"sha256": sha, "size": entry["size"], "pointerSize": entry["lfs"]["pointerSize"]}
            siblings.append({"rfilename": path, **more})
        readme = commit.tree.get("README.md")
        card = _front_matter(self.hub.content(readme).decode()) if readme else None
        dates = {"createdAt": repo.log()[-1].date, "lastModified": commit.date}
        state = {"private": repo.private, "gated": False, "disabled": False, "sha": commit.oid, **dates}
        names = {"_id": _sha1(repo.name.encode()), "id": repo.name, "author": repo.owner}
        cards = {"tags": (card or {}).get("tags", []), **({"cardData": card} if card else {})}
        return JSONResponse({**names, **state, **cards, "siblings": siblings})

    @_route(f"GET {_API}/auth-check")
    def _allow(self, repo: Repo) -> Response:
        return JSONResponse({})

    @_route(f"GET {_API}/refs")
    def _refs(self, repo: Repo) -> Response:
        def refs(names: Mapping[str, str], prefix: str) -> list[dict[str, str]]:
            return [{"name": n, "ref": f"{prefix}{n}", "targetCommit": oid} for n, oid in sorted(names.items())]

        answer = {"branches": refs(repo.branches, "refs/heads/"), "tags": refs(repo.tags, "refs/tags/"), "converts": []}
        if "include_prs" in self.query:
            answer["pullRequests"] = refs(repo.pull_requests, "")
        return JSONResponse(answer)

    @_route(f"GET {_API}/commits/{{revision}}")
    def _commits(self, repo: Repo, revision: str) -> Response:
        return self._pages(
            [
                {"id": c.oid, "title": c.title, "message": c.message, "authors": [{"user": c.author}], "date": c.date}
                for c in repo.log(revision)
            ]
        )

    @_route(f"GET {_API}/tree/{{revision}}(/{{folder*}})?")
    def _tree(self, repo: Repo, revision: str, folder: str = "") -> Response:
        commit = repo.at(revision)
        inside = {p: sha for p, sha in commit.tree.items() if not folder or p.startswith(f"{folder}/")}
        if not inside and folder:
            raise HubError(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        start = f"{folder}/" if folder else ""
        folders = {start + "/".join(p.split("/")[:i]) for p in (q[len(start) :] for q in inside) for i in _depths(p)}
        entries = [self._entry(repo, p, sha, commit) for p, sha in sorted(inside.items())]
        entries += map(_folder, folders)
        if self.query.get("recursive", "").lower() not in {"true", "1"}:
            entries = [entry for entry in entries if "/" not in entry["path"][len(start) :]]
        return self._pages(sorted(entries, key=lambda entry: entry["path"]))

    @_route(f"POST {_API}/paths-info/{{revision}}")
    def _paths_info(self, repo: Repo, revision: str) -> Response:
        commit = repo.at(revision)
        if self.request.headers.get("Content-Type", "").startswith("application/json"):
            paths = self._values()["paths"]
        else:
            paths = urllib.parse.parse_qs(self.body.decode())["paths"]
        entries = []
        for path in [paths] if isinstance(paths, str) else paths:
            if path in commit.tree:
                entries.append(self._entry(repo, path, commit.tree[path], commit))
            elif any(name.startswith(f"{path}/") for name in commit.tree):
                entries.append(_folder(path))
        return JSONResponse(entries)

    def _entry(self, repo: Repo, path: str, sha: str, commit: Commit | None = None) -> dict[str, Any]:
        content = self.hub.content(sha)
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _blob(content)}
        if (path, sha) in repo.large:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {len(content)}\n".encode()
            entry["oid"] = _blob(pointer)
            entry["lfs"] = {"oid": sha, "size": len(content), "pointerSize": len(pointer)}
        if commit is not None and self.query.get("expand", "").lower() in {"true", "1"}:
            entry["lastCommit"] = {"id": commit.oid, "title": commit.title, "date": commit.date}
        return entry

    @_route(f"GET {_WEB}/(resolve|raw)/{{revision}}/{{path*}}")
    def _resolve(self, repo: Repo, revision: str, path: str) -> Response:
        commit = repo.at(revision)
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        if path not in commit.tree:
            raise HubError(404, "Entry not found", "EntryNotFound", headers)
        sha = commit.tree[path]
        headers["ETag"] = f'"{sha if (path, sha) in repo.large else _blob(self.hub.content(sha))}"'
        if self.request.headers.get("If-None-Match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return _File(self.hub.root / sha, headers=headers, media_type="application/octet-stream")

    def _pages(self, rows: list[dict[str, Any]]) -> Response:
        start = int(self.query.get("cursor", 0))
        headers = {}
        if start + self.hub.page < len(rows):
            query = urllib.parse.urlencode({**self.query, "cursor": start + self.hub.page})
            headers["Link"] = f'<{self.hub.endpoint}{self.request.scope["raw_path"].decode()}?{query}>; rel="next"'
        return JSONResponse(rows[start : start + self.hub.page], headers=headers)

    # Writing.

    @_route("POST /api/validate-yaml")
    def _validate_yaml(self) -> Response:
        try:
            header = _front_matter(str(self._values()["content"]))
        except yaml.YAMLError as error:
            errors = [{"message": f"bad YAML: {error}"}]
            return JSONResponse({"errors": errors, "warnings": []}, 400)
        if header and header.get("license", "mit") not in _LICENCES:
            errors = [{"message": '"license" must be one of the known ones'}]
            return JSONResponse({"errors": errors, "warnings": []}, 400)
        warnings = [] if header else [{"message": "empty or missing yaml metadata in repo card"}]
        return JSONResponse({"errors": [], "warnings": warnings})

    @_route(f"POST {_API}/preupload/{{revision}}")
    def _preupload(self, repo: Repo, revision: str) -> Response:
        self._may_change(repo, revision)
        commit = repo.at(revision)
        attributes = self.hub.content(commit.tree[".gitattributes"]) if ".gitattributes" in commit.tree else b""
        ignored = self._values().get("gitIgnore")
        if ignored is None and ".gitignore" in commit.tree:
            ignored = self.hub.content(commit.tree[".gitignore"]).decode()
        files = []
        for file in self._values()["files"]:
            path, sha = file["path"], commit.tree.get(file["path"])
            large = repo.goes_to_lfs(path, file["size"], attributes)
            base64.b64decode(file["sample"], validate=True)
            unwanted = any(fnmatch.fnmatch(path, line) for line in (ignored or "").split())
            there = {"oid": sha if large else _blob(self.hub.content(sha))} if sha else {}
            mode = "lfs" if large else "regular"
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": unwanted, **there})
        return JSONResponse({"files": files})

    def _may_change(self, repo: Repo, revision: str) -> dict[str, Any]:
        user = self._known()
        pull = repo.pull_at(revision)
        if "create_pr" in self.query or (pull is not None and pull.author == user["name"]):
            return user
        return self._writer(repo.owner)

    @_route(rf"POST {_WEB}\.git/info/lfs/objects/batch")
    def _batch(self, repo: Repo) -> Response:
        user = self._known()
        batch = self._values()
        if batch.get("operation") != "upload" or batch.get("hash_algo") != "sha256":
            raise HubError(400, "only uploads by sha256")
        # Without a ref, objects may become part of a pull request, which every user may open.
        if "ref" in batch and repo.pull_at(batch["ref"]["name"]) is None:
            self._writer(repo.owner)
        objects: list[dict[str, Any]] = []
        for item in batch["objects"]:
            oid, size = item["oid"], item["size"]
            if not re.fullmatch(r"[0-9a-f]{64}", oid):
                raise HubError(400, f"not a sha256: {oid}")
            answer: dict[str, Any] = {"oid": oid, "size": size}
            if repo.quota is not None and size > repo.quota - sum(len(self.hub.content(o)) for o in repo.stored):
                answer["error"] = {"code": 403, "message": "Private repository storage limit reached"}
            elif oid not in repo.stored:
                answer["actions"] = {
                    "upload": {"href": f"{self.hub.endpoint}/lfs/{repo.kind}/{repo.name}/{oid}?by={user['name']}"},
                    "verify": {"href": f"{repo.url}.git/info/lfs/verify"},
                }
            objects.append(answer)
        return JSONResponse({"transfer": "basic", "objects": objects})

    @_route("PUT /lfs/{kind}/{owner}/{name}/{oid}")
    def _store(self, kind: str, owner: str, name: str, oid: str) -> Response:
        repo = self.hub.repos[kind, f"{owner}/{name}"]
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise HubError(400, "what came does not have the promised sha256")
        repo.stored.add(self.hub.keep(self.body))
        return Response(headers={"ETag": f'"{oid}"'})

    @_route(rf"POST {_WEB}\.git/info/lfs/verify")
    def _verify(self, repo: Repo) -> Response:
        self._known()
        item = self._values()
        if item["oid"] not in repo.stored or len(self.hub.content(item["oid"])) != item["size"]:
            raise HubError(404, "this object was not uploaded")
        return JSONResponse({})

    @_route(f"POST {_API}/commit/{{revision}}")
    def _commit(self, repo: Repo, revision: str) -> Response:
        user = self._may_change(repo, revision)
        parent = repo.at(revision)
        lines = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        header = lines[0]["value"]
        if lines[0]["key"] != "header" or not header["summary"]:
            raise HubError(400, "the first line must be a header with a summary")
        if header.get("parentCommit") not in {None, parent.oid}:
            raise HubError(412, "The expected parent commit is not the newest one any more")
        tree = dict(parent.tree)
        for line in lines[1:]:
            self._change(repo, tree, line["key"], line["value"])
        author = user["name"]
        commit = repo.commit(tree, header["summary"], header.get("description", ""), author, parent.oid)
        answer = {"success": True, "commitOid": commit.oid, "commitUrl": f"{repo.url}/commit/{commit.oid}"}
        pull = repo.pull_at(revision)
        if "create_pr" in self.query:
            pull = repo.open(author, commit.title, commit.message, parent.oid, "open")
            answer["pullRequestUrl"] = f"{repo.url}/discussions/{pull.num}"
        if pull is not None:
            repo.pull_requests[f"refs/pr/{pull.num}"] = commit.oid
            pull.add(author, "commit", {"subject": commit.title, "oid": commit.oid})
        else:
            repo.branches[revision] = commit.oid
        return JSONResponse(answer)

    def _change(self, repo: Repo, tree: dict[str, str], key: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if path.startswith("/") or ".." in path.split("/"):
            raise HubError(400, f"bad path: {path}")
        if key == "file":
            tree[path] = self.hub.keep(base64.b64decode(value["content"], validate=True))
            repo.large.discard((path, tree[path]))
        elif key == "lfsFile":
            if value["oid"] not in repo.stored:
                raise HubError(400, f"LFS object of {path} was not uploaded")
            repo.large.add((path, value["oid"]))
            tree[path] = value["oid"]
        elif key == "deletedFile":
            if tree.pop(path, None) is None:
                raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        elif key == "deletedFolder":
            for name in [name for name in tree if name.startswith(f"{path.rstrip('/')}/")]:
                del tree[name]
        else:
            raise HubError(400, f"unknown operation {key}")

    @_route(f"POST {_API}/tag/{{revision}}")
    def _tag(self, repo: Repo, revision: str) -> Response:
        self._writer(repo.owner)
        name = self._values()["tag"]
        if name in repo.tags:
            raise HubError(409, f"Tag reference exists already: {name}")
        repo.tags[name] = repo.at(revision).oid
        return JSONResponse({})

    @_route(f"POST {_API}/branch/{{branch}}")
    def _branch(self, repo: Repo, branch: str) -> Response:
        self._writer(repo.owner)
        if branch in repo.branches:
            raise HubError(409, f"Reference already exists: {branch}")
        repo.branches[branch] = repo.at(self._values().get("startingPoint") or "main").oid
        return JSONResponse({})

    @_route(f"DELETE {_API}/(?P<kind>tag|branch)/{{reference}}")
    def _remove(self, repo: Repo, kind: str, reference: str) -> Response:
        self._writer(repo.owner)
        names = repo.tags if kind == "tag" else repo.branches
        if reference not in names or reference == "main":
            raise HubError(404, f"no such reference: {reference}", "RevisionNotFound")
        del names[reference]
        return JSONResponse({})

    # Discussions and pull requests.

    @_route(f"GET {_API}/discussions")
    def _list(self, repo: Repo) -> Response:
        types = {"all": {True, False}, "discussion": {False}, "pull_request": {True}}[self.query.get("type", "all")]
        statuses = _STATUSES[self.query.get("status", "all")]
        matching = [
            discussion
            for discussion in reversed(repo.discussions)
            if (discussion.base is not None) in types
            and discussion.status in statuses
            and self.query.get("author") in {None, discussion.author}
        ]
        start = int(self.query.get("p", 0)) * self.hub.page
        rows = [_summary(repo, discussion) for discussion in matching[start : start + self.hub.page]]
        closed = sum(discussion.status not in _OPEN for discussion in matching)
        counts = {"count": len(matching), "start": start, "numClosedDiscussions": closed}
        return JSONResponse({"discussions": rows, **counts})

    @_route(f"GET {_API}/discussions/{{number}}")
    def _details(self, repo: Repo, number: str) -> Response:
        discussion = repo.discussion(number)
        details = {**_summary(repo, discussion), "events": discussion.events}
        if discussion.base is not None:
            merged = {"mergeCommitId": discussion.merged} if discussion.merged else {}
            details["changes"] = {"base": "refs/heads/main", **merged}
            details["filesWithConflicts"] = repo.conflicts(discussion) if discussion.status in _OPEN else []
            details["diff"] = self._diff(repo.commits[discussion.base], repo.at(f"refs/pr/{discussion.num}"))
        return JSONResponse(details)

    def _diff(self, old: Commit, new: Commit) -> str:
        lines: list[str] = []
        for path in sorted({*old.tree, *new.tree}):
            if old.tree.get(path) != new.tree.get(path):
                texts = [
                    self.hub.content(sha).decode(errors="replace").splitlines() if sha else []
                    for sha in (old.tree.get(path), new.tree.get(path))
                ]
                lines += [f"diff --git a/{path} b/{path}", *difflib.unified_diff(*texts, path, path, lineterm="")]
        return "\n".join(lines)

    @_route(f"POST {_API}/discussions")
    def _discuss(self, repo: Repo) -> Response:
        author, values = self._known()["name"], self._values()
        base = repo.head if values.get("pullRequest") else None
        status = "draft" if base else "open"
        discussion = repo.open(author, values["title"], values.get("description", ""), base, status)
        if base:
            repo.pull_requests[f"refs/pr/{discussion.num}"] = base
        return JSONResponse({"num": discussion.num, "pullRequest": bool(base)})

    @_route(f"POST {_API}/discussions/{{number}}/(?P<change>comment|title|status|merge)")
    def _go_on(self, repo: Repo, number: str, change: str) -> Response:
        user, values, discussion = self._known()["name"], self._values(), repo.discussion(number)
        if values.get("comment"):
            discussion.comment(user, values["comment"])
        if change == "merge":
            self._merge(repo, discussion)
            return JSONResponse({})
        if change == "title":
            discussion.add(user, "title-change", {"from": discussion.title, "to": values["title"]})
            discussion.title = values["title"]
        if change == "status":
            if user != discussion.author:
                self._writer(repo.owner)
            discussion.status = values["status"]
            discussion.add(user, "status-change", {"status": discussion.status})
        name = {"comment": "newMessage", "title": "newTitle", "status": "newStatus"}[change]
        return JSONResponse({name: discussion.events[-1]})

    def _merge(self, repo: Repo, pull: Discussion) -> None:
        user = self._writer(repo.owner)["name"]
        if pull.base is None or pull.status not in _OPEN:
            raise HubError(400, "This discussion is not an open pull request")
        if conflicts := repo.conflicts(pull):
            raise HubError(409, f"This pull request has conflicts in {', '.join(conflicts)}")
        base, theirs = repo.commits[pull.base].tree, repo.at(f"refs/pr/{pull.num}").tree
        tree = {p: sha for p, sha in repo.at("main").tree.items() if not (p in base and p not in theirs)}
        tree |= {path: sha for path, sha in theirs.items() if base.get(path) != sha}
        commit = repo.commit(tree, f"{pull.title} (#{pull.num})", author=user, parent=repo.head)
        repo.branches["main"] = pull.merged = commit.oid
        pull.status = "merged"
        pull.add(user, "status-change", {"status": "merged"})


def _summary(repo: Repo, discussion: Discussion) -> dict[str, Any]:
    return {
        "num": discussion.num,
        "title": discussion.title,
        "author": {"name": discussion.author},
        "createdAt": discussion.date,
        "status": discussion.status,
        "isPullRequest": discussion.base is not None,
        "repo": {"name": repo.name, "type": repo.kind},
    }


def _now() -> str:
    # The client reads milliseconds, and commits made within one must still stand in order of their making.
    time.sleep(0.001)
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _front_matter(text: str) -> dict[str, Any] | None:
    header = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    value = yaml.safe_load(header[1]) if header else None
    return value if isinstance(value, dict) else None


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "oid": _sha1(path.encode()), "size": 0}


def _depths(path: str) -> range:
    return range(1, path.count("/") + 1)


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _blob(content: bytes) -> str:
    return _sha1(b"blob %d\0" % len(content) + content)
