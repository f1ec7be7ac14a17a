"""Which processes of a PostgreSQL store live, and taking over from those that do not.

Every process holds an advisory lock of the server that names it: when it dies, however it
dies, PostgreSQL lets go of the lock. There are no clocks and no heartbeat rows. A process
whose lock is free twice in a row is dead; once is not enough, because a living one that
lost its connection takes the lock again within a moment.

Recovery is asked for again every round, as long as work of a dead process is left: a fault
of the store during one attempt strands nothing.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import psycopg

__all__ = ["Liveness", "lock_key"]

_AGAIN_S: Final = 0.2
_TIMEOUT_S: Final = 10
_OWNERS = (
    "SELECT DISTINCT executor_id FROM dbos.workflow_status "
    "WHERE status = 'PENDING' AND executor_id IS NOT NULL"
)

_log = logging.getLogger("interlock.durable")


def lock_key(process: str) -> int:
    """The number of a process's advisory lock (64 bits, signed)."""
    digest = hashlib.sha256(f"interlock durable {process}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class Liveness:
    """One process's sign of life, and its look at the others."""

    def __init__(
        self,
        conninfo: str,
        process: str,
        take_over: Callable[[str], Awaitable[None]],
        *,
        every_s: float,
    ) -> None:
        self._conninfo = conninfo
        self._process = process
        self._take_over = take_over
        self._every_s = every_s
        self._suspects: set[str] = set()

    async def run(self, ready: asyncio.Event) -> None:
        """Lives until cancelled; `ready` is set once others see it live."""
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._conninfo,
                    autocommit=True,
                    connect_timeout=_TIMEOUT_S,
                    application_name="interlock-durable",
                    keepalives_idle=10,
                    keepalives_interval=5,
                    keepalives_count=3,
                )
                async with connection:
                    await self._live(connection, ready)
            except psycopg.Error as error:
                _log.warning("durable work lost its store: %s", type(error).__name__)
            await asyncio.sleep(_AGAIN_S)

    async def _live(self, connection: psycopg.AsyncConnection[Any], ready: asyncio.Event) -> None:
        while True:
            if await _try_lock(connection, self._process):
                break
            await asyncio.sleep(_AGAIN_S)  # somebody looks whether we are dead
        ready.set()
        while True:
            await asyncio.sleep(self._every_s)
            await self._look(connection)

    async def _look(self, connection: psycopg.AsyncConnection[Any]) -> None:
        cursor = await connection.execute(_OWNERS)
        owners = {row[0] for row in await cursor.fetchall()} - {self._process}
        suspects: set[str] = set()
        for owner in sorted(owners):
            if not await _try_lock(connection, owner):
                continue
            try:
                if owner in self._suspects:
                    _log.warning("taking over the work of a process that died")
                    await self._take_over(owner)
                suspects.add(owner)
            finally:
                await connection.execute("SELECT pg_advisory_unlock(%s)", (lock_key(owner),))
        self._suspects = suspects


async def _try_lock(connection: psycopg.AsyncConnection[Any], process: str) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_key(process),))
    row = await cursor.fetchone()
    return bool(row and row[0])
