"""One connection: writes requests, parses answers, and says whether it may be used again.

Parsing is llhttp's (strict mode). A connection returns to its pool only when the
answer was framed, complete, not followed by a single byte, the whole request was
written, and neither side asked to close. Every doubt closes it.

What odd answers mean: 1xx other than 101 are skipped; 101 and status lines that are
not HTTP/1.x are malformed; an HTTP/1.0 answer or one without framing ends with the
connection (a good one without framing inside TLS counts as cut: its end cannot be
proven); bytes after the end are ignored and cost the connection.
"""

import asyncio
from typing import Protocol, cast

import httptools

from interlock.providers.http.errors import Stage, TransportError
from interlock.providers.http.exchange import Exchange, inflate_fault
from interlock.providers.http.inflate import InflateError

__all__ = ["Connection", "Owner"]

_MAX_HEAD_BYTES = 64 << 10
_MAX_HEADERS = 256
_MAX_BARREN_BYTES = 64 << 10
"""Chunk extensions and trailers: bytes of framing without any body."""
_JOIN_BYTES = 64 << 10


class Owner(Protocol):
    """The pool, as its connections see it."""

    def reusable(self, connection: "Connection") -> None:
        """The connection is idle and clean."""
        ...

    def gone(self, connection: "Connection") -> None:
        """The connection is closed or closing; called once or more."""
        ...


class _StopParsingError(Exception):
    """Raised inside a parser callback to make the parser stop."""


class Connection(asyncio.Protocol):
    """See the module. Carries one exchange at a time."""

    __slots__ = (
        "_barren",
        "_complete",
        "_count",
        "_exchange",
        "_fault",
        "_headers",
        "_in_head",
        "_keep",
        "_odd_version",
        "_owner",
        "_parser",
        "_received",
        "_skip",
        "_transport",
        "idle_since",
        "used",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._fault: TransportError | None = None
        self._headers: dict[bytes, bytes] = {}
        self._count = 0
        self._barren = 0
        self._in_head = True
        self._skip = False
        self._complete = False
        self._keep = False
        self._received = False
        self._odd_version = False
        self.idle_since = 0.0
        self.used = False
        """Whether it has carried an answer before: only then a cut may mean a stale pool."""

    # -- the pool's side ------------------------------------------------------

    def attach(self, transport: asyncio.Transport) -> None:
        """Uses `transport`; for connections made through a tunnel."""
        self._transport = transport

    def start(self, exchange: Exchange, head: bytes, body: bytes) -> None:
        """Writes a request; its answer goes to `exchange`."""
        transport = self._transport
        if transport is None or transport.is_closing():
            exchange.fail(_cut("wait"))
            return
        self._exchange = exchange
        self._headers = {}
        self._count = self._barren = 0
        self._in_head = True
        self._skip = self._complete = self._keep = self._received = self._odd_version = False
        self._fault = None
        exchange.begin(self)
        if len(body) <= _JOIN_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)

    def shut(self) -> None:
        """Closes the connection; an exchange under way fails."""
        exchange, self._exchange = self._exchange, None
        stage = self.stage()
        self.abandon()
        if exchange is not None:
            exchange.fail(_cut(stage))

    def usable(self) -> bool:
        """Whether the transport is still open, as far as we know."""
        return self._transport is not None and not self._transport.is_closing()

    # -- the exchange's side --------------------------------------------------

    def pause(self) -> None:
        """Stops reading from the network."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Reads on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abandon(self) -> None:
        """Closes the connection at once; the exchange hears nothing more."""
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()
        self._owner.gone(self)

    def stage(self) -> Stage:
        """How far the exchange has come."""
        if self._received:
            return "body"
        transport = self._transport
        return "send" if transport is not None and transport.get_write_buffer_size() else "wait"

    # -- asyncio --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        exchange = self._exchange
        if exchange is None:
            # Nobody asked: a notice before closing, or an answer too many.
            self.abandon()
            return
        if not self._received:
            self._received = True
            self._odd_version = data[:9] != b"HTTP/1.1 "
        self._barren += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._complete:
                self._refuse(exchange)
                return
            self._keep = False
        if exchange.parts:
            exchange.arrived()
            if self._exchange is not exchange:
                # It was more than the caller takes.
                return
        if self._complete:
            self._settle(exchange)
            return
        exchange.alive()
        if self._barren > _MAX_BARREN_BYTES and self._exchange is exchange:
            what = "head" if self._in_head else "framing"
            self._fault = _malformed(f"{what} of the answer is longer than {_MAX_HEAD_BYTES} bytes")
            self._refuse(exchange)

    def eof_received(self) -> bool:
        """Called by the loop: the upstream will send nothing more."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            if not self._in_head and not self._framed() and self._trusts_end(exchange):
                exchange.finish()
            else:
                exchange.fail(_cut(self.stage()))
        self._owner.gone(self)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop: closed by whichever side."""
        exchange, self._exchange = self._exchange, None
        stage = self.stage()
        self._transport = None
        if exchange is not None:
            exchange.fail(_cut(stage))
        self._owner.gone(self)

    # -- httptools ------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Called by the parser: an answer starts."""
        if self._complete:
            raise _StopParsingError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser: a header, or (after the body) a trailer, which is ignored."""
        if not self._in_head:
            return
        headers = self._headers
        name = name.lower()
        if name in headers:
            value = headers[name] + b", " + value
        headers[name] = value
        self._count += 1
        if self._count > _MAX_HEADERS:
            self._fault = _malformed(f"answer has more than {_MAX_HEADERS} headers")
            raise _StopParsingError

    def on_headers_complete(self) -> None:
        """Called by the parser: the head is complete."""
        status = self._parser.get_status_code()
        if self._odd_version and self._parser.get_http_version() not in ("1.1", "1.0"):
            self._fault = _malformed("answer is not HTTP/1.1 or HTTP/1.0")
            raise _StopParsingError
        if status < 200:
            if status == 101 or status < 100:
                self._fault = _malformed(f"unexpected status {status}")
                raise _StopParsingError
            self._skip = True
            self._headers = {}
            return
        self._in_head = False
        coding = self._headers.get(b"transfer-encoding")
        if status > 599 or (coding is not None and coding.strip().lower() != b"chunked"):
            self._fault = _malformed("unknown transfer-encoding or status")
            raise _StopParsingError
        exchange = self._exchange
        if exchange is not None:
            try:
                exchange.head(status, self._headers)
            except InflateError as error:
                self._fault = inflate_fault(error)
                raise

    def on_body(self, data: bytes) -> None:
        """Called by the parser: a piece of body."""
        self._barren = 0
        exchange = self._exchange
        if exchange is None:
            raise _StopParsingError
        if exchange.plain:
            exchange.parts.append(data)
            return
        try:
            exchange.body(data)
        except InflateError as error:
            self._fault = inflate_fault(error)
            raise

    def on_message_complete(self) -> None:
        """Called by the parser: the answer is complete."""
        if self._skip:
            self._skip = False
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive()

    # -- inside ---------------------------------------------------------------

    def _settle(self, exchange: Exchange) -> None:
        """A complete answer: back to the pool or closed, then the caller hears of it."""
        self._exchange = None
        transport = self._transport
        if (
            self._keep
            and transport is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        ):
            self.used = True
            self._owner.reusable(self)
        elif transport is not None:
            transport.close()
            self._owner.gone(self)
        exchange.finish()

    def _refuse(self, exchange: Exchange) -> None:
        """An answer we do not go on reading."""
        self.abandon()
        exchange.fail(self._fault or _malformed("answer is not well-formed HTTP"))

    def _trusts_end(self, exchange: Exchange) -> bool:
        """Whether closing may mean "complete".

        Inside TLS it may not: asyncio does not tell an orderly end from a cut, and a cut
        is exactly what TLS is there to reveal. An error's text may end anyhow.
        """
        transport = self._transport
        secure = transport is not None and transport.get_extra_info("sslcontext") is not None
        return not secure or not 200 <= exchange.status < 300

    def _framed(self) -> bool:
        return b"content-length" in self._headers or b"transfer-encoding" in self._headers


def _malformed(message: str) -> TransportError:
    return TransportError(message, code="upstream_malformed", stage="body")


def _cut(stage: Stage) -> TransportError:
    if stage == "body":
        return TransportError(
            "upstream closed the connection in the middle of its answer",
            code="upstream_truncated",
            stage=stage,
        )
    return TransportError(
        "upstream closed the connection without an answer", code="upstream_unreachable", stage=stage
    )
