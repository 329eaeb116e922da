"""The report page, opened in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.build import build
from conceptbench.builders.report import write_report

WIDTHS = {"desk": 1280, "phone": 390}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ConceptStore:
    """A small store whose words would be markup if they were not escaped."""
    folder = tmp_path_factory.mktemp("report")
    texts = [
        f"The <script>alert({i % 7})</script> cat & dog number {i} ran home , said <b>Ann</b> ." for i in range(60)
    ]
    (folder / "corpus.txt").write_text("\n".join(texts))
    return build(corpus=str(folder / "corpus.txt"), model="minilm", layers="0,6", k=8, out=folder / "store")


@pytest.fixture(scope="module")
def report(store: ConceptStore) -> Path:
    """The report on that store."""
    path = store.path.parent / "report.html"
    write_report(store, path)
    return path


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[Any]:
    """The open report; the test fails where it logs an error, asks for a file or runs a script of the data."""
    page = browser.new_page(viewport={"width": WIDTHS["desk"], "height": 900})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("request", lambda request: problems.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(report.as_uri())
    yield page
    page.close()
    assert problems == []


def test_the_page_shows_every_concept(page: Any, store: ConceptStore) -> None:
    assert page.locator("article:visible").count() == 16
    first = store.concepts("minilm", 0).to_pylist()[0]
    card = page.locator(f"article[id='{first['concept']}']")
    assert card.locator("h3").inner_text() == first["label"]
    for word in first["words"][:5]:
        assert word["word"] in card.locator(".words").inner_text()
    marks = card.locator("mark").all_inner_texts()
    assert 1 <= len(marks) <= 3
    assert set(marks) <= {word["word"] for word in first["words"]}


def test_words_and_layers_are_found(page: Any) -> None:
    page.get_by_label("Find a word or a label").fill("CAT")
    shown = page.locator("article:visible").all_inner_texts()
    assert 1 <= len(shown) < 16
    assert all("cat" in text.lower() for text in shown)
    page.get_by_label("Layer").select_option("minilm/6")
    assert 1 <= page.locator("article:visible").count() < len(shown)
    page.get_by_label("Find a word or a label").fill("no such word")
    assert page.get_by_role("status").inner_text() == "0 concepts"


@pytest.mark.parametrize("device", WIDTHS)
def test_nothing_is_wider_than_the_screen(page: Any, device: str) -> None:
    page.set_viewport_size({"width": WIDTHS[device], "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[device]
