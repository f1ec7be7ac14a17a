"""Participants and invitations."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from interlock.conversations.announcing import (
    conversation_stream,
    joined,
    left,
    membership_changed,
    presence_update,
    user_stream,
)
from interlock.conversations.errors import (
    ForbiddenError,
    InvalidFieldError,
    InviteExistsError,
    InviteGoneError,
    LastOwnerError,
    NotFoundError,
)
from interlock.conversations.model import Invite, Member, MemberRole, Presence
from interlock.conversations.permissions import Action, may_change_role
from interlock.conversations.repository.attendance import InviteRepository
from interlock.conversations.service import kind_of, participants_of
from interlock.conversations.spine import Spine, Work, user_of
from interlock.events.model import NewEvent
from interlock.identity.context import Context
from interlock.kernel.ids import new_uuid

__all__ = ["Membership"]

_TTL_S = (60, 2_592_000)
_TOKEN_BYTES = 32
_RANK: Mapping[MemberRole, int] = {"viewer": 0, "member": 1, "admin": 2, "owner": 3}


class Membership:
    """Who is in a conversation, and who is asked in."""

    def __init__(self, spine: Spine) -> None:
        self._spine = spine

    def now(self) -> float:
        """Seconds since the epoch, as invitations expire by."""
        return self._spine.now()

    async def participants(self, ctx: Context, conversation_id: str) -> Sequence[Mapping[str, Any]]:
        """Everyone in a conversation, in the order they joined."""
        async with self._spine.database.read() as connection:
            work = Work(connection)
            await work.enter(ctx, conversation_id, Action.READ)
            members = await work.conversations.members([conversation_id])
            return await participants_of(self._spine, work, members)

    async def put(
        self,
        ctx: Context,
        conversation_id: str,
        user_id: str,
        role: MemberRole,
        *,
        repeat_key: str | None = None,
    ) -> bool:
        """Adds a participant, or gives one another role; the same role changes nothing.

        Whether this repeats a request that was answered before; nothing changes then.

        Raises: NotFoundError, ForbiddenError, LastOwnerError.
        """

        async def do(work: Work) -> Mapping[str, Any]:
            await work.conversations.lock(conversation_id)
            entered = await work.enter(ctx, conversation_id, Action.MANAGE)
            kind = await kind_of(self._spine, work, user_id)
            there = await work.conversations.member(conversation_id, user_id)
            before = None if there is None else there.role
            if not may_change_role(entered.member.role, before=before, after=role):
                raise ForbiddenError("only an owner gives or takes away this role")
            if kind == "agent" and role not in ("member", "viewer"):
                raise InvalidFieldError("role", "of an agent must be `member` or `viewer`")
            if before is None:
                await self._join(work, conversation_id, user_id, kind=kind, role=role)
            elif before != role:
                await self._keep_an_owner(work, conversation_id, before)
                await work.conversations.set_role(conversation_id, user_id, role)
                await self._tell(
                    work,
                    conversation_id,
                    [membership_changed(conversation_id, user_id, role, "role_updated")],
                )
            return {}

        request = {"what": f"participant:{conversation_id}", "user_id": user_id, "role": role}
        return (await self._spine.once(ctx, repeat_key, request, do))[1]

    async def remove(self, ctx: Context, conversation_id: str, user_id: str) -> None:
        """Takes a participant out; anyone may take out themselves.

        Raises: NotFoundError, ForbiddenError, LastOwnerError.
        """
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            await work.conversations.lock(conversation_id)
            myself = user_id == user_of(ctx)
            action = Action.READ if myself else Action.MANAGE
            entered = await work.enter(ctx, conversation_id, action)
            there = await work.conversations.member(conversation_id, user_id)
            if there is None:
                raise NotFoundError("participant", user_id)
            if not myself and not may_change_role(
                entered.member.role, before=there.role, after=None
            ):
                raise ForbiddenError("only an owner removes an owner")
            await self._keep_an_owner(work, conversation_id, there.role)
            await work.conversations.remove_member(conversation_id, user_id)
            gone = Presence(user_id=user_id, status="offline", last_seen_at=self._spine.now())
            await self._tell(
                work,
                conversation_id,
                [
                    membership_changed(conversation_id, user_id, there.role, "removed"),
                    presence_update(gone),
                ],
            )
            if there.kind == "user":
                await self._spine.log.append(
                    connection, user_stream(user_id), [left(conversation_id)]
                )

    async def invite(
        self, ctx: Context, conversation_id: str, *, email: str, role: MemberRole, ttl_s: int
    ) -> tuple[str, float]:
        """Invites an address; the token, shown only now, and when it expires.

        Raises: InvalidFieldError, InviteExistsError, ForbiddenError, NotFoundError.
        """
        address = email.strip().lower()
        if not _address_like(address):
            raise InvalidFieldError("email", "must be an e-mail address")
        if not _TTL_S[0] <= ttl_s <= _TTL_S[1]:
            raise InvalidFieldError("ttl_seconds", f"must be {_TTL_S[0]} to {_TTL_S[1]}")
        async with self._spine.database.transaction() as connection:
            work, invites = Work(connection), InviteRepository(connection)
            await work.conversations.lock(conversation_id)
            entered = await work.enter(ctx, conversation_id, Action.MANAGE)
            if not may_change_role(entered.member.role, before=None, after=role):
                raise ForbiddenError("only an owner invites an owner")
            now = self._spine.now()
            for one in await invites.listed(conversation_id):
                if _open(one, now) and (one.email, one.role) == (address, role):
                    raise InviteExistsError
            token = secrets.token_urlsafe(_TOKEN_BYTES)
            invite = Invite(
                id=new_uuid(),
                conversation_id=conversation_id,
                email=address,
                role=role,
                created_by=user_of(ctx),
                created_at=now,
                expires_at=now + ttl_s,
            )
            await invites.add(invite, token_hash=_hashed(token))
            return token, invite.expires_at

    async def invites(self, ctx: Context, conversation_id: str) -> Sequence[Invite]:
        """Invitations of a conversation, newest first."""
        async with self._spine.database.read() as connection:
            await Work(connection).enter(ctx, conversation_id, Action.MANAGE)
            return await InviteRepository(connection).listed(conversation_id)

    async def accept(self, ctx: Context, token: str) -> str:
        """Joins by an invitation; the conversation's id. The same person may repeat it.

        Raises: NotFoundError, InviteGoneError, ForbiddenError.
        """
        user_id = user_of(ctx)
        async with self._spine.database.transaction() as connection:
            work, invites = Work(connection), InviteRepository(connection)
            found = await invites.by_token(_hashed(token))
            if found is None:
                raise NotFoundError("invitation", "with this token")
            await work.conversations.lock(found.conversation_id)
            invite = await invites.by_token(_hashed(token)) or found
            if invite.used_by is not None:
                if invite.used_by == user_id:
                    return invite.conversation_id
                raise InviteGoneError("used")
            if invite.email != ctx.email.strip().lower():
                raise ForbiddenError("this invitation is for another address")
            now = self._spine.now()
            if invite.revoked_at is not None:
                raise InviteGoneError("revoked")
            if invite.expires_at <= now:
                raise InviteGoneError("expired")
            await invites.close(invite.id, at=now, used_by=user_id)
            await self._welcome(work, invite, user_id, now)
            return invite.conversation_id

    async def revoke(self, ctx: Context, token: str) -> None:
        """Takes an invitation back."""
        async with self._spine.database.transaction() as connection:
            work, invites = Work(connection), InviteRepository(connection)
            invite = await invites.by_token(_hashed(token))
            if invite is None:
                raise NotFoundError("invitation", "with this token")
            await work.enter(ctx, invite.conversation_id, Action.MANAGE)
            if invite.used_at is None and invite.revoked_at is None:
                await invites.close(invite.id, at=self._spine.now())

    async def _welcome(self, work: Work, invite: Invite, user_id: str, now: float) -> None:
        here = Presence(user_id=user_id, status="online", last_seen_at=now)
        await work.attendance.seen(here, announced_at=now)
        there = await work.conversations.member(invite.conversation_id, user_id)
        if there is None:
            await self._join(work, invite.conversation_id, user_id, kind="user", role=invite.role)
        elif _RANK[there.role] < _RANK[invite.role]:
            await work.conversations.set_role(invite.conversation_id, user_id, invite.role)
            await self._tell(
                work,
                invite.conversation_id,
                [membership_changed(invite.conversation_id, user_id, invite.role, "role_updated")],
            )
        await self._tell(work, invite.conversation_id, [presence_update(here)])

    async def _join(
        self,
        work: Work,
        conversation_id: str,
        user_id: str,
        *,
        kind: Literal["user", "agent"],
        role: MemberRole,
    ) -> None:
        conversation = await work.conversations.find(conversation_id)
        if conversation is None:
            raise NotFoundError("conversation", conversation_id)
        await work.conversations.add_member(
            Member(
                conversation_id=conversation_id,
                user_id=user_id,
                kind=kind,
                role=role,
                joined_at=self._spine.now(),
                joined_seq=conversation.last_seq,
            )
        )
        await self._tell(
            work, conversation_id, [membership_changed(conversation_id, user_id, role, "added")]
        )
        if kind == "user":
            await self._spine.log.append(
                work.connection, user_stream(user_id), [joined(conversation_id)]
            )

    async def _keep_an_owner(self, work: Work, conversation_id: str, before: MemberRole) -> None:
        if before == "owner" and await work.conversations.owners(conversation_id) == 1:
            raise LastOwnerError

    async def _tell(self, work: Work, conversation_id: str, events: list[NewEvent]) -> None:
        await self._spine.log.append(work.connection, conversation_stream(conversation_id), events)


def _open(invite: Invite, now: float) -> bool:
    return invite.used_at is None and invite.revoked_at is None and invite.expires_at > now


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _address_like(text: str) -> bool:
    name, at, host = text.rpartition("@")
    return bool(name and at and host) and len(text) <= 320 and not any(map(str.isspace, text))
