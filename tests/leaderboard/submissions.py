"""Submissions for the tests, made from a real small run: good ones, and bad ones of every known kind."""

import copy
import datetime
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.eval.annotation.controls import plant
from conceptbench.eval.annotation.records import Record
from conceptbench.eval.result import RECORDS_FILE, RESULT_FILE, write_result
from conceptbench.eval.rows import table_of, write_records
from conceptbench.eval.run import Run, evaluate, open_run
from conceptbench.eval.tasks import task_of
from conceptbench.leaderboard.names import folder_of

RECORDS = task_of("annotation").schema()
DAY = "2026-01-15"
STARTED = "2026-01-15T12:00:00+00:00"
SCRIPT = "<script>alert(1)</script>"
MARKUP = (SCRIPT, "<img src=x onerror=alert(1)>", "</td><svg/onload=alert(1)>", "javascript:alert(1)")
FORMULAS = ("=1+1", '=HYPERLINK("http://a.example")', "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1+1")
HIDDEN = ("a\u202eb", "a\x00b", "a\x1b[31mb", "a\u200bb", "a\u2028b")
# Cyrillic, Greek, full width, and a ligature.
ALIKE = ("sуstem one", "ѕystem one", "system οne", "ｓystem one", "oﬃce system")


# Reasons of attacks that take long to find, or much memory.
COSTLY = {"unpacks to", "rows", "has 10,000 columns", "by its records", "metric '"}


def base_run(folder: Path, limit: int = 2, seed: int = 0) -> Path:
    """Run the baseline on gold word lists."""
    out = folder / f"run{limit}-{seed}"
    evaluate("annotation", annotator="lexical", out=out, limit=limit, purities=[1.0], seed=seed)
    (out / "journal.sqlite").unlink()
    return out


@dataclass(frozen=True)
class Maker:
    """Makes submissions of systems that gave other labels to the items of a run."""

    run: Path

    @cached_property
    def _run(self) -> Run:
        return open_run(self.run)

    def good(self, board: Path, number: int, labels: Sequence[str] | None = None, day: str = DAY) -> Path:
        """Make a submission that a board must accept; its labels differ from those of all others."""
        system = f"python:own:System{number}"
        folder = board / "submissions" / folder_of(system) / "annotation" / day
        folder.mkdir(parents=True)
        result = self._run.result
        rows = self._run.records.to_pylist()
        names = sorted(concept.name for concept in load_lexicon().values())
        generator = np.random.default_rng(number)
        for number_of_row, row in enumerate(rows):
            row["label"] = labels[number_of_row] if labels else f"{names[generator.integers(len(names))]} {number}"
            row["reason"] = None
        digest = write_records(folder, pa.Table.from_pylist(rows, schema=RECORDS))
        provenance = {**result.provenance, "started": STARTED}
        unscored = result.model_copy(update={"system": system, "provenance": provenance, "records_sha256": digest})
        metrics = dict(Run(folder, unscored, self._run.task).metrics)
        write_result(folder, unscored.model_copy(update={"metrics": metrics}))
        form = {"schema": "conceptbench.form/1", "name": f"System {number}", "seeds": [result.provenance["seed"]]}
        (folder / "form.json").write_text(json.dumps(form))
        return folder


@dataclass(frozen=True)
class Attack:
    """A way to spoil a submission's folder, and a text that the reason must contain."""

    name: str
    spoil: Callable[[Path], object]
    reason: str


def attacks(bomb: Path) -> Iterator[Attack]:
    """Give every attack; `bomb` is a small Parquet file that unpacks to gigabytes."""
    yield from _on_folders()
    yield from _on_forms()
    yield from _on_results()
    yield from _on_scores()
    yield from _on_texts()
    yield from _on_records(bomb)


def edit(folder: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file of a submission."""
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def edit_rows(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the records of a submission, and the digest in its result."""
    rows = pq.read_table(folder / RECORDS_FILE).to_pylist()
    change(rows)
    write_table(folder, pa.Table.from_pylist(rows, schema=RECORDS))


def write_table(folder: Path, table: pa.Table) -> None:
    """Write other records to a submission, and their digest into its result."""
    pq.write_table(table, folder / RECORDS_FILE)
    seal(folder)


def score_again(folder: Path) -> None:
    """Write the metrics that a submission's records give into its result."""
    run = open_run(folder)
    edit(
        folder,
        RESULT_FILE,
        lambda content: content.update(metrics={name: asdict(metric) for name, metric in run.metrics.items()}),
    )


def seal(folder: Path) -> None:
    """Put the digest of the records into the result."""
    digest = hashlib.sha256((folder / RECORDS_FILE).read_bytes()).hexdigest()
    edit(folder, RESULT_FILE, lambda content: content.update(records_sha256=digest))


def planted(count: int) -> list[dict[str, Any]]:
    """Plant controls of the split that the run is not of, as rows of records."""
    controls = plant(load_lexicon(), split="dev", purities=[1.0], count=count, seed=0)
    rows: list[dict[str, Any]] = table_of(controls, Record).to_pylist()
    return rows


def write_bomb(path: Path) -> Path:
    """Write a Parquet file of some kilobytes that holds one long text 400,000 times."""
    rows = 400_000
    bomb = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), pa.array(["y" * 19_000]))
    arrays = [bomb if field.name == "raw" else pa.nulls(rows, field.type) for field in RECORDS]
    pq.write_table(pa.Table.from_arrays(arrays, names=RECORDS.names), path, compression="zstd", store_schema=False)
    return path


def _on_folders() -> Iterator[Attack]:
    def linked_file(name: str) -> Callable[[Path], object]:
        def spoil(folder: Path) -> None:
            (folder / name).rename(folder.parents[3] / f"{folder.parent.parent.name}-{name}")
            (folder / name).symlink_to(folder.parents[3] / f"{folder.parent.parent.name}-{name}")

        return spoil

    def linked_folder(folder: Path) -> None:
        shutil.rmtree(folder)
        folder.symlink_to("/etc")

    def renamed(name: str) -> Callable[[Path], object]:
        return lambda folder: folder.rename(folder.parent / name)

    for name in ("form.json", RESULT_FILE, RECORDS_FILE):
        yield Attack(f"{name} is a link", linked_file(name), "is no regular file")
        yield Attack(f"no {name}", lambda folder, name=name: (folder / name).unlink(), f"lacks {name}")
        yield Attack(
            f"{name} is a folder",
            lambda folder, name=name: ((folder / name).unlink(), (folder / name).mkdir()),
            "is no regular file",
        )
        yield Attack(
            f"{name} is a pipe",
            lambda folder, name=name: ((folder / name).unlink(), os.mkfifo(folder / name)),
            "is no regular file",
        )
    yield Attack("the folder is a link", linked_folder, "is a symbolic link")
    for more in ("run.py", "__init__.py", ".git", "result.json.bak", "..%2f..%2fx"):
        yield Attack(f"with {more}", lambda folder, more=more: (folder / more).write_text("x"), "besides form.json")
    for day in ("2026-02-30", "20260115", "2026-W03-4", "latest", "15-01-2026", "2026-1-5"):
        yield Attack(f"day {day}", renamed(day), "must be a date")
    for name in (".2026-01-15", "2026 01 15", "2026-01-15;rm", "..2026", "2026\u202e", "=1+1", SCRIPT.replace("/", "")):
        yield Attack(f"folder {name!r}", renamed(name), "the folder's name")
    tomorrow = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=3)
    yield Attack("from the future", renamed(tomorrow.isoformat()), "is from the future")
    yield Attack("before the run", renamed("2026-01-10"), "a run is before its submission")
    yield Attack(
        "in another task's folder",
        lambda folder: folder.parent.rename(folder.parents[1] / "probing"),
        "but is of the task",
    )
    yield Attack(
        "in a folder of no task",
        lambda folder: folder.parent.rename(folder.parents[1] / "naming"),
        "but is of the task",
    )


def _on_forms() -> Iterator[Attack]:
    def form(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
        return lambda folder: edit(folder, "form.json", change)

    def written(text: str) -> Callable[[Path], object]:
        return lambda folder: (folder / "form.json").write_text(text)

    for text, reason in (
        ("", "is not JSON"),
        ("[]", "is no JSON object"),
        ('{"name": "a", "name": "b"}', "names a key twice"),
        ('{"seeds": [NaN]}', "must be finite"),
        ('{"seeds": [Infinity]}', "must be finite"),
        ('{"seeds": [1e999]}', "must be finite"),
        ('{"seeds": [' + "9" * 5000 + "]}", "too large"),
        ("[" * 100_000, "is not JSON"),
        ('{"notes": ' + "[" * 50 + "]" * 50 + "}", "deep"),
        (" " * 300_000, "more than 262,144"),
    ):
        yield Attack(f"form {text[:20]!r}", written(text), reason)
    for field, bad in {
        "name": (*MARKUP, *FORMULAS, *HIDDEN, *ALIKE, "", "x" * 101, "../../etc/passwd", 5, None),
        "notes": (*MARKUP, *FORMULAS, *HIDDEN, "x" * 2001, 5),
        "model_link": (
            *MARKUP,
            *FORMULAS,
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://",
            "http://u:p@a.example",
        ),
        "code_link": (
            "data:text/html,x",
            "//a.example",
            "ftp://a.example",
            'https://a.example/"><b',
            "https://a\u202e.b",
        ),
        "decoding": ({SCRIPT: 1}, {"=1+1": 1}, {"temperature": SCRIPT}, {"t": "=1+1"}, {"t": [1]}, [], {"t": {"u": 1}}),
        "seeds": ([], [-1], [0, 0], ["0"], [0.5], [1, 2], "0", None, [True], [2**63], list(range(2000))),
        "schema": ("conceptbench.form/2", 1),
        "rank": (1,),
        "kind": ("rerun",),
    }.items():
        for value in bad:
            yield Attack(
                f"form {field} {str(value)[:20]!r}",
                form(lambda content, field=field, value=value: content.update({field: value})),
                f"form.json, {field}",
            )
    yield Attack("form without a name", form(lambda content: content.pop("name")), "form.json, name")
    yield Attack("form without seeds", form(lambda content: content.pop("seeds")), "form.json, seeds")


def _on_results() -> Iterator[Attack]:
    def result(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
        return lambda folder: edit(folder, RESULT_FILE, change)

    def set_in(path: str, value: Any) -> Callable[[dict[str, Any]], object]:
        def change(content: dict[str, Any]) -> None:
            *above, last = path.split(".")
            for part in above:
                content = content[part]
            content[last] = copy.deepcopy(value)

        return change

    for path, values, reason in (
        ("schema", ("conceptbench.result/0", 1, None), "result.json"),
        ("task", ("voice", "../x", "probing", 1), ""),
        ("task_version", ("0.9", "1.1", "", 1), ""),
        ("system", (*MARKUP, *FORMULAS, *HIDDEN, *ALIKE, "../../etc", "openai:other", "", "a" * 200), ""),
        ("records", ("../records.parquet", "/etc/passwd", "other.parquet", None), "result.json"),
        ("records_sha256", ("0" * 64, "", None), ""),
        ("metrics", ({}, [], None), "result.json"),
        ("provenance", ({}, [], None), "result.json"),
        ("provenance.seed", (-1, "0", None, 0.5, True, 2**63), "provenance.seed"),
        ("provenance.started", ("yesterday", "2026-01-15T12:00:00", None, 5), "provenance.started"),
        ("provenance.started", ("2024-12-31T00:00:00+00:00", "2026-02-01T00:00:00+00:00"), "before its submission"),
        ("provenance.started", ("2999-01-01T00:00:00+00:00",), "from the future"),
        ("provenance.seconds", (-1, "5", None, 1e12), "provenance.seconds"),
        ("provenance.cost_usd", (-0.5, "0", [1]), "provenance.cost_usd"),
        ("provenance.tokens", ({"in": -1, "out": 0}, {"in": 0}, [], {"in": 1.5, "out": 0}), "provenance.tokens"),
        ("provenance.tokens", ({"in": 7, "out": 0},), "not those of the records"),
        ("provenance.dataset", ("my own items", "gold lexicon, split test, purities 0.9"), "dataset"),
        ("provenance.dataset", ("gold lexicon, split dev, purities 1",), "for trying prompts"),
        ("provenance.dataset", (*MARKUP, *FORMULAS), "provenance.dataset"),
        ("provenance.dataset_sha256", ("x", None, SCRIPT), "provenance.dataset_sha256"),
        ("provenance.conceptbench", (SCRIPT, None, "=1+1"), "provenance.conceptbench"),
        ("provenance.study", ("no such study", 5, "contexts"), ""),
        ("provenance.prompts", ({SCRIPT: "0"}, {"few-shot": SCRIPT}, {"=1+1": "0"}), "provenance"),
        ("provenance.undefined", ({"precision": SCRIPT}, {SCRIPT: "x"}), "provenance"),
        ("provenance.extra", (MARKUP[1], [[SCRIPT]], {"a": {"b": "=1+1"}}, *HIDDEN), "provenance"),
        ("provenance.encoder", (None, {}, {"model": "/tmp/own-encoder"}, {"model": "someone/encoder"}, "minilm"), ""),
        ("provenance.bertscore", ({"model": "someone/encoder", "digest": "0"}, "minilm"), "pinned encoders"),
        ("more", (1, SCRIPT), "result.json"),
    ):
        for value in values:
            yield Attack(f"result {path} {str(value)[:24]!r}", result(set_in(path, value)), reason)
    for field in ("seed", "started", "seconds", "dataset", "dataset_sha256", "conceptbench", "encoder"):
        yield Attack(
            f"no provenance.{field}", result(lambda content, field=field: content["provenance"].pop(field)), ""
        )
    for token in ("NaN", "Infinity", "-Infinity", "1e400"):
        yield Attack(
            f"a score of {token}",
            lambda folder, token=token: (folder / RESULT_FILE).write_text(
                (folder / RESULT_FILE).read_text().replace('"value": ', f'"value": {token}, "old": ', 1)
            ),
            "must be finite",
        )


def _on_scores() -> Iterator[Attack]:
    def metric(name: str, field: str, value: Any) -> Callable[[Path], object]:
        def change(content: dict[str, Any]) -> None:
            metric = content["metrics"][name]
            metric[field] = value(metric[field]) if callable(value) else value

        return lambda folder: edit(folder, RESULT_FILE, change)

    for name in ("gold_match", "gold_similarity", "discrimination", "identification", "refused", "gold_match/purity=1"):
        for field in ("value", "low", "high"):
            yield Attack(f"{name}.{field} raised", metric(name, field, lambda old: old + 0.01), "metric '")
        yield Attack(f"{name}.n raised", metric(name, "n", 750), "metric '")
        yield Attack(f"{name}.n below 0", metric(name, "n", -3), "result.json, metrics")
        yield Attack(f"{name} a text", metric(name, "value", "1.0"), "result.json, metrics")
    for name in ("gold_match", "discrimination"):
        yield Attack(
            f"no {name}",
            lambda folder, name=name: edit(folder, RESULT_FILE, lambda content: content["metrics"].pop(name)),
            "metric '",
        )
    for name in ("acceptance", "gold_match/own"):
        yield Attack(
            f"{name} made up",
            lambda folder, name=name: edit(
                folder,
                RESULT_FILE,
                lambda content: content["metrics"].update({name: {"value": 1.0, "low": 1.0, "high": 1.0, "n": 2}}),
            ),
            "by its records",
        )
    for name in (SCRIPT, "=1+1", "gold_match/\u202e", "<b>"):
        yield Attack(
            f"a metric called {name!r}",
            lambda folder, name=name: edit(
                folder,
                RESULT_FILE,
                lambda content: content["metrics"].update({name: {"value": 1.0, "low": 1.0, "high": 1.0, "n": 2}}),
            ),
            "result.json, a key of metrics",
        )


def _rows(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path], object]:
    return lambda folder: edit_rows(folder, change)


def _table(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], object]:
    return lambda folder: write_table(folder, change(pq.read_table(folder / RECORDS_FILE)))


def _in_bytes(content: bytes) -> Callable[[Path], object]:
    return lambda folder: ((folder / RECORDS_FILE).write_bytes(content), seal(folder))


def _on_texts() -> Iterator[Attack]:
    for text in (*MARKUP, *FORMULAS, *HIDDEN):
        for field in ("label", "reason", "raw", "other", "control", "half", "condition", "language"):
            yield Attack(
                f"{field} {text[:12]!r}",
                _rows(lambda rows, field=field, text=text: rows[1].update({field: text})),
                f"column {field}: a text",
            )
    for text in (SCRIPT, FORMULAS[0], HIDDEN[0]):
        for field in ("prompt", "label", "reason"):
            yield Attack(
                f"attempts.{field} {text[:12]!r}",
                _rows(lambda rows, field=field, text=text: rows[0].update(attempts=[{field: text}])),
                f"column attempts.{field}: a text",
            )
        for field in ("rater", "panel", "grade", "preference", "raw"):
            yield Attack(
                f"ratings.{field} {text[:12]!r}",
                _rows(lambda rows, field=field, text=text: rows[0].update(ratings=[{field: text}])),
                f"column ratings.{field}: a text",
            )
        for field in ("item", "concept", "kind", "model"):
            yield Attack(
                f"{field} {text[:12]!r}",
                _rows(lambda rows, field=field, text=text: rows[0].update({field: text})),
                "of another dataset",
            )
        for field in ("words", "contexts", "held_out", "strangers"):
            yield Attack(
                f"{field} {text[:12]!r}",
                _rows(lambda rows, field=field, text=text: rows[0][field].insert(0, text)),
                "of another dataset",
            )


def _on_records(bomb: Path) -> Iterator[Attack]:
    right = {concept.id: concept.name for concept in load_lexicon().values()}
    for field, value in (("words", "zebra"), ("held_out", "zebra"), ("strangers", "zebra")):
        for number in range(2):
            yield Attack(
                f"other {field} in row {number}",
                _rows(lambda rows, field=field, value=value, number=number: rows[number][field].__setitem__(0, value)),
                f"has another {field}",
            )
    yield Attack("no strangers", _rows(lambda rows: rows[0].update(strangers=[])), "has another strangers")
    yield Attack("another concept", _rows(lambda rows: rows[0].update(concept=rows[1]["concept"])), "dataset")
    yield Attack("no language", _rows(lambda rows: rows[0].update(language=None)), "has another language")
    yield Attack("another purity", _rows(lambda rows: rows[0].update(purity=0.5)), "has another purity")
    yield Attack("a row less", _rows(lambda rows: rows.pop()), "by its records")
    yield Attack("no rows", _rows(lambda rows: rows.clear()), "have no item")
    yield Attack("rows in another order", _rows(lambda rows: rows.reverse()), "of another dataset")
    yield Attack("a row twice", _rows(lambda rows: rows.append(dict(rows[0]))), "two rows are of one item")
    yield Attack("a row of its own", _rows(lambda rows: rows.append({**rows[0], "item": "mine"})), "items")
    yield Attack(
        "a row of no sort",
        _rows(lambda rows: rows.append({**rows[0], "role": "gold"})),
        "role: Input should be 'item' or 'control'",
    )
    yield Attack(
        "a planted control of its own", _rows(lambda rows: rows.append({**rows[0], "role": "control"})), "controls"
    )
    yield Attack(
        "a rater of its own",
        _rows(lambda rows: rows[0].update(ratings=[{"rater": "me", "panel": "judges", "grade": "precise"}])),
        "ratings by judges",
    )
    for number in range(2):
        yield Attack(
            f"the gold name in row {number}, scores as before",
            _rows(lambda rows, number=number: rows[number].update(label=right[rows[number]["concept"]])),
            "by its records",
        )
        yield Attack(
            f"no label in row {number}",
            _rows(lambda rows, number=number: rows[number].update(label=None)),
            "by its records",
        )
    for value in (float("nan"), float("inf"), float("-inf")):
        yield Attack(f"a purity of {value}", _rows(lambda rows, v=value: rows[0].update(purity=v)), "not finite")
    for field in ("size", "layer", "tokens_in", "tokens_out"):
        yield Attack(
            f"{field} below 0", _rows(lambda rows, field=field: rows[0].update({field: -1})), "negative number"
        )
    yield Attack("a count below 0", _rows(lambda rows: rows[0]["counts"].__setitem__(0, -1)), "negative number")
    yield Attack("a text of 30,000", _rows(lambda rows: rows[0].update(raw="y" * 30_000)), "more than 20,000")
    yield Attack("a column more", _table(lambda table: table.append_column("own", [["x"] * len(table)])), "the columns")
    yield Attack("a column less", _table(lambda table: table.drop_columns(["raw"])), "the columns")
    yield Attack(
        "10,000 columns",
        _table(lambda _: pa.table({f"c{number}": [1] for number in range(10_000)})),
        "has 10,000 columns",
    )
    yield Attack(
        "another type",
        _table(lambda table: table.set_column(0, "item", pa.array([1] * len(table), pa.int64()))),
        "column item has another type",
    )
    yield Attack("no Parquet", _in_bytes(b"PAR1" + bytes(range(256)) * 8), "is no Parquet file")
    yield Attack("an empty file", _in_bytes(b""), "is no Parquet file")
    yield Attack("a pickle", _in_bytes(b"\x80\x04\x95cos\nsystem\n."), "is no Parquet file")
    for part in (0.2, 0.5, 0.9):
        yield Attack(
            f"cut at {part}",
            lambda folder, part=part: _in_bytes(
                (folder / RECORDS_FILE).read_bytes()[: int(part * (folder / RECORDS_FILE).stat().st_size)]
            )(folder),
            "is no Parquet file",
        )
    yield Attack(
        "changed after the run",
        lambda folder: (folder / RECORDS_FILE).write_bytes((folder / RECORDS_FILE).read_bytes() + b"x"),
        "was changed since the run",
    )
    yield Attack(
        "a Parquet bomb", lambda folder: (shutil.copy(bomb, folder / RECORDS_FILE), seal(folder)), "unpacks to"
    )
    yield Attack(
        "ten million rows",
        _table(lambda _: pa.Table.from_arrays([pa.nulls(10_000_000, field.type) for field in RECORDS], schema=RECORDS)),
        "rows",
    )
