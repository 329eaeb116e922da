"""The settings of a board, which its keepers write: the datasets, the judges, and the runs of their own."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from conceptbench.eval.tasks import task_names
from conceptbench.leaderboard.documents import read_bytes
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.texts import shown

SETTINGS_FILE: Final = "board.toml"
SUBMISSIONS: Final = "submissions"
VERDICTS: Final = "verdicts"

_LARGEST = 1 << 20
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _task_name(text: str) -> str:
    names = task_names()
    if text not in names:
        raise ValueError(f"there is no task {shown(text)}; there are {', '.join(names)}")
    return text


class _Dataset(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    task: Annotated[str, AfterValidator(_task_name)]
    items: _Sha256


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    title: str = "ConceptBench"
    panel: list[str] = []
    rerun: list[str] = []
    dataset: list[_Dataset] = []


@dataclass(frozen=True)
class Board:
    """A board's folder, and its settings.

    Attributes
    ----------
    root : the folder of the board.
    submissions : the folder of its submissions.
    title : of its page.
    panel : the judges by whose ratings a second ranking is made; only results rated by exactly these judges are in it.
    rerun : the submissions that the keepers ran themselves.
    datasets : the name of each dataset that the board accepts beside those that the package draws itself, by task and
        digest of the items.
    """

    root: Path
    submissions: Path
    title: str = "ConceptBench"
    panel: frozenset[str] = frozenset()
    rerun: frozenset[str] = frozenset()
    datasets: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def verdicts(self) -> Path:
        """The folder that verdicts are written to."""
        return self.root / VERDICTS


def open_board(path: str | Path) -> Board:
    """Open a board: a folder with `submissions/` in it, or that folder itself.

    Raises
    ------
    InputError
        if there is none, or its `board.toml` is wrong.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder: give the folder of a board, with submissions/<system>/<task>/<date>/ in it"
        )
    if (folder / SUBMISSIONS).is_dir():
        root, submissions = folder, folder / SUBMISSIONS
    elif folder.resolve().name == SUBMISSIONS:
        root, submissions = folder.resolve().parent, folder
    else:
        raise InputError(
            f"{folder} has no folder {SUBMISSIONS}: give the folder of a board, with "
            f"{SUBMISSIONS}/<system>/<task>/<date>/ in it"
        )
    settings = _read(root / SETTINGS_FILE)
    return Board(
        root=root,
        submissions=submissions,
        title=settings.title,
        panel=frozenset(settings.panel),
        rerun=frozenset(settings.rerun),
        datasets={(dataset.task, dataset.items): dataset.name for dataset in settings.dataset},
    )


def not_taken(dataset: str) -> InputError:
    """Make the error that a board does not accept submissions of a dataset."""
    return InputError(
        f"its records are of another dataset than this board takes ({shown(dataset, 120)}); see board.toml"
    )


def dataset_entry(name: str, task: str, items: str) -> str:
    """Write the lines of `board.toml` with which a board accepts submissions of a dataset."""
    return f"[[dataset]]\nname = {json.dumps(name)}\ntask = {json.dumps(task)}\nitems = {json.dumps(items)}\n"


def _read(path: Path) -> _Settings:
    if not path.exists():
        return _Settings()
    try:
        return _Settings.model_validate(tomllib.loads(read_bytes(path, _LARGEST).decode("utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}, {where}: {first['msg'].removeprefix('Value error, ')}") from error
    except ValueError as error:
        raise InputError(f"{path}: is not TOML ({error})") from error
