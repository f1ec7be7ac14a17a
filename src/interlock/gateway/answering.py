"""Reads the gateway's own streamed answer in Chat Completions, for callers inside.

Constant work per event: text is handed on as it comes and joined once, at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import msgspec

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["AnswerSink", "BrokenAnswerError", "Said", "SaidCall"]

_DONE: Final = b"[DONE]"
_DATA: Final = b"data:"


class BrokenAnswerError(InterlockError):
    """An answer failed after it had begun."""

    kind: ClassVar[ErrorKind] = ErrorKind.UPSTREAM
    code: ClassVar[str] = "upstream_error"


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] = msgspec.field(default_factory=list)
    model: str | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


_decode: Final = msgspec.json.Decoder(_Event).decode


@dataclass(slots=True, kw_only=True)
class SaidCall:
    """One call, put together from its pieces."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True, kw_only=True)
class Said:
    """A whole answer."""

    text: str
    calls: list[SaidCall]
    finish_reason: str
    usage: dict[str, Any] | None
    model: str


@dataclass(slots=True)
class AnswerSink:
    """A gateway `Sink` that understands what is written to it."""

    told: Callable[[str], None] | None = None
    session_id: str = ""
    opened: bool = False
    must_drain: bool = False
    _text: list[str] = field(default_factory=list)
    _pieces: dict[int, tuple[SaidCall, list[str]]] = field(default_factory=dict)
    _finish: str = "stop"
    _usage: dict[str, Any] | None = None
    _model: str = ""
    _error: dict[str, Any] | None = None
    _ended: bool = False

    def note(self, name: str, value: str) -> None:
        """See `Sink`."""

    def answer(self, session_id: str, body: bytes) -> None:
        """See `Sink`. Questions from inside are always streamed: this one is not answered."""
        self.session_id, self.opened = session_id, True
        self._error = {"message": f"an answer of {len(body)} bytes came unstreamed"}

    def open(self, session_id: str) -> None:
        """See `Sink`."""
        self.session_id, self.opened = session_id, True

    def write(self, data: bytes) -> None:
        """See `Sink`: complete events."""
        for line in data.split(b"\n"):
            if not line.startswith(_DATA):
                continue
            payload = line[len(_DATA) :].strip()
            if payload and payload != _DONE:
                self._take(_decode(payload))

    async def drain(self) -> None:
        """See `Sink`. Memory is never slow."""

    def end(self) -> None:
        """See `Sink`."""
        self._ended = True

    def said(self) -> Said:
        """The whole answer.

        Raises:
            BrokenAnswerError: it failed on the way, or never ended.
        """
        if self._error is not None:
            code = self._error.get("code") or self._error.get("type") or "upstream_error"
            raise BrokenAnswerError(
                str(self._error.get("message") or "the answer broke off"), code=str(code)
            )
        if not self._ended:
            raise BrokenAnswerError("the answer broke off")
        for call, pieces in self._pieces.values():
            call.arguments = "".join(pieces)
        return Said(
            text="".join(self._text),
            calls=[call for call, _ in self._pieces.values()],
            finish_reason=self._finish,
            usage=self._usage,
            model=self._model,
        )

    def _take(self, event: _Event) -> None:
        if event.error is not None:
            self._error = event.error
            return
        if event.usage is not None:
            self._usage = event.usage
        if event.model:
            self._model = event.model
        for choice in event.choices:
            if choice.finish_reason is not None:
                self._finish = choice.finish_reason
            delta = choice.delta
            text = delta.content or delta.refusal
            if text:
                self._text.append(text)
                if self.told is not None:
                    self.told(text)
            for piece in delta.tool_calls or ():
                self._add(piece)

    def _add(self, piece: _ToolCall) -> None:
        call, parts = self._pieces.setdefault(piece.index, (SaidCall(), []))
        call.id = piece.id or call.id
        if piece.function is not None:
            call.name += piece.function.name or ""
            parts.append(piece.function.arguments or "")
