"""A streamed Messages answer.

Text and thinking leave at once; a `tool_use` block is held until it stops. Blocks that
follow a dropped one, and blocks of later rounds, are numbered on. To the typed client
(8.5) only the six events and five blocks it can read are sent.
"""

from typing import Any

from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.exchange import Ended, Head
from interlock.providers.wire.model import Fault, StopReason, Usage
from interlock.providers.wire.relay.answer_messages import tool_call
from interlock.providers.wire.relay.answers import mapping
from interlock.providers.wire.relay.calls import CallIds, is_tool_use
from interlock.providers.wire.relay.events import Event, frame, upstream_fault
from interlock.providers.wire.relay.exact import (
    JSON_ERRORS,
    dumps,
    escape,
    loads,
    text_of,
    unescape,
)
from interlock.providers.wire.relay.ordered import HeldCall, OrderedRelay
from interlock.providers.wire.relay.usage import (
    MESSAGES_STOPS,
    messages_stop,
    messages_usage,
    write_messages,
)

__all__ = ["MessagesRelay"]

Tree = dict[str, Any]

_TYPED_BLOCKS = frozenset({"text", "thinking", "redacted_thinking", "tool_use", "server_tool_use"})
_TYPED_DELTAS = frozenset(
    {"text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta"}
)
_DELTA_TEXT = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}


class _Block:
    """A block of the round, remembered to ask again."""

    __slots__ = ("citations", "start", "texts")

    def __init__(self, start: Tree) -> None:
        self.start = start
        self.texts: dict[str, list[bytes]] = {}
        self.citations: list[Any] = []

    def whole(self) -> Tree:
        tree = dict(self.start)
        for name, pieces in self.texts.items():
            text = unescape(pieces)
            if name == "partial_json":
                tree["input"] = _parsed(text) if text.strip() else tree.get("input") or {}
            else:
                old = tree.get(name)
                tree[name] = (old if isinstance(old, str) else "") + text
        if self.citations:
            tree["citations"] = [*(tree.get("citations") or []), *self.citations]
        return tree


def _parsed(text: str) -> object:
    try:
        return loads(text.encode())
    except JSON_ERRORS:
        return {}


class MessagesRelay(OrderedRelay):
    """See `StreamRelay`."""

    def __init__(
        self, head: Head, *, native_client: bool, session_id: str, max_held_bytes: int
    ) -> None:
        super().__init__(max_held_bytes=max_held_bytes)
        self._native = native_client
        self._may_call = bool(head.tools)
        self._model = head.model
        self._session = session_id
        self._opened = False
        self._closed = False
        self._round = 1
        self._next = 0
        """Index of the client's next block."""
        self._client_block: tuple[int, str] | None = None
        """Index and type of the block that is open at the client."""
        self._error_type = "api_error"
        self._previous: list[Tree] | None = None
        self._begin_round()

    def _begin_round(self) -> None:
        self._map: dict[int, int] = {}
        self._open: dict[int, HeldCall | _Block | None] = {}
        """Blocks the upstream has open; None: one the client does not get."""
        self._blocks: list[_Block] = []
        self._ids = CallIds()
        self._tail: list[Event] = []
        self._counts: Tree = {}
        self._own_id = ""
        self._own_model = ""
        self._reason: str | None = None
        self._begun = False
        self._recording = self._may_call

    # Judging --------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        kind = event.tree.get("type")
        match kind:
            case "content_block_delta":
                self._delta(event)
            case "content_block_start":
                self._start(event)
            case "content_block_stop":
                self._stop(event)
            case "message_start":
                self._message_start(event)
            case "message_delta":
                self._message_delta(event)
            case "message_stop":
                self._message_stop(event)
            case "error":
                error = event.tree.get("error")
                if isinstance(error, dict):
                    self._error_type = text_of(error.get("type")) or self._error_type
                self._fail(upstream_fault(error))
            case _:
                if event.tree.get("error"):
                    self._fail(upstream_fault(event.tree["error"]))
                elif self._native and kind == "ping":
                    self._emit(event.raw)  # keeps the client waiting for a call awake
                elif self._native and self._round == 1:
                    self._put(event)

    def _message_start(self, event: Event) -> None:
        message = mapping(event.tree, "message")
        self._begun = True
        self._own_id = text_of(message.get("id"))
        self._own_model = text_of(message.get("model"))
        self._count(message)
        if self._opened:
            return
        self._opened = True
        if message.get("content"):
            message["content"] = []
            event.raw = frame(event.tree, "message_start")
        self._put(event)

    def _count(self, tree: Tree) -> None:
        counts = tree.get("usage")
        if isinstance(counts, dict):
            self._counts |= {name: n for name, n in counts.items() if n is not None}

    def _index(self, event: Event) -> int:
        index = event.tree.get("index")
        if not isinstance(index, int) or not self._begun:
            raise MalformedAnswerError("the upstream sent a block without its place")
        return index

    def _start(self, event: Event) -> None:
        index = self._index(event)
        block = mapping(event.tree, "content_block")
        if index in self._open:
            raise MalformedAnswerError("the upstream opened a block twice")
        kind = block.get("type")
        self._forget()
        self._map.pop(index, None)
        remembered = _Block(block)
        if self._recording:
            self._blocks.append(remembered)
        if is_tool_use(kind):
            call = HeldCall(index, block)
            call.told.append(event)
            self._keep(len(event.raw))
            self._open[index] = call
            self._put_call(call)
            return
        if not self._native and kind not in _TYPED_BLOCKS:
            self._open[index] = None
            return
        self._open[index] = remembered
        self._put(event)

    def _delta(self, event: Event) -> None:
        index = self._index(event)
        if index not in self._open:
            raise MalformedAnswerError("the upstream continued a block that is not open")
        target = self._open[index]
        if target is None:
            return
        delta = mapping(event.tree, "delta")
        kind = delta.get("type")
        name = _DELTA_TEXT.get(kind) if isinstance(kind, str) else None
        text = delta.get(name) if name else None
        if isinstance(target, HeldCall):
            if name != "partial_json" or not isinstance(text, str):
                raise MalformedAnswerError("the upstream sent a tool call that is not JSON")
            piece = escape(text)
            target.pieces.append(piece)
            target.events.append(event.raw)
            self._keep(len(event.raw) + len(piece))
            if text:
                self._learn(event, "partial_json", target)
            return
        if name and not isinstance(text, str):
            raise MalformedAnswerError("the upstream sent a delta without its text")
        if self._recording:
            self._remember(target, delta, name, text)
        if not self._native and kind not in _TYPED_DELTAS:
            return
        if self._put(event) and name and text:
            sink = target.texts.get(name) if self._recording else None
            self._learn(event, name, sink)

    def _remember(self, block: _Block, delta: Tree, name: str | None, text: object) -> None:
        if name and isinstance(text, str):
            piece = escape(text)
            block.texts.setdefault(name, []).append(piece)
            self._recorded += len(piece)
        elif delta.get("type") == "citations_delta":
            block.citations.append(delta.get("citation"))
            self._recorded += 100
        self._recording = self._recorded <= self._limit

    def _stop(self, event: Event) -> None:
        index = self._index(event)
        if index not in self._open:
            raise MalformedAnswerError("the upstream closed a block that is not open")
        target = self._open.pop(index)
        self._forget()
        if isinstance(target, HeldCall):
            target.told.append(event)
            self._whole(target)
        elif target is not None:
            self._put(event)

    def _whole(self, held: HeldCall) -> None:
        """A call is complete; its arguments are the deltas, or what the block opened with."""
        text = unescape(held.pieces)
        if not text.strip():
            text = dumps(held.start.get("input") or {}).decode()
        call_id = self._ids.claim(held.start.get("id"))
        for block in self._blocks:
            if block.start is held.start:
                block.start = {**held.start, "id": call_id}
                block.texts = {"partial_json": held.pieces}
        self._held_whole(held, tool_call(held.start, call_id, text))

    def _message_delta(self, event: Event) -> None:
        reason = mapping(event.tree, "delta").get("stop_reason")
        if isinstance(reason, str):
            self._reason = reason
        self._count(event.tree)
        self._tail.append(event)

    def _message_stop(self, event: Event) -> None:
        if not self._begun:
            raise MalformedAnswerError("the upstream ended a message it had not begun")
        for index, target in list(self._open.items()):
            if isinstance(target, HeldCall):
                del self._open[index]
                self._whole(target)
        self._tail.append(event)
        stop = MESSAGES_STOPS.get(self._reason or "", StopReason.END)
        if stop is StopReason.END and self._calls:
            stop = StopReason.TOOL_CALLS
        self._step(
            Ended(
                stop=stop,
                usage=messages_usage(self._counts),
                model=self._own_model,
                response_id=self._own_id,
            )
        )

    # Rendering ------------------------------------------------------------------------

    def _render(self, event: Event) -> bytes:
        tree = event.tree
        kind = tree.get("type")
        if kind not in ("content_block_start", "content_block_delta", "content_block_stop"):
            return event.raw
        index = tree["index"]
        changed = None
        if kind == "content_block_start":
            self._map[index] = self._next
            self._next += 1
            block = tree["content_block"]
            self._client_block = (self._map[index], str(block.get("type")))
            if not self._native and block.get("type") == "thinking" and "text" not in block:
                changed = {"content_block": {**block, "text": block.get("thinking") or ""}}
        elif kind == "content_block_stop":
            self._client_block = None
        elif not self._native and tree["delta"].get("type") == "thinking_delta":
            changed = {"delta": {**tree["delta"], "text": tree["delta"]["thinking"]}}
        if self._map.get(index, index) == index and changed is None:
            return event.raw
        return frame({**tree, "index": self._map.get(index, index), **(changed or {})}, str(kind))

    def _render_call(self, held: HeldCall) -> bytes:
        index = self._next
        self._next += 1
        self._map[held.key] = index
        block = {**held.start, "id": held.our_id}
        if any(held.pieces) or held.arguments is not None:
            block["input"] = {}
        start = {**held.told[0].tree, "index": index, "content_block": block}
        out = [frame(start, "content_block_start")]
        if held.arguments is not None:
            delta = {"type": "input_json_delta", "partial_json": held.arguments}
            tree = {"type": "content_block_delta", "index": index, "delta": delta}
            out.append(frame(tree, "content_block_delta"))
            held.events = []
        for raw in held.events:
            if index == held.key:
                out.append(raw)
            else:
                tree = loads(raw[raw.index(b"data:") + 5 :].strip())
                out.append(frame({**tree, "index": index}, "content_block_delta"))
        out.append(frame({"type": "content_block_stop", "index": index}, "content_block_stop"))
        held.events = []
        return b"".join(out)

    # Ends -----------------------------------------------------------------------------

    def output(self) -> list[Tree] | None:
        """The content of the last round that called, for the next request; None: not known."""
        if not self._calls:
            return self._previous
        if not self._recording:
            return None
        return [block.whole() for block in self._blocks]

    def next_round(self) -> None:
        """See `StreamRelay.next_round`."""
        self._previous = self.output()
        leaving = self._drained()
        self._restart()
        self._round += 1
        self._begin_round()
        self._emit(leaving)

    def close(
        self,
        *,
        extra_text: str | None = None,
        usage: Usage | None = None,
        stop: StopReason | None = None,
    ) -> bytes:
        """See `StreamRelay.close`."""
        if self._closed:
            return b""
        self._closed = True
        out = [*self._pieces, self._drained(), self._end_block()]
        self._pieces = []
        if extra_text:
            out.append(self._saying(extra_text))
        told = False
        for event in self._tail:
            if event.tree.get("type") == "message_delta":
                told = True
                out.append(self._settled(event, usage, stop))
        if not told:
            delta = {"stop_reason": messages_stop(stop or StopReason.END), "stop_sequence": None}
            counts = write_messages(self._counts, usage or Usage())
            tree = {"type": "message_delta", "delta": delta, "usage": counts}
            out.append(frame(tree, "message_delta"))
        ends = [event.raw for event in self._tail if event.tree.get("type") == "message_stop"]
        out += ends[:1] or [frame({"type": "message_stop"}, "message_stop")]
        return b"".join(out)

    def _end_block(self) -> bytes:
        """Closes the block the client has open, if any."""
        if self._client_block is None:
            return b""
        index, _ = self._client_block
        self._client_block = None
        return frame({"type": "content_block_stop", "index": index}, "content_block_stop")

    def _saying(self, text: str) -> bytes:
        index = self._next
        self._next += 1
        block = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": text}
        at = {"index": index}
        return (
            frame(
                {"type": "content_block_start", **at, "content_block": block}, "content_block_start"
            )
            + frame({"type": "content_block_delta", **at, "delta": delta}, "content_block_delta")
            + frame({"type": "content_block_stop", **at}, "content_block_stop")
        )

    def _settled(self, event: Event, usage: Usage | None, stop: StopReason | None) -> bytes:
        tree = event.tree
        reason = mapping(tree, "delta").get("stop_reason")
        meant = MESSAGES_STOPS.get(reason) if isinstance(reason, str) else None
        if stop is None and meant is StopReason.TOOL_CALLS and not self._released:
            stop = StopReason.END
        changed: Tree = {}
        if meant is not None and stop is not None and stop is not meant and not self._released:
            delta = {**tree["delta"], "stop_reason": messages_stop(stop)}
            if "stop_sequence" in delta and stop is not StopReason.STOP_SEQUENCE:
                delta["stop_sequence"] = None
            changed["delta"] = delta
        if usage is not None and usage != messages_usage(self._counts):
            changed["usage"] = write_messages(tree.get("usage"), usage)
        return frame({**tree, **changed}, "message_delta") if changed else event.raw

    def fail(self, fault: Fault) -> bytes:
        """See `StreamRelay.fail`: an `error` event, or a text the typed client can read."""
        if self._closed:
            return b""
        self._closed = True
        if self._native:
            error = {"type": self._error_type, "message": fault.message}
            return frame({"type": "error", "error": error}, "error")
        out = [] if self._opened else [self._opening()]
        text = f"The answer ended early: {fault.message}"
        if self._client_block is not None and self._client_block[1] == "text":
            delta = {"type": "text_delta", "text": f"\n\n{text}"}
            index = self._client_block[0]
            tree = {"type": "content_block_delta", "index": index, "delta": delta}
            out += [frame(tree, "content_block_delta"), self._end_block()]
        else:
            out += [self._end_block(), self._saying(text)]
        ended: Tree = {"stop_reason": "end_turn", "stop_sequence": None}
        counts = {"output_tokens": self._counts.get("output_tokens", 0)}
        tree = {"type": "message_delta", "delta": ended, "usage": counts}
        out += [frame(tree, "message_delta"), frame({"type": "message_stop"}, "message_stop")]
        return b"".join(out)

    def _opening(self) -> bytes:
        message: Tree = {"id": f"msg_{self._session}", "type": "message", "role": "assistant"}
        message |= {"model": self._model, "content": [], "stop_reason": None}
        message |= {"stop_sequence": None, "usage": {"input_tokens": 0, "output_tokens": 0}}
        return frame({"type": "message_start", "message": message}, "message_start")

    def result(self) -> None:
        """See `StreamRelay.result`."""
        return
