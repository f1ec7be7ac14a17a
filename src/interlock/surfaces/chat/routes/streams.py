"""Live streams. Source: conversations.md, 10.2, 11."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from interlock.conversations.errors import NotFoundError
from interlock.conversations.streaming.cursor import read_cursor
from interlock.conversations.streaming.reader import Reader
from interlock.identity.context import Context
from interlock.surfaces.chat.auth import Caller
from interlock.surfaces.chat.parts import ERRORS, ChatParts, Id, Parts
from interlock.surfaces.chat.streaming import EventStream

__all__ = ["router"]

router = APIRouter(responses=ERRORS, tags=["streams"])
Flag = Literal["0", "1", "true", "false"]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events.", "content": {"text/event-stream": {}}}
}


@router.get("/api/stream/conversations/{conversation_id}", responses=_STREAM)
async def conversation(
    *,
    conversation_id: Id,
    ctx: Caller,
    parts: Parts,
    last: LastEventId = None,
    last_event_id: str | None = None,
    since: str | None = None,
    extended: Flag = "0",
) -> Response:
    """Events of one conversation."""
    _streaming(parts)
    more = extended in ("1", "true")
    reader = await parts.talks.streams.one(
        ctx, conversation_id.lower(), read_cursor(last, last_event_id, since), extended=more
    )
    return _answer(parts, ctx, reader)


@router.get("/api/chat/stream", responses=_STREAM)
async def everything(
    *,
    ctx: Caller,
    parts: Parts,
    last: LastEventId = None,
    conversation_id: Annotated[list[Id] | None, Query()] = None,
    last_event_id: str | None = None,
    since: str | None = None,
    extended: Flag = "1",
) -> Response:
    """Events of all conversations of the caller, or of some."""
    _streaming(parts)
    more = extended in ("1", "true")
    reader = await parts.talks.streams.every(
        ctx,
        read_cursor(last, last_event_id, since),
        only=tuple(dict.fromkeys(one.lower() for one in conversation_id or ())),
        extended=more,
    )
    return _answer(parts, ctx, reader)


def _streaming(parts: ChatParts) -> None:
    if not parts.streaming:
        raise NotFoundError("stream", "while `features.sse_v1` is off")


def _answer(parts: ChatParts, ctx: Context, reader: Reader) -> Response:
    return EventStream(parts.streams, reader, partial(parts.callers.still_valid, ctx))
