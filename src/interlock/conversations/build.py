"""Builds the services of conversations around one spine."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from interlock.conversations.attachments.service import Attachments
from interlock.conversations.broughtalong import BroughtAlong
from interlock.conversations.editing import Editing
from interlock.conversations.membership import Membership
from interlock.conversations.ports import Agents, Directory, NoReplies, PostingLimit, Replies
from interlock.conversations.posting import Posting
from interlock.conversations.postlimit import MemoryPostingLimit
from interlock.conversations.presence import Attendance
from interlock.conversations.reading import Reading
from interlock.conversations.replying import ReplyWriter
from interlock.conversations.service import Conversations
from interlock.conversations.settings import ChatSettings, StreamSettings
from interlock.conversations.spine import Spine
from interlock.conversations.streaming.reader import Streams
from interlock.events.log import EventLog
from interlock.idempotency.service import Idempotency
from interlock.kernel.clock import Clock
from interlock.storage.blobs import Blobs
from interlock.storage.engine import Database

__all__ = ["MakeReplies", "Talks", "build_talks"]


MakeReplies = Callable[[Spine, ReplyWriter, Attachments], Replies]


@dataclass(frozen=True, slots=True, kw_only=True)
class Talks:
    """Everything one can do with conversations."""

    conversations: Conversations
    membership: Membership
    posting: Posting
    editing: Editing
    reading: Reading
    attendance: Attendance
    attachments: Attachments
    streams: Streams
    brought: Posting
    """Posts messages whose answer the caller writes with `writer`."""
    writer: ReplyWriter
    """For whoever makes the replies of agents."""
    replies: Replies
    spine: Spine
    """For whoever adds a service of its own."""


def build_talks(
    *,
    database: Database,
    log: EventLog,
    directory: Directory,
    agents: Agents,
    replies: Replies | None = None,
    make_replies: MakeReplies | None = None,
    clock: Clock,
    chat: ChatSettings,
    streams: StreamSettings,
    limit: PostingLimit | None = None,
    blobs: Blobs,
    later: Callable[[str], Awaitable[None]] | None = None,
) -> Talks:
    """The services; nothing is opened or started.

    `make_replies` makes the replies from what they write with; `replies` are ready ones; without
    either nobody answers. `later` hands the id of an attachment over to durable work; None: its
    text is taken at once.
    """
    spine = Spine(
        database=database,
        log=log,
        directory=directory,
        agents=agents,
        clock=clock,
        idempotency=Idempotency(database, clock),
    )
    conversations = Conversations(spine)
    attachments = Attachments(
        spine,
        blobs,
        file_bytes=chat.attachment_bytes,
        conversation_bytes=chat.conversation_bytes,
        later=later,
    )
    writer = ReplyWriter(spine, timeout_s=chat.assistant_timeout_seconds)
    if make_replies is not None:
        replies = make_replies(spine, writer, attachments)
    replies = replies or NoReplies()
    limit = limit or MemoryPostingLimit(clock)

    def posting(made_by: Replies) -> Posting:
        return Posting(
            spine,
            conversations,
            replies=made_by,
            limit=limit,
            max_agents=chat.max_agents_per_message,
            attachments=attachments,
        )

    return Talks(
        conversations=conversations,
        membership=Membership(spine),
        posting=posting(replies),
        brought=posting(BroughtAlong(writer)),
        editing=Editing(spine, replies),
        reading=Reading(spine, replies),
        attendance=Attendance(spine),
        attachments=attachments,
        streams=Streams(spine, streams),
        writer=writer,
        replies=replies,
        spine=spine,
    )
