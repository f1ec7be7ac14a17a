"""One request on a hot route, and how it is answered: straight to the transport."""

import asyncio
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

__all__ = ["HotHead", "HotRequest"]


class _Connection(Protocol):
    """The protocol instance a request came on."""

    transport: Any
    flow: Any
    loop: Any
    client: Any

    def common_headers(self) -> bytes: ...

    def on_response_complete(self) -> None: ...


class HotHead:
    """The head of a request. Shared by the requests of a connection that repeat it."""

    __slots__ = ("headers", "memo", "method", "route", "url")

    def __init__(
        self, method: bytes, url: bytes, headers: list[tuple[bytes, bytes]], route: object
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        """(lower-case name, value) pairs as received; a repeated head keeps the
        `content-length` of its first request, so ask `HotRequest.body` instead."""
        self.route = route
        """What the handler claimed it for."""
        self.memo: object | None = None
        """What the handler has made of it: depends on nothing but the head."""


class _Nothing:
    """Stands in for the event that ASGI cycles wait on."""

    def set(self) -> None:
        """Nobody waits."""


_NOTHING = _Nothing()


class HotRequest:
    """One hot request and the way to answer it.

    `body` is complete when `serve` runs. Answer with `respond`, or with `start_stream`,
    `write`, `end_stream`.
    """

    __slots__ = (
        "_chunked",
        "_due",
        "_parts",
        "_protocol",
        "begun",
        "body",
        "body_done",
        "disconnected",
        "flow",
        "head",
        "keep_alive",
        "last_write",
        "message_event",
        "more_body",
        "response_complete",
        "response_started",
        "task",
        "transport",
    )

    def __init__(
        self, protocol: _Connection, head: HotHead, *, keep_alive: bool, http10: bool
    ) -> None:
        self._protocol = protocol
        self._parts: list[bytes] = []
        self._due = False
        self.begun = False
        """Its task has run."""
        self._chunked = not http10
        self.transport: asyncio.Transport = protocol.transport
        self.flow: FlowControl = protocol.flow
        self.head = head
        self.keep_alive = keep_alive
        self.body = b""
        self.body_done = False
        self.more_body = True
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self.task: asyncio.Task[None] | None = None
        self.message_event = _NOTHING
        self.last_write = 0.0

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """See `HotHead.headers`."""
        return self.head.headers

    @property
    def method(self) -> bytes:
        """See `HotHead.method`."""
        return self.head.method

    @property
    def url(self) -> bytes:
        """See `HotHead.url`."""
        return self.head.url

    @property
    def peer(self) -> str:
        """Address of the other end, for logs."""
        client = self._protocol.client
        return client[0] if client else ""

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """Sends a whole answer. `headers` are complete lines, each ending in CRLF."""
        if self.disconnected:
            return
        self.response_started = self.response_complete = True
        tail = b"" if self.keep_alive else b"connection: close\r\n"
        self.transport.write(
            b"%b%b%b%bcontent-length: %d\r\n\r\n%b"
            % (STATUS_LINE[status], self._protocol.common_headers(), headers, tail, len(body), body)
        )
        self._finished()

    def start_stream(self, status: int, headers: bytes) -> None:
        """Sends the head of a streamed answer."""
        if self.disconnected:
            return
        self.response_started = True
        if not self._chunked:
            self.keep_alive = False
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        tail = b"" if self.keep_alive else b"connection: close\r\n"
        self.transport.write(
            b"%b%b%b%b%b\r\n"
            % (STATUS_LINE[status], self._protocol.common_headers(), headers, framing, tail)
        )

    def write(self, data: bytes) -> None:
        """Sends a piece of a streamed answer; never blocks, see `drain`."""
        if self.disconnected or not data:
            return
        self.last_write = self._protocol.loop.time()
        if self._chunked:
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self.transport.write(data)

    @property
    def must_drain(self) -> bool:
        """The client reads slower than we write: `await drain()` before more."""
        return self.flow.write_paused

    async def drain(self) -> None:
        """Waits until the transport's buffer is small again."""
        await self.flow.drain()

    def end_stream(self) -> None:
        """Ends a streamed answer."""
        if self.disconnected:
            return
        self.response_complete = True
        if self._chunked:
            self.transport.write(b"0\r\n\r\n")
        self._finished()

    def abort(self) -> None:
        """Breaks the connection: the client must not take what it got for an answer."""
        self.response_complete = True
        if not self.transport.is_closing():
            self.transport.abort()

    def _finished(self) -> None:
        if not self.keep_alive:
            self.transport.close()
        self._protocol.on_response_complete()
