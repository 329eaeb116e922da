"""The openai client against a real server, beside the same model in this process."""

from typing import Any

import pytest

from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.llm import Message, Request

LISTS = ["dog, cat, horse, cow", "red, blue, green, yellow", "January, March, June", "Japan, France, Germany"]
SHOTS = [
    ("apples, bananas, plums", "Fruits"),
    ("walked, ran", "Past tense verbs"),
    ("Paris, Rome", "Capitals"),
]


def _requests(**options: Any) -> list[Request]:
    head = [Message("system", "Give a short and concise label that best describes the list of words.")]
    for words, label in SHOTS:
        head += [Message("user", words), Message("assistant", label)]
    return [Request((*head, Message("user", words)), **options) for words in LISTS]


@pytest.mark.slow
def test_a_real_server_gives_usable_labels_as_local_does(served_smollm2: Any) -> None:
    remote = open_llm(f"openai:{served_smollm2.model}", base_url=served_smollm2.base_url, concurrency=2)
    local = open_llm("local:smollm2")
    served = remote.complete(_requests(max_tokens=12))
    ours = local.complete(_requests(max_tokens=12))
    assert all(reply.reason is None and reply.text for reply in served)
    # They round in other company, and may in other types: a near tie may fall either way.
    same = [there.text == here.text for there, here in zip(served, ours, strict=True)]
    assert sum(same) >= len(LISTS) - 1, list(zip(served, ours, strict=True))
    assert [reply.tokens_in for reply in served] == [reply.tokens_in for reply in ours]
    assert remote.usage.tokens_out == pytest.approx(local.usage.tokens_out, abs=8)


@pytest.mark.slow
def test_a_real_server_says_when_a_reply_was_cut(served_smollm2: Any) -> None:
    llm = open_llm(f"openai:{served_smollm2.model}", base_url=served_smollm2.base_url)
    reply = llm.complete([Request((Message("user", "Tell me a long story."),), max_tokens=5)])[0]
    assert (reply.reason, reply.tokens_out) == ("cut", 5)
