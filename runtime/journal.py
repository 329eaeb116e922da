"""The request journal: the answers of language models, kept so that a killed run asks for none of them again.

One SQLite file in WAL mode. A commit survives the death of the process at any instruction; with
`synchronous=NORMAL` a power cut may lose the last commits, never the file.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.llm import Reply, Request

# "CBjn": tells our files from any other SQLite file.
_APPLICATION_ID = 0x43426A6E
_SCHEMA_VERSION = 1
_SCHEMA = (
    """CREATE TABLE replies (
        key TEXT PRIMARY KEY, system TEXT NOT NULL, text TEXT, reason TEXT, detail TEXT NOT NULL,
        tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, seconds REAL NOT NULL, time REAL NOT NULL
    ) WITHOUT ROWID""",
    "CREATE TABLE progress (stage TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)
_KEYS_PER_QUERY = 500


def request_key(system: str, base_url: str | None, request: Request) -> str:
    """The sha256 hex digest of the request's canonical JSON.

    Everything that can change the answer is in it: system, server, messages, decoding parameters, sample.
    User info and query of `base_url` are left out, since they may hold secrets.
    """
    fields = {
        "system": system,
        "base_url": bare_url(base_url) if base_url else None,
        "messages": [[message.role, message.content] for message in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": float(request.temperature),
        "stop": list(request.stop),
        "seed": request.seed,
        "sample": request.sample,
    }
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def bare_url(url: str) -> str:
    """The URL without user info, query and fragment: fit to be shown and stored."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


class Journal:
    """Answers by request key, and the progress of each stage of a build, in one SQLite file.

    A context manager; `close` leaves the file alone, without SQLite's `-wal` and `-shm` beside it. May be
    used from several threads. Holds no keys, headers or request texts.

    Raises
    ------
    InputError
        the file is no journal, is damaged, or is of another version. It is left as it is.
    ConceptBenchError
        the file cannot be opened or written, or another process holds it.
    """

    def __init__(self, path: str | Path, *, busy_timeout: float = 10.0) -> None:
        self.path = Path(path)
        self._lock = RLock()
        self._check_file()
        with self._errors():
            self._db = sqlite3.connect(self.path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
        try:
            self._open()
        except BaseException:
            self._db.close()
            raise

    def get_many(self, keys: Iterable[str]) -> dict[str, Reply]:
        """Give the replies that the journal has for these keys."""
        distinct = list(dict.fromkeys(keys))
        replies: dict[str, Reply] = {}
        with self._errors():
            for start in range(0, len(distinct), _KEYS_PER_QUERY):
                part = distinct[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(part))
                rows = self._db.execute(
                    "SELECT key, text, reason, detail, tokens_in, tokens_out, seconds "  # noqa: S608 (marks only)
                    f"FROM replies WHERE key IN ({marks})",
                    part,
                )
                replies |= {row[0]: Reply(*row[1:]) for row in rows}
        return replies

    def put_many(self, system: str, replies: Mapping[str, Reply]) -> None:
        """Keep these replies, in one transaction. Failed ones are left out, so that they are asked again.

        A key that already has a reply keeps it, so that all readers see the same reply.
        """
        now = time.time()
        rows = [
            (key, system, r.text, r.reason, r.detail, r.tokens_in, r.tokens_out, r.seconds, now)
            for key, r in replies.items()
            if r.reason != "failed"
        ]
        if not rows:
            return
        with self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO replies VALUES (?,?,?,?,?,?,?,?,?)", rows)

    def __len__(self) -> int:
        """The number of replies kept."""
        with self._errors():
            return int(self._db.execute("SELECT count(*) FROM replies").fetchone()[0])

    def progress(self, stage: str) -> str | None:
        """Give the progress that was last saved for a stage, or None."""
        with self._errors():
            row = self._db.execute("SELECT value FROM progress WHERE stage = ?", (stage,)).fetchone()
        return None if row is None else str(row[0])

    def set_progress(self, stage: str, value: str) -> None:
        """Save the progress of a stage."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (stage, value))

    def close(self) -> None:
        """Fold the write-ahead log into the file and close the file. May be called again."""
        try:
            with self._errors():
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except ConceptBenchError as error:
            # Closed before; or the disk is full: what was committed is safe in the log.
            if not isinstance(error.__cause__, sqlite3.ProgrammingError | sqlite3.OperationalError):
                raise
        finally:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_file(self) -> None:
        """Refuse what SQLite would overwrite or misname, before it touches the file."""
        if self.path.is_dir():
            raise InputError(f"journal {self.path} is a folder. Name a file.")
        if not self.path.parent.is_dir():
            raise InputError(f"the folder of journal {self.path} does not exist. Make it, or name another.")
        if not self.path.exists():
            return
        try:
            with self.path.open("rb") as file:
                head = file.read(16)
        except OSError as error:
            raise ConceptBenchError(f"cannot read journal {self.path}: {error.strerror}.") from error
        if head and head != b"SQLite format 3\0":
            raise InputError(f"{self.path} is no journal of ConceptBench. {_MOVE}")

    def _open(self) -> None:
        with self._errors():
            application = self._pragma("application_id")
            version = self._pragma("user_version")
            objects = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application == 0 and version == 0 and objects == 0:
            self._create()
            return
        if application != _APPLICATION_ID:
            raise InputError(f"{self.path} is a database of another program, no journal of ConceptBench. {_MOVE}")
        if version != _SCHEMA_VERSION:
            raise InputError(
                f"journal {self.path} is of version {version}, this ConceptBench reads "
                f"version {_SCHEMA_VERSION}. {_MOVE}"
            )
        with self._errors():
            self._db.execute("PRAGMA synchronous=NORMAL")
            verdict = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise InputError(f"journal {self.path} is damaged. {_MOVE}")

    def _create(self) -> None:
        with self._errors():
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
        with self._transaction():
            # Another process may have made the tables while this one waited for the lock.
            if self._pragma("application_id") == _APPLICATION_ID:
                return
            for statement in _SCHEMA:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # SQLite has already rolled back after a full disk.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Hold the lock, and say in the user's words what SQLite reports."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise _explained(self.path, error) from error


_MOVE = "Move it away or name another file; nothing was changed."


def _explained(path: Path, error: sqlite3.Error) -> ConceptBenchError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return InputError(f"journal {path} is damaged ({error}). {_MOVE}")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return ConceptBenchError(
            f"journal {path} is held by another process. Wait for it to end, or stop it, and run again."
        )
    if name.startswith("SQLITE_FULL"):
        return ConceptBenchError(
            f"the disk of journal {path} is full. Free some space and run again; what was answered is kept."
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return ConceptBenchError(
            f"journal {path} cannot be written ({error}). Check the permissions of the file and its folder."
        )
    if name.startswith("SQLITE_IOERR"):
        return ConceptBenchError(
            f"journal {path} could not be read or written ({error}). Check the disk and its free space, "
            "and run again; what was answered is kept."
        )
    return ConceptBenchError(f"journal {path}: {error}.")
