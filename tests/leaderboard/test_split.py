"""The private split: a commitment that binds, and tells nothing."""

import hashlib
import json
import stat
from pathlib import Path

import pytest

from conceptbench.leaderboard.split import draw_split, publish_split, read_splits
from conceptbench.runtime.errors import InputError


def test_a_seed_is_committed_to_and_published_afterwards(tmp_path: Path) -> None:
    root, secret = tmp_path / "board", tmp_path / "secret.json"
    root.mkdir()
    split = draw_split(root, secret)
    content = json.loads(secret.read_text())
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert split.commitment == hashlib.sha256(f"{content['seed']}:{content['salt']}".encode()).hexdigest()
    public = (root / "splits.json").read_text()
    assert content["salt"] not in public
    assert str(content["seed"]) not in public.replace(split.commitment, "")
    second = draw_split(root, tmp_path / "second.json")
    assert second.commitment != split.commitment
    assert [split.seed for split in read_splits(root)] == [None, None]
    assert publish_split(root, secret).seed == content["seed"]
    assert [split.seed for split in read_splits(root)] == [None, content["seed"]]


def test_a_seed_that_was_not_committed_to_is_refused(tmp_path: Path) -> None:
    root, secret = tmp_path / "board", tmp_path / "secret.json"
    root.mkdir()
    draw_split(root, secret)
    content = json.loads(secret.read_text())
    secret.write_text(json.dumps({**content, "seed": content["seed"] + 1}))
    with pytest.raises(InputError, match="never committed"):
        publish_split(root, secret)
    secret.write_text(json.dumps(content))
    publish_split(root, secret)
    splits = json.loads((root / "splits.json").read_text())
    splits["splits"][0]["seed"] += 1
    (root / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(InputError, match="is not the one that was committed to"):
        read_splits(root)


def test_secrets_are_kept_from_the_board_and_never_written_over(tmp_path: Path) -> None:
    root = tmp_path / "board"
    root.mkdir()
    with pytest.raises(InputError, match="is published"):
        draw_split(root, root / "secret.json")
    draw_split(root, tmp_path / "secret.json")
    with pytest.raises(InputError, match="is there already"):
        draw_split(root, tmp_path / "secret.json")
    (root / "splits.json").write_text('{"schema": "conceptbench.splits/1", "splits": [{"day": 1}]}')
    with pytest.raises(InputError, match="is not a list of splits"):
        read_splits(root)
