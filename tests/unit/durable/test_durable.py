"""Durable work in one process, on both databases."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from interlock.durable.errors import DurableInUseError, DurableStoppedError
from interlock.durable.model import Queue, Status, Workflow
from interlock.durable.service import Durable, step
from interlock.storage.engine import Database

pytestmark = [
    pytest.mark.anyio,
    # DBOS leaves closing SQLite connections of its threads to the collector.
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
_QUEUES = [Queue(name="work", concurrency=2, poll_s=0.02)]


@contextlib.asynccontextmanager
async def running(
    url: str, data: Path, run: Callable[..., Awaitable[object]]
) -> AsyncIterator[Durable]:
    """A started engine with one workflow, `w`."""
    durable = Durable(Database(url), data, workflows=[Workflow(name="w", run=run)], queues=_QUEUES)
    async with asyncio.timeout(60):
        await durable.start()
        try:
            yield durable
        finally:
            await durable.stop()


async def reaches(durable: Durable, work: str, status: Status) -> None:
    """Waits for a status."""
    async with asyncio.timeout(20):
        while True:
            if await durable.status(work) == status:
                return
            await asyncio.sleep(0.02)


async def test_work_runs_once_per_id_and_says_how_far_it_is(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []
    go_on = asyncio.Event()

    async def effect(work: str) -> str:
        begun.append(work)
        return work

    async def run(work: str, number: int) -> None:
        assert await step("effect", effect, work) == work
        await go_on.wait()
        if number == 13:
            raise RuntimeError

    with caplog.at_level(logging.WARNING):
        async with running(database_url, tmp_path, run) as durable:
            assert await durable.status("a") is None
            for _ in range(2):
                await durable.enqueue("work", "w", "a", 1, id="a")
            await durable.enqueue("work", "w", "b", 13, id="b")
            await durable.enqueue("work", "w", "c", 1, id="c")
            await reaches(durable, "a", "running")
            await reaches(durable, "b", "running")
            assert await durable.status("c") == "waiting"  # two at a time
            await durable.cancel("c")
            go_on.set()
            await reaches(durable, "a", "done")
            await reaches(durable, "b", "failed")
            await reaches(durable, "c", "cancelled")
            await durable.cancel("nobody")
            await durable.enqueue("work", "w", "a", 1, id="a")
            assert await durable.status("a") == "done"
    assert sorted(begun) == ["a", "b"]
    assert await asyncio.to_thread(lambda: 1) == 1  # the loop has threads again
    assert any(record.name == "dbos" for record in caplog.records)  # its log is ours


async def test_what_a_stop_interrupts_is_gone_on_with_and_done_steps_are_not_repeated(
    sqlite_url: str, tmp_path: Path
) -> None:
    done: list[str] = []
    reached, never = asyncio.Event(), asyncio.Event()

    async def effect(name: str) -> None:
        done.append(name)

    async def stopped(work: str) -> None:
        await step("one", effect, f"{work} 1")
        reached.set()
        await never.wait()

    async def complete(work: str) -> None:
        await step("one", effect, f"{work} 1")
        await step("two", effect, f"{work} 2")

    async with running(sqlite_url, tmp_path, stopped) as durable:
        await durable.enqueue("work", "w", "a", id="a")
        await reached.wait()
    async with running(sqlite_url, tmp_path, complete) as durable:
        await reaches(durable, "a", "done")

    assert done == ["a 1", "a 2"]


async def test_only_ids_and_known_names_are_taken_and_only_while_it_runs(
    sqlite_url: str, tmp_path: Path
) -> None:
    async def run(work: str) -> None:
        del work

    async with running(sqlite_url, tmp_path, run) as durable:
        for queue, name, argument in (
            ("nowhere", "w", "a"),
            ("work", "unknown", "a"),
            ("work", "w", "x" * 201),
            ("work", "w", {"password": "secret"}),
        ):
            with pytest.raises(ValueError, match=r"workflow|queue"):
                await durable.enqueue(queue, name, argument, id="a")  # type: ignore[arg-type]
        second = Durable(Database(sqlite_url), tmp_path, workflows=[], queues=[])
        with pytest.raises(DurableInUseError):
            await second.start()
    for call in (durable.status("a"), durable.cancel("a"), durable.enqueue("work", "w", id="a")):
        with pytest.raises(DurableStoppedError):
            await call
    await durable.stop()
