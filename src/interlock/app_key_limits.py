"""Builds the limits of keys: in memory, or in Redis when several processes serve."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import redis.asyncio as redis

from interlock.app_settings import AppSettings
from interlock.kernel.clock import Clock
from interlock.limits.counters import RedisCounters
from interlock.limits.desk import note_keys
from interlock.limits.service import Limits, MemoryLimits
from interlock.limits.shared import SharedLimits
from interlock.limits.sightings import Sightings

__all__ = ["KeyLimitParts", "build_key_limits"]

_TIMEOUT_S: Final = 3.0


async def _nothing() -> None:
    """Counts in memory need no closing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimitParts:
    """The limits, and how to end them."""

    limits: Limits
    sightings: Sightings
    """Whom limits stopped lately, of keys and of requests."""
    close: Callable[[], Awaitable[None]] = _nothing


def build_key_limits(settings: AppSettings, clock: Clock) -> KeyLimitParts:
    """Nothing is connected before the first key with a limit comes."""
    url = settings.store.redis_url
    if url is None:
        noted = Sightings(clock)
        return KeyLimitParts(
            limits=MemoryLimits(clock, settings.limits, refused=partial(note_keys, noted)),
            sightings=noted,
        )
    client = redis.Redis.from_url(
        url.get_secret_value(), socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S
    )
    prefix = settings.store.redis_prefix
    noted = Sightings(clock, client, prefix=f"{prefix}:seen:")
    limits = SharedLimits(
        RedisCounters(client, prefix=f"{prefix}:limit:"),
        settings.limits,
        refused=partial(note_keys, noted),
    )

    async def close() -> None:
        await limits.settle()
        await client.aclose()

    return KeyLimitParts(limits=limits, sightings=noted, close=close)
