"""Server-sent events: one frame is one piece of the body, because the CLI reads piece by piece.

Source: conversations.md, 11.1, 11.5.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from interlock.conversations.streaming.frames import Frame
from interlock.conversations.streaming.reader import Heartbeat, Reader

__all__ = ["EventStream", "encode", "turn_frames"]

_OPENING = b"retry: 3000\n: welcome\n\n"
_PING = b": ping\n\n"
_BEAT = b'event: heartbeat\ndata: {"type":"heartbeat","payload":{}}\n\n'
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    "Connection": "keep-alive",
}


def encode(frame: Frame) -> bytes:
    """A frame with exactly one `event:` and one `data:` line, and an `id:` when it has one."""
    data = msgspec.json.encode({"type": frame.type, "payload": frame.payload})
    ident = b"" if frame.id is None else b"id: %b\n" % frame.id.encode()
    return b"%bevent: %b\ndata: %b\n\n" % (ident, frame.type.encode(), data)


class EventStream(Response):
    """Sends frames until they end, the reader goes, or its socket takes nothing."""

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncIterator[Frame | Heartbeat],
        *,
        extended: bool,
        stalled_s: float,
        stop: Callable[[], None],
    ) -> None:
        super().__init__(None, headers=_HEADERS)
        del self.headers["content-length"]
        self._frames = frames
        self._extended = extended
        self._stalled_s = stalled_s
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves the stream."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(self._until_gone(receive))
            try:
                await self._write(send)
            finally:
                gone.cancel()
                self._stop()
                if isinstance(self._frames, AsyncGenerator):
                    await self._frames.aclose()

    async def _write(self, send: Send) -> None:
        async def piece(body: bytes) -> None:
            async with asyncio.timeout(self._stalled_s):
                await send({"type": "http.response.body", "body": body, "more_body": True})

        try:
            await piece(_OPENING)
            async for item in self._frames:
                if isinstance(item, Frame):
                    await piece(encode(item))
                else:
                    await piece(_PING)
                    if self._extended:
                        await piece(_BEAT)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, OSError):
            return  # the reader resumes with the id of the last frame it got

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._stop()


async def turn_frames(
    reader: Reader, message_ids: tuple[str, ...], still_valid: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[Frame | Heartbeat, None]:
    """Only the frames of some replies, until the last of them has ended."""
    left = set(message_ids)
    failing: set[str] = set()
    if not left:
        return
    async for item in reader.frames(still_valid):
        if not isinstance(item, Frame):
            yield item
            continue
        message_id = str(item.payload.get("message_id", ""))
        if message_id not in message_ids or item.type not in _TURN:
            continue
        yield item
        if item.type == "message.done":
            left.discard(message_id)
            if item.payload["finish_reason"] in ("error", "timeout"):
                failing.add(message_id)
        elif item.type == "error":
            failing.discard(message_id)
        if not left and not failing:
            return


_TURN = frozenset({"message.delta", "message.done", "error"})
