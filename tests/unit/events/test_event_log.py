"""The event log on both databases: order, names, instants, group commit, audiences."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from interlock.events.log import EventLog
from interlock.events.model import EVERYBODY, Event, NewEvent
from interlock.events.retention import Unfinished
from interlock.events.settings import EventSettings
from interlock.events.subscription import Subscription
from interlock.storage.engine import Database, after_commit

pytestmark = pytest.mark.anyio
STREAM = "conversation:a"
_QUICK = EventSettings(poll_s=0.05, flush_s=0.001)


@contextlib.asynccontextmanager
async def running(*logs: EventLog) -> AsyncIterator[None]:
    """Runs logs as a server does."""
    async with asyncio.timeout(20):
        tasks = [asyncio.create_task(log.run()) for log in logs]
        try:
            for log in logs:
                await log.flush()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def told(subscription: Subscription, count: int) -> list[Event]:
    """The next events of a subscription."""
    found: list[Event] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            found += await subscription.batch(count - len(found))
    return found


def some(count: int, **more: object) -> list[NewEvent]:
    """New events that carry their place."""
    return [NewEvent(type="t", payload={"n": n}, **more) for n in range(count)]  # type: ignore[arg-type]


async def append(log: EventLog, database: Database, *events: NewEvent) -> list[Event]:
    """One append, one transaction."""
    async with database.transaction() as connection:
        return await log.append(connection, STREAM, events)


async def test_what_is_appended_is_read_back_in_order_with_names_and_rising_instants(
    database: Database,
) -> None:
    log = EventLog(database, now=lambda: 1000)

    first = await append(log, database, *some(2, name=lambda ms: f"x:{ms}"))
    second = await append(log, database, *some(1))

    assert [(event.seq, event.id, event.at_ms) for event in (*first, *second)] == [
        (1, "x:1000", 1000),
        (2, "x:1001", 1001),
        (3, f"{STREAM}:3", 1002),
    ]
    assert await log.read([STREAM], after_seq=None, limit=9) == [*first, *second]
    assert await log.read([STREAM], after_seq=1, limit=1) == first[1:]
    assert await log.read(None, after_ms=1001, limit=9) == second
    assert await log.read(["conversation:b"], limit=9) == []
    assert await log.position(STREAM, "x:1001") == 2
    assert await log.position("conversation:b", "x:1001") is None
    assert await log.last(STREAM) == second[0]
    assert await log.last("conversation:b") is None


async def test_instants_rise_across_restarts_and_after_everything_was_removed(
    database: Database,
) -> None:
    await append(EventLog(database, now=lambda: 90_000), database, *some(3))
    later = EventLog(database, now=lambda: 10**12)
    assert await later.prune() == 3

    backward = EventLog(database, now=lambda: 5)
    event = (await append(backward, database, *some(1)))[0]

    assert (event.seq, event.at_ms) == (4, 90_003)


async def test_readers_hear_nothing_before_the_commit_and_nothing_of_a_rollback(
    database: Database,
) -> None:
    log = EventLog(database)
    reader = log.subscribe(capacity=8, wanted=[STREAM])

    with contextlib.suppress(RuntimeError):
        async with database.transaction() as connection:
            await log.append(connection, STREAM, some(1))
            raise RuntimeError
    async with database.transaction() as connection:
        kept = await log.append(connection, STREAM, some(1))
        assert len(reader) == 0

    assert await told(reader, 1) == kept
    assert kept[0].seq == 1  # the rollback took its number back


async def test_posted_events_are_committed_together_and_before_a_later_append(
    database: Database,
) -> None:
    log = EventLog(database)
    reader = log.subscribe(capacity=99, wanted=lambda stream: stream.startswith("conversation:"))
    log.post(STREAM, some(3))
    log.post("conversation:b", some(1))
    assert len(reader) == 0

    done = await append(log, database, NewEvent(type="done", payload={}))
    await log.flush()

    heard = await told(reader, 5)
    assert [(event.stream, event.type) for event in heard] == [
        (STREAM, "t"),
        (STREAM, "t"),
        (STREAM, "t"),
        (STREAM, "done"),
        ("conversation:b", "t"),
    ]
    assert heard[3] == done[0]
    assert await log.read(None, limit=9) == heard


async def test_posted_events_survive_the_rollback_of_the_append_that_took_them(
    database: Database,
) -> None:
    log = EventLog(database)
    log.post(STREAM, some(2))

    with contextlib.suppress(RuntimeError):
        async with database.transaction() as connection:
            await log.append(connection, STREAM, [NewEvent(type="done", payload={})])
            raise RuntimeError
    log.post(STREAM, [NewEvent(type="t", payload={"n": 2})])
    await log.flush()

    assert [event.payload["n"] for event in await log.read(None, limit=9)] == [0, 1, 2]


async def test_an_event_the_store_refuses_stops_no_other_one(database: Database) -> None:
    log = EventLog(database)
    await append(log, database, NewEvent(type="t", payload={"n": 0}, name=lambda _: "same"))

    log.post(STREAM, some(1))
    log.post(STREAM, [NewEvent(type="t", payload={"n": 1}, name=lambda _: "same")])
    log.post("conversation:b", some(1))
    await log.flush()

    found = await log.read(None, limit=9)
    assert [(event.stream, event.id == "same") for event in found] == [
        (STREAM, True),
        (STREAM, False),
        ("conversation:b", False),
    ]


async def test_concurrent_writers_give_numbers_without_holes_and_readers_their_order(
    database: Database,
) -> None:
    one, two = EventLog(database, settings=_QUICK), EventLog(database, settings=_QUICK)
    async with running(one, two):
        readers = [log.subscribe(capacity=500, wanted=lambda _: True) for log in (one, two)]

        async def write(log: EventLog, stream: str) -> None:
            for _ in range(8):
                log.post(stream, some(1))
                async with database.transaction() as connection:
                    await log.append(connection, stream, some(1))

        async with asyncio.TaskGroup() as group:
            for index in range(4):
                group.create_task(write((one, two)[index % 2], f"conversation:{index % 3}"))

        for reader in readers:
            assert [event.seq for event in await told(reader, 64)] == list(range(1, 65))
    found = await one.read(None, limit=99)
    by_stream: dict[str, list[int]] = {}
    for event in found:
        by_stream.setdefault(event.stream, []).append(event.at_ms)
    assert all(instants == sorted(set(instants)) for instants in by_stream.values())


async def test_only_the_person_an_event_is_for_gets_it(database: Database) -> None:
    log = EventLog(database)
    readers = {
        who: log.subscribe(capacity=9, wanted=[STREAM], reader=who)
        for who in (None, "ann", "bob", EVERYBODY)
    }

    written = await append(
        log,
        database,
        NewEvent(type="open", payload={}),
        NewEvent(type="private", payload={}, audience="ann"),
    )

    for who, reader in readers.items():
        allowed = written if who in ("ann", EVERYBODY) else written[:1]
        assert reader.waiting() == allowed
        assert await log.read([STREAM], limit=9, reader=who) == allowed


async def test_old_and_surplus_events_go_but_not_those_of_unfinished_work(
    database: Database,
) -> None:
    async def unfinished() -> Unfinished:
        return Unfinished(keys=frozenset({"delta:open"}), streams=frozenset({"runs:open"}))

    settings = EventSettings(max_per_stream=3, prune_batch_size=2)
    log = EventLog(database, settings=settings, now=lambda: 0, unfinished=unfinished)
    hour = 3_600_000
    async with database.transaction() as connection:
        await log.append(connection, "runs:open", some(1))
        await log.append(connection, "old", some(5))
        await log.append(connection, "old", some(2, key="delta:open"))
    young = EventLog(database, settings=settings, now=lambda: 49 * hour, unfinished=unfinished)
    async with database.transaction() as connection:
        await young.append(connection, "crowd", some(1, key="delta:open"))
        await young.append(connection, "crowd", some(5))

    assert await young.prune() == 5 + 2

    left = [(event.stream, event.payload["n"]) for event in await log.read(None, limit=99)]
    assert left == [
        ("runs:open", 0),
        ("old", 0),
        ("old", 1),
        ("crowd", 0),
        ("crowd", 2),
        ("crowd", 3),
        ("crowd", 4),
    ]
    assert await young.prune() == 0


async def test_without_persistence_memory_serves_resume_and_the_store_keeps_nothing(
    database: Database,
) -> None:
    settings = EventSettings(persistence=False, max_per_stream=2)
    log = EventLog(database, settings=settings)

    written = await append(log, database, *some(3))
    other = await append(log, database, NewEvent(type="t", payload={}, audience="ann"))

    assert await log.read([STREAM], after_seq=2, limit=9) == written[2:]
    assert await log.read(None, limit=9, reader="ann") == [written[2], other[0]]
    assert await log.position(STREAM, written[2].id) == 3
    assert await log.last(STREAM) == other[0]
    assert await EventLog(database).read(None, limit=9) == []
    again = await append(EventLog(database, settings=settings), database, *some(1))
    assert again[0].seq == 5
    assert again[0].at_ms > other[0].at_ms


async def test_a_stream_and_a_person_can_be_forgotten(database: Database) -> None:
    log = EventLog(database)
    await append(log, database, NewEvent(type="t", payload={}, audience="ann"), *some(1))
    async with database.transaction() as connection:
        await log.append(connection, "conversation:b", some(1))

    async with database.transaction() as connection:
        await log.forget_audience(connection, "ann")
        await log.forget(connection, "conversation:b")

    assert [event.seq for event in await log.read(None, limit=9, reader=EVERYBODY)] == [2]


async def test_a_running_log_commits_what_is_posted_and_ends_its_readers_in_the_end(
    database: Database,
) -> None:
    log = EventLog(database, settings=_QUICK)
    reader = log.subscribe(capacity=9, wanted=[STREAM])
    async with running(log):
        log.post(STREAM, some(2))
        assert [event.payload["n"] for event in await told(reader, 2)] == [0, 1]
        log.post(STREAM, some(1))

    assert reader.ended == "stopped"
    assert len(await log.read(None, limit=9)) == 3


async def test_what_follows_a_transaction_needs_one(database: Database) -> None:
    async with database.read() as connection:
        with pytest.raises(TypeError, match="transaction"):
            after_commit(connection, lambda: None)
