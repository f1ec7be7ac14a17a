"""Decides whether a key may make another request, and counts what it used.

`admit` is called before a request: it returns None when the answer is at hand
(an arithmetic step in memory), else an awaitable the caller waits for. An
implementation that shares its counts over the network answers with an awaitable
every time; the caller is the same.

Fails closed: while a budget cannot be read, a key that has one is told to retry.
"""

import calendar
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from interlock.identity.model import KeyInfo, KeyLimits
from interlock.kernel.clock import Clock
from interlock.limits.bucket import Bucket
from interlock.limits.errors import QuotaExceededError, RateLimitedError
from interlock.limits.settings import LimitSettings
from interlock.storage.engine import in_time

__all__ = ["KeyStanding", "Limits", "MemoryLimits", "Refused", "SpentSoFar", "effective"]

SpentSoFar = Callable[[str, float], Awaitable[float]]
"""(key id, since) -> dollars in the ledger; raises StoreUnavailable."""

Refused = Callable[[KeyInfo, str, float, float], None]
"""Told of a refusal: key, `requests`, `tokens` or `cost`, the limit, seconds to wait."""

_CAPACITY = 50_000
_READ_S = 5.0
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

        Raises (here or when awaited): RateLimitedError, QuotaExceededError, and
        StoreUnavailable when a budget cannot be read.
        """
        ...

    def spent(self, key_id: str, *, tokens: int, cost: float | None) -> None:
        """Counts what an admitted request used."""
        ...

    async def standing(self, key_id: str, limits: KeyLimits) -> KeyStanding:
        """What a key has left; counts nothing. Raises CountersUnavailable."""
        ...


class _Budget:
    """Money spent on a key in one month."""

    __slots__ = ("cost", "month", "read_at")

    def __init__(self, month: tuple[int, int], cost: float, read_at: float) -> None:
        self.month = month
        self.cost = cost
        self.read_at = read_at


class MemoryLimits:
    """Counts in this process; budgets start from the ledger, so a restart forgets nothing."""

    def __init__(
        self,
        clock: Clock,
        spent_so_far: SpentSoFar,
        settings: LimitSettings | None = None,
        *,
        refused: Refused | None = None,
    ) -> None:
        self._clock = clock
        self._refused = refused or (lambda *_: None)
        self._monotonic = clock.monotonic
        self._spent_so_far = spent_so_far
        self._settings = settings or LimitSettings()
        self._defaults = KeyLimits(
            requests_per_minute=self._settings.requests_per_minute,
            tokens_per_minute=self._settings.tokens_per_minute,
            monthly_cost=self._settings.monthly_cost,
        )
        self._unlimited = self._defaults == _NONE
        self._requests: OrderedDict[str, Bucket] = OrderedDict()
        self._tokens: OrderedDict[str, Bucket] = OrderedDict()
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()

    def admit(self, key: KeyInfo) -> Awaitable[None] | None:
        """See `Limits.admit`. The request is counted only when it is let through."""
        limits = key.limits
        if self._unlimited and limits == _NONE:
            return None
        budget_of = limits.monthly_cost or self._defaults.monthly_cost
        if budget_of is not None:
            budget = self._budgets.get(key.id)
            if budget is None or self._outdated(budget):
                return self._admit_later(key, budget_of)
            self._check_budget(key, budget, budget_of)
        self._check_rates(key)
        return None

    def spent(self, key_id: str, *, tokens: int, cost: float | None) -> None:
        """See `Limits.spent`."""
        bucket = self._tokens.get(key_id)
        if bucket is not None and tokens > 0:
            bucket.spend(tokens, now=self._monotonic())
        if cost:
            budget = self._budgets.get(key_id)
            if budget is not None and budget.month == self._month():
                budget.cost += cost

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

    async def _admit_later(self, key: KeyInfo, limit: float) -> None:
        month = self._month()
        since = datetime(*month, 1, tzinfo=UTC).timestamp()
        async with in_time(_READ_S):
            stored = await self._spent_so_far(key.id, since)
        budget = self._budgets.get(key.id)
        if budget is None or budget.month != month:
            budget = _Budget(month, stored, self._monotonic())
            _keep(self._budgets, key.id, budget)
        else:
            # The ledger is written behind: what was counted here may not be in it yet.
            budget.cost = max(budget.cost, stored)
            budget.read_at = self._monotonic()
        self._check_budget(key, budget, limit)
        self._check_rates(key)

    def _check_budget(self, key: KeyInfo, budget: _Budget, limit: float) -> None:
        if budget.cost >= limit:
            year, month = budget.month
            days = calendar.monthrange(year, month)[1]
            end = datetime(year, month, 1, tzinfo=UTC).timestamp() + days * 86_400.0
            self._refused(key, "cost", limit, end - self._clock.now().timestamp())
            raise QuotaExceededError(limit, f"{calendar.month_name[month]} {year}")

    def _check_rates(self, key: KeyInfo) -> None:
        limits, defaults = key.limits, self._defaults
        per_minute = limits.requests_per_minute or defaults.requests_per_minute
        tokens = limits.tokens_per_minute or defaults.tokens_per_minute
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

    def _outdated(self, budget: _Budget) -> bool:
        return (
            self._monotonic() - budget.read_at > self._settings.refresh_s
            or budget.month != self._month()
        )

    def _month(self) -> tuple[int, int]:
        now = self._clock.now()
        return now.year, now.month


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
