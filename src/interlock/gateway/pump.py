"""Moves a pushed upstream stream to the client without waking a task per piece.

Plain text goes from the upstream's socket callback straight to the client's transport.
The request's task sleeps until there is a step that needs it: a call to decide, the end,
a failure, or a client that reads too slowly. Meanwhile the upstream is paused and at
most the pieces that were already read wait here.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from interlock.gateway.context import Sink
from interlock.kernel.errors import InterlockError
from interlock.providers.model import Reply, UpstreamError
from interlock.providers.wire.exchange import Failed, Forward, Step, StreamRelay
from interlock.providers.wire.model import Fault

__all__ = ["Pump", "fault_of"]


class Pump:
    """Feeds one upstream answer to a relay; `write` gets text for the client."""

    __slots__ = (
        "_backlog",
        "_closed",
        "_done",
        "_relay",
        "_reply",
        "_sink",
        "_steps",
        "_waiter",
        "_write",
    )

    def __init__(
        self, reply: Reply, relay: StreamRelay, sink: Sink, write: Callable[[bytes], None]
    ) -> None:
        self._reply = reply
        self._relay = relay
        self._sink = sink
        self._write = write
        self._steps: deque[Step] = deque()
        self._backlog: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self._done = False

    def start(self) -> None:
        """Begins to take pieces; what is already there is handled before it returns."""
        self._reply.subscribe(self._on_data, self._on_end)

    async def step(self) -> Step | None:
        """The next step that is not plain text; None when the upstream has closed.

        Before it sleeps it lets the client catch up and the upstream go on.
        """
        while not self._steps:
            if self._backlog:
                self._feed(self._backlog.popleft())
                continue
            if self._closed:
                return None
            if self._sink.must_drain:
                self._reply.pause()
                await self._sink.drain()
                continue
            self._waiter = asyncio.get_running_loop().create_future()
            self._reply.resume()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._steps.popleft()

    def finish(self) -> None:
        """The answer is complete: whatever still comes is of no interest."""
        self._done = True
        self._steps.clear()
        self._backlog.clear()

    async def rest(self, wait_s: float) -> None:
        """Reads on for a moment, so that the connection can be used again."""
        if self._closed:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        self._reply.resume()
        try:
            async with asyncio.timeout(wait_s):
                await self._waiter
        except TimeoutError:
            pass
        finally:
            self._waiter = None

    # called by the upstream's connection; must not raise

    def _on_data(self, data: bytes) -> None:
        if self._done:
            return
        if self._steps or self._backlog:
            self._backlog.append(data)
            return
        self._feed(data)
        if self._steps or self._sink.must_drain:
            self._reply.pause()
            self._wake()

    def _on_end(self, error: UpstreamError | None) -> None:
        self._closed = True
        if not self._done:
            if error is not None:
                self._backlog.clear()
                self._steps.append(Failed(fault_of(error)))
            elif self._steps or self._backlog:
                # A decision is pending; the end comes after it.
                self._backlog.append(b"")
            else:
                self._eof()
        self._wake()

    def _feed(self, data: bytes) -> None:
        if not data and self._closed:
            self._eof()
            return
        try:
            steps = self._relay.feed(data)
        except InterlockError as error:
            self._steps.append(Failed(fault_of(error)))
            return
        self._take(steps)

    def _eof(self) -> None:
        try:
            self._take(self._relay.eof())
        except InterlockError as error:
            self._steps.append(Failed(fault_of(error)))

    def _take(self, steps: list[Step]) -> None:
        for index, step in enumerate(steps):
            if type(step) is not Forward:
                self._steps.extend(steps[index:])
                return
            self._write(step.data)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def fault_of(error: InterlockError) -> Fault:
    """An upstream error as the fault a stream ends with."""
    status = error.status if isinstance(error, UpstreamError) else None
    match error.error_code:
        case "upstream_timeout" | "upstream_truncated" | "upstream_malformed" as code:
            return Fault(code=code, message=error.message, status=status)
        case _:
            return Fault(code="upstream_error", message=error.message, status=status)
