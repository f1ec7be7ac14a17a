"""Prompts and replies that may be waited for. Source: conversations.md, 10.1, 10.3."""

import asyncio
from functools import partial
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from interlock.conversations.posting import Posted
from interlock.conversations.streaming.cursor import read_cursor
from interlock.identity.context import Context
from interlock.surfaces.chat.auth import Caller
from interlock.surfaces.chat.envelope import json_answer
from interlock.surfaces.chat.parts import ERRORS, ChatParts, Id, Parts, RepeatKey
from interlock.surfaces.chat.routes.posted import posted_answer, posted_view, replayed_headers
from interlock.surfaces.chat.schemas.asked import ChatIn, ReplyIn
from interlock.surfaces.chat.schemas.told import PostedOut
from interlock.surfaces.chat.streaming import EventStream, Turn

__all__ = ["router"]

router = APIRouter(responses=ERRORS, tags=["chat"])
_WAIT_S = 120.0
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": PostedOut,
        "description": "The finished reply, or its events.",
        "content": {"text/event-stream": {}},
    }
}


@router.post("/api/chat", status_code=202, responses={**_ANSWERS, 202: {"model": PostedOut}})
async def prompt(
    body: ChatIn, request: Request, ctx: Caller, parts: Parts, key: RepeatKey = None
) -> Response:
    """Asks the agents; they answer in the background, on a stream, or while one waits."""
    posted = await parts.talks.posting.prompt(
        ctx,
        body.draft(key),
        conversation_id=body.conversation_id and body.conversation_id.lower(),
        parent_id=body.parent_id and body.parent_id.lower(),
        title=body.title,
    )
    more = _turn(posted)
    return await _answer(parts, ctx, request, body, posted=posted, more=more) or posted_answer(
        posted, 202, more
    )


@router.post(
    "/api/conversations/{id}/reply",
    status_code=201,
    responses={**_ANSWERS, 201: {"model": PostedOut}, 202: {"model": PostedOut}},
)
async def reply(
    *,
    id: Id,  # noqa: A002
    body: ReplyIn,
    request: Request,
    ctx: Caller,
    parts: Parts,
    key: RepeatKey = None,
) -> Response:
    """Answers where it fits; the rules of the conversation say which agents reply."""
    posted = await parts.talks.posting.reply_in(
        ctx,
        id.lower(),
        body.draft(key),
        parent_id=body.parent_id and body.parent_id.lower(),
        root_id=body.root_id and body.root_id.lower(),
    )
    more = _turn(posted) if posted.assistant_message_ids else {}
    return await _answer(parts, ctx, request, body, posted=posted, more=more) or posted_answer(
        posted
    )


async def _answer(
    parts: ChatParts,
    ctx: Context,
    request: Request,
    body: ReplyIn,
    *,
    posted: Posted,
    more: dict[str, Any],
) -> Response | None:
    """A stream or a finished reply, when one was asked for."""
    streamed = body.stream or "text/event-stream" in request.headers.get("accept", "")
    if not (streamed or body.wait) or (body.wait and not posted.assistant_message_ids):
        return None
    reader = await parts.talks.streams.one(
        ctx,
        posted.conversation_id,
        read_cursor(None, posted.last_event_id, None),
        extended=False,
    )
    turn = Turn(reader, posted.assistant_message_ids)
    if streamed:
        still_valid = partial(parts.callers.still_valid, ctx)
        return EventStream(parts.streams, reader, still_valid, turn=turn)
    try:
        async with asyncio.timeout(_WAIT_S):
            await turn.wait()
    except TimeoutError:
        return posted_answer(posted, 202, more)
    message = await parts.talks.reading.message(ctx, posted.assistant_message_ids[0])
    done = {
        "status": message["status"],
        "message": message,
        "finish_reason": message["finish_reason"],
        "usage": message["usage"],
    }
    return json_answer(posted_view(posted) | more | done, 200, replayed_headers(posted.replayed))


def _turn(posted: Posted) -> dict[str, Any]:
    """Where to follow the reply."""
    first = next(iter(posted.assistant_message_ids), None)
    return {
        "assistant_message_id": first,
        "run_id": first,
        "status": "queued",
        "stream_url": f"/api/chat/stream?conversation_id={quote(posted.conversation_id)}",
    }
