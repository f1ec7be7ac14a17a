"""Which tool calls a request's history contains, by their ids, newest first.

Only ids in the places of ids count: text that looks like one, wherever it stands, is
not an id.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import json

from interlock.providers.wire.exchange import FormatName
from interlock.providers.wire.relay.exact import JSON_ERRORS

__all__ = ["called_ids"]

_CALLS = ("_call", "_use")


def called_ids(name: FormatName, body: bytes) -> Iterator[str]:
    """Ids of the calls in the assistant's part of the history; nothing for a broken body."""
    try:
        tree = json.decode(body)
    except JSON_ERRORS:
        return
    if not isinstance(tree, dict):
        return
    listed = tree.get("input" if name == "responses" else "messages")
    for item in reversed(listed if isinstance(listed, list) else []):
        if isinstance(item, dict):
            yield from _ids(name, item)


def _ids(name: FormatName, item: dict[str, Any]) -> Iterator[str]:
    if name == "responses":
        kind, call_id = item.get("type"), item.get("call_id")
        if isinstance(kind, str) and kind.endswith(_CALLS) and isinstance(call_id, str):
            yield call_id
        return
    if item.get("role") != "assistant":
        return
    parts = item.get("tool_calls" if name == "chat" else "content")
    for part in reversed(parts if isinstance(parts, list) else []):
        if not isinstance(part, dict) or not isinstance(part.get("id"), str):
            continue
        if name == "chat" or str(part.get("type")).endswith("_use"):
            yield part["id"]
