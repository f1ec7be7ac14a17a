"""Two processes of one store, told by Redis: nothing lost or doubled, also when it dies."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from interlock.events.log import EventLog
from interlock.events.model import Event, NewEvent
from interlock.events.redis_fanout import RedisFanout
from interlock.events.settings import EventSettings
from interlock.events.subscription import Subscription
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio
_SELDOM = EventSettings(poll_s=3600, flush_s=0.001)
"""The log is asked only when Redis is away or there is a hole."""


class RedisServer:
    """A Redis of this test's own."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{port}/0"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--save", ""],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        with contextlib.closing(redis.Redis(port=self._port)) as client:
            for _ in range(500):
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(0.01)
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        """Kills it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A running Redis on a free port."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server")
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = RedisServer(tmp_path, port)
    made.start()
    yield made
    made.kill()


async def told(reader: Subscription, count: int) -> list[Event]:
    """The next events."""
    found: list[Event] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found += await reader.batch(count - len(found))
    return found


async def connected(*fanouts: RedisFanout) -> None:
    """Returns once all of them hear."""
    async with asyncio.timeout(10):
        while True:
            if all(fanout.connected for fanout in fanouts):
                return
            await asyncio.sleep(0.005)


async def post(log: EventLog, stream: str, numbers: range) -> None:
    """Posts and commits events one by one."""
    for number in numbers:
        log.post(stream, [NewEvent(type="t", payload={"n": number})])
        await log.flush()


async def test_two_processes_hear_each_other_also_across_the_death_of_redis(
    database: Database, server: RedisServer
) -> None:
    fanouts = [RedisFanout(server.url) for _ in range(2)]
    logs = [EventLog(database, settings=_SELDOM, fanout=fanout) for fanout in fanouts]
    tasks = [asyncio.create_task(log.run()) for log in logs]
    try:
        await connected(*fanouts)
        readers = [log.subscribe(capacity=1000, wanted=["a", "b"]) for log in logs]
        async with asyncio.TaskGroup() as group:
            group.create_task(post(logs[0], "a", range(20)))
            group.create_task(post(logs[1], "b", range(20)))
        heard = [await told(reader, 40) for reader in readers]

        server.kill()
        async with asyncio.TaskGroup() as group:
            group.create_task(post(logs[0], "a", range(20, 30)))
            group.create_task(post(logs[1], "b", range(20, 30)))
        for index, reader in enumerate(readers):
            heard[index] += await told(reader, 20)

        server.start()
        await connected(*fanouts)
        await post(logs[0], "a", range(30, 40))
        await post(logs[1], "b", range(30, 40))
        for index, reader in enumerate(readers):
            heard[index] += await told(reader, 20)
            assert reader.waiting() == []
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stored = await logs[0].read(["a", "b"], limit=999)
    assert [event.seq for event in stored] == list(range(1, 81))
    assert heard[0] == stored
    assert heard[1] == stored


async def test_noise_on_the_channel_harms_nobody(database: Database, server: RedisServer) -> None:
    fanout = RedisFanout(server.url, prefix="mine")
    log = EventLog(database, settings=_SELDOM, fanout=fanout)
    running = asyncio.create_task(log.run())
    try:
        await connected(fanout)
        reader = log.subscribe(capacity=9, wanted=["a"])
        with contextlib.closing(redis.Redis.from_url(server.url)) as client:
            for noise in (b"", b"12345678", b"12345678\xc1", b"12345678\x91\x01"):
                client.publish("mine:events", noise)
        await post(log, "a", range(1))
        assert [event.seq for event in await told(reader, 1)] == [1]
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
