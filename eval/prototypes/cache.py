"""What a run measured before it was stopped, kept in its folder until the result is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import whole

Arrays = Mapping[str, np.ndarray]


class CheckpointCache:
    """A file of arrays for each classifier and split, of one run alone.

    Parameters
    ----------
    folder : gets a folder of the run.
    digest : of all that the arrays depend on: data, encoder and options.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder / digest[:16]

    def get(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Read the arrays of this name, or make and store them.

        Raises
        ------
        InputError
            if the file is damaged.
        """
        path = self.folder / f"{name}.npz"
        if path.is_file():
            try:
                with np.load(path, allow_pickle=False) as stored:
                    return {key: stored[key] for key in stored.files}
            except (OSError, ValueError) as error:
                raise InputError(f"{path} cannot be read ({error}): remove it, and give the command again") from error
        arrays = make()
        with whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        return arrays
