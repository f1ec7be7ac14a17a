"""What a wire format must be able to do, and what its stream machines share.

A format decodes and encodes requests, whole answers and streams, each against the
neutral model. Nothing here knows a format.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import msgspec
from msgspec import Struct, field

from interlock.kernel.errors import InterlockError
from interlock.providers.wire.errors import MalformedAnswerError, StreamOverflowError
from interlock.providers.wire.halves import HalvesJoiner, has_halves, read_with_halves
from interlock.providers.wire.model import (
    Event,
    Failure,
    Fault,
    Part,
    PartEnd,
    PartStart,
    Request,
    Response,
    SignatureDelta,
    Start,
    StopReason,
    Thinking,
    ToolCall,
    Usage,
)
from interlock.providers.wire.reading import JSON_ERRORS, Tree
from interlock.providers.wire.sse import SseParser

__all__ = [
    "Codec",
    "Encoded",
    "StreamDecoder",
    "StreamEncoder",
    "StreamReader",
    "View",
]


class View(Struct, frozen=True, kw_only=True):
    """How the client must be answered: what of its request shows in the answer."""

    tree: Tree = field(default_factory=dict)
    """Its request, decoded."""
    native: bool = True
    """False: the typed client (gateway.md, section 8.5)."""
    hide_usage: bool = False
    """Chat streams: the client did not ask for usage."""
    session_id: str = ""
    """Makes ids when the upstream gave none."""
    answer_id: str | None = None
    """The id to answer under, where ids of answers are names the client may use later."""


class Encoded(Struct, frozen=True, kw_only=True):
    """A request for an upstream, and what of it could not be said (neutral names)."""

    body: Tree
    dropped: list[str]


class StreamDecoder(Protocol):
    """Upstream bytes to neutral events; exactly one `Finish` or `Fault` ends them."""

    def feed(self, data: bytes) -> list[Event]:
        """Events that `data` completes. Raises `StreamOverflowError`."""
        ...

    def eof(self) -> list[Event]:
        """The upstream closed."""
        ...


class StreamEncoder(Protocol):
    """Neutral events to the client's bytes; one answer, however many upstream rounds.

    Parts may interleave; the encoder keeps at most one open and opens another when
    a delta belongs to it. Tool calls come whole. Nothing is written after `finish`
    or `fail`.
    """

    def start(self, event: Start) -> bytes:
        """Opening of the answer; later calls (further rounds) write nothing."""
        ...

    def open(self, event: PartStart) -> bytes:
        """A text, thinking or refusal part begins."""
        ...

    def delta(self, index: int, text: str) -> bytes:
        """More text of part `index`."""
        ...

    def signature(self, event: SignatureDelta) -> bytes:
        """The proof of thinking part `event.index`."""
        ...

    def end(self, index: int) -> bytes:
        """Part `index` is complete."""
        ...

    def call(self, call: ToolCall, call_id: str) -> bytes:
        """A whole tool call, under the id the client shall see."""
        ...

    def next_round(self) -> None:
        """A further upstream answer continues this one."""
        ...

    def say(self, text: str) -> bytes:
        """A text part of our own."""
        ...

    def finish(
        self,
        stop: StopReason,
        stop_sequence: str | None,
        usage: Usage | None,
        failure: Failure | None = None,
    ) -> bytes:
        """The end of an answer that came, whatever it says.

        `failure`: why, with stop `error`, for formats that have a member for it.
        """
        ...

    def fail(self, fault: Fault) -> bytes:
        """The bad end."""
        ...

    def result(self) -> Tree | None:
        """The answer as an object, where the format streams one."""
        ...


class Codec(Protocol):
    """One wire format. All methods are pure; none keeps state between calls."""

    JOINS_TEXT: bool
    """All text of an answer is one text, so that pieces of our own must be set off."""

    def decode_request(self, tree: object) -> Request:
        """Raises `InvalidRequestError`, or `UntranslatableError` naming a type."""
        ...

    def encode_request(self, request: Request) -> Encoded:
        """Raises `UntranslatableError` for what must not be left out silently."""
        ...

    def decode_response(self, tree: object) -> Response:
        """Raises `MalformedAnswerError`."""
        ...

    def encode_response(self, response: Response, view: View) -> Tree:
        """Raises `MalformedAnswerError` for arguments the format cannot hold."""
        ...

    def answer_id(self, upstream_id: str, view: View) -> str:
        """The id the client sees on the answer the upstream calls `upstream_id`."""
        ...

    def stream_decoder(self, *, max_event_bytes: int) -> StreamDecoder:
        """A machine for one streamed answer."""
        ...

    def stream_encoder(self, view: View, *, max_bytes: int) -> StreamEncoder:
        """A machine for one client. `max_bytes` bounds what it must remember of the answer."""
        ...

    def continued(self, body: Tree, parts: Sequence[Part], results: Mapping[str, str]) -> Tree:
        """`body` (a request in this format) plus the model's `parts` and a failed result per call.

        `results` maps call ids to texts.
        """
        ...


class StreamReader:
    """Base of the stream decoders: framing, JSON errors, and exactly one ending."""

    shape: ClassVar[type[Struct]]
    """What an event looks like."""
    truncated: ClassVar[str] = "the upstream closed the stream before its answer was complete"

    def __init__(self, *, max_event_bytes: int) -> None:
        self._sse = SseParser(max_event_bytes=max_event_bytes)
        self._halves: HalvesJoiner | None = None
        self._over = False
        self._started = False
        self._next = 0
        """Index of the next part."""

    def feed(self, data: bytes) -> list[Event]:
        """Events that `data` completes. Raises `StreamOverflowError`."""
        if self._over:
            return []
        out: list[Event] = []
        try:
            for _, payload in self._sse.feed(data):
                self._event(payload, out)
                if self._over:
                    break
        except JSON_ERRORS:
            self._fault(out, "the upstream sent an event that is not one of its format")
        except StreamOverflowError:
            raise
        except InterlockError as error:
            self._fault(out, error.message)
        return out if self._halves is None else self._halves.join(out)

    def _mended(self, payload: bytes) -> Any:  # noqa: ANN401 - the shape of the format
        """An event the fast reader refused, if only for halves of characters."""
        if not has_halves(payload):
            raise MalformedAnswerError("the upstream sent an event that is not one of its format")
        try:
            tree = read_with_halves(payload)
        except ValueError as error:
            raise MalformedAnswerError("the upstream sent an event that is not JSON") from error
        self._halves = self._halves or HalvesJoiner()
        return msgspec.convert(tree, type(self).shape)

    def eof(self) -> list[Event]:
        """The upstream closed: nothing when the answer was complete, else a fault."""
        out: list[Event] = []
        if not self._over:
            self._ended_early(out)
        return out

    def _event(self, payload: bytes, out: list[Event]) -> None:
        """Handles one event; defined by each format."""
        raise MalformedAnswerError("no format")

    def _ended_early(self, out: list[Event]) -> None:
        self._over = True
        out.append(Fault(code="upstream_truncated", message=self.truncated))

    def _fault(self, out: list[Event], message: str) -> None:
        self._over = True
        out.append(Fault(code="upstream_malformed", message=message))

    def _failed(self, out: list[Event], message: str, status: int | None) -> None:
        self._over = True
        out.append(Fault(code="upstream_error", message=message, status=status))

    def _open(self, part: Part, out: list[Event]) -> int:
        index = self._next
        self._next += 1
        out.append(PartStart(index=index, part=part))
        return index

    def _close(self, index: int, out: list[Event]) -> None:
        out.append(PartEnd(index=index))

    def _prove(self, index: int, part: Thinking, out: list[Event]) -> None:
        """The proof of a thinking part that has just been seen whole."""
        if part.encrypted is not None or part.signature is not None:
            proof = msgspec.structs.replace(part, text="")
            out.append(SignatureDelta(index=index, proof=proof))
