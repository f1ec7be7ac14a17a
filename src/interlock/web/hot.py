"""The HTTP protocol class: hot routes served here, everything else by the ASGI app.

A subclass of uvicorn's httptools protocol under uvicorn's own server, so that life
cycle, keep-alive, pipelining, WebSocket upgrades and graceful shutdown are uvicorn's.
A request whose target the `HotHandler` claims never becomes an ASGI scope: its body
is collected (bounded) and one task writes the answer straight to the transport.
Decision record: docs/decisions/0002-http-server.md.

Limits hold for both kinds of request: size of one header, of all headers, of the
body, and the time a request may take to arrive. A refused request gets the handler's
own error body, then the connection is drained for a moment and closed.

A body that does not arrive together with its headers is collected only once the handler
has admitted its sender: until then at most one read of the socket is held.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from interlock.web.hot_request import HotHead, HotRequest
from interlock.web.known_head import KnownHead

__all__ = [
    "HotHandler",
    "HotRequest",
    "HttpLimits",
    "Refusal",
    "Rejection",
    "hot_protocol",
    "sweep",
]

Refusal = Literal[
    "bad_request", "headers_too_large", "body_too_large", "timeout", "incomplete", "overloaded"
]

_LINGER_S = 2.0
_DRAIN_S = 10.0
"""A client that is still sending a body nobody wants gets this long to hear so."""
_AHEAD_BYTES = 1 << 20
"""Of requests sent before the answer to an earlier one; more stays in the network."""
_LENGTH_SIZE = len(b"content-length")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_JSON = b"content-type: application/json\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Sizes in bytes, times in seconds."""

    header_bytes: int = 128 << 10
    """One header line; clients send policies of 64 KiB."""
    headers_bytes: int = 512 << 10
    body_bytes: int = 64 << 20
    receive_s: float = 60.0
    """From the first byte of a request to its last."""
    send_s: float = 120.0
    """How long a client may leave everything unread that was sent to it."""


class Rejection(NamedTuple):
    """The answer to a request whose body is not wanted."""

    status: int
    headers: bytes
    """Complete lines, each ending in CRLF."""
    body: bytes
    linger_s: float = _DRAIN_S


class HotHandler(Protocol):
    """What serves the hot routes."""

    def claim(self, method: bytes, url: bytes) -> object | None:
        """The route of a hot request, None to leave it to the ASGI app. Must not raise."""
        ...

    def admit(
        self, request: HotRequest, route: object
    ) -> Awaitable[Rejection | None] | Rejection | None:
        """Whether the body of a request whose headers are there may be collected.

        None: yes. An awaitable: reading stops until it is done. Neither may raise.
        """
        ...

    async def serve(self, request: HotRequest, route: object) -> None:
        """Answers the request. Cancelled when the client goes away."""
        ...

    def refuse(self, reason: Refusal) -> tuple[int, bytes]:
        """Status and JSON body for a request that could not even be read."""
        ...


class _Door:
    """Whether the rest of a body may come in; only for bodies that came in pieces."""

    __slots__ = ("cycle", "expects", "open")

    def __init__(self, cycle: HotRequest, *, expects: bool) -> None:
        self.cycle = cycle
        self.expects = expects
        """The client waits to be told to go on."""
        self.open = False


class HotProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a second, shorter way through it; see `hot_protocol`."""

    handler: ClassVar[HotHandler]
    limits: ClassVar[HttpLimits]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.refused = False
        self.header_size = 0
        self.body_size = 0
        self.in_headers = False
        self.began: float | None = None
        self.blocked: float | None = None
        """Since when the client has taken nothing of what waits for it."""
        self.running: HotRequest | None = None
        """The request whose task was started last; `cycle` may be one waiting behind it."""
        self.ahead = 0
        self._door: _Door | None = None
        self._late: Rejection | None = None
        """To be said after the answers to the requests before it."""
        self._common: tuple[object, bytes] = (None, b"")
        self._between = True
        """Nothing of the next request has come yet."""
        self._fresh: bytes | None = None
        """What is being parsed, if it begins with a request."""
        self._known: KnownHead | None = None

    def common_headers(self) -> bytes:
        """The server's own headers (`date`), as header lines."""
        source = self.server_state.default_headers
        if self._common[0] is not source:
            lines = b"".join(b"%b: %b\r\n" % pair for pair in source)
            self._common = (source, lines)
        return self._common[1]

    # transport events

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Notes when the connection began, for `sweep`."""
        super().connection_made(transport)
        self.began = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels what the client was waiting for, so that the upstream sees it at once."""
        self.began = None
        waiting = [cycle for cycle, _ in self.pipeline]
        super().connection_lost(exc)
        for cycle in (self.running, self.cycle, *waiting):
            if isinstance(cycle, HotRequest):
                cycle.disconnected = True
                task = cycle.task
                if task is not None and not task.done():
                    task.cancel()
                    if not cycle.begun:
                        # It never runs, so it cannot do this itself.
                        self.tasks.discard(task)

    def pause_writing(self) -> None:
        """The client does not keep up; notes since when, for `sweep`."""
        self.blocked = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.blocked = None
        super().resume_writing()

    def eof_received(self) -> None:
        """A request that ends half-way is answered before the connection closes."""
        if self.began is not None and (self.header_size or self.in_headers) and not self.refused:
            cycle = self.cycle
            if self.in_headers or (cycle is not None and cycle.more_body):
                self.refuse("incomplete")

    def data_received(self, data: bytes) -> None:
        """Feeds the parser; nothing is parsed once a request was refused."""
        if self.refused:
            return
        if self._between:
            known = self._known
            body = known.body_of(data) if known is not None else None
            if known is not None and body is not None and self._again(known.head, body):
                return
            self._fresh = data
        if self.in_headers:
            self.header_size += len(data)
            if self.header_size > 2 * self.limits.headers_bytes:
                self.refuse("headers_too_large")
                return
        super().data_received(data)
        self._fresh = None
        cycle = self.cycle
        if isinstance(cycle, HotRequest) and not (cycle.body_done or self.refused):
            self._admit(cycle)
        if self.pipeline:
            # As long as there is room we read on, because only so do we hear the client leave.
            self.ahead += len(data)
            if self.ahead > _AHEAD_BYTES:
                self.flow.pause_reading()

    def send_400_response(self, msg: str) -> None:
        """The parser gave up: malformed HTTP."""
        del msg
        if not self.refused:
            self.refuse("bad_request")

    def refuse(self, reason: Refusal) -> None:
        """Answers what cannot be read, stops reading, closes after a moment."""
        status, body = self.handler.refuse(reason)
        self._turn_away(Rejection(status, _JSON, body, _LINGER_S))

    def _turn_away(self, rejection: Rejection) -> None:
        """Says so, stops reading, closes; requests before it that were complete come first."""
        self.refused = True
        if self.transport.is_closing():
            return
        running = self.running
        if running is not None and not running.response_complete:
            self._late = rejection
            return
        status, headers, body, linger_s = rejection
        cycle = self.cycle
        if cycle is None or not cycle.response_started or cycle.response_complete:
            self.transport.write(
                b"%b%b%bconnection: close\r\ncontent-length: %d\r\n\r\n%b"
                % (STATUS_LINE[status], self.common_headers(), headers, len(body), body)
            )
        if isinstance(cycle, HotRequest):
            cycle.response_complete = True
        self.loop.call_later(linger_s, self.transport.close)

    def on_response_complete(self) -> None:
        """Starts the next request that waits, or says what was wrong with it."""
        self.ahead = 0
        late = self._late
        if late is None or self.transport.is_closing():
            super().on_response_complete()
            return
        following = self.pipeline[-1][0] if self.pipeline else None
        if following is not None and not following.more_body:
            super().on_response_complete()
            return
        self._late = None
        self.pipeline.clear()
        self._turn_away(late)

    # parser events

    def on_message_begin(self) -> None:
        """A request starts; the ASGI scope is made only if it turns out to need one."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.header_size = 0
        self.body_size = 0
        self.in_headers = True
        self._between = False
        self.began = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collects a header, within the limits."""
        size = len(name) + len(value)
        self.header_size += size
        if size > self.limits.header_bytes or self.header_size > self.limits.headers_bytes:
            if not self.refused:
                self.refuse("headers_too_large")
            return
        if len(name) == _LENGTH_SIZE and name.lower() == b"content-length":
            # What is no number the parser refuses itself.
            size = int(value[:20]) if value.isdigit() else 0
            if size > self.limits.body_bytes:
                self.refuse("body_too_large")
                return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Decides which of the two ways the request goes."""
        self.in_headers = False
        if self.refused:
            return
        method = self.parser.get_method()
        route = self.handler.claim(method, self.url)
        if route is None:
            self._to_asgi()
            return
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency:
            self.refuse("overloaded")
            return
        http10 = self.parser.get_http_version() == "1.0"
        head = HotHead(method, self.url, self.headers, route)
        keep_alive = not http10 and self.parser.should_keep_alive()
        cycle = HotRequest(self, head, keep_alive=keep_alive, http10=http10)
        fresh, self._fresh = self._fresh, None
        if fresh is not None and keep_alive:
            self._known = KnownHead.of(fresh, head, body_limit=self.limits.body_bytes)
        previous = self.cycle
        self.cycle = cycle  # type: ignore[assignment]
        if previous is None or previous.response_complete:
            self._start_asgi_task(cycle, self.app)  # type: ignore[arg-type]
        else:
            self.pipeline.appendleft((cycle, self.app))  # type: ignore[arg-type]

    def on_body(self, body: bytes) -> None:
        """A piece of the body, within the limit."""
        if self.refused:
            return
        self.body_size += len(body)
        if self.body_size > self.limits.body_bytes:
            self.refuse("body_too_large")
            return
        cycle = self.cycle
        if isinstance(cycle, HotRequest):
            cycle._parts.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self.began = None
        self._between = True
        if self.refused:
            return
        cycle = self.cycle
        if not isinstance(cycle, HotRequest):
            super().on_message_complete()
            return
        parts = cycle._parts
        cycle.body = parts[0] if len(parts) == 1 else b"".join(parts)
        cycle._parts = []
        cycle.more_body = False
        cycle.body_done = True
        if cycle._due:
            self._launch(cycle)

    def _again(self, head: HotHead, body: bytes) -> bool:
        """A whole request with a head that is known; False: it must be parsed after all."""
        previous = self.cycle
        if previous is not None and not previous.response_complete:
            return False
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency:
            return False
        self._unset_keepalive_if_required()
        cycle = HotRequest(self, head, keep_alive=True, http10=False)
        cycle.body = body
        cycle.more_body = False
        cycle.body_done = cycle._due = True
        self.cycle = cycle  # type: ignore[assignment]
        self._launch(cycle)
        return True

    def _to_asgi(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.headers.extend(headers)
        self.expect_100_continue = expects
        super().on_headers_complete()
        # The app has not run yet. For streams whose client takes nothing any more.
        self.scope.setdefault("extensions", {})["interlock"] = {"abort": self.transport.abort}

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401 - uvicorn's own type
        if not isinstance(cycle, HotRequest):
            super()._start_asgi_task(cycle, app)
            return
        cycle._due = True
        if cycle.body_done:
            self._launch(cycle)
        else:
            self._continue(cycle)

    def _admit(self, cycle: HotRequest) -> None:
        """Asks once whether a body may be collected; until then nothing more of it is read."""
        door = self._door
        if door is not None and door.cycle is cycle:
            if not door.open:
                self.flow.pause_reading()
            return
        door = self._door = _Door(cycle, expects=self.expect_100_continue)
        answer = self.handler.admit(cycle, cycle.head.route)
        if answer is None:
            door.open = True
            self._continue(cycle)
        elif isinstance(answer, Rejection):
            self._turn_away(answer)
        else:
            self.flow.pause_reading()
            task = self.loop.create_task(self._await_admission(door, answer))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _await_admission(self, door: _Door, answer: Awaitable[Rejection | None]) -> None:
        rejection = await answer
        cycle = door.cycle
        if cycle.disconnected or self.refused:
            return
        if rejection is not None and not cycle.body_done:
            self._turn_away(rejection)
        else:
            door.open = True
            self._continue(cycle)
        self.flow.resume_reading()

    def _continue(self, cycle: HotRequest) -> None:
        """Lets a client that waits for it send the body, once its turn has come."""
        door = self._door
        if door is None or door.cycle is not cycle or not (door.open and door.expects):
            return
        if cycle._due and not cycle.body_done:
            door.expects = False
            self.transport.write(_CONTINUE)

    def _launch(self, cycle: HotRequest) -> None:
        task = self.loop.create_task(self._serve(cycle))
        cycle.task = task
        self.running = cycle
        self.tasks.add(task)

    async def _serve(self, cycle: HotRequest) -> None:
        cycle.begun = True
        try:
            await self.handler.serve(cycle, cycle.head.route)
        except asyncio.CancelledError:
            if not cycle.disconnected and not self.refused:
                cycle.abort()
                raise
        finally:
            if not cycle.response_complete and not cycle.disconnected:
                cycle.abort()
            if cycle.task is not None:
                self.tasks.discard(cycle.task)


def hot_protocol(handler: HotHandler, limits: HttpLimits) -> type[HotProtocol]:
    """The protocol class to give to `uvicorn.Config(http=...)`."""
    return type("BoundHotProtocol", (HotProtocol,), {"handler": handler, "limits": limits})


def sweep(connections: set[Any], now: float) -> None:
    """Ends what takes too long to arrive or to be taken; call it every few seconds."""
    for connection in list(connections):
        if not isinstance(connection, HotProtocol):
            continue
        limits, blocked = connection.limits, connection.blocked
        if blocked is not None and now - blocked >= limits.send_s:
            connection.transport.abort()
            continue
        began = connection.began
        if connection.refused or began is None or now - began < limits.receive_s:
            continue
        if connection.in_headers or (
            connection.cycle is not None and not connection.cycle.response_complete
        ):
            connection.refuse("timeout")
        else:
            connection.transport.close()
