"""People, agents, search, typing, presence. Source: conversations.md, 7.2, 9."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from interlock.surfaces.chat.auth import Caller
from interlock.surfaces.chat.envelope import json_answer
from interlock.surfaces.chat.parts import ERRORS, IdQuery, TalksOf, limited
from interlock.surfaces.chat.schemas.asked import HeartbeatIn, TypingIn
from interlock.surfaces.chat.schemas.told import AssistantsOut, SearchOut, UsersOut

__all__ = ["router"]

router = APIRouter(responses=ERRORS, tags=["people"])


@router.get("/api/users", responses={200: {"model": UsersOut}})
async def users(
    ctx: Caller,
    talks: TalksOf,
    q: Annotated[str, Query(max_length=200)] = "",
    conversation_id: IdQuery = None,
) -> Response:
    """People by name, at most 20; e-mail addresses are for admins."""
    found = await talks.reading.users(
        ctx, q, conversation_id=conversation_id and conversation_id.lower()
    )
    views: list[dict[str, Any]] = []
    for one in found:
        view = {"id": one.id, "username": one.username, "display_name": one.display_name}
        views.append(view | ({"email": one.email} if ctx.is_admin else {}))
    return json_answer({"users": views})


@router.get("/api/assistants", responses={200: {"model": AssistantsOut}})
async def assistants(ctx: Caller, talks: TalksOf) -> Response:
    """Agents that can be mentioned."""
    found = await talks.reading.assistants(ctx)
    return json_answer(
        {
            "assistants": [
                {
                    "id": one.id,
                    "handle": one.handle,
                    "display_name": one.display_name,
                    "kind": one.kind,
                    "model": one.model,
                    "description": one.description,
                }
                for one in found
            ]
        }
    )


@router.get("/api/search", responses={200: {"model": SearchOut}})
async def search(
    *,
    ctx: Caller,
    talks: TalksOf,
    q: Annotated[str, Query(max_length=500)] = "",
    conversation_id: IdQuery = None,
    limit: int = 20,
    cursor: IdQuery = None,
) -> Response:
    """Messages the caller may read that contain all words, newest first."""
    found, rest = await talks.reading.search(
        ctx,
        q,
        conversation_id=conversation_id and conversation_id.lower(),
        below=cursor and cursor.lower(),
        limit=limited(limit, default=20, most=100),
    )
    answer: dict[str, Any] = {
        "results": [{"message": one.message, "snippet": one.snippet} for one in found]
    }
    if rest is not None:
        answer["next_cursor"] = rest
    return json_answer(answer)


@router.post("/api/typing", status_code=204)
async def typing(body: TypingIn, ctx: Caller, talks: TalksOf) -> Response:
    """Says that the caller types in a thread."""
    await talks.attendance.typing(
        ctx, body.conversation_id.lower(), body.root_id.lower(), body.seconds
    )
    return Response(status_code=204)


@router.post("/api/presence/heartbeat", status_code=204)
async def heartbeat(ctx: Caller, talks: TalksOf, body: HeartbeatIn | None = None) -> Response:
    """Says how the caller is."""
    status = None if body is None else body.status
    await talks.attendance.beat(ctx, status or "online")
    return Response(status_code=204)
