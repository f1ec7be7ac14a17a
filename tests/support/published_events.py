"""Events as the published clients parse them: closed sets, required fields, nothing guessed.

Source: conversations.md 1.5 and 11.2. A client that cannot parse an event prints it as noise
(the CLI) or drops it (the web client); here it raises.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

__all__ = ["NINE", "parsed", "timestamp_of"]

_ROLES = {"owner", "admin", "member", "viewer"}
_ACTIONS = {"added", "removed", "role_updated"}
_PRESENCE = {"online", "away", "offline"}
_REASONS = {"stop", "length", "cancelled", "timeout", "error", "content_filter"}


def _id(value: Any) -> None:
    assert str(uuid.UUID(value)) == value


def _maybe_id(value: Any) -> None:
    if value is not None:
        _id(value)


def _instant(value: Any) -> None:
    assert datetime.fromisoformat(value).tzinfo is not None


def _count(value: Any) -> None:
    assert type(value) is int
    assert value >= 0


def _text(value: Any) -> None:
    assert isinstance(value, str)


def _one_of(known: set[str]) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        assert value in known

    return check


def _all(**fields: Callable[[Any], None]) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        for name, one in fields.items():
            one(value[name])

    return check


def _choices(value: Any) -> None:
    assert len(value) == 1
    assert value[0]["index"] == 0
    delta = value[0]["delta"]
    assert delta["content"]
    assert delta.get("role", "assistant") in {"user", "assistant", "system", "tool"}


_SUMMARY = _all(
    root_id=_id,
    root_excerpt=_text,
    root_author=_maybe_id,
    created_at=_instant,
    last_activity_at=_instant,
    message_count=_count,
    participant_count=_count,
)
_USAGE = _all(prompt_tokens=_count, completion_tokens=_count, total_tokens=_count)
NINE: Mapping[str, Callable[[Any], None]] = {
    "thread.new": _all(conversation_id=_id, root_id=_id, summary=_SUMMARY),
    "thread.activity": _all(root_id=_id, last_activity_at=_instant),
    "message.delta": _all(
        id=_text,
        object=_one_of({"chat.completion.chunk"}),
        root_id=_id,
        message_id=_id,
        conversation_id=_id,
        parent_id=_maybe_id,
        depth=_count,
        choices=_choices,
    ),
    "message.done": _all(
        message_id=_id,
        root_id=_id,
        conversation_id=_id,
        finish_reason=_one_of(_REASONS),
        usage=_USAGE,
    ),
    "presence.update": _all(user_id=_id, status=_one_of(_PRESENCE), last_seen_at=_instant),
    "typing.update": _all(conversation_id=_id, root_id=_id, user_id=_id, expires_at=_instant),
    "unread.update": _all(root_id=_id, unread=_count),
    "membership.changed": _all(
        conversation_id=_id, user_id=_id, role=_one_of(_ROLES), action=_one_of(_ACTIONS)
    ),
    "error": _all(code=_text, message=_text),
}


def parsed(name: str, data: str) -> tuple[str, dict[str, Any]]:
    """Type and payload of an event. Raises: the published clients could not read it."""
    event = json.loads(data)
    assert event["type"] == name
    payload: dict[str, Any] = event["payload"]
    NINE[name](payload)
    return name, payload


def timestamp_of(event_id: str) -> str | None:
    """What the CLI sends as `since`: the last part of an id of four parts."""
    parts = event_id.split(":")
    return parts[3] if len(parts) == 4 and parts[3].lstrip("-").isdigit() else None
