"""The leaderboard's page, made from a board of real runs, in a real browser."""

import copy
import hashlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from conceptbench.leaderboard.page import numbers, serve, write_page
from conceptbench.leaderboard.page.plot import draw_scatter
from conceptbench.runtime.errors import InputError

Board = dict[str, Any]
LEXICAL, HALF, WORDS = (
    f"{name}/annotation/2026-11-{day}" for name, day in (("lexical", 20), ("half", 21), ("words", 22))
)
HREFS = "links => links.map(link => new URL(link.getAttribute('href'), document.baseURI).href)"
PHONE = {"viewport": {"width": 390, "height": 800}, "is_mobile": True, "has_touch": True, "color_scheme": "dark"}
# Texts that would run, lead elsewhere or break the page, if they were not shown as text.
EVIL = (
    "<script>window.pwned = 1; alert(1)</script>",
    "\"><img src=x onerror=\"window.pwned = 1\"> '",
    "</script><script>window.pwned = 1</script>",
    "--></title></style><svg onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "{{ 7 * 7 }}{% raw %}${window.pwned=1}`",
    "\u202edekcatta\u2066 \u0007 &lt;b&gt;",
    "=HYPERLINK(\"http://elsewhere.example\") " + "x" * 300,
    "__proto__ constructor\u2028 \ud800",
)  # fmt: skip


@pytest.fixture(scope="module")
def boards(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    return load_module(Path(__file__).parent / "real_boards.py")


@pytest.fixture(scope="module")
def made(boards: ModuleType, one_layer_minilm: str, tmp_path_factory: pytest.TempPathFactory) -> Board:
    runs = boards.run_all(tmp_path_factory.mktemp("runs"), 20, one_layer_minilm)
    board: Board = boards.make_board(runs)
    return board


@pytest.fixture
def board(made: Board) -> Board:
    """A board that a test may change."""
    return copy.deepcopy(made)


@pytest.fixture(scope="module")
def site(made: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_page(made, folder)
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The page as it is served; the server must end well."""
    with Server(site) as server:
        yield server.address


class Server:
    """The page's server in a process of its own."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        code = "import sys; from pathlib import Path; from conceptbench.leaderboard.page import serve; "
        code += "serve(Path(sys.argv[1]), int(sys.argv[2]), lambda address: print(address, flush=True))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=20)
        assert (self.process.returncode, errors) == (0, "")


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address in a new context; the test fails if a page asks another host, logs or opens a dialog."""
    problems: list[str] = []
    contexts = []

    def opened(url: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message: problems.append(message.text))
        page.on("request", lambda request: None if _own(request.url) else problems.append(request.url))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def _own(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "file:///", "data:"))


def rows(page: Any, table: int = 0) -> list[str]:
    """The ids of a table's rows that are shown, from top to bottom."""
    visible = "rows => rows.filter(row => row.checkVisibility()).map(row => row.dataset.row)"
    ids: list[str] = page.locator("table.board").nth(table).locator("tbody tr").evaluate_all(visible)
    return ids


def heads(page: Any) -> list[str]:
    visible = "heads => heads.filter(head => head.checkVisibility()).map(head => head.dataset.key)"
    keys: list[str] = page.locator("table.board").first.locator("thead th").evaluate_all(visible)
    return keys


def unfold(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(details => (details.open = true))")


def fits(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"])


def test_all_is_readable_without_a_script(site: Path, made: Board, open_page: Callable[..., Any]) -> None:
    page = open_page((site / "index.html").as_uri(), java_script_enabled=False)
    task = made["tasks"][0]
    by_rank = sorted((row for row in task["rows"] if row["rank"]), key=lambda row: row["rank"])
    table = page.locator("table.board").first
    titles = [text.split("\n")[0] for text in table.locator("thead th").all_inner_texts()]
    for line, row in zip(table.locator("tbody tr").all(), by_rank, strict=True):
        cells = line.locator("th, td").all_inner_texts()
        assert row["name"] in cells[0]
        assert cells[1].split() == [str(row["rank"]), *_range(row)]
        for name in ("gold_similarity", "discrimination", "gold_match/morphology"):
            metric = row["metrics"][name]
            assert f"{metric['value']:.3f}" in cells[titles.index(name)]
            assert f"{metric['low']:.3f} to {metric['high']:.3f}" in cells[titles.index(name)]
        # Re-run by us and self-reported are two columns.
        column = [i for i, title in enumerate(titles) if title == "gold_match"][row["kind"] == "self"]
        assert cells[column].startswith(f"{row['metrics']['gold_match']['value']:.3f}")
    text = page.locator("body").inner_text()
    assert "0.081" in text
    assert made["rejected"][0]["reason"] in text
    assert made["splits"][0]["commitment"] in text
    assert "not yet published" in text
    assert "Singh et al. 2023" in text
    assert "neurons are reported, not ranked." in text
    for word in ("rank interval", "resolution", "re-run by us", "self-reported", "from a paper"):
        assert page.locator("dt", has_text=word).first.is_visible()
    # The earlier version is folded away, in a table of its own.
    old = page.locator("details.table table.board")
    assert old.count() == 1
    assert not old.is_visible()
    page.locator("details.table > summary").click()
    assert rows_of(old) == [made["tasks"][2]["rows"][0]["id"]]
    page.get_by_role("link", name="The half labels").first.click()
    half = next(row for row in task["rows"] if row["id"] == HALF)
    text = page.locator("body").inner_text()
    for name, metric in half["metrics"].items():
        if "/" not in name:
            assert re.search(rf"\b{name}\b.*?{metric['value']:.3f}".replace("-", "−"), text, re.DOTALL)
    assert half["examples"][0]["shown"] in text
    assert page.locator("article").count() == len(half["examples"])
    assert page.get_by_text("By kind", exact=True).is_visible()
    page.get_by_text("The first 60").click()
    assert page.locator("table").last.is_visible() or page.get_by_text(half["rows_shown"][0]["item"]).first.is_visible()
    assert page.locator("a[download]").get_attribute("href") == "../records/half.parquet"
    # Its test against the rule, turned round: the pair is stored as the rule minus this one.
    pair = next(pair for pair in task["pairs"] if (pair["first"], pair["second"]) == (LEXICAL, HALF))
    line = page.locator("tr", has=page.get_by_role("link", name="The lexical labels")).inner_text()
    assert f"{-pair['value']:.3f}" in line
    assert f"{-pair['high']:.3f} to {-pair['low']:.3f}" in line


def _range(row: Board) -> list[str]:
    return [str(row["rank_low"]), "to", str(row["rank_high"])] if row["rank_low"] != row["rank_high"] else []


def rows_of(table: Any) -> list[str]:
    ids: list[str] = table.locator("tbody tr").evaluate_all("rows => rows.map(row => row.dataset.row)")
    return ids


def test_every_choice_is_in_the_address_and_can_be_undone(address: str, open_page: Callable[..., Any]) -> None:
    page = open_page(address)
    assert rows(page) == [HALF, LEXICAL, WORDS]
    usual = heads(page)
    # Sort: names upwards, then downwards; a score from the largest on.
    page.get_by_role("button", name="system").first.click()
    assert rows(page) == [HALF, LEXICAL, WORDS]
    page.get_by_role("button", name="system").first.click()
    assert rows(page) == [WORDS, LEXICAL, HALF]
    page.get_by_role("button", name="cost").first.click()
    # The row without a cost is last in both directions.
    assert rows(page) == [HALF, LEXICAL, WORDS]
    page.get_by_role("button", name="cost").first.click()
    assert rows(page) == [LEXICAL, HALF, WORDS]
    assert page.locator("th[data-key=cost]").first.get_attribute("aria-sort") == "descending"
    assert page.locator("[aria-sort]").count() == 1
    # Columns.
    page.locator("summary", has_text="Columns").first.click()
    page.get_by_role("checkbox", name="gold_match/morphology").first.check()
    page.get_by_role("checkbox", name="time", exact=True).first.uncheck()
    assert set(heads(page)) == (set(usual) | {"gold_match/morphology"}) - {"seconds"}
    page.locator("#kind").select_option("self")
    assert rows(page) == [HALF, WORDS]
    page.locator("#search").fill("THE lab half")
    assert rows(page) == [HALF]
    assert page.locator("#found").inner_text() == "1 of 6 rows shown."
    # A point is visible if its row is.
    points = (
        page.locator("[data-plot=cost_usd]")
        .first.locator("a")
        .evaluate_all("points => points.map(point => point.checkVisibility())")
    )
    assert points == [True, False]
    page.locator("#plot").select_option("seconds")
    assert not page.locator("[data-plot=cost_usd]").first.is_visible()
    assert page.locator("[data-plot=seconds]").first.is_visible()
    link, seen = page.url, (rows(page), heads(page))
    # The link shows the same to someone else, and after a reload.
    for reader in (open_page(link), page):
        reader.reload()
        assert (rows(reader), heads(reader)) == seen
        assert reader.locator("#search").input_value() == "THE lab half"
        assert reader.locator("#plot").input_value() == "seconds"
        assert reader.locator("th[data-key=cost]").first.get_attribute("aria-sort") == "descending"
    for _ in range(2):
        page.go_back()
    assert rows(page) == [LEXICAL, HALF, WORDS]
    page.go_back()
    assert "seconds" in heads(page)
    page.go_forward()
    assert "seconds" not in heads(page)
    page.locator("#task").select_option("neurons")
    assert rows(page) == []
    assert page.locator("section.table:visible").count() == 1
    page.locator("#search").fill("nobody")
    assert page.locator("#found").inner_text().startswith("No row fits")
    # An address by hand.
    page.goto(f"{address}?task=none&kind=x&plot=y&sort.x=z&q=words")
    assert rows(page) == [WORDS]


def test_everything_by_keyboard(address: str, open_page: Callable[..., Any]) -> None:
    page = open_page(address)

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
                return
        raise AssertionError(f"{selector} cannot be reached")

    tab_to("#search")
    page.keyboard.type("labels")
    assert rows(page) == [HALF, LEXICAL, WORDS]
    tab_to("th[data-key=gold_includes] button")
    page.keyboard.press("Enter")
    assert page.locator("th[data-key=gold_includes]").first.get_attribute("aria-sort") == "descending"
    assert page.evaluate("document.activeElement.textContent") == "gold_includes"
    tab_to("tr input[type=checkbox]")
    page.keyboard.press("Space")
    tab_to("tr input[type=checkbox]")
    page.keyboard.press("Space")
    tab_to("svg a")
    tab_to("#tray a")
    page.keyboard.press("Enter")
    page.wait_for_selector("#compared table")
    assert "compare.html?first=" in page.url
    names = page.locator("#compared thead").first.inner_text()
    assert "The half labels" in names
    # A point of the plot is a link, and so leads to its system by Enter.
    page.goto(address)
    tab_to("svg a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/systems/*.html")


def test_two_systems_side_by_side(address: str, made: Board, open_page: Callable[..., Any]) -> None:
    task = made["tasks"][0]
    pair = next(pair for pair in task["pairs"] if (pair["first"], pair["second"]) == (LEXICAL, HALF))
    page = open_page(f"{address}compare.html?{urlencode({'first': LEXICAL, 'second': HALF})}")

    def line(name: str) -> str:
        head = page.get_by_role("rowheader", name=re.compile(rf"^{name}( |\n|$)"))
        return str(page.locator("tr", has=head).first.inner_text()).replace("−", "-")

    assert f"{pair['value']:.3f}" in line("gold_match")
    assert f"{pair['low']:.3f} to {pair['high']:.3f}" in line("gold_match")
    assert page.evaluate("[-0.0004, -0.25, 0.5].map(written)") == ["0.000", "−0.250", "0.500"]
    # Turned round: another sign, and the ends of the interval exchanged.
    page.goto(f"{address}compare.html?{urlencode({'first': HALF, 'second': LEXICAL})}")
    assert f"{-pair['value']:.3f}" in line("gold_match")
    assert f"{-pair['high']:.3f} to {-pair['low']:.3f}" in line("gold_match")
    half, lexical = (
        next(row for row in task["rows"] if row["id"] == name)["metrics"]["copied"] for name in (HALF, LEXICAL)
    )
    assert f"{half['value'] - lexical['value']:.3f}" in line("copied")
    assert "not tested" in line("copied")
    # The choice is in the address, and the browser's back button undoes it.
    page.locator("#second").select_option(WORDS)
    assert f"second={quote(WORDS, safe='')}" in page.url
    assert "The words labels" in page.locator("#compared thead").first.inner_text()
    page.go_back()
    assert "The lexical labels" in page.locator("#compared thead").first.inner_text()
    # Systems of other tables cannot be chosen as the second one, and are not compared when an address names them.
    assert HALF not in page.locator("#second option").evaluate_all("all => all.map(one => one.value)")
    old = made["tasks"][2]["rows"][0]["id"]
    page.goto(f"{address}compare.html?{urlencode({'first': HALF, 'second': old})}")
    assert "not compared" in page.locator("#compared").inner_text()
    assert page.locator("#compared table").count() == 0
    page.goto(f"{address}compare.html?first=none&second=")
    assert "There is no system none" in page.locator("#compared").inner_text()
    # Without a script: where to look instead.
    plain = open_page(f"{address}compare.html", java_script_enabled=False)
    assert plain.get_by_role("link", name="The words labels").is_visible()


def test_it_opens_from_a_folder_and_fits_a_phone(site: Path, made: Board, open_page: Callable[..., Any]) -> None:
    query = urlencode({"first": LEXICAL, "second": HALF})
    urls = [(site / "index.html").as_uri(), f"{(site / 'compare.html').as_uri()}?{query}"]
    urls += [path.as_uri() for path in (site / "systems").iterdir()]
    assert len(urls) == 2 + sum(len(task["rows"]) for task in made["tasks"])
    for url in urls:
        page = open_page(url, **PHONE)
        unfold(page)
        assert fits(page), url
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 31)"
        assert page.locator("h1").count() == 1
        light = open_page(url, color_scheme="light")
        assert fits(light), url
        assert light.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page = open_page(urls[0], **PHONE)
    page.locator("#search").fill("half")
    assert rows(page) == [HALF]
    assert "q=half" in page.url
    assert open_page(urls[1]).locator("#compared table").count() > 0


def poisoned(value: Any, name: str = "") -> Any:
    """Put something evil into every text, and into every name of a metric, a prompt or an option."""
    if isinstance(value, dict):
        free = name in {"metrics", "decoding", "prompts"}
        return {evil(key) if free else key: poisoned(part, key) for key, part in value.items()}
    if isinstance(value, list):
        return [poisoned(part, name) for part in value]
    if not isinstance(value, str) or name in {"schema", "kind"}:
        return value
    if name in {"model_link", "records"}:
        return "javascript:window.pwned=1//../../x"
    return 'https://x.example/" onclick="window.pwned=1' if name == "code_link" else evil(value)


def evil(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()[0]
    return text + EVIL[digest % len(EVIL)]


def test_no_text_of_a_submission_is_more_than_text(board: Board, tmp_path: Path, open_page: Callable[..., Any]) -> None:
    bad = poisoned(board)
    bad["tasks"][0]["rows"][0] |= {"name": EVIL[0], "notes": EVIL[2], "system": EVIL[7]}
    bad["tasks"][0]["rows"][1] |= {"name": EVIL[1], "notes": EVIL[6], "cost_usd": 0.2}
    bad["tasks"][0]["rows"][0]["examples"][0] |= {"answer": EVIL[2], "shown": EVIL[3]}
    bad["tasks"][0]["rows"][0]["metrics"]["constructor"] = {"value": 0.5, "low": 0.1, "high": 0.9, "n": 3}
    bad["tasks"][0]["rows"][0]["prompts"] = {EVIL[3]: EVIL[1]}
    bad["tasks"][0]["rows"][0]["decoding"] = {EVIL[0]: {EVIL[1]: [EVIL[2]]}}
    write_page(bad, tmp_path)
    with Server(tmp_path) as server:
        pages = sorted((tmp_path / "systems").iterdir())
        assert len(pages) == 6
        names = ["", "compare.html", *(f"systems/{path.name}" for path in pages)]
        for options in ({}, PHONE):
            for name in names:
                page = open_page(server.address + name, **options)
                unfold(page)
                assert fits(page), name
                assert page.evaluate("window.pwned") is None
                assert not re.search("[\u202a-\u202e\u2066-\u2069]", page.content())
                assert page.locator("script").count() == (2 if name == "compare.html" else 1)
                assert page.locator("img, svg[onload], [onerror], [onclick], [style]").count() == 0
                links = page.locator("a[href]").evaluate_all(HREFS)
                assert all(link.startswith(server.address) for link in links)
        page = open_page(server.address)
        text = page.locator("table.board").first.inner_text()
        assert EVIL[0] in text
        assert EVIL[1] in text
        assert EVIL[7] in page.locator("table.board").first.inner_text()
        page.locator("#search").fill("<script>window")
        assert bad["tasks"][0]["rows"][0]["id"].replace("\ud800", "?") in rows(page)
        page.locator("#search").fill("")
        for button in page.locator("table.board").first.locator("thead button:visible").all():
            button.click()
        reloaded = rows(page)
        page.reload()
        assert rows(page) == reloaded
        for box in page.locator("table.board").first.locator("tbody input").all()[:2]:
            box.check()
        assert EVIL[0] in page.locator("#tray").inner_text() + page.locator("table.board").first.inner_text()
        page.locator("#tray a").click()
        page.wait_for_selector("#compared table")
        # All pairs of the three, both ways round.
        for first in range(1, 4):
            page.locator("#first").select_option(index=first)
            for second in range(1, 3):
                page.locator("#second").select_option(index=second)
                page.wait_for_selector("#compared table")
        assert page.evaluate("window.pwned") is None
        assert fits(page)


@pytest.mark.parametrize(
    "costs", [(0.0123, 0.00021, 0.4), (0.5, 0.2, 0.31), (0.0, 0.0, 0.0), (0.0, 3e-7, 2e-7), (940.0, 0.5, 31.0)]
)
def test_points_are_at_the_positions_that_the_axes_tell(board: Board, costs: tuple[float, ...]) -> None:
    rows = [row | {"cost_usd": cost} for row, cost in zip(board["tasks"][0]["rows"][:3], costs, strict=True)]
    plot = draw_scatter(rows, "gold_match", "cost_usd")
    assert plot is not None
    ticks = [(x, float(text.replace(",", ""))) for x, text in plot.across]
    (left, first), (right, last) = ticks[0], ticks[-1]
    steps = {round(high / low, 6) for (_, low), (_, high) in pairwise(ticks) if low}
    logarithmic = steps == {10.0} and len(ticks) > 2 and first > 0
    assert logarithmic == (min(costs) > 0 and max(costs) / min(costs) >= 50)
    for point, cost, row in zip(plot.points, costs, rows, strict=True):
        share = (point.x - left) / (right - left)
        read = first * (last / first) ** share if logarithmic else first + share * (last - first)
        assert read == pytest.approx(cost, rel=0.01, abs=1e-9)
        (bottom, lowest), (top, highest) = ((y, float(text)) for y, text in (plot.up[0], plot.up[-1]))
        for y, key in ((point.y, "value"), (point.low, "low"), (point.high, "high")):
            read = lowest + (y - bottom) / (top - bottom) * (highest - lowest)
            assert read == pytest.approx(row["metrics"]["gold_match"][key], abs=0.002)
    assert draw_scatter([row | {"cost_usd": None} for row in rows], "gold_match", "cost_usd") is None


def test_how_numbers_are_written() -> None:
    amounts = {
        0: "$0.00",
        1234.5: "$1,234.50",
        0.1: "$0.10",
        0.0123: "$0.012",
        0.00021: "$0.00021",
        3e-9: "$0.0000000030",
    }
    assert {amount: numbers.dollars(amount) for amount in amounts} == amounts
    times = {0.04: "0.0 s", 119.94: "119.9 s", 600: "10 min", 9000: "2.5 h"}
    assert {seconds: numbers.duration(seconds) for seconds in times} == times
    assert [numbers.score(value) for value in (-0.0004, -0.25, 0.5)] == ["0.000", "−0.250", "0.500"]
    assert [numbers.p_value(p) for p in (0.0009, 0.001, 0.25)] == ["< 0.001", "0.001", "0.250"]


def test_writing_again(board: Board, tmp_path: Path) -> None:
    write_page(board, tmp_path)
    first = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert json.loads(first[Path("board.json")]) == board
    assert first[Path("README.md")].startswith(b"---\ntitle: ")
    write_page(board, tmp_path)
    assert first == {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    # A row that is gone takes its page with it; those of the others keep their addresses.
    gone = board["tasks"][0]["rows"].pop(1)
    board["tasks"][0]["pairs"] = [pair for pair in board["tasks"][0]["pairs"] if gone["id"] not in pair.values()]
    write_page(board, tmp_path)
    pages = {path.name for path in (tmp_path / "systems").iterdir()}
    before = {path.name for path in first if path.parent.name == "systems"}
    assert len(before - pages) == 1
    assert pages < before
    board["tasks"][0]["rows"].append(copy.deepcopy(board["tasks"][0]["rows"][0]))
    with pytest.raises(InputError, match="is on the board twice"):
        write_page(board, tmp_path)
    with pytest.raises(InputError, match="not a board of this version"):
        write_page({"schema": "conceptbench.board/2"}, tmp_path)


def test_an_empty_board(board: Board, tmp_path: Path, open_page: Callable[..., Any]) -> None:
    task = board["tasks"][0] | {"rows": [], "pairs": [], "resolution": None}
    write_page(board | {"tasks": [task], "rejected": [], "history": [], "splits": []}, tmp_path)
    page = open_page((tmp_path / "index.html").as_uri())
    assert page.get_by_text("No system yet.").is_visible()
    write_page(board | {"tasks": [], "rejected": [], "history": [], "splits": []}, tmp_path)
    assert open_page((tmp_path / "compare.html").as_uri()).locator("#first option").count() == 1


def test_what_is_served(site: Path, address: str, tmp_path: Path) -> None:
    def ask(path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"), timeout=10)
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    status, headers, body = ask("/")
    assert status == 200
    assert body == (site / "index.html").read_bytes()
    assert headers["x-content-type-options"] == "nosniff"
    assert ask("/page.js")[1]["content-type"].startswith("text/javascript")
    secret = tmp_path / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    link = site / "link.txt"
    link.symlink_to(secret)
    try:
        for path in (
            "/systems/",
            "/systems",
            "/../secret.txt",
            f"/..{quote(str(secret))}",
            "/link.txt",
            "/none",
            "/%00",
        ):
            status, _, body = ask(path)
            assert status in {301, 400, 404}, path
            assert b"secret" not in body
            assert b"<li>" not in body
    finally:
        link.unlink()
    for path, kind in (
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/README.md", "text/plain; charset=utf-8"),
    ):
        status, headers, body = ask(path, "HEAD")
        assert (status, headers["content-type"], body) == (200, kind, b"")
        assert int(headers["content-length"]) == len(ask(path)[2])
    assert ask("/none", "HEAD")[0] == 404
    assert ask("/index.html", "POST")[0] == 405


def test_what_cannot_be_served(site: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no index\.html"):
        serve(tmp_path, 0, print)
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        port = occupied.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: Address already in use"):
            serve(site, port, print)
