"""Replies whose asker brings the text along: calls that ask a model themselves and want it kept.

The message they answer and the place of the reply are made like any other, so that both show
up on the conversation's streams; nobody is asked for an answer.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.ports import CancelOutcome, Trigger
from interlock.conversations.replying import ReplyWriter

__all__ = ["BroughtAlong"]


class BroughtAlong:
    """See `ports.Replies`; one reply per message, whoever it mentions."""

    def __init__(self, writer: ReplyWriter) -> None:
        self._writer = writer

    async def accept(self, connection: AsyncConnection, trigger: Trigger) -> list[str]:
        """Makes the place of the reply; its asker writes and ends it."""
        queued = await self._writer.queue(
            connection, trigger, trigger.agents[0], model=trigger.ask.model
        )
        return [queued.id]

    async def regenerate(self, connection: AsyncConnection, trigger: Trigger) -> list[str]:
        """Like `accept`."""
        return await self.accept(connection, trigger)

    async def cancel(self, message_id: str) -> CancelOutcome:
        """The asker is the one to stop."""
        del message_id
        return "not_tracked"

    async def trail(self, connection: AsyncConnection, message_id: str) -> Mapping[str, Any] | None:
        """There is none."""
        del connection, message_id
        return None
