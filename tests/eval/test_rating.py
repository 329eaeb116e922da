"""Ratings that people give: their files, the study, its numbers, and the command line."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.build import build
from conceptbench.eval.rating.log import RaterLog, checked_rater
from conceptbench.eval.rating.page import Desk
from conceptbench.eval.rating.ratings import COLUMNS, Rating, read_ratings, write_ratings
from conceptbench.eval.rating.study import Study, complete, half_width, open_study, plan, summary
from conceptbench.eval.stats.agreement import agreement
from conceptbench.runtime.errors import ConceptBenchError, InputError

HEADER = ",".join(COLUMNS) + "\n"
ROW = "i1,colours,anna,yes,precise,,,\n"


def records(folder: Path, rows: list[Mapping[str, Any]]) -> Path:
    """Write a result folder of `eval annotation`, as far as people's ratings need it."""
    empty = dict.fromkeys(("label", "other", "kind", "purity", "layer", "size", "condition", "concept"), None)
    filled = [{**empty, "role": "item", "words": ["red", "blue"], "contexts": [], **row} for row in rows]
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("item", "role", "label", "other", "kind")),
            *((name, pa.list_(pa.string())) for name in ("words", "contexts")),
            ("purity", pa.float64()),
            ("layer", pa.int32()),
            ("size", pa.int64()),
            ("condition", pa.string()),
            ("concept", pa.string()),
        ]
    )
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(filled, schema=schema), folder / "records.parquet")
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A result folder of 100 labels: 60 nouns at two purities, 40 verbs, of which every fourth has another label."""
    rows: list[Mapping[str, Any]] = [
        {
            "item": f"i{i:03d}",
            "concept": f"c{i // 3}",
            "label": f"label {i}",
            "other": f"other {i}" if i % 4 == 0 else None,
            "kind": "noun" if i < 60 else "verb",
            "purity": 0.75 if i % 2 else 1.0,
        }
        for i in range(100)
    ]
    rows += [
        {"item": "control", "label": "wrong on purpose", "role": "control", "kind": "noun", "purity": 1.0},
        {"item": "unnamed", "label": None, "kind": "noun", "purity": 1.0},
        {"item": "i001", "label": "under a condition", "kind": "noun", "condition": "prompt=lexical"},
    ]
    return records(tmp_path / "results", rows)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ConceptStore:
    """A small store, named by the baseline."""
    folder = tmp_path_factory.mktemp("rating")
    texts = [f"The {'quick' if i % 2 else 'slow'} cat number {i} ran home from Paris , said Ann ." for i in range(60)]
    (folder / "corpus.txt").write_text("\n".join(texts))
    return build(corpus=str(folder / "corpus.txt"), model="minilm", layers="0,6", k=9, out=folder / "store")


def rating(item: str = "i000", rater: str = "anna", q1: Any = "yes", **more: Any) -> Rating:
    more.setdefault("q2", "precise" if q1 == "yes" else None)
    return Rating(item, f"label {int(item[1:])}", rater, q1, **more)


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "conceptbench", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "100", "NO_COLOR": "1"},
    )


# Files

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1).filter(str.strip)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(item=TEXT, label=TEXT, rater=TEXT, other=TEXT)
def test_every_text_comes_back_as_it_was(tmp_path: Path, item: str, label: str, rater: str, other: str) -> None:
    written = [Rating(item, label, rater, "yes", "precise", "both", other, "2026-01-02T03:04:05+00:00")]
    write_ratings(tmp_path / "ratings.csv", written)
    assert read_ratings(tmp_path / "ratings.csv") == written
    assert read_ratings(tmp_path / "ratings.csv")[0].time == written[0].time


@pytest.mark.parametrize("label", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "''-1", "'tis"])
def test_no_spreadsheet_takes_a_label_for_a_formula(tmp_path: Path, label: str) -> None:
    write_ratings(tmp_path / "ratings.csv", [Rating("i1", label, "anna", "no")])
    cell = (tmp_path / "ratings.csv").read_text().splitlines()[1].partition(",")[2]
    assert cell.lstrip('"')[0] not in "=+-@\t"
    assert read_ratings(tmp_path / "ratings.csv")[0].label == label


def test_of_two_ratings_of_an_item_the_later_counts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "i1,x,anna,no,,,,\ni2,x,anna,no,,,,\ni1,x,anna,yes,,,,\ni1,x,ben,no,,,,\n")
    (tmp_path / "b.csv").write_text(HEADER + "i1,x,anna,yes,imprecise,,,\n")
    (tmp_path / "plan.json").write_text("not a file of ratings")
    found = {(one.item, one.rater): one.grade for one in read_ratings(tmp_path)}
    assert found == {("i1", "anna"): "imprecise", ("i2", "anna"): "unacceptable", ("i1", "ben"): "unacceptable"}
    assert [one.grade for one in read_ratings(tmp_path / "a.csv")] == ["acceptable", "unacceptable", "unacceptable"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_save_is_read(tmp_path: Path, encoding: str, end: str) -> None:
    text = "rater,item,label,q1,q2,q3,other,remark\nZoë,i1,Länder,yes,precise,,,fine\n\nZoë,i2,x,no,,other,y,\n"
    (tmp_path / "ratings.csv").write_bytes(text.replace("\n", end).encode(encoding))
    assert read_ratings(tmp_path / "ratings.csv") == [
        Rating("i1", "Länder", "Zoë", "yes", "precise"),
        Rating("i2", "x", "Zoë", "no", None, "other", "y"),
    ]


def test_a_line_that_a_kill_cut_short_is_left_out_wherever_it_was_cut(tmp_path: Path) -> None:
    file = tmp_path / "anna.csv"
    write_ratings(file, [rating("i001"), Rating("i2", 'Län"der, ja', "anna", "yes", "precise", "both", "ñ", "2026")])
    whole = file.read_bytes()
    first = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for cut in range(first, len(whole) + 1):
        file.write_bytes(whole[:cut])
        # Once all the answers are there, only the time is cut.
        assert len(read_ratings(file)) == 1 + (cut >= len(whole) - len("2026\n")), whole[first:cut]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "its first line must be item,label"),
        ("item,label,rater,q1\n", "line 1: has no column q2, q3, other"),
        (HEADER.replace("time", "item"), "line 1: has a column twice"),
        (HEADER.replace(",", ";"), "line 1: has no column item, label"),
        (HEADER + ROW + "i2,x,,yes,,,,\n", "line 3, rater: is empty"),
        (HEADER + "i2,,anna,yes,,,,\n", "line 2, label: is empty"),
        (HEADER + "i2,x,anna,,,,,\n", "line 2, q1: '' is not one of: yes, no"),
        (HEADER + "i2,x,anna,Yes,,,,\n", "line 2, q1: 'Yes' is not one of: yes, no"),
        (HEADER + "i2,x,anna,yes,perfect,,,\n", "q2: 'perfect' is not one of: precise, imprecise, empty"),
        (HEADER + "i2,x,anna,yes,,first,y,\n", "q3: 'first' is not one of: label, other, both, neither, empty"),
        (HEADER + "i2,x,anna,no,precise,,,\n", "q2: 'precise' is given though q1 is no"),
        (HEADER + "i2,x,anna,no,,both,,\n", "q3: 'both' is given, but the label compared with, `other`, is empty"),
        (HEADER + "i2,x,anna,no\n" + ROW, "line 2: has 4 cells where the first line has 8"),
        (HEADER + "i2,x,anna,no,,,,,\n", "line 2: has 9 cells"),
        (HEADER + ROW + "i2,x,anna,maybe,,,,", "line 3, q1: 'maybe'"),
        (HEADER + '"a\nb",x,anna,no,,,,\ni2,"x,anna,no,,,,\n' + ROW, "line 4: is not CSV"),
        (HEADER + 'i2,"x"y,anna,no,,,,\n', "line 2: is not CSV"),
        ((HEADER + ROW + "i2,Länder,anna,no,,,,\n").encode("latin-1"), "line 3: byte 0xE4 is not UTF-8"),
        (HEADER + "i2,x\0,anna,no,,,,\n", "line 2: holds NUL bytes"),
        ((HEADER + ROW).encode("utf-16-le"), "line 1: holds NUL bytes"),
        (b"\xff\xfe" + (HEADER + ROW).encode("utf-16-le")[:-1], "is not UTF-8"),
    ],
)
def test_a_bad_file_is_named_with_line_and_field(tmp_path: Path, content: str | bytes, message: str) -> None:
    file = tmp_path / "ratings.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError) as caught:
        read_ratings(file)
    assert str(caught.value).startswith(str(file))
    assert message in str(caught.value)


def test_a_huge_file_and_none_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(50_000_001)
    with pytest.raises(InputError, match="larger than 50 MB"):
        read_ratings(tmp_path / "huge.csv")
    with pytest.raises(InputError, match=r"gone\.csv cannot be read: No such file"):
        read_ratings(tmp_path / "gone.csv")


def test_ratings_of_unknown_items_are_refused_and_those_of_other_labels_left_out(tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text(HEADER + "i1,now,anna,no,,,,\ni1,before,anna,yes,,,,\ni2,before,anna,yes,,,,\n")
    assert [one.label for one in read_ratings(file, {"i1": "now", "i2": None})] == ["now"]
    with pytest.raises(InputError, match=r"ratings\.csv, line 4, item: 'i2' is not in this study"):
        read_ratings(file, {"i1": "now"})


# Studies


def test_the_items_of_a_result_are_its_labels(results: Path) -> None:
    study = open_study(results)
    assert len(study.items) == 100
    assert study.labels["unnamed"] is None
    assert "control" not in study.labels
    assert (study.items[1].label, study.items[4].other) == ("label 1", "other 4")
    assert study.items[0].words == (("red", 1), ("blue", 1))
    strata = Counter(item.stratum for item in study.items)
    assert strata == {"noun 1": 30, "noun 0.75": 30, "verb 1": 20, "verb 0.75": 20}


def test_items_of_layers_are_in_strata_of_equal_sizes(tmp_path: Path) -> None:
    rows = [{"item": f"i{i}", "label": "x", "layer": i % 2, "size": 1 + i} for i in range(30)]
    strata = Counter(item.stratum for item in open_study(records(tmp_path / "r", rows)).items)
    assert strata == {f"L0{layer} {size}": 5 for layer in (0, 1) for size in ("small", "medium", "large")}


def test_the_items_of_a_store_are_its_concepts(store: ConceptStore) -> None:
    study = open_study(store.path)
    rows = {row["concept"]: row for layer in (0, 6) for row in store.concepts("minilm", layer).to_pylist()}
    assert {item.item: item.label for item in study.items} == {name: row["label"] for name, row in rows.items()}
    for item in study.items:
        assert dict(item.words) == {word["word"]: word["count"] for word in rows[item.item]["words"]}
        assert 1 <= len(item.contexts) <= 5
        assert all(any(word in text.split(" ") for word, _ in item.words) for text in item.contexts)
    assert {item.stratum.split()[0] for item in study.items} == {"minilm/L00", "minilm/L06"}
    assert not any(item.contexts for item in open_study(store.path, contexts=0).items)


@pytest.mark.parametrize("n", [1, 7, 50, 100])
def test_a_plan_draws_from_each_stratum_in_proportion(results: Path, n: int) -> None:
    made = plan(open_study(results), n, seed=3)
    assert len({item.item for item in made.items}) == n == sum(stratum.drawn for stratum in made.strata)
    study = open_study(results)
    assert study.plan == made
    drawn = Counter(item.stratum for item in study.to_rate)
    for stratum in made.strata:
        assert stratum.drawn == drawn[stratum.name]
        assert abs(stratum.drawn - n * stratum.labels / 100) < 1


def test_a_plan_is_drawn_by_its_seed_alone(results: Path) -> None:
    def drawn(seed: int) -> bytes:
        plan(open_study(results), 20, seed)
        return (results / "ratings" / "plan.json").read_bytes()

    assert drawn(1) == drawn(1) != drawn(2)
    made = json.loads(drawn(2))
    assert made["schema"] == "conceptbench.rating-plan/1"
    assert made["items"][0].keys() == {"item", "label", "other"}


def test_a_plan_against_other_labels_compares_where_they_differ(results: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.csv").write_text("concept,label\ni001,theirs\ni002,LABEL 2 \ni003,\nelsewhere,x\n")
    made = plan(open_study(results), 100, against=f"file:{tmp_path / 'theirs.csv'}")
    assert made.against == "file:theirs.csv"
    assert {item.item: item.other for item in made.items if item.other is not None} == {"i001": "theirs"}
    (tmp_path / "theirs.csv").unlink()
    assert {item.item: item.other for item in open_study(results).to_rate}["i001"] == "theirs"


def test_wrong_plans_are_refused(results: Path, tmp_path: Path) -> None:
    study = open_study(results)
    (tmp_path / "theirs.csv").write_text("concept,label\nelsewhere,x\n")
    for n, against, message in (
        (0, None, "--plan 0"),
        (101, None, "has 100 labels"),
        (5, "lexical", "give file:<labels>"),
        (5, "file:gone.csv", "gone.csv"),
        (5, f"file:{tmp_path / 'theirs.csv'}", "no label that differs"),
    ):
        with pytest.raises(InputError, match=message):
            plan(study, n, against=against)
    assert not study.ratings_folder.exists()
    plan(study, 5)
    plan(open_study(results), 6)
    with RaterLog(open_study(results), "anna") as log:
        log.save([rating(open_study(results).to_rate[0].item)])
    with pytest.raises(InputError, match=r"has 1 ratings of the present plan.*mv .*ratings"):
        plan(open_study(results), 7)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "conceptbench.rating-plan/9"}', "\xff"])
def test_a_damaged_plan_is_named(results: Path, content: str) -> None:
    (results / "ratings").mkdir()
    (results / "ratings" / "plan.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"plan\.json: .*: restore the file"):
        open_study(results)


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a concept store"):
        open_study(tmp_path)
    (tmp_path / "records.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="is damaged"):
        open_study(tmp_path)
    pq.write_table(pa.table({"item": ["i1"], "label": ["x"]}), tmp_path / "records.parquet")
    with pytest.raises(InputError, match="has no column role, words"):
        open_study(tmp_path)


def test_each_rater_has_an_order_of_their_own(results: Path) -> None:
    study = open_study(results)
    anna, ben = study.in_order("anna"), study.in_order("ben")
    assert anna == open_study(results).in_order("anna")
    assert anna != ben
    assert sorted(anna, key=lambda item: item.item) == sorted(ben, key=lambda item: item.item) == list(study.items)
    plan(study, 100, seed=5)
    assert [item.item for item in open_study(results).in_order("anna")] != [item.item for item in anna]


# Raters' files


@pytest.mark.parametrize("name", ["", "../anna", "a/b", "a b", "anna.csv", "a" * 41, "a\n", "=anna", "C:", "a\0"])
def test_names_that_are_no_file_names_are_refused(results: Path, name: str) -> None:
    with pytest.raises(InputError, match="letters, digits, - and _"):
        RaterLog(open_study(results), name)
    assert not (results / "ratings").exists()


@pytest.mark.parametrize("name", ["anna", "Rater_2", "x-1", "Zoë", "李雷", "अनीता", "a" * 40])
def test_names_of_all_scripts_are_taken(name: str) -> None:
    assert checked_rater(name) == name
    assert checked_rater("Zoe\u0308") == "Zoë"


def test_what_is_saved_is_there_when_the_log_is_opened_again(results: Path) -> None:
    study = open_study(results)
    with RaterLog(study, "anna") as log:
        log.save([rating("i001", q2=None)])
        log.save([rating("i001", q2="imprecise"), rating("i003", q1="no")])
        log.save([rating("i005", "ben")])
    with RaterLog(study, "anna") as log:
        assert log.ratings == {"i001": rating("i001", q2="imprecise"), "i003": rating("i003", q1="no")}
    assert (results / "ratings" / "anna.csv").read_text().count("\n") == 5


@pytest.mark.parametrize(
    "content",
    [
        (HEADER + "i001,label 1,anna,no,,,,\ni002,lab").encode(),
        (HEADER + "i001,label 1,anna,no,,,,\ni002,lä").encode()[:-1],
        b"q1,q2,q3,other,rater,item,label\nno,,,,anna,i001,label 1\n",
        (HEADER + "i001,label 1,anna,no,,,,\n").encode("utf-16"),
        (HEADER + "i001,label 1,anna,no,,,,\n").encode("utf-8-sig"),
    ],
)
def test_what_a_kill_or_a_spreadsheet_left_is_mended_before_it_is_added_to(results: Path, content: bytes) -> None:
    file = results / "ratings" / "anna.csv"
    file.parent.mkdir()
    file.write_bytes(content)
    with RaterLog(open_study(results), "anna") as log:
        log.save([rating("i003")])
    assert read_ratings(file) == [rating("i001", q1="no"), rating("i003")]


def test_a_full_disk_takes_nothing_and_breaks_nothing(results: Path) -> None:
    file = results / "ratings" / "anna.csv"
    with RaterLog(open_study(results), "anna") as log:
        log.save([rating("i001")])
        before = file.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
        try:
            with pytest.raises(ConceptBenchError, match=r"cannot write .*anna\.csv"):
                log.save([rating("i003")])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert file.read_bytes() == before
        assert set(log.ratings) == {"i001"}
        log.save([rating("i003")])
    assert len(read_ratings(file)) == 2


def test_a_rater_is_open_in_one_process_only(results: Path) -> None:
    (results.parent / "more.csv").write_text(HEADER + "i001,label 1,anna,no,,,,\n")
    with RaterLog(open_study(results), "anna"):
        refused = run("rate", results, "--import", "more.csv", cwd=results.parent)
    assert refused.returncode == 2
    assert "in use by another process" in refused.stderr
    assert run("rate", results, "--import", "more.csv", cwd=results.parent).returncode == 0


# The page, but for the browser


def token(shown: str) -> str:
    return re.findall(r'data-token="(.*?)"', shown)[0]


def test_what_is_skipped_comes_again_at_the_end(results: Path) -> None:
    plan(open_study(results), 6)
    study = open_study(results)
    tokens = []
    with RaterLog(study, "anna") as log:
        desk = Desk(study, log)
        shown = desk.act("?", "open", "")
        while token(shown):
            tokens.append(token(shown))
            if len(tokens) in {2, 6}:
                shown = desk.act(token(shown), "next", "")
            else:
                shown = desk.act(token(shown), "q1", "no")
                shown = desk.act(tokens[-1], "q3", "both") if token(shown) == tokens[-1] else shown
        assert "2 to go" in shown
        assert len(set(tokens)) == 6
        # From the last page to the first one skipped, from there to the other, and to the end again.
        assert token(desk.act("", "open", "")) == tokens[1]
        assert token(desk.act(tokens[1], "next", "")) == tokens[5]
        assert token(desk.act(tokens[5], "next", "")) == ""
        assert token(desk.act("", "back", "")) == tokens[5]
        # Who comes back is where they stopped.
        assert token(Desk(study, log).act("?", "open", "")) == tokens[5]


def test_an_answer_that_cannot_be_saved_is_not_taken(results: Path) -> None:
    study = open_study(results)
    with RaterLog(study, "anna") as log:
        desk = Desk(study, log)
        first = token(desk.act("?", "open", ""))
        (results / "ratings" / "anna.csv").rename(results / "elsewhere.csv")
        shown = desk.act(first, "q1", "yes")
        assert "cannot write" in shown
        assert token(shown) == first
        assert log.ratings == {}
        (results / "elsewhere.csv").rename(results / "ratings" / "anna.csv")
        assert "cannot write" not in desk.act(first, "q1", "yes")
    assert len(read_ratings(results / "ratings")) == 1


@pytest.mark.parametrize(("action", "value"), [("q2", "precise"), ("q3", "both"), ("q1", "maybe"), ("q1", "None")])
def test_an_answer_that_was_not_asked_for_is_not_taken(results: Path, action: str, value: str) -> None:
    study = open_study(results)
    with RaterLog(study, "anna") as log:
        desk = Desk(study, log)
        first = token(desk.act("?", "open", ""))
        assert token(desk.act(first, action, value)) == first
        assert log.ratings == {}


# Numbers


def rated(study: Study, ratings: list[Rating]) -> Study:
    for rater in {one.rater for one in ratings}:
        with RaterLog(study, rater) as log:
            log.save([one for one in ratings if one.rater == rater])
    return study


def test_the_summary_is_the_agreement_of_all_raters(results: Path) -> None:
    grades: list[Any] = [["precise", "imprecise", "unacceptable"][i % 3] for i in range(20)]
    other: list[Any] = ["unacceptable" if i % 5 == 0 else grade for i, grade in enumerate(grades)]
    study = open_study(results)
    ratings = [
        rating(f"i{i:03d}", rater, "no", q2=None) if grade == "unacceptable" else rating(f"i{i:03d}", rater, q2=grade)
        for rater, given in (("anna", grades), ("ben", other), ("cleo", grades[:5]))
        for i, grade in enumerate(given)
    ]
    found = summary(rated(study, ratings))
    expected = agreement(
        [[a, b, a if i < 5 else None] for i, (a, b) in enumerate(zip(grades, other, strict=True))],
        groups=[f"c{i // 3}" for i in range(20)],
    )
    assert found.metrics == expected.metrics
    assert found.metrics["acceptance"].n == 20
    assert found.undefined == expected.undefined
    assert found.items == 100
    # Every fourth of them has another label, and was not compared.
    assert found.done == {"anna": 15, "ben": 15, "cleo": 3}
    assert found.left_out == 0


def test_preferences_are_shares_of_the_answers(results: Path) -> None:
    answers = {"i000": "label", "i004": "label", "i008": "other", "i012": "both"}
    ratings = [rating(item, q3=answer, other=f"other {int(item[1:])}") for item, answer in answers.items()]
    ratings.append(rating("i016", q3="neither", other="another label than the present one"))
    found = summary(rated(open_study(results), ratings))
    shares = {answer: found.metrics[f"preference/{answer}"].value for answer in ("label", "other", "both", "neither")}
    assert shares == {"label": 0.5, "other": 0.25, "both": 0.25, "neither": 0.0}
    assert found.metrics["preference/label"].n == 4
    assert found.done == {"anna": 4}


def test_ratings_of_labels_that_changed_are_counted_apart(results: Path) -> None:
    plan(open_study(results), 100)
    rated(open_study(results), [rating(f"i{i:03d}") for i in range(10)])
    rows = pq.read_table(results / "records.parquet").to_pylist()
    rows[1]["label"], rows[3]["label"] = "renamed", None
    study = open_study(records(results, rows))
    assert (summary(study).items, summary(study).left_out, len(study.ratings()[0])) == (99, 2, 8)


def test_no_rating_gives_no_number(results: Path) -> None:
    found = summary(open_study(results))
    assert (found.done, found.metrics, found.left_out) == ({}, {}, 0)


def test_what_is_complete(results: Path) -> None:
    plain, compared = open_study(results).items[1], open_study(results).items[4]
    assert not complete(plain, None)
    assert not complete(plain, rating("i001", q2=None))
    assert complete(plain, rating("i001"))
    assert complete(plain, rating("i001", q1="no"))
    assert not complete(compared, rating("i004", q1="no"))
    assert complete(compared, rating("i004", q1="no", q3="neither", other="other 4"))


def test_the_expected_interval_is_about_that_of_a_proportion() -> None:
    assert half_width(150) == pytest.approx(1.96 * (0.9 * 0.1 / 150) ** 0.5, rel=0.02)


# Command line


@pytest.mark.slow
def test_a_study_from_plan_to_numbers(store: ConceptStore, tmp_path: Path) -> None:
    folder = shutil.copytree(store.path, tmp_path / "store")
    planned = run("rate", folder, "--plan", "6", "--seed", "2", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "minilm/L06 large" in planned.stdout
    assert "takes about 2 minutes" in planned.stdout
    assert "± " in planned.stdout
    assert "6 labels to rate, no rating yet" in run("rate", folder, cwd=tmp_path).stdout
    items = json.loads((folder / "ratings" / "plan.json").read_text())["items"]
    given = [
        Rating(item["item"], item["label"], rater, "yes", "precise") for item in items for rater in ("anna", "Zoë")
    ]
    drawn = {item["item"] for item in items}
    unplanned = next(item for item in open_study(folder).items if item.item not in drawn)
    write_ratings(tmp_path / "in.csv", [*given, Rating(unplanned.item, unplanned.label, "anna", "no")])
    added = run("rate", folder, "--import", "in.csv", "--json", cwd=tmp_path)
    assert json.loads(added.stdout) == {"added": 12, "left_out": 1}
    assert json.loads(run("rate", folder, "--import", "in.csv", "--json", cwd=tmp_path).stdout)["added"] == 0
    shown = run("rate", folder, cwd=tmp_path)
    assert "Zoë    6 of 6" in shown.stdout
    assert "acceptance" in shown.stdout
    numbers = json.loads(run("rate", folder, "--json", cwd=tmp_path).stdout)
    assert numbers["done"] == {"Zoë": 6, "anna": 6}
    assert numbers["metrics"]["acceptance"]["value"] == 1.0
    assert "fleiss_kappa" in numbers["undefined"]
    assert run("rate", folder, "--export", "out.csv", cwd=tmp_path).returncode == 0
    assert set(read_ratings(tmp_path / "out.csv")) == set(given)
    again = run("rate", folder, "--plan", "5", cwd=tmp_path)
    assert again.returncode == 2
    assert "has 12 ratings of the present plan" in again.stderr


@pytest.mark.slow
def test_wrong_use_is_one_clear_message_and_exit_code_2(results: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(HEADER + "i001,label 1,a/b,no,,,,\n")
    (tmp_path / "unknown.csv").write_text(HEADER + "x,label 1,anna,no,,,,\n")
    for arguments, message in (
        (("gone",), "gone is neither a concept store"),
        (("results", "--rater", "a.b"), "rater 'a.b'"),
        (("results", "--plan", "5", "--rater", "anna"), "--rater and --plan do different things"),
        (("results", "--against", "file:bad.csv"), "--plan"),
        (("results", "--import", "bad.csv"), "rater 'a/b'"),
        (("results", "--import", "unknown.csv"), "unknown.csv, line 2, item: 'x'"),
    ):
        failed = run("rate", *arguments, cwd=tmp_path)
        assert failed.returncode == 2, failed.stderr
        assert message in " ".join(failed.stderr.split())
        assert "Traceback" not in failed.stderr
    assert not (results / "ratings").exists()


def test_the_command_line_stays_light() -> None:
    code = (
        "import sys, conceptbench, conceptbench.cli\n"
        "heavy = {'torch', 'starlette', 'uvicorn', 'pyarrow', 'statsmodels', 'filelock'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    light = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert light.returncode == 0, light.stderr
