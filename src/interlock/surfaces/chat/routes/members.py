"""Participants, invitations, presence of members. Source: conversations.md, 7.2."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from interlock.conversations.model import Invite
from interlock.conversations.views import instant
from interlock.surfaces.chat.auth import Caller
from interlock.surfaces.chat.envelope import json_answer
from interlock.surfaces.chat.parts import ERRORS, Id, RepeatKey, TalksOf
from interlock.surfaces.chat.routes.posted import replayed_headers
from interlock.surfaces.chat.schemas.asked import AcceptIn, InviteIn, ParticipantIn
from interlock.surfaces.chat.schemas.told import (
    AcceptedOut,
    Error,
    InviteOut,
    InvitesOut,
    ParticipantsOut,
    PresenceOut,
)

__all__ = ["router"]

router = APIRouter(responses=ERRORS, tags=["members"])
Token = Annotated[str, Path(min_length=1, max_length=200)]
_DAY_S = 86_400


@router.get("/api/conversations/{id}/participants", responses={200: {"model": ParticipantsOut}})
async def participants(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Members in the order they joined."""
    return json_answer({"participants": await talks.membership.participants(ctx, id.lower())})


@router.post("/api/conversations/{id}/participants", status_code=204)
async def put(
    id: Id,  # noqa: A002
    body: ParticipantIn,
    ctx: Caller,
    talks: TalksOf,
    key: RepeatKey = None,
) -> Response:
    """Adds a member, or changes the role of one; owners and admins."""
    again = await talks.membership.put(
        ctx, id.lower(), body.user_id.lower(), body.role, repeat_key=key
    )
    return Response(status_code=204, headers=replayed_headers(again))


@router.delete("/api/conversations/{id}/participants/{user_id}", status_code=204)
async def remove(id: Id, user_id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Removes a member; owners, admins, and everybody themself."""
    await talks.membership.remove(ctx, id.lower(), user_id.lower())
    return Response(status_code=204)


@router.get("/api/conversations/{id}/presence", responses={200: {"model": PresenceOut}})
async def presence(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """How the people of a conversation are."""
    found = await talks.attendance.present(ctx, id.lower())
    return json_answer(
        {
            "presence": [
                {
                    "user_id": one.user_id,
                    "status": one.status,
                    "last_seen_at": instant(one.last_seen_at) if one.last_seen_at else None,
                }
                for one in found
            ]
        }
    )


@router.post("/api/conversations/{id}/invites", responses={200: {"model": InviteOut}})
async def invite(id: Id, body: InviteIn, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Invites an address; owners and admins. The token is shown only now."""
    ttl_s = body.ttl_seconds if body.ttl_seconds is not None else body.ttl_secs
    token, expires_at = await talks.membership.invite(
        ctx,
        id.lower(),
        email=body.email,
        role=body.role,
        ttl_s=_DAY_S if ttl_s is None else ttl_s,
    )
    return json_answer({"token": token, "expires_at": instant(expires_at)})


@router.get("/api/conversations/{id}/invites", responses={200: {"model": InvitesOut}})
async def invites(id: Id, ctx: Caller, talks: TalksOf) -> Response:  # noqa: A002
    """Invitations, newest first; owners and admins."""
    found = await talks.membership.invites(ctx, id.lower())
    return json_answer({"invites": [_view(one, talks.membership.now()) for one in found]})


@router.post(
    "/api/invites/accept",
    responses={
        200: {"model": AcceptedOut},
        410: {"model": Error, "description": "The invitation is over."},
    },
)
async def accept(body: AcceptIn, ctx: Caller, talks: TalksOf) -> Response:
    """Joins by an invitation."""
    return json_answer({"conversation_id": await talks.membership.accept(ctx, body.token)})


@router.post("/api/invites/{token}/revoke", status_code=204)
async def revoke(token: Token, ctx: Caller, talks: TalksOf) -> Response:
    """Takes an invitation back; owners and admins of its conversation."""
    await talks.membership.revoke(ctx, token)
    return Response(status_code=204)


def _view(one: Invite, now: float) -> dict[str, object]:
    status = "open" if one.expires_at > now else "expired"
    if one.used_at is not None:
        status = "used"
    elif one.revoked_at is not None:
        status = "revoked"
    return {
        "id": one.id,
        "email": one.email,
        "role": one.role,
        "created_by": one.created_by,
        "created_at": instant(one.created_at),
        "expires_at": instant(one.expires_at),
        "status": status,
    }
