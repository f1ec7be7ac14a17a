"""Framing of server-sent events: an incremental parser and a writer.

The parser takes bytes cut anywhere (inside a character, between CR and LF) and
gives whole events; the JSON inside them is not looked at. Work per byte is
constant, and what is kept between two calls is bounded.

Source: WHATWG HTML, "Server-sent events". Of the fields only `event` and `data`
matter here; an event without data is dropped, as the standard says. Nothing here
ever writes an `id:` or `retry:` line: current clients fail on a comment after one.
"""

from interlock.providers.wire.errors import StreamOverflowError

__all__ = ["DONE", "SseEvent", "SseParser", "frame"]

DONE = b"data: [DONE]\n\n"
"""The end mark of a chat stream."""

SseEvent = tuple[bytes, bytes]
"""Name (empty: not given) and data of one event; several data lines are joined by LF."""

_BOM = b"\xef\xbb\xbf"


class SseParser:
    """Splits a byte stream into events.

    Raises `StreamOverflowError` once an event (its lines so far and the unfinished
    line) exceeds `max_event_bytes`; the parser is of no use afterwards.
    """

    __slots__ = ("_data", "_held", "_max", "_name", "_skip_lf", "_started", "_tail")

    def __init__(self, *, max_event_bytes: int = 8 << 20) -> None:
        self._max = max_event_bytes
        self._tail: list[bytes] = []
        """Pieces of the line that has not ended yet."""
        self._held = 0
        """Bytes in `_tail` and `_data`."""
        self._data: list[bytes] = []
        self._name = b""
        self._skip_lf = False
        """The last byte was CR: an LF that follows belongs to it."""
        self._started = False

    @property
    def pending(self) -> bool:
        """Whether an event has begun that is not complete."""
        return bool(self._tail or self._data)

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that `data` completes, in order."""
        if not data:
            return []
        if not self._started:
            data = self._strip_bom(data)
        if self._skip_lf:
            self._skip_lf = False
            if data[:1] == b"\n":
                data = data[1:]
        if b"\r" in data:
            self._skip_lf = data[-1:] == b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        last = lines.pop()
        events: list[SseEvent] = []
        if lines and self._tail:
            self._tail.append(lines[0])
            self._held -= sum(map(len, self._tail)) - len(lines[0])
            lines[0] = b"".join(self._tail)
            self._tail = []
        for line in lines:
            self._line(line, events)
        if last:
            self._tail.append(last)
            self._held += len(last)
        if self._held > self._max:
            raise StreamOverflowError(f"an event is larger than {self._max} bytes")
        return events

    def _strip_bom(self, data: bytes) -> bytes:
        """Drops a byte order mark at the very start, which may itself be cut."""
        data = b"".join(self._tail) + data
        self._tail = []
        self._held = 0
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._tail = [data]
            self._held = len(data)
            return b""
        self._started = True
        return data.removeprefix(_BOM)

    def _line(self, line: bytes, events: list[SseEvent]) -> None:
        if not line:
            if self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                if len(data) > self._max:
                    raise StreamOverflowError(f"an event is larger than {self._max} bytes")
                events.append((self._name, data))
                self._data = []
                self._held = 0
            self._name = b""
            return
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
        elif line.startswith(b"event:"):
            self._name = line[7:] if line[6:7] == b" " else line[6:]
            if len(self._name) > self._max:
                raise StreamOverflowError(f"an event is larger than {self._max} bytes")
            return
        elif line == b"data":
            value = b""
        elif line == b"event":
            self._name = b""
            return
        else:
            return
        self._data.append(value)
        self._held += len(value) + 1
        if self._held > self._max:
            raise StreamOverflowError(f"an event is larger than {self._max} bytes")


def frame(data: bytes, name: bytes = b"") -> bytes:
    """One event. `data` is JSON text on one line (JSON encoders write no line ends)."""
    if name:
        return b"event: " + name + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"
