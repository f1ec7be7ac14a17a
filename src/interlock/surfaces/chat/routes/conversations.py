"""Conversations as a whole. Source: conversations.md, 7.2."""

import base64
import binascii
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from interlock.conversations.errors import InvalidFieldError
from interlock.conversations.reading import as_document, as_markdown
from interlock.conversations.service import NewConversation
from interlock.conversations.views import thread_view
from interlock.surfaces.chat.auth import Caller
from interlock.surfaces.chat.envelope import json_answer
from interlock.surfaces.chat.parts import ERRORS, Id, IdQuery, RepeatKey, TalksOf, limited
from interlock.surfaces.chat.routes.posted import replayed_headers
from interlock.surfaces.chat.schemas.asked import ConversationIn, ConversationPatch
from interlock.surfaces.chat.schemas.told import (
    ConversationDetailOut,
    ConversationOut,
    ConversationsOut,
    CreatedOut,
)

__all__ = ["router"]

router = APIRouter(responses=ERRORS, tags=["conversations"])
_ARCHIVED = {"false": False, "true": True, "all": None}
_FIELDS = (
    "title",
    "assistant_mode",
    "context_mode",
    "model",
    "system_prompt",
    "default_agent",
    "archived",
)
_NEVER_NULL = ("title", "assistant_mode", "context_mode", "archived")


@router.post("/api/conversations", status_code=201, responses={201: {"model": CreatedOut}})
async def create(
    body: ConversationIn, ctx: Caller, talks: TalksOf, key: RepeatKey = None
) -> Response:
    """Makes a conversation; the caller owns it."""
    made, again = await talks.conversations.create_once(
        ctx,
        NewConversation(
            title=body.title,
            is_group=body.is_group,
            participants=tuple((one.user_id.lower(), one.role) for one in body.participants),
            assistant_mode=body.assistant_mode,
            context_mode=body.context_mode or "thread",
            model=body.model,
            system_prompt=body.system_prompt,
            default_agent=body.default_agent,
        ),
        key,
    )
    answer = {"conversation_id": made["id"], "conversation": made}
    return json_answer(answer, 201, replayed_headers(again))


@router.get("/api/conversations", responses={200: {"model": ConversationsOut}})
async def listed(
    *,
    ctx: Caller,
    talks: TalksOf,
    limit: int = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    q: Annotated[str | None, Query(max_length=256)] = None,
    archived: Literal["false", "true", "all"] = "false",
) -> Response:
    """The caller's conversations, newest activity first."""
    views, rest = await talks.conversations.listed(
        ctx,
        title=(q or "").replace("\x00", "") or None,
        archived=_ARCHIVED[archived],
        below=_place(cursor),
        limit=limited(limit, default=50, most=200),
    )
    answer: dict[str, Any] = {"conversations": views}
    if rest is not None:
        answer["next_cursor"] = base64.urlsafe_b64encode(msgspec.json.encode(rest)).decode()
    return json_answer(answer)


@router.get("/api/conversations/{id}", responses={200: {"model": ConversationDetailOut}})
async def detail(
    *,
    id: Id,  # noqa: A002 - the published name
    ctx: Caller,
    talks: TalksOf,
    limit: int = 200,
    before: IdQuery = None,
    after: IdQuery = None,
    root_id: IdQuery = None,
) -> Response:
    """A conversation with its threads and a page of its messages."""
    found = await talks.conversations.detail(
        ctx,
        id.lower(),
        before=before and before.lower(),
        after=after and after.lower(),
        root_id=root_id and root_id.lower(),
        limit=limited(limit, default=200, most=1000),
    )
    return json_answer(
        {
            **found.view,
            "threads": [thread_view(one) for one in found.threads],
            "messages": await talks.reading.views(found.messages),
            "has_more": found.has_more,
        }
    )


@router.patch("/api/conversations/{id}", responses={200: {"model": ConversationOut}})
async def change(id: Id, body: ConversationPatch, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Changes settings; owners and admins."""
    given = body.model_dump(include=set(_FIELDS), exclude_unset=True)
    for name in _NEVER_NULL:
        if name in given and given[name] is None:
            raise InvalidFieldError(name, "must not be null")
    return json_answer(await talks.conversations.change(ctx, id.lower(), given))


@router.delete("/api/conversations/{id}", status_code=204)
async def delete(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Deletes a conversation with everything in it; owners."""
    await talks.conversations.delete(ctx, id.lower())
    return Response(status_code=204)


@router.post("/api/conversations/{id}/leave", status_code=204)
async def leave(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Leaves a conversation."""
    await talks.membership.remove(ctx, id.lower(), ctx.user_id or "")
    return Response(status_code=204)


@router.get(
    "/api/conversations/{id}/export",
    responses={200: {"content": {"application/json": {}, "text/markdown": {}}}},
)
async def export(
    id: Id,  # noqa: A002
    ctx: Caller,
    talks: TalksOf,
    format: Literal["json", "md"] = "json",  # noqa: A002
) -> Response:
    """The whole conversation as a file."""
    found = await talks.reading.export(ctx, id.lower())
    name = f'attachment; filename="conversation-{found.conversation.id}.{format}"'
    headers = {"Content-Disposition": name}
    if format == "json":
        return json_answer(as_document(found), headers=headers)
    headers["Cache-Control"] = "no-store"
    return Response(
        as_markdown(found).encode("utf-8", "replace"),
        media_type="text/markdown; charset=utf-8",
        headers=headers,
    )


def _place(cursor: str | None) -> tuple[float, str] | None:
    if cursor is None:
        return None
    try:
        return msgspec.json.decode(
            base64.b64decode(cursor.encode(), altchars=b"-_", validate=True),
            type=tuple[float, str],
        )
    except (msgspec.DecodeError, binascii.Error, UnicodeError):
        raise InvalidFieldError("cursor", "was not given by this server") from None
