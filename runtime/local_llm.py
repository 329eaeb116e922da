"""A `transformers` causal language model in this process, in batches that repeat themselves exactly.

Batches are cut from the whole list of requests and never from what the journal lacks, and a batch is
computed whole or not at all. Rounding depends on the other requests of a batch; so a run that was
killed and is run again has the same batches and writes the same bytes.
"""

import copy
import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from conceptbench.runtime.errors import ConceptBenchError, InputError
from conceptbench.runtime.journal import Journal, request_key
from conceptbench.runtime.llm import Message, OnReply, Reply, Request, Usage
from conceptbench.runtime.models import LOADING_ERRORS, model_folder, not_loaded, quiet_transformers

if TYPE_CHECKING:
    import torch

# Requests belong together where they share at least this part of the shorter prompt.
_FAMILY_SHARE = 0.5
# Smaller families are computed together, without regard to what they share.
_SMALLEST_FAMILY = 4
# A shared prefix shorter than this does not save the time of computing it separately.
_SHORTEST_PREFIX = 16
# Bounds the memory of a batch of long prompts: rows x tokens.
_BATCH_TOKENS = 32_768

DType = Literal["float32", "bfloat16"]


class LocalLLM:
    """An LLM in this process. The model is loaded at the first request that the journal does not answer.

    Parameters
    ----------
    name : `smollm2`, a folder or a Hub id.
    journal : the journal that keeps the answers.
    batch_size : most requests computed together.
    price : USD per million tokens in and out.
    dtype : of weights and activations; by default bfloat16 where the hardware computes in it.
    share_prefix : compute what the prompts of a batch have in common once.

    Raises
    ------
    InputError
        the weights are not there.
    """

    def __init__(
        self,
        name: str,
        *,
        journal: Journal | None = None,
        batch_size: int = 16,
        price: tuple[float, float] | None = None,
        dtype: DType | None = None,
        share_prefix: bool = True,
    ) -> None:
        self.system = f"local:{name}"
        self.usage = Usage(cost=None if price is None else 0.0)
        self._name = name
        self._folder = model_folder(name)
        self._journal = journal
        self._batch_size = batch_size
        self._price = price
        self._dtype: DType | None = dtype
        self._share_prefix = share_prefix
        self._model: _Model | None = None

    def complete(self, requests: Sequence[Request], on_reply: OnReply | None = None) -> list[Reply]:
        """Answer every request; equal ones are computed once, whole batches found in the journal not at all.

        A prompt longer than the model's context is a `failed` reply.

        Raises
        ------
        InputError
            the model cannot be loaded, or is no causal language model.
        ConceptBenchError
            a batch does not fit into memory.
        """
        keys = [request_key(self.system, None, request) for request in requests]
        replies = self._journal.get_many(keys) if self._journal else {}
        self.usage.from_journal += len(replies)
        indices_of: dict[str, list[int]] = {}
        for index, key in enumerate(keys):
            indices_of.setdefault(key, []).append(index)

        def tell(key: str) -> None:
            if on_reply is None:
                return
            for index in indices_of[key]:
                on_reply(index, replies[key])

        for key in list(replies):
            tell(key)
        if len(replies) < len(indices_of):
            unique = {key: requests[indices[0]] for key, indices in indices_of.items()}
            for answered in self._answer(unique, replies):
                for key in answered:
                    tell(key)
        return [replies[key] for key in keys]

    def close(self) -> None:
        """Free the model."""
        self._model = None

    def _answer(self, requests: Mapping[str, Request], replies: dict[str, Reply]) -> Iterator[list[str]]:
        """Compute what is missing in `replies`, yielding the keys that became known after each batch."""
        if self._model is None:
            self._model = _Model(self._folder, self._name, self._dtype)
        prompts, failed = self._model.prompts(requests)
        new = [key for key in failed if key not in replies]
        for key in new:
            self.usage.add(failed[key], self._price)
        replies |= failed
        if new:
            yield new
        for batch in plan_batches(prompts, self._batch_size, share_prefix=self._share_prefix):
            missing = [prompt.key for prompt in batch.prompts if prompt.key not in replies]
            if not missing:
                continue
            computed = self._model.generate(batch)
            for reply in computed.values():
                self.usage.add(reply, self._price)
            if self._journal is not None:
                self._journal.put_many(self.system, computed)
            replies |= {key: computed[key] for key in missing}
            yield missing


@dataclass(frozen=True)
class Prompt:
    """A request as token ids."""

    key: str
    request: Request
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Prompts computed together; the first `shared` tokens are the same in all, and left out of no prompt."""

    prompts: tuple[Prompt, ...]
    shared: int


def plan_batches(prompts: Sequence[Prompt], batch_size: int, *, share_prefix: bool = True) -> list[Batch]:
    """Cut prompts into batches: by what they start with, then by length.

    The plan depends only on the set of prompts, not on their order.
    """
    ordered = sorted(prompts, key=lambda prompt: (prompt.ids, prompt.key))
    batches: list[Batch] = []
    for family in _families(ordered):
        shared = _shared_prefix(family) if share_prefix else 0
        by_length = sorted(family, key=lambda prompt: (len(prompt.ids), prompt.ids, prompt.key))
        batches += [Batch(tuple(part), shared) for part in _cut(by_length, batch_size)]
    return batches


def _families(ordered: Sequence[Prompt]) -> list[list[Prompt]]:
    """Runs of prompts that share at least half of their tokens with the one before; the small runs as one."""
    runs: list[list[Prompt]] = []
    for prompt in ordered:
        last = runs[-1][-1].ids if runs else ()
        enough = _FAMILY_SHARE * min(len(last), len(prompt.ids))
        if runs and _common(last, prompt.ids) >= enough:
            runs[-1].append(prompt)
        else:
            runs.append([prompt])
    loose = [prompt for run in runs if len(run) < _SMALLEST_FAMILY for prompt in run]
    return [run for run in runs if len(run) >= _SMALLEST_FAMILY] + ([loose] if loose else [])


def _shared_prefix(family: Sequence[Prompt]) -> int:
    """Tokens that all start with; at least one token of each prompt stays outside. `family` is sorted."""
    shared = min(_common(family[0].ids, family[-1].ids), min(len(prompt.ids) for prompt in family) - 1)
    return shared if shared >= _SHORTEST_PREFIX and len(family) > 1 else 0


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    for index, (left_token, right_token) in enumerate(zip(left, right, strict=False)):
        if left_token != right_token:
            return index
    return min(len(left), len(right))


def _cut(prompts: Sequence[Prompt], batch_size: int) -> Iterator[list[Prompt]]:
    """Parts of at most `batch_size` prompts that fit into memory; `prompts` is sorted by length."""
    part: list[Prompt] = []
    for prompt in prompts:
        longest = len(prompt.ids) + prompt.request.max_tokens
        if part and (len(part) == batch_size or (len(part) + 1) * longest > _BATCH_TOKENS):
            yield part
            part = []
        part.append(prompt)
    if part:
        yield part


class _Model:
    """Weights and tokenizer, and the decoding loop."""

    def __init__(self, folder: str, name: str, dtype: DType | None) -> None:
        import torch

        self._torch = torch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._name = name
        self._tokenizer, self._net = self._load(folder, getattr(torch, dtype or _best_dtype(self._device)))
        takes = inspect.signature(self._net.forward).parameters
        if "past_key_values" not in takes:
            raise InputError(f"model '{name}' keeps no key-value cache, which local: needs. Choose another.")
        self._takes_positions = "position_ids" in takes
        self._takes_keep = "logits_to_keep" in takes
        self._ends = self._end_tokens()
        self._context = self._context_length()
        self._window, self._padding = self._attention()
        self._prefix: tuple[tuple[int, ...], Any] | None = None

    def _load(self, folder: str, dtype: "torch.dtype") -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from_pretrained = cast("Any", AutoModelForCausalLM.from_pretrained)
        try:
            with quiet_transformers():
                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
                net, info = from_pretrained(
                    folder, dtype=dtype, output_loading_info=True, trust_remote_code=False, use_safetensors=True
                )
        except LOADING_ERRORS as error:
            raise not_loaded(self._name, error) from error
        if info["missing_keys"]:
            some = ", ".join(sorted(info["missing_keys"])[:2])
            raise InputError(
                f"model '{self._name}' is no causal language model: it has no weights for {some}. Choose another."
            )
        return tokenizer, net.eval().to(self._device)

    def _end_tokens(self) -> frozenset[int]:
        configured = self._net.generation_config.eos_token_id
        ends = configured if isinstance(configured, list) else [configured]
        return frozenset(end for end in (*ends, self._tokenizer.eos_token_id) if end is not None)

    def _context_length(self) -> int | None:
        return getattr(self._net.config.get_text_config(), "max_position_embeddings", None)

    def _attention(self) -> tuple[int | None, bool]:
        """The shortest attention window in tokens, or None; and whether all layers take padding.

        Linear attention and state space layers run through padding as through any token.
        """
        from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

        layers = DynamicCache(config=self._net.config).layers
        windows = [layer.sliding_window for layer in layers if isinstance(layer, DynamicSlidingWindowLayer)]
        padding = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
        return min(windows, default=None), padding

    def prompts(self, requests: Mapping[str, Request]) -> tuple[list[Prompt], dict[str, Reply]]:
        """The requests as token ids, and failed replies for those that cannot be asked."""
        texts: dict[str, str] = {}
        failed: dict[str, Reply] = {}
        for key, request in requests.items():
            try:
                texts[key] = self._render(request.messages)
            except _Unrenderable as error:
                failed[key] = Reply(reason="failed", detail=str(error))
        # A chat template writes the special tokens itself.
        plain = not self._tokenizer.chat_template
        encoded = self._tokenizer(list(texts.values()), add_special_tokens=plain).input_ids if texts else []
        prompts: list[Prompt] = []
        for key, ids in zip(texts, encoded, strict=True):
            if self._context is not None and len(ids) >= self._context:
                detail = f"the prompt has {len(ids)} tokens, the model's context {self._context}"
                failed[key] = Reply(reason="failed", detail=detail)
            elif not ids:
                failed[key] = Reply(reason="failed", detail="the prompt is empty")
            else:
                prompts.append(Prompt(key, requests[key], tuple(ids)))
        return prompts, failed

    def _render(self, messages: Sequence[Message]) -> str:
        """The prompt's text: by the tokenizer's chat template, else plain."""
        if not self._tokenizer.chat_template:
            return _plain(messages)
        from jinja2.exceptions import TemplateError

        try:
            return self._template(messages)
        except TemplateError:
            # Some templates know no system role.
            try:
                return self._template(_without_system(messages))
            except TemplateError as error:
                raise _Unrenderable(f"the chat template refuses these messages: {error}") from error

    def _template(self, messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def generate(self, batch: Batch) -> dict[str, Reply]:
        """The replies of a batch, by key."""
        started = time.monotonic()
        try:
            with self._torch.inference_mode():
                rows = [row for part in self._exact(batch) for row in self._decode(part)]
        except RuntimeError as error:
            if "allocate" not in str(error) and not isinstance(error, self._torch.OutOfMemoryError):
                raise
            raise ConceptBenchError(
                f"a batch of {len(batch.prompts)} requests to local:{self._name} does not fit into memory. "
                "Use a smaller batch size, or a smaller model."
            ) from error
        seconds = (time.monotonic() - started) / len(batch.prompts)
        return {row.prompt.key: row.reply(seconds) for row in rows}

    def _exact(self, batch: Batch) -> list[Batch]:
        """Split the batch into the largest parts in which no row's answer depends on the other rows."""
        if not self._padding:
            return [Batch((prompt,), 0) for prompt in batch.prompts]
        longest = max(len(prompt.ids) for prompt in batch.prompts)
        longest += max(prompt.request.max_tokens for prompt in batch.prompts)
        # Padding between prefix and rest would take places in a window; on the left it does not.
        if self._window is not None and longest > self._window:
            return [replace(batch, shared=0)]
        return [batch]

    def _decode(self, batch: Batch) -> "list[_Row]":
        """Token by token; a row that has ended leaves the batch."""
        torch = self._torch
        rows = [_Row(prompt, self) for prompt in batch.prompts]
        cache = self._prefix_cache(batch)
        inputs, mask = self._padded(batch)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, batch.shared :]
        active = rows
        while True:
            logits = self._forward(inputs, mask, positions, cache)
            tokens = [row.choose(logits[index]) for index, row in enumerate(active)]
            unfinished = [index for index, row in enumerate(active) if not row.take(tokens[index])]
            if not unfinished:
                return rows
            if len(unfinished) < len(active):
                active = [active[index] for index in unfinished]
                chosen = torch.tensor(unfinished, device=self._device)
                cache.batch_select_indices(chosen)
                mask, positions = mask[chosen], positions[chosen]
            inputs = torch.tensor([[tokens[index]] for index in unfinished], device=self._device)
            positions = positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(unfinished), 1)], dim=1)

    def _forward(
        self, inputs: "torch.Tensor", mask: "torch.Tensor", positions: "torch.Tensor", cache: object
    ) -> "torch.Tensor":
        """Logits after the last token of each row, shape (rows, vocabulary), float32."""
        options: dict[str, Any] = {"attention_mask": mask, "past_key_values": cache, "use_cache": True}
        if self._takes_positions:
            options["position_ids"] = positions
        if self._takes_keep:
            options["logits_to_keep"] = 1
        logits: torch.Tensor = self._net(inputs, **options).logits
        return logits[:, -1].float()

    def _padded(self, batch: Batch) -> "tuple[torch.Tensor, torch.Tensor]":
        """What follows the shared tokens, padded on the left, and the mask over everything."""
        rests = [prompt.ids[batch.shared :] for prompt in batch.prompts]
        width = max(len(rest) for rest in rests)
        # Any token will do where the mask is 0.
        inputs = [[0] * (width - len(rest)) + list(rest) for rest in rests]
        mask = [[1] * batch.shared + [0] * (width - len(rest)) + [1] * len(rest) for rest in rests]
        return self._torch.tensor(inputs, device=self._device), self._torch.tensor(mask, device=self._device)

    def _prefix_cache(self, batch: Batch) -> Any:
        """A cache that holds the shared tokens for every row of the batch."""
        from transformers import DynamicCache

        if not batch.shared:
            return DynamicCache(config=self._net.config)
        ids = batch.prompts[0].ids[: batch.shared]
        if self._prefix is None or self._prefix[0] != ids:
            fresh = DynamicCache(config=self._net.config)
            inputs = self._torch.tensor([ids], device=self._device)
            positions = self._torch.arange(len(ids), device=self._device)[None]
            self._forward(inputs, self._torch.ones_like(inputs), positions, fresh)
            self._prefix = (ids, fresh)
        cache: Any = copy.deepcopy(self._prefix[1])
        cache.batch_repeat_interleave(len(batch.prompts))
        return cache

    def room(self, prompt: Prompt) -> int:
        """The most tokens that may follow the prompt."""
        max_tokens = prompt.request.max_tokens
        return max_tokens if self._context is None else min(max_tokens, self._context - len(prompt.ids))

    def is_end(self, token: int) -> bool:
        """Whether the token ends the turn."""
        return token in self._ends

    def text(self, tokens: Sequence[int]) -> str:
        """Decoded text without special tokens."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def generator(self, key: str) -> "torch.Generator":
        """Make the random generator of a request; the request's key depends on seed and sample."""
        return self._torch.Generator().manual_seed(int(key[:15], 16))


class _Row:
    """One request while its answer grows."""

    def __init__(self, prompt: Prompt, model: _Model) -> None:
        self.prompt = prompt
        self._model = model
        self._room = model.room(prompt)
        self._chance = model.generator(prompt.key) if prompt.request.temperature > 0 else None
        self._tokens: list[int] = []
        self._text: str | None = None
        self._complete = False

    def choose(self, logits: "torch.Tensor") -> int:
        """The next token; `logits` has shape (vocabulary,)."""
        if self._chance is None:
            return int(logits.argmax())
        chances = (logits.cpu() / self.prompt.request.temperature).softmax(-1)
        return int(chances.multinomial(1, generator=self._chance))

    def take(self, token: int) -> bool:
        """Append a token; whether the answer has ended with it."""
        self._tokens.append(token)
        if self._model.is_end(token):
            self._text, self._complete = self._model.text(self._tokens[:-1]), True
            return True
        if self._stopped():
            return True
        return len(self._tokens) >= self._room

    def reply(self, seconds: float) -> Reply:
        """Give the reply of the row."""
        text = self._model.text(self._tokens) if self._text is None else self._text
        reason: Literal["cut", "empty"] | None = None
        if not self._complete:
            reason = "cut"
        elif not text.strip():
            reason = "empty"
        return Reply(
            text=None if reason == "empty" else text,
            reason=reason,
            tokens_in=len(self.prompt.ids),
            tokens_out=len(self._tokens),
            seconds=seconds,
        )

    def _stopped(self) -> bool:
        """Whether a stop string has appeared; the text is then cut before it."""
        stops = [stop for stop in self.prompt.request.stop if stop]
        if not stops:
            return False
        text = self._model.text(self._tokens)
        starts = [start for stop in stops if (start := text.find(stop)) >= 0]
        if not starts:
            return False
        self._text, self._complete = text[: min(starts)], True
        return True


class _Unrenderable(Exception):
    """The messages do not fit the chat template."""


def _plain(messages: Sequence[Message]) -> str:
    """A prompt for a model without chat template: one user message as it is, to be continued."""
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].content
    turns = [f"{message.role}: {message.content}" for message in messages]
    return "\n".join([*turns, "assistant:"]) if turns else ""


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """System messages put before the user message that follows them."""
    merged: list[Message] = []
    above: list[str] = []
    for message in messages:
        if message.role == "system":
            above.append(message.content)
        elif message.role == "user" and above:
            merged.append(Message("user", "\n\n".join([*above, message.content])))
            above = []
        else:
            merged.append(message)
    return merged


def _best_dtype(device: "torch.device") -> DType:
    """Bfloat16 where the hardware computes in it: twice as fast as float32 for SmolLM2 on two such cores."""
    import torch

    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    features = torch.cpu.get_capabilities()
    return "bfloat16" if features.get("avx512_bf16") or features.get("amx_bf16") else "float32"
