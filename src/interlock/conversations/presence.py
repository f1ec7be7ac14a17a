"""Who is there and who types.

A person without a beat or an open stream is `away` after 90 s and `offline` after 5 minutes.
Others are told when the status changes, otherwise at most once a minute.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from interlock.conversations.announcing import (
    conversation_stream,
    presence_update,
    typing_update,
    unread_update,
)
from interlock.conversations.errors import InvalidFieldError
from interlock.conversations.model import Presence, PresenceStatus
from interlock.conversations.paths import valid_path
from interlock.conversations.permissions import Action
from interlock.conversations.spine import Spine, Work, user_of
from interlock.identity.context import Context
from interlock.kernel.errors import InterlockError

__all__ = ["Attendance", "come_online"]

AWAY_S, OFFLINE_S = 90.0, 300.0
_AGAIN_S = 60.0
_TYPING_S = 30.0
_SWEEP_S = 15.0

_log = logging.getLogger("interlock.conversations")


class Attendance:
    """Heartbeats, typing and read marks."""

    def __init__(self, spine: Spine) -> None:
        self._spine = spine

    async def beat(self, ctx: Context, status: PresenceStatus) -> None:
        """Says how the caller is."""
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            user_id = user_of(ctx)
            now = self._spine.now()
            now_is = Presence(user_id=user_id, status=status, last_seen_at=now)
            if await _note(work, now_is):
                await _announce(self._spine, work, now_is)

    async def typing(
        self, ctx: Context, conversation_id: str, root_id: str, seconds: float
    ) -> None:
        """Says that the caller types in a thread for some seconds; 0 or less: no more."""
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            await work.enter(ctx, conversation_id, Action.POST)
            root = await work.messages.find(root_id)
            if root is None or root.parent_id or root.conversation_id != conversation_id:
                raise InvalidFieldError("root_id", "names no thread of this conversation")
            until = self._spine.now() + min(max(seconds, 0.0), _TYPING_S)
            await self._spine.log.append(
                connection,
                conversation_stream(conversation_id),
                [typing_update(conversation_id, root_id, user_of(ctx), until)],
            )

    async def read(self, ctx: Context, root_id: str, path: str | None) -> None:
        """Marks a thread as read up to the message of a path, or up to the newest."""
        if path is not None and not valid_path(path):
            raise InvalidFieldError("path", "is no path of a message")
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            root, entered = await work.root(ctx, root_id, Action.READ)
            seq = (
                await work.messages.last_seq(root_id)
                if path is None
                else await work.messages.seq_of_path(root_id, path)
            )
            if seq is None:
                raise InvalidFieldError("path", "names no message of this thread")
            user_id = entered.member.user_id
            await work.attendance.mark(root.conversation_id, root_id, user_id, seq)
            unread = await work.attendance.unread_of_thread(
                root.conversation_id, root_id, user_id=user_id
            )
            await self._spine.log.append(
                connection,
                conversation_stream(root.conversation_id),
                [unread_update(root.conversation_id, root_id, user_id, unread.get(user_id, 0))],
            )

    async def unread(self, ctx: Context, conversation_id: str) -> Mapping[str, int]:
        """Unread messages per thread that has some or that the caller has read."""
        async with self._spine.database.read() as connection:
            work = Work(connection)
            entered = await work.enter(ctx, conversation_id, Action.READ)
            return await work.attendance.unread_of_user(conversation_id, entered.member.user_id)

    async def present(self, ctx: Context, conversation_id: str) -> Sequence[Presence]:
        """How the people of a conversation are, in the order they joined."""
        async with self._spine.database.read() as connection:
            work = Work(connection)
            await work.enter(ctx, conversation_id, Action.READ)
            members = await work.conversations.members([conversation_id])
            people = [one.user_id for one in members if one.kind == "user"]
            known = await work.attendance.presence(people)
            return [
                known.get(one) or Presence(user_id=one, status="offline", last_seen_at=0.0)
                for one in people
            ]

    async def run(self, streaming: Callable[[], Collection[str]]) -> None:
        """Sweeps every few seconds until cancelled; `streaming` as in `sweep`."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            try:
                await self.sweep(streaming())
            except InterlockError as exc:
                _log.warning("presence was not brought up to date: %s", exc.message)

    async def sweep(self, streaming: Collection[str]) -> None:
        """Lets people who were not heard of for a while be away, then offline.

        `streaming`: people with an open stream here; they count as heard of. Call it
        every few seconds, in each process.
        """
        now = self._spine.now()
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            if streaming:
                await work.attendance.still_here(streaming, at=now)
            steps: tuple[tuple[PresenceStatus, float, PresenceStatus], ...] = (
                ("away", OFFLINE_S, "offline"),
                ("online", AWAY_S, "away"),
            )
            changed = []
            for status, wait_s, becomes in steps:
                for one in await work.attendance.quiet(status, before=now - wait_s):
                    after = replace(one, status=becomes)
                    await work.attendance.seen(after, announced_at=now)
                    changed.append(after)
            # The lock of the log comes after all others, in every transaction.
            for one in changed:
                await _announce(self._spine, work, one)


async def come_online(spine: Spine, work: Work, user_id: str, *, besides: str) -> Presence:
    """Somebody did something: they are online. Tells their other conversations if that is new."""
    here = Presence(user_id=user_id, status="online", last_seen_at=spine.now())
    if await _note(work, here):
        await _announce(spine, work, here, besides=besides)
    return here


async def _note(work: Work, now_is: Presence) -> bool:
    """Writes how a person is; whether others are to be told."""
    before = (await work.attendance.presence([now_is.user_id])).get(now_is.user_id)
    told = await work.attendance.announced_at(now_is.user_id)
    news = (
        before is None
        or told is None
        or before.status != now_is.status
        or now_is.last_seen_at - told >= _AGAIN_S
    )
    at = now_is.last_seen_at if news or told is None else told
    await work.attendance.seen(now_is, announced_at=at)
    return news


async def _announce(
    spine: Spine, work: Work, presence: Presence, *, besides: str | None = None
) -> None:
    for conversation_id in await work.conversations.ids_of_user(presence.user_id):
        if conversation_id != besides:
            await spine.log.append(
                work.connection,
                conversation_stream(conversation_id),
                [presence_update(presence)],
            )
