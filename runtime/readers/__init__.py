"""Reading what language models say: a reader gives what a text says, or nothing, and never invents an answer."""

from conceptbench.runtime.readers.choices import read_choice, read_name, read_yes_no
from conceptbench.runtime.readers.labels import Reading, check_label, read_label
from conceptbench.runtime.readers.lists import read_list, read_summary
from conceptbench.runtime.readers.numbers import read_numbers
from conceptbench.runtime.readers.thinking import Thought, split_thinking

__all__ = [
    "Reading",
    "Thought",
    "check_label",
    "read_choice",
    "read_label",
    "read_list",
    "read_name",
    "read_numbers",
    "read_summary",
    "read_yes_no",
    "split_thinking",
]
