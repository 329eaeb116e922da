"""A store's folder while it is being made: lock, journal, manifest, and the removal of a store after bad input."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from conceptbench.benchmark.store import ConceptStore, read_manifest
from conceptbench.builders.card import write_card
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.files import remove_temporaries, sha256, write_json, writing_failed
from conceptbench.runtime.journal import Journal

_PACKAGES = ("conceptbench", "torch", "transformers", "tokenizers", "syntok", "pyarrow", "scikit-learn", "openai")
# The files that a build killed in its first stage leaves.
_BEGUN = {"vectors", "sentences.parquet"}


def check_folder(folder: Path) -> dict[str, Any] | None:
    """Read the manifest of the store that is in a folder, or give None where a new one can be made.

    Raises
    ------
    InputError
        if the folder holds something else, or a store of another version.
    """
    manifest = read_manifest(folder)
    if manifest is not None:
        return manifest
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: it is a file; give a folder")
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in names if not name.startswith("journal") and name not in _BEGUN]
    if foreign:
        raise InputError(
            f"--out {folder}: it holds {foreign[0]!r} and is not a concept store; give an empty or a new folder"
        )
    return None


@contextmanager
def opened(folder: Path, *, fresh: bool) -> Iterator[Journal]:
    """Lock a store's folder and open its journal.

    Where a fresh run ends with bad input before a model's vectors are computed, what it made is removed.

    Raises
    ------
    ConceptBenchError
        if the folder cannot be written to, or another build is at work there.
    """
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = filelock.FileLock(folder / "journal.lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise ConceptBenchError(f"{folder}: another build is at work there; wait for it, or stop it") from error
    except OSError as error:
        raise writing_failed(folder, error) from error
    try:
        remove_temporaries(folder)
        with Journal(folder / "journal.sqlite") as journal:
            yield journal
    except InputError:
        if fresh and not (read_manifest(folder) or {}).get("models"):
            _undo(folder)
        raise
    finally:
        lock.release()
        (folder / "journal.lock").unlink(missing_ok=True)
        for path in new_folders:
            # Only folders that this run made, and only if nothing was left in them.
            with suppress(OSError):
                path.rmdir()


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder`, which takes its place when the block ends well.

    Raises
    ------
    InputError
        if `folder` exists and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--out {folder}: it exists and is not empty; give a new folder")
    temporary = folder.with_name(f".{folder.name}.journal-part")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(folder)
    except OSError as error:
        raise writing_failed(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def finish_store(store: ConceptStore) -> None:
    """Write the card, and the manifest with the layers and the digest of every published table."""
    manifest = store.manifest
    for model, entry in manifest["models"].items():
        entry["layers"] = store.layers(model)
    manifest["files"] = {
        path.relative_to(store.path).as_posix(): sha256(path)
        for path in sorted(store.path.rglob("*.parquet"))
        if path.relative_to(store.path).parts[0] != "vectors"
    }
    write_card(store)
    manifest["complete"] = True
    write_json(store.path / "manifest.json", manifest)


def versions() -> dict[str, str]:
    """The versions of the packages that a store depends on."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def _undo(folder: Path) -> None:
    for name in ("manifest.json", "journal.sqlite", "sentences.parquet"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "vectors", ignore_errors=True)
