"""Publishing a concept store to a dataset repository of the Hub: the files that differ, and their commit."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

from conceptbench.benchmark.schema import STORE_SCHEMA, TABLES, layer_file, slug
from conceptbench.benchmark.store import ConceptStore, read_table
from conceptbench.builders.card import render_card
from conceptbench.builders.harness import GOLD_FILE, eval_yaml, gold_parquet
from conceptbench.builders.referred import is_referred, without_text
from conceptbench.builders.remote import Remote
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.files import sha256
from conceptbench.runtime.hub import SECONDS, require_token
from conceptbench.runtime.progress import Progress, Silent

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

State = Literal["new", "changed", "there", "gone"]

_OURS = re.compile(rf"({'|'.join(TABLES)}|gold)/.+\.parquet|({'|'.join(TABLES)})\.parquet|eval\.yaml")
_TABLE = re.compile(rf"({'|'.join(table for table in TABLES if table != 'sentences')})/[^/]+/L\d\d+\.parquet")
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
# The Hub makes this file itself.
_EMPTY = {".gitattributes"}


@dataclass(frozen=True)
class File:
    """A file to publish: a path on disk, or its content where it is made for the Hub."""

    path: str
    source: Path | bytes
    size: int
    sha256: str

    def blob(self) -> str:
        """Give the id of the file in git."""
        content = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Change:
    """What happens to a file: a `new` or `changed` one is sent, one that is `there` is not, a `gone` one is deleted."""

    path: str
    size: int
    state: State


@dataclass(frozen=True)
class Publication:
    """What was published, or (without a commit) would be; `url` is that of the dataset."""

    repo: str
    url: str
    commit: str | None
    revision: str | None
    changes: tuple[Change, ...]

    @property
    def sent(self) -> int:
        """The bytes of the files that are new or changed."""
        return sum(change.size for change in self.changes if change.state in {"new", "changed"})


def publish(
    store: str | Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    licence: str | None = None,
    dry_run: bool = False,
    timeout: float = SECONDS,
    progress: Progress | None = None,
) -> Publication:
    """Publish a concept store as a dataset on the Hub: card, tables, manifest and gold items, as one commit.

    Only files that differ from those on the Hub are sent, and a run after an interruption continues where it stopped.
    The token is that of `hf auth login`, or in HF_TOKEN.

    Parameters
    ----------
    store : the store's folder.
    repo : `ORG/NAME`; the repository is made if it does not exist.
    private : make the repository private.
    revision : a tag for the commit.
    licence : the licence's id on the Hub, for the card; by default that in the store's README.md.
    dry_run : only compare the files, and send nothing; this needs no token.
    timeout : the seconds for which the Hub may be silent.

    Raises
    ------
    InputError
        if the store is not whole, the repository is something else, the tag is taken, or the token may not write.
    ConceptBenchError
        if the Hub fails during the work; the same call continues it.

    Examples
    --------
    A dry run sends nothing. Without a network it takes the dataset on the Hub for empty.

    >>> import tempfile
    >>> import conceptbench
    >>> text = "The cat sat on the mat .\\nThe dog sat on the rug .\\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "text.txt").write_text(text)
    ...     store = conceptbench.build(
    ...         corpus=f"{folder}/text.txt", layers="1", k=2, min_count=1, out=f"{folder}/store"
    ...     )
    ...     publication = publish(store.path, "my-org/pets", dry_run=True)
    >>> publication.commit is None, [change.path for change in publication.changes][:2]
    (True, ['README.md', 'annotations/minilm/L01.parquet'])
    """
    progress = progress or Silent()
    opened = ConceptStore.open(store)
    _check_names(repo, revision, licence)
    if not dry_run:
        require_token(f"publishing to {repo}")
    files = collect(opened, repo, licence, progress)
    with Remote(repo, timeout, progress.note) as hub:
        remote_files = hub.look(needed=not dry_run)
        _check_remote(repo, hub, remote_files, private=private)
        changes = _changes(files, remote_files)
        differs = any(change.state != "there" for change in changes)
        tagged = hub.tags().get(revision) if revision and hub.head else None
        if tagged is not None and (differs or tagged != hub.head):
            raise InputError(
                f"--revision {revision}: {repo} has this tag already, at another state ({tagged[:8]}): give another tag"
            )
        if dry_run:
            return Publication(repo, hub.url, None, revision, changes)
        commit = hub.head
        if differs:
            commit = _send(hub, files, changes, private=private, progress=progress)
        if revision is not None and tagged is None:
            hub.tag(revision, str(commit))
    return Publication(repo, hub.url, commit, revision, changes)


def collect(store: ConceptStore, repo: str, licence: str | None, progress: Progress) -> list[File]:
    """Check a store and give the files to publish, by path: never more than its manifest names and the card needs.

    Raises
    ------
    InputError
        if it is not finished, or a file is missing, damaged, changed since, or not one of the manifest's.
    """
    digests = _tables(store)
    collected: dict[str, File] = {}
    with progress.stage("Checking the store", len(digests)) as advance:
        for path, digest in digests.items():
            file = store.path / path
            read_table(file, TABLES[path.partition("/")[0].removesuffix(".parquet")])
            if sha256(file) != digest:
                raise InputError(
                    f"{file}: it is not the file that manifest.json names: run the same `conceptbench build` again, "
                    "which finishes the store"
                )
            collected[path] = File(path, file, file.stat().st_size, digest)
            advance(1)
    if is_referred(store):
        bare = without_text(store)
        digests["sentences.parquet"] = hashlib.sha256(bare).hexdigest()
        collected["sentences.parquet"] = File("sentences.parquet", bare, len(bare), digests["sentences.parquet"])
    store = replace(store, manifest={**store.manifest, "files": digests})
    gold = gold_parquet()
    card = render_card(store, repo=repo, licence=licence or _own_licence(store.path / "README.md"), gold=gold)
    manifest = {**store.manifest, "files": {**digests, GOLD_FILE: hashlib.sha256(gold).hexdigest()}}
    contents = {
        "README.md": card.encode(),
        "manifest.json": (json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        "eval.yaml": eval_yaml(),
        GOLD_FILE: gold,
    }
    for path, content in contents.items():
        collected[path] = File(path, content, len(content), hashlib.sha256(content).hexdigest())
    return [collected[path] for path in sorted(collected)]


def _tables(store: ConceptStore) -> dict[str, str]:
    """Give the tables' files with the digests of the manifest; check that none is missing or left over."""
    manifest = store.manifest
    where = store.path / "manifest.json"
    if not manifest.get("complete") or not isinstance(manifest.get("files"), dict):
        raise InputError(
            f"{store.path} is not finished: run the same `conceptbench build` again, which goes on with it"
        )
    # A store that was downloaded from the Hub has the gold items beside its own tables.
    digests = {path: digest for path, digest in sorted(manifest["files"].items()) if path != GOLD_FILE}
    strange = [path for path in digests if path != "sentences.parquet" and not _TABLE.fullmatch(path)]
    if strange:
        raise InputError(f"{where}: {strange[0]!r} under `files` is not a table of a store: build it again")
    needed = {"sentences.parquet"}
    for model, entry in manifest["models"].items():
        for layer in entry.get("layers", []):
            needed |= {f"{table}/{slug(model)}/{layer_file(layer)}" for table in ("concepts", "occurrences")}
            if entry["clustering"] == "ward":
                needed.add(f"trees/{slug(model)}/{layer_file(layer)}")
    if missing := sorted(needed - set(digests)):
        raise InputError(f"{where}: it does not name {missing[0]}: run the same `conceptbench build` again")
    on_disk = {file.relative_to(store.path).as_posix() for table in TABLES for file in store.path.glob(f"{table}/*/*")}
    if more := sorted(path for path in on_disk - set(digests) if _TABLE.fullmatch(path)):
        raise InputError(
            f"{store.path / more[0]} is not in manifest.json: run the same `conceptbench build` again, or take it away"
        )
    return digests


def _own_licence(readme: Path) -> str | None:
    """Read the licence that the store's own card names, where somebody has set it."""
    try:
        header = yaml.safe_load(readme.read_text(encoding="utf-8").split("---\n")[1])
        licence = header["license"]
    except (OSError, UnicodeDecodeError, IndexError, KeyError, TypeError, yaml.YAMLError):
        return None
    return licence if isinstance(licence, str) and _LICENCE.fullmatch(licence) else None


def _check_names(repo: str, revision: str | None, licence: str | None) -> None:
    if not re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", repo, re.ASCII):
        raise InputError(f"--repo {repo}: give ORG/NAME, of letters, digits, -, _ and .")
    if revision is not None and (revision == "main" or not re.fullmatch(r"[\w][\w.+-]*", revision, re.ASCII)):
        raise InputError(f"--revision {revision}: give a tag such as v1.0: letters, digits, -, _ and ., and not main")
    if licence is not None and not _LICENCE.fullmatch(licence):
        raise InputError(f"--license {licence}: give the licence's id on the Hub, such as cc-by-4.0")


def _check_remote(repo: str, hub: Remote, remote_files: Sequence[RepoFile], *, private: bool) -> None:
    if hub.head is None:
        return
    if private and hub.private is False:
        raise InputError(f"--private: {repo} is there and is public: make it private in its settings on the Hub first")
    names = {file.path for file in remote_files}
    if names <= _EMPTY:
        return
    try:
        manifest = json.loads(hub.read("manifest.json")) if "manifest.json" in names else None
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("schema") != STORE_SCHEMA:
        raise InputError(
            f"{repo} holds {len(names)} files and is not a concept store ({STORE_SCHEMA} in manifest.json): give "
            "another --repo, or empty this one; nothing was changed"
        )


def _changes(files: Sequence[File], remote_files: Sequence[RepoFile]) -> tuple[Change, ...]:
    """Compare the files to publish with those on the Hub; files there that a store never has are not touched."""
    remote = {file.path: file for file in remote_files}
    changes = []
    for file in files:
        counterpart = remote.get(file.path)
        if counterpart is None:
            state: State = "new"
        elif counterpart.size == file.size and (
            counterpart.lfs.sha256 == file.sha256 if counterpart.lfs else counterpart.blob_id == file.blob()
        ):
            state = "there"
        else:
            state = "changed"
        changes.append(Change(file.path, file.size, state))
    ours = {file.path for file in files}
    changes += [
        Change(path, counterpart.size, "gone")
        for path, counterpart in remote.items()
        if _OURS.fullmatch(path) and path not in ours
    ]
    return tuple(sorted(changes, key=lambda change: change.path))


def _send(hub: Remote, files: Sequence[File], changes: Sequence[Change], *, private: bool, progress: Progress) -> str:
    state = {change.path: change.state for change in changes}
    sent = [file for file in files if state[file.path] in {"new", "changed"}]
    if hub.head is None:
        hub.create(private=private)
    with progress.stage("Sending files", len(sent)) as advance:
        commit = hub.commit(
            {file.path: file.source for file in sent},
            [change.path for change in changes if change.state == "gone"],
            advance,
        )
    differing = [change.path for change in _changes(files, hub.files(commit)) if change.state != "there"]
    if differing:
        raise ConceptBenchError(
            f"{hub.repo}: after the commit {commit[:8]}, {differing[0]} on the Hub is not what was sent: look whether "
            "a .gitignore there leaves it out, or whether somebody else is changing it, and give the same command again"
        )
    return commit
