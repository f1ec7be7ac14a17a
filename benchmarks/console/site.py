"""A server process with a million decisions, and people who are signed in to it."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import text
from tests.support.console_site import console_site
from tests.support.console_traffic import fill

from interlock.storage.engine import Database

__all__ = ["EMAIL", "KEY", "PASSWORD", "Served", "prepare", "served"]

EMAIL, PASSWORD = "bench@example.com", "correct horse battery"
KEY = "sq-bench-key-0123456789abcdef"
_ENVIRON = {
    "INTERLOCK_BOOTSTRAP_KEY": KEY,
    "INTERLOCK_ADMIN_EMAIL": EMAIL,
    "INTERLOCK_ADMIN_PASSWORD": PASSWORD,
    "INTERLOCK_LOG_LEVEL": "error",
    "INTERLOCK_SSE_MAX_STREAMS_PER_USER": "2000",
    "INTERLOCK_RATE_LIMITS_DEFAULT_RPS": "100000",
    "INTERLOCK_RATE_LIMITS_BURST": "100000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server."""

    base: str
    pid: int

    def memory_bytes(self) -> int:
        """Resident memory of the server."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @asynccontextmanager
    async def sign_in(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client with the cookies of the administrator."""
        async with httpx.AsyncClient(base_url=self.base, timeout=30) as client:
            answer = await client.post(
                "/console/login", data={"identifier": EMAIL, "password": PASSWORD}
            )
            assert answer.status_code == 303, answer.text
            yield client


async def prepare(data: Path, rows: int) -> dict[str, str]:
    """Fills a data directory; gives ids of things to look at."""
    async with console_site(data, environ=_ENVIRON) as site:
        facts = await fill(site)
        database = site.app.store.database
        await _grow(database, rows)
        facts["decision"] = "dec_000000000000000000000004"
    return facts


async def _grow(database: Database, rows: int) -> None:
    """Doubles the stored decisions, each copy older, until there are `rows`."""
    async with database.read() as connection:
        found = await connection.execute(text("SELECT * FROM decisions LIMIT 1"))
        columns = [name for name in list(found.keys()) if name not in {"id", "at"}]
        have = (await connection.execute(text("SELECT count(*) FROM decisions"))).scalar_one()
    names = ", ".join(f'"{name}"' for name in columns)
    turn = 0
    while have < rows:
        turn += 1
        step = min(have, rows - have)
        given = {"span": 2.0 * have, "step": step, "turn": f"_{turn}"}
        async with database.transaction() as connection:
            await connection.execute(
                text(
                    f'INSERT INTO decisions (id, "at", {names}) '
                    f'SELECT id || :turn, "at" - :span, {names} FROM decisions '
                    "ORDER BY rowid LIMIT :step"
                ),
                given,
            )
            await connection.execute(
                text(
                    'INSERT INTO decision_labels (decision_id, label, kind, "at") '
                    'SELECT decision_id || :turn, label, kind, "at" - :span '
                    "FROM decision_labels WHERE "
                    "decision_id IN (SELECT id FROM decisions ORDER BY rowid LIMIT :step)"
                ),
                given,
            )
        have += step


@asynccontextmanager
async def served(data: Path) -> AsyncIterator[Served]:
    """`interlock serve` on a free port."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("interlock")),
            "serve",
            "--port",
            str(port),
            "--data",
            str(data),
        ],
        env={**os.environ, **_ENVIRON},
        stdout=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as client, asyncio.timeout(60):
            while True:
                try:
                    await client.get(f"{base}/health")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.2)
        yield Served(base=base, pid=process.pid)
    finally:
        process.terminate()
        process.wait(20)
