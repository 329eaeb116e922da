"""Trials: each contender is trained and tested on each split that it takes part in."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from conceptbench.eval.methods.protolm.model import PrototypeClassifier
from conceptbench.eval.prototypes.cache import Arrays, CheckpointCache
from conceptbench.eval.prototypes.contenders import ALIGNED, PROTOTYPES, Contender
from conceptbench.eval.prototypes.measuring import (
    SWAP_COLUMNS,
    TOKEN_COLUMNS,
    EncodedTexts,
    answers,
    faithfulness,
    fit,
)
from conceptbench.eval.prototypes.records import ClassifierAnswer, SwapOutcome, TokenScores
from conceptbench.eval.prototypes.splits import Split
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.progress import Progress
from conceptbench.runtime.threads import torch_workers


@dataclass(frozen=True, eq=False)
class Trial:
    """What was measured of a contender on a split.

    `arrays` are `seconds`, those of `measuring.answers` and, of Proto-lm in the first repeat, `measuring.faithfulness`.
    """

    split: Split
    contender: str
    arrays: Arrays

    @property
    def explained(self) -> bool:
        """Whether the reasons of the decisions were tested."""
        return "reason" in self.arrays

    def answers(self, position: int, classes: Sequence[str]) -> Iterator[ClassifierAnswer]:
        """Give the answers to a test text: the contender's, and that of Proto-lm after alignment."""
        for name, prefix in self._variants("labels"):
            label, probability = (self.arrays[f"{prefix}{column}"][position] for column in ("labels", "probabilities"))
            yield ClassifierAnswer(name, classes[label], float(probability))

    def swaps(self, position: int) -> Iterator[SwapOutcome]:
        """Give what changes for a test text when examples replace prototypes."""
        for name, prefix in self._variants("swap.change"):
            all_stay, top_stays, change = (self.arrays[f"{prefix}swap.{column}"][position] for column in SWAP_COLUMNS)
            yield SwapOutcome(name, bool(all_stay), bool(top_stays), float(change))

    def tokens(self) -> dict[int, TokenScores]:
        """Give what deleting tokens does, by the position of the test text."""
        return {
            int(position): TokenScores(**dict(zip(TOKEN_COLUMNS, map(float, values), strict=True)))
            for position, values in zip(self.arrays["looked_at"], self.arrays["tokens"], strict=True)
        }

    def _variants(self, column: str) -> Iterator[tuple[str, str]]:
        for name, prefix in ((self.contender, ""), (ALIGNED, "aligned.")):
            if f"{prefix}{column}" in self.arrays:
                yield name, prefix


@dataclass(frozen=True)
class Trials:
    """The trials of a run.

    Attributes
    ----------
    data : the texts.
    splits, contenders : a contender takes part in all splits, or in those of the first repeat.
    cache : has the trials of a run that was stopped.
    looked_at : texts whose tokens are deleted, over all splits.
    seed : of every draw.
    """

    data: EncodedTexts
    splits: Sequence[Split]
    contenders: Sequence[Contender]
    cache: CheckpointCache
    looked_at: int
    seed: int

    def run(self, progress: Progress) -> list[Trial]:
        """Train and test every contender on every split that it takes part in."""
        pairs = [
            (split, contender)
            for split in self.splits
            for contender in self.contenders
            if split.repeat == 0 or not contender.once
        ]
        trials = []
        with progress.stage("Training and testing classifiers", len(pairs)) as advance:
            for trial in self._each(pairs, progress):
                trials.append(trial)
                advance(1)
        return trials

    def _each(self, pairs: Sequence[tuple[Split, Contender]], progress: Progress) -> Iterator[Trial]:
        """Run trials in order; with a frozen encoder, as many at once as there are cores."""

        def trial(split: Split, contender: Contender) -> Trial:
            arrays = self.cache.get(f"{split.name}-{contender.name}", lambda: self._measure(split, contender, progress))
            return Trial(split, contender.name, arrays)

        if not self.data.frozen:
            yield from (trial(*pair) for pair in pairs)
            return
        with torch_workers() as workers:
            futures = [workers.submit(trial, *pair) for pair in pairs]
            try:
                yield from (future.result() for future in futures)
            finally:
                for future in futures:
                    future.cancel()

    def _measure(self, split: Split, contender: Contender, progress: Progress) -> Arrays:
        clock = time.perf_counter()
        training = replace(contender.training, seed=seed_of(self.seed, split))
        classifier = fit(self.data, replace(contender, training=training), split.train, progress=progress)
        seconds = time.perf_counter() - clock
        arrays = {"seconds": np.array(seconds), **answers(self.data, classifier, split.test)}
        if contender.name == PROTOTYPES and split.repeat == 0:
            assert isinstance(classifier, PrototypeClassifier)
            splits_of_repeat = len({candidate.fold for candidate in self.splits})
            in_each_split = -(-self.looked_at // splits_of_repeat)
            arrays |= faithfulness(
                self.data, classifier, split, looked_at=in_each_split, seed=self.seed, progress=progress
            )
        return arrays


def seed_of(seed: int, split: Split) -> int:
    """Give each split draws of its own, which its contenders share."""
    return int(generator_of("prototypes split", seed, split.name).integers(2**31))


def seconds_of(trials: Sequence[Trial]) -> dict[str, float]:
    """Give the seconds that the training of each contender took."""
    seconds: dict[str, float] = {}
    for trial in trials:
        seconds[trial.contender] = seconds.get(trial.contender, 0.0) + float(trial.arrays["seconds"])
    return {name: round(total, 3) for name, total in seconds.items()}
