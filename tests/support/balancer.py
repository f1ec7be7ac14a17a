"""A balancer that knows nothing of HTTP: connections go round, dead servers are passed over."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

__all__ = ["Balancer", "balancer"]


class Balancer:
    """Round robin per connection over servers that may come back under another address."""

    def __init__(self, servers: Sequence[str]) -> None:
        self.servers = list(servers)
        """Base URLs; change one when its server was started anew."""
        self.served: list[int] = []
        """Which server each connection went to."""
        self._next = 0
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    def turn_to(self, number: int) -> None:
        """The next connection goes to this server, if it answers."""
        self._next = number

    async def start(self) -> None:
        """Listens on a free port of loopback."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Ends all connections."""
        assert self._server is not None
        self._server.close()
        for one in list(self._open):
            one.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            found = await self._server_for()
            if found is None:
                return
            behind, ahead = found
            try:
                async with asyncio.TaskGroup() as group:
                    up = group.create_task(_pump(reader, ahead))
                    await _pump(behind, writer)
                    up.cancel()  # the server has said all
            finally:
                ahead.close()
        finally:
            writer.close()

    async def _server_for(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self.servers:
            number = self._next % len(self.servers)
            self._next = number + 1
            parts = urlsplit(self.servers[number])
            try:
                opened = await asyncio.open_connection(parts.hostname, parts.port)
            except OSError:
                continue
            self.served.append(number)
            return opened
        return None


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await source.read(1 << 16):
            sink.write(piece)
            await sink.drain()


@asynccontextmanager
async def balancer(servers: Sequence[str]) -> AsyncIterator[Balancer]:
    """A balancer in front of these base URLs."""
    made = Balancer(servers)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
