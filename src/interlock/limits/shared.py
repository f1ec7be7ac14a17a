"""Limits of keys counted in Redis, so that all processes of a server share one count.

Only keys that have a limit wait for Redis; for the others `admit` answers at once. Money
is counted elsewhere: `limits.budgets`.

Fails closed: while Redis does not answer, a key with a limit is told to retry. What an
admitted request used is counted behind its back; what cannot be counted is logged.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable
from typing import Final

from interlock.identity.model import KeyInfo, KeyLimits
from interlock.limits.algorithms import Limit
from interlock.limits.counters import Counters, CountersUnavailable
from interlock.limits.errors import RateLimitedError
from interlock.limits.service import KeyStanding, Refused, effective
from interlock.limits.settings import LimitSettings

__all__ = ["SharedLimits"]

_CAPACITY: Final = 50_000
_MINUTE_S: Final = 60.0

_log = logging.getLogger("interlock.limits")


class SharedLimits:
    """`Limits` on counters that several processes share."""

    def __init__(
        self,
        counters: Counters,
        settings: LimitSettings | None = None,
        *,
        refused: Refused | None = None,
    ) -> None:
        self._counters = counters
        self._refused = refused or (lambda *_: None)
        self._settings = settings or LimitSettings()
        self._unlimited = (
            self._settings.requests_per_minute is None and self._settings.tokens_per_minute is None
        )
        self._tokens: OrderedDict[str, int] = OrderedDict()
        """Limits of keys admitted here, for counting what they used."""
        self._pending: set[asyncio.Task[None]] = set()

    def admit(self, key: KeyInfo) -> Awaitable[None] | None:
        """See `Limits.admit`. Also raises CountersUnavailable when awaited."""
        limits = key.limits
        own = limits.requests_per_minute is not None or limits.tokens_per_minute is not None
        if self._unlimited and not own:
            return None
        return self._admit(key)

    def spent(self, key_id: str, *, tokens: int) -> None:
        """See `Limits.spent`. Returns at once; needs a running loop."""
        per_minute = self._tokens.get(key_id)
        if per_minute is not None and tokens > 0:
            task = asyncio.get_running_loop().create_task(self._spend(key_id, per_minute, tokens))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)

    async def standing(self, key_id: str, limits: KeyLimits) -> KeyStanding:
        """See `Limits.standing`. Units are whole here: one is left or none."""
        given = self._settings
        held = effective(
            limits,
            KeyLimits(
                requests_per_minute=given.requests_per_minute,
                tokens_per_minute=given.tokens_per_minute,
                monthly_cost=given.monthly_cost,
            ),
        )
        return KeyStanding(
            requests=held.requests_per_minute,
            requests_left=await self._left(f"key:requests:{key_id}", held.requests_per_minute),
            tokens=held.tokens_per_minute,
            tokens_left=await self._left(f"key:tokens:{key_id}", held.tokens_per_minute),
            monthly_cost=held.monthly_cost,
        )

    async def _left(self, name: str, amount: int | None) -> float | None:
        if amount is None:
            return None
        verdict = await self._counters.look(name, _per_minute(amount))
        return verdict.remaining + 1.0 if verdict.allowed else 0.0

    async def settle(self) -> None:
        """Waits until everything used so far is counted."""
        while self._pending:
            await asyncio.wait(self._pending)

    async def _admit(self, key: KeyInfo) -> None:
        limits, defaults = key.limits, self._settings
        tokens = limits.tokens_per_minute or defaults.tokens_per_minute
        if tokens is not None:
            self._remember(key.id, tokens)
            # How many it will use is not known yet: one must be there, the rest is debt.
            verdict = await self._counters.look(f"key:tokens:{key.id}", _per_minute(tokens))
            if not verdict.allowed:
                self._refused(key, "tokens", tokens, verdict.retry_after_s)
                raise RateLimitedError("tokens", tokens, verdict.retry_after_s)
        requests = limits.requests_per_minute or defaults.requests_per_minute
        if requests is not None:
            verdict = await self._counters.take(f"key:requests:{key.id}", _per_minute(requests))
            if not verdict.allowed:
                self._refused(key, "requests", requests, verdict.retry_after_s)
                raise RateLimitedError("requests", requests, verdict.retry_after_s)

    async def _spend(self, key_id: str, per_minute: int, tokens: int) -> None:
        try:
            await self._counters.spend(f"key:tokens:{key_id}", _per_minute(per_minute), tokens)
        except CountersUnavailable:
            _log.warning("tokens of a key could not be counted: %d of key %s", tokens, key_id)

    def _remember(self, key_id: str, tokens: int) -> None:
        self._tokens[key_id] = tokens
        self._tokens.move_to_end(key_id)
        if len(self._tokens) > _CAPACITY:
            self._tokens.popitem(last=False)


def _per_minute(amount: int) -> Limit:
    return Limit(algorithm="token_bucket", amount=amount, period_s=_MINUTE_S / amount)
