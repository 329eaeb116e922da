"""Fixtures of the runtime's tests."""

from collections.abc import Callable

import pytest

from conceptbench.runtime.llm import Message, Request


@pytest.fixture(autouse=True)
def no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither key nor server of whoever runs the tests is used."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ask() -> Callable[..., Request]:
    """Makes a request of one user message."""

    def make(text: str, **options: object) -> Request:
        return Request((Message("user", text),), **options)  # type: ignore[arg-type]

    return make
