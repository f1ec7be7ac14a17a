"""An event stream read from a socket, one chunk of the network at a time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

__all__ = ["Chunks", "chunks"]


class Chunks:
    """An answer in pieces: each is what the server wrote as one."""

    def __init__(
        self, status: int, headers: Mapping[str, str], reader: asyncio.StreamReader
    ) -> None:
        self.status = status
        self.headers = headers
        self._reader = reader
        self.whole = False
        """Whether the server said that this is the end, or the connection just broke."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Until the end of the answer or of the connection."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await self._reader.readline():
                size = int(line, 16)
                piece = (await self._reader.readexactly(size + 2))[:-2]
                if size == 0:
                    self.whole = True
                    return
                yield piece


@asynccontextmanager
async def chunks(base_url: str, path: str, headers: Mapping[str, str]) -> AsyncIterator[Chunks]:
    """Opens a stream on a connection of its own.

    Raises ConnectionError: nobody answers.
    """
    parts = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
    try:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {parts.netloc}\r\n{lines}\r\n".encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            raise ConnectionResetError from None
        first, *rest = head.strip().split("\r\n")
        told = {name.lower(): value for name, value in (one.split(": ", 1) for one in rest)}
        yield Chunks(int(first.split(" ")[1]), told, reader)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
