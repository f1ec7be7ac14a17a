"""Decides whether a key may make another request, and counts what it used.

`admit` is called before a request: it returns None when the answer is at hand
(an arithmetic step in memory), else an awaitable the caller waits for. An
implementation that shares its counts over the network answers with an awaitable
every time; the caller is the same.

Money is counted elsewhere: `limits.budgets`.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from interlock.identity.model import KeyInfo, KeyLimits
from interlock.kernel.clock import Clock
from interlock.limits.bucket import Bucket
from interlock.limits.errors import RateLimitedError
from interlock.limits.settings import LimitSettings

__all__ = ["KeyStanding", "Limits", "MemoryLimits", "Refused", "effective"]

Refused = Callable[[KeyInfo, str, float, float], None]
"""Told of a refusal: key, `requests` or `tokens`, the limit, seconds to wait."""

_CAPACITY = 50_000
_NONE = KeyLimits()

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStanding:
    """What a key has left this minute; None: that is not limited."""

    requests: int | None = None
    requests_left: float | None = None
    tokens: int | None = None
    tokens_left: float | None = None
    """Below zero: more was used than there was."""
    monthly_cost: float | None = None


class Limits(Protocol):
    """Limits of keys, wherever they are counted."""

    def admit(self, key: KeyInfo) -> Awaitable[None] | None:
        """Counts a request; None: go ahead. Otherwise await the result before going ahead.

        Raises (here or when awaited): RateLimitedError.
        """
        ...

    def spent(self, key_id: str, *, tokens: int) -> None:
        """Counts what an admitted request used."""
        ...

    async def standing(self, key_id: str, limits: KeyLimits) -> KeyStanding:
        """What a key has left; counts nothing. Raises CountersUnavailable."""
        ...


class MemoryLimits:
    """Counts in this process."""

    def __init__(
        self,
        clock: Clock,
        settings: LimitSettings | None = None,
        *,
        refused: Refused | None = None,
    ) -> None:
        self._refused = refused or (lambda *_: None)
        self._monotonic = clock.monotonic
        given = settings or LimitSettings()
        self._defaults = KeyLimits(
            requests_per_minute=given.requests_per_minute,
            tokens_per_minute=given.tokens_per_minute,
            monthly_cost=given.monthly_cost,
        )
        self._per_minute = given.requests_per_minute
        self._tokens_per_minute = given.tokens_per_minute
        self._unlimited = self._per_minute is None and self._tokens_per_minute is None
        self._requests: OrderedDict[str, Bucket] = OrderedDict()
        self._tokens: OrderedDict[str, Bucket] = OrderedDict()

    def admit(self, key: KeyInfo) -> Awaitable[None] | None:
        """See `Limits.admit`. The request is counted only when it is let through."""
        if not (self._unlimited and key.limits == _NONE):
            self._check_rates(key)
        return None

    def spent(self, key_id: str, *, tokens: int) -> None:
        """See `Limits.spent`."""
        bucket = self._tokens.get(key_id)
        if bucket is not None and tokens > 0:
            bucket.spend(tokens, now=self._monotonic())

    async def standing(self, key_id: str, limits: KeyLimits) -> KeyStanding:
        """See `Limits.standing`."""
        now = self._monotonic()
        held = effective(limits, self._defaults)
        requests, tokens = self._requests.get(key_id), self._tokens.get(key_id)
        return KeyStanding(
            requests=held.requests_per_minute,
            requests_left=_left(requests, held.requests_per_minute, now),
            tokens=held.tokens_per_minute,
            tokens_left=_left(tokens, held.tokens_per_minute, now),
            monthly_cost=held.monthly_cost,
        )

    def _check_rates(self, key: KeyInfo) -> None:
        per_minute = key.limits.requests_per_minute or self._per_minute
        tokens = key.limits.tokens_per_minute or self._tokens_per_minute
        if per_minute is None and tokens is None:
            return
        now = self._monotonic()
        if tokens is not None:
            bucket = self._bucket(self._tokens, key.id, tokens, now)
            # How many it will use is not known yet: one must be there, the rest is debt.
            level = bucket.level(now)
            if level < 1:
                wait_s = (1 - level) * 60.0 / tokens
                self._refused(key, "tokens", tokens, wait_s)
                raise RateLimitedError("tokens", tokens, wait_s)
        if per_minute is not None:
            wait_s = self._bucket(self._requests, key.id, per_minute, now).take(1, now=now)
            if wait_s > 0:
                self._refused(key, "requests", per_minute, wait_s)
                raise RateLimitedError("requests", per_minute, wait_s)

    def _bucket(
        self, buckets: OrderedDict[str, Bucket], key_id: str, capacity: int, now: float
    ) -> Bucket:
        bucket = buckets.get(key_id)
        if bucket is None:
            bucket = Bucket(capacity, now=now)
            _keep(buckets, key_id, bucket)
        elif bucket.capacity != capacity:
            bucket.resize(capacity, now=now)
        return bucket


def effective(limits: KeyLimits, defaults: KeyLimits) -> KeyLimits:
    """What holds for a key: its own limits, else those of the server."""
    return KeyLimits(
        requests_per_minute=limits.requests_per_minute or defaults.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute or defaults.tokens_per_minute,
        monthly_cost=limits.monthly_cost or defaults.monthly_cost,
    )


def _left(bucket: Bucket | None, capacity: int | None, now: float) -> float | None:
    if capacity is None:
        return None
    return float(capacity) if bucket is None else min(bucket.level(now), float(capacity))


def _keep(items: OrderedDict[str, T], name: str, item: T) -> None:
    items[name] = item
    if len(items) > _CAPACITY:
        items.popitem(last=False)
