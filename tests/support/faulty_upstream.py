"""The demo model behind a socket that breaks: the model's name says how and where.

`<fault>.<where>`: `cut`, `stall`, `garbage` or `error`, at `silent` (no byte yet), `head` (after
the headers), `first` (in the middle of the first event, or of a whole body), `text` (after
some text, in the middle of the next event; one byte before the end of a whole body),
`end` (all but what ends the answer) or `done` (after the last event, before the end of the
body). `flood.<bytes>` answers with that much text, `parrot.<status>` with the credential it
was sent. Any other name is answered properly.

Lives in the event loop of the test, which can so see every request and every connection.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from interlock.providers.demo import DemoUpstream

__all__ = ["MARK", "WHERE", "Call", "FaultyUpstream", "faulty_upstream", "provider_toml"]

MARK = "first piece "
"""The part of an answer after which `text` faults happen; the demo model says 12 characters
at a time."""
WHERE = ("silent", "head", "first", "text", "end")
_GARBAGE = b'data: {"garbage": tru\n\n'
_LAST = {
    "chat": b'"finish_reason":"stop"',
    "messages": b"event: message_delta",
    "responses": b"event: response.completed",
}
_NAMES = {
    "chat": b"",
    "messages": b"event: content_block_delta\n",
    "responses": b"event: response.output_text.delta\n",
}
_ERRORS = {
    "chat": b'data: {"error":{"message":"the model fell over","type":"server_error"}}\n\n',
    "messages": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error",'
    b'"message":"the model fell over"}}\n\n',
    "responses": b'event: error\ndata: {"type":"error","code":"server_error","message":'
    b'"the model fell over","param":null,"sequence_number":9}\n\n',
}


@dataclass
class Call:
    """A request as it arrived."""

    wire: str
    model: str
    headers: dict[str, str]
    raw: bytes
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """The gateway has closed the connection while this call was being answered."""

    @property
    def body(self) -> Any:
        """The decoded JSON."""
        return json.loads(self.raw)


class FaultyUpstream:
    """See the module."""

    def __init__(self) -> None:
        self.demo = DemoUpstream(now=lambda: 1.8e9)
        self.calls: list[Call] = []
        self.open = 0
        self.accepted = 0
        self.sent = 0
        """Bytes of bodies handed to the network by `flood` answers."""
        self.changed = asyncio.Condition()
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    async def until(self, true: Callable[[], bool]) -> None:
        """Waits until something about calls or connections is true."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(true), 5)

    async def call(self, model: str) -> Call:
        """Waits for the newest call to `model`."""
        await self.until(lambda: any(call.model == model for call in self.calls))
        return next(call for call in reversed(self.calls) if call.model == model)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        self.accepted += 1
        await self._notify()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        self.open -= 1
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await self._notify()
        self._tasks.discard(task)

    async def stop(self) -> None:
        """Ends all connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.rstrip("\r\n").split("\r\n")
        headers = {n.lower(): v for n, v in (item.split(": ", 1) for item in rest)}
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        path = line.split(" ")[1]
        wire = path.rsplit("/", 1)[-1].replace("completions", "chat")
        tree = json.loads(raw)
        call = Call(wire, tree["model"], headers, raw)
        self.calls.append(call)
        await self._notify()
        answer = await self.demo.handle("POST", path, headers, raw)
        pieces = [piece async for piece in answer.body]
        fault, _, where = call.model.partition(".")
        played = _Played(answer.status, pieces, bool(tree.get("stream")), call.wire)
        try:
            if fault == "flood":
                await self._flood(writer, int(where), streamed=played.streamed)
                return False
            if fault == "parrot":
                writer.write(_parroted(headers, int(where), played))
            else:
                writer.write(played.until(fault, where))
            await writer.drain()
        except ConnectionError:
            call.gone.set()
            raise
        if fault == "stall":
            with contextlib.suppress(ConnectionError):
                await reader.read(1)
            call.gone.set()
            await self._notify()
            return False
        if fault == "cut":
            writer.close()
            return False
        return True

    async def _flood(self, writer: asyncio.StreamWriter, size: int, *, streamed: bool) -> None:
        """An answer whose one text is `size` bytes long."""
        kind = b"text/event-stream" if streamed else b"application/json"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nconnection: close\r\n\r\n" % kind)
        piece = b"x" * 65536
        event = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
        event += b'"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'
        opening = b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":'
        opening += b'[{"index":0,"message":{"role":"assistant","content":"'
        writer.write(b"" if streamed else opening)
        for _ in range(size // len(piece)):
            writer.write(event % piece if streamed else piece)
            await writer.drain()
            self.sent += len(piece)
        ending = b'"},"finish_reason":"stop"}]}'
        writer.write(b"data: [DONE]\n\n" if streamed else ending)
        writer.close()


class _Played:
    """An answer of the demo model and the places where it can break."""

    def __init__(self, status: int, pieces: list[bytes], streamed: bool, wire: str) -> None:
        self.status = status
        self.data = b"".join(pieces)
        self.ends = list(itertools.accumulate(map(len, pieces)))
        self.pieces = pieces
        self.streamed = streamed
        self.wire = wire

    def until(self, fault: str, where: str) -> bytes:
        """The bytes of the answer that are sent."""
        if fault not in {"cut", "stall", "garbage", "error"}:
            return self.whole(self.data)
        if fault in {"cut", "stall"}:
            return b"" if where == "silent" else self._head() + self._framed(self._offset(where))
        if where == "silent":
            if fault == "garbage":
                return b"\x16\x03\x01 this is not HTTP\r\n\r\n"
            body = b'{"error":{"message":"the model fell over","type":"server_error"}}'
            return (
                b"HTTP/1.1 500 Oh\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (
                    len(body),
                    body,
                )
            )
        if not self.streamed:
            return self.whole(self.data[: len(self.data) // 2] + b'{"garbage": tru')
        at = self.boundary(where)
        bad = _NAMES[self.wire] + _GARBAGE if fault == "garbage" else _ERRORS[self.wire]
        return self.whole(self.data[:at] + bad + (self.data[at:] if fault == "garbage" else b""))

    def _offset(self, where: str) -> int:
        if where == "head":
            return 0
        if where == "first":
            return (self.ends[0] if self.streamed else len(self.data)) // 2
        if not self.streamed:
            return len(self.data) - 1
        if where == "done":
            return len(self.data)
        return self.boundary(where) + (7 if where == "text" else 0)

    def boundary(self, where: str) -> int:
        """Where an event begins: the first, the one after the mark, the first of the ending."""
        if where in {"head", "first"}:
            return 0
        if where == "end":
            last = next(i for i, piece in enumerate(self.pieces) if _LAST[self.wire] in piece)
            return self.ends[last - 1]
        marked = next(i for i, piece in enumerate(self.pieces) if MARK.encode() in piece)
        return self.ends[marked]

    def _head(self) -> bytes:
        if self.streamed:
            return (
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"transfer-encoding: chunked\r\n\r\n"
            )
        return b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (
            self.status,
            len(self.data),
        )

    def _framed(self, size: int) -> bytes:
        data = self.data[:size]
        return b"%x\r\n%b\r\n" % (len(data), data) if self.streamed and data else data

    def whole(self, data: bytes) -> bytes:
        """A well-formed answer with that body."""
        if self.streamed:
            return self._head() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
        return (
            b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (self.status, len(data), data)
        )


def _parroted(headers: dict[str, str], status: int, played: _Played) -> bytes:
    """An error that repeats the caller's key, in a body or in the middle of a stream."""
    key = headers.get("authorization") or headers.get("x-api-key", "")
    message = f"cannot work for {key}"
    if status == 200 and played.streamed:
        bad = _ERRORS[played.wire].replace(b"the model fell over", message.encode())
        return played.whole(played.data[: played.boundary("text")] + bad)
    body = json.dumps({"error": {"message": message, "type": "x", "code": key}}).encode()
    played.status = status
    played.streamed = False
    return played.whole(body)


@contextlib.asynccontextmanager
async def faulty_upstream() -> AsyncIterator[FaultyUpstream]:
    """A running one."""
    upstream = FaultyUpstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=1 << 20)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        await upstream.stop()


def provider_toml(name: str, origin: str, *, wire: str, more: str = "", quick: bool = True) -> str:
    """A `[providers.NAME]` table that does not retry and never rests.

    `quick`: with time-outs of a fifth of a second.
    """
    times = "timeouts = { first_byte_s = 0.2, idle_s = 0.2, total_s = 3.0 }\n" if quick else ""
    return (
        f'[providers.{name}]\nbase_url = "{origin}/v1"\nformats = ["{wire}"]\n{times}'
        "retries = { attempts = 0 }\nbreaker = { failures = 1000000, minimum = 1000000 }\n"
        f"{more}\n"
    )
