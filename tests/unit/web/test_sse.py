"""Server-sent events: frames, cursors, and how streams end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, MutableMapping
from typing import Any

import pytest

from interlock.web.sse import (
    OPENING,
    PING,
    Frames,
    SseResponse,
    SseStreams,
    StreamEnd,
    frame,
    last_event_id,
)

pytestmark = pytest.mark.anyio


class Numbers:
    """A source of numbers."""

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.ended: str | None = None
        self._woken = asyncio.Event()

    def put(self, *numbers: int) -> None:
        """Adds numbers."""
        self.waiting += numbers
        self.wake()

    async def batch(self) -> list[int]:
        """What waits."""
        if not self.waiting and self.ended is None:
            await self._woken.wait()
        self._woken.clear()
        taken, self.waiting = self.waiting, []
        return taken

    def wake(self) -> None:
        """Wakes."""
        self._woken.set()

    def close(self) -> None:
        """Ends."""
        self.ended = "closed"
        self.wake()


class Client:
    """The other end of an ASGI exchange."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.complete = False
        self.headers: dict[bytes, bytes] = {}
        self.gone = asyncio.Event()
        self.takes = asyncio.Event()
        self.takes.set()
        self.aborted = False
        self.scope = {"extensions": {"interlock": {"abort": self.abort}}}
        self._moved = asyncio.Condition()

    def abort(self) -> None:
        """What breaking the connection does."""
        self.aborted = True
        self.takes.set()

    async def receive(self) -> MutableMapping[str, Any]:
        """Nothing until it leaves."""
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Takes a message."""
        await self.takes.wait()
        if message["type"] == "http.response.start":
            self.headers = dict(message["headers"])
            return
        if message["body"]:
            self.chunks.append(message["body"])
        self.complete = not message["more_body"]
        async with self._moved:
            self._moved.notify_all()

    async def got(self, count: int) -> list[bytes]:
        """The first chunks."""
        async with asyncio.timeout(5), self._moved:
            await self._moved.wait_for(lambda: len(self.chunks) >= count)
        return self.chunks


def numbered(number: int) -> bytes | None:
    """Odd numbers are told."""
    return frame("n", b"%d" % number, event_id=str(number)) if number % 2 else None


@contextlib.asynccontextmanager
async def served(
    streams: SseStreams, client: Client, source: Numbers, **more: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """A stream being served."""
    response = SseResponse(streams, source, numbered, **({"user": "ann"} | more))
    task = asyncio.ensure_future(response(client.scope, client.receive, client.send))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ended(task: asyncio.Task[None]) -> None:
    """Waits for a stream to end by itself."""
    async with asyncio.timeout(5):
        await task


async def test_every_frame_is_one_chunk_after_what_was_missed() -> None:
    streams, client, source = SseStreams(), Client(), Numbers()

    async def missed() -> AsyncIterator[bytes]:
        yield b"missed\n\n"

    async with served(streams, client, source, first=missed()) as task:
        source.put(1, 2, 3)
        chunks = await client.got(4)
        assert chunks == [
            OPENING,
            b"missed\n\n",
            b"id: 1\nevent: n\ndata: 1\n\n",
            b"id: 3\nevent: n\ndata: 3\n\n",
        ]
        assert client.headers[b"content-type"] == b"text/event-stream"
        assert client.headers[b"cache-control"] == b"no-cache, no-transform"
        assert len(streams) == 1
        source.close()
        await ended(task)
    assert client.complete
    assert len(streams) == 0


async def test_silence_brings_a_heartbeat_and_a_look_at_the_rights() -> None:
    streams, client, source = SseStreams(heartbeat_s=20), Client(), Numbers()
    answers: list[Iterable[bytes] | None] = [None, (b"beat\n\n",)]

    async def allowed() -> Iterable[bytes] | None:
        return answers.pop()

    def goodbye(why: StreamEnd) -> list[bytes]:
        return [why.encode()]

    loop = asyncio.get_running_loop()
    async with served(streams, client, source, on_beat=allowed, last=goodbye) as task:
        await client.got(1)
        streams.tick(loop.time() + 19)
        streams.tick(loop.time() + 21)
        assert (await client.got(3))[1:] == [PING, b"beat\n\n"]
        streams.tick(loop.time() + 42)
        await ended(task)
    assert client.chunks[3:] == [b"denied"]
    assert client.complete


async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    streams, client, source = SseStreams(stalled_s=30), Client(), Numbers()
    async with served(streams, client, source) as task:
        await client.got(1)
        client.takes.clear()
        source.put(1)
        for _ in range(5):
            await asyncio.sleep(0)
        now = asyncio.get_running_loop().time()
        streams.tick(now + 29)
        assert not client.aborted
        streams.tick(now + 31)
        await ended(task)
    assert client.aborted
    assert not client.complete
    assert source.ended == "closed"


async def test_the_oldest_stream_of_a_user_makes_room_for_the_newest() -> None:
    streams, clients = SseStreams(per_user=2), [Client() for _ in range(4)]
    async with contextlib.AsyncExitStack() as stack:
        tasks = []
        for index, client in enumerate(clients):
            user = "bob" if index == 0 else "ann"
            tasks.append(
                await stack.enter_async_context(served(streams, client, Numbers(), user=user))
            )
            await client.got(1)
        await ended(tasks[1])
        assert [task.done() for task in tasks] == [False, True, False, False]
        assert clients[1].complete
        streams.end_user("bob")
        await ended(tasks[0])


async def test_a_client_that_leaves_frees_everything_and_shutdown_ends_the_rest() -> None:
    streams, leaving, staying, late = SseStreams(), Client(), Client(), Client()
    source = Numbers()
    async with (
        served(streams, leaving, source) as left,
        served(streams, staying, Numbers()) as stayed,
    ):
        await leaving.got(1)
        await staying.got(1)
        leaving.gone.set()
        await ended(left)
        assert source.ended == "closed"
        assert not leaving.complete
        streams.close()
        await ended(stayed)
        assert staying.complete
        async with served(streams, late, Numbers()) as refused:
            await ended(refused)
        assert late.complete


def test_a_frame_is_encoded_once_for_all_readers_of_the_same_event() -> None:
    calls: list[list[int]] = []

    def encode(event: list[int]) -> bytes:
        calls.append(event)
        return b"x"

    frames: Frames[list[int]] = Frames(encode, size=2)
    one, two, three = [1], [1], [3]
    for event in (one, one, two, one, three, one):
        assert frames(event) == b"x"

    assert calls == [[1], [1], [3], [1]]


@pytest.mark.parametrize(
    ("kind", "data", "event_id"),
    [("a\nid: 1", b"{}", None), ("a", b"{}\n\n", None), ("a", b"{}", "1\revent: b")],
)
def test_nothing_in_an_event_can_forge_another(
    kind: str, data: bytes, event_id: str | None
) -> None:
    with pytest.raises(ValueError, match="line breaks"):
        frame(kind, data, event_id=event_id)


def test_the_header_says_where_to_go_on_then_the_query_and_nonsense_is_ignored() -> None:
    def header(value: bytes) -> list[tuple[bytes, bytes]]:
        return [(b"accept", b"*/*"), (b"last-event-id", value)]

    assert last_event_id(header(b"a:1"), "b:2") == "a:1"
    assert last_event_id([], "b:2") == "b:2"
    for nonsense in (b"", b"\xff", b"a\x00b", b"x" * 513):
        assert last_event_id(header(nonsense)) is None
    assert last_event_id([], "a\r\nb") is None
    assert last_event_id([]) is None
