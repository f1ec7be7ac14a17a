"""What a reader gets before it gets live events: nothing lost, nothing twice.

The reader is subscribed already. Everything is brought to one place in the log, a number:
events behind it are replayed; text in front of it is made up from stored chunks, cut
exactly where the replay begins. Source: conversations.md, 11.4.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from interlock.conversations.announcing import (
    conversation_stream,
    delta_payload,
    message_done,
    presence_update,
    thread_activity,
    unread_update,
)
from interlock.conversations.cursors import EventId
from interlock.conversations.model import Message
from interlock.conversations.settings import StreamSettings
from interlock.conversations.spine import Spine, Work
from interlock.conversations.streaming.cursor import Cursor
from interlock.conversations.streaming.frames import Frame, frame_of, merged
from interlock.events.model import EVERYBODY, Event, NewEvent

__all__ = ["Opening", "Openings"]

_PAGE = 1000
_MOST = 20_000
"""Logged events one reader may make us read; more is a gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Frames to send first; live events up to `upto` are among them already."""

    frames: Sequence[Frame]
    upto: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What a reader may see."""

    user_id: str
    conversation_ids: Collection[str]
    wanted: Collection[str]
    """Types of events."""
    extended: bool

    @property
    def streams(self) -> list[str]:
        return [conversation_stream(one) for one in self.conversation_ids]


class Openings:
    """Makes openings. Holds nothing of a reader."""

    def __init__(self, spine: Spine, settings: StreamSettings) -> None:
        self._spine = spine
        self._settings = settings

    async def make(
        self,
        user_id: str,
        conversation_ids: Collection[str],
        cursor: Cursor | None,
        *,
        wanted: Collection[str],
        extended: bool,
    ) -> Opening:
        """The opening of a reader of these conversations."""
        view = _View(
            user_id=user_id,
            conversation_ids=tuple(conversation_ids),
            wanted=wanted,
            extended=extended,
        )
        if not view.conversation_ids:
            return Opening(frames=(), upto=0)
        if cursor is None:
            return await self._fresh(view)
        place, known = await self._place(view, cursor)
        events = await self._behind(view, place)
        if events is not None and (known or await self._reaches(view, cursor)):
            frames = merged(map(frame_of, events))
            if len(frames) <= self._settings.max_backfill_events:
                return Opening(frames=frames, upto=events[-1].seq if events else place)
            reason = "limit"
        else:
            reason = "limit" if events is None else "retention"
        return await self._gap(view, cursor, reason)

    async def _fresh(self, view: _View) -> Opening:
        """No cursor: replies that are being written, and the events of the last seconds."""
        now_ms = int(self._spine.now() * 1000)
        since = now_ms - int(self._settings.initial_replay_seconds * 1000)
        place, _ = await self._place(view, Cursor(ms=since))
        growing = await self._growing(view)
        events = await self._behind(view, place)
        if events is None:
            place = await self._end(view)
            events = await self._behind(view, place) or []
        frames = await self._compose(view, growing, events)
        return Opening(frames=frames, upto=events[-1].seq if events else place)

    async def _gap(self, view: _View, cursor: Cursor, reason: str) -> Opening:
        """The log does not reach back to the cursor: the present state instead."""
        place = await self._end(view)
        growing = await self._growing(view)
        frames: list[Frame] = []
        if view.extended:
            at = EventId(root_id=None, message_id=None, index=-1, ms=cursor.ms)
            frames.append(Frame(type="stream.reset", payload={"reason": reason}, id=str(at)))
        last_ms = await self._last_ms(view)
        events = await self._behind(view, place) or []
        async with self._spine.database.read() as connection:
            work = Work(connection)
            rest = await self._rest(work, view, cursor, last_ms)
            state = await self._state(work, view, cursor)
        frames += rest
        frames += [
            Frame(type=one.type, payload=one.payload, id=one.name(last_ms) if one.name else None)
            for one in state
            if one.type in view.wanted
        ]
        resumed = None if cursor.event is None else cursor.event.message_id
        growing = {one: k for one, k in growing.items() if one != resumed}
        behind = [one for one in events if not (rest and _of(one) == resumed)]
        frames += await self._compose(view, growing, behind)
        return Opening(frames=frames, upto=events[-1].seq if events else place)

    async def _rest(self, work: Work, view: _View, cursor: Cursor, last_ms: int) -> list[Frame]:
        """What the reader lacks of the message its cursor names, up to now."""
        named = cursor.event
        if named is None or named.message_id is None or named.index < 0:
            return []
        message = await work.messages.find(named.message_id)
        if message is None or message.conversation_id not in view.conversation_ids:
            return []
        chunks = await work.messages.chunks(message.id, start=0, limit=1_000_000)
        rest = [one for one in chunks if one.idx > named.index]
        ended = not message.unfinished
        frames = []
        if rest:
            at = rest[-1].idx
            content = "".join(one.content for one in rest)
            frames.append(_delta(message, at, content, ms=last_ms, first=rest[0].idx == 0))
        done_at = len(chunks)
        if ended and named.index < done_at:
            done = message_done(message, done_at, message.usage or {})
            ident = EventId(
                root_id=message.root_id, message_id=message.id, index=done_at, ms=last_ms
            )
            frames.append(Frame(type=done.type, payload=done.payload, id=str(ident)))
        return frames

    async def _state(self, work: Work, view: _View, cursor: Cursor) -> list[NewEvent]:
        """Threads active since the cursor, unread counts and who is there."""
        state: list[NewEvent] = []
        people: set[str] = set()
        for conversation_id in view.conversation_ids:
            threads = await work.messages.summaries(
                conversation_id, since=cursor.ms / 1000, limit=200
            )
            state += [
                thread_activity(conversation_id, one.root_id, one.last_activity_at)
                for one in reversed(threads)
            ]
            unread = await work.attendance.unread_of_user(conversation_id, view.user_id)
            state += [
                unread_update(conversation_id, root_id, view.user_id, count)
                for root_id, count in unread.items()
            ]
            members = await work.conversations.members([conversation_id])
            people |= {one.user_id for one in members if one.kind == "user"}
        present = await work.attendance.presence(people)
        return state + [presence_update(one) for _, one in sorted(present.items())]

    async def _compose(
        self, view: _View, growing: Mapping[str, tuple[Message, int]], events: Sequence[Event]
    ) -> list[Frame]:
        """Events, with the whole text of every reply the reader cannot know the start of.

        `growing` are replies being written and how many chunks they had before the events
        were read.
        """
        whole = {one: (message, count - 1) for one, (message, count) in growing.items()}
        async with self._spine.database.read() as connection:
            work = Work(connection)
            texts = await self._texts(work, whole, events)
        frames: list[Frame] = []
        for event in events:
            message_id = _of(event)
            text = texts.get(message_id or "")
            if event.type == "message.delta" and text is not None:
                continue
            if event.type == "message.done" and text is not None and message_id is not None:
                del texts[message_id]
                frames += _whole(*text, ms=event.at_ms - 1)
            frames.append(frame_of(event))
        last_ms = events[-1].at_ms if events else await self._last_ms(view)
        for text in texts.values():
            frames += _whole(*text, ms=last_ms)
        return merged(frames)

    async def _texts(
        self, work: Work, whole: dict[str, tuple[Message, int]], events: Sequence[Event]
    ) -> dict[str, tuple[Message, int, str]]:
        """Message id -> message, last chunk index and text, for replies to be sent whole."""
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for event in events:
            message_id = _of(event)
            if message_id is None or event.type not in ("message.delta", "message.done"):
                continue
            named = EventId.parse(event.id)
            index = 0 if named is None else named.index
            first.setdefault(message_id, index)
            last[message_id] = index - (event.type == "message.done")
        for message_id, index in first.items():
            if index > 0 and message_id not in whole:
                message = await work.messages.find(message_id)
                if message is not None:
                    whole[message_id] = (message, -1)
        texts = {}
        for message_id, (message, before) in whole.items():
            upto = max(before, last.get(message_id, -1))
            chunks = await work.messages.chunks(message_id, start=0, limit=upto + 1)
            texts[message_id] = (message, upto, "".join(one.content for one in chunks))
        return texts

    async def _growing(self, view: _View) -> dict[str, tuple[Message, int]]:
        async with self._spine.database.read() as connection:
            work = Work(connection)
            found = await work.messages.unfinished(view.conversation_ids)
            return {one.id: (one, await work.messages.next_chunk(one.id)) for one in found}

    async def _place(self, view: _View, cursor: Cursor) -> tuple[int, bool]:
        """The number behind which to go on, and whether the cursor itself is in the log."""
        log = self._spine.log
        streams = await self._likely(view, cursor)
        if cursor.event is not None:
            for stream in streams:
                found = await log.position(stream, str(cursor.event))
                if found is not None:
                    return found, True
        behind = await log.read(streams, after_ms=cursor.ms, limit=1, reader=EVERYBODY)
        if behind:
            return behind[0].seq - 1, False
        return await self._end(view), False

    async def _likely(self, view: _View, cursor: Cursor) -> list[str]:
        """The streams the cursor may be of."""
        root_id = None if cursor.event is None else cursor.event.root_id
        if root_id is None or len(view.streams) == 1:
            return view.streams
        async with self._spine.database.read() as connection:
            root = await Work(connection).messages.find(root_id)
        if root is None or root.conversation_id not in view.conversation_ids:
            return view.streams
        return [conversation_stream(root.conversation_id)]

    async def _reaches(self, view: _View, cursor: Cursor) -> bool:
        """Whether the log reaches back to the cursor in every stream."""
        for stream in await self._likely(view, cursor):
            oldest = await self._spine.log.read([stream], limit=1, reader=EVERYBODY)
            complete = not oldest or oldest[0].type == "conversation.created"
            if not complete and oldest[0].at_ms > cursor.ms + 1:
                return False
        return True

    async def _end(self, view: _View) -> int:
        """The newest number of these streams."""
        ends = [await self._spine.log.last(stream) for stream in view.streams]
        return max((one.seq for one in ends if one is not None), default=0)

    async def _last_ms(self, view: _View) -> int:
        ends = [await self._spine.log.last(stream) for stream in view.streams]
        return max((one.at_ms for one in ends if one is not None), default=0)

    async def _behind(self, view: _View, place: int) -> list[Event] | None:
        """Events the reader may see behind a number; None when they are too many."""
        found: list[Event] = []
        read = 0
        while True:
            page = await self._spine.log.read(
                view.streams, after_seq=place, limit=_PAGE, reader=view.user_id
            )
            found += [one for one in page if one.type in view.wanted]
            read += len(page)
            if len(page) < _PAGE:
                return found
            if read > _MOST:
                return None
            place = page[-1].seq


def _of(event: Event) -> str | None:
    """The message a delta or its end is about."""
    if event.type in ("message.delta", "message.done"):
        return str(event.payload["message_id"])
    return None


def _whole(message: Message, index: int, text: str, *, ms: int) -> list[Frame]:
    return [_delta(message, index, text, ms=ms, first=True)] if text else []


def _delta(message: Message, index: int, content: str, *, ms: int, first: bool) -> Frame:
    ident = EventId(root_id=message.root_id, message_id=message.id, index=index, ms=ms)
    return Frame(
        type="message.delta",
        payload=delta_payload(message, index, content, first=first),
        id=str(ident),
    )
