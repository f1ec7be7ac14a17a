"""Attempts to sign in, counted in Redis like in memory."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis
from tests.support.clocks import FrozenClock
from tests.support.scratch_redis import scratch_redis

from interlock.identity.login.attempts import Attempts, MemoryAttempts
from interlock.identity.login.shared_attempts import AttemptsUnavailableError, RedisAttempts

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "redis"])
async def attempts(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Attempts]:
    del anyio_backend
    if request.param == "memory":
        yield MemoryAttempts(FrozenClock())
        return
    async with scratch_redis() as (client, prefix):
        yield RedisAttempts(client, prefix=prefix)
        async for key in client.scan_iter(f"{prefix}*"):
            assert b"192.0.2.1" not in key


async def test_exactly_the_limit_is_counted_however_many_try_at_once(attempts: Attempts) -> None:
    waits = await asyncio.gather(
        *(attempts.take("address:192.0.2.1", limit=10, window_s=600) for _ in range(50))
    )

    assert waits.count(0.0) == 10
    assert all(590 < wait <= 600 for wait in waits if wait)
    assert await attempts.take("address:192.0.2.2", limit=10, window_s=600) == 0


async def test_an_account_is_forgotten_by_name(attempts: Attempts) -> None:
    for _ in range(2):
        await attempts.take("account:a", limit=2, window_s=600)
        await attempts.take("account:b", limit=2, window_s=600)
    await attempts.forget("account:a")

    assert await attempts.take("account:a", limit=2, window_s=600) == 0
    assert await attempts.take("account:b", limit=2, window_s=600) > 0


async def test_attempts_of_the_past_count_no_more_and_refused_ones_never_did() -> None:
    async with scratch_redis() as (client, prefix):
        counted = RedisAttempts(client, prefix=prefix)
        await counted.take("a", limit=1, window_s=600)
        await counted.take("a", limit=1, window_s=600)

        (key,) = [one async for one in client.scan_iter(f"{prefix}*")]
        assert await client.llen(key) == 1
        await client.lset(key, 0, "1000.5")
        assert await counted.take("a", limit=1, window_s=600) == 0
        assert 0 < await client.pttl(key) <= 601_000


async def test_nobody_signs_in_while_redis_is_away() -> None:
    client = redis.Redis(host="127.0.0.1", port=1)
    with pytest.raises(AttemptsUnavailableError):
        await RedisAttempts(client).take("a", limit=1, window_s=1)
    with pytest.raises(AttemptsUnavailableError):
        await RedisAttempts(client).forget("a")
    await client.aclose()
