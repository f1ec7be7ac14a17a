"""One reader of one or all conversations of a person.

Access is checked on every event: the reader follows its person's own stream, which says what
they may read from now on, and asks the store again at every heartbeat.
Source: conversations.md, 10.2, 11.5, 11.7.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence

from interlock.conversations.announcing import (
    EXTENDED,
    STANDARD,
    conversation_stream,
    thread_activity,
    user_stream,
)
from interlock.conversations.permissions import Action
from interlock.conversations.settings import StreamSettings
from interlock.conversations.spine import Spine, Work, user_of
from interlock.conversations.streaming.cursor import Cursor
from interlock.conversations.streaming.frames import Frame, backpressure
from interlock.conversations.streaming.opening import Opening, Openings
from interlock.events.model import Event
from interlock.events.subscription import Subscription
from interlock.identity.context import Context

__all__ = ["Reader", "StillValid", "Streams"]

StillValid = Callable[[], Awaitable[bool]]
"""Whether the credential of a reader is still good."""


_AT_ONCE = 64
_PAGE = 1000


class Streams:
    """Opens streams and knows which are open in this process."""

    def __init__(self, spine: Spine, settings: StreamSettings) -> None:
        self._spine = spine
        self._settings = settings
        self._openings = Openings(spine, settings)
        self._seats: dict[str, list[Reader]] = {}

    @property
    def people(self) -> Collection[str]:
        """Who has a stream open here."""
        return tuple(self._seats)

    @property
    def count(self) -> int:
        """Open streams."""
        return sum(map(len, self._seats.values()))

    async def one(
        self, ctx: Context, conversation_id: str, cursor: Cursor | None, *, extended: bool
    ) -> "Reader":
        """A stream of one conversation. Raises NotFoundError, ForbiddenError."""
        async with self._spine.database.read() as connection:
            await Work(connection).enter(ctx, conversation_id, Action.READ)
        return Reader(self, ctx, (conversation_id,), cursor, extended=extended, follow=False)

    async def every(
        self,
        ctx: Context,
        cursor: Cursor | None,
        *,
        only: Collection[str] = (),
        extended: bool = True,
    ) -> "Reader":
        """A stream of all conversations of a person, or only of some.

        Raises NotFoundError, ForbiddenError.
        """
        async with self._spine.database.read() as connection:
            work = Work(connection)
            for conversation_id in only:
                await work.enter(ctx, conversation_id, Action.READ)
            ids = tuple(only) or tuple(await work.conversations.ids_of_user(user_of(ctx)))
        return Reader(self, ctx, ids, cursor, extended=extended, follow=not only)


class Reader:
    """One stream: first `opening`, then `batch` again and again, `close` in the end.

    `ended` says that no more will come; `why` what an extended reader is told then.
    """

    def __init__(
        self,
        streams: Streams,
        ctx: Context,
        conversation_ids: Collection[str],
        cursor: Cursor | None,
        *,
        extended: bool,
        follow: bool,
    ) -> None:
        self._streams = streams
        self._spine = streams._spine
        self._settings = streams._settings
        self._ctx = ctx
        self._user_id = user_of(ctx)
        self._allowed = set(conversation_ids)
        self._cursor = cursor
        self._extended = extended
        self._follow = follow
        self._wanted = STANDARD | EXTENDED if extended else STANDARD
        self._upto: dict[str, int] = {}
        self._sub: Subscription | None = None
        self._over = False
        self.why: tuple[str, str] | None = None

    @property
    def user_id(self) -> str:
        """Whose stream it is."""
        return self._user_id

    @property
    def extended(self) -> bool:
        """Whether it gets more than the published types."""
        return self._extended

    @property
    def ended(self) -> str | None:
        """Why nothing more will come; None: something may."""
        if self._over:
            return "closed"
        return None if self._sub is None else self._sub.ended

    async def opening(self) -> AsyncIterator[Frame]:
        """What the reader missed. From here on it hears what happens."""
        streams = [conversation_stream(one) for one in self._allowed]
        self._sub = self._spine.log.subscribe(
            capacity=self._settings.channel_capacity,
            wanted=[*streams, user_stream(self._user_id)],
            reader=self._user_id,
            backpressure=backpressure(
                self._settings.backpressure.drop_strategy,
                self._settings.backpressure.warn_queue_ratio,
            ),
        )
        self._sit()
        opening = await self._opening(self._sub)
        self._upto = dict.fromkeys(map(conversation_stream, self._allowed), opening.upto)
        for frame in opening.frames:
            yield frame

    async def batch(self) -> list[Event | Frame]:
        """What came since; waits for something. Empty when woken or ended."""
        if self._sub is None:
            return []
        found: list[Event | Frame] = []
        waiting = deque(await self._sub.batch(_AT_ONCE))
        while waiting:
            event = waiting.popleft()
            if self._admits(event):
                waiting = await self._admit(event, self._sub, waiting)
            else:
                found += self._seen(event)
        if self._sub.ended == "slow":
            self.why = self.why or ("slow_consumer", "this reader is too slow; resume")
        if not self._allowed and not self._follow:
            self._end("membership_revoked", "you are no member any more")
        return found

    def wake(self) -> None:
        """Lets `batch` return."""
        if self._sub is not None:
            self._sub.wake()

    def close(self) -> None:
        """Ends it, whatever it was doing."""
        self._over = True
        if self._sub is not None:
            self._sub.close()
        self._leave()

    async def check(self, still_valid: StillValid) -> bool:
        """Whether the credential and the memberships still hold; ends the stream when not."""
        if not await still_valid():
            self._end("session_expired", "sign in again")
            return False
        async with self._spine.database.read() as connection:
            mine = set(await Work(connection).conversations.ids_of_user(self._user_id))
        for gone in self._allowed - mine:
            self._revoke(gone)
        if not self._allowed and not self._follow:
            self._end("membership_revoked", "you are no member any more")
        return not self._over

    def _end(self, code: str, text: str) -> None:
        self.why = self.why or (code, text)
        self._over = True

    def _seen(self, event: Event) -> Sequence[Event | Frame]:
        """What an event means for this reader."""
        if event.stream == user_stream(self._user_id):
            self._told(event)
            return []
        conversation_id = event.stream.partition(":")[2]
        if conversation_id not in self._allowed or event.seq <= self._upto.get(event.stream, 0):
            return []
        if self._removes_me(event):
            self._revoke(conversation_id)
            return []
        if event.type not in self._wanted:
            return []
        frames: list[Event | Frame] = [event]
        if event.type == "message.done" and self._sub is not None:
            payload = event.payload
            if self._sub.take_lost(f"delta:{payload['message_id']}"):
                # Both clients fetch the thread anew on activity that is not that of the end.
                again = thread_activity(conversation_id, payload["root_id"], event.at_ms / 1000)
                frames.append(Frame(type=again.type, payload=again.payload))
        return frames

    def _told(self, event: Event) -> None:
        """What the reader's own stream says of access that went."""
        if event.type == "conversation.left":
            self._revoke(_conversation(event))
        elif event.type == "session.ended" and self._ended(event):
            self._end("session_expired", "sign in again")

    def _ended(self, event: Event) -> bool:
        credential = event.payload.get("credential_id")
        return credential is None or credential == self._ctx.credential_id

    async def _opening(self, sub: Subscription) -> Opening:
        """What was missed, of conversations as well that begin while it is read."""
        while True:
            opening = await self._streams._openings.make(
                self._user_id,
                self._allowed,
                self._cursor,
                wanted=self._wanted,
                extended=self._extended,
            )
            if not self._follow:
                return opening
            async with self._spine.database.read() as connection:
                mine = await Work(connection).conversations.ids_of_user(self._user_id)
            new = set(mine) - self._allowed
            if not new:
                return opening
            self._allowed |= new
            for one in new:
                sub.add(conversation_stream(one))

    def _admits(self, event: Event) -> bool:
        """Whether an event says that there is another conversation to read."""
        return (
            self._follow
            and event.type == "conversation.joined"
            and event.stream == user_stream(self._user_id)
            and _conversation(event) not in self._allowed
        )

    async def _admit(
        self, event: Event, sub: Subscription, waiting: Iterable[Event]
    ) -> deque[Event]:
        """What waits, with what has been said in a new conversation, in the order of the log.

        INVARIANT: nothing overtakes: the last event a reader got is where it resumes.
        """
        stream = conversation_stream(_conversation(event))
        self._allowed.add(_conversation(event))
        sub.add(stream)
        head = self._spine.log.given_out  # what is said after it comes by itself
        found = {one.seq: one for one in (*waiting, *sub.waiting(len(sub)))}
        place = event.seq - 2  # the conversation's own event is the one before
        while place < head:
            missed = await self._spine.log.read(
                [stream], after_seq=place, limit=_PAGE, reader=self._user_id
            )
            found |= {one.seq: one for one in missed if one.seq <= head}
            place = missed[-1].seq if len(missed) == _PAGE else head
        return deque(found[seq] for seq in sorted(found))

    def _removes_me(self, event: Event) -> bool:
        return (
            event.type == "membership.changed"
            and event.payload["user_id"] == self._user_id
            and event.payload["action"] == "removed"
        )

    def _revoke(self, conversation_id: str) -> None:
        self._allowed.discard(conversation_id)
        if self._sub is not None:
            self._sub.drop(conversation_stream(conversation_id))

    def _sit(self) -> None:
        seats = self._streams._seats.setdefault(self._user_id, [])
        seats.append(self)

    def _leave(self) -> None:
        seats = self._streams._seats.get(self._user_id, [])
        if self in seats:
            seats.remove(self)
        if not seats:
            self._streams._seats.pop(self._user_id, None)


def _conversation(event: Event) -> str:
    return str(event.payload.get("conversation_id", ""))
