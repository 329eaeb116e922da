"""Presets: named, versioned concept datasets, each a TOML file of options of `build`."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conceptbench.benchmark.schema import parse_layers
from conceptbench.builders.options import BuildOptions
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.llm import public_name
from conceptbench.runtime.models import model_name
from conceptbench.runtime.options import read_options
from conceptbench.runtime.progress import Progress

if TYPE_CHECKING:
    from conceptbench.benchmark.store import ConceptStore

_FOLDER = files("conceptbench.builders") / "presets"
_NOT_IN_PRESETS = ("recut", "device", "base_url", "concurrency", "timeout", "price")
_MOST_LAYERS = 10_000


@dataclass(frozen=True)
class Preset:
    """A concept dataset's name, version and description, and the options of `build` that make it."""

    name: str
    sha256: str
    version: str
    description: str
    options: BuildOptions

    @property
    def concepts(self) -> int | None:
        """The number of concepts that the preset makes; None if it depends on the number of layers of its models."""
        if self.options.layers == "all":
            return None
        return len(self.options.model) * len(self.layers_of(_MOST_LAYERS)) * self.options.k

    def layers_of(self, available: int) -> list[int]:
        """The layers that the preset asks for of a model that has `available` layers."""
        return parse_layers(self.options.layers, available if self.options.layers == "all" else _MOST_LAYERS)


def preset_names() -> list[str]:
    """The names of the packaged presets."""
    return sorted(file.name.removesuffix(".toml") for file in _FOLDER.iterdir() if file.name.endswith(".toml"))


def load_preset(name: str) -> Preset:
    """Load a packaged preset by name, or a user's own by the path of its TOML file.

    Raises
    ------
    InputError
        if there is no such preset, or its file lacks a field or has a wrong one.
    """
    packaged = name in preset_names()
    if not packaged and not name.endswith(".toml"):
        raise InputError(
            f"--preset {name}: there is no such preset; there are {', '.join(preset_names())}, or give the path of a "
            ".toml file of your own"
        )
    try:
        content = (_FOLDER / f"{name}.toml").read_bytes() if packaged else Path(name).read_bytes()
        stated = tomllib.loads(content.decode())
    except OSError as error:
        raise InputError(f"--preset {name}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--preset {name}: not TOML ({error})") from error
    about = {field: stated.pop(field, None) for field in ("version", "description")}
    absent = [field for field, value in about.items() if not isinstance(value, str)]
    if absent:
        raise InputError(f"--preset {name}: `{absent[0]}`: must be given, as a text")
    if "model" not in stated:
        raise InputError(f"--preset {name}: `model`: must be given")
    unknown = sorted(set(stated) & set(_NOT_IN_PRESETS))
    if unknown:
        raise InputError(f"--preset {name}: `{unknown[0]}` is no option of a preset; give it on the command line")
    try:
        options = read_options(BuildOptions, stated)
    except InputError as error:
        raise InputError(f"--preset {name}: {error}") from error
    return Preset(
        name=name if packaged else Path(name).stem,
        sha256=hashlib.sha256(content).hexdigest(),
        version=str(about["version"]),
        description=str(about["description"]),
        options=options,
    )


def build_preset(preset: str, out: str | Path, *, progress: Progress | None = None, **options: Any) -> ConceptStore:
    """Make the store of a preset, or continue it; manifest and card name the preset and its version.

    Parameters
    ----------
    preset : a packaged preset's name, or the path of a TOML file.
    out : the store's folder.
    options : options of `build` that replace those of the preset; the manifest lists the options in which the store
        differs from its preset.

    Raises
    ------
    InputError, ConceptBenchError
        as `build` does, and if there is no such preset.

    Examples
    --------
    >>> import tempfile
    >>> preset = '''
    ... version = "1"
    ... description = "Two concepts of pets"
    ... model = "minilm"
    ... layers = "1"
    ... k = 2
    ... min_count = 1
    ... corpus = "pets.txt"
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     corpus = Path(folder, "pets.txt")
    ...     _ = corpus.write_text("The cat sat on the mat .\\nThe dog sat on the rug .\\n")
    ...     _ = Path(folder, "pets.toml").write_text(preset)
    ...     store = build_preset(f"{folder}/pets.toml", f"{folder}/store", corpus=corpus.as_posix())
    >>> store.manifest["preset"]["name"], store.manifest["preset"]["changed"]
    ('pets', [])
    """
    from conceptbench.builders.build import build
    from conceptbench.builders.workspace import finish_store, opened

    chosen = load_preset(preset)
    preset_options = {field.name: getattr(chosen.options, field.name) for field in fields(chosen.options)}
    if "corpus" in options:
        preset_options["text_column"] = None
    store = build(out=out, progress=progress, **(preset_options | options))
    store.manifest["preset"] = {
        "name": chosen.name,
        "version": chosen.version,
        "sha256": chosen.sha256,
        "description": chosen.description,
        "changed": _changed(chosen, store.manifest),
    }
    with opened(store.path, fresh=False):
        finish_store(store)
    return store


def _changed(preset: Preset, manifest: dict[str, Any]) -> list[str]:
    """Name the options in which a store is not what its preset says."""
    # A store of an older version has neither of the two.
    corpus = {"text": "kept", "max_sentences": None, **manifest["corpus"]}
    models, annotators, options = manifest["models"], manifest["annotators"], preset.options
    columns = ("text_column", "text", "max_sentences", "min_count", "max_count", "seed")
    same_corpus = corpus["name"] in {options.corpus, Path(options.corpus).name}
    changed = {name for name in columns if corpus[name] != getattr(options, name)}
    changed |= set() if same_corpus else {"corpus"}
    if list(models) != [model_name(model) for model in options.model]:
        changed.add("model")
    if [entry["annotator"] for entry in annotators] != [_entered(system) for system in options.annotator]:
        changed.add("annotator")
    if not {entry["prompt"] for entry in annotators} <= {options.prompt, ""}:
        changed.add("prompt")
    if any(entry["layers"] != preset.layers_of(entry["layers_available"]) for entry in models.values()):
        changed.add("layers")
    changed |= {
        name
        for name in ("k", "pooling", "max_length", "clustering")
        for entry in models.values()
        if entry[name] != getattr(options, name)
    }
    return sorted(changed)


def _entered(system: str) -> str:
    """The name by which a manifest knows an annotator."""
    kind, _, name = system.partition(":")
    if kind == "file":
        return f"file:{Path(name).name}"
    return public_name(system) if name else system
