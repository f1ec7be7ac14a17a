"""Regular expressions in linear time: RE2, whatever the pattern."""

from collections.abc import Mapping
from typing import Any

import re2

from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]

_MOST = 10_000
_MEMORY = 8 << 20


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    flags = set(arguments.get("flags", ""))
    options.case_sensitive = "i" not in flags
    options.dot_nl = "s" in flags
    prefix = "(?m)" if "m" in flags else ""
    try:
        pattern = re2.compile(prefix + arguments["pattern"], options)
    except re2.error as error:
        said = str(error)[:200]
        raise ToolFailure("invalid_pattern", f"the pattern is not valid: {said}") from None
    text, operation = arguments["text"], arguments["operation"]
    if operation == "replace":
        return _replaced(pattern, arguments.get("replacement"), text)
    matches: list[dict[str, Any]] = []
    parts: list[str] = []
    end, truncated = 0, False
    for found in pattern.finditer(text):
        if len(matches) == _MOST:
            truncated = True
            break
        groups = list(found.groups())
        matches.append({"text": found.group(), "start": found.start(), "groups": groups})
        if operation == "split":
            parts.append(text[end : found.start()])
            end = found.end()
        if operation == "test":
            break
    answer: dict[str, Any] = {"matched": bool(matches), "count": len(matches)}
    if operation == "find":
        answer |= {"matches": matches, "truncated": truncated}
    if operation == "split":
        answer |= {"parts": [*parts, text[end:]]}
    return answer


def _replaced(pattern: Any, replacement: str | None, text: str) -> dict[str, Any]:  # noqa: ANN401 - re2 has no types
    if replacement is None:
        raise ToolFailure("missing_replacement", "`replace` needs a `replacement`")
    try:
        result, count = pattern.subn(replacement, text)
    except (re2.error, IndexError, ValueError):
        raise ToolFailure("invalid_replacement", "the replacement names no such group") from None
    return {"matched": count > 0, "count": count, "text": result}


TOOL = Tool(
    name="text_regex",
    title="Regular expressions",
    description="Test, find, replace or split with a regular expression (RE2 syntax: no "
    "backreferences in patterns, no look-around). Flags: i, m, s.",
    category="text",
    input_schema=schema(
        ("operation", "pattern", "text"),
        operation={"enum": ["test", "find", "replace", "split"]},
        pattern={"type": "string", "maxLength": 2000},
        text={"type": "string", "maxLength": 100_000},
        replacement={"type": "string", "maxLength": 2000},
        flags={"type": "string", "pattern": "^[ims]*$", "maxLength": 3},
    ),
    output_schema=schema(
        ("matched", "count"),
        matched={"type": "boolean"},
        count={"type": "integer"},
        matches={"type": "array", "items": {"type": "object"}},
        truncated={"type": "boolean"},
        parts={"type": "array", "items": {"type": "string"}},
        text={"type": "string"},
    ),
    examples=(
        Example(
            arguments={"operation": "find", "pattern": r"(\d+)-(\w)", "text": "a 12-x b 7-y"},
            output={
                "matched": True,
                "count": 2,
                "matches": [
                    {"text": "12-x", "start": 2, "groups": ["12", "x"]},
                    {"text": "7-y", "start": 9, "groups": ["7", "y"]},
                ],
                "truncated": False,
            },
        ),
        Example(
            arguments={
                "operation": "replace",
                "pattern": "(a)(b)",
                "text": "ab AB",
                "replacement": r"\2\1",
                "flags": "i",
            },
            output={"matched": True, "count": 2, "text": "ba BA"},
        ),
        Example(
            arguments={"operation": "split", "pattern": r",\s*", "text": "a, b,c"},
            output={"matched": True, "count": 2, "parts": ["a", "b", "c"]},
        ),
    ),
    run=_run,
)
