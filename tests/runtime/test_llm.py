"""Naming systems, and what is loaded to do so."""

import subprocess
import sys

import pytest

from conceptbench.runtime.clients import open_llm
from conceptbench.runtime.errors import InputError
from conceptbench.runtime.llm import Reply, Usage, parse_system


def test_a_system_is_kind_and_name() -> None:
    assert parse_system("openai:gpt-x") == ("openai", "gpt-x")
    assert parse_system("local:/models/a:b") == ("local", "/models/a:b")


@pytest.mark.parametrize("system", ["gpt-x", "openai:", ":gpt-x", "", " : "])
def test_a_system_without_kind_or_name_is_refused(system: str) -> None:
    with pytest.raises(InputError, match="<kind>:<name>"):
        parse_system(system)


def test_an_unknown_kind_is_answered_with_those_that_exist() -> None:
    with pytest.raises(InputError, match=r"'lexical' is no kind.*openai:<name>, local:<name>"):
        open_llm("lexical:x")


@pytest.mark.parametrize(
    "option",
    [{"concurrency": 0}, {"timeout": 0.0}, {"timeout": float("nan")}, {"retries": -1}, {"batch_size": 0}],
)
def test_options_out_of_range_are_refused(option: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be"):
        open_llm("openai:m", base_url="http://127.0.0.1:1/v1", **option)  # type: ignore[arg-type]


def test_usage_counts_cost_by_price() -> None:
    usage = Usage(cost=0.0)
    usage.add(Reply("a", tokens_in=1_000_000, tokens_out=500_000), (2.0, 8.0))
    assert usage.cost == pytest.approx(6.0)


def test_the_protocol_loads_neither_torch_nor_openai() -> None:
    code = (
        "import sys, conceptbench.runtime.llm, conceptbench.runtime.journal, conceptbench.runtime.models;"
        "sys.exit(bool({'torch', 'openai', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
