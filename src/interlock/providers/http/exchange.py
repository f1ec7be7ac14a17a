"""One request and its answer, seen from the side that waits for it.

The connection pushes (`head`, `body`, `finish`, `fail`), the caller pulls (`opened`,
`take`, `collected`) or subscribes. Nothing here makes a task or a queue: a reader
that must wait waits for one future, a reader that finds bytes takes them.

Invariant: `released` and then `on_done` are called exactly once, whatever happened.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from interlock.providers.http.errors import Stage, TransportError
from interlock.providers.http.inflate import InflateError, Inflater
from interlock.providers.http.watchdog import Watchdog

__all__ = ["ERROR_BODY_BYTES", "Exchange", "HeaderView", "Link", "Sink"]

ERROR_BODY_BYTES = 68 << 10
"""How much of an error body is read: the 64 KiB shown, and a margin to redact safely."""

_HIGH_WATER = 256 << 10
_LOW_WATER = 64 << 10


class HeaderView(Mapping[str, str]):
    """Answer headers by lower-case name; decoded when looked at."""

    __slots__ = ("_raw",)

    def __init__(self, raw: dict[bytes, bytes]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        return self._raw[name.encode("latin-1", "replace")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class Sink(Protocol):
    """Takes body pieces the moment they arrive, instead of pulling them."""

    def data(self, piece: bytes) -> None:
        """The next piece. Must not raise and must not block."""
        ...

    def end(self, fault: TransportError | None) -> None:
        """Nothing more will come; None: the body was complete."""
        ...


class Link(Protocol):
    """What an exchange may ask of the connection that carries it."""

    def pause(self) -> None:
        """Stops reading from the network."""
        ...

    def resume(self) -> None:
        """Reads on."""
        ...

    def abandon(self) -> None:
        """Closes the connection at once; the exchange hears nothing more."""
        ...

    def stage(self) -> Stage:
        """How far the exchange has come."""
        ...


class Exchange:
    """See the module. `streaming`: pull pieces under back-pressure, else collect all."""

    __slots__ = (
        "_begun",
        "_counted",
        "_first_s",
        "_idle_s",
        "_inflater",
        "_limit",
        "_link",
        "_paused",
        "_sink",
        "_size",
        "_streaming",
        "_total",
        "_waiter",
        "_watchdog",
        "deadline",
        "done",
        "fault",
        "headers",
        "on_done",
        "parts",
        "plain",
        "raw",
        "released",
        "status",
    )

    def __init__(
        self,
        watchdog: Watchdog,
        *,
        streaming: bool,
        limit: int,
        first_byte_s: float,
        idle_s: float,
        deadline: float,
    ) -> None:
        self._watchdog = watchdog
        self._streaming = streaming
        self._limit = limit
        self._first_s = first_byte_s
        self._idle_s = idle_s
        self._total = deadline
        self._link: Link | None = None
        self._inflater: Inflater | None = None
        self.parts: list[bytes] = []
        """What has come and was not taken yet."""
        self.plain = True
        """Pieces need nothing but to be added to `parts`: the body is not compressed."""
        self._size = 0
        self._counted = 0
        """How many of `parts` are in `_size`."""
        self._paused = False
        self._begun = False
        self._sink: Sink | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.deadline = deadline
        self.status = 0
        """0 until the head of the answer is there."""
        self.raw: dict[bytes, bytes] = {}
        self.done = False
        self.fault: TransportError | None = None
        self.released: Callable[[], None] | None = None
        """The owner of the connection limit, told first."""
        self.on_done: Callable[[TransportError | None], None] | None = None
        """The caller's accounting."""

    # -- the connection's side ------------------------------------------------

    def begin(self, link: Link) -> None:
        """The request is being written on `link`; the first-byte time-out starts."""
        self._link = link
        self.deadline = min(self._watchdog.now() + self._first_s, self._total)
        self._watchdog.watch(self)

    def alive(self) -> None:
        """Bytes came in: within the body, the idle time-out starts anew.

        Until the body begins the first-byte time-out holds: many servers send the head of
        a stream at once and think afterwards.
        """
        if self._begun and not self._paused:
            deadline = self._watchdog.now() + self._idle_s
            self.deadline = deadline if deadline < self._total else self._total

    def head(self, status: int, raw: dict[bytes, bytes]) -> None:
        """The answer's head. Raises InflateError for a content-encoding we cannot undo."""
        self.status = status
        self.raw = raw
        if status < 200 or status >= 300:
            self._streaming = False
            self._limit = ERROR_BODY_BYTES
        coding = raw.get(b"content-encoding")
        if coding is not None:
            self._inflater = Inflater.for_coding(coding)
            self.plain = self._inflater is None

    def body(self, data: bytes) -> None:
        """A piece of body that goes on alone. Raises InflateError for damaged compression.

        The limit holds for every piece: one read of a compressed body may be very large.
        """
        if self._inflater is not None:
            data = self._inflater.feed(data)
        if data:
            self.parts.append(data)
            self.arrived()

    def arrived(self) -> None:
        """The pieces of one read are in `parts`: they go on together."""
        self._begun = True
        if self._sink is not None:
            self.flush()
            return
        parts = self.parts
        self._size += sum(map(len, parts[self._counted :]))
        self._counted = len(parts)
        if self._streaming:
            waiter = self._waiter
            if waiter is not None:
                self._waiter = None
                if not waiter.done():
                    waiter.set_result(None)
            elif self._size > _HIGH_WATER and not self._paused:
                self.pause()
        elif self._size > self._limit:
            self._overflow()

    def finish(self) -> None:
        """The answer is complete (as far as its framing says)."""
        if self._inflater is not None and not self._inflater.complete():
            self.fail(
                TransportError(
                    "compressed answer ends too early", code="upstream_truncated", stage="body"
                )
            )
            return
        self._end(None)

    def fail(self, fault: TransportError) -> None:
        """The answer will never be complete."""
        self._end(fault)

    def expire(self, now: float) -> None:
        """The watchdog's call: a deadline passed."""
        link = self._link
        if link is None or self.done:
            return
        stage = link.stage()
        if now >= self._total:
            message = "upstream did not finish within the total time allowed"
        elif self._begun:
            message = f"upstream sent nothing for {self._idle_s:g} s in the middle of its answer"
        else:
            message = f"upstream did not begin its answer within {self._first_s:g} s"
        link.abandon()
        self.fail(TransportError(message, code="upstream_timeout", stage=stage))

    # -- the caller's side ----------------------------------------------------

    async def opened(self) -> None:
        """Waits for the first body bytes (streaming), else for the whole answer.

        Raises TransportError. Cancelled: the connection is closed at once.
        """
        if not self.done and not (self._streaming and self.parts):
            waiter = self._waiter = asyncio.get_running_loop().create_future()
            try:
                await waiter
            except asyncio.CancelledError:
                self.close()
                raise
        if self.fault is not None and not (self._streaming and self.parts):
            raise self.fault

    def collected(self) -> bytes:
        """The whole body of an answer that was opened without streaming."""
        parts = self.parts
        if len(parts) != 1:
            self.parts = parts = [b"".join(parts)]
        return parts[0]

    async def take(self) -> bytes:
        """The bytes that are there, waiting for at least one; empty at the end.

        Raises TransportError once the bytes before the failure were taken.
        """
        if not self.parts and not self.done:
            await self._wait()
        parts = self.parts
        if parts:
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            self.parts = []
            self._size = self._counted = 0
            if self._paused:
                self.resume()
            return data
        if self.fault is not None:
            raise self.fault
        return b""

    def subscribe(self, sink: Sink) -> None:
        """Hands over what is there and everything to come to `sink`, without waiting.

        The sink uses `pause` and `resume` for back-pressure. Not to be mixed with `take`.
        """
        parts, self.parts, self._size, self._counted = self.parts, [], 0, 0
        if parts:
            sink.data(parts[0] if len(parts) == 1 else b"".join(parts))
        if self.done:
            sink.end(self.fault)
            return
        self._sink = sink
        if self._paused:
            self.resume()

    def flush(self) -> None:
        """Hands the pieces of one read to the subscriber; called when it has been parsed."""
        parts = self.parts
        if self._sink is not None and parts:
            self.parts = []
            self._sink.data(parts[0] if len(parts) == 1 else b"".join(parts))

    def pause(self) -> None:
        """The caller cannot take more: the idle time-out rests, the total one does not."""
        if not self._paused and not self.done and self._link is not None:
            self._paused = True
            self.deadline = self._total
            self._link.pause()

    def resume(self) -> None:
        """The caller takes again."""
        if self._paused:
            self._paused = False
            if not self.done and self._link is not None:
                self.alive()
                self._link.resume()

    def close(self) -> None:
        """Gives the answer up; closes the connection unless the answer was complete."""
        self.parts = []
        self._sink = None
        if not self.done:
            link = self._link
            if link is not None:
                link.abandon()
            stage: Stage = "connect" if link is None else "body"
            self._end(TransportError("given up by us", code="upstream_cancelled", stage=stage))

    # -- inside ---------------------------------------------------------------

    async def _wait(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            self.close()
            raise

    def _overflow(self) -> None:
        link = self._link
        if link is not None:
            link.abandon()
        if self.status < 200 or self.status >= 300:
            self._end(None)
            return
        self.fail(
            TransportError(
                f"answer is larger than {self._limit} bytes",
                code="upstream_too_large",
                stage="body",
                permanent=True,
            )
        )

    def _end(self, fault: TransportError | None) -> None:
        if self.done:
            return
        self.flush()
        self.done = True
        self.fault = fault
        if self._paused and self._link is not None:
            # The connection goes back to its pool: the next answer must be read.
            self._paused = False
            self._link.resume()
        self._link = None
        self._watchdog.forget(self)
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        release = self.released
        if release is not None:
            self.released = None
            release()
        hook = self.on_done
        if hook is not None:
            self.on_done = None
            hook(fault)
        sink = self._sink
        if sink is not None:
            self._sink = None
            sink.end(fault)


def inflate_fault(error: InflateError) -> TransportError:
    """The transport error for a body we could not decode."""
    code = "upstream_too_large" if error.too_large else "upstream_malformed"
    return TransportError(str(error), code=code, stage="body", permanent=error.too_large)
