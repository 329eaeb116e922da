"""Prompts: the packaged ones and a user's own."""

from pathlib import Path

import pytest

from conceptbench.benchmark.prompts import MOST_WORDS, load_prompt, prompt_names
from conceptbench.runtime.errors import InputError

WORDS = [("the", 3), ("{a}", 1)]


def test_the_packaged_prompts_load_and_ask_for_the_words() -> None:
    assert set(prompt_names()) >= {"zero-shot", "lexical", "part-of-speech", "semantic", "few-shot"}
    for name in prompt_names():
        prompt = load_prompt(name)
        last = prompt.messages(WORDS)[-1]
        assert last.role == "user"
        assert "the" in last.content
        assert "{a}" in last.content
        assert "{words}" not in last.content
        assert len(prompt.sha256) == 64


def test_the_zero_shot_prompt_is_that_of_the_paper() -> None:
    asked = load_prompt("zero-shot").messages(WORDS)[-1].content
    assert "a short and concise label that best describes the following list of words" in asked


def test_few_shot_examples_are_turns_of_the_same_form() -> None:
    prompt = load_prompt("few-shot")
    messages = prompt.messages(WORDS)
    assert [m.role for m in messages] == ["system", *["user", "assistant"] * len(prompt.examples), "user"]
    assert messages[-1].content == "Words: the, {a}\nLabel:"


def test_unit_and_contexts_change_the_words_and_the_name() -> None:
    prompt = load_prompt("semantic")
    tokens = prompt.vary(unit="tokens", contexts=1)
    assert tokens.name == "semantic+tokens+contexts=1"
    asked = tokens.messages(WORDS, ["A sentence .", "Another ."])[-1].content
    assert "the, the, the, {a}" in asked
    assert "A sentence ." in asked
    assert "Another" not in asked
    assert prompt.vary(unit="types", contexts=0).name == "semantic"


def test_the_list_is_bounded() -> None:
    words = [(f"w{i}" * 100, 10**9) for i in range(500)]
    for unit in ("types", "tokens"):
        asked = load_prompt("semantic").vary(unit=unit).messages(words)[-1].content
        assert asked.count(",") < MOST_WORDS + 10
        assert len(asked) < 5000


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('description = "d"\nuser = "Name {words}"\nunit = "tokens"\ncontexts = 2\n')
    prompt = load_prompt(str(path))
    assert (prompt.name, prompt.unit, prompt.contexts) == ("mine", "tokens", 2)
    assert prompt.messages(WORDS, ["S"])[-1].content.endswith("Name the, the, the, {a}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user = 'no place'", "must hold {words}"),
        ("user = '{words}'\nunit = 'letters'", "`unit` is 'letters'"),
        ("user = '{words}'\ncontexts = -1", "`contexts` is -1"),
        ("user = '{words}'\nmodel = 'x'", "unknown field 'model'"),
        ("user = 3", "`user` must be text"),
        ("user = '{words}'\nexamples = [{words = ['a']}]", "`words` and `label`"),
        ("user = '{words}'\nexamples = [{words = [1], label = 'a'}]", "must be text"),
        ("user = ", "not TOML"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        load_prompt(str(path))


def test_an_unknown_prompt_names_those_there_are() -> None:
    with pytest.raises(InputError, match="few-shot.*zero-shot"):
        load_prompt("chatty")
