"""What tests of submissions share: a small real run, and a maker of submissions from it."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def made(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    """The module that makes submissions; see tests/leaderboard/submissions.py."""
    return load_module(Path(__file__).parent / "submissions.py")


@pytest.fixture(scope="session")
def run(made: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lexical baseline on two gold word lists."""
    folder: Path = made.base_run(tmp_path_factory.mktemp("run"))
    return folder


@pytest.fixture(scope="session")
def maker(made: ModuleType, run: Path) -> Any:
    """A maker of submissions of those two word lists."""
    return made.Maker(run)
