"""The conversations API in process: requests, and streams read piece by piece as they are sent."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message

__all__ = ["Answer", "ChatClient", "OpenStream", "Sse", "cli_frame"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()
    """`Set-Cookie` headers."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Sse:
    """One frame, read."""

    id: str | None
    event: str
    data: Any


def cli_frame(chunk: bytes) -> Sse | None:
    """What the published CLI makes of one network chunk: it never joins two of them.

    A chunk is split at line ends; the last `id:`, `event:` and `data:` lines count. A frame
    that came in two chunks is lost. None: a comment.
    """
    ident, event, data = None, "message", None
    for line in chunk.decode().splitlines():
        if line.startswith("id:"):
            ident = line[3:].strip()
        elif line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:"):
            data = line[5:].strip()
    return None if data is None else Sse(ident, event, json.loads(data))


class OpenStream:
    """An event stream that is being read."""

    def __init__(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._started: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        self.flowing = asyncio.Event()
        """Cleared: the socket takes nothing."""
        self.flowing.set()
        self._task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._started.set_result(message)
                return
            await self.flowing.wait()
            if message.get("body"):
                self._chunks.put_nowait(message["body"])
            if not message.get("more_body"):
                self._chunks.put_nowait(None)

        await app(scope, receive, send)
        self._chunks.put_nowait(None)

    async def start(self) -> tuple[int, dict[str, str]]:
        """Status and headers."""
        async with asyncio.timeout(5):
            message = await self._started
        headers = {name.decode(): value.decode() for name, value in message["headers"]}
        return message["status"], headers

    async def chunk(self) -> bytes | None:
        """The next piece of the body; None at its end."""
        async with asyncio.timeout(5):
            return await self._chunks.get()

    async def frame(self) -> Sse | None:
        """The next frame that is no comment; None at the end."""
        while (piece := await self.chunk()) is not None:
            found = cli_frame(piece)
            if found is not None:
                return found
        return None

    async def until(self, event: str, times: int = 1) -> list[Sse]:
        """Frames up to and with the n-th of a type."""
        found: list[Sse] = []
        while times:
            frame = await self.frame()
            assert frame is not None, f"the stream ended before {event}: {found}"
            found.append(frame)
            times -= frame.event == event
        return found

    async def rest(self) -> list[Sse]:
        """All frames up to the end."""
        found = []
        while (frame := await self.frame()) is not None:
            found.append(frame)
        return found

    async def close(self) -> None:
        """Goes away, as a client that closes its connection."""
        self._gone.set()
        self.flowing.set()
        async with asyncio.timeout(5):
            await self._task


class ChatClient:
    """One client with headers of its own."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str] | None = None) -> None:
        self.app = app
        self.headers = dict(headers or {})
        self.streams: list[OpenStream] = []

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        stays: bool = False,
    ) -> Answer:
        """One request and its whole answer; goes away after sending it unless it `stays`."""
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        sent = dict(self.headers)
        if content:
            sent["content-type"] = "application/json"
        sent |= headers or {}
        if content and "content-length" not in sent:
            sent["content-length"] = str(len(content))
        start: Message = {}
        pieces: list[bytes] = []
        given = False

        async def receive() -> Message:
            nonlocal given
            if given:
                if stays:
                    await asyncio.Event().wait()
                return {"type": "http.disconnect"}
            given = True
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                pieces.append(message.get("body", b""))

        async with asyncio.timeout(20):
            await self.app(self._scope(method, path, sent), receive, send)
        found: dict[str, str] = {}
        for name, value in start["headers"]:
            found[name.decode().lower()] = value.decode()
        cookies = tuple(value.decode() for name, value in start["headers"] if name == b"set-cookie")
        return Answer(start["status"], found, b"".join(pieces), cookies)

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.send("GET", path, **more)

    async def post(self, path: str, body: object = None, **more: Any) -> Answer:
        return await self.send("POST", path, body, **more)

    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> OpenStream:
        """Opens an event stream."""
        scope = self._scope("GET", path, {**self.headers, **(headers or {})})
        opened = OpenStream(self.app, scope)
        self.streams.append(opened)
        return opened

    async def close(self) -> None:
        """Closes what is open."""
        for one in self.streams:
            await one.close()

    def _scope(self, method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
        bare, _, query = path.partition("?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": bare,
            "raw_path": quote(bare).encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
            "client": ("127.0.0.1", 5000),
            "server": ("127.0.0.1", 8080),
        }
