"""Event log and live streams: what an event costs, and 2,000 open streams over real HTTP.

`make bench-events` writes benchmarks/EVENTS.md. The server and the readers are a process
each; latency is from the moment the server is given an event to the moment the reader's
process has its frame, on one monotonic clock. Every stream counts its events: a hole is a
loss, a repetition a double.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
import uvloop

import interlock.events.tables  # noqa: F401 - fills the shared metadata
from interlock.events.log import EventLog
from interlock.events.model import Event, NewEvent
from interlock.events.settings import EventSettings
from interlock.storage.engine import Database
from interlock.storage.migrate import migrate
from interlock.storage.schema import metadata
from interlock.web.hot import HttpLimits, hot_protocol
from interlock.web.sse import Frames, SseResponse, SseStreams, frame

RATE = 10
"""Events a second in each conversation."""
MEMBERS = 20
CAPACITY = 128
REPORT = Path(__file__).with_name("EVENTS.md")
SHOWN = re.compile(rb'"n":(\d+),"sent":(\d+)')
ENCODE = msgspec.json.Encoder().encode


def delta(conversation: str, number: int) -> NewEvent:
    """A token of a reply, as large as those of the chat API."""
    return NewEvent(
        type="message.delta",
        payload={
            "id": f"0199a2b4-0000-7000-8000-000000000000:{number}",
            "object": "chat.completion.chunk",
            "root_id": "0199a1b4-0000-7000-8000-000000000000",
            "message_id": "0199a2b4-0000-7000-8000-000000000000",
            "conversation_id": conversation,
            "parent_id": None,
            "depth": 2,
            "choices": [{"index": 0, "delta": {"content": "some words "}}],
            "n": number,
            "sent": time.monotonic_ns(),
        },
        key="delta:0199a2b4-0000-7000-8000-000000000000",
        name=lambda ms: f"0199a1b4:0199a2b4:{number}:{ms}",
    )


def encoded(event: Event) -> bytes:
    """The frame of an event."""
    data = ENCODE({"type": event.type, "payload": event.payload})
    return frame(event.type, data, event_id=event.id)


class NoHot:
    """Everything goes to the ASGI app."""

    def claim(self, method: bytes, url: bytes) -> None:
        """Nothing is hot."""

    def admit(self, request: object, route: object) -> None:
        """Never asked."""

    async def serve(self, request: object, route: object) -> None:
        """Never asked."""

    def refuse(self, reason: str) -> tuple[int, bytes]:
        """What cannot be read."""
        return 400, b"{}"


# the server


async def serve(url: str, conversations: int) -> None:
    """Serves streams of conversations and writes into all of them, until told to stop."""
    log = EventLog(Database(url), settings=EventSettings())
    streams = SseStreams(per_user=10**6)
    frames: Frames[Event] = Frames(encoded)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stream = "conversation:" + scope["path"].rpartition("/")[2]
        source = log.subscribe(capacity=CAPACITY, wanted=[stream])
        await SseResponse(streams, source, frames, user="u")(scope, receive, send)

    config: Any = {
        "app": app,
        "port": 0,
        "http": hot_protocol(NoHot(), HttpLimits()),
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "ws": "none",
        "backlog": 4096,
        "timeout_graceful_shutdown": 5,
    }
    server = uvicorn.Server(uvicorn.Config(**config))

    async def write(stop: asyncio.Event) -> list[int]:
        numbers = [0] * conversations
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        while not stop.is_set():
            due = int((loop.time() - began) * conversations * RATE)
            while sent < due:
                which = sent % conversations
                log.post(f"conversation:{which}", [delta(str(which), numbers[which])])
                numbers[which] += 1
                sent += 1
            await asyncio.sleep(0.004)
        await log.flush()
        return numbers

    async def control() -> None:
        while not server.started:
            await asyncio.sleep(0.01)
        say({"port": server.servers[0].sockets[0].getsockname()[1]})
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        writing: asyncio.Task[list[int]] | None = None
        while True:
            word = (await loop.run_in_executor(None, sys.stdin.readline)).strip()
            if word == "write":
                writing = asyncio.create_task(write(stop))
                say({})
            elif word == "usage":
                say({"cpu_s": time.process_time(), "rss": rss(), "streams": len(streams)})
            elif word == "stop" and writing is not None:
                stop.set()
                say({"numbers": await writing})
            else:
                streams.close()
                server.should_exit = True
                return

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(log.run()), group.create_task(streams.run())]
        group.create_task(control())
        await server.serve()
        for one in running:
            one.cancel()


def say(value: object) -> None:
    """One line to the parent."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def rss() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


# the readers


class Reader(asyncio.Protocol):
    """One client of one stream."""

    def __init__(self, which: int, taken: "Taken") -> None:
        self.which = which
        self.taken = taken
        self.next = -1
        self.rest = b""
        self.opened = False

    def connection_made(self, transport: Any) -> None:
        """Asks for the stream."""
        transport.write(b"GET /stream/%d HTTP/1.1\r\nhost: x\r\n\r\n" % self.which)
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Counts what came."""
        if not self.opened and b": open" in data:
            self.opened = True
            self.taken.opened += 1
        now = time.monotonic_ns()
        data = self.rest + data
        end = data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
        self.rest = data[end:]
        for number, sent in SHOWN.findall(data, 0, end):
            self.taken.event(self, int(number), now - int(sent))


class Taken:
    """What all readers together got."""

    def __init__(self) -> None:
        self.opened = self.lost = self.doubled = self.events = 0
        self.measuring = False
        self.latencies: list[int] = []

    def event(self, reader: Reader, number: int, latency_ns: int) -> None:
        """Counts one."""
        self.events += 1
        if reader.next >= 0:
            if number < reader.next:
                self.doubled += 1
                return
            self.lost += number - reader.next
        reader.next = number + 1
        if self.measuring:
            self.latencies.append(latency_ns)


async def measure(url: str, streams: int, members: int, seconds: float) -> dict[str, Any]:
    """Opens streams on a fresh server, writes for a while, counts."""
    conversations = streams // members
    command = [sys.executable, __file__, "--serve", url, str(conversations)]
    server = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdin is not None
    assert server.stdout is not None

    async def ask(word: str | None) -> dict[str, Any]:
        if word is not None:
            server.stdin.write(word.encode() + b"\n")
        return json.loads(await server.stdout.readline())

    loop = asyncio.get_running_loop()
    port = (await ask(None))["port"]
    taken = Taken()
    readers: list[Reader] = []
    for index in range(streams):
        _, reader = await loop.create_connection(
            lambda index=index: Reader(index % conversations, taken), "127.0.0.1", port
        )
        readers.append(reader)
    while taken.opened < streams:
        await asyncio.sleep(0.05)
    await ask("write")
    await asyncio.sleep(2)
    before, began = await ask("usage"), time.monotonic()
    taken.measuring = True
    await asyncio.sleep(seconds)
    taken.measuring = False
    after, took = await ask("usage"), time.monotonic() - began
    numbers = (await ask("stop"))["numbers"]
    await asyncio.sleep(1)
    missing = sum(max(0, numbers[one.which] - one.next) for one in readers)
    server.stdin.write(b"exit\n")
    await server.wait()
    for one in readers:
        one.transport.close()
    ordered = sorted(taken.latencies)
    cpu_s = after["cpu_s"] - before["cpu_s"]
    return {
        "streams": streams,
        "members": members,
        "frames_per_s": len(ordered) / took,
        "p50_ms": ordered[len(ordered) // 2] / 1e6,
        "p99_ms": ordered[len(ordered) * 99 // 100] / 1e6,
        "max_ms": ordered[-1] / 1e6,
        "cpu": cpu_s / took,
        "cpu_us_per_frame": cpu_s / len(ordered) * 1e6,
        "rss_mb": after["rss"] / 1e6,
        "frames": taken.events,
        "lost": taken.lost + missing,
        "doubled": taken.doubled,
    }


# without a network


async def cost(url: str, count: int) -> dict[str, float]:
    """CPU of this process per event with 20 readers: own transaction, and group commit."""
    database = Database(url)
    log = EventLog(database)
    readers = [log.subscribe(capacity=CAPACITY, wanted=["conversation:0"]) for _ in range(MEMBERS)]
    frames: Frames[Event] = Frames(encoded)

    def deliver() -> None:
        for reader in readers:
            for event in reader.waiting(CAPACITY):
                frames(event)

    began = time.process_time()
    for _ in range(count):
        async with database.transaction() as connection:
            await connection.exec_driver_sql("UPDATE event_counter SET last_seq = last_seq")
    bare = (time.process_time() - began) / count
    began = time.process_time()
    for number in range(count):
        async with database.transaction() as connection:
            await log.append(connection, "conversation:0", [delta("0", number)])
        deliver()
    alone = (time.process_time() - began) / count
    began = time.process_time()
    for start in range(0, count, 20):
        for number in range(start, start + 20):
            log.post("conversation:0", [delta("0", count + number)])
        await log.flush()
        deliver()
    grouped = (time.process_time() - began) / count
    await database.close()
    return {"bare_ms": bare * 1e3, "alone_ms": alone * 1e3, "grouped_ms": grouped * 1e3}


async def catch_up(url: str, behind: int) -> float:
    """Seconds until a reader that far behind has all frames, 512 events a page."""
    database = Database(url)
    log = EventLog(database)
    for start in range(0, behind, 500):
        log.post("conversation:far", [delta("far", start + index) for index in range(500)])
        await log.flush()
    began, after, found = time.monotonic(), 0, 0
    while True:
        page = await log.read(["conversation:far"], after_seq=after, limit=512)
        if not page:
            break
        found += len([encoded(event) for event in page])
        after = page[-1].seq
    took = time.monotonic() - began
    assert found == behind
    await database.close()
    return took


@asynccontextmanager
async def fresh() -> AsyncIterator[str]:
    """A migrated SQLite store."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/interlock.db"
        await asyncio.to_thread(migrate, Database(url), metadata)
        yield url


async def run(seconds: float, shapes: list[tuple[int, int]]) -> None:
    """Measures everything and writes the report."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    async with fresh() as url:
        costs = await cost(url, 1000)
        print(costs, flush=True)
        behind_s = await catch_up(url, 10_000)
        print({"behind_s": behind_s}, flush=True)
    rows = []
    for streams, members in shapes:
        async with fresh() as url:
            rows.append(await measure(url, streams, members, seconds))
        print(rows[-1], flush=True)
    REPORT.write_text(report(costs, behind_s, rows, seconds))


def report(
    costs: dict[str, float], behind_s: float, rows: list[dict[str, Any]], seconds: float
) -> str:
    """The page."""
    table = "\n".join(
        f"| {row['streams']} | {row['members']} | {row['frames_per_s']:,.0f} | {row['p50_ms']:.0f} "
        f"| {row['p99_ms']:.0f} | {row['max_ms']:.0f} | {row['cpu'] * 100:.0f} % "
        f"| {row['cpu_us_per_frame']:.0f} | {row['rss_mb']:.0f} | {row['frames']:,} "
        f"| {row['lost']} | {row['doubled']} |"
        for row in rows
    )
    return f"""# Events and live streams

Written by `make bench-events` on {datetime.now(UTC):%Y-%m-%d} ({os.cpu_count()} cores, \
Python {platform.python_version()}, SQLite, one server process; load average \
{os.getloadavg()[0]:.1f} at the end, so other work may have shared the cores).

- **One event, written and given to {MEMBERS} readers, CPU**: {costs["alone_ms"]:.2f} ms in a \
transaction of its own, of which the transaction is {costs["bare_ms"]:.2f} ms; \
{costs["grouped_ms"]:.2f} ms by group commit (20 at a time).
- **A reader 10,000 events behind** has all frames after {behind_s:.2f} s.

Streams over HTTP, {RATE} events a second in every conversation, {seconds:.0f} s each. Latency is \
from handing the event to the log until the reader's process has the frame, and contains up to \
20 ms of waiting for the common commit. "Lost" and "doubled" are counted over the whole run.

| streams | members | frames/s | p50 ms | p99 ms | max ms | server CPU | µs CPU/frame | RSS MB \
| frames | lost | doubled |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
{table}

Frames cost the same each, so CPU grows with streams times events; memory grows with streams. \
Fewer members for the same streams mean more conversations, so more events to write.
"""


def main() -> None:
    """Entry point."""
    if sys.argv[1:2] == ["--serve"]:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        uvloop.run(serve(sys.argv[2], int(sys.argv[3])))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--only", help="STREAMSxMEMBERS, and write no report")
    args = parser.parse_args()
    shapes = [(500, 20), (1000, 20), (2000, 20), (2000, 10), (2000, 40)]
    if args.only:
        streams, members = map(int, args.only.split("x"))
        shapes = [(streams, members)]
    uvloop.run(run(args.seconds, shapes))


if __name__ == "__main__":
    main()
