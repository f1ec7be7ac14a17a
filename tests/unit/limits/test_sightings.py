"""Notes of who is near a limit: in one process, and of several over Redis."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.scratch_redis import scratch_redis

from interlock.limits.algorithms import Limit
from interlock.limits.sightings import Sightings

pytestmark = pytest.mark.anyio

_LIMIT = Limit(algorithm="gcra", amount=5, period_s=10.0)


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


def note(sightings: Sightings, bucket: str, wait_s: float | None = None) -> None:
    sightings.note(
        bucket, place="default", profile="default", who="user:u", limit=_LIMIT, wait_s=wait_s
    )


@pytest.fixture(params=["memory", "redis"])
async def make(
    request: pytest.FixtureRequest, anyio_backend: str
) -> AsyncIterator[Callable[[Clock], Sightings]]:
    del anyio_backend
    if request.param == "memory":
        yield Sightings
        return
    async with scratch_redis() as (client, prefix):
        yield lambda clock: Sightings(clock, client, prefix=prefix)


async def test_refusals_are_counted_and_forgotten_after_ten_minutes(
    make: Callable[[Clock], Sightings],
) -> None:
    clock = Clock()
    sightings = make(clock)
    note(sightings, "near")
    note(sightings, "over", 30.0)
    note(sightings, "over", 20.0)
    over, near = await sightings.recent()

    assert (over.bucket, over.refusals, near.bucket, near.refusals) == ("over", 2, "near", 0)
    now = clock.now().timestamp()
    assert over.limited(now)
    assert over.until == now + 20.0
    assert not over.limited(now + 20.0)
    clock.at += timedelta(seconds=601)
    assert await sightings.recent() == []


async def test_several_processes_show_the_notes_of_all(anyio_backend: str) -> None:
    del anyio_backend
    clock = Clock()
    async with scratch_redis() as (client, prefix):
        one, two = (Sightings(clock, client, prefix=prefix) for _ in range(2))
        note(one, "shared", 30.0)
        await one.share()
        note(two, "shared", 40.0)
        note(two, "own")
        found = {each.bucket: each for each in await two.recent()}
        assert found["shared"].refusals == 2
        assert found["shared"].until == clock.now().timestamp() + 40.0
        assert set(found) == {"shared", "own"}
        assert {each.bucket for each in await one.recent()} == {"shared", "own"}


async def test_a_crowd_of_buckets_is_bounded() -> None:
    sightings = Sightings(Clock())
    for number in range(1000):
        note(sightings, str(number), 1.0)
    assert len(await sightings.recent()) == 300
