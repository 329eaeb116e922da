"""The request journal: what it keeps, what it refuses, what survives."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.journal import Journal, request_key
from conceptbench.runtime.llm import Message, Reply, Request

ASK = Request((Message("user", "apples, pears"),))


def test_replies_come_back_as_they_were(tmp_path: Path) -> None:
    replies = {
        "a": Reply("Fruits\0 with \N{GRAPES}", None, "", 12, 3, 0.5),
        "b": Reply(None, "refused", "I would rather not", 12, 0, 0.25),
        "c": Reply("Frui", "cut"),
    }
    with Journal(tmp_path / "journal.sqlite") as journal:
        journal.put_many("openai:m", replies)
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert journal.get_many(["a", "b", "c", "d"]) == replies
        assert len(journal) == 3


def test_many_keys_are_found(tmp_path: Path) -> None:
    replies = {str(index): Reply(str(index)) for index in range(40_000)}
    with Journal(tmp_path / "j") as journal:
        journal.put_many("s", replies)
        assert journal.get_many(replies) == replies


def test_failed_replies_are_not_kept(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.put_many("s", {"a": Reply(None, "failed", "HTTP 500"), "b": Reply(None, "empty")})
        assert set(journal.get_many(["a", "b"])) == {"b"}


def test_the_first_reply_to_a_request_stays(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.put_many("s", {"a": Reply("first")})
        journal.put_many("s", {"a": Reply("second")})
        assert journal.get_many(["a"])["a"].text == "first"


def test_progress_is_remembered(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        assert journal.progress("vectors") is None
        journal.set_progress("vectors", "3")
        journal.set_progress("vectors", "4")
    with Journal(tmp_path / "j") as journal:
        assert journal.progress("vectors") == "4"


def test_closing_leaves_one_file_and_may_be_repeated(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.set_progress("a", "b")
    assert len(list(tmp_path.iterdir())) > 1
    journal.close()
    journal.close()
    assert [path.name for path in tmp_path.iterdir()] == ["j"]


@pytest.mark.parametrize(
    "other",
    [
        Request((Message("user", "apples"),)),
        Request((Message("system", "apples, pears"),)),
        Request((Message("user", "apples, "), Message("user", "pears"))),
        Request(ASK.messages, max_tokens=33),
        Request(ASK.messages, temperature=0.5),
        Request(ASK.messages, stop=("\n",)),
        Request(ASK.messages, seed=0),
        Request(ASK.messages, sample=1),
    ],
)
def test_whatever_can_change_the_answer_changes_the_key(other: Request) -> None:
    assert request_key("openai:m", None, other) != request_key("openai:m", None, ASK)


def test_the_key_tells_systems_and_servers_apart_but_not_credentials() -> None:
    url = "https://host.example/v1"
    keys = {
        request_key("openai:m", None, ASK),
        request_key("openai:n", None, ASK),
        request_key("openai:m", url, ASK),
    }
    assert len(keys) == 3
    for secret in ("https://user:pass@host.example/v1", url + "?api-key=s", url + "/"):
        assert request_key("openai:m", secret, ASK) == request_key("openai:m", url, ASK)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()


def _other_version(path: Path) -> None:
    Journal(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()


def _damaged(path: Path) -> None:
    with Journal(path) as journal:
        journal.put_many("s", {str(index): Reply("text" * 50) for index in range(500)})
    content = bytearray(path.read_bytes())
    content[8192:20480] = b"\xa5" * 12288
    path.write_bytes(content)


def _truncated(path: Path) -> None:
    with Journal(path) as journal:
        journal.put_many("s", {str(index): Reply("text" * 50) for index in range(500)})
    path.write_bytes(path.read_bytes()[:10_000])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_text("a,b\n1,2\n"), "is no journal"),
        (_foreign, "of another program"),
        (_other_version, "version 99"),
        (_damaged, "is damaged"),
        (_truncated, "is damaged"),
        (lambda path: path.mkdir(), "is a folder"),
    ],
)
def test_what_is_no_journal_is_refused_and_left_alone(tmp_path: Path, make: object, says: str) -> None:
    path = tmp_path / "journal.sqlite"
    make(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError, match=says) as caught:
        Journal(path)
    assert str(path) in str(caught.value)
    assert before == (path.read_bytes() if path.is_file() else None)


def test_an_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.touch()
    with Journal(path) as journal:
        assert len(journal) == 0


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        Journal(tmp_path / "no" / "j")


def test_a_place_that_cannot_be_written_is_named() -> None:
    with pytest.raises(ConceptBenchError, match="/proc/journal"):
        Journal("/proc/journal.sqlite")


def test_a_journal_held_by_another_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, busy_timeout=0.05) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConceptBenchError, match="held by another process"):
            journal.set_progress("a", "b")
        other.execute("ROLLBACK")
        other.close()
        journal.set_progress("a", "b")
        assert journal.progress("a") == "b"


def test_threads_may_share_a_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:

        def write(number: int) -> None:
            for index in range(50):
                journal.put_many("s", {f"{number}-{index}": Reply("x")})

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(journal) == 200


_FILL = """
import resource, signal, sys
from conceptbench.runtime.errors import ConceptBenchError
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.llm import Reply
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
with Journal(sys.argv[1]) as journal:
    for part in range(1000):
        try:
            journal.put_many("s", {f"{part}-{index}": Reply("x" * 1000) for index in range(10)})
        except ConceptBenchError as error:
            print(part, error)
            break
"""


def test_a_disk_that_fills_up_loses_no_commit(tmp_path: Path) -> None:
    path = tmp_path / "j"
    run = subprocess.run(
        [sys.executable, "-c", _FILL, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    parts, message = run.stdout.split(maxsplit=1)
    assert str(path) in message
    assert "what was answered is kept" in message
    with Journal(path) as journal:
        assert len(journal) == 10 * int(parts) > 0


_DIE = """
import os, signal, sys
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.llm import Reply
journal = Journal(sys.argv[1])
for part in range(20):
    journal.put_many("s", {f"{part}-{index}": Reply("x") for index in range(5)})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_commits_survive_the_death_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "j"
    run = subprocess.run([sys.executable, "-c", _DIE, str(path)], check=False, timeout=60)
    assert run.returncode == -9
    assert len(list(tmp_path.iterdir())) > 1
    with Journal(path) as journal:
        assert len(journal) == 100
    assert [left.name for left in tmp_path.iterdir()] == ["j"]
