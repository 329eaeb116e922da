"""The pages on a concept store: plain HTML with links and forms, no script, every text of the store escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import jinja2
import numpy as np
import pyarrow.compute as pc

from conceptbench.benchmark.store import ConceptStore
from conceptbench.eval.report.numbers import signed
from conceptbench.leaderboard.browse.layers import Layers, Tokens
from conceptbench.leaderboard.browse.nearest import in_layer, in_other_layers
from conceptbench.leaderboard.browse.search import ORDERS, PER_PAGE, find
from conceptbench.leaderboard.browse.tree import Tree
from conceptbench.leaderboard.page.direction import undirected
from conceptbench.runtime import pages
from conceptbench.runtime.errors import InputError

if TYPE_CHECKING:
    from starlette.applications import Starlette

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_CONTEXTS = 20
_AROUND = 14
_LISTED_WORDS = 12
_BRANCH_WORDS = 60
_BRANCH_CONCEPTS = 100
_BRANCH_CONTEXTS = 5
_STEPS, _MOST_STEPS = 6, 60


def serve(store: ConceptStore, model: str | None, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve pages on a store to this machine's browsers until the process is interrupted.

    Parameters
    ----------
    model : show only this model's concepts.
    on_ready : called with the address once it can be opened.

    Raises
    ------
    InputError
        if the store has no such model, or the port is taken.
    """
    app = make_app(store, model)
    with pages.listen(port) as listening:
        on_ready(pages.address(listening))
        pages.serve(app, listening)


def make_app(store: ConceptStore, model: str | None = None) -> Starlette:
    """Make the application that shows a store, or one model of it.

    Raises
    ------
    InputError
        if the store has no such model.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    views = Pages(store, model)
    headers = {"Content-Security-Policy": POLICY}

    def page_of(view: Callable[[Mapping[str, str]], str]) -> Callable[[Request], Response]:
        return lambda request: HTMLResponse(view(request.query_params), headers=headers)

    def problem_page(_: Request, error: Exception) -> Response:
        problem = str(error) if isinstance(error, InputError) else "There is no such page."
        status = error.status_code if isinstance(error, HTTPException) else 404
        return HTMLResponse(_render("error.html.jinja", problem=problem), status, headers=headers)

    def style(_: Request) -> Response:
        text = resources.files("conceptbench.leaderboard").joinpath("style.css").read_text(encoding="utf-8")
        return Response(text, media_type="text/css", headers=headers)

    return Starlette(
        routes=[
            Route("/", page_of(views.index)),
            Route("/concept", page_of(views.concept)),
            Route("/branch", page_of(views.branch)),
            Route("/style.css", style),
        ],
        exception_handlers={InputError: problem_page, HTTPException: problem_page},
    )


class Pages:
    """The pages on a store; each takes what stands behind the `?` of its address and gives HTML.

    Addresses name what they show by ids of the store, so they stay good as long as the store does.
    """

    def __init__(self, store: ConceptStore, model: str | None) -> None:
        if model is not None and model not in store.models:
            raise InputError(f"--model {model}: {store.path} has {', '.join(store.models)}; name one of them")
        self._models = store.models if model is None else [model]
        self._layers = Layers(store)
        self._name = store.path.resolve().name

    def index(self, asked: Mapping[str, str]) -> str:
        """Show a list of concepts: `q`, `model`, `layer`, `sort`, `page`."""
        model, layer = asked.get("model", ""), asked.get("layer", "")
        query, order = asked.get("q", "").strip(), asked.get("sort") or "concept"
        if order.removeprefix("-") not in ORDERS:
            raise InputError(f"sort {order!r}: there is no such order; there are {', '.join(ORDERS)}")
        all_layers = sorted({number for name in self._models for number in self._layers.store.layers(name)})
        where = [
            (name, number)
            for name in (self._models if not model else [self._checked(model)])
            for number in self._layers.store.layers(name)
            if not layer or number == _number(layer, "layer")
        ]
        number = max(1, _number(asked.get("page", "1"), "page"))
        found = find(self._layers, where, query, order, number)
        return self._render(
            "index.html.jinja",
            asked={"q": query, "model": model, "layer": layer, "sort": order},
            models=self._models,
            all_layers=all_layers,
            found=found,
            page=number,
            pages=max(1, ceil(found.total / PER_PAGE)),
            first=(number - 1) * PER_PAGE + 1,
            orders=ORDERS,
        )

    def concept(self, asked: Mapping[str, str]) -> str:
        """Show a concept: `id`, and the `page` of its contexts."""
        model, layer, place = self._find(asked.get("id", ""))
        tokens = self._layers.tokens(model, layer)
        rows = np.flatnonzero(tokens.owner == place)
        last = max(1, ceil(len(rows) / _CONTEXTS))
        number = min(max(1, _number(asked.get("page", "1"), "page")), last)
        table = self._layers.concepts(model, layer)
        return self._render(
            "concept.html.jinja",
            entry=self._layers.entry(model, layer, place),
            before=table["concept"][place - 1].as_py() if place else None,
            after=table["concept"][place + 1].as_py() if place + 1 < len(table) else None,
            contexts=self._contexts(tokens, rows[(number - 1) * _CONTEXTS : number * _CONTEXTS]),
            page=number,
            pages=last,
            labels=self._labels(model, layer, table["concept"][place].as_py()),
            place=self._place_in_tree(model, layer, place),
            near=in_layer(self._layers, model, layer, place),
            across=in_other_layers(self._layers, model, layer, place),
            several=len(self._layers.store.layers(model)) > 1,
        )

    def branch(self, asked: Mapping[str, str]) -> str:
        """Show a branch of a merge tree: `model`, `layer`, `node`."""
        model, layer = self._checked(asked.get("model", "")), _number(asked.get("layer", ""), "layer")
        tree, tokens = self._layers.tree(model, layer), self._layers.tokens(model, layer)
        if tree is None:
            raise InputError(f"layer {layer} of {model} has no merge tree")
        node = _number(asked.get("node", ""), "node")
        if node > tree.root:
            raise InputError(f"node {node}: the tree of layer {layer} of {model} ends at {tree.root}")
        rows = tree.tokens(node)
        inside, sizes = np.unique(tokens.owner[rows], return_counts=True)
        ranked = inside[np.argsort(-sizes, kind="stable")]
        spread = rows[:: max(1, len(rows) // _BRANCH_CONTEXTS)][:_BRANCH_CONTEXTS]
        return self._render(
            "branch.html.jinja",
            model=model,
            layer=layer,
            own=self._node(model, layer, tree, node, depth=2),
            words=tokens.words(rows, _BRANCH_WORDS),
            concepts=[self._layers.entry(model, layer, place) for place in ranked[:_BRANCH_CONCEPTS]],
            more=max(0, len(ranked) - _BRANCH_CONCEPTS),
            contexts=self._contexts(tokens, spread),
            steps=self._steps(model, layer, tree, node),
            shown=_STEPS,
        )

    def _place_in_tree(self, model: str, layer: int, place: int) -> dict[str, Any] | None:
        """Give what is above and below a concept; None where its layer has no tree."""
        tree = self._layers.tree(model, layer)
        if tree is None:
            return None
        branches = tree.branches(place)
        return {
            "branches": [self._node(model, layer, tree, node, depth=2) for node in branches[:_STEPS]],
            "count": len(branches),
            "steps": self._steps(model, layer, tree, branches[0]) if branches else [],
            "shown": _STEPS,
        }

    def _steps(self, model: str, layer: int, tree: Tree, node: int) -> list[dict[str, Any]]:
        return [
            {
                "above": self._node(model, layer, tree, above, depth=0),
                "joined": self._node(model, layer, tree, joined, depth=0),
            }
            for above, joined in islice(tree.up(node), _MOST_STEPS)
        ]

    def _node(self, model: str, layer: int, tree: Tree, node: int, depth: int) -> dict[str, Any]:
        """Give what is shown of a node, and of the nodes below it down to a depth."""
        tokens, rows = self._layers.tokens(model, layer), tree.tokens(node)
        owner = int(tree.owners[node])
        whole = owner >= 0 and tree.branches(owner) == [node]
        return {
            "node": node,
            "size": int(tree.sizes[node]),
            "height": tree.height(node),
            "words": tokens.words(rows, _LISTED_WORDS),
            "concepts": len(np.unique(tokens.owner[rows])),
            "concept": self._layers.entry(model, layer, owner) if whole else None,
            "address": "/branch?" + urlencode({"model": model, "layer": layer, "node": node}),
            "below": [self._node(model, layer, tree, child, depth - 1) for child in tree.below(node)] if depth else [],
        }

    def _contexts(self, tokens: Tokens, rows: np.ndarray) -> list[tuple[str, str, str]]:
        """Give tokens in their sentences: what stands before, the word, what stands after."""
        texts = self._layers.sentences()["text"]
        numbers = tokens.sentences[rows]
        if len(rows) and (numbers.min() < 0 or numbers.max() >= len(texts)):
            raise InputError(f"{self._layers.store.path}: has tokens of sentences that are not there; build it again")
        found = zip(pc.take(texts, numbers).to_pylist(), numbers, tokens.positions[rows], strict=True)
        return [
            _around(text.split(" "), int(place)) if text is not None else ("", "", f"(sentence {number}: no text here)")
            for text, number, place in found
        ]

    def _labels(self, model: str, layer: int, concept: str) -> list[dict[str, Any]]:
        table = self._layers.annotations(model, layer)
        if table is None:
            return []
        rows: list[dict[str, Any]] = table.filter(pc.equal(table["concept"], concept)).to_pylist()
        return rows

    def _find(self, concept: str) -> tuple[str, int, int]:
        """Give the model, the layer, and the place in its table of a concept."""
        parts = re.fullmatch(r"(.+)/L(\d{1,6})/C\d+", concept, re.DOTALL)
        if parts and parts[1] in self._models and int(parts[2]) in self._layers.store.layers(parts[1]):
            model, layer = parts[1], int(parts[2])
            place = pc.index(self._layers.concepts(model, layer)["concept"], concept).as_py()
            if place >= 0:
                return model, layer, place
        raise InputError(f"there is no concept {concept!r} here: look for it in the list")

    def _checked(self, model: str) -> str:
        if model not in self._models:
            raise InputError(f"there is no model {model!r} here; there are {', '.join(self._models)}")
        return model

    def _render(self, template: str, **values: Any) -> str:
        return _render(template, store=self._name, listed=_LISTED_WORDS, **values)


def _around(words: Sequence[str], position: int) -> tuple[str, str, str]:
    if not 0 <= position < len(words):
        return " ".join(words), "", ""
    start, end = max(0, position - _AROUND), position + _AROUND + 1
    before = ("… " if start else "") + " ".join(words[start:position])
    after = " ".join(words[position + 1 : end]) + (" …" if end < len(words) else "")
    return before, words[position], after


def _number(text: str, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InputError(f"{name} {text!r}: is not a number")
    return int(text)


def _decimals(value: float) -> str:
    # Added 0.0 makes a zero of a minus zero.
    return signed(f"{round(value, 2) + 0.0:.2f}")


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(values)


def _finalize(value: Any) -> Any:
    return undirected(value) if type(value) is str else value


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("conceptbench.leaderboard.browse", ""),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["decimals"] = _decimals
    environment.globals.update(
        address=lambda path, **asked: f"{path}?{urlencode({k: v for k, v in asked.items() if v})}"
    )
    return environment
