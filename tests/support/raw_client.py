"""An HTTP client that sends exactly the bytes it is given, for tests of bad manners."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

__all__ = ["RawAnswer", "RawClient", "post", "raw_client"]


def post(
    path: str, body: Any, *, key: str, headers: Mapping[str, str] | None = None, framed: bool = True
) -> bytes:
    """A POST; `body` is JSON unless it is bytes already. `framed`: with a content-length."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"host": "gateway", "authorization": f"Bearer {key}", **(headers or {})}
    if framed:
        lines["content-length"] = str(len(data))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + data


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """An answer read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """Status, type and code of the documented error body."""
        tree = json.loads(self.body)
        error = tree["error"]
        assert tree["type"] == "error"
        assert tree["detail"] == tree["message"] == error["message"]
        assert tree["request_id"].startswith("req_")
        return f"{self.status} {error['type']} {error['code']}"


class RawClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Writes the pieces; a server that has closed already is no error here."""
        with suppress(ConnectionError):
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()

    async def half_close(self) -> None:
        """Nothing more will be sent; answers can still be read."""
        self.writer.write_eof()

    async def answer(self) -> RawAnswer:
        """The next answer."""
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *rest = head.rstrip("\r\n").split("\r\n")
            headers = {n.lower(): v for n, v in (item.split(": ", 1) for item in rest)}
            if "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                body = await self._chunks()
        return RawAnswer(status=int(line.split(" ")[1]), headers=headers, body=body)

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and including a mark."""
        async with asyncio.timeout(10):
            return await self.reader.readuntil(mark)

    async def closed(self) -> bytes:
        """What comes until the server closes the connection."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()
        return body


@asynccontextmanager
async def raw_client(
    base_url: str, *, receive_buffer: int | None = None, limit: int = 1 << 20
) -> AsyncIterator[RawClient]:
    """A connection; `receive_buffer` makes the kernel hold little, `limit` the reader."""
    parts = urlsplit(base_url)
    connection = socket.socket()
    connection.setblocking(False)
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=limit)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
