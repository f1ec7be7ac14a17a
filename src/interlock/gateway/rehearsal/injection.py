"""The injected text: the calls it asks for, and the tool result it is put into. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from interlock.gateway.rehearsal.errors import InvalidInjectionError
from interlock.gateway.rehearsal.model import Asked
from interlock.policy.labels import unwrap
from interlock.providers.demo.lines import Directives, call_lines, directives

__all__ = ["MAX_CHARS", "asked_calls", "canonical", "follows", "poisoned"]

MAX_CHARS = 1 << 20


def asked_calls(text: str) -> tuple[Asked, ...]:
    """The calls a text asks a gullible model for, in order.

    Raises:
        InvalidInjectionError: it is empty, too long, no Unicode text, or commands the demo
            model to do what no model does (fail, wait, flood).
    """
    if not text.strip():
        raise InvalidInjectionError("is empty")
    if len(text) > MAX_CHARS:
        raise InvalidInjectionError(f"has more than {MAX_CHARS} characters")
    if not _is_unicode(text):
        raise InvalidInjectionError("is not Unicode text")
    found = directives(text, faults=False)
    if Directives(say=found.say) != found:
        raise InvalidInjectionError("has a line FAIL, SLOW or TOKENS, which steers the demo model")
    lines = call_lines(text)
    if not all(_is_unicode(line.arguments) for line in lines):
        raise InvalidInjectionError("has a CALL line with half a character (`\\ud800`)")
    return tuple(Asked(line.tool, json.loads(line.arguments)) for line in lines)


def poisoned(original: str | None, text: str) -> str:
    """A tool result as it would be with the text in it.

    An attacker controls one text of what a tool returns, so a structured result keeps its
    structure and the text stands behind its longest prose: the longest string of several
    words, or else the longest one. Without an original the text is the result.
    """
    if original is None:
        return text
    try:
        tree = json.loads(original)
    except (ValueError, RecursionError):
        return f"{original}\n{text}"
    wrapped = unwrap(tree)
    holder: Any = tree if wrapped is not None else {"value": tree}
    place = _longest(holder, "value")
    if place is None:
        return text
    container, key = place
    container[key] = f"{container[key]}\n{text}"
    found = tree if wrapped is not None else holder["value"]
    plain = json.dumps(found, ensure_ascii=False)
    return plain if _is_unicode(plain) else json.dumps(found)


def _longest(holder: dict[str, Any], first: str) -> tuple[Any, Any] | None:
    """Where the longest prose below a member stands: its container and key there."""
    found: tuple[Any, Any] | None = None
    best = (False, -1)
    todo: list[tuple[Any, Any]] = [(holder, first)]
    while todo:
        container, key = todo.pop()
        value = container[key]
        if isinstance(value, str):
            rank = (" " in value, len(value))
            if rank > best:
                found, best = (container, key), rank
        elif isinstance(value, dict):
            todo += [(value, name) for name in reversed(value)]
        elif isinstance(value, list):
            todo += [(value, index) for index in reversed(range(len(value)))]
    return found


def follows(asked: Asked, tool: str, args: Mapping[str, Any]) -> bool:
    """Whether a program's call does what the text asks for: its tool, with a value it gives."""
    if asked.tool != tool:
        return False
    if not asked.args:
        return True
    return any(name in args and args[name] == value for name, value in asked.args.items())


def _is_unicode(text: str) -> bool:
    """Whether it can be sent: no half of a surrogate pair is in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def canonical(args: object) -> str:
    """Equal for equal arguments."""
    return json.dumps(args, sort_keys=True)
