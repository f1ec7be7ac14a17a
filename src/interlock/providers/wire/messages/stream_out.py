"""Neutral events as a Messages stream.

Only the six event types every client knows; `error` is for native clients alone.
"""

import msgspec

from interlock.providers.wire.codec import View
from interlock.providers.wire.messages.answers import REASON, encode_usage, envelope
from interlock.providers.wire.messages.blocks import encode_thinking
from interlock.providers.wire.model import (
    Failure,
    Fault,
    PartStart,
    SignatureDelta,
    Start,
    StopReason,
    Thinking,
    ToolCall,
    Usage,
)
from interlock.providers.wire.reading import Tree
from interlock.providers.wire.sse import frame

__all__ = ["MessagesStreamEncoder", "error_type"]

_json = msgspec.json.encode
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}


def _event(name: str, /, **members: object) -> bytes:
    return frame(_json({"type": name, **members}), name.encode())


def error_type(fault: Fault) -> str:
    """What Messages calls such a failure."""
    if fault.code == "upstream_timeout" or fault.status == 504:
        return "timeout_error"
    if fault.status == 429:
        return "rate_limit_error"
    if fault.status in {503, 529}:
        return "overloaded_error"
    return "api_error"


class MessagesStreamEncoder:
    """See `StreamEncoder`. Blocks are numbered as they are written, over all rounds."""

    def __init__(self, view: View, *, max_bytes: int) -> None:
        del max_bytes  # nothing of the answer is remembered
        self._view = view
        self._started = False
        self._blocks = 0
        self._current: int | None = None
        """Part whose block is open."""
        self._prefix = b""
        """Bytes of a delta of the open block up to its text."""
        self._text_open = False
        self._parts: dict[int, PartStart] = {}
        self._proofs: dict[int, Thinking] = {}

    def start(self, event: Start) -> bytes:
        """See `StreamEncoder`."""
        if self._started:
            return b""
        self._started = True
        message = envelope(event.id, event.model, self._view)
        if event.usage is not None:
            message["usage"] = encode_usage(event.usage)
        return _event("message_start", message=message)

    def _ensure(self) -> bytes:
        return b"" if self._started else self.start(Start(id="", model="", created=0))

    def open(self, event: PartStart) -> bytes:
        """See `StreamEncoder`."""
        self._parts[event.index] = event
        return self._begin(event.index)

    def _begin(self, index: int) -> bytes:
        """Opens a block for part `index`, closing the one that is open."""
        out = self._shut()
        part = self._parts[index].part
        if isinstance(part, Thinking):
            block = encode_thinking(part)
            if not self._view.native and block["type"] == "thinking":
                block["text"] = ""
            delta, key = "thinking_delta", "thinking"
            self._proofs[index] = part
        else:
            block = {"type": "text", "text": ""}
            delta, key = "text_delta", "text"
        self._current = index
        return out + self._block_start(block, delta, key)

    def _block_start(self, block: Tree, delta: str, key: str) -> bytes:
        self._text_open = key == "text"
        self._prefix = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"%s","%s":' % (self._blocks, delta.encode(), key.encode())
        )
        return _event("content_block_start", index=self._blocks, content_block=block)

    def _shut(self) -> bytes:
        """Closes the open block."""
        if self._current is None:
            return b""
        self._current = None
        out = _event("content_block_stop", index=self._blocks)
        self._blocks += 1
        return out

    def delta(self, index: int, text: str) -> bytes:
        """See `StreamEncoder`."""
        out = self._prefix + _json(text) + b"}}\n\n"
        if index == self._current:
            return out
        opened = self._begin(index)
        return opened + self._prefix + _json(text) + b"}}\n\n"

    def signature(self, event: SignatureDelta) -> bytes:
        """See `StreamEncoder`."""
        self._proofs[event.index] = event.proof
        return b""

    def end(self, index: int) -> bytes:
        """See `StreamEncoder`. The proof of a thought comes just before its block closes."""
        self._parts.pop(index, None)
        part = self._proofs.pop(index, None)
        if index != self._current:
            return b""
        out = b""
        if part is not None:
            signature = encode_thinking(part).get("signature")
            if signature:
                delta = {"type": "signature_delta", "signature": signature}
                out = _event("content_block_delta", index=self._blocks, delta=delta)
        return out + self._shut()

    def call(self, call: ToolCall, call_id: str) -> bytes:
        """See `StreamEncoder`."""
        out = self._ensure() + self._shut()
        block = {"type": "tool_use", "id": call_id, "name": call.qualified, "input": {}}
        out += self._block_start(block, "input_json_delta", "partial_json")
        out += self._prefix + _json(call.arguments or "{}") + b"}}\n\n"
        self._current = -1
        return out + self._shut()

    def next_round(self) -> None:
        """See `StreamEncoder`."""
        self._parts.clear()

    def say(self, text: str) -> bytes:
        """See `StreamEncoder`."""
        out = self._ensure() + self._shut()
        out += self._block_start({"type": "text", "text": ""}, "text_delta", "text")
        out += self._prefix + _json(text) + b"}}\n\n"
        self._current = -1
        return out + self._shut()

    def finish(
        self,
        stop: StopReason,
        stop_sequence: str | None,
        usage: Usage | None,
        failure: Failure | None = None,
    ) -> bytes:
        """See `StreamEncoder`."""
        del failure  # events have no member for it
        delta = {"stop_reason": REASON[stop], "stop_sequence": stop_sequence}
        return (
            self._ensure()
            + self._shut()
            + _event("message_delta", delta=delta, usage=encode_usage(usage or Usage()))
            + _event("message_stop")
        )

    def fail(self, fault: Fault) -> bytes:
        """An `error` event; the typed client, which knows none, is told in text (8.5)."""
        if self._view.native:
            error = {"type": error_type(fault), "message": fault.message}
            return _event("error", error=error)
        out = self._ensure()
        said = f"The answer ended early: {fault.message}"
        if self._current is not None and self._text_open:
            out += self._prefix + _json(f"\n\n{said}") + b"}}\n\n"
        else:
            out += self.say(said)
        return out + self.finish(StopReason.ERROR, None, None)

    def result(self) -> None:
        """Nothing: events are all there is."""
