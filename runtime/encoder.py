"""Word vectors of every layer of a transformer encoder or decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.models import Pooling
from conceptbench.runtime.networks import load_model

_LONGEST = 512
_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Words:
    """One sentence as a model reads it.

    `inputs` are the tokenizer's outputs; `subwords[i]` the positions in them of word i's sub-words: empty
    for a word of which the model sees nothing, or not all because its maximum length cuts it; `cut` is
    the number of the latter.
    """

    inputs: dict[str, list[int]]
    subwords: list[list[int]]
    cut: int

    def __len__(self) -> int:
        return len(self.inputs["input_ids"])


class WordEncoder:
    """A transformer that gives a vector to each word of a tokenised sentence, at every layer.

    Layer 0 is the embedding layer, so a model of 12 blocks has 13 layers. A decoder whose tokenizer adds no
    begin-of-sequence token is given one: the first token of a sequence takes on a huge norm in such models
    (an attention sink), and without it that would be the first word of each sentence.

    Parameters
    ----------
    model : `minilm`, `smollm2`, a folder or a Hub id.
    pooling : which sub-words make a word's vector: the last, the first, or the mean of all.
    max_length : sub-words at most a sentence, where the model itself does not set a lower limit.
    device : torch device; by default a GPU if there is one.

    Raises
    ------
    InputError
        if the model does not exist, cannot be read, or has no fast tokenizer.
    """

    def __init__(
        self,
        model: str,
        *,
        pooling: Pooling = "last",
        max_length: int = _LONGEST,
        device: str | None = None,
    ) -> None:
        if pooling not in get_args(Pooling):
            raise InputError(f"--pooling {pooling}: give one of {', '.join(get_args(Pooling))}")
        loaded = load_model(model, device)
        if not loaded.tokenizer.is_fast:
            raise InputError(f"--model {model}: its tokenizer gives no character offsets (no fast tokenizer)")
        self.pooling = pooling
        self.device = loaded.device
        self._tokenizer, self._network = loaded.tokenizer, loaded.network
        self._bos = _missing_bos(self._tokenizer, self._network, self.device)
        self.max_length = _max_length(self._network, self._tokenizer, max_length)
        self.width = loaded.width
        self.layers = loaded.depth + 1
        self.revision = loaded.revision

    @property
    def adds_bos(self) -> bool:
        """Whether sentences are given a begin-of-sequence token that the tokenizer does not add."""
        return self._bos is not None

    def read(self, sentences: Sequence[str]) -> list[Words]:
        """Tokenise sentences (words joined by one space) and find each word's sub-words.

        A word without sub-words, since the tokenizer drops all its characters, gets an empty list.
        """
        whole = self._tokenize(sentences)
        too_long = [i for i, words in enumerate(whole) if len(words) > self.max_length]
        if not too_long:
            return whole
        shortened = self._tokenize([sentences[i] for i in too_long], max_length=self.max_length)
        for i, short in zip(too_long, shortened, strict=True):
            complete = [
                cut_word if len(cut_word) == len(full_word) else []
                for cut_word, full_word in zip(short.subwords, whole[i].subwords, strict=True)
            ]
            cut = sum(bool(full) and not rest for rest, full in zip(complete, whole[i].subwords, strict=True))
            whole[i] = Words(short.inputs, complete, cut)
        return whole

    def vectors(
        self, batch: Sequence[Words], words: Sequence[tuple[int, int]], layers: Sequence[int]
    ) -> list[np.ndarray]:
        """Encode a batch of sentences and pool the given words.

        Parameters
        ----------
        batch : sentences from `read`.
        words : (index in the batch, position of the word) for each vector wanted.
        layers : the layers wanted.

        Returns
        -------
        list of float32 arrays of shape (len(words), width), one a layer.

        Raises
        ------
        ConceptBenchError
            if the model gives a vector that is not finite.
        """
        inputs = self._tokenizer.pad(
            [words.inputs for words in batch], padding=True, padding_side="right", return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            states = self._network(**inputs, output_hidden_states=True).hidden_states
            return [self._pool(states[layer], batch, words) for layer in layers]

    def batches(self, lengths: Sequence[int], most_tokens: int = _BATCH_TOKENS) -> list[list[int]]:
        """Group sentences by length into batches of at most `most_tokens` tokens with their padding.

        Parameters
        ----------
        lengths : number of sub-words of each sentence.
        """
        batches: list[list[int]] = []
        for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
            if batches and (len(batches[-1]) + 1) * lengths[i] <= most_tokens:
                batches[-1].append(i)
            else:
                batches.append([i])
        return batches

    def _pool(self, states: torch.Tensor, batch: Sequence[Words], words: Sequence[tuple[int, int]]) -> np.ndarray:
        length = states.shape[1]
        pieces = [batch[row].subwords[position] for row, position in words]
        if self.pooling != "mean":
            end = -1 if self.pooling == "last" else 0
            index = [row * length + piece[end] for (row, _), piece in zip(words, pieces, strict=True)]
            pooled = states.flatten(0, 1)[torch.tensor(index, device=self.device)]
        else:
            index = [row * length + i for (row, _), piece in zip(words, pieces, strict=True) for i in piece]
            sizes = torch.tensor([len(piece) for piece in pieces], device=self.device)
            owner = torch.repeat_interleave(torch.arange(len(pieces), device=self.device), sizes)
            flat = states.flatten(0, 1)[torch.tensor(index, device=self.device)].float()
            total = torch.zeros(len(pieces), flat.shape[1], device=self.device)
            pooled = total.index_add_(0, owner, flat) / sizes[:, None]
        if not torch.isfinite(pooled).all():
            raise ConceptBenchError("the model gives vectors that are not finite: its weights are damaged")
        return pooled.float().cpu().numpy()

    def _tokenize(self, sentences: Sequence[str], max_length: int | None = None) -> list[Words]:
        added = 0 if self._bos is None else 1
        encoded = self._tokenizer(
            list(sentences),
            return_offsets_mapping=True,
            truncation=max_length is not None,
            max_length=None if max_length is None else max_length - added,
            verbose=False,
        )
        names = [name for name in encoded if name != "offset_mapping"]
        result = []
        for i, sentence in enumerate(sentences):
            inputs = {name: list(encoded[name][i]) for name in names}
            if self._bos is not None:
                inputs = {name: [_bos_value(name, self._bos), *values] for name, values in inputs.items()}
            subwords = _subwords(sentence, encoded["offset_mapping"][i], added)
            result.append(Words(inputs, subwords, 0))
        return result


def _subwords(sentence: str, offsets: Sequence[tuple[int, int]], shift: int) -> list[list[int]]:
    """Give each word the tokens whose first character other than a space is in it."""
    owner: list[int] = []
    word = 0
    for character in sentence:
        word += character == " "
        owner.append(word)
    subwords: list[list[int]] = [[] for _ in range(word + 1)]
    for token, (start, end) in enumerate(offsets):
        first = start
        while first < end and sentence[first] == " ":
            first += 1
        if first < end:
            subwords[owner[first]].append(token + shift)
    return subwords


def _bos_value(name: str, bos: int) -> int:
    return {"input_ids": bos, "attention_mask": 1}.get(name, 0)


def _missing_bos(tokenizer: PreTrainedTokenizerBase, network: Any, device: torch.device) -> int | None:
    """Give the begin-of-sequence id of a decoder whose tokenizer does not add it."""
    bos = tokenizer.bos_token_id
    if bos is None or bos in tokenizer("a")["input_ids"] or not is_causal(network, device):
        return None
    return int(bos)


def is_causal(network: Any, device: torch.device) -> bool:
    """Tell whether a token's vector does not depend on the tokens after it."""
    with torch.inference_mode():
        followed_by_4, followed_by_5 = network(torch.tensor([[3, 4], [3, 5]], device=device)).last_hidden_state[:, 0]
    return bool(torch.allclose(followed_by_4, followed_by_5, rtol=1e-4, atol=1e-5))


def _max_length(network: Any, tokenizer: PreTrainedTokenizerBase, longest: int) -> int:
    limits = [longest, tokenizer.model_max_length]
    positions = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    if positions and positions > 0:
        # RoBERTa and its kin count positions from the padding index on.
        offset = any(hasattr(module, "create_position_ids_from_input_ids") for module in network.modules())
        limits.append(positions - (network.config.pad_token_id + 1 if offset else 0))
    if min(limits) < 8:
        raise InputError(f"--max-length {min(limits)}: give at least 8 sub-words")
    return int(min(limits))
