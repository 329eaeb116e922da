"""The page on which people rate, in a real browser, served by the command line."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conceptbench.eval.rating.ratings import Rating, read_ratings

ITEMS = 5
EVIL = "<script>alert(1)</script>"
SHOWN = ".rate[data-token]"


class Server:
    """`conceptbench rate` in a process of its own."""

    def __init__(self, folder: Path, *raters: str, port: int = 0) -> None:
        self.folder, self.raters = folder, raters
        options = [part for rater in raters for part in ("--rater", rater)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "conceptbench", "rate", str(folder), *options, "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "COLUMNS": "100"},
        )
        assert self.process.stdout is not None
        self.addresses = [self.process.stdout.readline().strip() for _ in raters]
        assert self.addresses[-1].startswith("http://127.0.0.1:")

    def address(self, rater: str) -> str:
        return self.addresses[self.raters.index(rater)]

    @property
    def port(self) -> int:
        return int(self.addresses[0].partition("/?")[0].rpartition(":")[2])

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def ratings(self, rater: str) -> dict[str, Rating]:
        file = self.folder / "ratings" / f"{rater}.csv"
        return {rating.label: rating for rating in read_ratings(file)}


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address in a browser context of its own; the test fails where a page leaves the machine or errs."""
    problems: list[str] = []
    contexts = []

    def left(url: str) -> bool:
        return not url.startswith(("http://127.0.0.1:", "data:"))

    def opened(address: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.on("request", lambda request: problems.append(request.url) if left(request.url) else None)
        page.goto(address)
        page.wait_for_selector(SHOWN)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def results(folder: Path) -> Path:
    """Write a result folder whose words, sentences and labels would be markup if they were not escaped."""
    rows = [
        {
            "item": f"item/{i}",
            "role": "item",
            "words": [f"word{i}", EVIL, "${alert(2)}", "{{label}}"],
            "contexts": [f"The word{i} <img src=x onerror=alert(3)> stands here {EVIL} ."],
            "label": f"label {i} {EVIL}",
            "other": f"other {i} ${{alert(4)}}" if i == 0 else None,
            "kind": "noun",
            "purity": 1.0,
            "layer": None,
            "size": None,
        }
        for i in range(ITEMS)
    ]
    kinds = {"words": pa.list_(pa.string()), "contexts": pa.list_(pa.string()), "layer": pa.int32(), "size": pa.int64()}
    kinds |= {name: pa.string() for name in ("item", "role", "label", "other", "kind")} | {"purity": pa.float64()}
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items()))), folder / "records.parquet")
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the raters of all tests."""
    server = Server(results(tmp_path_factory.mktemp("served")), "anna", "Zoë", "ben", "cleo", "dora", "emil", "fay")
    yield server
    assert server.stop() == 0


def token(page: Any) -> str:
    return str(page.locator(SHOWN).get_attribute("data-token"))


def press(page: Any, key: str) -> None:
    """Press a key and wait until something else is shown."""
    before = page.locator(SHOWN).inner_html()
    page.keyboard.press(key)
    page.wait_for_function("before => document.querySelector('.rate').innerHTML !== before", arg=before)


def click(page: Any, name: str) -> None:
    """Click a big button, not before the page takes a click for more than the second half of a double click."""
    before = page.locator(SHOWN).inner_html()
    page.wait_for_timeout(300)
    page.locator(".choices").get_by_role("button", name=name).click()
    page.wait_for_function("before => document.querySelector('.rate').innerHTML !== before", arg=before)


def label(page: Any) -> str:
    return str(page.locator("h1").inner_text()).removeprefix("Label").strip()


def test_two_people_rate_at_once_one_of_them_by_keyboard_alone(served: Server, open_page: Callable[..., Any]) -> None:
    anna, zoe = open_page(served.address("anna")), open_page(served.address("Zoë"))
    orders: dict[str, list[str]] = {"anna": [], "Zoë": []}
    for _ in range(ITEMS):
        compared = "label 0" in label(anna)
        orders["anna"].append(label(anna))
        press(anna, "y")
        press(anna, "i")
        if compared:
            chosen = anna.locator("[data-key='2']").inner_text().removeprefix("2").strip()
            press(anna, "2")
        compared = "label 0" in label(zoe)
        orders["Zoë"].append(label(zoe))
        click(zoe, "No")
        if compared:
            click(zoe, "Neither")
    for page, name in ((anna, "anna"), (zoe, "Zoë")):
        assert page.locator("h1").inner_text() == f"Thank you, {name}!"
        assert page.get_by_role("progressbar").get_attribute("aria-valuenow") == str(ITEMS)
    assert sorted(orders["anna"]) == sorted(orders["Zoë"]) == [f"label {i} {EVIL}" for i in range(ITEMS)]
    assert orders["anna"] != orders["Zoë"]
    first = f"label 0 {EVIL}"
    given = served.ratings("anna")
    assert {rating.grade for rating in given.values()} == {"imprecise"}
    assert {"label": first, "other": "other 0 ${alert(4)}"}[str(given[first].q3)] == chosen
    given = served.ratings("Zoë")
    assert {rating.grade for rating in given.values()} == {"unacceptable"}
    assert [rating.q3 for rating in given.values() if rating.other] == ["neither"]


@pytest.mark.slow
def test_nothing_is_lost_by_a_reload_or_a_kill(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    server = Server(results(tmp_path), "anna")
    page = open_page(server.address("anna"))
    while "label 0" in label(page):
        press(page, "s")
    done = label(page)
    press(page, "y")
    press(page, "p")
    while "label 0" in label(page):
        press(page, "s")
    half = label(page)
    press(page, "y")
    page.reload()
    page.wait_for_selector(".q2")
    assert label(page) == half
    server.stop(signal.SIGKILL)
    assert {name: rating.grade for name, rating in server.ratings("anna").items()} == {
        done: "precise",
        half: "acceptable",
    }
    page.keyboard.press("p")
    page.get_by_text("Not saved: the server does not answer").wait_for()
    server = Server(tmp_path, "anna", port=server.port)
    press(page, "p")
    assert server.ratings("anna")[half].grade == "precise"
    page.reload()
    page.wait_for_selector(SHOWN)
    assert page.get_by_text("2 of 5 rated").is_visible()
    assert server.stop(signal.SIGTERM) == 0


@pytest.mark.slow
def test_what_a_hand_does_by_mistake(served: Server, open_page: Callable[..., Any]) -> None:
    ben = open_page(served.address("ben"))
    while "label 0" in label(ben):
        press(ben, "s")
    first = label(ben)
    ben.wait_for_timeout(300)
    # A slow double click: the second half of it finds another question under the mouse.
    box = ben.locator(".choices").get_by_role("button", name="Yes").bounding_box()
    ben.mouse.click(box["x"] + 20, box["y"] + 20)
    ben.wait_for_selector(".q2")
    ben.mouse.click(box["x"] + 20, box["y"] + 20)
    # Keys that mean nothing now, or have a modifier.
    for key in ("1", "x", "Control+p", "Alt+i"):
        ben.keyboard.press(key)
    ben.wait_for_timeout(300)
    assert served.ratings("ben") == {first: Rating("item/" + first[6], first, "ben", "yes")}
    press(ben, "p")
    while "label 0" in label(ben):
        press(ben, "s")
    # A key that is pressed twice before the next item is there.
    before = token(ben)
    ben.keyboard.type("nn")
    ben.wait_for_function("before => document.querySelector('.rate').dataset.token !== before", arg=before)
    ben.wait_for_timeout(300)
    assert [rating.grade for rating in served.ratings("ben").values()] == ["precise", "unacceptable"]
    # Back, and another answer; what was shown comes again.
    after = label(ben)
    press(ben, "Backspace")
    assert label(ben) != after
    while label(ben) != first:
        press(ben, "ArrowLeft")
    assert ben.locator("[data-key=y]").get_attribute("aria-pressed") == "true"
    press(ben, "n")
    assert served.ratings("ben")[first].grade == "unacceptable"

    # Two windows of one rater: what the second shows is out of date, but it is still for its own item.
    dora, second = open_page(served.address("dora")), open_page(served.address("dora"))
    seen = label(dora)
    press(dora, "n")
    press(second, "y")
    assert served.ratings("dora")[seen].grade == "acceptable"
    assert len(served.ratings("dora")) == 1

    # All skipped: the last page leads to them again.
    emil = open_page(served.address("emil"))
    seen = label(emil)
    for _ in range(ITEMS):
        press(emil, "s")
    assert emil.locator("h1").inner_text() == f"{ITEMS} to go"
    press(emil, "Enter")
    assert label(emil) == seen
    stranger = open_page(served.address("emil").replace("emil", EVIL))
    stranger.get_by_role("link", name="emil").click()
    stranger.wait_for_selector("h1:has-text('label')")


def test_words_labels_and_sentences_are_text_and_fit_the_screen(served: Server, open_page: Callable[..., Any]) -> None:
    phone = {"viewport": {"width": 390, "height": 800}, "is_mobile": True, "has_touch": True, "color_scheme": "dark"}
    for options in ({}, phone):
        page = open_page(served.address("cleo"), **options)
        number = label(page)[6]
        assert label(page) == f"label {number} {EVIL}"
        words = page.locator(".words span").all_inner_texts()
        assert words == [f"word{number}", EVIL, "${alert(2)}", "{{label}}"]
        sentence = page.locator("blockquote").inner_text()
        assert sentence == f"The word{number} <img src=x onerror=alert(3)> stands here {EVIL} ."
        assert page.locator("mark").all_inner_texts() == [f"word{number}", EVIL]
        width, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= screen
        # What has to be pressed is on the screen, without scrolling.
        for button in page.locator("button:visible").all():
            box = button.bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 800
        # No one can tell the model, layer or annotator from what the browser gets.
        assert "item/" not in page.content()
    assert page.evaluate("getComputedStyle(document.querySelector('.rate')).backgroundColor") == "rgb(22, 24, 31)"


def test_another_site_cannot_rate(served: Server) -> None:
    address = served.address("fay").partition("?")[0]

    def post(value: object, **changed: str) -> int:
        headers = {"Origin": address.rstrip("/"), "Content-Type": "application/json"} | changed
        request = urllib.request.Request(address + "act", json.dumps(value).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                html = answer.read().decode()
                assert "unsafe" not in answer.headers["Content-Security-Policy"]
        except urllib.error.HTTPError as error:
            return error.code
        tokens.extend(re.findall(r'data-token="(\w+)"', html))
        return 200

    tokens: list[str] = []
    assert post({"rater": "fay", "token": "?", "action": "open", "value": ""}) == 200
    answer = {"rater": "fay", "token": tokens[0], "action": "q1", "value": "yes"}
    for status, value, changed in (
        (403, answer, {"Origin": "http://elsewhere.example"}),
        (403, answer, {"Sec-Fetch-Site": "cross-site"}),
        (415, answer, {"Content-Type": "text/plain"}),
        (413, {**answer, "more": "x" * 100_000}, {}),
        (400, {**answer, "value": ["yes"]}, {}),
        (400, [answer], {}),
    ):
        assert post(value, **changed) == status
    assert served.ratings("fay") == {}
    assert post(answer) == 200
    assert [rating.q1 for rating in served.ratings("fay").values()] == ["yes"]


def test_a_taken_port_is_named(served: Server) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "conceptbench", "rate", served.folder, "--rater", "fred", "--port", str(served.port)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert f"--port {served.port}: Address already in use" in refused.stderr
