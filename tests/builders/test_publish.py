"""Publishing to the Hub: the real client in processes of its own, against a Hub on loopback."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import datasets
import pytest
import yaml

from conceptbench.benchmark.items import draw_items
from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.prompts import load_prompt
from conceptbench.benchmark.schema import CONCEPTS
from conceptbench.benchmark.store import ConceptStore
from conceptbench.builders.harness import gold_items, gold_parquet
from conceptbench.builders.publish import collect, publish
from conceptbench.eval.annotation.items import limited
from conceptbench.eval.run import evaluate, open_run
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.progress import Silent

READ = """
import json, sys
import datasets
from conceptbench import load_concepts
from huggingface_hub import hf_hub_download
repo = sys.argv[1]
found = {name: datasets.load_dataset(repo, name) for name in sys.argv[2].split(",")}
print(json.dumps({
    "rows": {name: {split: list(rows) for split, rows in one.items()} for name, one in found.items()},
    "default": list(datasets.load_dataset(repo)["train"]),
    "concepts": list(load_concepts(repo)),
    "card": open(hf_hub_download(repo, "README.md", repo_type="dataset"), encoding="utf-8").read(),
}))
"""

# The command line with the gold items that every publication takes along, which one process has drawn for all.
COMMAND_LINE = """
import os, sys
from pathlib import Path
import conceptbench.builders.publish
sys.modules["conceptbench.builders.publish"].gold_parquet = Path(os.environ["TEST_GOLD_ITEMS"]).read_bytes
from conceptbench.cli import main
main()
"""

PUBLISH = """
import json, sys
from conceptbench import ConceptBenchError, publish
store, repos = sys.argv[1], json.loads(sys.argv[2])
for repo, options in repos:
    try:
        done = publish(store, repo, **options)
        told = ["done", done.commit]
    except ConceptBenchError as error:
        told = [type(error).__name__, str(error)]
    print(json.dumps(told))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module", autouse=True)
def _gold_items_are_drawn_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = tmp_path_factory.mktemp("gold") / "annotation.parquet"
    path.write_bytes(gold_parquet())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_GOLD_ITEMS", str(path))
        yield


@pytest.fixture
def store(tmp_path: Path, write_store: Any) -> Path:
    """A store of two models, with what is kept beside it."""
    folder = tmp_path / "store"
    write_store(folder, "label")
    (folder / "vectors" / "two").mkdir(parents=True)
    (folder / "vectors" / "two" / "L00.npy").write_bytes(b"vectors")
    for name in ("journal.sqlite", "journal-part-x.parquet", "notes.txt", "concepts/two/draft.txt", ".env"):
        (folder / name).write_bytes(b"private")
    return folder


@pytest.fixture
def run(hub: Any, hub_env: Callable[..., dict[str, str]], tmp_path: Path) -> Run:
    """Run Python with the Hub's environment; by default with the token of one who may write."""

    def start(*command: str, token: str | None = hub.token, **env: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**hub_env(hub.endpoint, token), **env},
        )
        assert "hf_" not in done.stdout + done.stderr, "a token in the output"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return start


@pytest.fixture
def publish_all(run: Run) -> Callable[..., list[Any]]:
    """Publish a store several times in one process: the commits, or what is said of a failure."""

    def start(store: Path, *asked: tuple[str, dict[str, Any]]) -> list[Any]:
        done = run("-c", PUBLISH, str(store), json.dumps(asked))
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return start


def command(store: Path, *options: str, repo: str = "org/news", module: bool = False) -> tuple[str, ...]:
    """The command that publishes; as a `module`, it draws the gold items itself."""
    start = ("-m", "conceptbench") if module else ("-c", COMMAND_LINE)
    return (*start, "publish", str(store), "--repo", repo, *options)


def header(card: str) -> dict[str, Any]:
    """The YAML of a card."""
    found: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return found


def contents(store: Path, pattern: str) -> dict[str, bytes]:
    """The files below a store, by path."""
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.glob(pattern)}


def test_what_is_published_is_the_store_and_reads_back(hub: Any, run: Run, store: Path, write_store: Any) -> None:
    done = run(*command(store, "--license", "cc-by-4.0", "--revision", "v1", module=True))
    assert done.returncode == 0, done.stderr
    repo = hub.repo("org/news")
    assert [commit.title for commit in repo.log()] == ["Publish a concept store", "initial commit"]
    assert repo.tags == {"v1": repo.head}
    assert f"{hub.endpoint}/datasets/org/news at commit {repo.head}, tag v1" in done.stdout
    assert "conceptbench.load_concepts('org/news', revision='v1')" in done.stdout

    files = repo.files()
    tables = contents(store, "[acot]*/*/*.parquet") | contents(store, "sentences.parquet")
    assert {path: files[path] for path in tables} == tables
    made = {".gitattributes", "README.md", "manifest.json", "eval.yaml", "gold/annotation.parquet"}
    assert set(files) == set(tables) | made
    manifest = json.loads(files["manifest.json"])
    kept = json.loads((store / "manifest.json").read_text())
    assert manifest["files"] == {
        path: hashlib.sha256(content).hexdigest() for path, content in files.items() if path.endswith(".parquet")
    }
    assert {**manifest, "files": None} == {**kept, "files": None}

    configs = ["concepts", "occurrences", "trees", "annotations", "sentences", "gold", "concepts-org--one", "trees-two"]
    read = json.loads(run("-c", READ, "org/news", ",".join(configs), token=None).stdout)
    rows = write_store(store.parent / "again", "label")
    assert read["concepts"] == read["default"] == read["rows"]["concepts"]["train"] == rows
    assert read["rows"]["concepts-org--one"]["train"] == rows[:2]
    assert read["rows"]["trees-two"]["train"] == [{"left": 0, "right": 1, "height": h, "size": 2} for h in (2.0, 3.0)]
    assert {name: len(read["rows"][name]["train"]) for name in configs[1:5]} == {
        "occurrences": 8,
        "trees": 4,
        "annotations": 4,
        "sentences": 1,
    }
    assert len(read["rows"]["gold"]["test"]) == 750

    card = header(read["card"])
    assert card["license"] == "cc-by-4.0"
    assert set(configs) < {config["config_name"] for config in card["configs"]}
    features = {
        info["config_name"]: datasets.Features._from_yaml_list(info["features"]) for info in card["dataset_info"]
    }
    assert features["concepts"] == features["concepts-two"] == datasets.Features.from_arrow_schema(CONCEPTS)
    for part in (
        "arXiv:2305.13386",
        "arXiv:2305.09863",
        "arXiv:2311.01732",
        "Known limits",
        "| org/one | 0, 3 | 2 | 2 |",
    ):
        assert part in read["card"]


def test_publishing_again_sends_nothing(hub: Any, run: Run, store: Path) -> None:
    assert run(*command(store)).returncode == 0
    head = hub.repo("org/news").head
    hub.exchanges.clear()
    done = run(*command(store, "--json"))
    shown = json.loads(done.stdout)
    assert (shown["commit"], shown["sent"]) == (head, 0)
    assert {change["state"] for change in shown["changes"]} == {"there"}
    assert [exchange for exchange in hub.exchanges if exchange.method not in {"GET", "HEAD"}] == []


def test_only_what_changed_is_sent_and_what_is_gone_is_deleted(
    hub: Any, run: Run, store: Path, write_store: Any
) -> None:
    assert run(*command(store)).returncode == 0
    repo = hub.repo("org/news")
    repo.put({"LICENSE": b"somebody's own", "concepts/two/L09.parquet": b"of an older store", "old/x.parquet": b"?"})
    for path in store.glob("*/two/L03.parquet"):
        path.unlink()
    (store / "README.md").write_text("---\nlicense: mit\n---\n")
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["files"] = {path: digest for path, digest in manifest["files"].items() if "two/L03" not in path}
    manifest["models"]["two"]["layers"] = [0]
    (store / "manifest.json").write_text(json.dumps(manifest))
    hub.exchanges.clear()
    assert run(*command(store, "--dry-run")).stdout.count("to delete") == 6
    shown = json.loads(run(*command(store, "--json")).stdout)
    states: dict[str, set[str]] = {}
    for change in shown["changes"]:
        states.setdefault(change["state"], set()).add(change["path"])
    assert states["changed"] == {"README.md", "manifest.json"}
    assert "new" not in states
    assert states["gone"] == {"concepts/two/L09.parquet"} | {
        f"{table}/two/L03.parquet" for table in ("annotations", "concepts", "occurrences", "trees")
    }
    assert hub.requests("PUT") == []
    files = repo.files()
    assert files["LICENSE"] == b"somebody's own"
    assert files["old/x.parquet"] == b"?"
    assert not [path for path in files if "two/L03" in path or "two/L09" in path]
    assert len(repo.log()) == 4
    # The licence that somebody wrote into the store's own card is kept.
    assert header(files["README.md"].decode())["license"] == "mit"


def test_a_killed_run_goes_on_without_sending_anything_twice(
    hub: Any, run: Run, hub_env: Callable[..., dict[str, str]], store: Path, tmp_path: Path
) -> None:
    hub.fail("PUT /lfs", after=4, times=99, hang=60)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command(store)],
            cwd=tmp_path,
            env=hub_env(hub.endpoint, hub.token),
            stdout=log,
            stderr=log,
        )
    deadline = time.monotonic() + 60
    while len(hub.requests("PUT /lfs")) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    hub.mend()
    stored = set(hub.repo("org/news").stored)
    assert len(stored) == 4
    assert len(hub.repo("org/news").log()) == 1, "nothing is visible before all is sent"
    hub.exchanges.clear()
    assert run(*command(store)).returncode == 0
    sent = [exchange.path.split("/")[5].partition("?")[0] for exchange in hub.requests("PUT /lfs")]
    assert len(sent) == len(set(sent))
    assert not stored & set(sent)
    tables = {hashlib.sha256(content).hexdigest() for content in contents(store, "[acots]*/**/L*.parquet").values()}
    assert tables <= stored | set(sent)
    assert len(hub.repo("org/news").log()) == 2


def test_a_connection_that_is_cut_in_a_file_is_tried_again(hub: Any, run: Run, store: Path) -> None:
    hub.fail("PUT /lfs", cut=True)
    done = run(*command(store))
    assert done.returncode == 0, done.stderr
    assert "Retrying in 1s" in done.stderr
    # The signature in an upload's address is for nobody to see.
    assert "?by=ada" not in done.stderr
    assert sum(exchange.status == 0 for exchange in hub.requests("PUT /lfs")) == 1


def test_a_stop_is_told_with_what_to_do(
    hub: Any, hub_env: Callable[..., dict[str, str]], store: Path, tmp_path: Path
) -> None:
    hub.fail("POST /api/datasets/org/news/commit", hang=60)
    process = subprocess.Popen(
        [sys.executable, *command(store)],
        cwd=tmp_path,
        env=hub_env(hub.endpoint, hub.token),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not hub.requests("validate-yaml") and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "give the same command again to go on" in told


def test_a_dry_run_needs_no_token_and_changes_nothing(hub: Any, run: Run, store: Path) -> None:
    done = run(*command(store, "--dry-run"), token=None)
    assert done.returncode == 0, done.stderr
    assert "concepts/two/L03.parquet" in done.stdout
    assert "Nothing was sent" in done.stdout
    assert "vectors" not in done.stdout
    assert hub.repos == {}
    assert {exchange.method for exchange in hub.exchanges} == {"GET"}
    assert run(*command(store)).returncode == 0
    again = run(*command(store, "--dry-run"), token=None)
    assert "21 files: 21 there already (0 bytes)" in again.stdout
    alone = run(*command(store, "--dry-run"), token=None, HF_ENDPOINT="http://127.0.0.1:9")
    assert alone.returncode == 0
    assert "Not compared with what is on the Hub" in alone.stderr


def test_a_tag_is_never_moved(hub: Any, publish_all: Any, store: Path) -> None:
    told = publish_all(
        store,
        ("org/news", {"revision": "v1"}),
        ("org/news", {"revision": "v1"}),
        ("org/news", {"revision": "v1", "licence": "mit"}),
        ("org/news", {"revision": "v2", "licence": "mit"}),
    )
    repo = hub.repo("org/news")
    second, first = (commit.oid for commit in repo.log()[:2])
    assert told[:2] == [["done", first]] * 2
    assert told[2][0] == "InputError"
    assert f"org/news has this tag already, at another state ({first[:8]}): give another tag" in told[2][1]
    assert told[3] == ["done", second]
    assert repo.tags == {"v1": first, "v2": second}


def test_a_private_dataset_is_private_and_a_public_one_is_not_made_so(hub: Any, publish_all: Any, store: Path) -> None:
    hub.add_repo("org/public")
    private = {"private": True}
    told = publish_all(store, ("org/hidden", private), ("org/hidden", private), ("org/public", private))
    assert [kind for kind, _ in told] == ["done", "done", "InputError"]
    assert hub.repo("org/hidden").private
    assert "org/public is there and is public" in told[2][1]
    assert len(hub.repo("org/public").log()) == 1


def test_a_repository_that_is_something_else_is_left_alone(hub: Any, publish_all: Any, store: Path) -> None:
    hub.add_repo("org/text", files={"data.txt": b"words", "README.md": b"mine"})
    hub.add_repo("org/other", files={"manifest.json": b'{"schema": "another/1"}'})
    told = publish_all(store, ("org/text", {}), ("org/other", {}))
    for (kind, message), repo in zip(told, ("org/text", "org/other"), strict=True):
        assert kind == "InputError"
        assert f"{repo} holds" in message
        assert "is not a concept store" in message
        assert len(hub.repo(repo).log()) == 2


def test_a_licence_that_the_hub_does_not_know_is_told(hub: Any, publish_all: Any, store: Path) -> None:
    [(kind, message)] = publish_all(store, ("org/news", {"licence": "my-own"}))
    assert kind == "InputError"
    assert message == 'org/news: the Hub refused this (it says: "license" must be one of the known ones)'
    assert len(hub.repo("org/news").log()) == 1


Fault = Callable[[Any, str], None]


def _refuse(pattern: str, status: int, **more: Any) -> Fault:
    return lambda hub, repo: hub.fail(pattern.replace("REPO", f"/api/datasets/{repo}"), status, **more)


_FAULTS: Mapping[str, tuple[Fault, str, str]] = {
    "e401": (
        _refuse("GET REPO$", 401, message="Invalid credentials in Authorization header"),
        "InputError",
        "the Hub does not accept the token (it says: Invalid credentials in Authorization header): log in with",
    ),
    "e403": (
        _refuse("POST REPO/commit", 403, message="You need write access"),
        "InputError",
        "the token may not do this (it says: You need write access): log in",
    ),
    "e404": (_refuse("POST REPO/preupload", 404), "InputError", "the Hub has no such repository"),
    "e409": (_refuse("POST REPO/commit", 409), "ConceptBenchError", "something is there or under way"),
    "e412": (_refuse("POST REPO/commit", 412), "ConceptBenchError", "somebody else changed it in the meantime"),
    "e429": (
        _refuse("POST REPO/commit", 429, headers={"Retry-After": "7"}),
        "ConceptBenchError",
        "too many requests from you (it says: ordered by the test): wait 7 seconds, and give the same command again",
    ),
    "e500": (_refuse("POST REPO/commit", 500), "ConceptBenchError", "the Hub failed with status 500"),
    "tag": (_refuse("POST REPO/tag", 503), "ConceptBenchError", "tag v1: the Hub failed with status 503"),
    "e507": (
        _refuse("PUT /lfs/dataset/org/e507", 507, message="no space"),
        "ConceptBenchError",
        "there is no room left for it on the Hub",
    ),
    "silent": (
        lambda hub, repo: hub.fail(f"POST /api/datasets/{repo}/commit", hang=3),
        "ConceptBenchError",
        "the Hub did not answer in time",
    ),
    "cut": (
        lambda hub, repo: hub.fail(f"POST /api/datasets/{repo}/commit", cut=True),
        "ConceptBenchError",
        "the Hub cannot be reached",
    ),
    "echo": (
        lambda hub, repo: hub.fail(f"POST /api/datasets/{repo}/commit", 403, message=f"bad token {hub.token}"),
        "InputError",
        "(it says: bad token ***)",
    ),
}


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, load_module: Callable[[Path], ModuleType], write_store: Any
) -> Iterator[dict[str, Any]]:
    """What a process says that publishes into a Hub with faults, twice: each fault stands for one request."""
    folder = tmp_path_factory.mktemp("faults")
    write_store(folder / "store", "label")
    hub_server = load_module(Path(__file__).parents[1] / "hub_server.py")
    with hub_server.HubServer(folder / "hub") as hub:
        for name, (fault, _, _) in _FAULTS.items():
            fault(hub, f"org/{name}")
        hub.add_repo("org/full").quota = 1000
        names = [*_FAULTS, "full"]
        options = {"timeout": 1.0, "revision": "v1"}
        asked = json.dumps([[f"org/{name}", options] for name in names])
        env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(folder / "home"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": hub.token,
        }
        outcomes = []
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", PUBLISH, str(folder / "store"), asked],
                capture_output=True,
                text=True,
                check=True,
                env=env,
                cwd=folder,
            )
            outcomes.append(dict(zip(names, map(json.loads, done.stdout.splitlines()), strict=True)))
            outcomes[-1]["said"] = done.stdout + done.stderr
            hub.repo("org/full").quota = None
        yield {"first": outcomes[0], "second": outcomes[1], "hub": hub}


@pytest.mark.parametrize("name", _FAULTS)
def test_every_failure_of_the_hub_says_what_to_do_and_a_second_run_ends_well(name: str, told: dict[str, Any]) -> None:
    _, kind, message = _FAULTS[name]
    raised, text = told["first"][name]
    assert raised == kind
    assert text.startswith(f"org/{name}: ")
    assert message in text
    assert told["second"][name][0] == "done"
    repo = told["hub"].repo(f"org/{name}")
    assert repo.tags == {"v1": repo.head}
    # A commit whose answer was lost is not made twice.
    assert len(repo.log()) == 2


def test_a_full_account_is_told(told: dict[str, Any]) -> None:
    raised, text = told["first"]["full"]
    assert raised == "ConceptBenchError"
    assert re.search("no room left for it on the Hub.*Private repository storage limit reached", text)
    assert told["second"]["full"][0] == "done"


def test_no_token_is_ever_said(told: dict[str, Any]) -> None:
    assert "hf_" not in told["first"]["said"] + told["second"]["said"]


def test_a_commit_of_somebody_else_in_between_stops_ours(
    hub: Any, hub_env: Callable[..., dict[str, str]], store: Path, tmp_path: Path
) -> None:
    repo = hub.add_repo("org/news")
    hub.fail("POST /api/validate-yaml", hang=1.0)
    process = subprocess.Popen(
        [sys.executable, *command(store)],
        cwd=tmp_path,
        env=hub_env(hub.endpoint, hub.token),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not hub.requests("info/lfs/verify") and time.monotonic() < deadline:
        time.sleep(0.02)
    repo.put({"README.md": b"in between"})
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "org/news: somebody else changed it in the meantime" in said
    assert repo.files()["README.md"] == b"in between"


@pytest.mark.parametrize(
    ("token", "env", "message"),
    [
        (
            None,
            {},
            "publishing to org/news needs a token of yours with the right to write: log in with `hf auth login`",
        ),
        ("hf_wrong", {}, "org/news: the Hub does not accept the token"),
        ("reader", {}, "org/news: the token may not do this"),
        ("token", {"HF_HUB_OFFLINE": "1"}, "org/news: HF_HUB_OFFLINE is set"),
        ("token", {"HF_ENDPOINT": "http://127.0.0.1:9"}, "org/news: the Hub cannot be reached"),
    ],
)
def test_a_token_that_may_not_and_a_hub_that_is_not_there(
    hub: Any, run: Run, store: Path, token: str | None, env: dict[str, str], message: str
) -> None:
    done = run(*command(store), token=getattr(hub, token, token) if token else None, **env)
    assert done.returncode == (1 if "reached" in message else 2)
    assert message in done.stderr
    assert hub.repos == {}


def _unfinished(store: Path) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps({**manifest, "complete": False}))


def _outside(store: Path) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["files"]["../secret.parquet"] = "0"
    (store / "manifest.json").write_text(json.dumps(manifest))


def _without_tree(store: Path) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    del manifest["files"]["trees/two/L03.parquet"]
    (store / "manifest.json").write_text(json.dumps(manifest))


def _swapped(store: Path) -> None:
    (store / "concepts/two/L00.parquet").replace(store / "concepts/two/L03.parquet")
    (store / "concepts/two/L00.parquet").write_bytes((store / "concepts/two/L03.parquet").read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_unfinished, "is not finished: run the same `conceptbench build` again"),
        (_outside, "'../secret.parquet' under `files` is not a table"),
        (_without_tree, "does not name trees/two/L03.parquet"),
        (_swapped, "L03.parquet: it is not the file that manifest.json names"),
        (lambda store: (store / "concepts/two/L03.parquet").unlink(), "L03.parquet does not exist"),
        (lambda store: (store / "trees/two/L03.parquet").write_bytes(b"PAR1"), "L03.parquet is damaged"),
        (lambda store: (store / "concepts/two/L07.parquet").write_bytes(b"x"), "L07.parquet is not in manifest.json"),
        (lambda store: (store / "manifest.json").unlink(), "is not a concept store"),
    ],
)
def test_a_store_that_is_not_whole_is_not_published(store: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(store)
    with pytest.raises(InputError, match=re.escape(message)):
        publish(store, "org/news", dry_run=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repo": "news"}, "--repo news: give ORG/NAME"),
        ({"repo": "org/a b"}, "--repo org/a b"),
        ({"repo": "org/news", "revision": "main"}, "--revision main: give a tag"),
        ({"repo": "org/news", "revision": "../v1"}, "--revision ../v1"),
        ({"repo": "org/news", "licence": "My Own"}, "--license My Own: give the licence's id"),
    ],
)
def test_wrong_options_are_named(store: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        publish(store, **options, dry_run=True)


def test_a_store_that_was_downloaded_is_published_as_it_is(store: Path, tmp_path: Path) -> None:
    files = collect(ConceptStore.open(store), "org/news", "mit", Silent())
    for file in files:
        path = tmp_path / "clone" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.source if isinstance(file.source, bytes) else file.source.read_bytes())
    again = collect(ConceptStore.open(tmp_path / "clone"), "org/news", None, Silent())
    assert [(file.path, file.sha256) for file in again] == [(file.path, file.sha256) for file in files]


def test_gold_items_are_those_of_the_annotation_task() -> None:
    lexicon, prompt = load_lexicon(), load_prompt("few-shot")
    rows = gold_items().to_pylist()
    drawn = draw_items(lexicon)
    assert [(row["item"], row["purity"]) for row in rows] == [(item.item, item.purity) for item in drawn]
    for row, item in zip(rows, drawn, strict=True):
        messages = prompt.messages([(word, 1) for word in item.words])
        assert [(one["role"], one["content"]) for one in row["input"]] == [(m.role, m.content) for m in messages]
        assert row["target"] == lexicon[item.concept].name


@pytest.mark.slow
def test_inspect_runs_the_benchmark_and_scores_as_we_do(
    hub: Any,
    run: Run,
    hub_env: Callable[..., dict[str, str]],
    store: Path,
    tmp_path: Path,
    served_smollm2: Any,
    long: bool,
) -> None:
    limit = 6 if long else 4
    pytest.importorskip("inspect_ai", reason="Inspect AI is not installed: python -m pip install inspect-ai")
    own = {row["item"]: row for row in gold_items().to_pylist()}
    concepts = limited(sorted({row["concept"] for row in own.values()}), limit, 0)
    places = [str(place) for place, row in enumerate(own.values(), 1) if row["concept"] in concepts]
    assert run(*command(store)).returncode == 0
    done = subprocess.run(
        [
            *(Path(sys.executable).parent / "inspect", "eval", "hf/org/news"),
            *("--model", f"openai-api/local/{served_smollm2.model}", "--sample-id", ",".join(places)),
            *("--temperature", "0", "--max-tokens", "32"),
            *("--log-dir", "log", "--log-format", "json", "--display", "plain"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={
            **hub_env(hub.endpoint),
            "LOCAL_BASE_URL": served_smollm2.base_url,
            "LOCAL_API_KEY": "none",
            "XDG_DATA_HOME": str(tmp_path / "data"),
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    log = json.loads(next((tmp_path / "log").glob("*.json")).read_text())
    assert log["status"] == "success"
    assert log["eval"]["dataset"]["samples"] == 750

    replies, scores = {}, {}
    for sample in log["samples"]:
        item = sample["metadata"]["item"]
        messages = [{"role": message["role"], "content": message["content"]} for message in sample["input"]]
        assert (messages, sample["target"]) == (own[item]["input"], own[item]["target"])
        replies[item] = sample["output"]["choices"][0]["message"]["content"]
        scores[item] = {"C": 1.0, "I": 0.0}[sample["scores"]["includes"]["value"]]
    assert len(replies) == len(places) == 3 * limit
    assert 0 < sum(scores.values()) < len(places), "a score that is the same for all would show nothing"

    labels = tmp_path / "replies.jsonl"
    labels.write_text("".join(json.dumps({"concept": item, "label": said}) + "\n" for item, said in replies.items()))
    result = evaluate("annotation", annotator=f"file:{labels}", out=tmp_path / "ours", limit=limit)
    assert open_run(tmp_path / "ours").item_scores.values["gold_includes"] == scores
    assert result.metrics["gold_includes"].value == log["results"]["scores"][0]["metrics"]["accuracy"]["value"]
