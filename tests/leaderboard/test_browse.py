"""Browsing a small store that was really built, through the command line and a browser without scripts."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import pyarrow as pa
import pytest
from scipy.cluster.hierarchy import to_tree
from scipy.spatial.distance import cdist

from conceptbench.benchmark.schema import CONCEPTS, SENTENCES, TABLES, slug
from conceptbench.benchmark.store import ConceptStore, write_table
from conceptbench.builders.build import build
from conceptbench.builders.referred import without_text
from conceptbench.leaderboard.browse.layers import Layers
from conceptbench.leaderboard.browse.nearest import in_layer, in_other_layers
from conceptbench.leaderboard.browse.search import PER_PAGE, find
from conceptbench.leaderboard.browse.tree import Tree

K = 30
EVIL = "<script>window.pwned=1</script>\"'><img src=x onerror=window.pwned=1>{{7*7}}\u202e\u2066"
MODEL = 'evil/<b>model"&?#%2F'
PHONE = {"viewport": {"width": 390, "height": 800}, "is_mobile": True, "has_touch": True, "color_scheme": "dark"}


@pytest.fixture(scope="module")
def store(one_layer_minilm: str, tmp_path_factory: pytest.TempPathFactory) -> ConceptStore:
    """Two layers of 30 concepts from real news; every third concept has no label."""
    from gensim.test.utils import datapath

    folder = tmp_path_factory.mktemp("browse")
    with open(datapath("lee_background.cor"), encoding="utf-8") as file:
        texts = [text.strip() + "." for line in file for text in line.split(".") if len(text.split()) > 3]
    (folder / "news.txt").write_text("\n".join(texts[:300]) + "\n", encoding="utf-8")
    made = build(
        corpus=str(folder / "news.txt"),
        model=one_layer_minilm,
        layers="all",
        k=K,
        min_count=3,
        max_count=10,
        annotator="lexical",
        out=folder / "news-store",
    )
    model = made.models[0]
    for layer in made.layers(model):
        rows = made.concepts(model, layer).to_pylist()
        for row in rows[::3]:
            row["label"] = None
        _write(made.path / "concepts" / slug(model) / f"L{layer:02d}.parquet", CONCEPTS, rows)
    return ConceptStore.open(made.path)


def _write(path: Path, schema: pa.Schema, rows: list[dict[str, Any]]) -> None:
    write_table(path, schema, {name: [row[name] for row in rows] for name in schema.names})


@pytest.fixture(scope="module")
def hostile(store: ConceptStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same store with another model's name, and with words, labels, replies and sentences that are markup."""
    out = tmp_path_factory.mktemp("hostile") / "<i>store"
    old = store.models[0]
    shutil.copytree(store.path, out)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    manifest["models"] = {MODEL: manifest["models"][old]}
    (out / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    for table in ("concepts", "occurrences", "annotations", "trees"):
        (out / table / slug(old)).rename(out / table / slug(MODEL))
    shutil.rmtree(out / "vectors")
    for table, name in (("concepts", "label"), ("occurrences", "word"), ("annotations", "raw")):
        for path in (out / table / slug(MODEL)).iterdir():
            rows = pa.parquet.read_table(path).to_pylist()
            for row in rows:
                row["concept"] = row["concept"].replace(old, MODEL, 1)
                row[name] = None if row[name] is None else f"{row[name]}{EVIL}"
                if table == "concepts":
                    row["model"] = MODEL
                    row["words"] = [{**word, "word": f"{word['word']}{EVIL}"} for word in row["words"]]
                if table == "annotations":
                    row |= {"label": f"{row['label']}{EVIL}", "annotator": EVIL, "prompt": EVIL}
            _write(path, TABLES[table], rows)
    rows = pa.parquet.read_table(out / "sentences.parquet").to_pylist()
    spaceless = EVIL.replace(" ", "\u00a0")
    for row in rows:
        row["text"] = " ".join(word + spaceless for word in row["text"].split(" "))
    _write(out / "sentences.parquet", SENTENCES, rows)
    return out


class Server:
    """`conceptbench browse` in a process of its own, which must end well."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "conceptbench", "browse", str(folder), "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "100"},
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:")

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=20)
        assert (self.process.returncode, errors) == (0, "")


@pytest.fixture(scope="module")
def address(store: ConceptStore) -> Iterator[str]:
    with Server(store.path) as server:
        yield server.address


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address; the test fails where a page asks another host, or has anything to say."""
    problems: list[str] = []
    contexts = []

    def opened(url: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: problems.append(message.text))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: problems.append(request.url) if _other(request.url) else None)
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def _other(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:"))


def fits(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"])


def all_rows(store: ConceptStore) -> list[dict[str, Any]]:
    model = store.models[0]
    return [row for layer in store.layers(model) for row in store.concepts(model, layer).to_pylist()]


def ask(url: str, **headers: str) -> tuple[int, str, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


@pytest.mark.parametrize("order", ["concept", "-concept", "label", "-label", "size", "-size", "cohesion", "-cohesion"])
@pytest.mark.parametrize("query", ["", "s", "THE", "l01 A", "no such word"])
def test_what_is_found_and_in_which_order(store: ConceptStore, query: str, order: str) -> None:
    model, layers = store.models[0], Layers(store)
    where = [(model, layer) for layer in store.layers(model)]

    def holds(row: dict[str, Any], term: str) -> bool:
        texts = [row["label"] or "", row["concept"], *(word["word"] for word in row["words"])]
        return any(term.lower() in text.lower() for text in texts)

    expected = [row for row in all_rows(store) if all(holds(row, term) for term in query.split())]
    name = order.removeprefix("-")
    down = -1 if order.startswith("-") else 1
    if name == "label":
        labels = sorted({row["label"].encode() for row in expected if row["label"]}, reverse=down < 0)
        key = {label.decode(): rank for rank, label in enumerate(labels)}
        expected.sort(key=lambda row: (row["label"] is None, key.get(row["label"], 0)))
    elif name == "concept":
        expected.sort(key=lambda row: (down * row["layer"], down * row["cluster"]))
    else:
        expected.sort(key=lambda row: down * row[name])
    pages = [find(layers, where, query, order, page) for page in (1, 2, 3)]
    assert [page.total for page in pages] == [len(expected)] * 3
    entries = [entry for page in pages for entry in page.entries]
    assert [entry.concept for entry in entries] == [row["concept"] for row in expected]
    assert len(pages[0].entries) == min(PER_PAGE, len(expected))


def test_the_tree_is_scipys(store: ConceptStore) -> None:
    model = store.models[0]
    for layer in store.layers(model):
        linkage, ids = store.linkage(model, layer), store.concepts(model, layer)["concept"].to_pylist()
        owners = [ids.index(concept) for concept in store.occurrences(model, layer)["concept"].to_pylist()]
        tree = Tree.of(linkage, np.array(owners))
        root, nodes = to_tree(linkage, rd=True)
        assert tree.root == root.id
        for node in nodes:
            leaves = sorted(node.pre_order())
            assert tree.tokens(node.id).tolist() == leaves
            assert tree.height(node.id) == node.dist
            concepts = {owners[leaf] for leaf in leaves}
            assert tree.owners[node.id] == (concepts.pop() if len(concepts) == 1 else -1)
            if not node.is_leaf():
                assert sorted(tree.below(node.id)) == sorted([node.left.id, node.right.id])
                assert tree.parents[node.left.id] == tree.parents[node.right.id] == node.id
        for concept in range(K):
            (branch,) = tree.branches(concept)
            assert tree.tokens(branch).tolist() == [i for i, owner in enumerate(owners) if owner == concept]
            tokens = set(tree.tokens(branch).tolist())
            for above, joined in tree.up(branch):
                assert tokens.isdisjoint(tree.tokens(joined).tolist())
                tokens |= set(tree.tokens(joined).tolist())
                assert tokens == set(tree.tokens(above).tolist())
            assert len(tokens) == len(owners)


def test_a_concept_that_is_not_one_branch_and_what_is_no_tree() -> None:
    linkage = np.array([[0, 1, 1.0, 2], [2, 3, 2.0, 2], [4, 5, 3.0, 4]])
    tree = Tree.of(linkage, np.array([0, 1, 0, 0]))
    assert tree.branches(0) == [5, 0]
    assert tree.branches(1) == [1]
    assert tree.branches(2) == []
    assert Tree.of(linkage, np.zeros(4, dtype=int)).branches(0) == [6]
    alone = Tree.of(np.zeros((0, 4)), np.array([0]))
    assert (alone.root, alone.branches(0), list(alone.up(0))) == (0, [0], [])
    for bad in ([[0, 1, 1, 2], [2, 3, 2, 2], [4, 9, 3, 4]], [[0, 1, 1, 2], [0, 3, 2, 2], [4, 5, 3, 4]], [[0, 1, 1, 2]]):
        with pytest.raises(ValueError, match="merge"):
            Tree.of(np.array(bad, dtype=float), np.zeros(4, dtype=int))


def test_nearest_are_those_of_scipy_and_shared_tokens_those_of_sets(store: ConceptStore) -> None:
    model, layers = store.models[0], Layers(store)
    ids = {layer: store.concepts(model, layer)["concept"].to_pylist() for layer in store.layers(model)}
    tokens = {layer: {concept: set() for concept in ids[layer]} for layer in ids}
    for layer in ids:
        for row in store.occurrences(model, layer).to_pylist():
            tokens[layer][row["concept"]].add((row["sentence"], row["position"]))
    vectors = np.asarray(store.vectors(model, 1), dtype=float)
    owner = np.array(store.occurrences(model, 1)["concept"].to_pylist())
    distances = cdist(*[np.array([vectors[owner == concept].mean(axis=0) for concept in ids[1]])] * 2)
    for number, concept in enumerate(ids[1]):
        nearest = in_layer(layers, model, 1, number)
        order = [rival for rival in np.argsort(distances[number]) if rival != number][: len(nearest)]
        assert [near.entry.concept for near in nearest] == [ids[1][rival] for rival in order]
        assert [near.value for near in nearest] == pytest.approx(distances[number][order])
        (across,) = in_other_layers(layers, model, 1, number)
        of_concept = tokens[1][concept]
        shares = [len(of_concept & tokens[0][rival]) / len(of_concept | tokens[0][rival]) for rival in ids[0]]
        assert across.value == pytest.approx(max(shares))
        assert shares[ids[0].index(across.entry.concept)] == max(shares)


def test_without_vectors_words_tell_and_without_a_tree_there_is_none(store: ConceptStore, tmp_path: Path) -> None:
    shutil.copytree(store.path, tmp_path / "bare")
    for name in ("vectors", "trees", "annotations"):
        shutil.rmtree(tmp_path / "bare" / name)
    bare, model = ConceptStore.open(tmp_path / "bare"), store.models[0]
    layers = Layers(bare)
    words = [{word["word"] for word in row["words"]} for row in store.concepts(model, 1).to_pylist()]
    for number, listed in enumerate(words):
        shares = sorted((len(listed & row) / len(listed | row) for row in words if row is not listed), reverse=True)
        nearest = in_layer(layers, model, 1, number)
        assert [near.value for near in nearest] == pytest.approx([share for share in shares[:10] if share > 0])
        assert {near.measure for near in nearest} <= {"words"}
    with Server(bare.path) as server:
        concept = store.concepts(model, 1)["concept"][0].as_py()
        status, text, _ = ask(f"{server.address}concept?id={quote(concept)}")
        assert status == 200
        assert "This layer has no merge tree" in text
        assert "Nobody has been asked to name it." in text
        status, text, _ = ask(f"{server.address}branch?{urlencode({'model': model, 'layer': 1, 'node': 3})}")
        assert status == 404
        assert "has no merge tree" in text


def test_a_walk_through_a_store(store: ConceptStore, address: str, open_page: Callable[..., Any]) -> None:
    model = store.models[0]
    page = open_page(address, java_script_enabled=False)
    assert f"1 to 50 of {2 * K} concepts." in page.locator("main").inner_text()
    # By keyboard alone: search, then a concept.
    while not page.locator("input[name=q]:focus").count():
        page.keyboard.press("Tab")
    row = next(row for row in all_rows(store) if row["layer"] == 1 and row["label"])
    page.keyboard.type(row["words"][0]["word"])
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "q=" in url)
    page.locator("select[name=layer]").select_option("1")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(lambda url: "layer=1" in url)
    link = page.url
    page.get_by_role("link", name="size").click()
    assert page.locator("[aria-sort=descending]").inner_text().startswith("size")
    assert "layer=1" in page.url
    sizes = [int(text.replace(",", "")) for text in page.locator("td[data-column=size]").all_inner_texts()]
    assert sizes == sorted(sizes, reverse=True)
    page.go_back()
    assert page.url == link
    page.locator("tr", has_text=row["concept"]).get_by_role("link").click()
    assert page.locator("h1").inner_text() == row["label"]
    words = page.locator("p.words").first.inner_text().split()
    assert dict(zip(words[::2], map(int, words[1::2]), strict=True)) == {w["word"]: w["count"] for w in row["words"]}
    # Every token of the concept is marked in a context.
    marked: Counter[str] = Counter()
    while True:
        marked.update(page.locator("blockquote mark").all_inner_texts())
        following = page.locator("nav[aria-label='Pages of contexts']").get_by_role("link", name="Next")
        if not following.count():
            break
        following.click()
    assert marked == {word["word"]: word["count"] for word in row["words"]}
    assert "lexical" in page.locator("td[data-column=annotator]").inner_text()
    # Up to the root, by the link of each step.
    root = 2 * len(store.occurrences(model, 1)) - 2
    size = row["size"]
    for _ in range(K):
        page.locator("ol.steps").first.locator("li").first.locator("a").last.click()
        grown = int(page.locator("main p.soft").first.inner_text().split()[0].replace(",", ""))
        assert grown > size
        size = grown
        if f"node={root}" in page.url:
            break
    assert "Nothing: it is the whole layer." in page.locator("main").inner_text()
    # And down, to a single token, by the first branch each time.
    for _ in range(200):
        branch = page.locator(".tree a[href^='/branch']")
        if not branch.count():
            break
        branch.first.click()
        shrunk = int(page.locator("main p.soft").first.inner_text().split()[0].replace(",", ""))
        assert shrunk < size
        size = shrunk
    assert size == 1
    page.reload()
    assert "It is a single token." in page.locator("main").inner_text()


def test_no_text_of_a_store_is_more_than_text(hostile: Path, open_page: Callable[..., Any]) -> None:
    paths = ["", "?q=" + quote(EVIL), f"concept?{urlencode({'id': f'{MODEL}/L01/C0001'})}"]
    paths += [f"branch?{urlencode({'model': MODEL, 'layer': 1, 'node': 900})}"]
    with Server(hostile) as server:
        for options in ({}, PHONE):
            for path in paths:
                page = open_page(server.address + path, **options)
                page.evaluate("document.querySelectorAll('details').forEach(details => (details.open = true))")
                assert page.evaluate("window.pwned") is None
                assert not re.search("[\u202a-\u202e\u2066-\u2069]", page.content())
                assert page.locator("script, img, b, i, [onerror], [style]").count() == 0
                assert fits(page), path
        for path in (f"concept?{urlencode({'id': EVIL})}", "?sort=" + quote(EVIL), quote(EVIL)):
            status, text, _ = ask(server.address + path)
            assert status == 404
            assert "<script" not in text
        page = open_page(server.address)
        start = EVIL[:31]
        assert start in page.locator("tbody").inner_text()
        page.get_by_role("link", name="script").first.click()
        assert start in page.locator("h1").inner_text()
        assert start in page.locator("mark").first.inner_text()
        assert start in page.locator("td[data-column=annotator]").first.inner_text()
        # What a word leads to is found: the whole of it, as text.
        page.locator("p.words a").first.click()
        assert start in page.locator("input[name=q]").input_value()
        assert page.locator("tbody tr").count() > 0


def test_it_fits_a_phone_in_both_schemes(store: ConceptStore, address: str, open_page: Callable[..., Any]) -> None:
    model = store.models[0]
    concept = store.concepts(model, 1)["concept"][4].as_py()
    paths = ["", "?q=a&sort=-size&page=1", f"concept?id={quote(concept)}"]
    paths += [f"branch?{urlencode({'model': model, 'layer': 1, 'node': 700})}"]
    for path in paths:
        page = open_page(address + path, **PHONE)
        assert fits(page), path
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 31)"
        light = open_page(address + path, color_scheme="light")
        assert fits(light), path
        assert light.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_addresses_that_lead_nowhere(store: ConceptStore, address: str) -> None:
    model = store.models[0]
    for path, message in (
        ("nowhere", "There is no such page."),
        ("concept", "there is no concept"),
        (f"concept?id={quote(model)}/L09/C0001", "there is no concept"),
        (f"concept?id={quote(model)}/L01/C9999", "there is no concept"),
        ("?sort=worst", "there is no such order"),
        ("?layer=one", "is not a number"),
        ("?page=-1", "is not a number"),
        ("?model=other", "there is no model"),
        (f"branch?{urlencode({'model': model, 'layer': 1, 'node': 10**8})}", "the tree of layer 1"),
        (f"branch?{urlencode({'model': model, 'layer': 7, 'node': 1})}", "has no layer 7"),
        (f"concept?id={quote(store.concepts(model, 1)['concept'][0].as_py())}&page=x", "is not a number"),
    ):
        status, text, headers = ask(address + path)
        assert (status, message in text) == (404, True), path
        assert "script" not in headers["Content-Security-Policy"]
    assert "There are 2 pages, not 9." in ask(f"{address}?page=9")[1]
    assert ask(f"{address}?q=qqqqqq")[1].count("No concept has all of these words") == 1
    assert ask(address, Host="elsewhere.example")[0] == 400
    assert ask(address.replace("127.0.0.1", "localhost"))[0] == 200


def test_sentences_whose_text_was_not_published_are_named(store: ConceptStore, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    shutil.copytree(store.path, folder)
    (folder / "sentences.parquet").write_bytes(without_text(store))
    concept = store.concepts(store.models[0], 1)["concept"][0].as_py()
    with Server(folder) as server:
        status, text, _ = ask(f"{server.address}concept?id={quote(concept)}")
    assert status == 200
    assert "no text here)" in text


def test_damage_is_told(store: ConceptStore, tmp_path: Path) -> None:
    shutil.copytree(store.path, tmp_path / "damaged")
    model = store.models[0]
    tree = tmp_path / "damaged" / "trees" / slug(model) / "L01.parquet"
    rows = pa.parquet.read_table(tree).to_pylist()
    _write(tree, TABLES["trees"], [*rows[:-1], {**rows[-1], "left": 0}])
    (tmp_path / "damaged" / "occurrences" / slug(model) / "L00.parquet").write_bytes(b"PAR1")
    with Server(tmp_path / "damaged") as server:
        for layer, message in ((0, "is damaged"), (1, "tree of layer 1")):
            concept = store.concepts(model, layer)["concept"][0].as_py()
            status, text, _ = ask(f"{server.address}concept?id={quote(concept)}")
            assert (status, message in text) == (404, True)


def test_wrong_use(store: ConceptStore, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "conceptbench", "browse", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "does not exist" in run(str(tmp_path / "none"))
    assert "is not a concept store" in run(str(tmp_path))
    assert "--model other" in run(str(store.path), "--model", "other")
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        port = str(occupied.getsockname()[1])
        assert f"--port {port}: Address already in use" in run(str(store.path), "--port", port)
