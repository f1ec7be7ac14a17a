"""Single messages. Source: conversations.md, 8.2, 14."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from interlock.conversations.ports import Ask
from interlock.conversations.views import instant
from interlock.surfaces.chat.auth import Caller
from interlock.surfaces.chat.envelope import json_answer
from interlock.surfaces.chat.parts import ERRORS, Id, RepeatKey, TalksOf, limited
from interlock.surfaces.chat.routes.posted import posted_answer
from interlock.surfaces.chat.schemas.asked import EditIn, MessageIn, ReasonIn, RegenerateIn
from interlock.surfaces.chat.schemas.told import (
    CancelOut,
    ChunkOut,
    MessageView,
    PostedOut,
    ReasoningOut,
)

__all__ = ["router"]

router = APIRouter(responses=ERRORS, tags=["messages"])


@router.get("/api/messages/{id}", responses={200: {"model": MessageView}})
async def message(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """One message."""
    return json_answer(await talks.reading.message(ctx, id.lower()))


@router.post(
    "/api/messages/{parent_id}/reply", status_code=201, responses={201: {"model": PostedOut}}
)
async def reply(
    parent_id: Id, body: MessageIn, ctx: Caller, talks: TalksOf, key: RepeatKey = None
) -> Response:
    """Answers a message; agents answer in the background."""
    return posted_answer(await talks.posting.reply(ctx, parent_id.lower(), body.draft(key)))


@router.get("/api/messages/{id}/chunks", responses={200: {"model": list[ChunkOut]}})
async def chunks(
    id: Id,  # noqa: A002
    ctx: Caller,
    talks: TalksOf,
    start: Annotated[int, Query(alias="from", ge=0, le=2**31 - 1)] = 0,
    limit: int = 500,
) -> Response:
    """Pieces of a message from an index."""
    found = await talks.reading.chunks(
        ctx, id.lower(), start=start, limit=limited(limit, default=500, most=5000)
    )
    return json_answer(
        [
            {
                "message_id": one.message_id,
                "idx": one.idx,
                "content": one.content,
                "created_at": instant(one.created_at),
            }
            for one in found
        ]
    )


@router.post("/api/messages/{id}/edit", status_code=204)
async def edit(id: Id, body: EditIn, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Changes a text; what it said before is kept."""
    await talks.editing.edit(ctx, id.lower(), body.content, body.reason)
    return Response(status_code=204)


@router.post("/api/messages/{id}/delete", status_code=204)
async def delete(
    id: Id,  # noqa: A002
    ctx: Caller,
    talks: TalksOf,
    body: ReasonIn | None = None,
) -> Response:
    """Takes a text away; the message keeps its place."""
    await talks.editing.delete(ctx, id.lower(), None if body is None else body.reason)
    return Response(status_code=204)


@router.post("/api/messages/{id}/restore", status_code=204)
async def restore(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Brings a deleted message back."""
    await talks.editing.restore(ctx, id.lower())
    return Response(status_code=204)


@router.post("/api/messages/{id}/cancel", status_code=202, responses={202: {"model": CancelOut}})
async def cancel(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Stops a reply; its text so far stays."""
    status = await talks.editing.cancel(ctx, id.lower())
    return json_answer({"message_id": id.lower(), "status": status}, 202)


@router.post(
    "/api/messages/{id}/regenerate", status_code=201, responses={201: {"model": PostedOut}}
)
async def regenerate(
    id: Id,  # noqa: A002
    ctx: Caller,
    talks: TalksOf,
    body: RegenerateIn | None = None,
    key: RepeatKey = None,
) -> Response:
    """Asks for another reply beside one."""
    ask = Ask() if body is None else body.ask()
    return posted_answer(await talks.posting.regenerate(ctx, id.lower(), ask, repeat_key=key))


@router.get("/api/messages/{id}/reasoning", responses={200: {"model": ReasoningOut}})
async def reasoning(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """How a reply came about; members."""
    return json_answer(await talks.reading.reasoning(ctx, id.lower()))
