"""The lines the demo model obeys, and how they are found in a text.

A line counts when it begins (blanks aside) with the word. CALL lines are also found
inside the strings of a text that is JSON, because tools like to answer JSON.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from interlock.providers.demo.model import FaultLine

__all__ = ["CallLine", "Directives", "call_lines", "directives"]

_CALL = re.compile(r"^[ \t]*CALL[ \t]+([^\s{]+)[ \t]*(?=\{)", re.MULTILINE)
_DIRECTIVE = re.compile(
    r"^[ \t]*(SAY|FAIL|SLOW|TOKENS|CUT|STALL|GARBAGE|HUGE)[ \t]+(\S[^\r\n]*?)[ \t]*$", re.MULTILINE
)
_FAULT_WORDS = frozenset({"CUT", "STALL", "GARBAGE", "HUGE"})
_MAX_TOKENS = 1_000_000
_MAX_HUGE_MB = 512
_MAX_DELAY_S = 3_600.0
_MAX_JSON_DEPTH = 30


@dataclass(frozen=True, slots=True)
class CallLine:
    """`CALL <tool> <json object>`; `arguments` is compact JSON."""

    tool: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Directives:
    """What the other lines ask for; of several lines of a kind the last counts."""

    say: str | None = None
    fail: int | None = None
    slow_s: float = 0.0
    tokens: int | None = None
    huge_mb: int | None = None
    fault: FaultLine | None = None


def call_lines(text: str) -> list[CallLine]:
    """The CALL lines of a text in order; a line without a JSON object is just text."""
    if "CALL" not in text:
        return []
    return [line for piece in _readings(text) for line in _lines(piece)]


def directives(text: str, *, faults: bool, before: Directives | None = None) -> Directives:
    """SAY, FAIL, SLOW, TOKENS of a text on top of `before`; fault lines only with `faults`."""
    found = before or Directives()
    for match in _DIRECTIVE.finditer(text):
        word, value = match.groups()
        if word in _FAULT_WORDS and not faults:
            continue
        if word == "SAY":
            found = replace(found, say=value)
            continue
        number = _number(value)
        if number is not None:
            found = _numeric(found, word, number)
    return found


def _numeric(found: Directives, word: str, number: float) -> Directives:
    whole = int(number)
    if word == "FAIL":
        return replace(found, fail=whole) if 400 <= whole <= 599 else found
    if word == "SLOW":
        return replace(found, slow_s=min(number, _MAX_DELAY_S))
    if word == "TOKENS":
        return replace(found, tokens=min(whole, _MAX_TOKENS))
    if word == "HUGE":
        return replace(found, huge_mb=min(whole, _MAX_HUGE_MB))
    if word == "CUT":
        return replace(found, fault=FaultLine(kind="cut", after_bytes=whole))
    if word == "STALL":
        return replace(found, fault=FaultLine(kind="stall", after_bytes=whole))
    return replace(found, fault=FaultLine(kind="garbage", after_bytes=whole))


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < 1e12 else None


def _lines(text: str) -> Iterator[CallLine]:
    decoder = json.JSONDecoder()
    for match in _CALL.finditer(text):
        line = text[match.end() :].split("\n", 1)[0]
        try:
            args, _ = decoder.raw_decode(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(args, dict):
            compact = json.dumps(args, ensure_ascii=False, separators=(", ", ": "))
            yield CallLine(match.group(1), compact)


def _readings(text: str) -> Iterator[str]:
    """The text itself, or the strings in it when it is a JSON value."""
    if text.lstrip()[:1] in {"{", "[", '"'}:
        try:
            tree = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            yield from _strings(tree, 0)
            return
    yield text


def _strings(tree: object, depth: int) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif depth < _MAX_JSON_DEPTH and isinstance(tree, (dict, list)):
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from _strings(child, depth + 1)
