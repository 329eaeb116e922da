"""The page on which people rate: one label at a time, by keyboard, mouse or finger."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, get_args
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from conceptbench.eval.rating.log import RaterLog, checked_rater
from conceptbench.eval.rating.ratings import Q1, Q2, Q3, Rating
from conceptbench.eval.rating.study import Study, StudyItem, complete
from conceptbench.runtime import pages
from conceptbench.runtime.errors import ConceptBenchError, InputError

if TYPE_CHECKING:
    from starlette.applications import Starlette

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_ANSWERS: Final = {"q1": get_args(Q1), "q2": get_args(Q2), "q3": get_args(Q3)}
_WORDS = 40
_AROUND = 14


def serve(study: Study, raters: Sequence[str], port: int, on_ready: Callable[[list[str]], None]) -> None:
    """Serve the page to this machine's browsers until the process is interrupted.

    Parameters
    ----------
    raters : the names of the people who may rate; each has an own address.
    on_ready : called with the raters' addresses, in their order, once they can be opened.

    Raises
    ------
    InputError
        if the port is taken, there is nothing to rate, or a rater's file cannot be opened.
    """
    if not study.to_rate:
        raise InputError(f"{study.folder} has no label to rate: name its concepts first")
    with ExitStack() as stack:
        logs = [stack.enter_context(RaterLog(study, rater)) for rater in dict.fromkeys(map(checked_rater, raters))]
        listening = stack.enter_context(pages.listen(port))
        app = make_app({log.rater: Desk(study, log) for log in logs})
        on_ready([f"{pages.address(listening)}?rater={quote(log.rater)}" for log in logs])
        pages.serve(app, listening)


def make_app(desks: Mapping[str, Desk]) -> Starlette:
    """Make the application of some raters; the address says which one looks at it (`/?rater=anna`).

    The page at `/` is empty. Its script posts an object with `rater`, `token`, `action` and `value` to `/act` for each
    thing that a rater does, and puts the HTML that it gets into the page.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    headers = {"Content-Security-Policy": POLICY}

    def page(_: Request) -> Response:
        return HTMLResponse(_template("page.html.jinja").render(), headers=headers)

    def file(request: Request) -> Response:
        name = request.url.path.removeprefix("/")
        return Response(_text(name), media_type="text/css" if name == "page.css" else "text/javascript")

    async def act(request: Request) -> Response:
        texts = await pages.posted_texts(request)
        rater, token, action, value = (texts.get(name, "") for name in ("rater", "token", "action", "value"))
        desk = desks.get(rater)
        if desk is None:
            html = _template("who.html.jinja").render(raters=list(desks), unknown=rater)
        else:
            html = await run_in_threadpool(desk.act, token, action, value)
        return HTMLResponse(html, headers=headers)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/page.css", file),
            Route("/page.js", file),
            Route("/act", act, methods=["POST"]),
        ]
    )


class Desk:
    """The work of one rater: the items in the rater's order, and the ratings of them.

    A browser keeps no state but the item that it shows. Each of its requests names that item by its token, so that a
    click on an outdated item changes nothing, and any number of windows can be open.
    """

    def __init__(self, study: Study, log: RaterLog) -> None:
        self._log = log
        self._items = study.in_order(log.rater)
        self._index_of = {_token(item): index for index, item in enumerate(self._items)} | {"": len(self._items)}
        self._lock = threading.Lock()

    def act(self, token: str, action: str, value: str) -> str:
        """Do what a browser asks for, and give the HTML to show next.

        Parameters
        ----------
        token : of the item that the browser shows; empty for the last page.
        action : `q1`, `q2`, `q3`, `back`, `next`; anything else leads to the first item that is open.
        value : the answer to a question.
        """
        with self._lock:
            index = self._index_of.get(token)
            if index is None:
                return self._show(self._resume())
            if action == "back":
                return self._show(max(index - 1, 0))
            if action == "next":
                return self._show(index + 1 if self._done(index) else self._open_after(index))
            if action in _ANSWERS and index < len(self._items):
                return self._answer(index, action, value)
            return self._show(self._open_after(-1))

    def _answer(self, index: int, question: str, answer: str) -> str:
        item = self._items[index]
        before = self._log.ratings.get(item.item)
        rating = _answered(item, self._log.rater, before, question, answer)
        if rating is None:
            return self._show(index)
        if rating != before:
            try:
                self._log.save([rating])
            except ConceptBenchError as error:
                return self._show(index, problem=str(error))
        remaining = _questions(item, rating)
        remaining = remaining[remaining.index(question) + 1 :]
        return self._show(index, remaining[0]) if remaining else self._show(self._open_after(index))

    def _show(self, index: int, question: str | None = None, problem: str = "") -> str:
        done = sum(map(self._done, range(len(self._items))))
        count = {"done": done, "total": len(self._items), "rater": self._log.rater}
        if index == len(self._items):
            return _template("done.html.jinja").render(count)
        item = self._items[index]
        rating = self._log.ratings.get(item.item)
        labels = [("label", item.label), ("other", item.other)]
        if _swapped(self._log.rater, item):
            labels.reverse()
        return _template("item.html.jinja").render(
            count,
            token=_token(item),
            first=index == 0,
            complete=complete(item, rating),
            words=item.words[:_WORDS],
            more=item.words[_WORDS:],
            contexts=[_marked(text, [word for word, _ in item.words]) for text in item.contexts],
            label=item.label,
            labels=labels,
            answers={name: getattr(rating, name, None) for name in _ANSWERS},
            questions=_questions(item, rating),
            question=question or _first_open(item, rating),
            problem=problem,
        )

    def _done(self, index: int) -> bool:
        return index < len(self._items) and complete(self._items[index], self._log.ratings.get(self._items[index].item))

    def _open_after(self, index: int) -> int:
        return next((i for i in range(index + 1, len(self._items)) if not self._done(i)), len(self._items))

    def _resume(self) -> int:
        """Find where the rater stopped: the first open item after the last one touched, or else one skipped."""
        touched = [index for index, item in enumerate(self._items) if item.item in self._log.ratings]
        index = self._open_after((touched[-1] if touched else 0) - 1)
        return self._open_after(-1) if index == len(self._items) else index


def _answered(item: StudyItem, rater: str, before: Rating | None, question: str, answer: str) -> Rating | None:
    """Give the rating with one more answer, or None if the question cannot be answered now or has no such answer."""
    if answer not in _ANSWERS[question] or question not in _questions(item, before):
        return None
    answers: dict[str, Any] = {name: getattr(before, name, None) for name in _ANSWERS} | {question: answer}
    if answers["q1"] == "no":
        answers["q2"] = None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Rating(item.item, item.label, rater, **answers, other=item.other, time=now)


def _questions(item: StudyItem, rating: Rating | None) -> list[str]:
    """Give the questions that can be answered now."""
    if rating is None:
        return ["q1"]
    questions = ["q1", "q2"] if rating.q1 == "yes" else ["q1"]
    ready = rating.q1 == "no" or rating.q2 is not None
    return [*questions, "q3"] if item.other is not None and ready else questions


def _first_open(item: StudyItem, rating: Rating | None) -> str:
    return next((name for name in _questions(item, rating) if getattr(rating, name, None) is None), "q1")


def _token(item: StudyItem) -> str:
    """Name an item with its labels, telling a reader nothing of the model and layer that are in its own name."""
    return hashlib.sha256(repr((item.item, item.label, item.other)).encode()).hexdigest()[:16]


def _swapped(rater: str, item: StudyItem) -> bool:
    return hashlib.sha256(repr((rater, item.item)).encode()).digest()[0] % 2 == 1


def _marked(text: str, words: Sequence[str]) -> Markup:
    """Mark the words in a sentence, which is cut to the words around the first of them."""
    pattern = r"(?<!\w)(" + "|".join(map(re.escape, sorted(words, key=len, reverse=True))) + r")(?!\w)"
    first = re.search(pattern, text)
    start, end = first.span() if first else (0, 0)
    before, after = text[:start].split(" "), text[end:].split(" ")
    cut = " ".join(["…"] * (len(before) > _AROUND) + before[-_AROUND:]) + text[start:end]
    cut += " ".join(after[: 2 * _AROUND] + ["…"] * (len(after) > 2 * _AROUND))
    parts = re.split(pattern, cut) if words else [cut]
    return Markup("").join(Markup("<mark>{}</mark>").format(part) if i % 2 else part for i, part in enumerate(parts))


@cache
def _template(name: str) -> jinja2.Template:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("conceptbench.eval.rating", ""),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)


def _text(name: str) -> str:
    return resources.files("conceptbench.eval.rating").joinpath(name).read_text(encoding="utf-8")
