"""Whose reply it is: one process at a time makes a reply, and only that one may write it.

A process takes a reply before it waits for its turn, and leaves its name on the message. Durable
work gives a reply to another process only once the first one is dead; a first one that was only
out of reach finds its name gone and writes nothing more. A reply that comes with the name of
another process was cut off, and `chat.on_restart` says what becomes of it.

Replies of one agent in one thread are made one after the other, whichever processes make them:
one waits until every older one has ended. Source: conversations.md, 11.6 and 12.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Literal

from interlock.conversations.model import Message
from interlock.conversations.replies.repository import ReplyRepository
from interlock.conversations.spine import Spine, Work
from interlock.kernel.ids import new_uuid

__all__ = ["OnRestart", "Possession"]

OnRestart = Literal["resume", "retry", "fail"]
_LOOK_S: Final = 0.25
"""How often the store is asked whether an older reply has ended."""
_WATCH_S: Final = 1.0
"""How often it is asked whether somebody else ended or took the reply that is being made."""


class Possession:
    """The replies of this process."""

    def __init__(self, spine: Spine, *, on_restart: OnRestart) -> None:
        self._spine = spine
        self._on_restart = on_restart
        self._shared = spine.database.dialect == "postgresql"
        self.process: Final = new_uuid()
        """The name this process leaves; another one after every start."""

    async def take(self, message_id: str) -> tuple[Message | None, bool]:
        """Takes a reply: its message, and whether it may be made; None: there is nothing to make.

        One that may not be made was cut off, and is to be ended as interrupted.
        """
        async with self._spine.database.transaction() as connection:
            before = await ReplyRepository(connection).take(message_id, self.process)
        if before is None or not before.unfinished:
            return None, False
        return before, before.made_by in (None, self.process) or self._goes_on(before)

    async def precede(self, message: Message) -> None:
        """Waits until older replies of the lane have ended, in whatever process.

        Also where there is one process: durable work may begin them in another order.
        """
        while True:
            async with self._spine.database.read() as connection:
                if not await ReplyRepository(connection).preceded(message):
                    return
            await asyncio.sleep(_LOOK_S)

    async def watch(self, message_id: str, lost: Callable[[], None]) -> None:
        """Calls `lost` once somebody else has ended the reply, or has taken it."""
        while self._shared:
            await asyncio.sleep(_WATCH_S)
            async with self._spine.database.read() as connection:
                state = await Work(connection).messages.growing(message_id)
            if state is None or not state.unfinished or state.made_by != self.process:
                lost()
                return

    def _goes_on(self, message: Message) -> bool:
        match self._on_restart:
            case "resume":
                return True
            case "retry":
                return message.status == "queued"
            case "fail":
                return False
