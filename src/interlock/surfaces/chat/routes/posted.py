"""The answer to a message that was posted."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from interlock.conversations.posting import Posted
from interlock.surfaces.chat.envelope import json_answer

__all__ = ["posted_answer", "posted_view", "replayed_headers"]


def posted_view(posted: Posted) -> dict[str, Any]:
    """A posted message, as clients parse it."""
    view: dict[str, Any] = {
        "message_id": posted.message_id,
        "root_id": posted.root_id,
        "conversation_id": posted.conversation_id,
        "parent_id": posted.parent_id,
        "depth": posted.depth,
        "assistant_message_ids": list(posted.assistant_message_ids),
        "last_event_id": posted.last_event_id,
    }
    if posted.warnings:
        view["warnings"] = list(posted.warnings)
    return view


def replayed_headers(replayed: bool) -> dict[str, str]:
    """Says when an answer is the first one again."""
    return {"Idempotent-Replayed": "true"} if replayed else {}


def posted_answer(
    posted: Posted, code: int = 201, more: Mapping[str, Any] | None = None
) -> Response:
    """The answer to a post."""
    return json_answer(
        posted_view(posted) | dict(more or {}), code, replayed_headers(posted.replayed)
    )
