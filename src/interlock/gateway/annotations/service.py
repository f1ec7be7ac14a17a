"""What may be done with annotations: add, list, remove - for the owner of the session.

A session may be annotated long after it has ended; what counts is whose it was. A session
of somebody else looks like one that does not exist.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from interlock.gateway.annotations.errors import (
    AnnotationNotFoundError,
    AnnotationTooLargeError,
    TooManyAnnotationsError,
)
from interlock.gateway.annotations.model import Annotation, Draft, Kept
from interlock.gateway.annotations.repository import AnnotationRepository
from interlock.gateway.session import SessionNotFoundError, Sessions
from interlock.identity.model import KeyInfo
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import new_id
from interlock.storage.engine import Database

__all__ = ["MAX_PER_SESSION", "MAX_SESSION_BYTES", "MAX_SIZE_BYTES", "Annotations", "Owners"]

MAX_PER_SESSION = 1000
MAX_SIZE_BYTES = 256 << 10
"""Of `outcome_logs` and `metadata` together, as JSON."""
MAX_SESSION_BYTES = 16 << 20
"""Of all of them: a list is one answer."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Owners(Protocol):
    """Knows whose sessions are whose: `gateway.session.Sessions`."""

    async def belongs(self, session_id: str, key: KeyInfo) -> bool:
        """Whether the session is or was one of the key's owner."""
        ...


class Annotations:
    """Annotations of sessions."""

    def __init__(self, database: Database, clock: Clock, sessions: Owners) -> None:
        self._database = database
        self._clock = clock
        self._sessions = sessions

    async def add(self, key: KeyInfo, session_id: str, draft: Draft) -> Annotation:
        """Keeps an annotation.

        Raises:
            SessionNotFoundError: no session of the key's owner.
            AnnotationTooLargeError: more than `MAX_SIZE_BYTES`.
            TooManyAnnotationsError: the session has `MAX_PER_SESSION` of them, or
                `MAX_SESSION_BYTES`.
        """
        kept = await self.add_all(key, {0: (session_id, draft)})
        if kept.errors:
            raise kept.errors[0]
        return kept.created[0]

    async def add_all(self, key: KeyInfo, drafts: Mapping[int, tuple[str, Draft]]) -> Kept:
        """Keeps those that can be kept, all at once; the others are told by their number."""
        owner = Sessions.owner_of(key)
        errors: dict[int, InterlockError] = {}
        held: dict[str, tuple[int, int]] = {}
        chosen: list[Annotation] = []
        now = self._clock.now().timestamp()
        owned = {name: await self._owned(key, name) for name, _ in drafts.values()}
        async with self._database.transaction() as connection:
            repository = AnnotationRepository(connection)
            for number, (name, draft) in drafts.items():
                session_id, size = name.lower(), draft.size_bytes
                if not owned[name]:
                    errors[number] = SessionNotFoundError(name[:100])
                    continue
                if size > MAX_SIZE_BYTES:
                    errors[number] = AnnotationTooLargeError(size, MAX_SIZE_BYTES)
                    continue
                if session_id not in held:
                    held[session_id] = await repository.held(owner, session_id)
                count, size_before = held[session_id]
                if count >= MAX_PER_SESSION or size_before + size > MAX_SESSION_BYTES:
                    errors[number] = TooManyAnnotationsError(MAX_PER_SESSION, MAX_SESSION_BYTES)
                    continue
                held[session_id] = count + 1, size_before + size
                chosen.append(_kept(draft, session_id, now))
            await repository.add(owner, chosen, key_id=key.id, account_id=key.account_id)
        return Kept(created=tuple(chosen), errors=errors)

    async def of_session(self, key: KeyInfo, session_id: str) -> Sequence[Annotation]:
        """Those of a session, oldest first. Raises SessionNotFoundError."""
        async with self._database.read() as connection:
            found = await AnnotationRepository(connection).of_session(
                Sessions.owner_of(key), session_id.lower()
            )
        if not found and not await self._owned(key, session_id):
            raise SessionNotFoundError(session_id[:100])
        return found

    async def remove(self, key: KeyInfo, session_id: str, annotation_id: str) -> None:
        """Deletes one.

        Raises:
            SessionNotFoundError: no session of the key's owner.
            AnnotationNotFoundError: it has no such annotation.
        """
        async with self._database.transaction() as connection:
            gone = await AnnotationRepository(connection).remove(
                Sessions.owner_of(key), session_id.lower(), annotation_id
            )
        if gone:
            return
        if not await self._owned(key, session_id):
            raise SessionNotFoundError(session_id[:100])
        raise AnnotationNotFoundError(annotation_id)

    async def purge(self, *, before: float) -> None:
        """Deletes those made before an instant (epoch seconds), some at a time."""
        more = True
        while more:
            async with self._database.transaction() as connection:
                more = await AnnotationRepository(connection).purge(before=before)

    async def _owned(self, key: KeyInfo, session_id: str) -> bool:
        """Whether the session is the owner's, as far as anybody still knows."""
        if _UUID.fullmatch(session_id) is None:
            return False
        if await self._sessions.belongs(session_id, key):
            return True
        # A coding client's session is forgotten in the end; its annotations are not.
        async with self._database.read() as connection:
            count, _ = await AnnotationRepository(connection).held(
                Sessions.owner_of(key), session_id.lower()
            )
        return count > 0


def _kept(draft: Draft, session_id: str, at: float) -> Annotation:
    return Annotation(
        id=new_id("ann"),
        session_id=session_id,
        at=at,
        source=draft.source,
        labels=draft.labels,
        outcome_logs=draft.outcome_logs,
        metadata=draft.metadata,
    )
