"""Checkpoints of a training: each epoch is stored, so that a run that was killed goes on from there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from conceptbench.eval.methods.protolm.model import Classifier
from conceptbench.eval.methods.protolm.saving import read_tensors, write_tensors
from conceptbench.eval.methods.protolm.settings import Training
from conceptbench.eval.methods.protolm.tokens import TokenSource
from conceptbench.eval.methods.protolm.trainer import Epoch, Trainer
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import remove_temporaries, write_json

CHECKPOINT_FILE: Final = "checkpoint.json"

_ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


class Checkpoints:
    """A folder with a training's last epoch: `checkpoint.json` names the file of weights that belongs to it.

    Parameters
    ----------
    folder : of this training alone.
    digest : tells this training from others, see `training_digest`.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self._folder, self._digest = folder, digest

    def save(self, trainer: Trainer) -> None:
        """Write the last epoch, and remove the one before."""
        file = f"epoch-{len(trainer.epochs):04d}.safetensors"
        tensors = {f"now.{name}": value for name, value in trainer.classifier.weights().items()}
        tensors |= {f"best.{name}": value for name, value in trainer.best_weights.items()}
        for name, value in trainer.parameters.items():
            tensors |= {f"adam.{key}.{name}": trainer.optimizer.state[value][key] for key in _ADAM_STATE}
        write_tensors(self._folder / file, tensors)
        write_json(
            self._folder / CHECKPOINT_FILE,
            {
                "run": self._digest,
                "weights": file,
                "best": trainer.best,
                "epochs": [epoch._asdict() for epoch in trainer.epochs],
            },
        )
        for old in self._folder.glob("epoch-*.safetensors"):
            if old.name != file:
                old.unlink(missing_ok=True)

    def load(self, trainer: Trainer) -> bool:
        """Set a training to its last epoch; tell whether there is one.

        Raises
        ------
        InputError
            if the files are damaged, or of another training.
        """
        remove_temporaries(self._folder)
        path = self._folder / CHECKPOINT_FILE
        if not path.exists():
            return False
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            stored_digest, file, best = content["run"], self._folder / content["weights"], int(content["best"])
            epochs = [Epoch(**epoch) for epoch in content["epochs"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a checkpoint ({error}); remove {self._folder} to begin anew") from error
        if stored_digest != self._digest:
            raise InputError(
                f"{path}: a checkpoint of another model, of other data or other options; give another folder, or "
                f"remove {self._folder} to begin anew"
            )
        tensors = read_tensors(file)
        trainer.classifier.load_weights(_below("now.", tensors), file)
        trainer.best_weights = _below("best.", tensors)
        for name, value in trainer.parameters.items():
            trainer.optimizer.state[value] = {
                key: tensors[f"adam.{key}.{name}"].to("cpu" if key == "step" else value.device) for key in _ADAM_STATE
            }
        trainer.epochs, trainer.best = epochs, best
        return True


def training_digest(classifier: Classifier[Any], source: TokenSource, labels: np.ndarray, training: Training) -> str:
    """Give a digest of a training's encoder, head, settings, labels and lengths of texts."""
    encoder, head = classifier.encoder, classifier.head
    facts = [
        encoder.revision, encoder.max_length, classifier.tuned, classifier.labels, head.kind, asdict(head.config),
        asdict(training),
    ]  # fmt: skip
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(labels.tobytes())
    digest.update(np.asarray(source.lengths, dtype=np.int64).tobytes())
    return digest.hexdigest()


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
