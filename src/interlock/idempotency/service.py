"""One transaction per key: the work and its answer become true together, or neither does.

A second request with the key waits for the first one's transaction and is then given its
answer; after a crash the transaction is gone, and the work with it, so that the repeat does
it. Two processes on one database behave like one.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Final

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.idempotency.tables import idempotency_keys
from interlock.kernel.clock import Clock
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.storage.engine import Database
from interlock.storage.errors import StoreUnavailable

__all__ = [
    "Answered",
    "Idempotency",
    "IdempotencyKeyError",
    "IdempotencyKeyReusedError",
    "Once",
    "fingerprint_of",
]

LIFETIME_S: Final = 86_400.0
_KEY_CHARS: Final = 255
_PURGED: Final = 1000
_PURGE_EVERY_S: Final = 300.0

_log = logging.getLogger("interlock.idempotency")


class IdempotencyKeyReusedError(InterlockError):
    """The key was used for another request."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNPROCESSABLE
    code: ClassVar[str] = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "this idempotency key was used for a different request",
            hint="use a new key for a new request",
            param="Idempotency-Key",
        )


class IdempotencyKeyError(InterlockError):
    """The key is empty or too long."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "validation_failed"

    def __init__(self) -> None:
        super().__init__(
            f"an idempotency key has 1 to {_KEY_CHARS} characters", param="Idempotency-Key"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The first answer to a key."""

    status: int
    body: bytes


@dataclass(slots=True)
class Once:
    """The transaction of one request."""

    connection: AsyncConnection
    replayed: Answered | None = None
    """The first answer: there is nothing to do. None: do the work, then `keep` its answer."""
    _kept: Answered | None = field(default=None, init=False)

    def keep(self, status: int, body: bytes) -> None:
        """The answer that repeats are to get; only what succeeded is kept."""
        self._kept = Answered(status=status, body=body)


class Idempotency:
    """Keys and their answers."""

    def __init__(self, database: Database, clock: Clock, *, lifetime_s: float = LIFETIME_S) -> None:
        self._database = database
        self._clock = clock
        self._lifetime_s = lifetime_s

    @asynccontextmanager
    async def transaction(
        self, scope: str, key: str | None, fingerprint: str
    ) -> AsyncIterator[Once]:
        """The unit of work of a request that may be repeated.

        `scope` is who asks and for what (`chat:<user id>:message`), `fingerprint` what the
        request says (`fingerprint_of`). Without a key it is an ordinary transaction. A
        failure inside leaves nothing: the repeat does the work.

        Raises:
            IdempotencyKeyError: the key is empty or too long.
            IdempotencyKeyReusedError: the key came with another request.
        """
        if key is not None and not 0 < len(key.strip()) <= _KEY_CHARS:
            raise IdempotencyKeyError
        async with self._database.transaction() as connection:
            once = Once(connection)
            if key is None:
                yield once
                return
            place = (scope, hashlib.sha256(key.strip().encode()).hexdigest())
            once.replayed = await self._claimed(connection, place, fingerprint)
            yield once
            if once.replayed is None and once._kept is not None:
                await connection.execute(
                    update(idempotency_keys)
                    .where(_at(place))
                    .values(status=once._kept.status, answer=once._kept.body)
                )

    async def run(self) -> None:
        """Forgets old keys every few minutes, until cancelled."""
        while True:
            try:
                await self.purge()
            except StoreUnavailable as error:
                _log.warning("old idempotency keys were not removed: %s", error.message)
            await asyncio.sleep(_PURGE_EVERY_S)

    async def purge(self) -> None:
        """Forgets keys that are older than their lifetime, some at a time."""
        oldest = self._clock.now().timestamp() - self._lifetime_s
        columns = idempotency_keys.c
        old = (
            select(columns.scope, columns.key_hash)
            .where(columns.created_at < oldest)
            .limit(_PURGED)
        )
        async with self._database.transaction() as connection:
            for scope, key_hash in (await connection.execute(old)).all():
                await connection.execute(delete(idempotency_keys).where(_at((scope, key_hash))))

    async def _claimed(
        self, connection: AsyncConnection, place: tuple[str, str], fingerprint: str
    ) -> Answered | None:
        """Takes the key, waiting for whoever holds it; the answer if there is one."""
        now = self._clock.now().timestamp()
        await connection.execute(
            delete(idempotency_keys).where(
                _at(place), idempotency_keys.c.created_at < now - self._lifetime_s
            )
        )
        dialect = postgresql if self._database.dialect == "postgresql" else sqlite
        claim = (
            dialect.insert(idempotency_keys)
            .values(
                scope=place[0],
                key_hash=place[1],
                fingerprint=fingerprint,
                status=0,
                answer=b"",
                created_at=now,
            )
            .on_conflict_do_nothing()
        )
        if (await connection.execute(claim)).rowcount == 1:
            return None
        row = (await connection.execute(select(idempotency_keys).where(_at(place)))).one()
        if row.fingerprint != fingerprint:
            raise IdempotencyKeyReusedError
        return None if row.status == 0 else Answered(status=row.status, body=row.answer)


def fingerprint_of(*parts: str | bytes) -> str:
    """Identifies what a request says: its method, path and body."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def _at(place: tuple[str, str]) -> ColumnElement[bool]:
    columns = idempotency_keys.c
    return (columns.scope == place[0]) & (columns.key_hash == place[1])
