import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.support.records import make_decision, make_response, make_session, make_usage

from interlock.gateway.history import DecisionFilter, History
from interlock.gateway.recorder import BatchRecorder, RecorderSettings
from interlock.gateway.recorder.choosing import sink_for
from interlock.gateway.recorder.rows import Batch
from interlock.gateway.recorder.sink import SinkUnavailableError
from interlock.gateway.repository import SessionRepository
from interlock.storage.engine import Database
from interlock.storage.errors import StoreUnavailable

pytestmark = pytest.mark.anyio

WAIT_S = 10.0


class Flaky:
    """The real sink behind a switch: can be away, held, or lose the answer to a commit."""

    def __init__(self, database: Database) -> None:
        self._sink = sink_for(database)
        self.away = False
        self.lose_answers = 0
        self.open = threading.Event()
        self.open.set()
        self.groups: list[int] = []

    def write(self, batch: Batch, *, writer: str, position: int, durable: bool) -> None:
        self.open.wait(WAIT_S)
        if self.away:
            raise SinkUnavailableError("away")
        self._sink.write(batch, writer=writer, position=position, durable=durable)
        self.groups.append(len(batch.usage) + len(batch.decisions))
        if self.lose_answers:
            self.lose_answers -= 1
            raise SinkUnavailableError("connection lost while committing")

    def position(self, writer: str) -> int:
        if self.away:
            raise SinkUnavailableError("away")
        return self._sink.position(writer)

    def forget(self, writer: str) -> None:
        if self.away:
            raise SinkUnavailableError("away")
        self._sink.forget(writer)

    def close(self) -> None:
        self._sink.close()


class World:
    def __init__(self, database: Database, folder: Path, **settings: float) -> None:
        self.database = database
        self.folder = folder
        self.sink = Flaky(database)
        values = {"linger_s": 0.005, "retry_s": 0.01, "delete_wait_s": 0.5, **settings}
        self.settings = RecorderSettings.model_validate(values)
        self.recorder = self.new()

    def new(self) -> BatchRecorder:
        return BatchRecorder(
            self.database, spool_dir=self.folder, settings=self.settings, sink=self.sink
        )

    async def requests(self) -> int:
        (total,) = await History(self.database).usage(by=())
        return total.requests

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not happened():  # noqa: ASYNC110 - the other side is a thread
                await asyncio.sleep(0.002)


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    found = World(database, tmp_path / "spool")
    found.recorder.start()
    yield found
    found.sink.open.set()
    await found.recorder.stop()


async def test_records_come_back_as_they_were_put(world: World) -> None:
    decision, session, response = make_decision(), make_session(), make_response()
    usage = make_usage(dropped=("logit_bias",), trace_id="t", first_byte_s=0.1)
    world.recorder.usage(usage)
    world.recorder.decision(decision)
    world.recorder.session(session)
    world.recorder.response(response)

    assert await world.recorder.flush(wait_s=WAIT_S)

    stored = SessionRepository(world.database)
    assert await History(world.database).decision("dec_1") == decision
    assert await stored.session(session.id) == session
    assert await stored.response(response.id) == response
    (total,) = await History(world.database).usage(by=())
    assert (total.requests, total.input_tokens, total.cost) == (1, 100, 0.25)


async def test_a_flushed_decision_is_seen_by_another_connection(world: World) -> None:
    for number in range(20):
        world.recorder.decision(make_decision(id=f"dec_{number}"))
        assert await world.recorder.flush(wait_s=WAIT_S)
        assert await History(world.database).decision(f"dec_{number}")


async def test_flushing_at_once_from_many_requests_is_one_group_or_few(world: World) -> None:
    world.sink.open.clear()
    world.recorder.decision(make_decision(id="first"))
    flushes = [asyncio.create_task(world.recorder.flush(wait_s=WAIT_S))]
    await asyncio.sleep(0)
    for number in range(50):
        world.recorder.decision(make_decision(id=f"dec_{number}"))
        flushes.append(asyncio.create_task(world.recorder.flush(wait_s=WAIT_S)))
    await asyncio.sleep(0)
    world.sink.open.set()

    assert set(await asyncio.gather(*flushes)) == {True}
    assert len(world.sink.groups) <= 2


async def test_a_flush_that_takes_too_long_says_so(world: World) -> None:
    world.sink.open.clear()
    world.recorder.decision(make_decision())

    assert not await world.recorder.flush(wait_s=0.02)


async def test_large_numbers_of_records_are_written_in_bounded_groups(
    database: Database, tmp_path: Path
) -> None:
    world = World(database, tmp_path, batch_rows=100)
    for number in range(1234):
        world.recorder.usage(make_usage(request_id=f"req_{number}"))
    world.recorder.start()

    assert await world.recorder.flush(wait_s=WAIT_S)
    assert max(world.sink.groups) == 100
    assert await world.requests() == 1234
    await world.recorder.stop()


async def test_the_last_write_of_a_session_wins_whatever_order_they_arrive_in(
    world: World,
) -> None:
    for updated_at, state in ((10.0, b"a"), (30.0, b"c"), (20.0, b"b")):
        world.recorder.session(make_session(updated_at=updated_at, state=state))
        await world.recorder.flush(wait_s=WAIT_S)

    found = await SessionRepository(world.database).session(make_session().id)
    assert found is not None
    assert found.state == b"c"


async def test_queued_state_is_read_before_it_is_stored(world: World) -> None:
    world.sink.open.clear()
    session, response = make_session(state=b"new"), make_response()
    world.recorder.session(make_session(state=b"old"))
    world.recorder.session(session)
    world.recorder.response(response)

    assert await world.recorder.load_session(session.id) == session
    assert await world.recorder.find_session("555566667777") == session.id
    assert await world.recorder.load_response("resp_1") == response


async def test_state_is_read_from_the_store_and_memory_is_let_go(world: World) -> None:
    world.recorder.session(make_session())
    world.recorder.response(make_response())
    await world.recorder.flush(wait_s=WAIT_S)

    assert await world.recorder.load_session(make_session().id) == make_session()
    assert await world.recorder.find_session("555566667777") == make_session().id
    assert await world.recorder.load_response("resp_1") == make_response()
    assert (world.recorder._sessions, world.recorder._responses) == ({}, {})


async def test_a_newer_state_put_during_a_write_is_not_forgotten(world: World) -> None:
    world.sink.open.clear()
    world.recorder.session(make_session(updated_at=1.0, state=b"old"))
    await asyncio.sleep(0.02)
    world.recorder.session(make_session(updated_at=2.0, state=b"new"))
    world.sink.open.set()
    await world.until(lambda: bool(world.recorder._done))

    found = await world.recorder.load_session(make_session().id)
    assert found is not None
    assert found.state == b"new"


async def test_what_does_not_exist_is_none(world: World) -> None:
    assert await world.recorder.load_session("none") is None
    assert await world.recorder.find_session("000000000000") is None
    assert await world.recorder.load_response("none") is None


async def test_a_deleted_response_is_gone_at_once_and_from_the_store(world: World) -> None:
    world.recorder.response(make_response())
    await world.recorder.delete_response("resp_1")

    assert await world.recorder.load_response("resp_1") is None
    assert await SessionRepository(world.database).response("resp_1") is None


async def test_a_response_deleted_while_the_store_is_away_stays_hidden_and_goes_later(
    world: World,
) -> None:
    world.recorder.response(make_response())
    await world.recorder.flush(wait_s=WAIT_S)
    world.sink.away = True
    with pytest.raises(StoreUnavailable):
        await world.recorder.delete_response("resp_1")
    assert await world.recorder.load_response("resp_1") is None
    world.sink.away = False

    assert await world.recorder.flush(wait_s=WAIT_S)
    assert await SessionRepository(world.database).response("resp_1") is None


async def test_records_put_while_the_store_is_away_are_written_when_it_is_back(
    world: World,
) -> None:
    world.sink.away = True
    world.recorder.decision(make_decision())
    world.recorder.session(make_session())
    for number in range(2000):
        world.recorder.usage(make_usage(request_id=f"req_{number}"))
    await world.until(lambda: world.recorder.stats.failures > 2)
    assert not world.recorder.stats.up
    assert await world.recorder.load_session(make_session().id) == make_session()
    world.sink.away = False

    assert await world.recorder.flush(wait_s=WAIT_S)
    assert await world.requests() == 2000
    assert await History(world.database).decision("dec_1") == make_decision()
    assert world.recorder.stats.up
    assert world.recorder.stats.dropped == 0
    assert world.recorder.pending == 0


async def test_a_commit_whose_answer_was_lost_is_not_written_twice(world: World) -> None:
    world.sink.lose_answers = 1
    for number in range(10):
        world.recorder.usage(make_usage(request_id=f"req_{number}", cost=1.0))

    assert await world.recorder.flush(wait_s=WAIT_S)
    (total,) = await History(world.database).usage(by=())
    assert (total.requests, total.cost) == (10, 10.0)


async def test_more_than_memory_holds_goes_to_a_file_and_comes_back_in_order(
    database: Database, tmp_path: Path
) -> None:
    world = World(database, tmp_path / "spool", max_records=1000)
    world.sink.away = True
    world.recorder.start()
    for batch in range(5):
        for number in range(600):
            world.recorder.usage(make_usage(request_id=f"req_{batch}_{number}"))
        world.recorder.session(make_session(updated_at=float(batch), state=bytes([batch])))
        await world.until(lambda: not world.recorder._queue)
    await world.until(lambda: world.recorder.stats.spooled > 0)
    assert len(world.recorder._held) <= 1000
    assert list((tmp_path / "spool").glob("*.spool"))
    world.sink.away = False

    assert await world.recorder.flush(wait_s=WAIT_S)
    assert await world.requests() == 3000
    found = await SessionRepository(database).session(make_session().id)
    assert found is not None
    assert found.state == b"\x04"
    assert world.recorder.stats.dropped == 0
    assert not list((tmp_path / "spool").glob("*.spool"))
    await world.recorder.stop()


async def test_records_of_a_stop_without_store_are_imported_by_the_next_start(
    database: Database, tmp_path: Path
) -> None:
    world = World(database, tmp_path / "spool")
    world.recorder.start()
    world.sink.away = True
    world.recorder.decision(make_decision())
    world.recorder.usage(make_usage())
    assert await world.recorder.stop()
    assert await world.requests() == 0

    world.sink.away = False
    after = world.new()
    after.start()
    assert await after.flush(wait_s=WAIT_S)
    assert await History(database).decision("dec_1") == make_decision()
    assert (after.stats.imported, await world.requests()) == (2, 1)
    await after.stop()


async def test_an_import_interrupted_half_way_goes_on_and_repeats_nothing(
    database: Database, tmp_path: Path
) -> None:
    world = World(database, tmp_path / "spool", batch_rows=50)
    world.recorder.start()
    world.sink.away = True
    for number in range(200):
        world.recorder.usage(make_usage(request_id=f"req_{number}", cost=1.0))
    await world.recorder.stop()
    world.sink.away = False
    world.sink.lose_answers = 2
    after = world.new()
    after.start()

    assert await after.flush(wait_s=WAIT_S)
    (total,) = await History(database).usage(by=())
    assert (total.requests, total.cost) == (200, 200.0)
    await after.stop()


async def test_without_room_anywhere_records_are_dropped_and_counted(
    database: Database, tmp_path: Path
) -> None:
    blocked = tmp_path / "spool"
    blocked.write_text("a file where the folder should be")
    world = World(database, blocked, max_records=1000)
    world.sink.away = True
    world.recorder.start()
    for batch in range(2):
        for number in range(600):
            world.recorder.usage(make_usage(request_id=f"req_{batch}_{number}"))
        await world.until(lambda: not world.recorder._queue)
    await world.until(lambda: world.recorder.stats.dropped == 1200)

    assert world.recorder.pending == 0
    await world.recorder.stop()


async def test_a_stuck_write_does_not_let_the_queue_grow_without_bound(
    database: Database, tmp_path: Path
) -> None:
    world = World(database, tmp_path, max_records=1000)
    world.sink.open.clear()
    world.recorder.start()
    for number in range(5000):
        world.recorder.usage(make_usage(request_id=f"req_{number}"))

    assert len(world.recorder._queue) <= 1000
    assert world.recorder.stats.dropped >= 3000
    world.sink.open.set()
    await world.recorder.stop()


@pytest.mark.parametrize("bad", ["nul \0 byte", "lone \ud800 surrogate"])
async def test_texts_a_database_refuses_do_not_take_other_records_with_them(
    world: World, bad: str
) -> None:
    world.recorder.usage(make_usage(request_id="good"))
    world.recorder.usage(make_usage(request_id="odd", model=bad))
    world.recorder.decision(make_decision(tool=bad, args={"deep": [bad]}, labels={"tags": [bad]}))

    assert await world.recorder.flush(wait_s=WAIT_S)
    assert await world.requests() == 2
    assert (await History(world.database).decision("dec_1")).tool.startswith(bad[:3])
    assert world.recorder.stats.dropped == 0


async def test_a_record_no_cleaning_helps_is_dropped_alone(world: World) -> None:
    world.recorder.usage(make_usage(request_id="a"))
    world.recorder.usage(make_usage(request_id="b", input_tokens=2**80))
    world.recorder.usage(make_usage(request_id="c"))

    assert not await world.recorder.flush(wait_s=WAIT_S)
    assert await world.requests() == 2
    assert world.recorder.stats.dropped == 1
    assert await world.recorder.flush(wait_s=WAIT_S)


async def test_the_same_decision_twice_is_kept_once(world: World) -> None:
    world.recorder.decision(make_decision())
    await world.recorder.flush(wait_s=WAIT_S)
    world.recorder.decision(make_decision())
    world.recorder.decision(make_decision(id="dec_2"))

    assert await world.recorder.flush(wait_s=WAIT_S)
    page = await History(world.database).decisions(DecisionFilter())
    assert sorted(record.id for record in page.decisions) == ["dec_1", "dec_2"]


async def test_without_a_thread_a_flush_is_false_and_a_stop_is_nothing(
    database: Database, tmp_path: Path
) -> None:
    recorder = BatchRecorder(database, spool_dir=tmp_path)

    assert not await recorder.flush(wait_s=0.01)
    assert await recorder.stop()


async def test_a_write_lock_held_by_another_process_delays_and_loses_nothing(
    sqlite_url: str, tmp_path: Path
) -> None:
    from interlock.storage.migrate import migrate  # noqa: PLC0415 - this test alone migrates
    from interlock.storage.schema import metadata  # noqa: PLC0415 - this test alone migrates

    database = Database(sqlite_url)
    migrate(database, metadata)
    recorder = BatchRecorder(database, spool_dir=tmp_path)
    recorder.start()
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    recorder.decision(make_decision())
    assert not await recorder.flush(wait_s=0.1)
    other.execute("ROLLBACK")
    other.close()

    assert await recorder.flush(wait_s=WAIT_S)
    assert await History(database).decision("dec_1") == make_decision()
    await recorder.stop()
    await database.close()
