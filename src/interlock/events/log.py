"""The event log: append with the change, fan out after its commit, read by number.

Appends are serial, in all processes, so the order of numbers is the order of commits and
"after this event" is one comparison. What must not cost a transaction of its own
(tokens) is posted: one commit for all streams every few milliseconds. Nothing reaches a
reader that is not committed.

An append takes the lock of the log and holds it until its transaction ends: append as the
last thing of a transaction.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.events.dispatcher import Dispatcher
from interlock.events.model import Event, NewEvent
from interlock.events.outbox import Outbox, Posted
from interlock.events.repository import EventRepository, encode_payload, now_ms
from interlock.events.retention import UnfinishedWork, nothing_unfinished, prune_store
from interlock.events.ring import Ring
from interlock.events.settings import EventSettings
from interlock.events.subscription import Backpressure, Subscription
from interlock.kernel.errors import InterlockError
from interlock.storage.engine import Database, after_commit, after_rollback

__all__ = ["EventLog", "Fanout"]

_AT_ONCE = 2000
_PAGE = 1000
_GRACE_S = 0.02
"""How long another process's events may be on their way before the log is read instead."""
_UNKEPT_GRACE_S = 1.0
"""The same when there is no log to read: after it they are given up."""
_AGAIN_S = 0.25
_SETTINGS = EventSettings()
_PLAIN = Backpressure()

_log = logging.getLogger("interlock.events")


class Fanout(Protocol):
    """Tells other processes of committed events, and hears of theirs."""

    @property
    def connected(self) -> bool:
        """Whether events of other processes are heard now."""
        ...

    def publish(self, events: Sequence[Event]) -> None:
        """Tells others; never waits, may fail silently: they read the log then."""
        ...

    async def run(
        self, heard: Callable[[Sequence[Event]], None], again: Callable[[], None]
    ) -> None:
        """Hears until cancelled. `again`: something may have been missed."""
        ...


class EventLog:
    """The log of one store, as one process sees it.

    `run` in a task group as long as the process lives: without it nothing that was posted
    is committed but by `flush`, and nothing of other processes is heard.
    """

    def __init__(
        self,
        database: Database,
        *,
        settings: EventSettings = _SETTINGS,
        fanout: Fanout | None = None,
        now: Callable[[], int] = now_ms,
        unfinished: UnfinishedWork = nothing_unfinished,
    ) -> None:
        self._database = database
        self._settings = settings
        self._fanout = fanout
        self._now = now
        self._unfinished = unfinished
        self._ring = None if settings.persistence else Ring(settings.max_per_stream)
        self._dispatcher = Dispatcher(None if self._ring is None else self._ring.keep)
        self._outbox = Outbox(settings.max_waiting)
        self._grace_s = _GRACE_S if settings.persistence else _UNKEPT_GRACE_S
        self._flushing = asyncio.Lock()
        self._posted = asyncio.Event()
        self._moved = asyncio.Event()
        """Replaced whenever posted events have left or come back."""
        self._look = asyncio.Event()
        """Asks for a look into the log for what was missed."""

    # writing

    async def append(
        self, connection: AsyncConnection, stream: str, events: Sequence[NewEvent]
    ) -> list[Event]:
        """Writes events in the caller's transaction; readers get them after its commit.

        What was posted to the stream before goes first, in the same transaction.
        The connection must be one of `Database.transaction`.
        """
        new = [(stream, event, encode_payload(event.payload)) for event in events]
        written = await self._write(connection, new, lambda: self._outbox.take(stream))
        return written[len(written) - len(new) :]

    def post(self, stream: str, events: Sequence[NewEvent]) -> None:
        """Hands events over for the next common commit; returns at once.

        Raises EventsBehindError when too many wait, TypeError for a payload that is no JSON.
        """
        for event in events:
            self._outbox.put(stream, event, encode_payload(event.payload))
        self._posted.set()

    async def flush(self) -> None:
        """Returns when all that was posted before is committed. Not inside a transaction.

        Raises StoreUnavailable; the events are kept then.
        """
        target = self._outbox.last
        while not self._outbox.settled(target):
            moved = self._moved
            if self._outbox:
                await self._commit_posted()
            else:
                await moved.wait()

    async def forget(self, connection: AsyncConnection, stream: str) -> None:
        """Removes a stream that ends for good, in the caller's transaction."""
        await EventRepository(connection, self._database.dialect).forget(stream)
        if (ring := self._ring) is not None:
            after_commit(connection, lambda: ring.forget(stream))

    async def forget_audience(self, connection: AsyncConnection, user_id: str) -> None:
        """Removes what only one person could read, in the caller's transaction."""
        await EventRepository(connection, self._database.dialect).forget_audience(user_id)
        if (ring := self._ring) is not None:
            after_commit(connection, lambda: ring.forget_audience(user_id))

    # reading

    @property
    def given_out(self) -> int:
        """Number of the last event that readers of this process were given; the next ones come."""
        return self._dispatcher.head or 0

    def subscribe(
        self,
        *,
        capacity: int,
        wanted: Callable[[str], bool] | Collection[str],
        reader: str | None = None,
        backpressure: Backpressure = _PLAIN,
    ) -> Subscription:
        """Starts to hear streams, at once; close it in the end.

        `reader` is the user id of who reads: events with another audience are left out.
        None gets only what is meant for everybody, `model.EVERYBODY` everything.
        To resume: subscribe, `read` what is missed, then drop live events up to the last
        number read.
        """
        return self._dispatcher.subscribe(
            capacity=capacity, wanted=wanted, reader=reader, backpressure=backpressure
        )

    async def read(
        self,
        streams: Collection[str] | None,
        *,
        after_seq: int | None = None,
        after_ms: int | None = None,
        limit: int,
        reader: str | None = None,
    ) -> list[Event]:
        """At most `limit` events behind a place in the log, in order; None: of all streams.

        Both places given: behind both. `reader` as in `subscribe`.
        """
        if self._ring is not None:
            return self._ring.read(
                streams, after_seq=after_seq, after_ms=after_ms, limit=limit, reader=reader
            )
        async with self._database.read() as connection:
            return await EventRepository(connection, self._database.dialect).read(
                streams, after_seq=after_seq, after_ms=after_ms, limit=limit, reader=reader
            )

    async def position(self, stream: str, public_id: str) -> int | None:
        """The number of a public id; None when it is not in the log (any more)."""
        if self._ring is not None:
            return self._ring.position(stream, public_id)
        async with self._database.read() as connection:
            return await EventRepository(connection, self._database.dialect).position(
                stream, public_id
            )

    async def last(self, stream: str) -> Event | None:
        """The newest event of a stream."""
        if self._ring is not None:
            return self._ring.last(stream)
        async with self._database.read() as connection:
            return await EventRepository(connection, self._database.dialect).last(stream)

    # running

    async def run(self) -> None:
        """Commits what is posted, hears other processes, removes what is old.

        Until cancelled; then commits what is left and ends all subscriptions.
        """
        try:
            await self._begin()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._commit_always())
                group.create_task(self._fill_gaps())
                group.create_task(self._watch_log())
                group.create_task(self._prune_always())
                if self._fanout is not None:
                    group.create_task(self._fanout.run(self._dispatcher.offer, self._look.set))
        finally:
            with suppress(InterlockError):
                await self.flush()
            self._dispatcher.close()

    async def prune(self) -> int:
        """Removes what retention says; how many events that were."""
        kept = self._settings
        stay = await self._unfinished()
        before = self._now() - int(kept.retention_hours * 3_600_000)
        if self._ring is not None:
            return self._ring.prune(before_ms=before, keys=stay.keys, streams=stay.streams)
        return await prune_store(
            self._database,
            before_ms=before,
            most=kept.max_per_stream,
            batch=kept.prune_batch_size,
            stay=stay,
        )

    @property
    def readers(self) -> int:
        """Open subscriptions."""
        return len(self._dispatcher)

    # inside

    async def _write(
        self,
        connection: AsyncConnection,
        new: Sequence[tuple[str, NewEvent, str]],
        take: Callable[[], list[Posted]],
    ) -> list[Event]:
        repository = EventRepository(connection, self._database.dialect)
        before = await repository.take_numbers(len(new)) - len(new)
        self._dispatcher.start_at(before)
        # INVARIANT: taken only under the lock, so nobody can overtake what is taken.
        taken = take()
        after_rollback(connection, lambda: self._back(taken))
        waiting = await self._undoubted(repository, taken)
        if waiting:
            await repository.take_numbers(len(waiting))
        entries = [(one.stream, one.event, one.payload) for one in waiting]
        entries += new
        written, rows = await self._numbered(repository, entries, before)
        for posted, event in zip(waiting, written, strict=False):
            posted.doubt = (event.seq, event.id)
        if rows and self._ring is None:
            await repository.add(rows)
        after_commit(connection, lambda: self._gone(taken, written))
        return written

    async def _numbered(
        self,
        repository: EventRepository,
        entries: Sequence[tuple[str, NewEvent, str]],
        last_seq: int,
    ) -> tuple[list[Event], list[dict[str, Any]]]:
        counts: dict[str, int] = {}
        for stream, _, _ in entries:
            counts[stream] = counts.get(stream, 0) + 1
        last_ms = await repository.stamp(counts, self._now()) if counts else {}
        next_ms = {stream: last_ms[stream] - count + 1 for stream, count in counts.items()}
        written: list[Event] = []
        rows: list[dict[str, Any]] = []
        for seq, (stream, new, payload) in enumerate(entries, start=last_seq + 1):
            at_ms = next_ms[stream]
            next_ms[stream] = at_ms + 1
            event = Event(
                seq=seq,
                stream=stream,
                id=f"{stream}:{seq}" if new.name is None else new.name(at_ms),
                type=new.type,
                payload=new.payload,
                audience=new.audience,
                at_ms=at_ms,
                key=new.key,
            )
            written.append(event)
            rows.append(
                {
                    "seq": seq,
                    "stream": stream,
                    "public_id": event.id,
                    "type": event.type,
                    "payload": payload,
                    "audience": event.audience,
                    "at_ms": at_ms,
                    "key": event.key,
                }
            )
        return written, rows

    async def _undoubted(
        self, repository: EventRepository, taken: Sequence[Posted]
    ) -> list[Posted]:
        """Those that are not in the log already, by a commit whose answer was lost."""
        left: list[Posted] = []
        for one in taken:
            if one.doubt is not None and self._ring is None:
                seq, public_id = one.doubt
                if await repository.position(one.stream, public_id) == seq:
                    continue
            left.append(one)
        return left

    def _gone(self, taken: Sequence[Posted], written: Sequence[Event]) -> None:
        self._outbox.settle(taken)
        if taken:
            self._move()
        if written:
            self._dispatcher.offer(written)
            if self._fanout is not None:
                self._fanout.publish(written)

    def _back(self, taken: Sequence[Posted]) -> None:
        if taken:
            self._outbox.restore(taken)
            self._posted.set()
            self._move()

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _commit_posted(self) -> None:
        async with self._flushing:
            if not self._outbox:
                return
            try:
                async with self._database.transaction() as connection:
                    await self._write(connection, (), lambda: self._outbox.take_all(_AT_ONCE))
            except SQLAlchemyError:
                # The store refuses an event, not all events: find it, so that it stops nobody.
                await self._commit_one_by_one()

    async def _commit_one_by_one(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._outbox:
                return
            try:
                async with self._database.transaction() as connection:
                    await self._write(connection, (), self._outbox.take_first)
            except SQLAlchemyError as error:
                refused = self._outbox.take_first()  # it was put back as the oldest
                self._outbox.settle(refused)
                self._move()
                _log.error(  # the driver's own words would quote the row
                    "an event was refused by the store: %s of type `%s`",
                    type(error).__name__,
                    refused[0].event.type if refused else "",
                )

    async def _begin(self) -> None:
        if self._dispatcher.head is None:
            async with self._database.read() as connection:
                seq = await EventRepository(connection, self._database.dialect).last_seq()
            self._dispatcher.start_at(seq)

    async def _commit_always(self) -> None:
        while True:
            await self._posted.wait()
            await asyncio.sleep(self._settings.flush_s)
            self._posted.clear()
            try:
                while self._outbox:
                    await self._commit_posted()
            except InterlockError as error:
                _log.warning("posted events wait for the store: %s", error.message)
                await asyncio.sleep(_AGAIN_S)
                self._posted.set()

    async def _fill_gaps(self) -> None:
        while True:
            await self._dispatcher.gap.wait()
            before = self._dispatcher.head
            await asyncio.sleep(self._grace_s)
            missing = self._dispatcher.missing()
            if missing is None or self._dispatcher.head != before:
                continue
            await self._catch_up(missing[1])

    async def _watch_log(self) -> None:
        while True:
            heard = self._fanout is None or self._fanout.connected
            wait_s = self._settings.poll_s if heard else min(_AGAIN_S, self._settings.poll_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._look.wait()
            self._look.clear()
            try:
                async with self._database.read() as connection:
                    seq = await EventRepository(connection, self._database.dialect).last_seq()
            except InterlockError:
                continue  # who writes or reads says so
            if seq > (self._dispatcher.head or 0):
                await asyncio.sleep(self._grace_s)
                await self._catch_up(seq)

    async def _catch_up(self, up_to: int) -> None:
        """Gives out what is committed up to a number and was not given out yet."""
        try:
            while (head := self._dispatcher.head or 0) < up_to:
                found: list[Event] = []
                if self._ring is None:
                    async with self._database.read() as connection:
                        found = await EventRepository(connection, self._database.dialect).after(
                            head, limit=_PAGE
                        )
                if len(found) == _PAGE:
                    self._dispatcher.advance(found, found[-1].seq)
                else:
                    self._dispatcher.advance(found, up_to)
        except InterlockError as error:
            _log.warning("missed events cannot be read now: %s", error.message)
            await asyncio.sleep(_AGAIN_S)

    async def _prune_always(self) -> None:
        while True:
            await asyncio.sleep(self._settings.prune_every_s)
            try:
                await self.prune()
            except InterlockError as error:
                _log.warning("old events were not removed: %s", error.message)
