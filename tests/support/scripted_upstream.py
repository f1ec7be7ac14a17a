"""An HTTP server on loopback that does to its clients whatever the script says.

One answer per request, in order; when the script is used up, every request gets a good
answer, so that a test can ask "does the next one work?".
"""

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from interlock.providers.http import Watchdog

GOOD = b'{"ok":true}'


class FrozenClock:
    """A clock that moves only when told to; its first sleep may end `early_s` early."""

    def __init__(self, early_s: float = 0.0) -> None:
        self.seconds = 1000.0
        self.early_s = early_s

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds - 1000.0)

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    async def sleep(self, seconds: float) -> None:
        """A sleep that takes no time."""
        self.slept.append(seconds)
        self.seconds += seconds - self.early_s
        self.early_s = 0.0
        await asyncio.sleep(0)

    @property
    def slept(self) -> list[float]:
        return self.__dict__.setdefault("_slept", [])


def manual_watchdog(clock: FrozenClock) -> Watchdog:
    """A watchdog that never ticks by itself within a test: call `sweep`."""
    return Watchdog(clock.monotonic, tick_s=3600.0)


@dataclass
class Seen:
    """A request as it arrived."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class Conn:
    """What an answer can do with the connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    keep: bool = True
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def abort(self) -> None:
        """Closes without flushing: the client sees a reset or an end."""
        self.keep = False
        self.writer.transport.abort()

    def close(self) -> None:
        self.keep = False
        self.writer.close()

    async def gone(self) -> None:
        """Waits until the client has closed the connection."""
        self.keep = False
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Answer = Callable[[Conn], Awaitable[None]]


def response(
    body: bytes = GOOD, *, status: int = 200, headers: dict[str, str] | None = None
) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{lines}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def answers(
    body: bytes = GOOD, *, status: int = 200, headers: dict[str, str] | None = None
) -> Answer:
    """A well-formed answer."""
    return sends(response(body, status=status, headers=headers))


def sends(*pieces: bytes, then: str = "keep") -> Answer:
    """Writes the pieces as they are; `then`: keep, close, abort, half or stall."""

    async def run(conn: Conn) -> None:
        for piece in pieces:
            await conn.write(piece)
            await asyncio.sleep(0)
        if then == "close":
            conn.close()
        elif then == "abort":
            conn.abort()
        elif then == "half":
            conn.writer.write_eof()
            await conn.gone()
        elif then == "stall":
            await conn.gone()

    return run


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        + body
        + (b"0\r\n\r\n" if end else b"")
    )


def gzipped(body: bytes, *, status: int = 200) -> bytes:
    packed = gzip.compress(body)
    return response(packed, status=status, headers={"content-encoding": "gzip"})


class ScriptedUpstream:
    """See the module. `async with upstream(...) as up`."""

    def __init__(self, script: list[Answer]) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.connections = 0
        self.open = 0
        self.arrived = asyncio.Condition()
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def requests(self, count: int) -> None:
        """Waits until that many requests have arrived."""
        async with self.arrived:
            await asyncio.wait_for(self.arrived.wait_for(lambda: len(self.seen) >= count), 5)

    async def all_closed(self) -> None:
        """Waits until no client holds a connection."""
        async with self.arrived:
            await asyncio.wait_for(self.arrived.wait_for(lambda: self.open == 0), 5)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        conn = Conn(reader, writer)
        try:
            await self._loop(conn, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError, ssl.SSLError):
                await writer.wait_closed()
            async with self.arrived:
                self.arrived.notify_all()
            self._tasks.discard(task)

    async def _loop(self, conn: Conn, number: int) -> None:
        while conn.keep:
            head = (await conn.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *rest = head.rstrip("\r\n").split("\r\n")
            headers = {n.lower(): v for n, v in (item.split(": ", 1) for item in rest)}
            body = await conn.reader.readexactly(int(headers.get("content-length", "0")))
            self.seen.append(Seen(line, headers, body, number))
            async with self.arrived:
                self.arrived.notify_all()
            await (self.script.pop(0) if self.script else answers())(conn)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def upstream(
    *script: Answer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedUpstream]:
    """A running scripted upstream."""
    scripted = ScriptedUpstream(list(script))
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0, ssl=tls)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()
        await scripted.stop()
