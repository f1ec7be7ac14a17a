"""A streamed answer between two different wire formats.

Text passes as it comes; tool calls are collected, shown to the gateway whole, and
leave only when it releases them.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from interlock.providers.wire.calls import CallIds, decidable
from interlock.providers.wire.codec import StreamDecoder, StreamEncoder
from interlock.providers.wire.errors import StreamOverflowError
from interlock.providers.wire.exchange import Ended, Failed, Forward, Held, Step
from interlock.providers.wire.model import (
    ArgumentsDelta,
    Event,
    Fault,
    Finish,
    Part,
    PartEnd,
    PartStart,
    Refusal,
    SignatureDelta,
    Start,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    Usage,
    UsageSeen,
)
from interlock.providers.wire.names import ToolNames
from interlock.providers.wire.reading import Tree

__all__ = ["Round", "TranslatedStream"]

_Said = Text | Refusal | Thinking


class Round:
    """What the model said in one upstream round apart from calls, to tell it again."""

    __slots__ = ("_max", "_parts", "_size", "_texts")

    def __init__(self, *, max_bytes: int = 64 << 20) -> None:
        self._max = max_bytes
        self._size = 0
        self._parts: dict[int, _Said] = {}
        self._texts: dict[int, list[str]] = {}

    def clear(self) -> None:
        """Forgets the round: another begins."""
        self._size = 0
        self._parts.clear()
        self._texts.clear()

    def whole(self, parts: list[Part]) -> None:
        """Takes the parts of an answer that was not streamed."""
        self.clear()
        self._parts = {
            i: part for i, part in enumerate(parts) if isinstance(part, Text | Refusal | Thinking)
        }

    def open(self, index: int, part: _Said) -> None:
        """Part `index` begins."""
        self._parts[index] = part
        self._texts[index] = []

    def text(self, index: int, text: str) -> None:
        """More text of part `index`. Raises `StreamOverflowError`."""
        texts = self._texts.get(index)
        if texts is not None:
            self._size += len(text)
            if self._size > self._max:
                raise StreamOverflowError(f"the answer is longer than {self._max} characters")
            texts.append(text)

    def proof(self, event: SignatureDelta) -> None:
        """The proof of thinking part `event.index`."""
        part = self._parts.get(event.index)
        if isinstance(part, Thinking):
            self._parts[event.index] = event.proof

    def parts(self) -> list[Part]:
        """All parts so far, in order."""
        out: list[Part] = []
        for index, part in self._parts.items():
            texts = self._texts.get(index)
            out.append(
                part if texts is None else msgspec.structs.replace(part, text="".join(texts))
            )
        return out


class _Collected:
    """A tool call: first its fragments, then the gateway's decision on it."""

    __slots__ = ("call", "decided", "fragments", "released")

    def __init__(self, call: ToolCall) -> None:
        self.call = call
        self.fragments: list[str] = []
        self.decided = False
        self.released: tuple[str, str | None] | None = None
        """The id and, where a guard rewrote them, the arguments the client gets."""


class TranslatedStream:
    """See `StreamRelay`.

    What follows a held call waits until the call is decided, so that indexes and
    numbers in the client's stream have no holes; it then leaves with the release,
    or after a drop with whatever leaves next.
    """

    def __init__(
        self,
        *,
        decoder: Callable[[], StreamDecoder],
        answer_id: Callable[[str], str],
        encoder: StreamEncoder,
        names: ToolNames,
        said: Round,
        max_held_bytes: int,
        created: int,
    ) -> None:
        self._make_decoder = decoder
        self._decoder = decoder()
        self._answer_id = answer_id
        self._encoder = encoder
        self._names = names
        self._said = said
        self._max = max_held_bytes
        self._created = created
        self._open: dict[int, _Collected] = {}
        """Calls being told, by part index."""
        self._held_bytes = 0
        self._ids = CallIds()
        self._waiting: deque[Event | _Collected] = deque()
        """An undecided call and what came after it."""
        self._out = bytearray()
        """Bytes that may leave."""
        self._released = 0
        self._start = Start(id="", model="", created=0)
        self._id = ""
        """Of the answer, as the client sees it: the same over all rounds."""
        self._finish: Finish | None = None
        self._over = False

    def feed(self, data: bytes) -> list[Step]:
        """See `StreamRelay`."""
        return self._steps(self._decoder.feed(data))

    def eof(self) -> list[Step]:
        """See `StreamRelay`."""
        return self._steps(self._decoder.eof())

    def _steps(self, events: list[Event]) -> list[Step]:
        steps: list[Step] = []
        for event in events:
            if isinstance(event, TextDelta):
                self._said.text(event.index, event.text)
                if self._waiting:
                    self._waiting.append(event)
                else:
                    self._out += self._encoder.delta(event.index, event.text)
                continue
            step = self._take(event)
            if step is not None:
                self._flush(steps)
                steps.append(step)
        self._flush(steps)
        return steps

    def _flush(self, steps: list[Step]) -> None:
        if self._out:
            steps.append(Forward(data=bytes(self._out)))
            self._out.clear()

    def _take(self, event: Event) -> Step | None:
        """Handles anything but text; gives the step it makes for the gateway, if any."""
        if isinstance(event, ArgumentsDelta):
            self._collect(event)
        elif isinstance(event, PartStart) and isinstance(event.part, ToolCall):
            self._open[event.index] = _Collected(event.part)
        elif isinstance(event, PartEnd) and event.index in self._open:
            return self._hold(self._open.pop(event.index))
        elif isinstance(event, Start):
            self._begin(event)
        elif isinstance(event, Finish):
            self._finish = event
            return Ended(
                stop=event.stop,
                usage=event.usage,
                model=self._start.model,
                response_id=self._id,
            )
        elif isinstance(event, Fault):
            return Failed(fault=event)
        elif not isinstance(event, UsageSeen):
            self._note(event)
            if self._waiting:
                self._waiting.append(event)
            else:
                self._out += self._encode(event)
        return None

    def _note(self, event: Event) -> None:
        """Remembers the opening or the proof of a part for a further round."""
        if isinstance(event, PartStart) and isinstance(event.part, Text | Refusal | Thinking):
            self._said.open(event.index, event.part)
        elif isinstance(event, SignatureDelta):
            self._said.proof(event)

    def _begin(self, event: Start) -> None:
        if not event.created and self._created:
            event = msgspec.structs.replace(event, created=self._created)
        self._start = event
        self._id = self._id or self._answer_id(event.id)
        self._said.clear()
        self._out += self._encoder.start(event)

    def _collect(self, event: ArgumentsDelta) -> None:
        collected = self._open.get(event.index)
        if collected is not None:
            self._held_bytes += len(event.text)
            if self._held_bytes > self._max:
                raise StreamOverflowError(
                    f"the arguments of call `{collected.call.id}` exceed {self._max} bytes"
                )
            collected.fragments.append(event.text)

    def _hold(self, collected: _Collected) -> Held:
        arguments = "".join(collected.fragments)
        self._held_bytes -= len(arguments)
        call = msgspec.structs.replace(collected.call, arguments=arguments or "{}")
        collected.call = self._names.restore(decidable(call, self._ids))
        self._waiting.append(collected)
        return Held(call=collected.call, release=partial(self._release, collected))

    def _release(self, collected: _Collected, call_id: str, arguments: str | None) -> bytes:
        if not collected.decided:
            collected.decided = True
            collected.released = (call_id, arguments)
            self._released += 1
            self._drain()
        out = bytes(self._out)
        self._out.clear()
        return out

    def drop(self, call: ToolCall) -> None:
        """See `StreamRelay`."""
        for entry in self._waiting:
            if isinstance(entry, _Collected) and entry.call.id == call.id and not entry.decided:
                entry.decided = True
                self._drain()
                return

    def _drain(self) -> None:
        """Encodes what no undecided call is in front of any more."""
        while self._waiting:
            entry = self._waiting[0]
            if not isinstance(entry, _Collected):
                self._out += self._encode(entry)
            elif not entry.decided:
                return
            elif entry.released is not None:
                call_id, arguments = entry.released
                call = entry.call
                if arguments is not None:
                    call = msgspec.structs.replace(call, arguments=arguments)
                self._out += self._encoder.call(call, call_id)
            self._waiting.popleft()

    def _encode(self, event: Event) -> bytes:
        if isinstance(event, TextDelta):
            return self._encoder.delta(event.index, event.text)
        if isinstance(event, PartStart):
            return self._encoder.open(event)
        if isinstance(event, PartEnd):
            return self._encoder.end(event.index)
        if isinstance(event, SignatureDelta):
            return self._encoder.signature(event)
        return b""

    def next_round(self) -> None:
        """See `StreamRelay`."""
        self._deny_undecided()
        self._decoder = self._make_decoder()
        self._open.clear()
        self._held_bytes = 0
        self._finish = None
        self._encoder.next_round()

    def _deny_undecided(self) -> None:
        """A call nobody decided on is not let through."""
        for entry in self._waiting:
            if isinstance(entry, _Collected):
                entry.decided = True
        self._drain()

    def close(
        self,
        *,
        extra_text: str | None = None,
        usage: Usage | None = None,
        stop: StopReason | None = None,
    ) -> bytes:
        """See `StreamRelay`. An answer that never ended is closed as a failure."""
        if self._over:
            return b""
        finish = self._finish
        if finish is None:
            message = "the upstream closed the stream before its answer was complete"
            return self.fail(Fault(code="upstream_truncated", message=message))
        self._over = True
        self._deny_undecided()
        out = bytes(self._out)
        self._out.clear()
        if extra_text is not None:
            out += self._encoder.say(extra_text)
        sequence = finish.stop_sequence if stop is None else None
        if stop is None:
            stop = finish.stop
            if stop is StopReason.TOOL_CALLS and not self._released:
                stop = StopReason.END
        return out + self._encoder.finish(stop, sequence, usage or finish.usage)

    def fail(self, fault: Fault) -> bytes:
        """See `StreamRelay`."""
        if self._over:
            return b""
        self._over = True
        self._deny_undecided()
        out = bytes(self._out)
        self._out.clear()
        return out + self._encoder.fail(fault)

    def result(self) -> Tree | None:
        """See `StreamRelay`."""
        return self._encoder.result()
