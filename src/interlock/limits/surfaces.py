"""Request limits of the platform and workbench surfaces, with their headers and 429 bodies.

Each surface counts one request in several buckets. All of them are asked before any is
charged, so that a request refused by one bucket uses up nothing of another: somebody over
the limit of an account does not block everybody behind the same address. A request that
races with others may be charged to some buckets and refused by the next; none admits more
than its limit.

`X-RateLimit-Reset` is when the current window ends, Unix seconds. An amount of 0 turns a
bucket off; with all of them off nothing is counted and no header is sent.

Source: agents.md section 4, sessions.md section 1.4.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from interlock.kernel.clock import Clock
from interlock.limits.algorithms import Limit, Verdict
from interlock.limits.counters import Counters

__all__ = ["PlatformLimiter", "Standing", "WorkbenchLimiter"]

_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a caller is told about a counted request."""

    allowed: bool
    headers: Mapping[str, str]
    """For every answer, also for refusals and errors."""
    body: Mapping[str, object] | None = None
    """Of the 429, when the request is refused."""


_UNCOUNTED: Final = Standing(allowed=True, headers={})


class PlatformLimiter:
    """Requests a minute: per address, per account, and what the account's plan admits."""

    def __init__(
        self, counters: Counters, clock: Clock, *, per_address: int = 120, per_account: int = 300
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._per_address = per_address
        self._per_account = per_account

    async def admit(self, *, address: str, account_id: str | None, plan: int = 300) -> Standing:
        """Counts a request; `account_id` is None before somebody is known.

        The bucket with the fewest requests left is the one reported.
        Raises CountersUnavailable.
        """
        buckets = [(f"platform:address:{address}", self._per_address, _MINUTE_S)]
        if account_id is not None:
            buckets.append((f"platform:account:{account_id}", self._per_account, _MINUTE_S))
            buckets.append((f"platform:plan:{account_id}", plan, _MINUTE_S))
        verdict = await _charge(self._counters, buckets)
        if verdict is None:
            return _UNCOUNTED
        headers = _headers(verdict, self._clock)
        if verdict.allowed:
            return Standing(allowed=True, headers=headers)
        wait = _wait_s(verdict)
        used = f"{verdict.limit}/{verdict.limit}"
        return Standing(
            allowed=False,
            headers=headers,
            body={
                "error": {
                    "code": "RATE_LIMIT_EXCEEDED",
                    "message": f"API request quota exceeded: {used} requests per minute. "
                    f"Retry after {wait}s.",
                    "retry_after": wait,
                }
            },
        )


class WorkbenchLimiter:
    """Requests a minute and an hour, per user, else per address."""

    def __init__(
        self, counters: Counters, clock: Clock, *, per_minute: int = 60, per_hour: int = 1000
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._per_minute = per_minute
        self._per_hour = per_hour

    async def admit(self, *, address: str, user_id: str | None) -> Standing:
        """Counts a request; `user_id` is None before somebody is known.

        The window with the fewest requests left is the one reported, the minute on a tie.
        Raises CountersUnavailable.
        """
        who = f"address:{address}" if user_id is None else f"user:{user_id}"
        verdict = await _charge(
            self._counters,
            [
                (f"workbench:minute:{who}", self._per_minute, _MINUTE_S),
                (f"workbench:hour:{who}", self._per_hour, _HOUR_S),
            ],
        )
        if verdict is None:
            return _UNCOUNTED
        headers = _headers(verdict, self._clock)
        if verdict.allowed:
            return Standing(allowed=True, headers=headers)
        wait = _wait_s(verdict)
        seconds = "second" if wait == 1 else "seconds"
        return Standing(
            allowed=False,
            headers=headers,
            body={
                "detail": f"Rate limit exceeded. Please try again in {wait} {seconds}.",
                "retry_after": wait,
                "error_code": "RATE_LIMIT_EXCEEDED",
                "timestamp": self._clock.now().isoformat().replace("+00:00", "Z"),
            },
        )


async def _charge(counters: Counters, buckets: Sequence[tuple[str, int, float]]) -> Verdict | None:
    """The verdict to report; None when no bucket counts."""
    counted = [
        (name, Limit(algorithm="sliding_window", amount=amount, period_s=period_s))
        for name, amount, period_s in buckets
        if amount > 0
    ]
    looked = [await counters.look(name, limit) for name, limit in counted]
    refused = [verdict for verdict in looked if not verdict.allowed]
    if refused:
        # Who waits for the longest is admitted by all of them.
        return max(refused, key=lambda verdict: verdict.retry_after_s)
    taken = []
    for name, limit in counted:
        verdict = await counters.take(name, limit)
        if not verdict.allowed:
            return verdict  # lost a race since the look; what follows is not charged
        taken.append(verdict)
    return min(taken, key=lambda verdict: verdict.remaining, default=None)


def _headers(verdict: Verdict, clock: Clock) -> dict[str, str]:
    reset = math.ceil(clock.now().timestamp() + verdict.reset_s - 1e-6)
    headers = {
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": str(reset),
    }
    if not verdict.allowed:
        headers["Retry-After"] = str(_wait_s(verdict))
    return headers


def _wait_s(verdict: Verdict) -> int:
    return max(1, math.ceil(verdict.retry_after_s - 1e-6))
