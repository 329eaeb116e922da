"""The n-grams of a corpus, and how strongly modules respond to them."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from conceptbench.benchmark.modules import NoisyModule, TextModule, checked, is_constant
from conceptbench.benchmark.modules.responses import tokens_of
from conceptbench.runtime.draws import generator_of
from conceptbench.runtime.files import whole
from conceptbench.runtime.progress import Progress, Silent

LONGEST: Final = 3

_CHUNK = 8192
_FIXED = ("the colour of a river", "7 trains", "Why not?", "unhappily")


def ngrams_of(texts: Iterable[str], longest: int = LONGEST) -> list[str]:
    """List the distinct n-grams of texts, of one to `longest` tokens joined by a space, in order of appearance.

    Tokens are words (with inner apostrophes and hyphens) and single punctuation marks; an n-gram does not cross from
    one text to the next.

    Examples
    --------
    >>> ngrams_of(["The cat's back!"], longest=2)
    ['The', "The cat's", "cat's", "cat's back", 'back', 'back !', '!']
    """
    ngrams: dict[str, None] = {}
    for text in texts:
        tokens = tokens_of(text)
        for start in range(len(tokens)):
            for length in range(1, min(longest, len(tokens) - start) + 1):
                ngrams[" ".join(tokens[start : start + length])] = None
    return list(ngrams)


def draw_ngrams(ngrams: Sequence[str], most: int | None, seed: int) -> list[str]:
    """Draw at most `most` n-grams by the seed, in their order; all where it is None.

    Examples
    --------
    >>> draw_ngrams(["a", "b", "c"], most=None, seed=0)
    ['a', 'b', 'c']
    """
    if most is None or len(ngrams) <= most:
        return list(ngrams)
    indices = generator_of("n-grams", seed, len(ngrams)).choice(len(ngrams), size=most, replace=False)
    return [ngrams[index] for index in np.sort(indices)]


@dataclass(frozen=True)
class Responses:
    """What one module answers to its n-grams: `values` is float64 of shape (len(ngrams),)."""

    ngrams: Sequence[str]
    values: np.ndarray

    @property
    def spread(self) -> float:
        """The standard deviation over the n-grams: the unit of scores; 0 where all responses are the same."""
        return 0.0 if is_constant(self.values) else float(self.values.std())

    def strongest(self, count: int, allowed: Container[str] | None = None) -> list[str]:
        """Give the allowed n-grams with the highest responses, best first; of equal ones the earlier."""
        by_response = (self.ngrams[index] for index in np.argsort(-self.values, kind="stable"))
        return list(islice((ngram for ngram in by_response if allowed is None or ngram in allowed), count))

    def with_noise(self, level: float, generator: np.random.Generator) -> Responses:
        """Add Gaussian noise of `level` times the standard deviation of the 100 strongest responses."""
        strongest = np.sort(self.values)[-100:]
        noise = generator.normal(scale=level * strongest.std(), size=len(self.values))
        return Responses(self.ngrams, self.values + noise)


def respond(
    modules: Mapping[str, tuple[TextModule, Sequence[str]]],
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Responses]:
    """Compute every module's responses to its own n-grams.

    Each distinct n-gram is embedded once for all modules of an encoder, in chunks, so that memory does not grow with
    the corpus; a chunk that was computed before is read from `cache`.

    Parameters
    ----------
    modules : by id, the module and its n-grams.
    cache : a folder that responses are kept in, so that a run that was stopped goes on.
    progress : shows how many n-grams are done.

    Returns
    -------
    the responses of each module, by its id.

    Raises
    ------
    InputError
        if a module fails, or gives anything else than a finite number to each n-gram.
    """
    progress = progress or Silent()
    responses: dict[str, Responses] = {}
    for names in _sharing_an_encoder({name: module for name, (module, _) in modules.items()}):
        responses |= _respond_together({name: modules[name] for name in names}, cache, progress)
    return {name: responses[name] for name in modules}


def _respond_together(
    modules: Mapping[str, tuple[TextModule, Sequence[str]]], cache: Path | None, progress: Progress
) -> dict[str, Responses]:
    """Compute the responses of modules that are functions of one encoder's vectors, or of a single other module."""
    union = list(dict.fromkeys(ngram for _, ngrams in modules.values() for ngram in ngrams))
    index_of = {ngram: index for index, ngram in enumerate(union)}
    indices = [np.array([index_of[ngram] for ngram in ngrams], dtype=np.int64) for _, ngrams in modules.values()]
    orders = [np.argsort(module_indices) for module_indices in indices]
    values = [np.zeros(len(module_indices)) for module_indices in indices]
    functions = [function for function, _ in modules.values()]
    key = _fingerprint(functions)
    with progress.stage(f"Responses to {len(union):,} n-grams", len(union)) as advance:
        for start in range(0, len(union), _CHUNK):
            chunk = union[start : start + _CHUNK]
            # Of each module, which of its n-grams lie in the chunk.
            members = []
            for module_indices, order in zip(indices, orders, strict=True):
                first, last = np.searchsorted(module_indices[order], [start, start + len(chunk)])
                members.append(order[first:last])
            rows = [module_indices[chosen] - start for module_indices, chosen in zip(indices, members, strict=True)]
            for module_values, chosen, computed in zip(
                values, members, _cached(cache, key, chunk, functions, rows), strict=True
            ):
                module_values[chosen] = computed
            advance(len(chunk))
    return {
        name: Responses(ngrams, module_values)
        for (name, (_, ngrams)), module_values in zip(modules.items(), values, strict=True)
    }


class _Reading(Protocol):
    """A module that is a function of an encoder's vectors."""

    encoder: Any

    def respond(self, vectors: np.ndarray) -> np.ndarray: ...


def _sharing_an_encoder(modules: Mapping[str, TextModule]) -> list[list[str]]:
    """Group modules that are functions of one encoder's vectors; each other module is a group of its own."""
    groups: dict[object, list[str]] = {}
    for name, module in modules.items():
        reading = _reading(module)
        groups.setdefault(id(reading.encoder) if reading is not None else name, []).append(name)
    return list(groups.values())


def _reading(module: TextModule) -> _Reading | None:
    """Give the part of a module that is a function of vectors, where there is one."""
    inner: Any = module.clean if isinstance(module, NoisyModule) else module
    return inner if hasattr(inner, "encoder") and callable(getattr(inner, "respond", None)) else None


def _fingerprint(modules: Sequence[TextModule]) -> bytes:
    """Tell modules of one encoder from others: by its vectors of a few fixed texts, and their answers to any vectors.

    Their answers to the texts would not tell them apart, since sparse codes are mostly 0.
    """
    readings = [reading for module in modules if (reading := _reading(module)) is not None]
    if not readings:
        return b""
    vectors = readings[0].encoder.encode(_FIXED)
    any_vectors = np.random.default_rng(0).normal(size=vectors.shape)
    answers = [np.asarray(reading.respond(any_vectors), dtype=float) for reading in readings]
    return b"".join(np.ascontiguousarray(array).tobytes() for array in (vectors, *answers))


def _cached(
    cache: Path | None, key: bytes, chunk: Sequence[str], modules: Sequence[TextModule], rows: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Compute some rows of a chunk for each module; responses of modules that take vectors are kept in the cache."""
    readings = [reading for module in modules if (reading := _reading(module)) is not None]
    if not readings:
        return [checked(modules[0], [chunk[row] for row in rows[0]])]
    digest = hashlib.sha256(key + "\0".join(chunk).encode(errors="surrogatepass"))
    for module_rows in rows:
        digest.update(module_rows.tobytes() + b"|")
    path = cache / f"{digest.hexdigest()[:32]}.npy" if cache is not None else None
    if path is not None and path.is_file():
        flat = np.load(path, allow_pickle=False)
    else:
        vectors = readings[0].encoder.encode(chunk)
        flat = np.concatenate(
            [reading.respond(vectors[module_rows]) for reading, module_rows in zip(readings, rows, strict=True)]
        )
        if path is not None:
            with whole(path) as temporary, temporary.open("wb") as file:
                np.save(file, flat, allow_pickle=False)
    values = np.split(flat, np.cumsum([len(module_rows) for module_rows in rows])[:-1])
    return [
        clean + module.noise([chunk[row] for row in module_rows]) if isinstance(module, NoisyModule) else clean
        for module, clean, module_rows in zip(modules, values, rows, strict=True)
    ]
