"""Header sets and bodies of the limits of the platform and the workbench."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.scratch_redis import scratch_redis

from interlock.limits.counters import Counters, MemoryCounters, RedisCounters
from interlock.limits.surfaces import PlatformLimiter, Standing, WorkbenchLimiter

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, 12, 0, 15, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> MemoryCounters:
    return MemoryCounters(clock)


@pytest.fixture(params=["memory", "redis"])
async def counters(
    request: pytest.FixtureRequest, clock: Clock, anyio_backend: str
) -> AsyncIterator[Counters]:
    del anyio_backend
    if request.param == "memory":
        yield MemoryCounters(clock)
        return
    async with scratch_redis() as (client, prefix):
        yield RedisCounters(client, prefix=prefix)


def _end_of_minute(clock: Clock) -> str:
    return str(int(clock.at.replace(second=0).timestamp()) + 60)


async def test_platform_reports_the_smallest_bucket(memory: MemoryCounters, clock: Clock) -> None:
    limiter = PlatformLimiter(memory, clock)
    by_address = await limiter.admit(address="192.0.2.1", account_id="a")
    assert by_address.allowed
    assert by_address.body is None
    assert by_address.headers == {
        "X-RateLimit-Limit": "120",
        "X-RateLimit-Remaining": "119",
        "X-RateLimit-Reset": _end_of_minute(clock),
    }
    by_plan = await limiter.admit(address="192.0.2.1", account_id="b", plan=10)
    assert by_plan.headers["X-RateLimit-Limit"] == "10"
    assert by_plan.headers["X-RateLimit-Remaining"] == "9"


async def test_platform_refusal_has_the_published_body(
    memory: MemoryCounters, clock: Clock
) -> None:
    limiter = PlatformLimiter(memory, clock, per_address=60)
    for _ in range(60):
        assert (await limiter.admit(address="192.0.2.1", account_id=None)).allowed
    refused = await limiter.admit(address="192.0.2.1", account_id=None)
    assert not refused.allowed
    wait = int(refused.headers["Retry-After"])
    # All 60 fall in this window, so the next one is free 1/60 of a window after its end.
    assert wait == 46
    assert refused.headers == {
        "X-RateLimit-Limit": "60",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": _end_of_minute(clock),
        "Retry-After": "46",
    }
    assert refused.body == {
        "error": {
            "code": "RATE_LIMIT_EXCEEDED",
            "message": "API request quota exceeded: 60/60 requests per minute. Retry after 46s.",
            "retry_after": 46,
        }
    }
    clock.at += timedelta(seconds=wait)
    assert (await limiter.admit(address="192.0.2.1", account_id=None)).allowed


async def test_an_account_over_its_plan_does_not_use_up_its_address(
    memory: MemoryCounters, clock: Clock
) -> None:
    limiter = PlatformLimiter(memory, clock, per_address=5)
    assert (await limiter.admit(address="192.0.2.1", account_id="a", plan=1)).allowed
    for _ in range(10):
        assert not (await limiter.admit(address="192.0.2.1", account_id="a", plan=1)).allowed
    other = await limiter.admit(address="192.0.2.1", account_id="b")
    assert other.headers["X-RateLimit-Remaining"] == "3"


async def test_an_account_is_counted_over_all_its_addresses(
    memory: MemoryCounters, clock: Clock
) -> None:
    limiter = PlatformLimiter(memory, clock, per_account=2)
    for address in ("192.0.2.1", "192.0.2.2"):
        assert (await limiter.admit(address=address, account_id="a")).allowed
    assert not (await limiter.admit(address="192.0.2.3", account_id="a")).allowed
    assert (await limiter.admit(address="192.0.2.3", account_id="b")).allowed


async def test_limits_of_zero_count_nothing_and_send_no_headers(
    memory: MemoryCounters, clock: Clock
) -> None:
    platform = PlatformLimiter(memory, clock, per_address=0, per_account=0)
    workbench = WorkbenchLimiter(memory, clock, per_minute=0, per_hour=0)
    expected = Standing(allowed=True, headers={})
    assert await platform.admit(address="192.0.2.1", account_id="a", plan=0) == expected
    assert await workbench.admit(address="192.0.2.1", user_id="u") == expected
    assert len(memory) == 0


async def test_workbench_reports_the_tighter_window_and_the_minute_on_a_tie(
    memory: MemoryCounters, clock: Clock
) -> None:
    usual = await WorkbenchLimiter(memory, clock).admit(address="192.0.2.1", user_id="u")
    assert usual.headers == {
        "X-RateLimit-Limit": "60",
        "X-RateLimit-Remaining": "59",
        "X-RateLimit-Reset": _end_of_minute(clock),
    }
    tie = WorkbenchLimiter(memory, clock, per_minute=7, per_hour=7)
    tied = await tie.admit(address="192.0.2.1", user_id="v")
    assert tied.headers["X-RateLimit-Reset"] == _end_of_minute(clock)
    tight = WorkbenchLimiter(memory, clock, per_minute=60, per_hour=3)
    hour = await tight.admit(address="192.0.2.1", user_id="w")
    assert hour.headers["X-RateLimit-Limit"] == "3"
    assert hour.headers["X-RateLimit-Reset"] == str(int(clock.at.timestamp()) - 15 + 3600)


async def test_workbench_refusal_has_the_published_body(
    memory: MemoryCounters, clock: Clock
) -> None:
    limiter = WorkbenchLimiter(memory, clock, per_minute=2)
    for _ in range(2):
        assert (await limiter.admit(address="192.0.2.1", user_id="u")).allowed
    refused = await limiter.admit(address="192.0.2.9", user_id="u")
    assert not refused.allowed
    assert refused.headers["Retry-After"] == "75"
    assert refused.body == {
        "detail": "Rate limit exceeded. Please try again in 75 seconds.",
        "retry_after": 75,
        "error_code": "RATE_LIMIT_EXCEEDED",
        "timestamp": "2026-01-01T12:00:15Z",
    }
    assert (await limiter.admit(address="192.0.2.9", user_id=None)).allowed


async def test_many_at_once_get_exactly_the_limit(counters: Counters, clock: Clock) -> None:
    limiter = WorkbenchLimiter(counters, clock, per_minute=0, per_hour=20)
    standings = await asyncio.gather(
        *(limiter.admit(address="192.0.2.1", user_id="u") for _ in range(50))
    )
    assert sum(standing.allowed for standing in standings) == 20
