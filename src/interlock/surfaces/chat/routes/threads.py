"""Threads: lists, trees, roots, read marks. Source: conversations.md, 7.2, 8.2, 9."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from interlock.conversations.views import thread_view
from interlock.surfaces.chat.auth import Caller
from interlock.surfaces.chat.envelope import json_answer
from interlock.surfaces.chat.parts import ERRORS, Id, RepeatKey, TalksOf, instant_of, limited
from interlock.surfaces.chat.routes.posted import posted_answer
from interlock.surfaces.chat.schemas.asked import MessageIn, ReadIn
from interlock.surfaces.chat.schemas.told import PostedOut, ThreadsOut, TreeOut, UnreadOut

__all__ = ["router"]

router = APIRouter(responses=ERRORS, tags=["threads"])


@router.get("/api/conversations/{id}/threads", responses={200: {"model": ThreadsOut}})
async def threads(
    id: Id,  # noqa: A002
    ctx: Caller,
    talks: TalksOf,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: int = 50,
) -> Response:
    """Threads, newest activity first; `after`: only those active before that instant."""
    found, rest = await talks.reading.threads(
        ctx,
        id.lower(),
        below=instant_of("after", after),
        limit=limited(limit, default=50, most=200),
    )
    views = [thread_view(one) for one in found]
    answer: dict[str, Any] = {"threads": views}
    if rest is not None:
        answer["next_after"] = views[-1]["last_activity_at"]
    return json_answer(answer)


@router.get("/api/conversations/{id}/unread", responses={200: {"model": UnreadOut}})
async def unread(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Unread messages per thread."""
    found = await talks.attendance.unread(ctx, id.lower())
    return json_answer(
        {"threads": [{"root_id": root, "unread": count} for root, count in found.items()]}
    )


@router.get("/api/threads/{root_id}/tree", responses={200: {"model": TreeOut}})
async def tree(
    *,
    root_id: Id,
    ctx: Caller,
    talks: TalksOf,
    cursor_path: str | None = None,
    limit: int = 200,
    include_pending: Literal["0", "1", "true", "false"] = "0",
) -> Response:
    """Messages of a thread in path order, strictly after `cursor_path`."""
    views, rest = await talks.reading.tree(
        ctx,
        root_id.lower(),
        after=cursor_path,
        limit=limited(limit, default=200, most=1000),
        pending=include_pending in ("1", "true"),
    )
    answer: dict[str, Any] = {"root_id": root_id.lower(), "messages": views}
    if rest is not None:
        answer["next_cursor"] = rest
    return json_answer(answer)


@router.post(
    "/api/threads/{conversation_id}/root",
    status_code=201,
    responses={201: {"model": PostedOut}},
)
async def root(
    conversation_id: Id, body: MessageIn, ctx: Caller, talks: TalksOf, key: RepeatKey = None
) -> Response:
    """Begins a thread; agents answer in the background."""
    posted = await talks.posting.root(ctx, conversation_id.lower(), body.draft(key))
    return posted_answer(posted)


@router.post("/api/threads/{root_id}/read", status_code=204)
async def read(root_id: Id, ctx: Caller, talks: TalksOf, body: ReadIn | None = None) -> Response:
    """Marks a thread as read up to a message, or to its end."""
    await talks.attendance.read(ctx, root_id.lower(), None if body is None else body.path)
    return Response(status_code=204)
