"""Collecting the records of a prototypes run: train and test on splits, ask simulators, describe prototypes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from conceptbench.eval.methods.protolm.tokens import StoredTokens, TokenEncoder, joined
from conceptbench.eval.methods.sasc.helper import load_prompts
from conceptbench.eval.prototypes.cache import CheckpointCache
from conceptbench.eval.prototypes.contenders import Contender, contenders
from conceptbench.eval.prototypes.data import DividedTexts, feasible, read_data
from conceptbench.eval.prototypes.datasets import LabelledTexts
from conceptbench.eval.prototypes.forms import FORM_FILE, write_form
from conceptbench.eval.prototypes.keeping import describe, prototype_row, store, train_classifier
from conceptbench.eval.prototypes.measuring import EncodedTexts
from conceptbench.eval.prototypes.options import PrototypesOptions, public_model
from conceptbench.eval.prototypes.questions import load_wording
from conceptbench.eval.prototypes.ready import SETTINGS
from conceptbench.eval.prototypes.records import PrototypeRow, Rows, SimulatorAnswer, TextRow, table, text_item
from conceptbench.eval.prototypes.simulating import Simulators, draw_questions, open_simulators, simulate
from conceptbench.eval.prototypes.splits import Split
from conceptbench.eval.prototypes.trials import Trial, Trials, seconds_of
from conceptbench.eval.result import open_folder
from conceptbench.eval.task import Collected
from conceptbench.runtime.clients import Clients
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.llm import LLM
from conceptbench.runtime.progress import Progress

_CACHE = "parts"


def collect(options: PrototypesOptions, folder: Path, progress: Progress) -> Collected:
    """Train classifiers by cross-validation, test Proto-lm's reasons, and store a classifier in the folder.

    Raises
    ------
    InputError
        if the data, the encoder or a simulator's answers are wrong.
    """
    divided = read_data(options)
    entered = feasible(contenders(options.config(), options.training(), options.study), divided)
    open_folder(folder)
    with Journal(folder / "journal.sqlite") as journal, Clients(journal, **options.client_options()) as clients:
        simulators = open_simulators(options.simulators, clients)
        helper = None if options.helper is None else clients.open(options.helper)
        frozen = TokenEncoder(options.model, max_length=options.max_length, device=options.device)
        facts, digest = _facts(options, frozen), divided.texts.digest()
        cache = CheckpointCache(folder / _CACHE, hashlib.sha256(json.dumps([digest, facts]).encode()).hexdigest())
        data = _encoded(options, divided.texts, frozen, folder, progress)
        run = _Run(options, folder, divided, data, progress)
        trials = Trials(data, divided.splits, entered, cache, options.looked_at, options.seed).run(progress)
        simulations = run.simulations(trials, simulators)
        prototypes = run.prototypes(entered[0], cache, helper)
        usage = clients.usage()
    texts = list(_text_rows(divided, trials, simulations))
    return Collected(
        system=f"proto-lm:{public_model(options.model)}",
        dataset=divided.texts.name,
        dataset_sha256=digest,
        records=table(Rows(texts, prototypes)),
        facts={
            **facts,
            "classes": divided.class_counts,
            "prompts": _prompts(options),
            "decoding": {"temperature": 0},
            "training_seconds": seconds_of(trials),
            "tokens": {"in": usage.tokens_in, "out": usage.tokens_out},
            "cost_usd": usage.cost,
            "findings": [],
        },
        finish=partial(shutil.rmtree, folder / _CACHE, ignore_errors=True),
    )


@dataclass(frozen=True)
class _Run:
    """What is done beside the trials of a run."""

    options: PrototypesOptions
    folder: Path
    divided: DividedTexts
    data: EncodedTexts
    progress: Progress

    def simulations(self, trials: Sequence[Trial], simulators: Simulators) -> dict[str, tuple[SimulatorAnswer, ...]]:
        """Ask simulators, and write the form in which people can answer the same questions."""
        if not simulators:
            return {}
        texts = self.divided.texts
        questions = draw_questions(texts, trials, self.options.asked, self.options.seed)
        write_form(self.folder / FORM_FILE, questions, texts.classes)
        return simulate(questions, texts.classes, simulators, self.progress)

    def prototypes(self, contender: Contender, cache: CheckpointCache, helper: LLM | None) -> list[PrototypeRow]:
        """Train and store a classifier on all training texts, and describe its prototypes."""
        rows = self.divided.train_rows
        classifier = train_classifier(self.data, contender, rows, checkpoints=cache.folder, progress=self.progress)
        descriptions = describe(
            classifier,
            self.data,
            rows,
            helper=helper,
            max_ngrams=self.options.max_ngrams,
            seed=self.options.seed,
            progress=self.progress,
        )
        store(self.folder, classifier, descriptions)
        return [prototype_row(number, description) for number, description in enumerate(descriptions)]


def _facts(options: PrototypesOptions, encoder: TokenEncoder) -> dict[str, Any]:
    """Give what trials depend on beside the data; a change of this makes those of a stopped run useless."""
    return {
        "encoder_revision": encoder.revision,
        "max_length": encoder.max_length,
        "tuned": options.tuned,
        "config": asdict(options.config()),
        "training": asdict(options.training()),
        "folds": None if options.dataset in SETTINGS else options.folds,
        "repeats": options.repeats,
        "looked_at": options.looked_at,
        "seed": options.seed,
        "limit": options.limit,
    }


def _encoded(
    options: PrototypesOptions, texts: LabelledTexts, frozen: TokenEncoder, folder: Path, progress: Progress
) -> EncodedTexts:
    """Encode the texts once, or have each classifier tune an encoder of its own."""
    if not options.tuned:
        return EncodedTexts(texts, lambda: frozen, StoredTokens(frozen, texts.texts, folder=folder, progress=progress))
    return EncodedTexts(
        texts, lambda: TokenEncoder(options.model, max_length=options.max_length, device=options.device), None
    )


def _prompts(options: PrototypesOptions) -> dict[str, str]:
    """Give the digests of the prompts that were used."""
    return {
        **({"simulation": load_wording().sha256} if options.simulators else {}),
        **({"helper": load_prompts().sha256} if options.helper is not None else {}),
    }


def _text_rows(
    divided: DividedTexts, trials: Sequence[Trial], simulations: Mapping[str, tuple[SimulatorAnswer, ...]]
) -> Iterator[TextRow]:
    """Put together what was measured of each test text of each split."""
    for split in divided.splits:
        of_split = [trial for trial in trials if trial.split is split]
        yield from _rows_of_split(divided.texts, split, of_split, simulations)


def _rows_of_split(
    texts: LabelledTexts,
    split: Split,
    trials: Sequence[Trial],
    simulations: Mapping[str, tuple[SimulatorAnswer, ...]],
) -> Iterator[TextRow]:
    explained = next((trial for trial in trials if trial.explained), None)
    tokens = {} if explained is None else explained.tokens()
    for position, row in enumerate(split.test):
        item = text_item(int(row))
        yield TextRow(
            item=item,
            text=joined(texts.texts[row]),
            label=texts.classes[texts.labels[row]],
            repeat=split.repeat,
            fold=split.fold,
            answers=tuple(answer for trial in trials for answer in trial.answers(position, texts.classes)),
            swaps=tuple(swap for trial in trials for swap in trial.swaps(position)) or None,
            tokens=tokens.get(position),
            reason=None if explained is None else joined(texts.texts[explained.arrays["reason"][position]]),
            simulations=simulations.get(item) if split.repeat == 0 else None,
        )
