"""Prototypes in words: SASC's names for them, and the file in which a classifier keeps what is said of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from conceptbench.eval.methods.protolm.explaining import Neighbour, prototype_modules
from conceptbench.eval.methods.protolm.model import PrototypeClassifier
from conceptbench.eval.methods.protolm.tokens import Text
from conceptbench.eval.methods.sasc.candidates import Candidate, ranked, score_candidates
from conceptbench.eval.methods.sasc.ngrams import draw_ngrams, ngrams_of, respond
from conceptbench.eval.methods.sasc.parameters import CONSIDERED
from conceptbench.eval.methods.sasc.sasc import SASC, Subject
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import write_json
from conceptbench.runtime.llm import LLM
from conceptbench.runtime.progress import Progress

PROTOTYPES_FILE: Final = "prototypes.json"
SCHEMA: Final = "conceptbench.prototypes-said/1"


@dataclass(frozen=True)
class Said:
    """What is said of a prototype: its class, whether it decides anything, its name, and its nearest training texts."""

    label: str
    used: bool
    name: str | None
    score: float | None
    p: float | None
    nearest: Sequence[Neighbour]


def name_prototypes(
    classifier: PrototypeClassifier,
    numbers: Sequence[int],
    texts: Sequence[Text],
    helper: LLM,
    *,
    max_ngrams: int | None,
    seed: int,
    progress: Progress,
) -> dict[int, Candidate]:
    """Say in words what texts are similar to prototypes, by SASC over the n-grams of texts.

    Parameters
    ----------
    numbers : the prototypes to name.
    texts : the training texts; of pairs, both sentences give n-grams.

    Returns
    -------
    the best candidate of each prototype that got one.
    """
    flat = [part for text in texts for part in ((text,) if isinstance(text, str) else text)]
    ngrams = draw_ngrams(ngrams_of(flat), max_ngrams, seed)
    modules = prototype_modules(classifier)
    names = {f"P{number:03d}": number for number in numbers}
    responses = respond({name: (modules[number], ngrams) for name, number in names.items()}, progress=progress)
    subjects = [
        Subject(name, modules[number], responses[name].strongest(CONSIDERED))
        for name, number in names.items()
        if responses[name].spread > 0.0
    ]
    found = {}
    for subject, candidates in zip(subjects, SASC(seed=seed).explain(subjects, helper, progress), strict=True):
        generator = generator_of("permutations", seed, subject.run)
        best = next(iter(ranked(score_candidates(candidates, responses[subject.run].spread, generator))), None)
        if best is not None:
            found[names[subject.run]] = best
    return found


def write_said(folder: Path, said: Sequence[Said]) -> None:
    """Write what is said of a classifier's prototypes beside its weights."""
    rows = [{**asdict(one), "nearest": [own._asdict() for own in one.nearest]} for one in said]
    write_json(folder / PROTOTYPES_FILE, {"schema": SCHEMA, "prototypes": rows})


def read_said(folder: Path, prototypes: int) -> list[Said]:
    """Read what `write_said` wrote.

    Raises
    ------
    InputError
        if the file is missing, damaged, or of another number of prototypes.
    """
    path = folder / PROTOTYPES_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise InputError(f"{path}: not of this version ({SCHEMA})")
        found = [_said(row) for row in content["prototypes"]]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give the folder `classifier` of a prototypes run") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); run `eval prototypes` again") from error
    if len(found) != prototypes:
        raise InputError(f"{path}: is of {len(found)} prototypes, and the classifier has {prototypes}")
    return found


def _said(row: Mapping[str, object]) -> Said:
    nearest = [
        Neighbour(**{**own, "text": own["text"] if isinstance(own["text"], str) else tuple(own["text"])})
        for own in row["nearest"]  # type: ignore[attr-defined]  # a TypeError is told by the caller
    ]
    return Said(**{**row, "nearest": nearest})  # type: ignore[arg-type]
