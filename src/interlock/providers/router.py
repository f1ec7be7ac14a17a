"""Sends a request to the best upstream, and on failure to the next best.

Order: within a group by weight, skipping deployments whose breaker is open or whose keys
all rest; then the next group. A deployment that may recover is tried again after a
back-off with full jitter. Nothing is ever sent again once the caller has seen a byte:
an answer that is not streamed is complete before `send` returns, a stream is not tried
again once its first bytes are there.

A caller's own key (`route.byok`) goes to the provider named in the route, nowhere else.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from interlock.kernel.clock import Clock
from interlock.kernel.errors import ErrorKind
from interlock.providers.attempt import Attempt, Failed, Request, Turn, callers_key
from interlock.providers.directory import Directory
from interlock.providers.errors import Again, ProviderNotConfiguredError
from interlock.providers.http import Watchdog, header_lines
from interlock.providers.model import (
    Operation,
    Reply,
    Route,
    Suffix,
    Target,
    UpstreamError,
)
from interlock.providers.runtime import Lane, Provider
from interlock.providers.settings import RetrySettings
from interlock.providers.wire.exchange import FormatName

__all__ = ["Observer", "Router"]

_MAX_LANES = 2048
_NEVER = float("inf")
_RESERVED = frozenset(
    {
        "accept-encoding",
        "api-key",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
    }
)
"""Headers that frame a message or carry a credential: never passed on from a caller."""


class Observer(Protocol):
    """Told about every attempt, once, when it has ended."""

    def on_attempt(self, target: Target, outcome: str, seconds: float) -> None:
        """`outcome`: `ok`, `cancelled`, or the code of the error; must not raise."""
        ...


class _Nobody:
    def on_attempt(self, target: Target, outcome: str, seconds: float) -> None:
        """Does nothing."""


class Router:
    """`model.Upstreams` over HTTP and the demo model. One per process and event loop."""

    def __init__(
        self,
        directory: Directory,
        providers: Mapping[str, Provider],
        *,
        clock: Clock,
        watchdog: Watchdog,
        observer: Observer | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._directory = directory
        self._providers = providers
        self._now = clock.monotonic
        self._watchdog = watchdog
        self._observer: Observer = observer or _Nobody()
        self._sleep = sleep
        self._draw = draw
        self._lanes: dict[str, Lane] = {}
        self._attempt = Attempt(clock, self._observer)

    # -- model.Upstreams ----------------------------------------------------------

    def resolve(
        self,
        provider: str | None,
        model: str,
        *,
        operation: Operation = "generate",
        byok: str | None = None,
        suffix: Suffix = "chat/completions",
    ) -> Route:
        """See `model.Upstreams.resolve`."""
        return self._directory.resolve(provider, model, operation, byok, suffix)

    def default_provider(self, suffix: Suffix, *, byok: bool = False) -> str:
        """See `model.Upstreams.default_provider`."""
        return self._directory.default_provider(suffix, byok=byok)

    def models(self, provider: str | None) -> Sequence[str]:
        """See `model.Upstreams.models`. Raises as `resolve` for an unknown provider."""
        return self._directory.models(provider)

    async def send(
        self,
        route: Route,
        build: Callable[[Target, FormatName], bytes],
        *,
        want: FormatName,
        operation: Operation = "generate",
        stream: bool = False,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Reply:
        """See `model.Upstreams.send`. Raises BadHeaderError for a header with CR or LF."""
        request = Request(
            build=build,
            want=want,
            operation=operation,
            stream=stream,
            started=self._now(),
            byok=None,
        )
        _caller_headers(request, headers)
        last: UpstreamError | None = None
        for group in route.groups:
            pairs = [
                (self._lane(target), target)
                for target in group
                if route.byok is None or target.provider == route.provider
            ]
            if not pairs:
                continue
            if route.byok is not None:
                request.byok = callers_key(route.byok, pairs[0][0].provider.key_header)
            reply = await self._group(request, pairs)
            if not isinstance(reply, UpstreamError):
                return reply
            # A real answer says more than "not tried".
            if last is None or reply.attempts:
                last = reply
        if last is None:
            raise ProviderNotConfiguredError(route.provider, reachable=True)
        last.attempts = request.attempts
        raise last

    # -- life ---------------------------------------------------------------------

    def close(self) -> None:
        """Closes every connection; requests under way fail."""
        for provider in self._providers.values():
            if provider.client is not None:
                provider.client.close()
        self._watchdog.stop()

    # -- inside -------------------------------------------------------------------

    async def _group(
        self, request: Request, pairs: list[tuple[Lane, Target]]
    ) -> Reply | UpstreamError:
        """Tries the deployments of one group; the last error when none served."""
        rule = pairs[0][0].provider.settings.retries
        left = rule.attempts + pairs[0][0].keys
        if len(pairs) > 1:
            rule = max((lane.provider.settings.retries for lane, _ in pairs), key=_attempts)
            left = rule.attempts + sum(lane.keys for lane, _ in pairs)
        rounds = 0
        asked_s = 0.0
        tried: set[Lane] = set()
        last: UpstreamError | None = None
        while left > 0 and pairs:
            turn, wait_s = self._choose(request, pairs, tried)
            if turn is None:
                # Everyone who may recover was asked: one back-off, then a new round.
                pause_s = max(self._backoff_s(rule, rounds), wait_s, asked_s)
                if not tried or pause_s > rule.max_s or self._late(request, pairs, pause_s):
                    return last or _unavailable(pairs, wait_s, request)
                rounds += 1
                asked_s = 0.0
                tried.clear()
                await self._pause(pause_s)
                continue
            left -= 1
            outcome = await self._attempt.run(request, turn)
            if not isinstance(outcome, Failed):
                return outcome
            last = outcome.error
            asked_s = max(asked_s, last.retry_after_s or 0.0)
            if outcome.again is Again.NEVER:
                last.attempts = request.attempts
                raise last
            if outcome.again is Again.ELSEWHERE:
                pairs = [pair for pair in pairs if pair[0] is not turn.lane]
            elif not outcome.other_key:
                tried.add(turn.lane)
        return last or _unavailable(pairs, 0.0, request)

    def _choose(
        self, request: Request, pairs: list[tuple[Lane, Target]], tried: set[Lane]
    ) -> tuple[Turn | None, float]:
        """A deployment that can serve now, by weight; else seconds until one could."""
        now = self._now()
        ready: list[Turn] = []
        wait_s = _NEVER
        for lane, target in pairs:
            if now - request.started >= lane.total_s:
                continue
            lane_wait_s = lane.breaker.wait_s(now)
            key = request.byok
            if lane_wait_s <= 0.0 and key is None:
                pool = lane.provider.keys
                draw = self._draw() if pool.several else 0.0
                key = pool.pick(now, draw, only=target.key)
                if key is None:
                    lane_wait_s = pool.wait_s(now, only=target.key)
            if key is None or lane_wait_s > 0.0:
                wait_s = min(wait_s, lane_wait_s)
            elif lane in tried:
                wait_s = 0.0
            else:
                ready.append(Turn(lane, target, key))
        if not ready:
            return None, wait_s
        if len(ready) == 1:
            return ready[0], 0.0
        point = self._draw() * sum(turn.target.weight for turn in ready)
        for turn in ready:
            point -= turn.target.weight
            if point < 0:
                return turn, 0.0
        return ready[-1], 0.0

    async def _pause(self, pause_s: float) -> None:
        """Waits at least that long: timers of an event loop may fire a moment early.

        Who asked us to wait is not ready before, and would be counted as unable to serve.
        """
        until = self._now() + pause_s
        while (left_s := until - self._now()) > 0.0:
            await self._sleep(left_s)

    def _backoff_s(self, rule: RetrySettings, rounds: int) -> float:
        """Full jitter: anything between nothing and the exponential bound."""
        return self._draw() * min(rule.base_s * 2.0**rounds, rule.max_s)

    def _late(self, request: Request, pairs: list[tuple[Lane, Target]], pause_s: float) -> bool:
        total_s = max(lane.total_s for lane, _ in pairs)
        return self._now() + pause_s - request.started >= total_s

    def _lane(self, target: Target) -> Lane:
        lane = self._lanes.get(target.deployment)
        if lane is None:
            if len(self._lanes) >= _MAX_LANES:
                # Any model name may be asked for: forget the one made first.
                del self._lanes[next(iter(self._lanes))]
            lane = Lane(self._providers[target.provider], target)
            self._lanes[target.deployment] = lane
        return lane


def _attempts(rule: RetrySettings) -> int:
    return rule.attempts


def _caller_headers(request: Request, headers: Sequence[tuple[str, str]]) -> None:
    """Puts the caller's headers, and Accept, into the request."""
    accept = "text/event-stream" if request.stream else "application/json"
    if not headers:
        request.headers = (("accept", accept),)
        request.lines = _ACCEPT_STREAM if request.stream else _ACCEPT_JSON
        return
    passed = [(n, v) for n, v in headers if n.lower() not in _RESERVED]
    given = {name.lower() for name, _ in passed}
    if "accept" not in given:
        passed.append(("accept", accept))
    request.headers = tuple(passed)
    request.given = frozenset(given)
    request.lines = header_lines(passed)


_ACCEPT_STREAM = header_lines([("accept", "text/event-stream")])
_ACCEPT_JSON = header_lines([("accept", "application/json")])


def _unavailable(
    pairs: list[tuple[Lane, Target]], wait_s: float, request: Request
) -> UpstreamError:
    """Nothing was sent: why, and when it may be worth asking again."""
    retry_after_s = None if wait_s == _NEVER else wait_s
    target = pairs[0][1]
    name = target.provider
    lanes = [lane for lane, _ in pairs]
    if retry_after_s is None:
        return UpstreamError(
            f"`{name}`: the total time allowed is over",
            code="upstream_timeout",
            kind=ErrorKind.UPSTREAM_TIMEOUT,
            target=target,
            attempts=0,
        )
    if any(lane.breaker.closed for lane in lanes) and request.byok is None:
        if all(key.refused for lane in lanes for key in lane.provider.keys.keys):
            return UpstreamError(
                f"`{name}` refused every key of the server",
                code="upstream_authentication_error",
                target=target,
                attempts=0,
            )
        return UpstreamError(
            f"`{name}` has asked every key of the server to wait",
            code="rate_limit_exceeded",
            kind=ErrorKind.RATE_LIMITED,
            retry_after_s=retry_after_s,
            target=target,
            attempts=0,
        )
    return UpstreamError(
        f"`{name}` has been failing and is left alone for a moment",
        code="overloaded",
        kind=ErrorKind.UNAVAILABLE,
        retry_after_s=retry_after_s,
        target=target,
        attempts=0,
    )
