"""Sessions: what survives between two requests of one conversation.

A session without labels, calls or limits is nothing but its id: it is neither kept in
memory nor stored (`ids.SessionIds` can still recognise it). All others live in a bounded
cache and in the store, written behind the answer.

With several processes (`shared`) the store is the truth: a session is loaded for every
request that continues it, and written before the answer leaves.

Source: gateway.md sections 7.1 to 7.4.
"""

import asyncio
import hashlib
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import msgspec
from msgspec import Struct, field

from interlock.gateway.ids import CallId, SessionIds
from interlock.gateway.records import Recorder, SessionRecord
from interlock.identity.model import KeyInfo
from interlock.kernel.clock import Clock
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.policy.model import Labels, LabelSet, Session

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

_CALLS_KEPT = 4096
_BUSY_WAIT_S = 30.0


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


class CallState(Struct, kw_only=True):
    """One tool call that was let through."""

    upstream_id: str
    tool: str
    arguments: str
    answered: bool = False
    evidence: dict[str, list[str]] = field(default_factory=dict)
    """Tags that say where each argument comes from, when a rule asked for them."""
    trusted: bool = False
    """A rule vouches for its result."""


class Denied(Struct, frozen=True, kw_only=True):
    """A denied sibling of an allowed call, told to the model on the next request."""

    after: str
    """Our id of the sibling."""
    upstream_id: str
    name: str
    namespace: str | None
    arguments: str
    message: str


class Origin(Struct, frozen=True, kw_only=True):
    """Which event put a label on the session."""

    field: str
    label: str
    tool: str
    call_id: str
    declaration: str
    line: int


class StoredSet(Struct, frozen=True, kw_only=True):
    """A label set, losslessly."""

    items: list[str]
    negated: bool
    untouched: bool


class StoredLabels(Struct, frozen=True, kw_only=True):
    """Labels, with what watched and bound policies see apart from them."""

    tags: StoredSet
    producers: StoredSet
    consumers: StoredSet
    worlds: "dict[str, StoredLabels]"


class SessionState(Struct, kw_only=True):
    """Everything stored about a session."""

    id: str
    owner: str
    key_id: str
    account_id: str
    endpoint: str
    created_at: float
    updated_at: float
    arch: str = "single-llm"
    turns: int = 0
    closed: bool = False
    labels: StoredLabels | None = None
    """None: the labels every session starts with."""
    origins: list[Origin] = field(default_factory=list)
    calls: dict[str, CallState] = field(default_factory=dict)
    denied: list[Denied] = field(default_factory=list)
    counter: int = 0


def _pack_set(labels: LabelSet) -> StoredSet:
    return StoredSet(items=sorted(labels.items), negated=labels.negated, untouched=labels.untouched)


def _pack(labels: Labels) -> StoredLabels:
    return StoredLabels(
        tags=_pack_set(labels.tags),
        producers=_pack_set(labels.producers),
        consumers=_pack_set(labels.consumers),
        worlds={name: _pack(world) for name, world in labels.worlds.items()},
    )


def _open_set(stored: StoredSet) -> LabelSet:
    return LabelSet(frozenset(stored.items), stored.negated, untouched=stored.untouched)


def _open(stored: StoredLabels) -> Labels:
    return Labels(
        tags=_open_set(stored.tags),
        producers=_open_set(stored.producers),
        consumers=_open_set(stored.consumers),
        worlds={name: _open(world) for name, world in stored.worlds.items()},
    )


class LiveSession:
    """A session in memory: its state, a lock, and whether it must be stored."""

    __slots__ = ("_policy", "lock", "remember", "state")

    def __init__(self, state: SessionState, *, remember: bool) -> None:
        self.state = state
        self.remember = remember
        """False while the id alone says everything."""
        self.lock = asyncio.Lock()
        self._policy = _FRESH if state.labels is None else Session(labels=_open(state.labels))

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
        self.state.labels = _pack(value.labels)
        self.remember = True

    def clear_labels(self) -> None:
        """Back to the default metadata (`clear_session_meta`)."""
        if self.state.labels is not None:
            self._policy = _FRESH
            self.state.labels = None
            self.state.origins = []
            self.remember = True

    def replace(self, state: SessionState) -> None:
        """Takes over what the store holds now."""
        self.state = state
        self._policy = _FRESH if state.labels is None else Session(labels=_open(state.labels))

    def add_call(self, our_id: str, call: CallState) -> None:
        """Remembers a call that was let through; the oldest ones are forgotten."""
        calls = self.state.calls
        calls[our_id] = call
        while len(calls) > _CALLS_KEPT:
            del calls[next(iter(calls))]
        self.remember = True


_FRESH = Session()
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SessionState).decode


class Sessions:
    """Finds, makes, locks and stores sessions."""

    def __init__(
        self,
        *,
        ids: SessionIds,
        recorder: Recorder,
        clock: Clock,
        lifetime_s: float = 86400.0,
        capacity: int = 20_000,
        shared: bool = False,
    ) -> None:
        self._ids = ids
        self._recorder = recorder
        self._clock = clock
        self._lifetime_s = lifetime_s
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
        return self._new(self._ids.new(owner, now), owner, key, endpoint, now)

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
        state = live.state
        expired = now - state.updated_at > self._lifetime_s
        if state.owner != owner or state.closed or expired:
            raise SessionNotFoundError(session_id)
        return live

    async def of_client(self, hint: str, key: KeyInfo, endpoint: str) -> LiveSession:
        """The session that stands for a coding client's own session id."""
        owner = self.owner_of(key)
        digest = hashlib.blake2b(
            f"{owner}\0{key.id}\0{hint}".encode(), digest_size=16, person=b"client-session"
        ).digest()
        session_id = str(uuid.UUID(bytes=digest, version=5))
        now = self._clock.now().timestamp()
        live = await self._find(session_id)
        if live is None or live.state.closed or now - live.state.updated_at > self._lifetime_s:
            live = self._keep(self._new(session_id, owner, key, endpoint, now))
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

    @asynccontextmanager
    async def locked(self, live: LiveSession) -> AsyncIterator[None]:
        """One change of a session at a time; what was changed is stored at the end.

        Held while results are taken in and while a call is decided, never while a model
        is being waited for: requests of one conversation may run side by side. A second
        one waits up to 30 s. When the store is shared, the session is read at the begin
        and written before the end.

        Raises:
            SessionBusyError: somebody else held it for too long.
        """
        lock = live.lock
        if lock.locked():
            try:
                async with asyncio.timeout(_BUSY_WAIT_S):
                    await lock.acquire()
            except TimeoutError:
                raise SessionBusyError(live.id) from None
        else:
            await lock.acquire()
        try:
            if self._shared and live.id in self._live:
                await self._reload(live)
            yield
            if live.remember:
                await self._save(live)
        finally:
            lock.release()

    async def _save(self, live: LiveSession) -> None:
        """Stores what must be remembered; waits for the store only when it is shared."""
        state = live.state
        state.updated_at = self._clock.now().timestamp()
        self._keep(live)
        self._recorder.session(
            SessionRecord(
                id=state.id,
                key_id=state.key_id,
                account_id=state.account_id,
                endpoint=state.endpoint,
                created_at=state.created_at,
                updated_at=state.updated_at,
                expires_at=state.updated_at + self._lifetime_s,
                closed=state.closed,
                state=_encode(state),
            )
        )
        if self._shared:
            await self._recorder.flush(wait_s=5.0)

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
            return live
        record = await self._recorder.load_session(session_id)
        # Another request may have loaded it meanwhile: there is one object per session.
        live = self._live.get(session_id)
        if live is not None or record is None:
            return live
        return self._keep(LiveSession(_decode(record.state), remember=True))

    async def _reload(self, live: LiveSession) -> None:
        """Takes over what another process stored, also when this one had nothing to store."""
        record = await self._recorder.load_session(live.state.id)
        if record is not None:
            live.replace(_decode(record.state))
            live.remember = True
