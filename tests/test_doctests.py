"""The examples in docstrings run, and every public function has one."""

from __future__ import annotations

import doctest
import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

import conceptbench

WITHOUT = ("compare", "demo")
"""Functions whose shortest example would be a run of minutes, or two."""


def _modules_with_examples() -> list[str]:
    names = []
    for module in pkgutil.walk_packages(conceptbench.__path__, "conceptbench."):
        spec = module.module_finder.find_spec(module.name, None)  # type: ignore[call-arg]
        if spec is not None and spec.origin is not None and ">>> " in Path(spec.origin).read_text(encoding="utf-8"):
            names.append(module.name)
    return names


@pytest.mark.parametrize("name", _modules_with_examples())
def test_the_examples_of_a_module_run(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Examples that write nothing to a folder of their own must not litter the working folder.
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted
    assert not result.failed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [name for name in conceptbench.__all__ if inspect.isfunction(getattr(conceptbench, name)) and name not in WITHOUT],
)
def test_every_public_function_has_an_example(name: str) -> None:
    assert ">>> " in (getattr(conceptbench, name).__doc__ or "")
