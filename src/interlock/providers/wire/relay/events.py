"""An event stream relayed: cut into events, judged one by one, forwarded in runs.

`EventRelay` is the part all formats share. An event is either recognised by a
template (see `template`), or parsed and given to the format's `_event`. Recognised
text leaves as it came, contiguous events as one piece. Documented edits to what is
forwarded unparsed: line ends become LF, and the line separators some clients split
at in the middle of JSON (U+2028, U+2029, U+0085) are written as escapes.
"""

from collections.abc import Callable
from typing import Any, Final

from interlock.providers.wire.errors import MalformedAnswerError, StreamOverflowError
from interlock.providers.wire.exchange import Ended, Failed, Forward, Held, Step
from interlock.providers.wire.model import Fault, ToolCall
from interlock.providers.wire.relay.exact import (
    JSON_ERRORS,
    DuplicateMemberError,
    dumps,
    loads,
    loads_any,
    text_of,
)
from interlock.providers.wire.relay.template import Template, learn

__all__ = ["Event", "EventRelay", "HeldBytes", "frame", "upstream_fault"]

Tree = dict[str, Any]

_MALFORMED: Final = "upstream_malformed"
_BOM = b"\xef\xbb\xbf"
_LEARNINGS = 32
"""Templates learned for nothing before learning stops; a match earns all of them again."""
_TEMPLATES = 4
_SEPARATORS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)


class Event:
    """One parsed event. `raw` is it framed for the client, unchanged in meaning."""

    __slots__ = ("canonical", "name", "raw", "tree")

    def __init__(self, name: str, tree: Tree, raw: bytes, *, canonical: bool) -> None:
        self.name = name
        self.tree = tree
        self.raw = raw
        self.canonical = canonical
        """The upstream framed it this way: a template may be made of it."""


class HeldBytes:
    """Arguments of a call as they come: escaped pieces of one JSON string, and raw events."""

    __slots__ = ("events", "pieces")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.events: list[bytes] = []


def frame(tree: object, name: str = "") -> bytes:
    """One event with `tree` as its data."""
    if name:
        return b"event: " + name.encode() + b"\ndata: " + dumps(tree) + b"\n\n"
    return b"data: " + dumps(tree) + b"\n\n"


def upstream_fault(error: object) -> Fault:
    """What an in-band `error` member says."""
    status = None
    message = text_of(error)
    if isinstance(error, dict):
        message = text_of(error.get("message"))
        code = error.get("code") or error.get("status")
        status = code if isinstance(code, int) and 400 <= code <= 599 else None
    text = (message or "the upstream reported an error")[:2000]
    return Fault(code="upstream_error", message=text, status=status)


class EventRelay:
    """Feeds a format's `_event` with events; collects the steps it makes."""

    def __init__(self, *, max_held_bytes: int) -> None:
        self._limit = max_held_bytes
        self._held = 0
        self._buffer = bytearray()
        self._skip_lf = False
        self._started = False
        self._over = False
        self._steps: list[Step] = []
        self._pieces: list[bytes] = []
        self._templates: list[Template] = []
        self._learnings = _LEARNINGS
        self._recording = True
        """Whether the round is remembered, to ask again; given up when it is too long."""
        self._recorded = 0
        self._sequence: int | None = None
        """Number the next recognised event must carry, in formats that number events."""

    # What a format does ---------------------------------------------------------------

    def _event(self, event: Event) -> None:
        """Judges a parsed event: emits, holds, ends."""
        raise AssertionError("a format judges its events")

    def _done(self) -> None:
        """`data: [DONE]` came."""

    def _before(self) -> None:
        """Called when new bytes come: decisions about held calls are known now."""

    def _at_eof(self) -> None:
        """The upstream closed without a terminal event."""
        self._fail(
            Fault(code="upstream_truncated", message="the upstream closed the stream too early")
        )

    # What it has to do it with --------------------------------------------------------

    def _emit(self, data: bytes) -> None:
        if data:
            self._pieces.append(data)

    def _step(self, step: Held | Ended | Failed) -> None:
        self._flush_pieces()
        self._steps.append(step)
        if not isinstance(step, Held):
            self._over = True

    def _fail(self, fault: Fault) -> None:
        self._step(Failed(fault=fault))

    def _hold(self, call: ToolCall, release: Callable[[str, str | None], bytes]) -> None:
        self._step(Held(call=call, release=release))

    def _keep(self, size: int) -> None:
        """Counts bytes that are kept; raises when they are too many."""
        self._held += size
        if self._held > self._limit:
            raise StreamOverflowError(
                f"tool calls of the answer are larger than {self._limit} bytes"
            )

    def _learn(self, event: Event, capture: str, sink: object) -> None:
        """Lets events like this one pass as it did, without being parsed.

        `sink` gets the text of member `capture`: None needs it not, a list records it
        (escaped pieces) and the event leaves, `HeldBytes` keeps both.

        INVARIANT: no judgement about this event may depend on a value that is a hole.
        """
        if not event.canonical or self._learnings <= 0:
            return
        self._learnings -= 1
        template = learn(event.raw, capture, sink)
        if template is not None:
            self._templates.insert(0, template)
            del self._templates[_TEMPLATES:]

    def _forget(self) -> None:
        self._templates.clear()

    # The stream -----------------------------------------------------------------------

    def feed(self, data: bytes) -> list[Step]:
        """See `StreamRelay.feed`."""
        if self._over:
            return []
        if self._templates and self._passes(data):
            return [Forward(data=data)]
        self._before()
        if self._skip_lf or b"\r" in data:
            data = self._line_feeds(data)
        buffer = self._buffer
        if buffer:
            seen = len(buffer)
            buffer += data
            if buffer.find(b"\n\n", max(seen - 1, 0)) < 0:
                self._check_size(len(buffer))
                return self._taken()
            data = bytes(buffer)
            buffer.clear()
        try:
            self._scan(data)
        except (MalformedAnswerError, *JSON_ERRORS) as error:
            self._malformed(error)
        return self._taken()

    def _passes(self, data: bytes) -> bool:
        """Whether `data` is exactly one recognised event that only has to be forwarded.

        The frequent case, taken before everything else. Recognised events wait for
        nothing: a format forgets its templates when something begins to be held.
        """
        template = self._templates[0]
        sink = template.sink
        if (
            template.match(data, 0) != len(data)
            or self._buffer
            or self._skip_lf
            or not data.isascii()
            or (sink is not None and not isinstance(sink, list))
            or not (self._sequence is None or self._in_sequence(template, data))
        ):
            return False
        if sink is not None:
            self._note_text(sink, data[template.start : template.end])
        return True

    def _note_text(self, sink: list[bytes], text: bytes) -> None:
        """Remembers text of the round, unless it gets too long to be asked about again."""
        sink.append(text)
        self._recorded += len(text)
        if self._recorded > self._limit:
            self._recording = False
            self._forget()

    def eof(self) -> list[Step]:
        """See `StreamRelay.eof`; also the steps of a last event without its blank line."""
        if self._over:
            return []
        steps = self.feed(b"\n\n") if self._buffer else []
        if steps and isinstance(steps[-1], Failed) and steps[-1].fault.code == _MALFORMED:
            # Half an event is not a wrong one: it was cut.
            steps.pop()
            self._over = False
            EventRelay._at_eof(self)
        elif not self._over:
            self._at_eof()
        return steps + self._taken()

    def _malformed(self, error: Exception) -> None:
        said = error.message if isinstance(error, MalformedAnswerError) else None
        message = said or "the upstream sent an event that is not valid JSON"
        self._fail(Fault(code=_MALFORMED, message=message))

    def _taken(self) -> list[Step]:
        self._flush_pieces()
        steps, self._steps = self._steps, []
        return steps

    def _flush_pieces(self) -> None:
        pieces = self._pieces
        if pieces:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._pieces = []
            self._steps.append(Forward(data=data))

    def _line_feeds(self, data: bytes) -> bytes:
        """`data` with LF line ends; a CR LF may be cut in two."""
        if self._skip_lf and data[:1] == b"\n":
            data = data[1:]
            self._skip_lf = False
        if data:
            self._skip_lf = data[-1:] == b"\r"
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise StreamOverflowError(f"an event is larger than {self._limit} bytes")

    def _scan(self, data: bytes) -> None:
        """Takes all whole events of `data`, keeps the rest."""
        at = run = 0
        size = len(data)
        while at < size:
            end = -1
            for template in self._templates:
                end = template.match(data, at)
                if end >= 0:
                    break
            if end >= 0 and (self._sequence is None or self._in_sequence(template, data)):
                self._learnings = _LEARNINGS
                sink = template.sink
                if sink is None:
                    at = end
                    continue
                text = data[template.start : template.end]
                if isinstance(sink, list):
                    self._note_text(sink, text)
                    at = end
                    continue
                if run < at:
                    self._forward(data[run:at])
                self._held_event(sink, text, data[at:end])
                at = run = end
                continue
            end = data.find(b"\n\n", at)
            if end < 0:
                break
            if run < at:
                self._forward(data[run:at])
            end += 2
            self._check_size(end - at)
            self._block(data[at:end])
            at = run = end
            if self._over:
                return
        if run < at:
            self._forward(data[run:at] if run or at < size else data)
        if at < size:
            self._buffer += data[at:] if at else data
            self._check_size(len(self._buffer))

    def _in_sequence(self, template: Template, data: bytes) -> bool:
        """Whether the event has the number that is due; then the next one is."""
        number = data[template.number_start : template.number_end]
        if not number or int(number) != self._sequence:
            return False
        self._sequence += 1
        return True

    def _held_event(self, sink: object, text: bytes, event: bytes) -> None:
        if isinstance(sink, HeldBytes):
            if not event.isascii():
                event.decode()
                event = _without_separators(event)
            sink.pieces.append(text)
            sink.events.append(event)
            self._keep(len(text) + len(event))

    def _forward(self, run: bytes) -> None:
        """Emits recognised events; they are text, so only their encoding can be wrong."""
        if not run.isascii():
            run.decode()
            run = _without_separators(run)
        self._pieces.append(run)

    def _block(self, block: bytes) -> None:
        """One event with its blank line."""
        name, data, comments, canonical = _fields(block, first=not self._started)
        self._started = True
        if data is None:
            for comment in comments:
                if comment.isascii():
                    self._emit(comment + b"\n\n")
            return
        if data.strip() == b"[DONE]":
            self._done()
            return
        if not data.strip():
            return
        try:
            tree = loads(data)
            faithful = b"\n" not in data
        except DuplicateMemberError:
            tree = loads_any(data)
            faithful = False
        if not isinstance(tree, dict):
            raise MalformedAnswerError("the upstream sent an event that is not an object")
        kind = name.decode()
        if not faithful:
            raw = frame(tree, kind)
        elif canonical:
            raw = _without_separators(block)
        else:
            raw = (b"event: " + name + b"\n" if name else b"") + b"data: " + data + b"\n\n"
            raw = _without_separators(raw)
        # What was escaped on the way out is not what the upstream will send again.
        self._event(Event(kind, tree, raw, canonical=faithful and canonical and raw == block))


def _without_separators(data: bytes) -> bytes:
    if not data.isascii():
        for separator, escape in _SEPARATORS:
            if separator in data:
                data = data.replace(separator, escape)
    return data


def _fields(block: bytes, *, first: bool) -> tuple[bytes, bytes | None, list[bytes], bool]:
    """Event name, data (None: there was none), comments, and whether the framing is ours.

    `id` and `retry` are left out: a client that keeps them fails on a later comment (8.5).
    """
    if block.startswith(b"data: ") and block.find(b"\n") == len(block) - 2:
        return b"", block[6:-2], [], True
    name = b""
    data: list[bytes] = []
    comments: list[bytes] = []
    if first and block.startswith(_BOM):
        block = block[len(_BOM) :]
    lines = block.split(b"\n")
    for line in lines:
        if line.startswith(b"data:"):
            data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            name = line[7:] if line[6:7] == b" " else line[6:]
        elif line.startswith(b":"):
            comments.append(line)
        elif line == b"data":
            data.append(b"")
        elif line == b"event":
            name = b""
    expected = len(data) + bool(name)
    canonical = (
        len(data) == 1
        and not comments
        and len(lines) == expected + 2
        and lines[expected - 1].startswith(b"data:")
        and (not name or lines[0].startswith(b"event:"))
    )
    return name, b"\n".join(data) if data else None, comments, canonical
