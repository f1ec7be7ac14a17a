"""Server-sent events of conversations. Source: conversations.md, 10.1, 11.1."""

from collections.abc import AsyncIterator, Iterable
from typing import cast

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from interlock.conversations.streaming.frames import Frame
from interlock.conversations.streaming.reader import Reader, StillValid
from interlock.events.model import Event
from interlock.web.sse import Frames, Source, SseResponse, SseStreams, StreamEnd, frame

__all__ = ["EventStream", "Turn", "encode"]

_BEAT = b'event: heartbeat\ndata: {"type":"heartbeat","payload":{}}\n\n'
_TURN = frozenset({"message.delta", "message.done", "error"})


def encode(told: Event | Frame) -> bytes:
    """A frame in one piece."""
    data = msgspec.json.encode({"type": told.type, "payload": told.payload})
    return frame(told.type, data, event_id=told.id)


_SHARED: Frames[Event | Frame] = Frames(encode)
"""Events of a conversation are encoded once for all its readers."""


class Turn:
    """The part of a stream that is about some replies, until the last of them has ended."""

    def __init__(self, reader: Reader, message_ids: Iterable[str]) -> None:
        self._reader = reader
        self._about = frozenset(message_ids)
        self._left = set(self._about)
        self._failing: set[str] = set()

    @property
    def ended(self) -> str | None:
        """Why nothing more will come; None: something may."""
        return self._reader.ended if self._left or self._failing else "finished"

    async def opening(self) -> AsyncIterator[Frame]:
        """What was said before one listened."""
        async for told in self._reader.opening():
            if self._takes(told):
                yield told

    async def batch(self) -> list[Event | Frame]:
        """What was said since."""
        return [told for told in await self._reader.batch() if self._takes(told)]

    def wake(self) -> None:
        """Lets `batch` return."""
        self._reader.wake()

    def close(self) -> None:
        """Listens no more; the replies go on."""
        self._reader.close()

    async def wait(self) -> None:
        """Returns when the last reply has ended."""
        try:
            async for _ in self.opening():
                pass
            while self.ended is None:
                await self.batch()
        finally:
            self.close()

    def _takes(self, told: Event | Frame) -> bool:
        message_id = str(told.payload.get("message_id", ""))
        if message_id not in self._about or told.type not in _TURN:
            return False
        if message_id not in self._left and message_id not in self._failing:
            return False
        if told.type == "message.done":
            self._left.discard(message_id)
            if told.payload["finish_reason"] in ("error", "timeout"):
                self._failing.add(message_id)
        elif told.type == "error":
            self._failing.discard(message_id)
        return True


class EventStream(Response):
    """Streams a reader, or the part of it that is one turn."""

    media_type = "text/event-stream"

    def __init__(
        self,
        streams: SseStreams,
        reader: Reader,
        still_valid: StillValid,
        *,
        turn: Turn | None = None,
    ) -> None:
        super().__init__(None)
        self._reader = reader
        self._still_valid = still_valid
        source = turn or reader
        self._stream: SseResponse[Event | Frame] = SseResponse(
            streams,
            # It only reads `ended`, which the protocol takes for an attribute to be set.
            cast("Source[Event | Frame]", source),
            _SHARED,
            user=reader.user_id,
            first=_encoded(source.opening()),
            on_beat=self._beat,
            last=self._last,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the stream."""
        await self._stream(scope, receive, send)

    async def _beat(self) -> Iterable[bytes] | None:
        if not await self._reader.check(self._still_valid):
            return None
        return (_BEAT,) if self._reader.extended else ()

    def _last(self, why: StreamEnd) -> Iterable[bytes]:
        del why
        told = self._reader.why
        if told is None or not self._reader.extended:
            return ()
        code, text = told
        return (encode(Frame(type="error", payload={"code": code, "message": text})),)


async def _encoded(frames: AsyncIterator[Frame]) -> AsyncIterator[bytes]:
    async for told in frames:
        yield encode(told)
