"""Token vectors of texts: encoded each time that they are read, or encoded once and stored."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

import numpy as np
import torch

from conceptbench.eval.methods.protolm.settings import MAX_LENGTH, SHORTEST_MAX_LENGTH
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.networks import load_model
from conceptbench.runtime.progress import Progress, Silent

Text = str | tuple[str, str]
"""A text, or a pair of sentences that the encoder reads together."""

MEMORY_BYTES: Final = 2**28
"""Stored token vectors that take more than this are mapped from disk."""

_BATCH_TOKENS = 4096


@dataclass(frozen=True, eq=False)
class Tokens:
    """A text as an encoder reads it.

    Attributes
    ----------
    inputs : the tokenizer's outputs.
    of_text : bool array of shape (tokens,): which tokens are of the text and not special ones. Attention is paid to
        these alone. Where the text has none but special tokens, all count.
    """

    inputs: dict[str, list[int]]
    of_text: np.ndarray

    def __len__(self) -> int:
        return len(self.of_text)

    def without(self, positions: Sequence[int] | np.ndarray) -> Tokens:
        """Delete the tokens at these positions, counted without special tokens.

        Examples
        --------
        >>> tokens = Tokens({"input_ids": [101, 7, 8, 102]}, np.array([False, True, True, False]))
        >>> tokens.without([1]).inputs
        {'input_ids': [101, 7, 102]}
        """
        stays = np.ones(len(self), dtype=bool)
        stays[np.flatnonzero(self.of_text)[np.asarray(positions, dtype=np.int64)]] = False
        inputs = {
            name: [value for value, remains in zip(values, stays, strict=True) if remains]
            for name, values in self.inputs.items()
        }
        return _tokens(inputs, self.of_text[stays])


class Batch(NamedTuple):
    """Token vectors of some texts: float32 of shape (texts, longest, width), and a bool mask of what is no padding."""

    states: torch.Tensor
    mask: torch.Tensor


class TokenSource(Protocol):
    """Texts whose token vectors can be asked for by row."""

    lengths: np.ndarray

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray) -> Batch:
        """Give the token vectors of some rows."""
        ...


class TokenEncoder:
    """A transformers encoder that gives the last layer's vector of each token.

    Parameters
    ----------
    model : `minilm`, a folder or a Hub id.
    max_length : tokens read of a text (or pair) at most, special ones included.
    device : torch device; by default a GPU if there is one.

    Raises
    ------
    InputError
        if the model does not exist or cannot be read, or `max_length` is below 8.
    """

    def __init__(self, model: str, *, max_length: int = MAX_LENGTH, device: str | None = None) -> None:
        if max_length < SHORTEST_MAX_LENGTH:
            raise InputError(f"--max-length {max_length}: give at least {SHORTEST_MAX_LENGTH}")
        loaded = load_model(model, device)
        self.name = model
        self.device = loaded.device
        self._tokenizer = loaded.tokenizer
        self.network: torch.nn.Module = loaded.network.requires_grad_(False)
        self.max_length = int(min(max_length, self._tokenizer.model_max_length))
        self.width = loaded.width
        self.revision = loaded.revision

    def read(self, texts: Sequence[Text]) -> list[Tokens]:
        """Tokenise texts, or pairs of sentences."""
        if not texts:
            return []
        firsts = [text if isinstance(text, str) else text[0] for text in texts]
        seconds = None if isinstance(texts[0], str) else [text[1] for text in texts]
        encoded = self._tokenizer(
            firsts, seconds, truncation=True, max_length=self.max_length, return_special_tokens_mask=True
        )
        names = [name for name in encoded if name != "special_tokens_mask"]
        tokens = []
        for row, special in enumerate(encoded["special_tokens_mask"]):
            inputs = {name: list(encoded[name][row]) for name in names}
            if not special:
                inputs = {"input_ids": [self._tokenizer.pad_token_id], "attention_mask": [1]}
            tokens.append(_tokens(inputs, np.array(special or [0]) == 0))
        return tokens

    def states(self, batch: Sequence[Tokens]) -> Batch:
        """Encode a batch; gradients flow to those weights of the network that ask for them.

        Raises
        ------
        ConceptBenchError
            if the model gives a vector that is not finite.
        """
        padded = self._tokenizer.pad(
            [tokens.inputs for tokens in batch], padding=True, padding_side="right", return_tensors="pt"
        ).to(self.device)
        mask = np.zeros(tuple(padded["input_ids"].shape), dtype=bool)
        for row, tokens in enumerate(batch):
            mask[row, : len(tokens)] = tokens.of_text
        states = self.network(**padded).last_hidden_state.float()
        if not torch.isfinite(states).all():
            raise ConceptBenchError(f"{self.name} gives vectors that are not finite: its weights are damaged")
        return Batch(states, torch.from_numpy(mask).to(self.device))

    def strings(self, tokens: Tokens) -> list[str]:
        """Give the text's tokens as the tokenizer writes them, special ones left out."""
        ids = [number for number, counts in zip(tokens.inputs["input_ids"], tokens.of_text, strict=True) if counts]
        return list(self._tokenizer.convert_ids_to_tokens(ids))


class LiveTokens:
    """Texts that are encoded each time they are asked for: new texts, and those that an encoder is tuned on."""

    def __init__(self, encoder: TokenEncoder, tokens: Sequence[Tokens]) -> None:
        self._encoder, self._tokens = encoder, tokens
        self.lengths = np.array([len(text) for text in tokens], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._tokens)

    def batch(self, rows: np.ndarray) -> Batch:
        """Encode some rows."""
        return self._encoder.states([self._tokens[row] for row in rows])


class ChosenTokens:
    """Some rows of another source."""

    def __init__(self, source: TokenSource, rows: np.ndarray) -> None:
        self._source, self._rows = source, rows
        self.lengths = source.lengths[rows]

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, rows: np.ndarray) -> Batch:
        """Ask the source for some of the rows."""
        return self._source.batch(self._rows[rows])


class StoredTokens:
    """Token vectors of a frozen encoder, computed once; special tokens are left out.

    Parameters
    ----------
    encoder : what reads the texts.
    texts : at least one.
    dtype : that the vectors are stored in; float16 halves the room and is exact to about 0.05 %.
    memory_bytes : vectors that take more are mapped from a temporary file, which goes when this object does.
    folder : where that file is made; by default the system's temporary folder.
    progress : shows how many texts are encoded.

    Raises
    ------
    ConceptBenchError
        if a vector is not finite or does not fit float16, or the file cannot be written.
    """

    def __init__(
        self,
        encoder: TokenEncoder,
        texts: Sequence[Text],
        *,
        dtype: Literal["float16", "float32"] = "float16",
        memory_bytes: int = MEMORY_BYTES,
        folder: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        tokens = encoder.read(texts)
        self.lengths = np.array([int(text.of_text.sum()) for text in tokens], dtype=np.int64)
        self._starts = np.cumsum(self.lengths) - self.lengths
        self._device = encoder.device
        shape = (int(self.lengths.sum()), encoder.width)
        self.mapped = shape[0] * shape[1] * np.dtype(dtype).itemsize > memory_bytes
        try:
            self._values: np.ndarray = (
                np.memmap(tempfile.TemporaryFile(dir=folder), dtype=dtype, mode="w+", shape=shape)  # noqa: SIM115
                if self.mapped
                else np.empty(shape, dtype=dtype)
            )
        except OSError as error:
            raise ConceptBenchError(
                f"cannot store {shape[0]:,} token vectors on disk: {error.strerror or error}. Make room, or set TMPDIR."
            ) from error
        with (progress or Silent()).stage(f"Encoding {len(texts):,} texts with {encoder.name}", len(texts)) as advance:
            for rows in batches(np.array([len(text) for text in tokens])):
                self._store(encoder, rows, [tokens[row] for row in rows])
                advance(len(rows))

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: np.ndarray) -> Batch:
        """Give the stored vectors of some rows."""
        lengths = self.lengths[rows]
        positions = np.arange(lengths.max())
        mask = positions < lengths[:, None]
        # Padding repeats the first token, so that only rows of the batch are read.
        states = self._values[self._starts[rows][:, None] + np.where(mask, positions, 0)]
        return Batch(torch.from_numpy(states).to(self._device).float(), torch.from_numpy(mask).to(self._device))

    def _store(self, encoder: TokenEncoder, rows: np.ndarray, tokens: Sequence[Tokens]) -> None:
        with torch.inference_mode():
            states, mask = encoder.states(tokens)
        values = states[mask].cpu().numpy()
        limit = np.finfo(self._values.dtype).max
        if values.size and np.abs(values).max() > limit:
            raise ConceptBenchError(f"{encoder.name} gives vectors too large for {self._values.dtype}: use float32")
        ends = np.cumsum(self.lengths[rows])
        targets = np.repeat(self._starts[rows] - ends + self.lengths[rows], self.lengths[rows]) + np.arange(len(values))
        self._values[targets] = values


def batches(lengths: np.ndarray, most_tokens: int = _BATCH_TOKENS) -> Iterator[np.ndarray]:
    """Group rows by length into batches of at most `most_tokens` tokens, padding included: int arrays of rows.

    Parameters
    ----------
    lengths : int array of shape (rows,): the number of tokens of each row.

    Examples
    --------
    >>> [rows.tolist() for rows in batches(np.array([5, 2, 2, 4]), most_tokens=8)]
    [[1, 2], [3], [0]]
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end - start + 1) * lengths[order[end]] > most_tokens:
            yield order[start:end]
            start = end


def joined(text: Text) -> str:
    """Give a text as it is, and a pair of sentences with ` / ` between.

    Examples
    --------
    >>> joined(("It rains.", "It is wet."))
    'It rains. / It is wet.'
    """
    return text if isinstance(text, str) else " / ".join(text)


def _tokens(inputs: dict[str, list[int]], of_text: np.ndarray) -> Tokens:
    return Tokens(inputs, of_text if of_text.any() else np.ones(len(of_text), dtype=bool))
