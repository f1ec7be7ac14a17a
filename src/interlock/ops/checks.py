"""What `interlock doctor` looks at: one small check per thing that goes wrong in practice.

A check says what it found in words an operator can act on. It changes nothing, and what one
of them comes upon never keeps the others from running.
"""

import asyncio
import os
import shutil
import socket
import ssl
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import text

from interlock.kernel.errors import InterlockError
from interlock.storage.engine import Database
from interlock.storage.migrate import SchemaStatus
from interlock.storage.secrets import KEY_FILE

__all__ = [
    "Check",
    "Finding",
    "State",
    "check_clock",
    "check_database",
    "check_directory",
    "check_disk",
    "check_port",
    "check_python",
    "check_schema_state",
    "run_checks",
]

State = Literal["ok", "warning", "failed"]
_MIN_FREE: Final = 1 << 30
_SLOW_S: Final = 0.25
_CHECK_S: Final = 20.0
_LEAST_PYTHON: Final = (3, 11)
_BUILT: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check came upon."""

    name: str
    state: State
    said: str
    hint: str = ""
    """What to do about it."""
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its name; `look` gives state, sentence and hint, or raises InterlockError."""

    name: str
    look: Callable[[], Awaitable[tuple[State, str, str]]]


async def run_checks(
    checks: Sequence[Check], *, told: Callable[[Finding], None] | None = None
) -> list[Finding]:
    """Runs checks one after another; each is given 20 seconds."""
    found = []
    for check in checks:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(_CHECK_S):
                state, said, hint = await check.look()
        except TimeoutError:
            state, said, hint = "failed", f"no answer within {_CHECK_S:.0f} s", ""
        except InterlockError as error:
            state, said, hint = "failed", error.message, error.hint or ""
        except OSError as error:
            state, said, hint = "failed", str(error.strerror or error), ""
        took_ms = (time.perf_counter() - began) * 1000
        one = Finding(name=check.name, state=state, said=said, hint=hint, took_ms=took_ms)
        found.append(one)
        if told is not None:
            told(one)
    return found


async def check_python() -> tuple[State, str, str]:
    """Whether this Python is one the server runs on."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _LEAST_PYTHON:
        return "failed", f"Python {version}", "use Python 3.11 or newer"
    return "ok", f"Python {version}, {ssl.OPENSSL_VERSION}", ""


async def check_clock() -> tuple[State, str, str]:
    """Whether the clock can be right: sessions and certificates depend on it."""
    now = datetime.now(UTC)
    if now < _BUILT:
        return "failed", f"the clock says {now:%Y-%m-%d %H:%M}Z", "set the machine's clock"
    return "ok", f"{now:%Y-%m-%d %H:%M:%S}Z", ""


def check_directory(data: Path) -> Check:
    """Whether the data directory is there, writable, and nobody else's to read."""

    def see() -> tuple[State, str, str]:
        if not data.exists():
            return "warning", f"`{data}` does not exist yet", "`interlock serve` makes it"
        if not os.access(data, os.W_OK | os.X_OK):
            return "failed", f"`{data}` cannot be written to", f"give it to this user: `{data}`"
        loose = [
            one
            for one in (data / KEY_FILE, data / "interlock.db")
            if one.exists() and stat.S_IMODE(one.stat().st_mode) & 0o077
        ]
        if loose and os.name == "posix" and stat.S_IMODE(data.stat().st_mode) & 0o077:
            names = ", ".join(f"`{one}`" for one in loose)
            return "warning", f"others can read {names}", f"run `chmod 700 {data}`"
        return "ok", f"`{data}`", ""

    async def look() -> tuple[State, str, str]:
        return await asyncio.to_thread(see)

    return Check("data directory", look)


def check_disk(data: Path) -> Check:
    """Whether there is room left."""

    async def look() -> tuple[State, str, str]:
        place = data
        while not place.exists():
            place = place.parent
        usage = shutil.disk_usage(place)
        said = f"{usage.free / 1e9:,.1f} GB free of {usage.total / 1e9:,.0f}"
        if usage.free < _MIN_FREE:
            return "failed", said, "make room: a full disk loses decisions that were allowed"
        if usage.free < usage.total * 0.05:
            return "warning", said, "less than 5 % is left"
        return "ok", said, ""

    return Check("disk", look)


def check_database(database: Database) -> Check:
    """Whether the store answers, and how fast it writes."""

    async def look() -> tuple[State, str, str]:
        try:
            began = time.perf_counter()
            async with database.transaction() as connection:
                await connection.execute(text("SELECT 1"))
            took = time.perf_counter() - began
        finally:
            await database.close()
        said = f"{database.describe()} answers in {took * 1000:.0f} ms"
        if took > _SLOW_S:
            return "warning", said, "a transaction this slow holds up answers that deny"
        return "ok", said, ""

    return Check("database", look)


def check_schema_state(look_up: Callable[[], SchemaStatus]) -> Check:
    """Whether the schema is the one of this version."""

    async def look() -> tuple[State, str, str]:
        status = await asyncio.to_thread(look_up)
        if status.ready:
            return "ok", f"revision {status.current}", ""
        if status.interrupted:
            said = f"migration {status.interrupted} was interrupted"
            return "failed", said, "back up, then `interlock migrate`"
        if status.pending:
            said = f"{len(status.pending)} revisions are pending"
            return "warning", said, "`interlock serve` applies them, or `interlock migrate`"
        said = f"the schema differs: {'; '.join(status.differences[:3])}"
        return "failed", said, "restore a backup; `interlock migrate --check` lists all"

    return Check("schema", look)


def check_port(host: str, port: int) -> Check:
    """Whether the server's port is free, or a server answers there."""

    async def look() -> tuple[State, str, str]:
        if port == 0:
            return "ok", "any free port", ""
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((host, port))
            except OSError:
                pass
            else:
                return "ok", f"{host} port {port} is free", ""
        where = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared only
        head = b""
        with suppress(OSError, TimeoutError):
            reader, writer = await asyncio.wait_for(asyncio.open_connection(where, port), 3)
            try:
                writer.write(b"GET /healthz HTTP/1.1\r\nhost: doctor\r\nconnection: close\r\n\r\n")
                head = await asyncio.wait_for(reader.readline(), 3)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        if head.startswith(b"HTTP/1.1 200"):
            return "ok", f"a server answers on {host} port {port}", ""
        said = f"{host} port {port} is taken, and not by an Interlock that answers"
        return "failed", said, "stop what uses it, or set `server.port`"

    return Check("port", look)
