"""Counters in memory and in Redis, alone and with several processes."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis as redis_sync
import redis.asyncio as redis
from tests.support.scratch_redis import REDIS_URL, scratch_redis

from interlock.limits.algorithms import Limit, Verdict
from interlock.limits.counters import (
    Counters,
    CountersUnavailable,
    MemoryCounters,
    RedisCounters,
)

pytestmark = pytest.mark.anyio

_SLOW = Limit(algorithm="gcra", amount=5, period_s=1000.0)
_LONG = Limit(algorithm="fixed_window", amount=5, period_s=1e9)
_SLIDING = Limit(algorithm="sliding_window", amount=5, period_s=1e9)


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@pytest.fixture(params=["memory", "redis"])
async def counters(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Counters]:
    del anyio_backend
    if request.param == "memory":
        yield MemoryCounters(Clock())
        return
    async with scratch_redis() as (client, prefix):
        yield RedisCounters(client, prefix=prefix)


@pytest.mark.parametrize("limit", [_SLOW, _LONG, _SLIDING], ids=lambda one: one.algorithm)
async def test_exactly_the_limit_is_admitted_however_many_ask_at_once(
    counters: Counters, limit: Limit
) -> None:
    verdicts = await asyncio.gather(*(counters.take("a", limit) for _ in range(20)))

    assert sum(one.allowed for one in verdicts) == 5
    assert sorted(one.remaining for one in verdicts if one.allowed) == [0, 1, 2, 3, 4]
    assert all(one.retry_after_s > 0 for one in verdicts if not one.allowed)
    assert (await counters.take("b", limit)).allowed


@pytest.mark.parametrize("limit", [_SLOW, _LONG, _SLIDING], ids=lambda one: one.algorithm)
async def test_looking_counts_nothing(counters: Counters, limit: Limit) -> None:
    seen = [await counters.look("a", limit) for _ in range(10)]

    assert all(one.allowed for one in seen)
    assert (await counters.take("a", limit)).remaining == 4


@pytest.mark.parametrize("limit", [_SLOW, _LONG], ids=lambda one: one.algorithm)
async def test_spending_goes_into_debt(counters: Counters, limit: Limit) -> None:
    await counters.spend("a", limit, 12)

    assert not (await counters.take("a", limit)).allowed


async def test_what_flows_back_in_redis_is_what_flows_back_in_memory(counters: Counters) -> None:
    quick = Limit(algorithm="gcra", amount=1, period_s=0.02)
    assert (await counters.take("a", quick)).allowed
    refused = await counters.take("a", quick)
    if isinstance(counters, MemoryCounters):
        assert isinstance(counters._clock, Clock)
        counters._clock.at += timedelta(seconds=0.021)
        assert refused.retry_after_s == pytest.approx(0.02)
        assert (await counters.take("a", quick)).allowed
        return
    verdict: Verdict = refused
    async with asyncio.timeout(5):
        while not verdict.allowed:
            verdict = await counters.take("a", quick)


async def test_idle_buckets_are_forgotten() -> None:
    clock = Clock()
    counters = MemoryCounters(clock, capacity=100)
    for number in range(500):
        await counters.take(str(number), _SLOW)
    assert len(counters) == 100

    clock.at += timedelta(days=1)
    for number in range(60):
        await counters.take(f"new {number}", _SLOW)

    assert len(counters) < 100


async def test_redis_away_is_an_error_and_never_a_yes() -> None:
    client = redis.from_url("redis://127.0.0.1:1")
    counters = RedisCounters(client)

    with pytest.raises(CountersUnavailable):
        await counters.take("a", _SLOW)

    await client.aclose()


_PROCESS = """
import asyncio, sys
import redis.asyncio as redis
from interlock.limits.algorithms import Limit
from interlock.limits.counters import RedisCounters

async def main():
    client = redis.from_url(sys.argv[1])
    counters = RedisCounters(client, prefix=sys.argv[2])
    limit = Limit(algorithm=sys.argv[3], amount=200, period_s=1e7)
    sys.stdin.readline()
    verdicts = [await counters.take("shared", limit) for _ in range(100)]
    print(sum(one.allowed for one in verdicts))
    await client.aclose()

asyncio.run(main())
"""


@pytest.mark.parametrize("algorithm", ["gcra", "fixed_window", "sliding_window"])
def test_four_processes_agree_exactly(algorithm: str, tmp_path: Path) -> None:
    try:
        with redis_sync.from_url(REDIS_URL) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        pytest.skip(f"Redis is not reachable: {error}")
    script = tmp_path / "process.py"
    script.write_text(_PROCESS)
    command = [sys.executable, str(script), REDIS_URL, f"test:{uuid.uuid4()}:", algorithm]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    admitted = [int(one.communicate(timeout=60)[0]) for one in running]

    assert sum(admitted) == 200
