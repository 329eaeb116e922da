"""A run of the prototypes task: train on splits, test the reasons, ask simulators, name prototypes, record, score."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from conceptbench.eval.methods.protolm.explaining import project, prune
from conceptbench.eval.methods.protolm.model import PrototypeClassifier, PrototypeConfig
from conceptbench.eval.methods.protolm.naming import Said, name_prototypes, write_said
from conceptbench.eval.methods.protolm.tokens import MAX_LENGTH, KeptTokens, Text, TokenEncoder
from conceptbench.eval.methods.protolm.training import Training, dev_split
from conceptbench.eval.methods.sasc.helper import load_prompts
from conceptbench.eval.prototypes.contenders import ALIGNED, PROTOTYPES, Contender, contenders
from conceptbench.eval.prototypes.datasets import SETTINGS, LabelledTexts, check_task, load_setting, load_texts
from conceptbench.eval.prototypes.measuring import (
    TOKEN_COLUMNS,
    Data,
    Parts,
    answers,
    faithfulness,
    fit,
    random_examples,
    silent_if,
)
from conceptbench.eval.prototypes.records import PROTOTYPE, TEXT, Record, read_records, records_table
from conceptbench.eval.prototypes.scoring import Scores, score
from conceptbench.eval.prototypes.simulation import (
    ANSWER_FILE,
    FORM_FILE,
    Answer,
    Question,
    draw_texts,
    load_wording,
    read_form,
    simulate,
    write_form,
)
from conceptbench.eval.prototypes.splits import Split, cross_validation, given_test
from conceptbench.eval.result import (
    ItemScores,
    Metric,
    Result,
    open_folder,
    package_version,
    write_records,
    write_result,
)
from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.llm import LLM, Usage, parse_system, public_name
from conceptbench.runtime.models import MINILM
from conceptbench.runtime.progress import Progress, Silent
from conceptbench.runtime.threads import torch_workers

TASK: Final = "prototypes"
TASK_VERSION: Final = "1.0"
FOLDS: Final = 5
REPEATS: Final = 2
MARGIN: Final = 0.015
ASKED: Final = 60
LOOKED_AT: Final = 200
CLASSIFIER_FOLDER: Final = "classifier"

_PARTS = "parts"


def evaluate_prototypes(
    *,
    dataset: str,
    out: str | Path,
    text_columns: Sequence[str] = (),
    label_column: str | None = None,
    model: str = MINILM,
    config: PrototypeConfig | None = None,
    training: Training | None = None,
    tuned: bool = False,
    folds: int = FOLDS,
    repeats: int = REPEATS,
    margin: float = MARGIN,
    study: str | None = None,
    helper: str | None = None,
    max_ngrams: int | None = None,
    simulators: Sequence[str] = (),
    asked: int = ASKED,
    looked_at: int = LOOKED_AT,
    limit: int | None = None,
    seed: int = 0,
    max_length: int = MAX_LENGTH,
    base_url: str | None = None,
    concurrency: int = 8,
    timeout: float = 60.0,
    price: tuple[float, float] | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> Result:
    """Score Proto-lm on a classification task: its accuracy beside a linear head's, and whether its reasons are true.

    What each metric means is in docs/prototypes.md. A run that was stopped goes on where it was when it is started
    again. The folder also gets `classifier`, trained on all training texts, with what is said of its prototypes.

    Parameters
    ----------
    dataset : a .csv or .parquet file, a Hub dataset `<id>` or `hf:<id>[:<config>[:<split>]]`, or a ready setting
        (`datasets.SETTINGS`), which has columns and a test split of its own.
    out : folder for `result.json`, `records.parquet`, `classifier` and, if simulators are asked for, the form for
        people, `simulation.csv`.
    text_columns, label_column : of the dataset; two text columns are pairs of sentences.
    model : the encoder: `minilm`, a folder or a Hub id.
    config, training : of Proto-lm; the linear head gets the same budget.
    tuned : whether the encoder is trained too, for every classifier anew.
    folds, repeats : of the cross-validation; of a ready setting, `repeats` alone counts.
    margin : of the test of non-inferiority to the linear head, a fraction of accuracy.
    study : a name in `contenders.STUDIES`, to train variants too.
    helper : the LLM that names prototypes by SASC, from at most `max_ngrams` n-grams; none are named without it.
    simulators : who predicts the classifier's answers: language models, or `file:<filled-in simulation.csv>`.
    asked : texts that each simulator is asked about.
    looked_at : texts whose tokens are deleted.
    limit : texts, drawn by the seed in the classes' shares; all by default.
    seed : of every draw.
    max_length : tokens read of a text at most.
    base_url, concurrency, timeout, price : of `openai:` systems, as in `open_llm`.
    device : torch's, by default a GPU if there is one.

    Raises
    ------
    InputError
        if an option, the data or a simulator's answers are wrong.
    """
    config, training = config or PrototypeConfig(), replace(training or Training(), seed=seed)
    _check_options(config, training, margin=margin, asked=asked, looked_at=looked_at, limit=limit)
    entered = contenders(config, training, study)
    progress = progress or Silent()
    texts, splits = _open(dataset, text_columns, label_column, folds, repeats, limit, seed)
    entered = _feasible(entered, texts, splits)
    folder = open_folder(out)
    started = datetime.datetime.now(datetime.UTC)
    clock = time.perf_counter()
    frozen = TokenEncoder(model, max_length=max_length, device=device)
    source = None if tuned else KeptTokens(frozen, texts.texts, folder=folder, progress=progress)

    def encoder() -> TokenEncoder:
        return TokenEncoder(model, max_length=max_length, device=device) if tuned else frozen

    facts = {
        "encoder_revision": frozen.revision,
        "max_length": frozen.max_length,
        "tuned": tuned,
        "config": asdict(config),
        "training": asdict(training),
        "folds": None if dataset in SETTINGS else folds,
        "repeats": repeats,
        "looked_at": looked_at,
        "seed": seed,
        "limit": limit,
    }
    digest = texts.digest()
    parts = Parts(folder / _PARTS, hashlib.sha256(json.dumps([digest, facts]).encode()).hexdigest())
    run = _Run(Data(texts, encoder, source), splits, entered, parts, looked_at, seed, progress)
    records = run.measure()
    with _clients(folder, base_url=base_url, concurrency=concurrency, timeout=timeout, price=price) as clients:
        run.simulate(records, simulators, asked, folder, clients)
        records += run.keep(folder / CLASSIFIER_FOLDER, helper, max_ngrams, clients)
        usage = clients.usage()
    table = records_table(records)
    scores = score(table.to_pylist(), margin=margin, seed=seed)
    result = Result(
        task=TASK,
        task_version=TASK_VERSION,
        system=f"proto-lm:{public_name(f'local:{model}').partition(':')[2]}",
        metrics=scores.metrics,
        provenance={
            "conceptbench": package_version(),
            "dataset": texts.name,
            "dataset_sha256": digest,
            **facts,
            "classes": dict(zip(texts.classes, np.bincount(texts.labels).tolist(), strict=True)),
            "study": study,
            "margin": margin,
            "helper": None if helper is None else public_name(helper),
            "max_ngrams": max_ngrams,
            "simulators": [_public(name) for name in simulators],
            "asked": asked,
            "prompts": {
                **({"simulation": load_wording().sha256} if simulators else {}),
                **({"helper": load_prompts().sha256} if helper is not None else {}),
            },
            "decoding": {"temperature": 0},
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "training_seconds": {name: round(taken, 3) for name, taken in run.seconds.items()},
            "tokens": {"in": usage.tokens_in, "out": usage.tokens_out},
            "cost_usd": usage.cost,
            "findings": scores.findings,
            "undefined": scores.undefined,
        },
        records_sha256=write_records(folder, table),
    )
    write_result(folder, result)
    shutil.rmtree(folder / _PARTS, ignore_errors=True)
    return result


def rescore(folder: Path, result: Result) -> Scores:
    """Compute a run's scores again from its records."""
    return score(read_records(folder), margin=result.provenance["margin"], seed=result.provenance["seed"])


def recompute(folder: Path, result: Result, progress: Progress | None = None) -> Mapping[str, Metric]:
    """Compute a run's metrics again from its records alone."""
    return rescore(folder, result).metrics


def item_scores(folder: Path, result: Result, progress: Progress | None = None) -> ItemScores:
    """Give the values of single texts, means over repeats, computed from the records."""
    values = rescore(folder, result).values
    return ItemScores(values=values, groups={item: item for own in values.values() for item in own})


@dataclass
class _Run:
    """A run under way."""

    data: Data
    splits: Sequence[Split]
    contenders: Sequence[Contender]
    parts: Parts
    looked_at: int
    seed: int
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    _first: dict[int, Mapping[str, np.ndarray]] = field(default_factory=dict)

    def measure(self) -> list[Record]:
        """Train every contender on every split that it takes part in, and give the records of texts."""
        wanted = [(split, own) for split in self.splits for own in self.contenders if split.repeat == 0 or not own.once]
        rows: dict[tuple[int, int], Record] = {}
        for split in self.splits:
            for row in split.test:
                rows[split.repeat, int(row)] = self._blank(int(row), split)
        with self.progress.stage("Training and testing classifiers", len(wanted)) as advance:
            for (split, contender), found in zip(wanted, self._parts(wanted), strict=True):
                self._put(rows, split, contender.name, found)
                taken = self.seconds.get(contender.name, 0.0) + float(found["seconds"])
                self.seconds[contender.name] = taken
                advance(1)
        return list(rows.values())

    def simulate(
        self, records: Sequence[Record], simulators: Sequence[str], asked: int, folder: Path, clients: _Clients
    ) -> None:
        """Ask simulators what Proto-lm answers to some texts of the first repeat, and put that into the records."""
        if not simulators:
            return
        classes = self.data.texts.classes
        first = [record for record in records if record["repeat"] == 0]
        predicted = np.array([classes.index(record["answers"][0]["label"]) for record in first])
        drawn = draw_texts(predicted, asked, generator_of("prototypes simulation", self.seed))
        questions = [question for row in drawn for question in self._questions(first[row])]
        write_form(folder / FORM_FILE, questions, classes)
        of_item = {first[row]["item"]: first[row] for row in drawn}
        for simulator in simulators:
            for question, answer in zip(
                questions, _answers(simulator, questions, classes, clients, self.progress), strict=True
            ):
                found = of_item[question.item].setdefault("simulations", [])
                found.append(
                    {
                        "simulator": _public(simulator),
                        "condition": question.condition,
                        "label": answer.label,
                        "reply": answer.reply,
                    }
                )

    def keep(self, folder: Path, helper: str | None, max_ngrams: int | None, clients: _Clients) -> list[Record]:
        """Train Proto-lm on all training texts, keep it with what is said of its prototypes, and give their records."""
        texts = self.data.texts
        rows = self.splits[0].train if self._given_test else np.arange(len(texts))
        classifier = fit(
            self.data,
            self.contenders[0],
            rows,
            checkpoints=self.parts.folder / CLASSIFIER_FOLDER,
            progress=silent_if(self.progress, frozen=self.data.source is not None),
        )
        assert isinstance(classifier, PrototypeClassifier)
        source, labels = self.data.read(classifier, rows), texts.labels[rows]
        own = [texts.texts[row] for row in rows]
        neighbours = project(classifier, source, own, labels)
        used = set(prune(classifier, source, labels, refit=False).kept.tolist())
        names = (
            name_prototypes(
                classifier,
                sorted(used),
                own,
                clients.open(helper),
                max_ngrams=max_ngrams,
                seed=self.seed,
                progress=self.progress,
            )
            if helper is not None
            else {}
        )
        said = []
        for number, owner in enumerate(classifier.head.owner.tolist()):
            best = names.get(number)
            said.append(
                Said(
                    label=texts.classes[owner],
                    used=number in used,
                    name=None if best is None else best.text,
                    score=None if best is None else best.score,
                    p=None if best is None else best.p,
                    nearest=neighbours[number],
                )
            )
        classifier.save_pretrained(folder)
        write_said(folder, said)
        return [
            {
                "role": PROTOTYPE,
                "item": f"P{number:03d}",
                "label": one.label,
                "used": one.used,
                "name": one.name,
                "score": one.score,
                "p": one.p,
                "nearest": [_flat(neighbour.text) for neighbour in one.nearest],
            }
            for number, one in enumerate(said)
        ]

    def _parts(self, wanted: Sequence[tuple[Split, Contender]]) -> Iterator[Mapping[str, np.ndarray]]:
        """Measure each contender on its split, in order; with a frozen encoder, as many at once as there are cores."""

        def part(split: Split, contender: Contender) -> Mapping[str, np.ndarray]:
            return self.parts.get(f"{split.name}-{contender.name}", lambda: self._measure(split, contender))

        if self.data.source is None:
            yield from (part(*own) for own in wanted)
            return
        with torch_workers() as workers:
            futures = [workers.submit(part, *own) for own in wanted]
            try:
                yield from (future.result() for future in futures)
            finally:
                for future in futures:
                    future.cancel()

    @property
    def _given_test(self) -> bool:
        """Whether the test texts are the dataset's own."""
        return max(split.fold for split in self.splits) == 0

    def _measure(self, split: Split, contender: Contender) -> Mapping[str, np.ndarray]:
        clock = time.perf_counter()
        own = replace(contender, training=replace(contender.training, seed=_seed_of(self.seed, split)))
        inner = silent_if(self.progress, frozen=self.data.source is not None)
        classifier = fit(self.data, own, split.train, progress=inner)
        taken = time.perf_counter() - clock
        found = {"seconds": np.array(taken), **answers(self.data, classifier, split.test)}
        if contender.name == PROTOTYPES and split.repeat == 0:
            assert isinstance(classifier, PrototypeClassifier)
            count = -(-self.looked_at // sum(other.repeat == 0 for other in self.splits))
            found |= faithfulness(self.data, classifier, split, looked_at=count, seed=self.seed, progress=inner)
        return found

    def _blank(self, row: int, split: Split) -> Record:
        texts = self.data.texts
        return {
            "role": TEXT,
            "item": f"T{row:06d}",
            "text": _flat(texts.texts[row]),
            "label": texts.classes[texts.labels[row]],
            "repeat": split.repeat,
            "fold": split.fold,
            "answers": [],
        }

    def _put(
        self,
        rows: Mapping[tuple[int, int], Record],
        split: Split,
        contender: str,
        found: Mapping[str, np.ndarray],
    ) -> None:
        """Put what was measured on a split into the records of its test texts."""
        texts = self.data.texts
        own = [rows[split.repeat, int(row)] for row in split.test]
        for name, prefix in ((contender, ""), (ALIGNED, "aligned.")):
            if f"{prefix}labels" not in found:
                continue
            for record, label, probability in zip(
                own, found[f"{prefix}labels"], found[f"{prefix}probabilities"], strict=True
            ):
                record["answers"].append(
                    {"classifier": name, "label": texts.classes[label], "probability": float(probability)}
                )
            if f"{prefix}swap.change" not in found:
                continue
            columns = (found[f"{prefix}swap.{column}"] for column in ("all_stay", "top_stays", "change"))
            for record, all_stay, top_stays, change in zip(own, *columns, strict=True):
                swap = {
                    "classifier": name,
                    "all_stay": bool(all_stay),
                    "top_stays": bool(top_stays),
                    "change": float(change),
                }
                record.setdefault("swaps", []).append(swap)
        if "reason" not in found:
            return
        self._first[split.fold] = found
        for record, row in zip(own, found["reason"], strict=True):
            record["reason"] = _flat(texts.texts[row])
        for place, values in zip(found["looked_at"], found["tokens"], strict=True):
            own[place]["tokens"] = dict(zip(TOKEN_COLUMNS, map(float, values), strict=True))

    def _questions(self, record: Record) -> Iterator[Question]:
        texts, split = self.data.texts, self.splits[record["fold"]]
        found = self._first[record["fold"]]
        labels = [int(label) for label in found["typical_labels"]]
        examples = random_examples(self.data, split, labels, self.seed)
        for condition, rows in (("input", ()), ("examples", examples), ("prototypes", found["typical"])):
            shown = [(texts.texts[row], texts.classes[label]) for row, label in zip(rows, labels, strict=False)]
            yield Question(record["item"], condition, texts.texts[int(record["item"][1:])], shown)


class _Clients:
    """The language models of a run, opened when they are asked; a client each."""

    def __init__(self, journal: Journal, options: Mapping[str, Any]) -> None:
        self._journal, self._options = journal, options
        self._open: dict[str, LLM] = {}

    def open(self, system: str) -> LLM:
        if system not in self._open:
            local = {"base_url", "concurrency", "timeout"} if parse_system(system)[0] == "local" else set()
            options = {name: value for name, value in self._options.items() if name not in local}
            self._open[system] = open_llm(system, journal=self._journal, **options)
        return self._open[system]

    def usage(self) -> Usage:
        """Give what all clients used together."""
        total = Usage()
        for client in self._open.values():
            total.tokens_in += client.usage.tokens_in
            total.tokens_out += client.usage.tokens_out
            if client.usage.cost is not None:
                total.cost = (total.cost or 0.0) + client.usage.cost
        return total

    def close(self) -> None:
        for client in self._open.values():
            client.close()


@contextmanager
def _clients(folder: Path, **options: Any) -> Iterator[_Clients]:
    with Journal(folder / "journal.sqlite") as journal:
        clients = _Clients(journal, options)
        try:
            yield clients
        finally:
            clients.close()


def _answers(
    simulator: str, questions: Sequence[Question], classes: Sequence[str], clients: _Clients, progress: Progress
) -> list[Answer]:
    kind, name = parse_system(simulator)
    if kind == ANSWER_FILE:
        return read_form(Path(name), questions, classes)
    return simulate(questions, classes, clients.open(simulator), progress)


def _open(
    dataset: str,
    text_columns: Sequence[str],
    label_column: str | None,
    folds: int,
    repeats: int,
    limit: int | None,
    seed: int,
) -> tuple[LabelledTexts, list[Split]]:
    """Read the texts, and divide them."""
    if dataset in SETTINGS:
        if text_columns or label_column is not None:
            raise InputError(f"--dataset {dataset}: a ready setting knows its columns; leave the column options out")
        parts = [_limited(part, limit, seed) for part in load_setting(dataset)]
        texts = LabelledTexts(
            dataset,
            [text for part in parts for text in part.texts],
            np.concatenate([part.labels for part in parts]),
            parts[0].classes,
        )
        return texts, given_test(len(parts[0]), len(parts[1]), repeats)
    if not text_columns or label_column is None:
        raise InputError(f"--dataset {dataset}: say which columns hold text and class: --text-column, --label-column")
    texts = _limited(load_texts(dataset, text_columns, label_column), limit, seed)
    check_task(texts, 0)
    return texts, cross_validation(texts.labels, folds, repeats, seed)


def _limited(texts: LabelledTexts, limit: int | None, seed: int) -> LabelledTexts:
    """Draw texts, each class in its share; at least one of each."""
    if limit is None or limit >= len(texts):
        return texts
    generator = generator_of("limit", seed)
    kept = []
    for label in np.unique(texts.labels):
        rows = generator.permutation(np.flatnonzero(texts.labels == label))
        kept.append(rows[: max(round(limit * len(rows) / len(texts)), 1)])
    return texts.take(np.sort(np.concatenate(kept)))


def _feasible(entered: Sequence[Contender], texts: LabelledTexts, splits: Sequence[Split]) -> list[Contender]:
    """Leave out a study's variants with more prototypes than a class has texts to fit.

    Raises
    ------
    InputError
        if that is so of Proto-lm itself.
    """
    fewest = len(texts)
    for split in splits:
        labels = texts.labels[split.train]
        fitted, _ = dev_split(labels, entered[0].training.dev_share, _seed_of(entered[0].training.seed, split))
        counts = np.bincount(labels[fitted], minlength=len(texts.classes))
        wanted = getattr(entered[0].config, "prototypes", 1)
        if counts.min() < wanted:
            name = texts.classes[int(counts.argmin())]
            raise InputError(
                f"{texts.name}: class {name!r} has {counts.min()} texts to fit on a split (without test and dev part) "
                f"and is to get {wanted} prototypes; give fewer --prototypes, or leave the class out"
            )
        fewest = min(fewest, int(counts.min()))
    return [own for own in entered if getattr(own.config, "prototypes", 1) <= fewest]


def _check_options(
    config: PrototypeConfig, training: Training, *, margin: float, asked: int, looked_at: int, limit: int | None
) -> None:
    config.check()
    training.check()
    if not 0.0 < margin < 1.0:
        raise InputError(f"--margin {margin:g}: give a fraction of accuracy above 0 and below 1, such as 0.015")
    for name, value in (("asked", asked), ("looked-at", looked_at), ("limit", limit)):
        if value is not None and value < 1:
            raise InputError(f"--{name} {value}: give 1 or more")


def _seed_of(seed: int, split: Split) -> int:
    """Give each split draws of its own; contenders of a split share them."""
    return int(generator_of("prototypes split", seed, split.name).integers(2**31))


def _flat(text: Text) -> str:
    return text if isinstance(text, str) else " / ".join(text)


def _public(simulator: str) -> str:
    kind, name = parse_system(simulator)
    return f"{kind}:{Path(name).name}" if kind == ANSWER_FILE else public_name(simulator)
