"""Which modules a run explains: those of a file, or drawn ones, also inside models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conceptbench.benchmark.lexicon import load_lexicon
from conceptbench.benchmark.modules import (
    FAMILIES,
    INNER_FAMILIES,
    Encoder,
    Inside,
    KnownModule,
    draw_inner_modules,
    draw_modules,
    read_modules,
)
from conceptbench.benchmark.modules.voxels import read_responses
from conceptbench.builders.corpus import open_corpus, sentences
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.files import sha256
from conceptbench.runtime.models import MINILM
from conceptbench.runtime.progress import Progress


@dataclass(frozen=True)
class Choice:
    """The options that say which modules are explained; see `evaluate_explanation`."""

    file: Path | None
    families: Sequence[str]
    count: int
    seed: int
    model: str | None = None
    layer: int | None = None
    corpus: str | None = None
    text_column: str | None = None
    responses: Path | None = None

    def open(self, encoder: Encoder, progress: Progress) -> tuple[list[KnownModule], dict[str, Any]]:
        """Give the modules of the file, or of the families in their order; and where they are from, for provenance.

        Raises
        ------
        InputError
            if an option does not go with the others, or as `read_modules`, `draw_modules`, `draw_inner_modules`.
        """
        self._check()
        modules = self._modules(encoder, progress)
        encoders = sorted({module.encoder for module in modules if module.encoder is not None})
        return modules, {"inside": self._source(), "encoders": encoders}

    def _modules(self, encoder: Encoder, progress: Progress) -> list[KnownModule]:
        if self.file is not None:
            return [module for module in read_modules(self.file, encoder) if module.corpus is not None]
        inner = [family for family in self.families if family in INNER_FAMILIES]
        outer = [family for family in self.families if family in FAMILIES]
        found = draw_modules(load_lexicon(), outer, self.count, self.seed, encoder=encoder) if outer else []
        if inner:
            inside = Inside(
                model=self.model or MINILM,
                layer=self.layer,
                texts=self._texts(),
                encoder=encoder,
                recording=None if self.responses is None else read_responses(self.responses),
            )
            found += draw_inner_modules(load_lexicon(), inner, self.count, self.seed, inside, progress=progress)
        return sorted(found, key=lambda module: self.families.index(module.family))

    def _source(self) -> dict[str, Any] | None:
        """Tell what modules inside models are drawn from; None where there are none."""
        if self.file is not None or not set(self.families) & set(INNER_FAMILIES):
            return None
        corpus = None if self.corpus is None else open_corpus(self.corpus, self.text_column)
        return {
            "model": self.model or MINILM,
            "layer": self.layer if self.layer is not None else "half the depth",
            "corpus": "the lexicon" if corpus is None else corpus.name,
            "corpus_sha256": None if corpus is None else corpus.digest(),
            "responses": None if self.responses is None else self.responses.name,
            "responses_sha256": None if self.responses is None else sha256(self.responses),
        }

    def _check(self) -> None:
        """Refuse families that do not exist, and options that no family asked for would read."""
        every = (*FAMILIES, *INNER_FAMILIES)
        unknown = [family for family in self.families if family not in every]
        if unknown or not self.families:
            raise InputError(f"--families {','.join(self.families)}: give some of {', '.join(every)}")
        asked = set(self.families) if self.file is None else set()
        readers = {
            "--model": (self.model, ("neuron", "factor", "probe")),
            "--layer": (self.layer, ("neuron", "factor", "probe")),
            "--corpus": (self.corpus, tuple(INNER_FAMILIES)),
            "--responses": (self.responses, ("voxel",)),
        }
        for name, (value, families) in readers.items():
            if value is not None and not asked & set(families):
                raise InputError(f"{name} {value}: it is for --families {', '.join(families)}")
        if self.text_column is not None and self.corpus is None:
            raise InputError(f"--text-column {self.text_column}: it goes with --corpus")

    def _texts(self) -> list[str] | None:
        if self.corpus is None:
            return None
        return [" ".join(words) for words in sentences(open_corpus(self.corpus, self.text_column))]
