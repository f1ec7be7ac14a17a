"""Changing messages that are there: edit, delete, restore, cancel."""

from interlock.conversations.announcing import (
    conversation_stream,
    message_changed,
    thread_activity,
    unread_update,
)
from interlock.conversations.errors import (
    ConversationConflictError,
    InvalidFieldError,
    MessageDeletedError,
)
from interlock.conversations.model import Message
from interlock.conversations.permissions import Action
from interlock.conversations.ports import CancelOutcome, Replies
from interlock.conversations.posting import clean_content
from interlock.conversations.spine import Entered, Spine, Work, user_of
from interlock.conversations.views import message_view
from interlock.events.model import NewEvent
from interlock.identity.context import Context
from interlock.kernel.ids import new_uuid

__all__ = ["Editing"]


class Editing:
    """Use cases on one message. What it said before is kept for audit."""

    def __init__(self, spine: Spine, replies: Replies) -> None:
        self._spine = spine
        self._replies = replies

    async def edit(self, ctx: Context, message_id: str, content: str, reason: str | None) -> None:
        """Changes the text. Raises MessageDeletedError, ConversationConflictError."""
        clean_content(content)
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            message, _ = await self._mine_or_managed(work, ctx, message_id)
            if message.deleted_at is not None:
                raise MessageDeletedError(message.id)
            if message.unfinished:
                raise ConversationConflictError("this message is still being written")
            if message.content == content:
                return
            await self._keep(work, ctx, message, "edit", reason)
            now = self._spine.now()
            await work.messages.change(
                message,
                {"content": content, "edited_at": now, "edited_by": user_of(ctx)},
            )
            await self._tell(work, message, "edited", now)

    async def delete(self, ctx: Context, message_id: str, reason: str | None) -> None:
        """Takes the text away; the message keeps its place. Repeats change nothing."""
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            message, _ = await self._mine_or_managed(work, ctx, message_id)
            if message.deleted_at is not None:
                return
            if message.unfinished:
                raise ConversationConflictError(
                    "this message is still being written", hint="cancel it first"
                )
            await self._keep(work, ctx, message, "delete", reason)
            now = self._spine.now()
            await work.messages.change(message, {"deleted_at": now, "deleted_by": user_of(ctx)})
            await self._tell(work, message, "deleted", now)

    async def restore(self, ctx: Context, message_id: str) -> None:
        """Brings a deleted message back. Repeats change nothing.

        The author brings back what they deleted themself; owners and admins anything.
        """
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            message, entered = await self._mine_or_managed(work, ctx, message_id)
            if message.deleted_at is None:
                return
            if message.deleted_by != user_of(ctx):
                entered.require(ctx, Action.CHANGE_OTHERS)
            await self._keep(work, ctx, message, "restore", None)
            now = self._spine.now()
            await work.messages.change(message, {"deleted_at": None, "deleted_by": None})
            await self._tell(work, message, "restored", now)

    async def cancel(self, ctx: Context, message_id: str) -> CancelOutcome:
        """Stops a reply that is being made; its text so far stays."""
        async with self._spine.database.read() as connection:
            message, entered = await Work(connection).message(ctx, message_id, Action.READ)
            if message.role != "assistant":
                raise InvalidFieldError("message_id", "must name a reply of an agent")
            mine = message.requested_by == user_of(ctx)
            entered.require(ctx, Action.CANCEL_OWN if mine else Action.CANCEL_OTHERS)
        match message.status:
            case "cancelled":
                return "cancelled"
            case "timeout":
                return "timed_out"
            case "complete" | "error":
                return "completed"
            case _:
                return await self._replies.cancel(message_id)

    async def _mine_or_managed(
        self, work: Work, ctx: Context, message_id: str
    ) -> tuple[Message, Entered]:
        message, entered = await work.message(ctx, message_id, Action.READ)
        mine = message.author_user_id == user_of(ctx)
        entered.require(ctx, Action.CHANGE_OWN if mine else Action.CHANGE_OTHERS)
        await work.conversations.lock(message.conversation_id)
        return (await work.messages.find(message_id)) or message, entered

    async def _keep(
        self, work: Work, ctx: Context, message: Message, action: str, reason: str | None
    ) -> None:
        if reason is not None and "\x00" in reason:
            raise InvalidFieldError("reason", "must not contain NUL")
        await work.messages.keep_version(
            {
                "id": new_uuid(),
                "message_id": message.id,
                "action": action,
                "content": message.content,
                "by_user_id": user_of(ctx),
                "at": self._spine.now(),
                "reason": reason,
            }
        )

    async def _tell(self, work: Work, message: Message, kind: str, now: float) -> None:
        """The message as it is now, activity in its thread, and unread counts that changed."""
        conversation_id, root_id = message.conversation_id, message.root_id
        after = await work.messages.find(message.id) or message
        agents = await self._spine.agents_of(work, [after])
        events: list[NewEvent] = [
            message_changed(kind, conversation_id, root_id, message_view(after, agents)),
            thread_activity(conversation_id, root_id, now),
        ]
        if kind != "edited":
            unread = await work.attendance.unread_of_thread(conversation_id, root_id)
            events += [
                unread_update(conversation_id, root_id, user_id, count)
                for user_id, count in unread.items()
            ]
        await self._spine.log.append(work.connection, conversation_stream(conversation_id), events)
