"""Server-sent events: frames, and the writer all live streams share.

One body chunk per frame, because the published command-line client parses each chunk it
receives on its own. Written over plain ASGI `send`: measured that way, 20,000 frames a
second to 2,000 streams take about half a core, log and fan-out included, so a second way
past the bridge straight to the transport was not needed (benchmarks/EVENTS.md). What is
shared: a frame is encoded once per event, whoever reads it (`Frames`), and one ticker serves
the heartbeats and stalls of all streams, so an open stream has no timers of its own.

Flow control is the server's: `send` waits while the socket's buffer is full. A client that
accepts nothing for `stalled_s` is cut off: `extensions["interlock"]["abort"]` of the scope
breaks its connection.

Source: conversations.md sections 11.1, 11.5 and 11.7.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

__all__ = [
    "HEADERS",
    "OPENING",
    "PING",
    "Frames",
    "Source",
    "SseResponse",
    "SseStream",
    "SseStreams",
    "StreamEnd",
    "frame",
    "last_event_id",
]

T = TypeVar("T")
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
StreamEnd = Literal["finished", "gone", "stalled", "replaced", "denied", "shutdown"]
"""`replaced`: by a newer stream of the same user. `denied`: access has ended."""

HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"connection", b"keep-alive"),
)
OPENING: Final = b"retry: 3000\n: open\n\n"
PING: Final = b": ping\n\n"
_ID_CHARS = 512
_TICK_S = 1.0


def frame(kind: str, data: bytes, *, event_id: str | None = None) -> bytes:
    """One event on the wire. `data` is JSON on a single line.

    Raises ValueError when a line break would make it two.
    """
    named = b"" if event_id is None else b"id: %b\n" % event_id.encode()
    made = b"%bevent: %b\ndata: %b\n\n" % (named, kind.encode(), data)
    if made.count(b"\n") != (3 if event_id is None else 4) or b"\r" in made:
        raise ValueError("an event must not contain line breaks")
    return made


def last_event_id(headers: Iterable[tuple[bytes, bytes]], query: str | None = None) -> str | None:
    """Where a client wants to go on: the `Last-Event-ID` header, else what the query says.

    None when there is nothing, or nothing that could be an id: a malformed cursor is never
    an error, since a browser gives up for good on one.
    """
    given = query
    for name, value in headers:
        if name == b"last-event-id":
            try:
                given = value.decode()
            except UnicodeDecodeError:
                given = None
            break
    if not given or len(given) > _ID_CHARS or not given.isprintable():
        return None
    return given


class Frames(Generic[T]):
    """Frames of the newest events, each encoded once for all its readers."""

    def __init__(self, encode: Callable[[T], bytes | None], *, size: int = 1024) -> None:
        self._encode = encode
        self._size = size
        self._made: OrderedDict[int, tuple[T, bytes | None]] = OrderedDict()

    def __call__(self, event: T) -> bytes | None:
        """The frame of an event; None: it is not told."""
        found = self._made.get(id(event))
        if found is not None and found[0] is event:
            return found[1]
        made = self._encode(event)
        # The event is kept with its frame, so nothing else gets its identity meanwhile.
        self._made[id(event)] = (event, made)
        if len(self._made) > self._size:
            self._made.popitem(last=False)
        return made


class Source(Protocol[T]):
    """Where a stream takes its events from: a subscription to the event log."""

    ended: Any

    async def batch(self) -> list[T]:
        """What waits, or nothing when woken or ended."""
        ...

    def wake(self) -> None:
        """Lets `batch` return."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


class SseStream:
    """One open stream, as the ticker sees it."""

    __slots__ = ("_abort", "_send", "_wake", "beat_due", "ended", "last_write", "writing_since")

    def __init__(self, send: Send, *, wake: Callable[[], None], abort: Callable[[], None]) -> None:
        self._send = send
        self._wake = wake
        self._abort = abort
        self.ended: StreamEnd | None = None
        self.beat_due = False
        """It was silent for so long that a heartbeat is due."""
        self.last_write = asyncio.get_running_loop().time()
        self.writing_since: float | None = None
        """Since when the client has accepted nothing."""

    async def open(self) -> None:
        """Sends the head and the first bytes."""
        await self._send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        await self.write(OPENING)

    async def write(self, data: bytes) -> None:
        """Sends one chunk; waits while the client does not take what was sent before."""
        now = asyncio.get_running_loop().time()
        self.last_write = self.writing_since = now
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self.writing_since = None

    async def finish(self) -> None:
        """Ends the answer, so that the client sees no broken connection."""
        if self.ended not in ("gone", "stalled"):
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def end(self, why: StreamEnd) -> None:
        """Makes the stream end at its next turn, which is soon. Again: nothing."""
        if self.ended is None:
            self.ended = why
            if why == "stalled":
                self._abort()
            self._wake()

    def beat(self) -> None:
        """Makes a heartbeat due."""
        self.beat_due = True
        self._wake()


class SseStreams:
    """All open streams of a process. Run `run` as long as requests are served."""

    def __init__(
        self, *, heartbeat_s: float = 20.0, stalled_s: float = 30.0, per_user: int = 20
    ) -> None:
        self._heartbeat_s = heartbeat_s
        self._stalled_s = stalled_s
        self._per_user = per_user
        self._streams: dict[SseStream, str] = {}
        self._of_user: dict[str, dict[SseStream, None]] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._streams)

    def enter(self, stream: SseStream, user: str) -> None:
        """Counts a stream in; the oldest of a user with too many ends."""
        self._streams[stream] = user
        own = self._of_user.setdefault(user, {})
        own[stream] = None
        if len(own) > self._per_user:
            for oldest in list(own)[: len(own) - self._per_user]:
                oldest.end("replaced")
        if self._closed:
            stream.end("shutdown")

    def leave(self, stream: SseStream) -> None:
        """Counts a stream out."""
        user = self._streams.pop(stream, None)
        if user is not None:
            own = self._of_user[user]
            own.pop(stream, None)
            if not own:
                del self._of_user[user]

    def end_user(self, user: str, why: StreamEnd = "denied") -> None:
        """Ends all streams of a user, whose access has ended."""
        for stream in list(self._of_user.get(user, ())):
            stream.end(why)

    def close(self) -> None:
        """Ends all streams, and those that are still opened; clients reconnect elsewhere."""
        self._closed = True
        for stream in list(self._streams):
            stream.end("shutdown")

    async def run(self) -> None:
        """Heartbeats and stalls, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_TICK_S, self._heartbeat_s / 4, self._stalled_s / 4))
            self.tick(loop.time())

    def tick(self, now: float) -> None:
        """Looks at every stream once."""
        for stream in list(self._streams):
            since = stream.writing_since
            if since is not None:
                if now - since >= self._stalled_s:
                    stream.end("stalled")
            elif now - stream.last_write >= self._heartbeat_s:
                stream.beat()


class SseResponse(Generic[T]):
    """An ASGI response that streams what a source gives, until one of them ends.

    `first` are the frames of what the client missed. `encode` makes a frame of an event,
    None for what is not told to it; share a `Frames` among readers. `on_beat` is asked at
    every heartbeat whether the client may still read, and gives the frames that go with it;
    None: access has ended. `last` gives the frames that say why the stream ends.
    """

    def __init__(
        self,
        streams: SseStreams,
        source: Source[T],
        encode: Callable[[T], bytes | None],
        *,
        user: str,
        first: AsyncIterable[bytes] | None = None,
        on_beat: Callable[[], Awaitable[Iterable[bytes] | None]] | None = None,
        last: Callable[[StreamEnd], Iterable[bytes]] | None = None,
    ) -> None:
        self._streams = streams
        self._source = source
        self._encode = encode
        self._user = user
        self._first = first
        self._on_beat = on_beat
        self._last = last

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serves the stream."""
        abort = scope.get("extensions", {}).get("interlock", {}).get("abort", _nothing)
        stream = SseStream(send, wake=self._source.wake, abort=abort)
        self._streams.enter(stream, self._user)
        watching = asyncio.ensure_future(_watch(receive, stream))
        try:
            await self._serve(stream)
        finally:
            self._streams.leave(stream)
            self._source.close()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _serve(self, stream: SseStream) -> None:
        await stream.open()
        if self._first is not None:
            async for made in self._first:
                if stream.ended is not None:
                    break
                await stream.write(made)
        while stream.ended is None and self._source.ended is None:
            events = await self._source.batch()
            if stream.beat_due:
                stream.beat_due = False
                await self._beat(stream)
            for event in events:
                if stream.ended is not None:
                    break
                made_frame = self._encode(event)
                if made_frame is not None:
                    await stream.write(made_frame)
        if self._last is not None and stream.ended not in ("gone", "stalled"):
            for made in self._last(stream.ended or "finished"):
                await stream.write(made)
        await stream.finish()

    async def _beat(self, stream: SseStream) -> None:
        more: Iterable[bytes] | None = ()
        if self._on_beat is not None:
            more = await self._on_beat()
        if more is None:
            stream.end("denied")
            return
        await stream.write(PING)
        for made in more:
            await stream.write(made)


async def _watch(receive: Receive, stream: SseStream) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.end("gone")


def _nothing() -> None:
    """The server cannot break a connection: `sweep` will."""
