"""An upstream inside this process, behind the same exchange as one across the network.

Time-outs, limits, back-pressure and cancellation therefore behave alike, and a request
to the demo model takes the path every other request takes.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from interlock.providers.http.errors import Stage, TransportError
from interlock.providers.http.exchange import Exchange
from interlock.providers.http.head import Origin, Prepared
from interlock.providers.http.watchdog import Watchdog

__all__ = ["InProcessAnswer", "InProcessClient", "InProcessUpstream"]


class InProcessAnswer(Protocol):
    """An answer as the upstream gives it: `body` is iterated once, to its end."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Header names in any case."""
        ...

    @property
    def body(self) -> AsyncIterator[bytes]:
        """Pieces of the body."""
        ...


class InProcessUpstream(Protocol):
    """Something that answers HTTP-like requests without a network."""

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> InProcessAnswer:
        """Answers one request; `path` as in a request line, header names lower-case."""
        ...


class _Run:
    """One request being answered: the exchange's link, and the task that feeds it."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._ready.set()
        self._stage: Stage = "wait"

    def pause(self) -> None:
        self._ready.clear()

    def resume(self) -> None:
        self._ready.set()

    def abandon(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def stage(self) -> Stage:
        return self._stage

    async def feed(
        self,
        upstream: InProcessUpstream,
        exchange: Exchange,
        prepared: Prepared,
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        """Drives the upstream and pushes what it gives."""
        try:
            answer = await upstream.handle(prepared.method, prepared.path, headers, body)
            self._stage = "body"
            exchange.head(
                answer.status,
                {
                    name.lower().encode("latin-1"): value.encode("latin-1")
                    for name, value in answer.headers.items()
                },
            )
            async for piece in answer.body:
                if piece:
                    exchange.body(piece)
                    exchange.alive()
                await self._ready.wait()
        except asyncio.CancelledError:
            exchange.fail(_broken("upstream was stopped", self._stage))
            raise
        except Exception as error:
            exchange.fail(_broken(f"upstream broke: {type(error).__name__}", self._stage))
        else:
            exchange.finish()


class InProcessClient:
    """Requests to an upstream in this process; same contract as `HttpClient`."""

    def __init__(
        self,
        upstream: InProcessUpstream,
        origin: Origin,
        *,
        watchdog: Watchdog,
        first_byte_s: float,
        idle_s: float,
        limit: int,
    ) -> None:
        self.origin = origin
        self._upstream = upstream
        self._watchdog = watchdog
        self._first_byte_s = first_byte_s
        self._idle_s = idle_s
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()

    async def request(
        self, prepared: Prepared, lines: bytes, body: bytes, *, streaming: bool, deadline: float
    ) -> Exchange:
        """See `HttpClient.request`."""
        exchange = Exchange(
            self._watchdog,
            streaming=streaming,
            limit=self._limit,
            first_byte_s=self._first_byte_s,
            idle_s=self._idle_s,
            deadline=deadline,
        )
        headers = dict(prepared.headers)
        for line in lines.decode("latin-1").split("\r\n"):
            name, colon, value = line.partition(": ")
            if colon:
                headers[name.lower()] = value
        run = _Run()
        exchange.begin(run)
        run.task = asyncio.get_running_loop().create_task(
            run.feed(self._upstream, exchange, prepared, headers, body)
        )
        self._tasks.add(run.task)
        run.task.add_done_callback(self._tasks.discard)
        await exchange.opened()
        return exchange

    def close(self) -> None:
        """Stops every request under way."""
        for task in list(self._tasks):
            task.cancel()


def _broken(message: str, stage: Stage) -> TransportError:
    code = "upstream_truncated" if stage == "body" else "upstream_unreachable"
    return TransportError(message, code=code, stage=stage)
