"""What a request's history contains: ids of tool calls, their results, the user's words.

Only ids in the places of ids count: text that looks like one, wherever it stands, is
not an id. Likewise only what stands as text in a message of the user is the user's word.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import json

from interlock.providers.wire.exchange import FormatName
from interlock.providers.wire.relay.exact import JSON_ERRORS

__all__ = ["called_ids", "given_results", "last_called", "said_by_user"]

_CALLS = ("_call", "_use")
_SPOKEN = ("text", "input_text")


def called_ids(name: FormatName, body: bytes) -> Iterator[str]:
    """Ids of the calls in the assistant's part of the history, newest first.

    Nothing for a broken body.
    """
    for item in reversed(_listed(name, body)):
        if isinstance(item, dict):
            yield from _ids(name, item)


def given_results(
    name: FormatName, body: bytes, prepended: Sequence[Any] = ()
) -> Iterator[tuple[str, str]]:
    """Every tool result of the history, oldest first: id of the call, its texts joined by newlines.

    `prepended` are items that will stand before those of the body (Responses). Results
    without any text are left out. Nothing for a broken body.
    """
    for item in (*prepended, *_listed(name, body)):
        if isinstance(item, dict):
            yield from _results(name, item)


def last_called(items: Sequence[Any]) -> list[str]:
    """Ids of the calls among the model's last ones of Responses items, in order."""
    called: list[str] = []
    for item in reversed(items):
        kind = str(item.get("type", "message")) if isinstance(item, dict) else "_output"
        if kind.endswith("_output") or (kind == "message" and item.get("role") != "assistant"):
            break
        call_id = item.get("call_id") or item.get("id")
        if kind.endswith("_call") and isinstance(call_id, str):
            called.append(call_id)
    return called[::-1]


def said_by_user(name: FormatName, body: bytes, prepended: Sequence[Any] = ()) -> Iterator[str]:
    """The texts of all messages of the user, oldest first.

    Tool results are never part of it, though Messages carries them in the user's
    messages; nor are system texts, documents, images, or anything an assistant said.
    Nothing for a broken body.
    """
    if name == "responses" and isinstance(plain := _member(body, "input"), str):
        yield plain
    for item in (*prepended, *_listed(name, body)):
        if not isinstance(item, dict) or item.get("role") != "user":
            continue
        if name == "responses" and item.get("type", "message") != "message":
            continue
        content = item.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        for part in parts:
            if isinstance(part, dict) and part.get("type") in _SPOKEN:
                text = part.get("text")
                if isinstance(text, str):
                    yield text


def _member(body: bytes, name: str) -> object:
    try:
        tree = json.decode(body)
    except JSON_ERRORS:
        return None
    return tree.get(name) if isinstance(tree, dict) else None


def _listed(name: FormatName, body: bytes) -> list[Any]:
    listed = _member(body, "input" if name == "responses" else "messages")
    return listed if isinstance(listed, list) else []


def _results(name: FormatName, item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if name == "chat":
        found = (
            [(item.get("tool_call_id"), item.get("content"))] if item.get("role") == "tool" else []
        )
    elif name == "messages":
        parts = item.get("content") if item.get("role") == "user" else None
        found = [
            (part.get("tool_use_id"), part.get("content"))
            for part in (parts if isinstance(parts, list) else [])
            if isinstance(part, dict) and str(part.get("type")).endswith("tool_result")
        ]
    else:
        is_output = str(item.get("type")).endswith("_output")
        found = [(item.get("call_id"), item.get("output"))] if is_output else []
    for call_id, content in found:
        text = _text(content)
        if isinstance(call_id, str) and text:
            yield call_id, text


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


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
