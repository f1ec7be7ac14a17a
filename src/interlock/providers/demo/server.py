"""The demo model on a port, as a small ASGI application."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from interlock.providers.demo.upstream import DemoReply, DemoUpstream

__all__ = ["Application", "serve"]

_Receive = Callable[[], Awaitable[Mapping[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]


class Application:
    """ASGI around one `DemoUpstream`."""

    def __init__(self, upstream: DemoUpstream) -> None:
        self._upstream = upstream

    async def __call__(self, scope: Mapping[str, Any], receive: _Receive, send: _Send) -> None:
        """Serves one HTTP request; a fault that cuts the connection leaves as an exception."""
        if scope["type"] != "http":
            return
        body = await _body(receive)
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        answer = await self._upstream.handle(scope["method"], scope["path"], headers, body)
        sending = asyncio.ensure_future(_answer(answer, send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            # A stalled answer must not outlive the client that gave up on it.
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not sending.done():
                sending.cancel()
        if sending.done() and not sending.cancelled():
            sending.result()


async def _body(receive: _Receive) -> bytes:
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(pieces)
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def _gone(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(answer: DemoReply, send: _Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for piece in answer.body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def serve(*, host: str, port: int, faults: bool = True) -> None:
    """Serves until interrupted; any API key is accepted, none is refused."""
    # The server is only needed by this command, not by whoever embeds the model.
    import uvicorn  # noqa: PLC0415

    app = Application(DemoUpstream(faults=faults, key_required=True))
    uvicorn.run(app, host=host, port=port, log_level="critical", lifespan="off")
