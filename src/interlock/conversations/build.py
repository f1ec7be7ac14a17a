"""Builds the services of conversations around one spine."""

from dataclasses import dataclass

from interlock.conversations.broughtalong import BroughtAlong
from interlock.conversations.editing import Editing
from interlock.conversations.membership import Membership
from interlock.conversations.ports import Agents, Directory, PostingLimit, Replies
from interlock.conversations.posting import Posting
from interlock.conversations.postlimit import MemoryPostingLimit
from interlock.conversations.presence import Attendance
from interlock.conversations.reading import Reading
from interlock.conversations.repeats import Repeats, StoredRepeats
from interlock.conversations.replying import ReplyWriter
from interlock.conversations.service import Conversations
from interlock.conversations.settings import ChatSettings, StreamSettings
from interlock.conversations.spine import Spine
from interlock.conversations.streaming.reader import Streams
from interlock.events.log import EventLog
from interlock.kernel.clock import Clock
from interlock.storage.engine import Database

__all__ = ["Talks", "build_talks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Talks:
    """Everything one can do with conversations."""

    conversations: Conversations
    membership: Membership
    posting: Posting
    editing: Editing
    reading: Reading
    attendance: Attendance
    streams: Streams
    brought: Posting
    """Posts messages whose answer the caller writes with `writer`."""
    writer: ReplyWriter
    """For whoever makes the replies of agents."""


def build_talks(
    *,
    database: Database,
    log: EventLog,
    directory: Directory,
    agents: Agents,
    replies: Replies,
    clock: Clock,
    chat: ChatSettings,
    streams: StreamSettings,
    limit: PostingLimit | None = None,
    repeats: Repeats | None = None,
) -> Talks:
    """The services; nothing is opened or started."""
    spine = Spine(database=database, log=log, directory=directory, agents=agents, clock=clock)
    conversations = Conversations(spine)
    writer = ReplyWriter(spine, timeout_s=chat.assistant_timeout_seconds)
    limit, repeats = limit or MemoryPostingLimit(clock), repeats or StoredRepeats()

    def posting(replies: Replies) -> Posting:
        return Posting(
            spine,
            conversations,
            replies=replies,
            limit=limit,
            repeats=repeats,
            max_agents=chat.max_agents_per_message,
        )

    return Talks(
        conversations=conversations,
        membership=Membership(spine),
        posting=posting(replies),
        brought=posting(BroughtAlong(writer)),
        editing=Editing(spine, replies),
        reading=Reading(spine, replies),
        attendance=Attendance(spine),
        streams=Streams(spine, streams),
        writer=writer,
    )
