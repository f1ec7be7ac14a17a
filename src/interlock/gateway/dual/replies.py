"""Answers of dual-llm execution in the client's wire format, whole or streamed.

Nothing of an answer exists until the program ends or suspends. A stream is opened at
once all the same, so that the client knows its session and hears keep-alives; thoughts
of the planner may come while it works, the content comes at the end.

Source: gateway.md sections 7.1, 8, 10.7.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from interlock.gateway.context import CallContext, Sink
from interlock.providers.wire.codec import StreamEncoder, View
from interlock.providers.wire.model import (
    Failure,
    Part,
    PartStart,
    Response,
    Start,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from interlock.providers.wire.registry import FORMATS

__all__ = ["Reply"]

_PIECE_CHARS = 64
_MAX_BYTES = 64 << 20
_THOUGHTS = 0
"""Index of the part that holds the planner's thoughts; the content has the next one."""


class Reply:
    """One answer: `begin`, any number of `think`, then `calls` or `say`.

    Streams what the client asked to be streamed. `body` is afterwards the whole answer
    as an object for formats that keep answers (Responses), None for the others.
    """

    def __init__(
        self,
        ctx: CallContext,
        sink: Sink,
        *,
        session_id: str,
        answer_id: str,
        model: str,
        created: int,
    ) -> None:
        """`answer_id` is the id the client sees, `model` the pair it is told (section 3)."""
        head = ctx.head
        self._sink = sink
        self._session_id = session_id
        self._start = Start(id=answer_id, model=model, created=created)
        self._codec = FORMATS[head.format]
        tree: dict[str, Any] = msgspec.json.decode(head.body) if head.tree is None else head.tree
        self._view = View(
            tree=tree,
            native=ctx.native_client,
            hide_usage=head.stream and not head.wants_usage,
            session_id=session_id,
        )
        self._encoder: StreamEncoder | None = None
        if head.stream:
            self._encoder = self._codec.stream_encoder(self._view, max_bytes=_MAX_BYTES)
        self._thinking = False
        self._keeps = head.format == "responses"
        self.body: dict[str, Any] | None = None

    @property
    def begun(self) -> bool:
        """Whether the client has got anything."""
        return self._sink.opened

    def begin(self) -> None:
        """Opens a stream and sends its first event; nothing for a whole answer."""
        if self._encoder is not None and not self._sink.opened:
            self._sink.open(self._session_id)
            self._sink.write(self._encoder.start(self._start))

    async def think(self, text: str) -> None:
        """Thoughts of the planner, for a client that wants them streamed."""
        if self._encoder is None or not text:
            return
        out = b""
        if not self._thinking:
            self._thinking = True
            out = self._encoder.open(PartStart(index=_THOUGHTS, part=Thinking()))
        else:
            text = f"\n{text}"
        await self._send(out + self._encoder.delta(_THOUGHTS, text))

    async def calls(self, calls: Sequence[ToolCall], usage: Usage) -> None:
        """The program asks for tools: the client runs them and comes back."""
        if self._encoder is None:
            self._whole(list(calls), StopReason.TOOL_CALLS, usage, None)
            return
        await self._end_thoughts()
        for call in calls:
            await self._send(self._encoder.call(call, call.id))
        self._finish(StopReason.TOOL_CALLS, usage, None)

    async def say(self, text: str, usage: Usage, failure: Failure | None = None) -> None:
        """The final answer; with `failure` it did not work, and `text` says so too."""
        stop = StopReason.END if failure is None else StopReason.ERROR
        if self._encoder is None:
            self._whole([Text(text=text)], stop, usage, failure)
            return
        await self._end_thoughts()
        index = _THOUGHTS + 1
        await self._send(self._encoder.open(PartStart(index=index, part=Text(text=""))))
        for at in range(0, len(text), _PIECE_CHARS):
            await self._send(self._encoder.delta(index, text[at : at + _PIECE_CHARS]))
        await self._send(self._encoder.end(index))
        self._finish(stop, usage, failure)

    async def _end_thoughts(self) -> None:
        if self._encoder is not None and self._thinking:
            self._thinking = False
            await self._send(self._encoder.end(_THOUGHTS))

    async def _send(self, data: bytes) -> None:
        if not data:
            return
        self._sink.write(data)
        if self._sink.must_drain:
            await self._sink.drain()

    def _finish(self, stop: StopReason, usage: Usage, failure: Failure | None) -> None:
        assert self._encoder is not None  # noqa: S101 - only streams end here
        self._sink.write(self._encoder.finish(stop, None, usage, failure))
        self.body = self._encoder.result()
        self._sink.end()

    def _whole(
        self, parts: list[Part], stop: StopReason, usage: Usage, failure: Failure | None
    ) -> None:
        start = self._start
        response = Response(
            id=start.id,
            model=start.model,
            created=start.created,
            parts=parts,
            stop=stop,
            usage=usage,
            failure=failure,
        )
        tree = self._codec.encode_response(response, self._view)
        self.body = tree if self._keeps else None
        self._sink.answer(self._session_id, msgspec.json.encode(tree))
