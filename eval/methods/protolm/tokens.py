"""Token vectors of texts: read by an encoder each time, or computed once and kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from conceptbench.runtime.encoder import weights_digest
from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.models import LOADING_ERRORS, model_config, model_folder, not_loaded, quiet_transformers
from conceptbench.runtime.progress import Progress, Silent

Text = str | tuple[str, str]
"""A text, or a pair of sentences that the encoder reads together."""

MAX_LENGTH: Final = 128
MEMORY_BYTES: Final = 2**28
"""Kept token vectors that take more than this are mapped from disk."""

_BATCH_TOKENS = 4096
_SHORTEST = 8


@dataclass(frozen=True, eq=False)
class Tokens:
    """A text as an encoder reads it.

    `inputs` are the tokenizer's outputs. `own` is a bool array of shape (tokens,): the text's own tokens, those that
    attention is paid to; all, where the text has none but special ones.
    """

    inputs: dict[str, list[int]]
    own: np.ndarray

    def __len__(self) -> int:
        return len(self.own)

    def without(self, places: Sequence[int] | np.ndarray) -> Tokens:
        """Delete the tokens at these places among the text's own."""
        kept = np.ones(len(self), dtype=bool)
        kept[np.flatnonzero(self.own)[np.asarray(places, dtype=np.int64)]] = False
        inputs = {
            name: [value for value, stays in zip(values, kept, strict=True) if stays]
            for name, values in self.inputs.items()
        }
        return _tokens(inputs, self.own[kept])


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
        if max_length < _SHORTEST:
            raise InputError(f"--max-length {max_length}: give at least {_SHORTEST}")
        config = model_config(model)
        folder = model_folder(model)
        self.name = model
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        try:
            with quiet_transformers():
                self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
                network: Any = AutoModel.from_pretrained(
                    folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
                )
        except LOADING_ERRORS as error:
            raise not_loaded(model, error) from error
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.unk_token
        self.network: torch.nn.Module = network.get_encoder() if config.is_encoder_decoder else network
        self.network.to(self.device).eval().requires_grad_(False)
        self.max_length = int(min(max_length, self._tokenizer.model_max_length))
        self.width = int(config.get_text_config().hidden_size)
        self.revision: str = getattr(config, "_commit_hash", None) or weights_digest(Path(folder))

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
        found = []
        for row, special in enumerate(encoded["special_tokens_mask"]):
            inputs = {name: list(encoded[name][row]) for name in names}
            if not special:
                inputs = {"input_ids": [self._tokenizer.pad_token_id], "attention_mask": [1]}
            found.append(_tokens(inputs, np.array(special or [0]) == 0))
        return found

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
            mask[row, : len(tokens)] = tokens.own
        states = self.network(**padded).last_hidden_state.float()
        if not torch.isfinite(states).all():
            raise ConceptBenchError(f"{self.name} gives vectors that are not finite: its weights are damaged")
        return Batch(states, torch.from_numpy(mask).to(self.device))

    def shown(self, tokens: Tokens) -> list[str]:
        """Give the text's own tokens as the tokenizer writes them."""
        ids = [number for number, own in zip(tokens.inputs["input_ids"], tokens.own, strict=True) if own]
        return list(self._tokenizer.convert_ids_to_tokens(ids))


class LiveTokens:
    """Texts that are encoded each time they are asked for: new texts, and those that an encoder is tuned on."""

    def __init__(self, encoder: TokenEncoder, tokens: Sequence[Tokens]) -> None:
        self._encoder, self._tokens = encoder, tokens
        self.lengths = np.array([len(own) for own in tokens], dtype=np.int64)

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


class KeptTokens:
    """Token vectors that were computed once, of a frozen encoder: the texts' own tokens alone.

    Parameters
    ----------
    encoder : what reads the texts.
    texts : at least one.
    dtype : that the vectors are kept in; float16 halves the room and is exact to about 0.05 %.
    memory_bytes : vectors that take more are mapped from a temporary file, removed when this object goes.
    folder : where that file is made; by default the system's temporary folder.

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
        self.lengths = np.array([int(own.own.sum()) for own in tokens], dtype=np.int64)
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
                f"cannot keep {shape[0]:,} token vectors on disk: {error.strerror or error}. Make room, or set TMPDIR."
            ) from error
        with (progress or Silent()).stage(f"Encoding {len(texts):,} texts with {encoder.name}", len(texts)) as advance:
            for rows in batches(np.array([len(own) for own in tokens])):
                self._keep(encoder, rows, [tokens[row] for row in rows])
                advance(len(rows))

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: np.ndarray) -> Batch:
        """Take some rows from what is kept."""
        lengths = self.lengths[rows]
        places = np.arange(lengths.max())
        mask = places < lengths[:, None]
        # Padding repeats the first token, so that only rows of the batch are read.
        found = self._values[self._starts[rows][:, None] + np.where(mask, places, 0)]
        return Batch(torch.from_numpy(found).to(self._device).float(), torch.from_numpy(mask).to(self._device))

    def _keep(self, encoder: TokenEncoder, rows: np.ndarray, tokens: Sequence[Tokens]) -> None:
        with torch.inference_mode():
            states, mask = encoder.states(tokens)
        values = states[mask].cpu().numpy()
        limit = np.finfo(self._values.dtype).max
        if values.size and np.abs(values).max() > limit:
            raise ConceptBenchError(f"{encoder.name} gives vectors too large for {self._values.dtype}: keep float32")
        ends = np.cumsum(self.lengths[rows])
        places = np.repeat(self._starts[rows] - ends + self.lengths[rows], self.lengths[rows]) + np.arange(len(values))
        self._values[places] = values


def batches(lengths: np.ndarray, most_tokens: int = _BATCH_TOKENS) -> Iterator[np.ndarray]:
    """Group rows by length into batches of at most `most_tokens` tokens with their padding: int arrays of rows."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    for place in range(1, len(order) + 1):
        if place == len(order) or (place - start + 1) * lengths[order[place]] > most_tokens:
            yield order[start:place]
            start = place


def _tokens(inputs: dict[str, list[int]], own: np.ndarray) -> Tokens:
    return Tokens(inputs, own if own.any() else np.ones(len(own), dtype=bool))
