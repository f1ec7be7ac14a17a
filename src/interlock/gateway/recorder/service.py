"""Takes records on the event loop, writes them in groups on a thread of its own.

Event-loop side: a record is one `append` to a queue, plus a dictionary entry for
what may be read back before it is stored. Puts, loads and `flush` belong to one
event loop; only the writer thread touches the store connection and the spool.

Writer side: it sleeps until the first record, waits a moment for company, and
writes group after group, each one transaction. When the store is away, records
are kept as encoded frames in memory up to a bound, then in a spool file; both
are written, in order, when the store is back. Whatever cannot be kept is counted.

Lost on `kill -9`: what was put and not flushed, at most `linger_s` of records
while the store answers. A flushed record is committed, on SQLite with a full sync.
"""

import asyncio
import contextlib
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import structlog
from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict, Field

from interlock.gateway.recorder.choosing import sink_for
from interlock.gateway.recorder.rows import Batch, Delete, Entry, clean, from_frame, to_frame
from interlock.gateway.recorder.sink import Sink, SinkRejectedError, SinkUnavailableError
from interlock.gateway.recorder.spool import Spool, SpoolFullError
from interlock.gateway.records import DecisionRecord, SessionRecord, StoredResponse, UsageRecord
from interlock.gateway.repository import SessionRepository
from interlock.storage.engine import Database, in_time
from interlock.storage.errors import StoreUnavailable

__all__ = ["BatchRecorder", "RecorderSettings", "RecorderStats"]

_log = structlog.get_logger(__name__)
_SPILL_CHUNK = 2000


class RecorderSettings(BaseModel):
    """How records are grouped and what is kept while the store is away."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_rows: int = Field(default=500, ge=1, le=10_000)
    linger_s: float = Field(default=0.05, ge=0, le=5)
    """How long the first record of a group waits for others."""
    max_records: int = Field(default=200_000, ge=1000)
    """Records kept in memory while the store is away; more go to the spool file."""
    max_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    spool_bytes: int = Field(default=2 * 1024 * 1024 * 1024, ge=1024 * 1024)
    retry_s: float = Field(default=0.5, gt=0, le=60)
    """Pause between two attempts to reach the store."""
    delete_wait_s: float = Field(default=5.0, gt=0)
    read_s: float = Field(default=5.0, gt=0)
    """How long a request waits for a session or response that is not in memory."""


class RecorderStats(Struct, kw_only=True):
    """Counters; written by one thread, read by any."""

    written: int = 0
    groups: int = 0
    spooled: int = 0
    imported: int = 0
    overflowed: int = 0
    """Records not taken, because the writer was stuck and the queue full. Event loop."""
    lost: int = 0
    """Records given up: no room anywhere, or refused by the store even when cleaned. Writer."""
    failures: int = 0
    """Attempts to write that failed."""
    up: bool = True
    last_error: str = ""
    group_s: float = 0.0
    """Seconds spent writing groups."""

    @property
    def dropped(self) -> int:
        """Records that are gone for good, for whatever reason."""
        return self.overflowed + self.lost


class _Barrier(Struct, frozen=True):
    """Someone waits until everything before it is committed."""

    future: "asyncio.Future[bool]"
    loop: asyncio.AbstractEventLoop


class _Group(Struct, kw_only=True):
    """Entries of one transaction and who waits for them."""

    entries: list[Entry] = field(default_factory=list)
    barriers: list[_Barrier] = field(default_factory=list)


class BatchRecorder:
    """The `Recorder` of a process."""

    def __init__(
        self,
        database: Database,
        *,
        spool_dir: Path,
        settings: RecorderSettings | None = None,
        sink: Sink | None = None,
    ) -> None:
        """`sink` replaces the one of `database`. Call `start` before the first put."""
        self._settings = settings or RecorderSettings()
        self._stored = SessionRepository(database)
        self._sink = sink or sink_for(database)
        self._spool = Spool(spool_dir, max_bytes=self._settings.spool_bytes)
        self._spool_dir = spool_dir
        self.stats = RecorderStats()

        self._queue: deque[Entry | _Barrier] = deque()
        self._limit = self._settings.max_records
        self._asleep = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

        # What the store may not have yet, newest first to read. Event loop only.
        self._sessions: dict[str, SessionRecord] = {}
        self._responses: dict[str, StoredResponse | Delete] = {}
        self._done: deque[list[Entry]] = deque()

        # Writer thread only.
        self._writer = uuid.uuid4().hex
        self._position = 0
        self._current: _Group | None = None
        """A group whose transaction has not been confirmed."""
        self._held: deque[bytes | _Barrier] = deque()
        self._held_bytes = 0
        self._spooling = True
        """There may be spool files to import."""

    # --- event loop side ---------------------------------------------------------------

    def usage(self, record: UsageRecord) -> None:
        """See `Recorder.usage`."""
        self._put(record)

    def decision(self, record: DecisionRecord) -> None:
        """See `Recorder.decision`."""
        self._put(record)

    def session(self, record: SessionRecord) -> None:
        """See `Recorder.session`."""
        if self._done:
            self._settle()
        self._sessions[record.id] = record
        self._put(record)

    async def save_session(self, record: SessionRecord) -> bool:
        """See `Recorder.save_session`.

        Raises:
            StoreUnavailable: the store did not answer in time; it may have been stored.
        """
        async with in_time(self._settings.read_s):
            return await self._stored.save(record)

    def response(self, record: StoredResponse) -> None:
        """See `Recorder.response`."""
        if self._done:
            self._settle()
        self._responses[record.id] = record
        self._put(record)

    async def flush(self, *, wait_s: float) -> bool:
        """See `Recorder.flush`. Also False when a record before it had to be given up."""
        if self._thread is None:
            return False
        loop = asyncio.get_running_loop()
        barrier = _Barrier(loop.create_future(), loop)
        self._queue.append(barrier)
        self._hurry.set()
        if self._asleep:
            self._asleep = False
            self._wake.set()
        try:
            async with asyncio.timeout(wait_s):
                return await barrier.future
        except TimeoutError:
            return False

    async def load_session(self, session_id: str) -> SessionRecord | None:
        """See `Recorder.load_session`.

        Raises:
            StoreUnavailable: not in memory, and the store cannot be asked.
        """
        self._settle()
        found = self._sessions.get(session_id)
        if found is not None:
            return found
        async with in_time(self._settings.read_s):
            return await self._stored.session(session_id)

    async def find_session(self, suffix: str) -> str | None:
        """See `Recorder.find_session`.

        Raises:
            StoreUnavailable: not in memory, and the store cannot be asked.
        """
        self._settle()
        queued = [record for name, record in self._sessions.items() if name.endswith(suffix)]
        if queued:
            return max(queued, key=lambda record: record.updated_at).id
        async with in_time(self._settings.read_s):
            return await self._stored.session_by_suffix(suffix)

    async def load_response(self, response_id: str) -> StoredResponse | None:
        """See `Recorder.load_response`.

        Raises:
            StoreUnavailable: not in memory, and the store cannot be asked.
        """
        self._settle()
        found = self._responses.get(response_id)
        if found is None:
            async with in_time(self._settings.read_s):
                return await self._stored.response(response_id)
        return found if isinstance(found, StoredResponse) else None

    async def delete_response(self, response_id: str) -> None:
        """See `Recorder.delete_response`; it is gone from the store when this returns.

        Raises:
            StoreUnavailable: not confirmed yet; it is hidden and will be deleted.
        """
        self._settle()
        gone = Delete(response_id)
        self._responses[response_id] = gone
        self._put(gone)
        if not await self.flush(wait_s=self._settings.delete_wait_s):
            raise StoreUnavailable

    @property
    def pending(self) -> int:
        """Records put and not stored or spooled yet, roughly."""
        current = self._current
        return len(self._queue) + len(self._held) + (len(current.entries) if current else 0)

    def _put(self, entry: Entry) -> None:
        queue = self._queue
        if len(queue) >= self._limit:
            # The writer moves the queue aside while the store is away, so this is a stuck write.
            self.stats.overflowed += 1
            return
        queue.append(entry)
        if self._asleep:
            self._asleep = False
            self._wake.set()

    def _settle(self) -> None:
        """Forgets what the store has by now."""
        done = self._done
        while done:
            for entry in done.popleft():
                if isinstance(entry, SessionRecord):
                    session = self._sessions.get(entry.id)
                    if session is not None and session.updated_at <= entry.updated_at:
                        del self._sessions[entry.id]
                elif isinstance(entry, StoredResponse | Delete):
                    newest = self._responses.get(entry.id)
                    if newest is not None and type(newest) is type(entry):
                        del self._responses[entry.id]

    # --- life cycle --------------------------------------------------------------------

    def start(self) -> None:
        """Starts the writer thread; records spooled earlier are imported by it."""
        if self._thread is not None:
            return
        self._stopping = False
        self._spooling = True
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    async def stop(self, *, wait_s: float = 30.0) -> bool:
        """Writes or spools everything and ends the thread; False when it did not end in time."""
        thread = self._thread
        if thread is None:
            return True
        self._stopping = True
        self._hurry.set()
        self._wake.set()
        await asyncio.to_thread(thread.join, wait_s)
        if thread.is_alive():
            return False
        self._thread = None
        return True

    # --- writer thread -----------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            self._sleep()
            self._cycle()
        self._cycle()
        if self.pending:
            self._park()
            self._spill()
        try:
            if not self.pending:
                self._sink.forget(self._writer)
        except (SinkUnavailableError, SinkRejectedError):
            pass  # the mark is dropped by age
        self._sink.close()
        self._spool.close()

    def _sleep(self) -> None:
        if not self.stats.up:
            self._wake.clear()
            if not self._stopping:
                self._wake.wait(self._settings.retry_s)
            return
        self._wake.clear()
        self._asleep = True
        # A put between the two lines sets `wake`; one before them is seen here.
        if not self._queue and not self._spooling and not self._stopping:
            self._wake.wait()
        self._asleep = False
        if not self._hurry.is_set():
            self._hurry.wait(self._settings.linger_s)

    def _cycle(self) -> None:
        self._hurry.clear()
        try:
            self._write_all()
        except SinkUnavailableError as error:
            self._down(str(error))
        except Exception as error:
            # The writer must outlive any surprise: a dead thread would lose every record.
            _log.exception("the recorder failed")
            self._down(type(error).__name__)
        else:
            if not self.stats.up:
                _log.info("records are being stored again", pending=self.pending)
            self.stats.up = True

    def _write_all(self) -> None:
        if self._current is not None:
            if self._sink.position(self._writer) < self._position:
                self._commit(self._current)
            else:
                self._confirm(self._current)
        if self._spooling:
            self._import_spool()
        while (group := self._take()) is not None:
            self._position += 1
            self._current = group
            self._commit(group)

    def _take(self) -> _Group | None:
        group = _Group()
        limit = self._settings.batch_rows
        while len(group.entries) < limit:
            if self._held:
                item: bytes | Entry | _Barrier = self._held.popleft()
            elif self._queue:
                item = self._queue.popleft()
            else:
                break
            if isinstance(item, _Barrier):
                group.barriers.append(item)
            elif isinstance(item, bytes):
                self._held_bytes -= len(item)
                group.entries.append(from_frame(item))
            else:
                group.entries.append(item)
        return group if group.entries or group.barriers else None

    def _commit(self, group: _Group) -> None:
        """Writes the group; on SinkUnavailableError it stays the current one."""
        complete = True
        if group.entries:
            started = time.perf_counter()
            complete = self._write(
                group.entries,
                writer=self._writer,
                position=self._position,
                durable=bool(group.barriers),
            )
            self.stats.group_s += time.perf_counter() - started
            self.stats.groups += 1
        self._confirm(group, complete=complete)

    def _confirm(self, group: _Group, *, complete: bool = True) -> None:
        self._current = None
        self.stats.written += len(group.entries)
        self._report(group.entries)
        _resolve(group.barriers, complete)

    def _report(self, entries: list[Entry]) -> None:
        kept: list[Entry] = [
            entry for entry in entries if isinstance(entry, SessionRecord | StoredResponse | Delete)
        ]
        if kept:
            self._done.append(kept)

    def _write(self, entries: list[Entry], *, writer: str, position: int, durable: bool) -> bool:
        """Writes entries in one transaction; False when some had to be given up.

        A record the store refuses must not take the others with it: the group is tried
        once more with its texts cleaned, and then record by record.
        """
        for prepare in (_as_is, _cleaned):
            try:
                batch = _batch(prepare(entries))
                self._sink.write(batch, writer=writer, position=position, durable=durable)
            except _REFUSED as error:
                self.stats.last_error = f"{type(error).__name__}: {error}"
            else:
                return True
        lost = 0
        while entries:
            # Its mark stays behind: if the store goes away here, the rest is tried again.
            try:
                batch = _batch(_cleaned(entries[:1]))
                self._sink.write(batch, writer=writer, position=position - 1, durable=durable)
            except _REFUSED as error:
                lost += 1
                self._give_up(1, f"the store refuses it: {error}")
            self._report(entries[:1])
            del entries[0]
        self._sink.write(Batch(), writer=writer, position=position, durable=durable)
        return lost == 0

    # --- the store is away -------------------------------------------------------------

    def _down(self, reason: str) -> None:
        if self.stats.up:
            _log.warning("records cannot be stored now and are kept", reason=reason)
        self.stats.up = False
        self.stats.failures += 1
        self.stats.last_error = reason
        self._park()
        if self.pending > self._settings.max_records or self._held_bytes > self._settings.max_bytes:
            self._spill()

    def _park(self) -> None:
        """Moves the queue to encoded frames, whose size is known."""
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, _Barrier):
                self._held.append(item)
                continue
            try:
                frame = to_frame(item)
            except _REFUSED as error:
                self._give_up(1, f"it cannot be encoded: {error}")
                continue
            self._held_bytes += len(frame)
            self._held.append(frame)

    def _give_up(self, count: int, reason: str) -> None:
        self.stats.lost += count
        self.stats.last_error = reason
        _log.error("records were dropped", count=count, reason=reason)

    def _spill(self) -> None:
        """Moves everything kept in memory to the spool file, oldest first."""
        if self._current is not None:
            self._unconfirmed_to_held(self._current)
        _resolve([item for item in self._held if isinstance(item, _Barrier)], False)
        frames = [item for item in self._held if isinstance(item, bytes)]
        self._held.clear()
        self._held_bytes = 0
        for start in range(0, len(frames), _SPILL_CHUNK):
            chunk = frames[start : start + _SPILL_CHUNK]
            try:
                self.stats.spooled += self._spool.append(chunk)
            except SpoolFullError as error:
                self._give_up(len(frames) - start, f"no room to keep them: {error}")
                break
            # From here on the spool has them; memory is what is being saved.
            self._report([from_frame(frame) for frame in chunk])
        self._spooling = True

    def _unconfirmed_to_held(self, group: _Group) -> None:
        self._current = None
        _resolve(group.barriers, False)
        for entry in reversed(group.entries):
            frame = to_frame(entry)
            self._held.appendleft(frame)
            self._held_bytes += len(frame)

    def _import_spool(self) -> None:
        for name in self._spool.names():
            mark = f"spool:{name}"
            offset = self._sink.position(mark)
            more = True
            while more:
                frames, offset, more = self._spool.read(name, offset, self._settings.batch_rows)
                if frames:
                    entries = [from_frame(frame) for frame in frames]
                    count = len(entries)
                    self._write(entries, writer=mark, position=offset, durable=True)
                    self.stats.imported += count
            torn = self._spool.remove(name) - offset
            if torn:
                _log.warning("the end of a spool file was unreadable", size_bytes=torn)
            self._sink.forget(mark)
        self._spooling = False


_REFUSED = (SinkRejectedError, ValueError, TypeError, OverflowError, RecursionError)
"""What a bad record raises (`UnicodeEncodeError` is a `ValueError`)."""


def _as_is(entries: list[Entry]) -> list[Entry]:
    return entries


def _cleaned(entries: list[Entry]) -> list[Entry]:
    return [clean(entry) for entry in entries]


def _batch(entries: Iterable[Entry]) -> Batch:
    batch = Batch()
    for entry in entries:
        batch.add(entry)
    return batch


def _resolve(barriers: list[_Barrier], outcome: bool) -> None:
    for barrier in barriers:
        # The loop may be closed by now: nobody waits any more then.
        with contextlib.suppress(RuntimeError):
            barrier.loop.call_soon_threadsafe(_set, barrier.future, outcome)


def _set(future: "asyncio.Future[bool]", outcome: bool) -> None:
    if not future.done():
        future.set_result(outcome)
