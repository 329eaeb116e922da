"""The report on results: its numbers, its refusals, and its page in a real browser."""

import html.parser
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.eval.report.blocks import judge_sentence
from conceptbench.eval.report.write import report
from conceptbench.eval.result import Metric, MetricKey, read_result, write_result
from conceptbench.eval.rows import write_records
from conceptbench.eval.run import evaluate, open_run
from conceptbench.runtime.errors import ConceptBenchError, InputError

WIDTHS = {"desk": 1200, "phone": 390}
HOSTILE = "<script>alert(1)</script><img src=http://a.example/x> | **bold** [x](http://a.example)"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Results on ten concepts: the baseline, all gold names, all but one, labels that are markup; and a study."""
    folder = tmp_path_factory.mktemp("results")
    evaluate("annotation", annotator="lexical", out=folder / "lexical", limit=10)
    evaluate("annotation", annotator="lexical", out=folder / "study", limit=5, study="prompt")
    lexicon = load_lexicon()
    rows = pq.read_table(folder / "lexical" / "records.parquet").to_pylist()
    gold = [lexicon[row["concept"]].name for row in rows]
    for system, labels in {
        "gold": gold,
        "near": ["nothing of the kind", *gold[1:]],
        HOSTILE: [HOSTILE] * len(gold),
    }.items():
        relabelled(folder / "lexical", folder / (system if system != HOSTILE else "hostile"), system, labels)
    return {path.name: path for path in folder.iterdir()}


def relabelled(run: Path, out: Path, system: str, labels: Sequence[str]) -> None:
    """Make the result of a system that gave other labels to the same items."""
    out.mkdir()
    result = read_result(run)
    table = pq.read_table(run / "records.parquet")
    column = table.schema.get_field_index("label")
    digest = write_records(out, table.set_column(column, table.schema.field(column), [labels]))
    result = result.model_copy(update={"system": system, "records_sha256": digest})
    write_result(out, result)
    write_result(out, result.model_copy(update={"metrics": dict(open_run(out).metrics)}))


def edited(run: Path, out: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Copy a result and change its file."""
    shutil.copytree(run, out)
    content = json.loads((out / "result.json").read_text())
    change(content)
    (out / "result.json").write_text(json.dumps(content))
    return out


def markdown(out: Path, *results: Path, recompute: bool = False) -> str:
    (path,) = report(results, out=out / "report.md", recompute=recompute)
    return path.read_text()


def table_after(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table after a line, the head first."""
    lines = text[text.index(f"{heading}\n") :].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return [row for row in rows if set("".join(row)) - set("-:")]


def in_words(metric: Metric) -> str:
    text = f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f}, n {metric.n})"
    return text.replace("-", "−")


# The ranking and the tables


def test_systems_are_ranked_and_ties_are_marked(runs: dict[str, Path], tmp_path: Path) -> None:
    text = markdown(tmp_path, runs["lexical"], runs["near"], runs["gold"])
    head, *rows = table_after(text, "### Ranking")
    assert head == ["", "system", "gold_match", "against the best"]
    assert [row[:2] for row in rows] == [["1", "gold"], ["2", "near"], ["3", "lexical"]]
    assert rows[0][2] == in_words(read_result(runs["gold"]).metrics["gold_match"])
    assert [row[3].split(" ")[0] for row in rows] == ["best", "tied", "behind"]
    # One of thirty items, and each system's interval: one sign can be flipped, so p is 1.
    assert "(−0.033 (−0.100 to +0.000), p = 1.000)" in rows[1][3]
    assert "near cannot be told apart from gold" in text


def test_other_items_are_said_to_be_others(runs: dict[str, Path], tmp_path: Path) -> None:
    other = edited(runs["lexical"], tmp_path / "other", lambda c: c["provenance"].update(dataset_sha256="0" * 64))
    text = markdown(tmp_path, runs["gold"], other)
    rows = table_after(text, "### Ranking")
    assert rows[2][1] == "lexical"
    assert rows[2][3] == "other items (the intervals do not overlap)"
    assert "only the intervals can be held against each other" in text


def test_every_metric_is_there_with_what_it_means_or_why_it_is_not(runs: dict[str, Path], tmp_path: Path) -> None:
    why = "The gold labels do not clearly beat shuffled ones."
    without = edited(
        runs["gold"],
        tmp_path / "without",
        lambda c: (
            c["metrics"].pop("discrimination_normalised", None),
            c["provenance"]["undefined"].update(discrimination_normalised=why),
        ),
    )
    head, *rows = table_after(markdown(tmp_path, runs["lexical"], without), "### All metrics")
    assert head == ["metric", "gold", "lexical"]
    metrics = read_result(runs["lexical"]).metrics
    row_of = {row[0].split(" ")[0]: row for row in rows}
    assert set(row_of) >= {name for name in metrics if "/" not in name}
    assert list(row_of)[:2] == ["gold_match", "gold_includes"]
    assert "what a plain harness measures" in row_of["gold_includes"][0]
    assert row_of["gold_similarity"][2] == in_words(metrics["gold_similarity"])
    assert row_of["discrimination_normalised"][1] == f"— ({why})"


def test_breakdowns_stand_in_order_with_the_numbers_of_the_file(runs: dict[str, Path], tmp_path: Path) -> None:
    text = markdown(tmp_path, runs["lexical"])
    metrics = read_result(runs["lexical"]).metrics
    rows = table_after(text, "### By purity")
    assert rows == [
        ["gold_match", "lexical"],
        *([purity, in_words(metrics[f"gold_match/purity={purity}"])] for purity in ("0.75", "0.9", "1")),
    ]
    kinds = {name.partition("/")[2] for name in metrics if name.startswith("copied/") and "=" not in name}
    assert [row[0] for row in table_after(text, "### By kind")[1:]] == sorted(kinds)
    everything = table_after(text, "<details><summary>All metrics by purity</summary>")
    assert ["copied", "lexical", *(in_words(metrics[f"copied/purity={p}"]) for p in ("0.75", "0.9", "1"))] in everything


def test_layers_and_sizes_are_sorted_by_number(runs: dict[str, Path], tmp_path: Path) -> None:
    metric = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 4}
    groups = ["L10", "L02", "size=100+", "size=10-29", "size=1-9", "size=30-99"]
    of_store = edited(
        runs["lexical"],
        tmp_path / "store",
        lambda c: c.update(metrics={"discrimination": metric} | {f"discrimination/{g}": metric for g in groups}),
    )
    text = markdown(tmp_path, of_store)
    assert "## Annotation, ranked by discrimination" in text
    assert [row[0] for row in table_after(text, "### By layer")[1:]] == ["L02", "L10"]
    assert [row[0] for row in table_after(text, "### By size")[1:]] == ["1-9", "10-29", "30-99", "100+"]


def test_a_study_has_a_row_a_condition(runs: dict[str, Path], tmp_path: Path) -> None:
    text = markdown(tmp_path, runs["study"])
    metrics = read_result(runs["study"]).metrics
    rows = table_after(text, "### Study: prompt")
    assert rows[0] == ["lexical", "gold_match", "discrimination"]
    assert [row[0] for row in rows[1:]] == ["zero-shot", "lexical", "part-of-speech", "semantic", "few-shot"]
    assert rows[4][1:] == [in_words(metrics[f"{name}/prompt=semantic"]) for name in ("gold_match", "discrimination")]
    inside = table_after(text, "<details><summary>gold_match by prompt and group</summary>")
    assert inside[4][inside[0].index("purity=0.9")] == in_words(metrics["gold_match/prompt=semantic/purity=0.9"])


def test_one_system_twice_is_told_apart_by_its_folders(runs: dict[str, Path], tmp_path: Path) -> None:
    rows = table_after(markdown(tmp_path, runs["lexical"], runs["study"]), "### Ranking")
    assert {row[1] for row in rows[1:]} == {"lexical (lexical)", "lexical (study)"}


def judged(right: float, wrong: Mapping[str, float], low: float) -> dict[str, dict[str, float]]:
    value = right + sum(wrong.values()) / len(wrong) - 1
    shares = {"judge_sensitivity": right} | {f"judge_specificity/{error}": share for error, share in wrong.items()}
    shares["judge_specificity"] = sum(wrong.values()) / len(wrong)
    metrics: dict[str, dict[str, float]] = {
        name: {"value": v, "low": v, "high": v, "n": 15} for name, v in shares.items()
    }
    j = {"value": value, "low": low, "high": 1.0, "n": 75}
    return metrics | {"judge_youden": j, "judge_youden/openai:org/judge-1": j}


def test_a_useless_panel_is_called_useless(runs: dict[str, Path], tmp_path: Path) -> None:
    panel = judged(1.0, {"near": 0.0, "far": 0.0}, low=-0.1)
    text = markdown(tmp_path, edited(runs["gold"], tmp_path / "judged", lambda c: c["metrics"].update(panel)))
    assert "this panel is useless" in text
    rows = {row[0].split(" (")[0]: row[1] for row in table_after(text, "### What the judges are worth")[1:]}
    assert rows["judge_specificity: near"].startswith("0.000")
    assert rows["judge_youden: openai:org/judge-1"].startswith("0.000")
    # They are no groups of items.
    assert "### By kind" in text
    assert "near" not in str(table_after(text, "### By kind"))


@pytest.mark.parametrize(
    ("right", "wrong", "low", "words"),
    [
        (0.9, {"near": 0.2, "far": 1.0}, 0.3, "better than chance; the errors it rejects least are those of type near"),
        (0.8, {"near": 0.5, "far": 0.5}, -0.05, "may be chance"),
        (0.3, {"near": 0.2, "far": 0.2}, -0.9, "useless"),
    ],
)
def test_what_a_panel_is_worth_is_said(right: float, wrong: Mapping[str, float], low: float, words: str) -> None:
    metrics = {
        MetricKey.parse(key): Metric(m["value"], m["low"], m["high"], int(m["n"]))
        for key, m in judged(right, wrong, low).items()
    }
    assert words in judge_sentence(metrics)
    assert f"accepts {100 * right:.0f} %" in judge_sentence(metrics)


def test_where_it_is_from_is_told(runs: dict[str, Path], tmp_path: Path) -> None:
    rows = dict(table_after(markdown(tmp_path, runs["lexical"]), "### Where it is from")[1:])  # type: ignore[arg-type]
    result = read_result(runs["lexical"])
    assert rows["dataset"] == result.provenance["dataset"]
    assert rows["dataset sha256"] == result.provenance["dataset_sha256"][:16]
    assert rows["records sha256"] == result.records_sha256[:16]
    assert rows["seed"] == "0"
    assert result.provenance["encoder"]["digest"].removeprefix("sha256:")[:16] in rows["encoder"]


# Recomputing


def test_metrics_are_recomputed_from_the_records(runs: dict[str, Path], tmp_path: Path) -> None:
    assert "they were not recomputed" in markdown(tmp_path, runs["lexical"])
    assert "recomputed from the records" in markdown(tmp_path, runs["lexical"], runs["study"], recompute=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["gold_match"].update(value=0.99), r"'gold_match' is 0\.99 .*but 0 .*by its records\. "),
        (lambda m: m["copied/purity=1"].update(high=0.123), r"'copied/purity=1' is .* to 0\.123, n 10\).*, but .* to "),
        (lambda m: m["refused"].update(n=31), "'refused' is .*n 31.*, but .*n 30"),
        (lambda m: m.pop("identification"), "'identification' is absent in the result file, but "),
        (lambda m: m.update(shine=m["refused"]), "'shine' is 0 .*, but absent by its records"),
    ],
)
def test_a_changed_metric_is_named_and_nothing_is_written(
    runs: dict[str, Path], tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    changed = edited(runs["lexical"], tmp_path / "changed", lambda c: change(c["metrics"]))
    with pytest.raises(ConceptBenchError, match=message) as raised:
        report([runs["gold"], changed], out=tmp_path / "out", recompute=True)
    assert raised.value.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_changed_records_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["lexical"], tmp_path / "changed")
    write_records(tmp_path / "changed", pq.read_table(runs["gold"] / "records.parquet"))
    with pytest.raises(InputError, match="was changed since the run"):
        report([tmp_path / "changed"], out=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(task="reading"), "no such task"),
        (lambda c: c.update(task_version="0.1"), r"is a result of annotation 0\.1; here is annotation"),
    ],
)
def test_what_cannot_be_scored_here_is_refused(
    runs: dict[str, Path], tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        report([edited(runs["gold"], tmp_path / "changed", change)], out=tmp_path)


# Files


def test_files_are_written_where_they_were_asked_for(runs: dict[str, Path], tmp_path: Path) -> None:
    both = report([runs["gold"]], out=tmp_path / "new")
    assert both == [tmp_path / "new" / "report.html", tmp_path / "new" / "report.md"]
    (page,) = report([runs["gold"] / "result.json"], out=tmp_path / "page.html")
    assert page.read_bytes() == both[0].read_bytes()
    (text,) = report([runs["gold"]], out=tmp_path / "text.md")
    assert text.read_bytes() == both[1].read_bytes()
    with pytest.raises(InputError, match=r"x\.pdf: give a folder, or a file ending in \.html or \.md"):
        report([runs["gold"]], out=tmp_path / "x.pdf")
    with pytest.raises(InputError, match="given twice"):
        report([runs["gold"], runs["gold"] / "result.json"], out=tmp_path)
    with pytest.raises(InputError, match="at least one result"):
        report([], out=tmp_path)


def test_nothing_of_a_result_is_read_as_markup(runs: dict[str, Path], tmp_path: Path) -> None:
    metric = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3}
    hostile = edited(
        runs["hostile"],
        tmp_path / "hostile",
        lambda c: (
            c["metrics"].update({HOSTILE: metric, f"gold_match/{HOSTILE}": metric}),
            c["provenance"].update(dataset=HOSTILE, prompts={HOSTILE: HOSTILE}, undefined={HOSTILE: HOSTILE}),
        ),
    )
    page, text = report([hostile], out=tmp_path)

    class Tags(html.parser.HTMLParser):
        names: set[str] = set()  # noqa: RUF012
        texts: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.names |= {tag} | {name for name, _ in attrs if name.startswith("on")}

        def handle_data(self, data: str) -> None:
            self.texts.append(data)

    tags = Tags()
    tags.feed(page.read_text())
    assert not {name for name in tags.names if name in {"script", "img", "iframe", "a"} or name.startswith("on")}
    assert tags.texts.count(HOSTILE) > 12
    raw = re.sub(r"\\.", "", text.read_text())
    assert not re.search(r"<(?!/?(details|summary)>)|\*\*|http://|\]\(", raw)
    rows = table_after(text.read_text(), "<details><summary>All metrics by kind</summary>")
    assert {len(row) for row in rows} == {len(rows[0])}


# The page


@pytest.fixture(scope="module")
def written(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on all the runs."""
    (path,) = report(list(runs.values()), out=tmp_path_factory.mktemp("page") / "report.html")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", WIDTHS)
def test_the_page_opens_alone(browser: Any, written: Path, device: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": WIDTHS[device], "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("request", lambda request: problems.append(request.url) if request.url != written.as_uri() else None)
    page.goto(written.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
    assert page.get_by_text(HOSTILE, exact=True).count() > 12
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[device]
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    plots = page.get_by_role("img")
    assert plots.count() >= 6
    assert "gold: 1.000 (" in plots.first.get_attribute("aria-label")
    # Each bar is inside its plot, and in a colour that differs from the ground.
    outside = page.evaluate(
        """() => [...document.querySelectorAll('svg.plot g')].filter(bar => {
          const inner = bar.getBoundingClientRect(), outer = bar.closest('.plot').getBoundingClientRect();
          return inner.left < outer.left - 8 || inner.right > outer.right + 8 || inner.bottom > outer.bottom;
        }).length"""
    )
    assert outside == 0
    context.close()
    assert problems == []
