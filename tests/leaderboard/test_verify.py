"""Verification: good submissions are accepted, bad ones rejected, each for its own reason."""

import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest

from conceptbench.eval.annotation import collect
from conceptbench.leaderboard.verify import verify
from conceptbench.runtime.similarity import Similarity

GOOD, BAD = 100, 1000


@pytest.fixture(scope="module")
def made(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    return load_module(Path(__file__).parent / "submissions.py")


@pytest.fixture(autouse=True)
def weights_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each recomputation opens the encoder anew; here its weights are read once, and used as ever."""
    monkeypatch.setattr(collect, "Similarity", cache(lambda model, _progress=None: Similarity(model)))


@pytest.fixture(scope="module")
def maker(made: ModuleType, tmp_path_factory: pytest.TempPathFactory):
    return made.Maker(made.base_run(tmp_path_factory.mktemp("run")), Similarity("minilm"))


def reasons(board: Path, **options: bool) -> dict[str, str]:
    """Verify a board; give the reason by submission, empty for those accepted."""
    verdicts = [own.verdict for own in verify(board, **options)]
    assert all(verdict.accepted == (not verdict.reason) for verdict in verdicts)
    return {verdict.submission: verdict.reason for verdict in verdicts}


@pytest.mark.slow
def test_a_hundred_good_and_a_thousand_bad_submissions(made: ModuleType, maker, tmp_path: Path) -> None:
    board = tmp_path / "board"
    good = {maker.good(board, number) for number in range(GOOD)}
    assert len(good) == GOOD
    template = maker.good(tmp_path / "template", 0)
    every = list(made.attacks(made.write_bomb(tmp_path / "bomb.parquet")))
    # What is refused before anything is computed comes again under other names until there are 1,000.
    light = [attack for attack in every if attack.reason not in made.COSTLY]
    wanted = {}
    for number, attack in enumerate([*every, *islice(cycle(light), BAD - len(every))]):
        system = f"python:own:Bad{number}"
        folder = board / "submissions" / system.replace(":", "--") / "annotation" / made.DAY
        folder.parent.mkdir(parents=True)
        shutil.copytree(template, folder)
        made.edit(folder, "result.json", lambda content, system=system: content.update(system=system))
        made.edit(folder, "form.json", lambda content, number=number: content.update(name=f"Bad {number}"))
        attack.spoil(folder)
        wanted[system.replace(":", "--")] = attack
    found = reasons(board)
    accepted = {board / "submissions" / name for name, reason in found.items() if not reason}
    assert accepted == good
    assert len(found) == GOOD + BAD
    for name, reason in found.items():
        if reason:
            attack = wanted[name.partition("/")[0]]
            assert attack.reason in reason, (attack.name, reason)
            assert "\n" not in reason
            assert reason.isascii()


def test_a_name_that_is_taken_is_rejected_and_the_first_stays(made: ModuleType, maker, tmp_path: Path) -> None:
    first = maker.good(tmp_path, 1, day="2026-01-15")
    second = maker.good(tmp_path, 2, day="2026-01-16")
    third = maker.good(tmp_path, 3, day="2026-01-17")
    made.edit(second, "form.json", lambda content: content.update(name="5ystem_1"))
    made.edit(third, "form.json", lambda content: content.update(name="SASC (published, default)"))
    found = reasons(tmp_path)
    assert found[name_of(first)] == ""
    assert "is taken" in found[name_of(second)]
    assert "python--own--System1" in found[name_of(second)]
    assert "a published figure" in found[name_of(third)]
    # Who was accepted keeps the name, whatever day another one writes on its folder.
    earlier = second.parent / "2026-01-14"
    second.rename(earlier)
    made.edit(earlier, "result.json", lambda content: content["provenance"].update(started="2026-01-14T01:00:00+00:00"))
    found = reasons(tmp_path)
    assert found[name_of(first)] == ""
    assert "is taken" in found[name_of(earlier)]


def test_answers_of_another_system_are_rejected_but_not_our_own_run_of_it(
    made: ModuleType, maker, tmp_path: Path
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
    ours = first.parent / "2026-01-20"
    shutil.copytree(first, ours)
    (tmp_path / "board.toml").write_text(f'rerun = ["{name_of(ours)}"]\n')
    found = reasons(tmp_path)
    assert found[name_of(first)] == ""
    assert found[name_of(ours)] == ""
    assert found[name_of(copied)] == f"its answers are those of {name_of(first)}, which was there first"


def test_verdicts_are_files_and_are_not_made_twice(
    made: ModuleType, maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    monkeypatch.setattr(module, "check_submission", lambda *given: counted.append(given) or check(*given))
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


def test_what_is_no_submission_is_named(made: ModuleType, maker, tmp_path: Path) -> None:
    maker.good(tmp_path, 1)
    submissions = tmp_path / "submissions"
    (submissions / "README.md").write_text("How to submit.")
    (submissions / "stray.txt").write_text("x")
    (submissions / "a b").mkdir()
    (submissions / "link").symlink_to(submissions / "python--own--System1")
    (submissions / "half").mkdir()
    (submissions / "half" / "notes").write_text("x")
    found = reasons(tmp_path)
    assert sum(not reason for reason in found.values()) == 1
    assert "is a file where a folder belongs" in found["stray.txt"]
    assert found["link"] == "is a symbolic link"
    assert "the folder's name" in found["a b"]
    assert "is a file where a folder belongs" in found["half/notes"]


def test_a_submission_of_another_dataset_needs_the_board_to_take_it(made: ModuleType, maker, tmp_path: Path) -> None:
    from conceptbench.leaderboard.items import items_digest
    from conceptbench.leaderboard.settings import dataset_entry

    folder = maker.good(tmp_path, 1)
    made.edit(folder, "result.json", lambda content: content["provenance"].update(dataset="concepts of m over c"))
    assert "another dataset than this board takes" in reasons(tmp_path)[name_of(folder)]
    digest = items_digest("annotation", pq.read_table(folder / "records.parquet"))
    (tmp_path / "board.toml").write_text(dataset_entry("a store of ours", "annotation", digest))
    assert reasons(tmp_path)[name_of(folder)] == ""


def test_planted_controls_and_judges_are_checked(made: ModuleType, maker, tmp_path: Path) -> None:
    from conceptbench.benchmark.lexicon import load_lexicon
    from conceptbench.eval.annotation.controls import plant

    def with_controls(number: int, spoil: Callable[[list], object]) -> Path:
        folder = maker.good(tmp_path, number)
        controls = plant(load_lexicon(), split="dev", purities=[1.0], count=2, seed=0)
        spoil(controls)
        made.edit_rows(folder, lambda rows: rows.extend(controls))
        return folder

    right = with_controls(1, lambda rows: None)
    swapped = with_controls(2, lambda rows: rows[0].update(label="anything"))
    halved = with_controls(3, lambda rows: rows[0].update(half="measure" if rows[0]["half"] == "select" else "select"))
    found = reasons(tmp_path)
    assert found[name_of(right)] == ""
    assert "planted controls" in found[name_of(swapped)]
    assert "planted controls" in found[name_of(halved)]


def name_of(folder: Path) -> str:
    return "/".join(folder.parts[-3:])


def test_the_reasons_name_no_folder_of_this_machine(made: ModuleType, maker, tmp_path: Path) -> None:
    folder = maker.good(tmp_path, 1)
    (folder / "records.parquet").unlink()
    assert not re.search(re.escape(str(tmp_path)), reasons(tmp_path)[name_of(folder)])
