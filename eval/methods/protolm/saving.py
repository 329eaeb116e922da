"""The files of a saved classifier: its configuration as JSON, and its weights as safetensors. Nothing is pickled."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import whole

SCHEMA: Final = "conceptbench.prototypes/1"
CONFIG_FILE: Final = "config.json"
WEIGHTS_FILE: Final = "model.safetensors"


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write a safetensors file, whole or not at all."""
    with whole(path) as temporary:
        # Tied weights would share memory, which safetensors refuses.
        save_file({name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}, temporary)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises
    ------
    InputError
        if it is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def difference(name: str, expected: dict[str, torch.Tensor], weights: dict[str, torch.Tensor]) -> str:
    """Say how a weight differs from what is expected.

    Examples
    --------
    >>> difference("bias", {"bias": torch.zeros(2)}, {"bias": torch.zeros(3)})
    'bias has shape (3,) instead of (2,)'
    """
    if name not in weights:
        return f"{name} is missing"
    if name not in expected:
        return f"{name} is not known"
    return f"{name} has shape {tuple(weights[name].shape)} instead of {tuple(expected[name].shape)}"


def read_config(path: Path, head: Any) -> dict[str, Any]:
    """Read the configuration of a saved classifier.

    Parameters
    ----------
    path : of the file.
    head : the class of the head that is expected.

    Raises
    ------
    InputError
        if the file is missing or damaged, or is that of a classifier of another kind or version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a folder that save_pretrained wrote") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f"{path}: not a prototype classifier of this version ({SCHEMA})")
    if content.get("kind") != head.kind:
        raise InputError(f"{path}: a classifier of kind {content.get('kind')!r}; this reads {head.kind!r}")
    fields = {"revision", "model", "width", "max_length", "tuned", "labels", "head", "owner"}
    missing = sorted(fields - content.keys())
    if missing or set(content["head"]) != set(asdict(head.config_type())):
        raise InputError(f"{path}: not a prototype classifier of this version ({', '.join(missing) or 'head'})")
    return content
