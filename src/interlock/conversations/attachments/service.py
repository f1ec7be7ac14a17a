"""Bringing files, seeing and correcting what was read from them, and taking them away."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from interlock.conversations.attachments.model import Attachment
from interlock.conversations.attachments.repository import AttachmentRepository
from interlock.conversations.attachments.texts import (
    TEXT_CHARS,
    UnreadableFileError,
    kind_of,
    text_of,
)
from interlock.conversations.errors import (
    ConversationConflictError,
    InvalidFieldError,
    NotFoundError,
)
from interlock.conversations.permissions import Action
from interlock.conversations.spine import Spine, Work, user_of
from interlock.identity.context import Context
from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import new_ordered_uuid
from interlock.storage.blobs import Blobs, BlobTooLargeError

__all__ = ["Attachments"]

_log = logging.getLogger("interlock.chat")
_NAME_CHARS: Final = 200
_MOST_PER_MESSAGE: Final = 10
_READ_S: Final = 20.0


class Attachments:
    """Files of conversations."""

    def __init__(
        self,
        spine: Spine,
        blobs: Blobs,
        *,
        file_bytes: int,
        conversation_bytes: int,
        later: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`later` hands an id over to durable work that calls `take_text`; None: at once."""
        self._spine = spine
        self._blobs = blobs
        self._file_bytes = file_bytes
        self._conversation_bytes = conversation_bytes
        self._later = later or self.take_text

    async def upload(
        self, ctx: Context, conversation_id: str, name: str, chunks: AsyncIterator[bytes]
    ) -> Attachment:
        """Keeps a file; a message carries it afterwards.

        Raises:
            NotFoundError, ForbiddenError: no such conversation, or no right to post.
            InvalidFieldError: no usable name, or no kind of file that is taken.
            BlobTooLargeError: the file, or all of the conversation, is too large.
        """
        name = _clean(name)
        async with self._spine.database.read() as connection:
            await Work(connection).enter(ctx, conversation_id, Action.POST)
        stored = await self._blobs.put(chunks, most=self._file_bytes)
        try:
            data = await self._blobs.read(stored.name)
            kind = kind_of(name, data)
            made = Attachment(
                id=new_ordered_uuid(),
                conversation_id=conversation_id,
                message_id=None,
                uploaded_by=user_of(ctx),
                name=name,
                media_type=kind,
                size_bytes=stored.size_bytes,
                sha256=stored.sha256,
                blob=stored.name,
                text_state="none" if kind.startswith("image/") else "pending",
                text=None,
                text_error=None,
                text_edited_by=None,
                created_at=self._spine.now(),
            )
            async with self._spine.database.transaction() as connection:
                await Work(connection).enter(ctx, conversation_id, Action.POST)
                repository = AttachmentRepository(connection)
                if await repository.total(conversation_id) + made.size_bytes > (
                    self._conversation_bytes
                ):
                    raise BlobTooLargeError(self._conversation_bytes)
                await repository.add(made)
        except BaseException:
            await self._forget(stored.name)
            raise
        if made.text_state == "pending":
            await self._later(made.id)
        return await self._one(made.id)

    async def carry(
        self, work: Work, ctx: Context, conversation_id: str, ids: Sequence[str], message_id: str
    ) -> list[Attachment]:
        """Gives uploaded files to a message, in its transaction.

        Raises:
            InvalidFieldError: unknown, another's, of another conversation, or too many.
            ConversationConflictError: another message has one of them.
        """
        if len(ids) > _MOST_PER_MESSAGE:
            raise InvalidFieldError("attachments", f"may name at most {_MOST_PER_MESSAGE} files")
        repository = AttachmentRepository(work.connection)
        found = []
        for one in dict.fromkeys(ids):
            attachment = await repository.find(one)
            if (
                attachment is None
                or attachment.conversation_id != conversation_id
                or attachment.uploaded_by != user_of(ctx)
            ):
                raise InvalidFieldError("attachments", "names a file that does not exist here")
            if not await repository.carry(one, message_id):
                raise ConversationConflictError("a message has this file already")
            found.append(replace(attachment, message_id=message_id))
        return found

    async def listed(self, ctx: Context, conversation_id: str) -> Sequence[Attachment]:
        """Files of a conversation. Raises NotFoundError, ForbiddenError."""
        async with self._spine.database.read() as connection:
            await Work(connection).enter(ctx, conversation_id, Action.READ)
            return await AttachmentRepository(connection).of_conversation(conversation_id)

    async def find(self, ctx: Context, attachment_id: str) -> Attachment:
        """One file with what was read from it. Raises NotFoundError, ForbiddenError."""
        async with self._spine.database.read() as connection:
            work = Work(connection)
            found = await AttachmentRepository(connection).find(attachment_id)
            if found is None:
                raise NotFoundError("attachment", attachment_id)
            await work.enter(ctx, found.conversation_id, Action.READ)
            return found

    async def content(self, ctx: Context, attachment_id: str) -> tuple[Attachment, bytes]:
        """A file and its bytes. Raises NotFoundError, ForbiddenError."""
        found = await self.find(ctx, attachment_id)
        try:
            return found, await self._blobs.read(found.blob)
        except FileNotFoundError:
            raise NotFoundError("attachment", attachment_id) from None

    async def correct(self, ctx: Context, attachment_id: str, text: str) -> Attachment:
        """Puts a person's text in the place of what was read. Raises as `remove`."""
        if len(text) > TEXT_CHARS or "\x00" in text:
            raise InvalidFieldError("text", f"must have at most {TEXT_CHARS} characters, no NUL")
        async with self._spine.database.transaction() as connection:
            found = await self._changeable(Work(connection), ctx, attachment_id)
            values = {
                "text": text,
                "text_state": "ready",
                "text_error": None,
                "text_edited_by": user_of(ctx),
            }
            await AttachmentRepository(connection).change(found.id, values)
        return await self._one(attachment_id)

    async def remove(self, ctx: Context, attachment_id: str) -> None:
        """Takes a file away, its text too.

        Raises:
            NotFoundError, ForbiddenError: no such file, or it is another's.
        """
        async with self._spine.database.transaction() as connection:
            found = await self._changeable(Work(connection), ctx, attachment_id)
            await AttachmentRepository(connection).delete(found.id)
        await self._forget(found.blob)

    async def take_text(self, attachment_id: str) -> None:
        """Reads the text of a file; again, or of one that is gone: nothing."""
        async with self._spine.database.read() as connection:
            found = await AttachmentRepository(connection).find(attachment_id)
        if found is None or found.text_state != "pending":
            return
        values: dict[str, str | None]
        try:
            async with asyncio.timeout(_READ_S):
                data = await self._blobs.read(found.blob)
                text = await asyncio.to_thread(text_of, found.media_type, data)
            values = {"text": text, "text_state": "none" if text is None else "ready"}
        except UnreadableFileError as error:
            values = {"text_state": "failed", "text_error": error.message}
        except InterlockError as error:
            _log.warning("the text of an attachment waits: %s", error.message)
            return  # `resume` takes it
        except (FileNotFoundError, TimeoutError):
            _log.warning("the text of an attachment could not be taken")
            values = {"text_state": "failed", "text_error": "the file could not be read"}
        async with self._spine.database.transaction() as connection:
            await AttachmentRepository(connection).change(attachment_id, values)

    async def resume(self) -> None:
        """Takes the texts that a stopped server left behind."""
        async with self._spine.database.read() as connection:
            waiting = await AttachmentRepository(connection).pending()
        for one in waiting:
            await self._later(one)

    async def texts(self, message_ids: Collection[str]) -> Mapping[str, Sequence[Attachment]]:
        """What the files of messages say, by message, for whoever assembles a model's input.

        All of it is untrusted.
        """
        async with self._spine.database.read() as connection:
            found = await AttachmentRepository(connection).of_messages(message_ids)
        by_message: dict[str, list[Attachment]] = {}
        for one in found:
            by_message.setdefault(one.message_id or "", []).append(one)
        return by_message

    async def _forget(self, blob: str) -> None:
        """Nobody can reach it any more, whether it could be removed or not."""
        try:
            await self._blobs.delete(blob)
        except (InterlockError, OSError) as error:
            _log.warning("a file stays behind: %s", type(error).__name__)

    async def _one(self, attachment_id: str) -> Attachment:
        async with self._spine.database.read() as connection:
            found = await AttachmentRepository(connection).find(attachment_id)
        if found is None:
            raise NotFoundError("attachment", attachment_id)
        return found

    async def _changeable(self, work: Work, ctx: Context, attachment_id: str) -> Attachment:
        found = await AttachmentRepository(work.connection).find(attachment_id)
        if found is None:
            raise NotFoundError("attachment", attachment_id)
        own = found.uploaded_by == user_of(ctx)
        action = Action.CHANGE_OWN if own else Action.CHANGE_OTHERS
        await work.enter(ctx, found.conversation_id, action)
        return found


def _clean(name: str) -> str:
    cleaned = "".join(one for one in name.strip() if one.isprintable()).replace("/", "_")
    cleaned = cleaned.replace("\\", "_")
    if not cleaned or len(cleaned) > _NAME_CHARS:
        raise InvalidFieldError("file", f"must have a name of 1 to {_NAME_CHARS} characters")
    return cleaned
