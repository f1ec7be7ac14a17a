"""Sessions: what survives between two requests of one conversation.

A session without labels, calls or limits is nothing but its id: it is neither kept in
memory nor stored (`ids.SessionIds` can still recognise it). All others live in a bounded
cache and in the store, written behind the answer.

With several processes (`shared`) the store is the truth: a session is loaded for every
request that continues it, and written before the answer leaves. Each write names the
version it started from; if another process was faster, both states are merged.

Source: gateway.md sections 7.1 to 7.4.
"""

import asyncio
import hashlib
import logging
import uuid
from collections import OrderedDict
from typing import ClassVar

from interlock.gateway.ids import CallId, SessionIds, new_call_id
from interlock.gateway.records import Recorder, SessionRecord
from interlock.gateway.session_state import (
    CALLS_KEPT,
    CallState,
    Denied,
    MergeError,
    Origin,
    SessionState,
    decode_state,
    encode_state,
    merge_states,
    open_labels,
    pack_labels,
)
from interlock.identity.model import KeyInfo
from interlock.kernel.clock import Clock
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.kernel.ids import random_bytes
from interlock.policy.model import Session

__all__ = [
    "CallState",
    "Denied",
    "LiveSession",
    "Origin",
    "SessionBusyError",
    "SessionNotFoundError",
    "SessionState",
    "Sessions",
]

_log = logging.getLogger("interlock.gateway")
_STORE_ATTEMPTS = 50
"""Every failed one means that another process succeeded, so few are ever needed."""
_TOUCH_S = 60.0
"""A session that only was used, not changed, is stored this often."""
_PLACE = "place"
"""Owner of the sessions of places: no caller has it, so no caller can name one."""
_PLACE_LIFETIME_S = 10 * 365 * 86400.0


class SessionNotFoundError(InterlockError):
    """No such session for this caller: unknown, someone else's, expired or closed."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "session_not_found"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"Session {session_id} has expired or reached its turn limit")


class SessionBusyError(InterlockError):
    """Another request of the session is still being answered."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "session_busy"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session `{session_id}` is busy with another request", retry_after_s=1)


class LiveSession:
    """A session in memory: its state, a lock, and whether it must be stored."""

    __slots__ = ("_policy", "fresh", "lock", "remember", "state", "stored", "version")

    def __init__(self, state: SessionState, *, remember: bool, fresh: bool = False) -> None:
        self.state = state
        self.remember = remember
        """False while the id alone says everything."""
        self.fresh = fresh
        """Made here and not stored yet: no other process knows more about it."""
        self.version = 0
        """Of the stored state this one started from; 0: nothing was stored."""
        self.stored = b""
        """That stored state."""
        self.lock = asyncio.Lock()
        self._policy = _FRESH if state.labels is None else Session(labels=open_labels(state.labels))

    @property
    def id(self) -> str:
        """The session's id."""
        return self.state.id

    @property
    def policy(self) -> Session:
        """The labels as the policy engine takes them."""
        return self._policy

    @policy.setter
    def policy(self, value: Session) -> None:
        if value is self._policy or value.labels == self._policy.labels:
            return
        self._policy = value
        self.state.labels = pack_labels(value.labels)
        self.remember = True

    def clear_labels(self) -> None:
        """Back to the default metadata (`clear_session_meta`)."""
        if self.state.labels is not None:
            self._policy = _FRESH
            self.state.labels = None
            self.state.origins = []
            self.remember = True

    def replace(self, state: SessionState) -> None:
        """Takes over another state of the session."""
        self.state = state
        self._policy = _FRESH if state.labels is None else Session(labels=open_labels(state.labels))

    def starts_from(self, record: SessionRecord) -> None:
        """Notes which stored state this one is a successor of."""
        self.version, self.stored = record.version, record.state

    def add_call(self, our_id: str, call: CallState) -> None:
        """Remembers a call that was let through; the oldest ones are forgotten."""
        calls = self.state.calls
        calls[our_id] = call
        while len(calls) > CALLS_KEPT:
            del calls[next(iter(calls))]
        self.remember = True


_FRESH = Session()


class Sessions:
    """Finds, makes, locks and stores sessions."""

    def __init__(
        self,
        *,
        ids: SessionIds,
        recorder: Recorder,
        clock: Clock,
        lifetime_s: float = 86400.0,
        busy_wait_s: float = 30.0,
        store_wait_s: float = 2.0,
        capacity: int = 20_000,
        shared: bool = False,
    ) -> None:
        self._ids = ids
        self._recorder = recorder
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._busy_wait_s = busy_wait_s
        self._store_wait_s = store_wait_s
        self._capacity = capacity
        self._shared = shared
        self._live: OrderedDict[str, LiveSession] = OrderedDict()
        self._suffixes: dict[str, str] = {}

    @staticmethod
    def owner_of(key: KeyInfo) -> str:
        """Who owns the sessions of a key: its user within its account."""
        return f"{key.account_id}:{key.user_id}"

    def create(self, key: KeyInfo, endpoint: str, now: float) -> LiveSession:
        """A new session, not yet remembered anywhere."""
        owner = self.owner_of(key)
        live = self._new(self._ids.new(owner, now), owner, key, endpoint, now)
        live.fresh = True
        return live

    async def get(self, session_id: str, key: KeyInfo, endpoint: str) -> LiveSession:
        """The session of this id. Raises SessionNotFoundError."""
        now = self._clock.now().timestamp()
        owner = self.owner_of(key)
        live = await self._find(session_id)
        if live is None:
            made_at = self._ids.made_at(session_id, owner)
            if made_at is None or now - made_at > self._lifetime_s:
                raise SessionNotFoundError(session_id)
            return self._keep(self._new(session_id.lower(), owner, key, endpoint, made_at))
        if live.state.owner != owner or self._over(live, now):
            raise SessionNotFoundError(session_id)
        return live

    async def belongs(self, session_id: str, key: KeyInfo) -> bool:
        """Whether the session is or was the owner's, expired and closed ones included."""
        live = await self._find(session_id)
        owner = self.owner_of(key)
        if live is not None:
            return live.state.owner == owner
        return self._ids.made_at(session_id, owner) is not None

    async def of_client(self, hint: str, key: KeyInfo, endpoint: str) -> LiveSession:
        """The session that stands for a coding client's own session id."""
        owner = self.owner_of(key)
        session_id = _named(f"{owner}\0{key.id}\0{hint}", b"client-session")
        return await self._of_name(session_id, owner, key, endpoint)

    async def of_place(self, place: str, key: KeyInfo, endpoint: str) -> LiveSession:
        """The session of a place inside the product, e.g. one thread of a conversation.

        Everybody who may write there shares it: what one of them let in labels what all of
        them do. It lives as long as the place, because what was read stays there to be read.
        """
        session_id = _named(place, b"place")
        return await self._of_name(session_id, _PLACE, key, endpoint)

    async def _of_name(
        self, session_id: str, owner: str, key: KeyInfo, endpoint: str
    ) -> LiveSession:
        now = self._clock.now().timestamp()
        live = await self._find(session_id)
        if live is None:
            return self._keep(self._new(session_id, owner, key, endpoint, now))
        if self._over(live, now):
            former, live = live, self._keep(self._new(session_id, owner, key, endpoint, now))
            live.fresh = True
            live.version, live.stored = former.version, former.stored
        return live

    async def of_call(self, call: CallId, key: KeyInfo, endpoint: str) -> LiveSession:
        """The session a tool-call id of ours names. Raises SessionNotFoundError."""
        if call.session is not None:
            return await self.get(call.session, key, endpoint)
        session_id = self._suffixes.get(call.suffix)
        if session_id is None:
            session_id = await self._recorder.find_session(call.suffix)
        if session_id is None:
            raise SessionNotFoundError(call.canonical)
        return await self.get(session_id, key, endpoint)

    def locked(self, live: LiveSession) -> "_Locked":
        """One change of a session at a time; what was changed is stored at the end.

        In single-llm held while results are taken in and while a call is decided, never while
        a model is being waited for: requests of one conversation may run side by side. In
        dual-llm held until the turn suspends or ends. A second one waits up to
        `busy_wait_s`. When the store is shared, the session is read at the begin
        and written before the end; what another process stored in between is merged in.

        Raises:
            SessionBusyError: somebody else held it for too long, or stored what cannot be
                merged.
            StoreUnavailable: the store is shared and does not answer.
        """
        return _Locked(self, live)

    async def enter(self, live: LiveSession) -> None:
        """Takes the lock of a session; see `locked`."""
        lock = live.lock
        if lock.locked():
            try:
                async with asyncio.timeout(self._busy_wait_s):
                    await lock.acquire()
            except TimeoutError:
                raise SessionBusyError(live.id) from None
        else:
            await lock.acquire()
        if self._shared:
            try:
                await self._reload(live)
            except BaseException:
                lock.release()
                raise

    async def save(self, live: LiveSession) -> None:
        """Stores what must be remembered; waits for the store only when it is shared."""
        self._keep(live)
        if self._shared:
            await self._save_shared(live)
        else:
            self._recorder.session(self._record(live))

    async def settle(self) -> None:
        """Waits until what was saved is in the store, within bounds.

        A program whose call is known to a client and to nobody else would call it again.
        """
        if not self._shared and not await self._recorder.flush(wait_s=self._store_wait_s):
            _log.warning("a session is queued but not stored yet: the store is slow")

    async def _save_shared(self, live: LiveSession) -> None:
        """Stores a session if nobody else did since it was loaded, else merges and tries again."""
        live.state.counter = 0  # drawn anew each time, see `_free_counter`
        idle_s = self._clock.now().timestamp() - live.state.updated_at
        if live.stored and idle_s < _TOUCH_S and encode_state(live.state) == live.stored:
            return
        for _ in range(_STORE_ATTEMPTS):
            record = self._record(live)
            if await self._recorder.save_session(record):
                live.starts_from(record)
                live.fresh = False
                return
            await self._merge_stored(live)
        raise SessionBusyError(live.id)

    async def _merge_stored(self, live: LiveSession) -> None:
        """Takes in what another process stored meanwhile."""
        found = await self._recorder.load_session(live.id)
        if found is None:
            live.version = 0
            return
        theirs = decode_state(found.state)
        turns = decode_state(live.stored).turns if live.stored else 0
        try:
            live.replace(merge_states(live.state, theirs, base_turns=turns))
        except MergeError:
            raise SessionBusyError(live.id) from None
        live.starts_from(found)

    def _record(self, live: LiveSession) -> SessionRecord:
        state = live.state
        state.updated_at = self._clock.now().timestamp()
        return SessionRecord(
            id=state.id,
            key_id=state.key_id,
            account_id=state.account_id,
            endpoint=state.endpoint,
            created_at=state.created_at,
            updated_at=state.updated_at,
            expires_at=state.updated_at + self._lifetime_of(state),
            closed=state.closed,
            state=encode_state(state),
            version=live.version + 1,
        )

    def _over(self, live: LiveSession, now: float) -> bool:
        """Whether a session is closed or was idle for too long."""
        state = live.state
        return state.closed or now - state.updated_at > self._lifetime_of(state)

    def _lifetime_of(self, state: SessionState) -> float:
        return _PLACE_LIFETIME_S if state.owner == _PLACE else self._lifetime_s

    def _new(
        self, session_id: str, owner: str, key: KeyInfo, endpoint: str, now: float
    ) -> LiveSession:
        state = SessionState(
            id=session_id,
            owner=owner,
            key_id=key.id,
            account_id=key.account_id,
            endpoint=endpoint,
            created_at=now,
            updated_at=now,
        )
        return LiveSession(state, remember=False)

    def _keep(self, live: LiveSession) -> LiveSession:
        """Holds a session in memory, so that all its requests share one lock."""
        session_id = live.state.id
        self._live[session_id] = live
        self._live.move_to_end(session_id)
        self._suffixes[session_id[-12:]] = session_id
        while len(self._live) > self._capacity:
            old_id, old = next(iter(self._live.items()))
            if old.lock.locked():
                break
            del self._live[old_id]
            self._suffixes.pop(old_id[-12:], None)
        return live

    async def _find(self, session_id: str) -> LiveSession | None:
        session_id = session_id.lower()
        live = self._live.get(session_id)
        if live is not None:
            if self._shared and self._over(live, self._clock.now().timestamp()):
                # Another process may have gone on with it.
                await self._reload(live)
            return live
        record = await self._recorder.load_session(session_id)
        # Another request may have loaded it meanwhile: there is one object per session.
        live = self._live.get(session_id)
        if live is not None or record is None:
            return live
        live = LiveSession(decode_state(record.state), remember=True)
        live.starts_from(record)
        return self._keep(live)

    async def _reload(self, live: LiveSession) -> None:
        """Takes over what another process stored, also when this one had nothing to store."""
        if not live.fresh:
            record = await self._recorder.load_session(live.id)
            if record is not None:
                live.replace(decode_state(record.state))
                live.starts_from(record)
                live.remember = True
        live.state.counter = _free_counter(live.state)


def _named(name: str, kind: bytes) -> str:
    """The id of a session that is found by a name; different kinds never meet."""
    digest = hashlib.blake2b(name.encode(), digest_size=16, person=kind).digest()
    return str(uuid.UUID(bytes=digest, version=5))


def _free_counter(state: SessionState) -> int:
    """A number for the next compact call id that no known call has.

    Drawn, not counted: two processes that count would give one id to two calls.
    """
    while True:
        counter = int.from_bytes(random_bytes(2))
        if new_call_id(state.id, "compact", counter) not in state.calls:
            return counter


class _Locked:
    """A session under its lock, for `async with`; an exception inside stores nothing.

    A class, because a generator would cost more than everything that happens under it.
    """

    __slots__ = ("_live", "_sessions")

    def __init__(self, sessions: Sessions, live: LiveSession) -> None:
        self._sessions = sessions
        self._live = live

    async def __aenter__(self) -> None:
        await self._sessions.enter(self._live)

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        live = self._live
        try:
            if kind is None and live.remember:
                await self._sessions.save(live)
        finally:
            live.lock.release()
