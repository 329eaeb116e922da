"""The build: from a corpus to an annotated concept store, resumable at every stage."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from conceptbench.benchmark.prompts import load_prompt
from conceptbench.benchmark.schema import STORE_SCHEMA, TREES, layer_file, parse_layers, slug
from conceptbench.benchmark.store import ConceptStore, write_table
from conceptbench.builders.annotate import Annotator, open_annotator
from conceptbench.builders.clustering import MergeTree, kmeans, ward_tree
from conceptbench.builders.concepts import annotate_layer, write_concepts
from conceptbench.builders.corpus import Corpus, open_corpus, read_corpus
from conceptbench.builders.options import BuildOptions
from conceptbench.builders.vectors import align_tokens, write_vectors
from conceptbench.builders.workspace import check_folder, finish_store, opened, versions
from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.encoder import WordEncoder
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.files import write_json
from conceptbench.runtime.journal import Journal
from conceptbench.runtime.models import model_name
from conceptbench.runtime.options import read_options
from conceptbench.runtime.progress import Progress, Silent


def build(*, out: str | Path, progress: Progress | None = None, **options: Any) -> ConceptStore:
    """Make a concept store, or continue one that an earlier run of the same command left unfinished.

    Run it again with another model, other layers or another annotator over the same corpus, and
    they are added to the store.

    Parameters
    ----------
    out : the store's folder.
    progress : shows the progress of the build.
    options : `corpus` and the other fields of `builders.options.BuildOptions`; see `conceptbench build --help`.

    Raises
    ------
    InputError
        if an option or the corpus is wrong, or `out` holds something else.
    ConceptBenchError
        if the work fails, or some concepts could not be asked about; finished work is kept.

    Examples
    --------
    >>> import tempfile
    >>> text = "The cat sat on the mat .\\nThe dog sat on the rug .\\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "text.txt").write_text(text)
    ...     store = build(corpus=f"{folder}/text.txt", layers="1", k=2, min_count=1, out=f"{folder}/store")
    ...     store.concepts("minilm", 1).num_rows
    2
    """
    chosen = read_options(BuildOptions, options)
    folder = Path(out)
    existing = check_folder(folder)
    corpus = open_corpus(chosen.corpus, chosen.text_column)
    prompt = load_prompt(chosen.prompt).vary(unit=chosen.unit, contexts=chosen.contexts)
    progress = progress or Silent()
    with opened(folder, fresh=existing is None) as journal:
        manifest = existing or {}
        # After a run with other options the store may no longer be what its preset says; `build_preset` enters it anew.
        manifest.pop("preset", None)
        # Each annotator has a client of its own, whose usage is counted under its name.
        open_client = partial(open_llm, journal=journal, **chosen.client_options())
        failed = 0
        for model in dict.fromkeys(chosen.model):
            annotators = [
                open_annotator(system, prompt=prompt, open_client=open_client)
                for system in dict.fromkeys(chosen.annotator)
            ]
            work = _Build(folder, journal, progress, corpus, chosen, model, manifest)
            work.read_corpus()
            layers = work.start_model(chosen.layers)
            work.encode(layers)
            for layer in layers:
                work.cluster(layer)
            failed += work.annotate(layers, annotators)
            work.write_manifest()
        store = ConceptStore(folder, manifest)
        finish_store(store)
    if failed:
        raise ConceptBenchError(
            f"{failed} concepts could not be asked and have no label (see `reason` in the annotations); all else "
            "is done and kept. Run the same command again to ask them again."
        )
    return store


@dataclass
class _Build:
    """One run of `build` for one model: its options, and the manifest as it grows."""

    folder: Path
    journal: Journal
    progress: Progress
    corpus: Corpus
    options: BuildOptions
    model: str
    manifest: dict[str, Any]
    spent: dict[str, float] = field(default_factory=dict)

    @property
    def corpus_options(self) -> dict[str, Any]:
        names = ("max_sentences", "min_count", "max_count", "seed")
        return {name: getattr(self.options, name) for name in names}

    @property
    def model_options(self) -> dict[str, Any]:
        return {name: getattr(self.options, name) for name in ("pooling", "max_length", "clustering")}

    @property
    def name(self) -> str:
        return model_name(self.model)

    @property
    def entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = self.manifest["models"][self.name]
        return entry

    @property
    def vectors(self) -> Path:
        return self.folder / "vectors" / slug(self.name)

    @property
    def sentences_file(self) -> Path:
        return self.folder / "sentences.parquet"

    @cached_property
    def encoder(self) -> WordEncoder:
        with self.progress.stage(f"Loading {self.name}", 1):
            return WordEncoder(
                self.model,
                pooling=self.options.pooling,
                max_length=self.options.max_length,
                device=self.options.device,
            )

    def read_corpus(self) -> None:
        """Read the corpus, or check that the store was built from the same one."""
        requested = {
            "name": self.corpus.name,
            "source_sha256": self.corpus.digest(),
            "text_column": self.corpus.column,
            "text": self.options.text,
            **self.corpus_options,
        }
        if self.manifest:
            _same(self.folder, "corpus", {"text": "kept", **self.manifest["corpus"]}, requested)
            return
        # A model that cannot be loaded should be reported before a long corpus is read.
        _ = self.encoder
        with self._timed("corpus"):
            counts = read_corpus(
                self.corpus,
                self.sentences_file,
                self.folder / "vectors" / "tokens.parquet",
                **self.corpus_options,
                progress=self.progress,
            )
        self.manifest.update(
            {
                "schema": STORE_SCHEMA,
                "complete": False,
                "corpus": {**requested, **asdict(counts)},
                "models": {},
                "annotators": [],
                "versions": versions(),
                "seconds": {},
                "usage": {},
            }
        )
        self.write_manifest()

    def start_model(self, layers: str) -> list[int]:
        """Enter the model in the manifest, or check that it is the same; give the layers asked for."""
        if self.name not in self.manifest["models"]:
            return self._enter_model(layers)
        numbers = parse_layers(layers, self.entry["layers_available"])
        _same(self.folder, f"model {self.name}", self.entry, self.model_options)
        if self.entry["k"] == self.options.k:
            return numbers
        if not self.options.recut:
            raise InputError(
                f"{self.folder} was built with -k {self.entry['k']}, not {self.options.k}: give --recut to cut its "
                "trees again and replace its concepts and their annotations, or build into another folder"
            )
        if self.model_options["clustering"] != "ward":
            raise InputError("--recut needs merge trees, which k-means does not make: build into another folder")
        self._check_k(self.entry["kept"])
        for table in ("annotations", "concepts", "occurrences"):
            shutil.rmtree(self.folder / table / slug(self.name), ignore_errors=True)
        self.entry["k"] = self.options.k
        if len(self.manifest["models"]) == 1:
            self.manifest["annotators"] = []
        self.write_manifest()
        return numbers

    def encode(self, layers: Sequence[int]) -> None:
        """Compute the vectors of those layers that have neither vectors nor a tree."""
        missing = [layer for layer in layers if not self._path("occurrences", layer).exists()]
        if all((self.vectors / f"L{layer:02d}.npy").exists() for layer in missing):
            return
        if self.encoder.revision != self.entry["revision"]:
            raise InputError(
                f"--model {self.model}: its weights are not those that {self.folder} was built with: give the "
                "same model, or build into another folder"
            )
        with self._timed("vectors"):
            write_vectors(
                self.sentences_file,
                self.vectors / "tokens.parquet",
                self.encoder,
                missing,
                self.vectors,
                self.journal,
                self.progress,
            )
        del self.encoder

    def cluster(self, layer: int) -> None:
        """Cluster a layer and write its tree, concepts and occurrences."""
        if self._path("occurrences", layer).exists() and self._path("concepts", layer).exists():
            return
        store = ConceptStore(self.folder, self.manifest)
        vectors = store.vectors(self.name, layer)
        with self._timed("clustering"):
            if self.model_options["clustering"] == "kmeans":
                with self.progress.stage(f"Clustering layer {layer}", None):
                    labels = kmeans(vectors, self.options.k, self.corpus_options["seed"])
            else:
                tree = self._tree(store, layer)
                labels = tree.cut(self.options.k)
            tokens = pq.read_table(self.vectors / "tokens.parquet")
            write_concepts(self.folder, self.name, layer, tokens, labels, vectors)

    def annotate(self, layers: Sequence[int], annotators: Sequence[Annotator]) -> int:
        """Name the concepts of the layers; give the number of those that could not be asked."""
        store = ConceptStore(self.folder, self.manifest)
        failed = 0
        try:
            for annotator in annotators:
                self._check_annotator(annotator)
            first = [*self.manifest["annotators"], *map(_annotator_entry, annotators)][0]
            for layer in layers:
                for annotator in annotators:
                    with self._timed("annotation"):
                        primary = (first["annotator"], first["prompt"])
                        failed += annotate_layer(store, self.name, layer, annotator, primary, self.progress)
                    # Entered only after it has named something, so that an annotator that cannot work leaves no trace.
                    if _annotator_entry(annotator) not in self.manifest["annotators"]:
                        self.manifest["annotators"].append(_annotator_entry(annotator))
                        self.write_manifest()
        finally:
            for annotator in annotators:
                self._add_usage(annotator)
                annotator.close()
        return failed

    def _enter_model(self, layers: str) -> list[int]:
        numbers = parse_layers(layers, self.encoder.layers)
        with self._timed("vectors"):
            alignment = align_tokens(
                self.sentences_file,
                self.folder / "vectors" / "tokens.parquet",
                self.encoder,
                self.vectors / "tokens.parquet",
                self.progress,
            )
        self._check_k(alignment.kept)
        if alignment.cut or alignment.unseen:
            self.progress.note(
                f"Left out of {alignment.kept + alignment.cut + alignment.unseen:,} chosen words: {alignment.cut:,} "
                f"beyond the model's maximum length ({self.encoder.max_length} sub-words), {alignment.unseen:,} that "
                "its tokenizer drops"
            )
        self.manifest["models"][self.name] = {
            "revision": self.encoder.revision,
            "layers_available": self.encoder.layers,
            "width": self.encoder.width,
            "max_length_used": self.encoder.max_length,
            "adds_bos": self.encoder.adds_bos,
            **self.model_options,
            "k": self.options.k,
            **asdict(alignment),
        }
        self.write_manifest()
        return numbers

    def _check_annotator(self, annotator: Annotator) -> None:
        requested = _annotator_entry(annotator)
        for entry in self.manifest["annotators"]:
            if (entry["annotator"], entry["prompt"]) == (annotator.name, annotator.prompt) and entry != requested:
                raise InputError(
                    f"{self.folder} was annotated by {annotator.name} with another version of "
                    f"{annotator.prompt or 'its file'}: give the changed file another name to add its labels"
                )

    def _add_usage(self, annotator: Annotator) -> None:
        """Add to the manifest what the calls of this run took; answers from the journal cost nothing."""
        if annotator.usage is None:
            return
        total = self.manifest["usage"].setdefault(annotator.name, {})
        for name, value in asdict(annotator.usage).items():
            if value is not None:
                total[name] = round(total.get(name, 0) + value, 6)

    def _check_k(self, tokens: int) -> None:
        if not 1 <= self.options.k <= tokens:
            raise InputError(
                f"-k {self.options.k}: give a number of concepts from 1 to {tokens}, the number of chosen tokens (more "
                "text, a lower --min-count or a higher --max-count give more)"
            )

    def _tree(self, store: ConceptStore, layer: int) -> MergeTree:
        path = self._path("trees", layer)
        if path.exists():
            return MergeTree(store.linkage(self.name, layer))
        vectors = store.vectors(self.name, layer)
        with self.progress.stage(f"Clustering layer {layer}", max(len(vectors) - 1, 1)) as advance:
            done = 0

            def merged(count: int, _total: int) -> None:
                nonlocal done
                advance(count - done)
                done = count

            tree = ward_tree(vectors, device=self.options.device, progress=merged)
        left, right, height, size = tree.linkage.T
        columns = {"left": left.astype(int), "right": right.astype(int), "height": height, "size": size.astype(int)}
        write_table(path, TREES, columns)
        return tree

    def _path(self, table: str, layer: int) -> Path:
        return self.folder / table / slug(self.name) / layer_file(layer)

    def write_manifest(self) -> None:
        """Write the manifest as it is, with the seconds spent so far."""
        for stage, seconds in self.spent.items():
            self.manifest["seconds"][stage] = round(self.manifest["seconds"].get(stage, 0.0) + seconds, 3)
        self.spent.clear()
        write_json(self.folder / "manifest.json", self.manifest)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.spent[stage] = self.spent.get(stage, 0.0) + time.perf_counter() - started


def _annotator_entry(annotator: Annotator) -> dict[str, Any]:
    return {"annotator": annotator.name, "prompt": annotator.prompt, "sha256": annotator.digests()}


def _same(folder: Path, what: str, stored: dict[str, Any], requested: dict[str, Any]) -> None:
    for option, value in requested.items():
        if stored.get(option) != value:
            name = {"source_sha256": "text", "name": "file", "text": "--text"}.get(option, option.replace("_", "-"))
            raise InputError(
                f"{folder} is a store of another run: its {what} has {name} {stored.get(option)!r}, not {value!r}. "
                "Give the same options to go on with it, or build into another folder; nothing was changed"
            )
