"""An OpenAI-compatible model that says one word whenever the test lets it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

__all__ = ["Saying", "SlowModel", "slow_model"]


@dataclass(slots=True)
class Saying:
    """One answer that is being said."""

    question: str
    """The last message of the request."""
    writer: asyncio.StreamWriter
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client has gone."""

    async def say(self, text: str) -> None:
        """Sends a piece."""
        await self._send({"content": text}, None)

    async def end(self) -> None:
        """Ends the answer."""
        await self._send({}, "stop")
        self.writer.write(b"data: [DONE]\n\n")
        with suppress(ConnectionError):
            await self.writer.drain()
        self.writer.close()

    async def _send(self, delta: dict[str, str], reason: str | None) -> None:
        chunk = {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "slow",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }
        self.writer.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        with suppress(ConnectionError):
            await self.writer.drain()


@dataclass(slots=True)
class SlowModel:
    """The model and what it is asked."""

    url: str = ""
    asked: "asyncio.Queue[Saying]" = field(default_factory=asyncio.Queue)

    async def next(self) -> Saying:
        """The next question that comes."""
        async with asyncio.timeout(40):
            return await self.asked.get()


@asynccontextmanager
async def slow_model() -> AsyncIterator[SlowModel]:
    """Serves on loopback."""
    model = SlowModel()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.split("content-length:")[1].split("\r\n")[0])
        body = json.loads(await reader.readexactly(size))
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        )
        said = Saying(str(body["messages"][-1]["content"]), writer)
        model.asked.put_nowait(said)
        try:
            with suppress(ConnectionError):
                await reader.read()
        finally:
            said.left.set()
            writer.close()
            serving.discard(asyncio.current_task())
        with suppress(ConnectionError):
            await writer.wait_closed()

    serving: set[asyncio.Task[None] | None] = set()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield model
    finally:
        server.close()
        for one in list(serving):
            if one is not None:
                one.cancel()
        await asyncio.gather(*(one for one in serving if one is not None), return_exceptions=True)
