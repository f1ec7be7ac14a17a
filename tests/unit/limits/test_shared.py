"""Key limits that several processes share."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from tests.support.scratch_redis import REDIS_URL, scratch_redis

from interlock.identity.model import KeyInfo, KeyLimits
from interlock.limits.counters import Counters, CountersUnavailable, MemoryCounters, RedisCounters
from interlock.limits.errors import RateLimitedError
from interlock.limits.settings import LimitSettings
from interlock.limits.shared import SharedLimits

pytestmark = pytest.mark.anyio

_PROCESS = """
import asyncio, sys
import redis.asyncio as redis
from interlock.identity.model import KeyInfo, KeyLimits
from interlock.limits.counters import RedisCounters
from interlock.limits.errors import RateLimitedError
from interlock.limits.shared import SharedLimits

async def main():
    client = redis.from_url(sys.argv[1])
    limits = SharedLimits(RedisCounters(client, prefix=sys.argv[2]))
    admitted = 0
    for number in range(30):
        # Not one request flows back while this runs: exactly one of all processes gets it.
        key = KeyInfo(id=str(number), account_id="a", user_id="u", user_email="e", label="l",
                      limits=KeyLimits(requests_per_minute=1))
        try:
            await limits.admit(key)
            admitted += 1
        except RateLimitedError:
            pass
    await client.aclose()
    print(admitted)

asyncio.run(main())
"""


class Clock:
    """A clock that stands still."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


class Away:
    """Counters that do not answer."""

    async def take(self, *_: object) -> None:
        raise CountersUnavailable

    look = spend = take


@pytest.fixture(params=["memory", "redis"])
async def counters(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Counters]:
    del anyio_backend
    if request.param == "memory":
        yield MemoryCounters(Clock())
        return
    async with scratch_redis() as (client, prefix):
        yield RedisCounters(client, prefix=prefix)


def _key(**limits: float) -> KeyInfo:
    return KeyInfo(
        id="k", account_id="a", user_id="u", user_email="e", label="l", limits=KeyLimits(**limits)
    )


async def _admit(limits: SharedLimits, key: KeyInfo) -> None:
    later = limits.admit(key)
    assert later is not None
    await later


async def test_a_key_without_limits_does_not_wait(counters: Counters) -> None:
    assert SharedLimits(counters).admit(_key()) is None


async def test_two_servers_share_the_requests_of_a_key(counters: Counters) -> None:
    one, other = (SharedLimits(counters) for _ in range(2))
    key = _key(requests_per_minute=2)
    await _admit(one, key)
    await _admit(other, key)
    with pytest.raises(RateLimitedError) as caught:
        await _admit(one, key)
    assert caught.value.retry_after_s is not None
    assert 0 < caught.value.retry_after_s <= 30


async def test_tokens_used_at_one_server_count_at_the_other(counters: Counters) -> None:
    one, other = (SharedLimits(counters) for _ in range(2))
    key = _key(tokens_per_minute=100)
    await _admit(one, key)
    one.spent(key.id, tokens=1000)
    await one.settle()
    with pytest.raises(RateLimitedError):
        await _admit(other, key)


async def test_default_limits_hold_for_keys_without_their_own(counters: Counters) -> None:
    limits = SharedLimits(counters, LimitSettings(requests_per_minute=1))
    await _admit(limits, _key())
    with pytest.raises(RateLimitedError):
        await _admit(limits, _key())


async def test_a_key_with_a_limit_is_refused_while_nobody_can_count() -> None:
    limits = SharedLimits(Away())  # type: ignore[arg-type]  # no verdicts
    with pytest.raises(CountersUnavailable):
        await _admit(limits, _key(requests_per_minute=1))
    assert limits.admit(_key()) is None


async def test_four_processes_admit_exactly_one_limit() -> None:
    async with scratch_redis() as (_, prefix):
        running = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", _PROCESS, REDIS_URL, prefix, stdout=asyncio.subprocess.PIPE
            )
            for _ in range(4)
        ]
        said = await asyncio.gather(*(process.communicate() for process in running))
        assert sum(int(out) for out, _ in said) == 30
