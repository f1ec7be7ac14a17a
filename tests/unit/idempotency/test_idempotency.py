"""The same key does the work once, whatever happens in between."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from interlock.idempotency.service import (
    Answered,
    Idempotency,
    IdempotencyKeyError,
    IdempotencyKeyReusedError,
    fingerprint_of,
)
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def service(database: Database, clock: Clock) -> Idempotency:
    async with database.transaction() as connection:
        await connection.execute(text("DROP TABLE IF EXISTS things"))
        await connection.execute(text("CREATE TABLE things (name VARCHAR(20))"))
    return Idempotency(database, clock)


async def make(
    service: Idempotency, key: str | None, name: str = "a", *, scope: str = "ann"
) -> tuple[bytes, bool]:
    """Makes a thing; the answer, and whether it was a repeat."""
    async with service.transaction(scope, key, fingerprint_of("POST", "/things", name)) as once:
        if once.replayed is not None:
            return once.replayed.body, True
        await once.connection.execute(text("INSERT INTO things VALUES (:name)"), {"name": name})
        answer = f"made {name}".encode()
        once.keep(201, answer)
        return answer, False


async def things(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM things"))).scalar_one())


async def test_a_repeat_gets_the_first_answer_and_makes_nothing(
    service: Idempotency, database: Database
) -> None:
    assert await make(service, "k") == (b"made a", False)
    assert await make(service, "k") == (b"made a", True)
    assert await things(database) == 1


async def test_without_a_key_nothing_is_a_repeat(service: Idempotency, database: Database) -> None:
    await make(service, None)
    await make(service, None)

    assert await things(database) == 2


async def test_another_request_with_the_key_is_refused(
    service: Idempotency, database: Database
) -> None:
    await make(service, "k", "a")

    with pytest.raises(IdempotencyKeyReusedError):
        await make(service, "k", "b")

    assert await things(database) == 1


async def test_keys_of_others_are_others(service: Idempotency, database: Database) -> None:
    await make(service, "k", scope="ann")

    assert (await make(service, "k", scope="bob"))[1] is False
    assert await things(database) == 2


@pytest.mark.parametrize("key", ["", "  ", "x" * 256])
async def test_a_key_has_a_length(service: Idempotency, key: str) -> None:
    with pytest.raises(IdempotencyKeyError):
        await make(service, key)


async def test_many_at_once_do_it_once(service: Idempotency, database: Database) -> None:
    answers = await asyncio.gather(*(make(service, "k") for _ in range(8)))

    assert sorted(repeat for _, repeat in answers) == [False] + [True] * 7
    assert {body for body, _ in answers} == {b"made a"}
    assert await things(database) == 1


async def test_what_fails_is_done_by_the_repeat(service: Idempotency, database: Database) -> None:
    async def failing() -> None:
        async with service.transaction("ann", "k", fingerprint_of("a")) as once:
            await once.connection.execute(text("INSERT INTO things VALUES ('x')"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await failing()

    assert await things(database) == 0
    async with service.transaction("ann", "k", fingerprint_of("a")) as once:
        assert once.replayed is None


async def test_keys_are_forgotten_after_a_day(
    service: Idempotency, database: Database, clock: Clock
) -> None:
    await make(service, "k")
    await make(service, "other")
    clock.at += timedelta(hours=23)
    await service.purge()
    assert await make(service, "k") == (b"made a", True)

    clock.at += timedelta(hours=2)
    assert (await make(service, "k"))[1] is False
    await service.purge()
    async with database.read() as connection:
        left = (
            await connection.execute(text("SELECT count(*) FROM idempotency_keys"))
        ).scalar_one()
    assert left == 1


async def test_an_answer_is_kept_as_it_was(service: Idempotency) -> None:
    async with service.transaction("ann", "k", fingerprint_of("a")) as once:
        once.keep(202, b"\x00\xff")
    async with service.transaction("ann", "k", fingerprint_of("a")) as once:
        assert once.replayed == Answered(status=202, body=b"\x00\xff")


def test_fingerprints_know_where_parts_end() -> None:
    assert fingerprint_of("ab", "c") != fingerprint_of("a", "bc")
