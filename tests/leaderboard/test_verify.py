"""Verification: good submissions are accepted, bad ones rejected, each for its own reason."""

import json
import re
import shutil
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from conceptbench.leaderboard.items import items_digest
from conceptbench.leaderboard.settings import dataset_entry
from conceptbench.leaderboard.verify import verify


def reasons(board: Path, **options: bool) -> dict[str, str]:
    """Verify a board; give the reason by submission, empty for those accepted."""
    verdicts = [checked.verdict for checked in verify(board, **options)]
    assert all(verdict.accepted == (not verdict.reason) for verdict in verdicts)
    return {verdict.submission: verdict.reason for verdict in verdicts}


@pytest.mark.slow
def test_good_submissions_and_bad_ones_of_every_kind(made: ModuleType, maker: Any, tmp_path: Path, long: bool) -> None:
    board = tmp_path / "board"
    good = {maker.good(board, number) for number in range(100 if long else 10)}
    assert len(good) == (100 if long else 10)
    template = maker.good(tmp_path / "template", 0)
    every = list(made.attacks(made.write_bomb(tmp_path / "bomb.parquet")))
    # In the long form, what is refused before anything is computed comes again until there are 1,000.
    light = [attack for attack in every if attack.reason not in made.COSTLY]
    repeated = islice(cycle(light), 1000 - len(every)) if long else ()
    attack_of = {}
    for number, attack in enumerate([*every, *repeated]):
        system = f"python:own:Bad{number}"
        folder = board / "submissions" / system.replace(":", "--") / "annotation" / made.DAY
        folder.parent.mkdir(parents=True)
        shutil.copytree(template, folder)
        made.edit(folder, "result.json", lambda content, system=system: content.update(system=system))
        made.edit(folder, "form.json", lambda content, number=number: content.update(name=f"Bad {number}"))
        attack.spoil(folder)
        attack_of[system.replace(":", "--")] = attack
    reason_of = reasons(board)
    accepted = {board / "submissions" / name for name, reason in reason_of.items() if not reason}
    assert accepted == good
    assert len(reason_of) == len(good) + len(attack_of)
    for name, reason in reason_of.items():
        if reason:
            attack = attack_of[name.partition("/")[0]]
            assert attack.reason in reason, (attack.name, reason)
            assert "\n" not in reason
            assert reason.isascii()


def test_a_name_that_is_taken_is_rejected_and_the_first_stays(made: ModuleType, maker: Any, tmp_path: Path) -> None:
    first = maker.good(tmp_path, 1, day="2026-01-15")
    second = maker.good(tmp_path, 2, day="2026-01-16")
    third = maker.good(tmp_path, 3, day="2026-01-17")
    made.edit(second, "form.json", lambda content: content.update(name="5ystem_1"))
    made.edit(third, "form.json", lambda content: content.update(name="SASC (published, default)"))
    reason_of = reasons(tmp_path)
    assert reason_of[name_of(first)] == ""
    assert "is taken" in reason_of[name_of(second)]
    assert "python--own--System1" in reason_of[name_of(second)]
    assert "a published figure" in reason_of[name_of(third)]
    # The name stays with the submission that was accepted first, even if a later one claims an earlier day.
    earlier = second.parent / "2026-01-14"
    second.rename(earlier)
    made.edit(earlier, "result.json", lambda content: content["provenance"].update(started="2026-01-14T01:00:00+00:00"))
    reason_of = reasons(tmp_path)
    assert reason_of[name_of(first)] == ""
    assert "is taken" in reason_of[name_of(earlier)]


def test_answers_of_another_system_are_rejected_but_not_a_rerun_of_the_same_system(
    made: ModuleType, maker: Any, tmp_path: Path
) -> None:
    first = maker.good(tmp_path, 1)
    assert reasons(tmp_path)[name_of(first)] == ""
    copied = tmp_path / "submissions" / "python--own--Copy" / "annotation" / made.DAY
    shutil.copytree(first, copied)
    made.edit(copied, "result.json", lambda content: content.update(system="python:own:Copy"))
    made.edit(copied, "form.json", lambda content: content.update(name="A copy"))
    # Other bytes, but the same answers.
    made.write_table(copied, pq.read_table(copied / "records.parquet").replace_schema_metadata({"a": "b"}))
    # The same system, run by the board's keepers on another day.
    rerun = first.parent / "2026-01-20"
    shutil.copytree(first, rerun)
    (tmp_path / "board.toml").write_text(f'rerun = ["{name_of(rerun)}"]\n')
    reason_of = reasons(tmp_path)
    assert reason_of[name_of(first)] == ""
    assert reason_of[name_of(rerun)] == ""
    assert reason_of[name_of(copied)] == f"its answers are those of {name_of(first)}, which was there first"


def test_verdicts_are_files_and_are_not_made_twice(
    made: ModuleType, maker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = maker.good(tmp_path, 1), maker.good(tmp_path, 2)
    made.edit(bad, "result.json", lambda content: content["metrics"]["gold_match"].update(value=0.99))
    assert reasons(tmp_path)[name_of(good)] == ""
    file = tmp_path / "verdicts" / f"{name_of(bad)}.json"
    verdict = json.loads(file.read_text())
    assert verdict["verdict"] == "rejected"
    assert "metric 'gold_match' is 0.99" in verdict["reason"]
    counted = []
    from conceptbench.leaderboard import verify as module

    check = module.check_submission
    monkeypatch.setattr(module, "check_submission", lambda *arguments: counted.append(arguments) or check(*arguments))
    before = {path: path.read_bytes() for path in (tmp_path / "verdicts").rglob("*.json")}
    reasons(tmp_path)
    assert counted == []
    assert {path: path.read_bytes() for path in (tmp_path / "verdicts").rglob("*.json")} == before
    made.edit(good, "form.json", lambda content: content.update(notes="Another prompt."))
    reasons(tmp_path)
    assert len(counted) == 1
    reasons(tmp_path, again=True)
    assert len(counted) == 3
    # A verdict of another version of the package is made again.
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "check": "0.0.1+0", "verdict": "accepted", "reason": ""}))
    assert reasons(tmp_path)[name_of(bad)]


def test_anything_that_is_no_submission_is_named(made: ModuleType, maker: Any, tmp_path: Path) -> None:
    maker.good(tmp_path, 1)
    submissions = tmp_path / "submissions"
    (submissions / "README.md").write_text("How to submit.")
    (submissions / "stray.txt").write_text("x")
    (submissions / "a b").mkdir()
    (submissions / "link").symlink_to(submissions / "python--own--System1")
    (submissions / "half").mkdir()
    (submissions / "half" / "notes").write_text("x")
    reason_of = reasons(tmp_path)
    assert sum(not reason for reason in reason_of.values()) == 1
    assert "is a file where a folder belongs" in reason_of["stray.txt"]
    assert reason_of["link"] == "is a symbolic link"
    assert "the folder's name" in reason_of["a b"]
    assert "is a file where a folder belongs" in reason_of["half/notes"]


def test_a_submission_of_another_dataset_needs_an_entry_in_the_settings(
    made: ModuleType, maker: Any, tmp_path: Path
) -> None:
    folder = maker.good(tmp_path, 1)
    made.edit(folder, "result.json", lambda content: content["provenance"].update(dataset="concepts of m over c"))
    assert "another dataset than this board takes" in reasons(tmp_path)[name_of(folder)]
    digest = items_digest("annotation", pq.read_table(folder / "records.parquet"))
    (tmp_path / "board.toml").write_text(dataset_entry("a store of ours", "annotation", digest))
    assert reasons(tmp_path)[name_of(folder)] == ""


def test_planted_controls_and_judges_are_checked(made: ModuleType, maker: Any, tmp_path: Path) -> None:
    def with_controls(number: int, spoil: Callable[[list], object]) -> Path:
        folder = maker.good(tmp_path, number)
        controls = made.planted(2)
        spoil(controls)
        made.edit_rows(folder, lambda rows: rows.extend(controls))
        return folder

    right = with_controls(1, lambda rows: None)
    swapped = with_controls(2, lambda rows: rows[0].update(label="anything"))
    halved = with_controls(3, lambda rows: rows[0].update(half="measure" if rows[0]["half"] == "select" else "select"))
    reason_of = reasons(tmp_path)
    assert reason_of[name_of(right)] == ""
    assert "planted controls" in reason_of[name_of(swapped)]
    assert "planted controls" in reason_of[name_of(halved)]


def name_of(folder: Path) -> str:
    return "/".join(folder.parts[-3:])


def test_the_reasons_name_no_folder_of_this_machine(made: ModuleType, maker: Any, tmp_path: Path) -> None:
    folder = maker.good(tmp_path, 1)
    (folder / "records.parquet").unlink()
    assert not re.search(re.escape(str(tmp_path)), reasons(tmp_path)[name_of(folder)])
