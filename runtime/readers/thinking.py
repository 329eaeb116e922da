"""What a model thinks aloud before it answers, and the marks that its server let through."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Thought:
    """A reply, taken apart.

    Attributes
    ----------
    answer : what is meant for the reader; empty where there is nothing yet.
    thinking : what the model wrote for itself, its blocks parted by empty lines.
    unfinished : whether the thinking was opened and never closed, so that there is no answer yet.
    """

    answer: str
    thinking: str = ""
    unfinished: bool = False


_INVISIBLE: Final = "\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_SPACES: Final = " \t\r\n\u00a0\u3000"

_TAG_NAMES: Final = (
    r"(?:seed:)?(?:think|thinking|thoughts?|thought_process|reasoning|scratchpad|analysis|reflection|inner_monologue)"
)
_OPENING_TAG: Final = rf"<{_TAG_NAMES}(?:\s[^<>]{{0,200}})?>"
_CLOSING_TAG: Final = rf"</\s?{_TAG_NAMES}\s?>"
_EMPTY_TAG: Final = rf"<{_TAG_NAMES}\s?/>"

# Openings and closings that are no tags: Mistral, Open-R1 and Sky-T1, Kimi, Command A, Gemma 4 and 3, Apertus.
_PAIRS: Final = {
    "[think]": "[/think]",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "◁think▷": "◁/think▷",
    "<|start_thinking|>": "<|end_thinking|>",
    "<|channel>thought": "<channel|>",
    "<unused94>thought": "<unused95>",
    "<|inner_prefix|>": "<|inner_suffix|>",
}

# Those that end a turn. DeepSeek writes its own with full-width bars.
_ENDINGS: Final = (
    *(f"<|{name}|>" for name in ("eot_id", "eom_id", "im_end", "end", "endoftext", "end_of_text", "return", "call")),
    *(f"<|{name}|>" for name in ("end_of_turn_token", "endofturn", "end_of_role", "role_end", "user", "observation")),
    *("<｜end▁of▁sentence｜>", "<｜user｜>", "<|eot|>", "<|eos|>", "<turn|>", "[|endofturn|]", "<end_of_utterance>"),
    *("</s>", "<eos>", "[eos]", "<end_of_turn>", "<pad>", "[pad]", "[inst]", "</assistant>"),
)
# Those that begin the model's turn, with the role that may follow: skipped before an answer, an end after one.
_BEGINNINGS: Final = (
    r"<\|im_start\|>(?:assistant)?(?:<\|im_sep\|>)?",
    r"<\|start_header_id\|>(?:assistant)?(?:<\|end_header_id\|>)?",
    r"<\|start_of_role\|>(?:assistant)?(?:<\|end_of_role\|>)?",
    r"<start_of_turn>(?:model)?",
    r"<\|turn>(?:model)?",
    r"<\|start_of_turn_token\|>(?:<\|chatbot_token\|>)?",
    r"<\|start\|>(?:assistant)?",
    r"<\|(?:assistant|begin_of_text|chatbot_token|bos)\|>",
    r"\[\|assistant\|\]",
    r"<｜(?:assistant|begin▁of▁sentence)｜>",
    r"<bos>|\[/inst\]|<assistant>",
)


def _any_of(literals: tuple[str, ...]) -> str:
    return "|".join(re.escape(literal) for literal in literals)


_MARK: Final = re.compile(
    "|".join(
        f"(?P<{kind}>{pattern})"
        for kind, pattern in (
            ("empty", _EMPTY_TAG),
            ("open", f"{_OPENING_TAG}|{_any_of(tuple(_PAIRS))}"),
            ("close", f"{_CLOSING_TAG}|{_any_of(tuple(_PAIRS.values()))}"),
            ("begin", "|".join(_BEGINNINGS)),
            ("end", _any_of(_ENDINGS)),
        )
    ),
    re.IGNORECASE,
)
_FAMILIES: Final = {**{opening: opening for opening in _PAIRS}, **{closing: key for key, closing in _PAIRS.items()}}
_TAG_NAME: Final = re.compile(_TAG_NAMES, re.IGNORECASE)

_ANSWER_TAGS: Final = r"answer|final_answer|response|output|solution"
_ANSWER_MARK: Final = re.compile(
    rf"(?P<open><(?:{_ANSWER_TAGS})>|<\|begin_of_(?:box|solution)\|>|<\|start_response\|>)|"
    rf"(?P<close></(?:{_ANSWER_TAGS})>|<\|end_of_(?:box|solution)\|>|<\|end_response\|>)",
    re.IGNORECASE,
)

_HARMONY: Final = re.compile(r"<\|(start|channel|message|constrain|end|return|call)\|>")
# Granite and Ollama say in words where thinking begins and ends.
_SPOKEN: Final = (
    (
        re.compile(r"\s{0,20}(?:here is|here['’]s) my thought process\s?:", re.IGNORECASE),
        re.compile(r"(?:here is|here['’]s) my response\s?:", re.IGNORECASE),
    ),
    (re.compile(r"\s{0,20}thinking\.\.\.[ \t\r]{0,20}\n", re.IGNORECASE), re.compile(r"\.\.\.done thinking\.")),
)


def split_thinking(text: str) -> Thought:
    """Split what a model thought from its answer, and take the marks of its server off.

    Text that has no such marks is the answer, unchanged. Answers in a wrapper (`<answer>`) are unwrapped, and
    nothing counts that follows the end of the model's turn.

    Parameters
    ----------
    text : a reply.

    Examples
    --------
    >>> split_thinking("<think>Fish? No.</think>names of birds<|im_end|>")
    Thought(answer='names of birds', thinking='Fish? No.', unfinished=False)
    >>> split_thinking("<think>Perhaps fish").unfinished
    True
    """
    answer = _visible(text)
    thinking: list[str] = []
    for take_off in (_harmony, _spoken, _blocks):
        thought = take_off(answer)
        if thought.thinking:
            thinking.append(thought.thinking)
        if thought.unfinished:
            return Thought("", "\n\n".join(thinking), unfinished=True)
        answer = thought.answer
    return Thought(_visible(_unwrapped(answer)), "\n\n".join(thinking))


def _visible(text: str) -> str:
    """Take invisible characters off the edges, with the spaces among them; spaces alone stay."""
    start = len(text) - len(text.lstrip(_INVISIBLE + _SPACES))
    end = len(text.rstrip(_INVISIBLE + _SPACES))
    before, after = text[:start], text[end:]
    if not before.strip(_SPACES):
        start = 0
    if not after.strip(_SPACES):
        end = len(text)
    return text[start:end] if start < end else ""


def _harmony(text: str) -> Thought:
    """Read the channels of gpt-oss, with their special tokens or without."""
    if "<|channel|>" not in text and "<|message|>" not in text:
        if text.startswith("analysis") and "assistantfinal" in text:
            thinking, _, answer = text.removeprefix("analysis").partition("assistantfinal")
            return Thought(answer.strip(), thinking.strip())
        return Thought(text)
    thinking_parts: list[str] = []
    mark, position, channel = "", 0, ""
    for match in [*_HARMONY.finditer(text), None]:
        content = text[position : match.start() if match else len(text)].strip()
        if mark == "message":
            if channel in {"final", ""} and content:
                return Thought(content, "\n\n".join(thinking_parts))
            thinking_parts.append(content)
        elif mark == "channel" or (mark == "" and content in {"analysis", "commentary", "final"}):
            channel = content.partition(" ")[0]
        elif mark == "" and content:
            # The prompt ended within the first message.
            thinking_parts.append(content)
        if match is not None:
            mark, position = match[1], match.end()
            channel = "" if mark == "start" else channel
    return Thought("", "\n\n".join(part for part in thinking_parts if part), unfinished=True)


def _spoken(text: str) -> Thought:
    for opening, closing in _SPOKEN:
        begins = opening.match(text)
        if begins is None:
            continue
        ends = closing.search(text, begins.end())
        if ends is None:
            return Thought("", text[begins.end() :].strip(), unfinished=True)
        return Thought(text[ends.end() :].strip(), text[begins.end() : ends.start()].strip())
    return Thought(text)


def _blocks(text: str) -> Thought:
    """Take blocks of thinking out, up to the end of the turn. A closing without an opening ends what came before."""
    answer: list[str] = []
    thinking: list[str] = []
    open_tags: list[str] = []
    counts: Counter[str] = Counter()
    position = 0
    is_marked = answered = False
    for match in _MARK.finditer(text):
        is_marked = True
        piece, kind = text[position : match.start()], match.lastgroup
        (thinking if open_tags else answer).append(piece)
        answered = answered or (not open_tags and bool(piece.strip()))
        position = match.end()
        if kind == "open":
            # A template that opens the thinking and a model that opens it again mean one block.
            if not open_tags or piece.strip():
                open_tags.append(_family(match[0]))
                counts[open_tags[-1]] += 1
        elif kind == "close" and open_tags:
            family = _family(match[0])
            while open_tags:
                closed = open_tags.pop()
                counts[closed] -= 1
                if closed == family or counts[family] == 0:
                    break
        elif kind == "close":
            thinking.extend(answer)
            answer, answered = [], False
        elif kind in {"begin", "end"} and not open_tags and (answered or kind == "end"):
            position = len(text)
            break
    if not is_marked:
        return Thought(text)
    (thinking if open_tags else answer).append(text[position:])
    thoughts = "\n\n".join(piece.strip() for piece in thinking if piece.strip())
    return Thought("" if open_tags else "".join(answer).strip(), thoughts, unfinished=bool(open_tags))


def _family(mark: str) -> str:
    """Give the name by which an opening and its closing find each other."""
    name = _TAG_NAME.search(mark)
    return _FAMILIES.get(mark.casefold()) or (name[0].casefold() if name else mark)


def _unwrapped(text: str) -> str:
    """Give the content of the last wrapper of an answer; the text itself where it has none."""
    start: int | None = None
    last = ""
    marks = list(_ANSWER_MARK.finditer(text))
    for match in marks:
        if match.lastgroup == "open":
            start = match.end()
        elif start is not None:
            last = text[start : match.start()].strip() or last
            start = None
    if not marks or last:
        return last or text
    return text[start:].strip() if start is not None else text[: marks[0].start()].strip()
