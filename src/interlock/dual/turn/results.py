"""What a tool's answer becomes before the program gets it.

In the order of 10.5: transform, error detection, JSON, unwrap; the labels follow. All of it
is done on the text as the client sent it; nothing here is ever shown to a planner.

Source: gateway.md 6.1 (`tool_result_transform`, `detect_tool_errors`,
`strict_tool_result_parsing`), 10.5.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import re2

from interlock.dual.turn.config import Fsm
from interlock.policy.labels import combine_labels, unwrap
from interlock.policy.model import Labels, LabelSet

__all__ = [
    "NON_EXECUTABLE",
    "Received",
    "decoded",
    "detection_text",
    "is_error_text",
    "labelled",
    "shown_to_detector",
]

NON_EXECUTABLE: Final = LabelSet.of("__non_executable")

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_EXIT = re2.compile(r"(?i)^\s*(?:process\s+)?(?:exited with code|exit code:?)\s+(-?\d{1,9})\s*$")
_PREFIX = re2.compile(
    r"(?i)^\s*(?:chunk id|wall time|original token count|total output lines|process running with"
    r"|(?:process\s+)?(?:exited with code|exit code))\b"
)
_PREFIX_LINES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A tool's answer after the transform."""

    text: str
    """What error detection looks at."""
    exit_code: int | None = None
    """Of a command that a coding client ran."""
    command: bool = False
    """Whether a coding client's prefix was taken off."""


def detection_text(text: str, fsm: Fsm) -> Received:
    """The answer with the configured transform applied."""
    return _codex(text) if fsm.tool_result_transform == "codex" else Received(text=text)


def is_error_text(received: Received, fsm: Fsm) -> bool:
    """What the configured pattern says of the first characters; always false without one."""
    if fsm.detect_tool_errors != "regex":
        return False
    pattern = re2.compile(fsm.detect_tool_error_regex_pattern, _OPTIONS)
    return pattern.search(_head(received.text, fsm)) is not None


def shown_to_detector(received: Received, fsm: Fsm) -> str:
    """The characters an error detector model is asked about."""
    return _head(received.text, fsm)


def decoded(received: Received, *, parse: bool) -> Any:  # noqa: ANN401 - plain JSON
    """The value of an answer: its JSON when it is some and may be parsed, else its text."""
    value = _json(received.text) if parse else received.text
    if received.command:
        return {"exit_code": received.exit_code, "output": value}
    return value


def labelled(value: object, initial: Labels, *, non_executable: bool) -> tuple[Any, Labels]:
    """The value without its wrapper, and the labels it starts with."""
    wrapped = unwrap(value)
    labels = initial
    if wrapped is not None:
        value, labels = wrapped.value, combine_labels(initial, wrapped)
    if non_executable:
        labels = labels.merge(Labels(tags=NON_EXECUTABLE))
    return value, labels


def _head(text: str, fsm: Fsm) -> str:
    limit = fsm.detect_tool_error_max_result_length
    return text if limit is None else text[:limit]


def _json(text: str) -> Any:  # noqa: ANN401 - plain JSON
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> object:
    """NaN and Infinity are no JSON, whatever the host's decoder thinks."""
    raise ValueError(name)


def _codex(text: str) -> Received:
    """Codex CLI puts lines of metadata before a command's output, or wraps it in an object."""
    whole = _json(text) if text.lstrip().startswith("{") else None
    if isinstance(whole, Mapping) and isinstance(whole.get("output"), str):
        metadata = whole.get("metadata")
        code = metadata.get("exit_code") if isinstance(metadata, Mapping) else None
        known = code if isinstance(code, int) and not isinstance(code, bool) else None
        return Received(text=whole["output"], exit_code=known, command=True)
    lines = text.split("\n", _PREFIX_LINES)
    exit_code: int | None = None
    for index, line in enumerate(lines[:_PREFIX_LINES]):
        if line.strip().lower() == "output:" and index:
            output = "\n".join(lines[index + 1 :])
            return Received(text=output, exit_code=exit_code, command=True)
        if line.strip() and _PREFIX.search(line) is None:
            break
        found = _EXIT.search(line)
        if found is not None:
            exit_code = int(found.group(1))
    return Received(text=text)
