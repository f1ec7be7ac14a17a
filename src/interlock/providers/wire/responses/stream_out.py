"""Neutral events as a Responses stream.

Every event carries a sequence number; the last one carries the whole response, so
this encoder, unlike the others, remembers what it said (bounded).
"""

import msgspec
from msgspec import Struct

from interlock.providers.wire.codec import View
from interlock.providers.wire.errors import StreamOverflowError
from interlock.providers.wire.model import (
    Failure,
    Fault,
    PartStart,
    Refusal,
    SignatureDelta,
    Start,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from interlock.providers.wire.reading import Tree
from interlock.providers.wire.responses.answers import (
    Ids,
    call_item,
    envelope,
    message_item,
    reasoning_item,
    settle,
)
from interlock.providers.wire.responses.content import encode_output_part
from interlock.providers.wire.sse import frame
from interlock.providers.wire.thinking import pack

__all__ = ["ResponsesStreamEncoder"]

_json = msgspec.json.encode


class _Item(Struct):
    """An output item that is open."""

    position: int
    id: str
    part: Text | Refusal | Thinking
    texts: list[str]
    prefix: bytes
    """Bytes of a delta between sequence number and text."""
    name: bytes
    """Event type of its deltas; empty: it has none."""


class ResponsesStreamEncoder:
    """See `StreamEncoder`."""

    def __init__(self, view: View, *, max_bytes: int) -> None:
        self._view = view
        self._max = max_bytes
        self._kept = 0
        self._sequence = 0
        self._response: Tree = {}
        self._ids = Ids("", view)
        self._items: dict[int, _Item] = {}
        self._output: dict[int, Tree] = {}
        """Finished items by position."""
        self._count = 0
        """Items opened so far, over all rounds."""

    def _event(self, name: str, /, **members: object) -> bytes:
        tree = {"type": name, "sequence_number": self._sequence, **members}
        self._sequence += 1
        return frame(_json(tree), name.encode())

    def start(self, event: Start) -> bytes:
        """See `StreamEncoder`."""
        if self._response:
            return b""
        self._ids = Ids(event.id, self._view)
        self._response = envelope(self._ids, event.model, event.created, self._view)
        return self._event("response.created", response=self._response) + self._event(
            "response.in_progress", response=self._response
        )

    def _ensure(self) -> bytes:
        return b"" if self._response else self.start(Start(id="", model="", created=0))

    def open(self, event: PartStart) -> bytes:
        """See `StreamEncoder`."""
        part = event.part
        if not isinstance(part, Text | Refusal | Thinking):
            return b""
        position = self._count
        self._count += 1
        if isinstance(part, Thinking):
            return self._open_thinking(event.index, part, position)
        item = _Item(
            position=position,
            id=self._ids.item("msg", position),
            part=part,
            texts=[],
            prefix=b"",
            name=b"",
        )
        if isinstance(part, Text):
            self._deltas(item, "response.output_text.delta", "content_index")
        self._items[event.index] = item
        opened = message_item(item.id, part, status="in_progress")
        opened["content"] = []
        return self._added(item, opened) + self._event(
            "response.content_part.added",
            item_id=item.id,
            output_index=position,
            content_index=0,
            part=encode_output_part(type(part)(text="")),
        )

    def _open_thinking(self, index: int, part: Thinking, position: int) -> bytes:
        empty = Thinking(id=part.id, origin=part.origin)
        opened = reasoning_item(self._ids.item("rs", position), empty)
        item = _Item(position=position, id=opened["id"], part=part, texts=[], prefix=b"", name=b"")
        self._deltas(item, "response.reasoning_summary_text.delta", "summary_index")
        self._items[index] = item
        return self._added(item, opened)

    def _deltas(self, item: _Item, name: str, index: str) -> None:
        item.name = name.encode()
        where = _json({"item_id": item.id, "output_index": item.position, index: 0})
        item.prefix = b"," + where[1:-1] + b',"delta":'

    def _added(self, item: _Item, tree: Tree) -> bytes:
        return self._event("response.output_item.added", output_index=item.position, item=tree)

    def delta(self, index: int, text: str) -> bytes:
        """See `StreamEncoder`. Refusals are told whole: no event for their deltas is known."""
        item = self._items[index]
        self._kept += len(text)
        if self._kept > self._max:
            raise StreamOverflowError(f"the answer is longer than {self._max} characters")
        out = b""
        if not item.texts and isinstance(item.part, Thinking):
            out = self._summary(item, "response.reasoning_summary_part.added", "")
        item.texts.append(text)
        if not item.name:
            return out
        number = self._sequence
        self._sequence += 1
        tail = b',"logprobs":[]}\n\n' if isinstance(item.part, Text) else b"}\n\n"
        return out + (
            b'event: %s\ndata: {"type":"%s","sequence_number":%d' % (item.name, item.name, number)
            + item.prefix
            + _json(text)
            + tail
        )

    def _summary(self, item: _Item, name: str, text: str) -> bytes:
        return self._event(
            name,
            item_id=item.id,
            output_index=item.position,
            summary_index=0,
            part={"type": "summary_text", "text": text},
        )

    def signature(self, event: SignatureDelta) -> bytes:
        """See `StreamEncoder`."""
        item = self._items.get(event.index)
        if item is not None and isinstance(item.part, Thinking):
            item.part = event.proof
        return b""

    def end(self, index: int) -> bytes:
        """See `StreamEncoder`."""
        item = self._items.pop(index, None)
        if item is None:
            return b""
        text = "".join(item.texts)
        at: Tree = {"item_id": item.id, "output_index": item.position}
        if isinstance(item.part, Thinking):
            out = b""
            if item.texts:
                name = "response.reasoning_summary_text.done"
                out = self._event(name, **at, summary_index=0, text=text)
                out += self._summary(item, "response.reasoning_summary_part.done", text)
            return out + self._done(item, self._whole(item, text))
        out = b""
        if isinstance(item.part, Text):
            name = "response.output_text.done"
            out = self._event(name, **at, content_index=0, text=text, logprobs=[])
        whole = self._whole(item, text)
        part = whole["content"][0]
        out += self._event("response.content_part.done", **at, content_index=0, part=part)
        return out + self._done(item, whole)

    def _whole(self, item: _Item, text: str, status: str = "completed") -> Tree:
        part = item.part
        if isinstance(part, Thinking):
            said = msgspec.structs.replace(part, text=text)
            tree = {**reasoning_item(item.id, said), "id": item.id}
            if part.id is not None and part.id != item.id and "encrypted_content" in tree:
                tree["encrypted_content"] = pack(said)  # the proof belongs to that id
            return tree
        return message_item(item.id, type(part)(text=text), status=status)

    def _done(self, item: _Item, tree: Tree) -> bytes:
        self._output[item.position] = tree
        return self._event("response.output_item.done", output_index=item.position, item=tree)

    def call(self, call: ToolCall, call_id: str) -> bytes:
        """See `StreamEncoder`."""
        out = self._ensure()
        position = self._count
        self._count += 1
        self._kept += len(call.arguments)
        tree = call_item(call.item_id or self._ids.item("fc", position), call, call_id)
        at: Tree = {"item_id": tree["id"], "output_index": position}
        arguments = tree["arguments"]
        opened = {**tree, "status": "in_progress", "arguments": ""}
        out += self._event("response.output_item.added", output_index=position, item=opened)
        out += self._event("response.function_call_arguments.delta", **at, delta=arguments)
        out += self._event(
            "response.function_call_arguments.done", **at, name=call.name, arguments=arguments
        )
        self._output[position] = tree
        return out + self._event("response.output_item.done", output_index=position, item=tree)

    def next_round(self) -> None:
        """See `StreamEncoder`."""

    def say(self, text: str) -> bytes:
        """See `StreamEncoder`."""
        out = self._ensure() + self.open(PartStart(index=-1, part=Text(text="")))
        return out + self.delta(-1, text) + self.end(-1)

    def finish(
        self,
        stop: StopReason,
        stop_sequence: str | None,
        usage: Usage | None,
        failure: Failure | None = None,
    ) -> bytes:
        """See `StreamEncoder`; `failure` says why with stop `error`."""
        del stop_sequence  # the format has no member for it
        out = self._ensure()
        for index in list(self._items):
            out += self.end(index)
        self._settle(stop, usage, failure)
        return out + self._event(f"response.{self._response['status']}", response=self._response)

    def fail(self, fault: Fault) -> bytes:
        """`response.failed`, with what had been said until then."""
        out = self._ensure()
        for item in self._items.values():
            self._output[item.position] = self._whole(item, "".join(item.texts), "incomplete")
        self._items.clear()
        code = "rate_limit_exceeded" if fault.status == 429 else "server_error"
        self._settle(StopReason.ERROR, None, Failure(code=code, message=fault.message))
        return out + self._event("response.failed", response=self._response)

    def _settle(self, stop: StopReason, usage: Usage | None, failure: Failure | None) -> None:
        """The response as it ends; items stand in the order they began in."""
        self._response["output"] = [self._output[i] for i in sorted(self._output)]
        settle(self._response, stop, usage, failure)

    def result(self) -> Tree | None:
        """The response as the client has it."""
        return self._response or None
