"""One request to one deployment with one key, and what its outcome teaches us.

Every attempt reports to the breaker, the key and the observer exactly once, however it
ends: answered, refused, broken, or given up by our caller.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from interlock.kernel.clock import Clock
from interlock.kernel.errors import ErrorKind
from interlock.providers.errors import (
    Again,
    OperationUnsupportedError,
    status_error,
    transport_error,
)
from interlock.providers.http import BadHeaderError, TransportError, header_lines
from interlock.providers.http.exchange import Exchange, HeaderView
from interlock.providers.keys import KeyState
from interlock.providers.model import Operation, Target, UpstreamError
from interlock.providers.reply import UpstreamReply
from interlock.providers.runtime import Lane
from interlock.providers.wire.exchange import FormatName

__all__ = ["Attempt", "Failed", "Request", "Turn", "callers_key"]


@dataclass(slots=True, kw_only=True)
class Request:
    """One `send` and what all its attempts share."""

    build: Callable[[Target, FormatName], bytes]
    want: FormatName
    operation: Operation
    stream: bool
    started: float
    byok: KeyState | None
    headers: tuple[tuple[str, str], ...] = ()
    lines: bytes = b""
    """The same, written out."""
    given: frozenset[str] = frozenset()
    bodies: dict[str, bytes] = field(default_factory=dict)
    """Built body per deployment."""
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that failed, and what that means for the next one."""

    error: UpstreamError
    again: Again
    other_key: bool = False
    """The deployment is fine, only this key is not, and there are more."""


class Turn:
    """Whose turn it is: a deployment and the key to use there."""

    __slots__ = ("began", "key", "lane", "target")

    def __init__(self, lane: Lane, target: Target, key: KeyState) -> None:
        self.lane = lane
        self.target = target
        self.key = key
        self.began = 0.0


class _Observer(Protocol):
    def on_attempt(self, target: Target, outcome: str, seconds: float) -> None: ...


class Attempt:
    """Makes attempts."""

    def __init__(self, clock: Clock, observer: _Observer) -> None:
        self._clock = clock
        self._now = clock.monotonic
        self._observer = observer

    async def run(self, request: Request, turn: Turn) -> UpstreamReply | Failed:
        """Sends and waits for a good answer's start (stream) or all of it.

        Raises whatever `build` raises, and OperationUnsupportedError.
        """
        lane, target = turn.lane, turn.target
        client = lane.provider.client
        wire = target.speaks(request.want)
        prepared = lane.prepared(request.operation, wire, request.given)
        if prepared is None or client is None:
            raise OperationUnsupportedError(target.provider, request.operation)
        body = _body(request, target, wire)
        lines = request.lines if not request.given else _allowed(request, lane)
        turn.began = self._now()
        if not lane.breaker.enter(turn.began):
            # Another request became the probe in this very moment.
            return Failed(_busy_probe(target), Again.ELSEWHERE)
        request.attempts += 1
        try:
            exchange = await client.request(
                prepared,
                lines + turn.key.line,
                body,
                streaming=request.stream,
                deadline=request.started + lane.total_s,
            )
        except TransportError as fault:
            return self._broken(turn, fault)
        except BaseException as error:
            lane.breaker.abandoned()
            gone = isinstance(error, asyncio.CancelledError)
            self._report(turn, "cancelled" if gone else "internal_error")
            raise
        if 200 <= exchange.status < 300:
            return self._served(request, turn, exchange)
        return self._refused(request, turn, exchange)

    # -- outcomes -------------------------------------------------------------------

    def _served(self, request: Request, turn: Turn, exchange: Exchange) -> UpstreamReply:
        lane, key = turn.lane, turn.key
        now = self._now()
        lane.breaker.succeeded(now)
        key.served()
        if lane.provider.keys.several and request.byok is None:
            key.observe(HeaderView(exchange.raw), now=now, wall=self._clock.now())
        if exchange.done:
            self._ended(turn, exchange.fault)
        else:
            exchange.on_done = partial(self._ended, turn)
        provider = lane.provider
        limit = provider.settings.max_body_bytes
        return UpstreamReply(
            exchange, turn.target, request.attempts, limit, key.secret, provider.secrets
        )

    def _ended(self, turn: Turn, fault: TransportError | None) -> None:
        """The end of a good answer's body, whenever it comes."""
        if fault is None:
            self._report(turn, "ok")
        elif fault.error_code == "upstream_cancelled":
            self._report(turn, "cancelled")
        else:
            turn.lane.breaker.failed(self._now())
            self._report(turn, fault.error_code)

    def _broken(self, turn: Turn, fault: TransportError) -> Failed:
        lane = turn.lane
        if fault.error_code in ("overloaded", "upstream_too_large", "upstream_cancelled"):
            lane.breaker.abandoned()
        else:
            lane.breaker.failed(self._now())
        self._report(turn, fault.error_code)
        unanswered = lane.provider.settings.retries.unanswered
        error, again = transport_error(fault, turn.target, unanswered=unanswered)
        return Failed(error, again)

    def _refused(self, request: Request, turn: Turn, exchange: Exchange) -> Failed:
        lane, key = turn.lane, turn.key
        now = self._now()
        byok = request.byok is not None
        error, again = status_error(
            exchange,
            turn.target,
            byok=byok,
            secrets=[key.secret, *lane.provider.secrets],
            wall=self._clock.now(),
        )
        if exchange.status >= 500 or exchange.status == 408:
            lane.breaker.failed(now)
        else:
            lane.breaker.succeeded(now)
        self._report(turn, error.error_code)
        if not byok and self._rest(turn, exchange.status, error.retry_after_s, now):
            return Failed(error, Again.HERE, other_key=True)
        longest_s = lane.provider.settings.retries.max_s
        if again is Again.HERE and (error.retry_after_s or 0.0) > longest_s:
            again = Again.ELSEWHERE
        return Failed(error, again)

    @staticmethod
    def _rest(turn: Turn, status: int, retry_after_s: float | None, now: float) -> bool:
        """Lets the key rest if it is to blame; whether another one is ready."""
        key, pool = turn.key, turn.lane.provider.keys
        if not key.secret:
            return False
        if status == 429:
            key.rest(now, retry_after_s)
        elif status in (401, 402) and pool.several:
            key.refuse(now)
        else:
            return False
        others = (other for other in pool.keys if other is not key)
        return turn.target.key is None and any(other.rests_until <= now for other in others)

    def _report(self, turn: Turn, outcome: str) -> None:
        self._observer.on_attempt(turn.target, outcome, self._now() - turn.began)


def _body(request: Request, target: Target, wire: FormatName) -> bytes:
    """The body for a target, built once however often it is tried."""
    if request.operation == "models":
        return b""
    body = request.bodies.get(target.deployment)
    if body is None:
        body = request.bodies[target.deployment] = request.build(target, wire)
    return body


def callers_key(secret: str, header: str) -> KeyState:
    """The caller's own key as a credential line.

    Raises:
        BadHeaderError: it cannot stand in a header; `param` is where the caller put it.
    """
    try:
        return KeyState("byok", secret, header)
    except BadHeaderError:
        raise BadHeaderError("X-Api-Key") from None


def _allowed(request: Request, lane: Lane) -> bytes:
    """The caller's header lines without those the operator has set for this provider."""
    forced = lane.provider.forced
    if not forced.keys() & request.given:
        return request.lines
    return header_lines((n, v) for n, v in request.headers if n.lower() not in forced)


def _busy_probe(target: Target) -> UpstreamError:
    return UpstreamError(
        f"`{target.provider}` has been failing and is being probed",
        code="overloaded",
        kind=ErrorKind.UNAVAILABLE,
        retry_after_s=1.0,
        target=target,
        attempts=0,
    )
