"""Null relays: the same relay on four HTTP server stacks, one upstream client for all.

    relays.py STACK PORT        STACK: protocol | subclass | asgi | granian

`/9102/v1/...` goes to port 9102 of the upstream. An answer in JSON is passed on
whole, a stream event by event. Nothing is checked or parsed beyond HTTP: what
is compared is the cost of the server under a handler that awaits an upstream.

- protocol: an asyncio protocol on httptools; the answer is written from the
  upstream connection's callback, with no task per request.
- subclass: uvicorn's `HttpToolsProtocol` serves POSTs itself, one task each;
  every other request goes on to the ASGI application.
- asgi: uvicorn with an ASGI application.
- granian: granian with an RSGI application.
"""

import asyncio
import collections
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httptools
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
FIRST_PORT = 9101
LAST_PORT = 9106
STREAMING = (9102, 9103, 9105, 9106)


class Upstream(asyncio.Protocol):
    """One kept-alive connection; at most one request at a time, pieces go to its sink."""

    def __init__(self, idle: collections.deque["Upstream"]) -> None:
        self.idle = idle
        self.sink: Any = None
        self.open = False

    def connection_made(self, transport: Any) -> None:
        self.transport, self.open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self.sink is not None:
            sink, self.sink = self.sink, None
            sink.ended(ConnectionError("upstream closed"))

    def send(self, request: bytes, sink: Any) -> None:
        self.sink = sink
        self.parser = httptools.HttpResponseParser(self)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.sink.piece(body)

    def on_message_complete(self) -> None:
        sink, self.sink = self.sink, None
        self.idle.append(self)
        sink.ended(None)


class Pool:
    """Kept-alive connections by port, the most recently used first."""

    def __init__(self) -> None:
        self.idle: dict[int, collections.deque[Upstream]] = {
            port: collections.deque() for port in range(FIRST_PORT, LAST_PORT + 1)
        }

    def take(self, port: int) -> Upstream | None:
        idle = self.idle[port]
        while idle:
            connection = idle.pop()
            if connection.open:
                return connection
        return None

    async def connect(self, port: int) -> Upstream:
        loop, idle = asyncio.get_running_loop(), self.idle[port]
        _, made = await loop.create_connection(lambda: Upstream(idle), "127.0.0.1", port)
        return made


POOL = Pool()


def split(path: bytes) -> tuple[int, bytes]:
    """`/9102/v1/x` -> (9102, b"/v1/x"); anything else goes to the first port."""
    head, _, rest = path[1:].partition(b"/")
    if head.isdigit() and FIRST_PORT <= int(head) <= LAST_PORT:
        return int(head), b"/" + rest
    return FIRST_PORT, path


def outgoing(path: bytes, body: bytes) -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nHost: upstream\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer sk-upstream\r\nContent-Length: %d\r\n\r\n%b"
        % (path, len(body), body)
    )


class Whole:
    """A sink that resolves a future with the complete body."""

    def __init__(self) -> None:
        self.done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.pieces: list[bytes] = []

    def piece(self, body: bytes) -> None:
        self.pieces.append(body)

    def ended(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(b"".join(self.pieces))


class Pieces:
    """A sink that is iterated over while it fills."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()

    def piece(self, body: bytes) -> None:
        self.queue.put_nowait(body)

    def ended(self, error: Exception | None) -> None:
        self.queue.put_nowait(error)

    async def get(self) -> bytes | None:
        got = await self.queue.get()
        if isinstance(got, Exception):
            raise got
        return got


async def call(port: int, path: bytes, body: bytes) -> bytes:
    sink = Whole()
    connection = POOL.take(port) or await POOL.connect(port)
    connection.send(outgoing(path, body), sink)
    return await sink.done


async def stream(port: int, path: bytes, body: bytes) -> Pieces:
    sink = Pieces()
    connection = POOL.take(port) or await POOL.connect(port)
    connection.send(outgoing(path, body), sink)
    return sink


class Direct(asyncio.Protocol):
    """Server side of `protocol`: also the sink of its upstream connection."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.tasks: set[asyncio.Task[None]] = set()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.url = b""
        self.parts: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        port, path = split(self.url)
        self.streaming = port in STREAMING
        request = outgoing(path, b"".join(self.parts))
        self.answer: list[bytes] = []
        connection = POOL.take(port)
        if connection is None:
            task = asyncio.get_running_loop().create_task(self.later(port, request))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            self.begin(connection, request)

    async def later(self, port: int, request: bytes) -> None:
        self.begin(await POOL.connect(port), request)

    def begin(self, connection: Upstream, request: bytes) -> None:
        if self.streaming:
            self.transport.write(SSE_HEAD)
        connection.send(request, self)

    def piece(self, body: bytes) -> None:
        if self.streaming:
            self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        else:
            self.answer.append(body)

    def ended(self, error: Exception | None) -> None:
        if error is not None:
            self.transport.close()
        elif self.streaming:
            self.transport.write(b"0\r\n\r\n")
        else:
            body = b"".join(self.answer)
            self.transport.write(JSON_HEAD % (len(body), body))


async def serve_protocol(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Direct, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The relay as an ASGI application."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    port, path = split(scope["raw_path"])
    kind = b"text/event-stream" if port in STREAMING else b"application/json"
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]}
    if port not in STREAMING:
        answer = await call(port, path, body)
        start["headers"] = [(b"content-type", kind), (b"content-length", b"%d" % len(answer))]
        await send(start)
        await send({"type": "http.response.body", "body": answer})
        return
    await send(start)
    pieces = await stream(port, path, body)
    while (piece := await pieces.get()) is not None:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def serve_uvicorn(port: int, http: Any) -> None:
    uvicorn.run(
        application,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http=http,
        access_log=False,
        log_level="warning",
        backlog=4096,
    )


def hot_protocol() -> type[asyncio.Protocol]:
    """uvicorn's protocol class with POSTs served in it, one task per request."""

    class Hot(HttpToolsProtocol):
        hot = False

        def on_message_begin(self) -> None:
            self.hot = False
            self.parts: list[bytes] = []
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            idle = self.cycle is None or self.cycle.response_complete
            if self.parser.get_method() == b"POST" and idle:
                self.hot = True
                return
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            if self.hot:
                self.parts.append(body)
            else:
                super().on_body(body)

        def on_message_complete(self) -> None:
            if not self.hot:
                super().on_message_complete()
                return
            task = self.loop.create_task(self.answer(self.url, b"".join(self.parts)))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

        async def answer(self, url: bytes, body: bytes) -> None:
            port, path = split(url)
            if port not in STREAMING:
                whole = await call(port, path, body)
                self.transport.write(JSON_HEAD % (len(whole), whole))
            else:
                self.transport.write(SSE_HEAD)
                pieces = await stream(port, path, body)
                while (piece := await pieces.get()) is not None:
                    if self.transport.is_closing():
                        return
                    self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    if self.flow.write_paused:
                        await self.flow.drain()
                self.transport.write(b"0\r\n\r\n")
            self.server_state.total_requests += 1

    return Hot


class Rsgi:
    """The relay as an RSGI application."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        body = await protocol()
        port, path = split(scope.path.encode())
        if port not in STREAMING:
            answer = await call(port, path, body)
            protocol.response_bytes(200, [("content-type", "application/json")], answer)
            return
        transport = protocol.response_stream(200, [("content-type", "text/event-stream")])
        pieces = await stream(port, path, body)
        while (piece := await pieces.get()) is not None:
            await transport.send_bytes(piece)


rsgi = Rsgi()


def serve_granian(port: int) -> None:
    """Become granian's own command; it imports this file again as `relays`."""
    command = Path(sys.executable).with_name("granian")
    options = ["--interface", "rsgi", "--host", "127.0.0.1", "--port", str(port)]
    options += ["--workers", "1", "--runtime-threads", "1", "--loop", "uvloop", "--no-ws"]
    options += ["--log-level", "error", "--backlog", "4096", "relays:rsgi"]
    os.chdir(Path(__file__).parent)
    os.execv(command, [str(command), *options])


def main(stack: str, port: int) -> None:
    if stack == "protocol":
        uvloop.run(serve_protocol(port))
    elif stack == "granian":
        serve_granian(port)
    else:
        serve_uvicorn(port, hot_protocol() if stack == "subclass" else "httptools")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
