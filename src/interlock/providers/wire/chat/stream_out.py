"""Neutral events as a Chat Completions stream."""

import msgspec

from interlock.providers.wire.chat.answers import FINISH, answer_id, encode_usage, legacy
from interlock.providers.wire.chat.content import encode_reasoning
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
    Thinking,
    ToolCall,
    Usage,
)
from interlock.providers.wire.reading import Tree
from interlock.providers.wire.sse import DONE, frame

__all__ = ["ChatStreamEncoder"]

_json = msgspec.json.encode
_END = b'},"logprobs":null,"finish_reason":null}]}\n\n'
_KEYS = {Thinking: b'"reasoning_content":', Refusal: b'"refusal":'}


class ChatStreamEncoder:
    """See `StreamEncoder`. Text of all rounds is one `content`; rounds are two lines apart."""

    def __init__(self, view: View, *, max_bytes: int) -> None:
        self._view = view
        self._max = max_bytes
        self._started = False
        self._head: Tree = {}
        self._prefix = b""
        self._keys: dict[int, bytes] = {}
        """Delta member of the parts of this round, by index."""
        self._thoughts: dict[int, Thinking] = {}
        """Proofs of thinking parts that are open."""
        self._texts: dict[int, list[str]] = {}
        """Their texts, which have to be told again with the proof."""
        self._kept = 0
        self._details = 0
        self._calls = 0
        self._said = False
        self._gap = False
        """The next text needs to be set off from what an earlier round said."""

    def start(self, event: Start) -> bytes:
        """See `StreamEncoder`."""
        if self._started:
            return b""
        self._started = True
        self._head = {
            "id": answer_id(event.id, self._view),
            "object": "chat.completion.chunk",
            "created": event.created,
            "model": event.model,
        }
        self._prefix = b"data: " + _json(self._head)[:-1] + b',"choices":[{"index":0,"delta":{'
        return self._chunk({"role": "assistant", "content": ""})

    def _ensure(self) -> bytes:
        return b"" if self._started else self.start(Start(id="", model="", created=0))

    def _chunk(self, delta: Tree, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return frame(_json({**self._head, "choices": [choice]}))

    def open(self, event: PartStart) -> bytes:
        """See `StreamEncoder`."""
        part = event.part
        self._keys[event.index] = _KEYS.get(type(part), b'"content":')
        if isinstance(part, Thinking):
            self._thoughts[event.index] = part
            self._texts[event.index] = []
        return b""

    def delta(self, index: int, text: str) -> bytes:
        """See `StreamEncoder`."""
        key = self._keys.get(index, b'"content":')
        if key is _KEYS[Thinking]:
            self._kept += len(text)
            if self._kept > self._max:
                raise StreamOverflowError(f"the reasoning is longer than {self._max} characters")
            self._texts[index].append(text)
        elif self._gap:
            self._gap = False
            text = "\n\n" + text
        else:
            self._said = True
        return self._prefix + key + _json(text) + _END

    def signature(self, event: SignatureDelta) -> bytes:
        """See `StreamEncoder`."""
        self._thoughts[event.index] = event.proof
        return b""

    def end(self, index: int) -> bytes:
        """See `StreamEncoder`."""
        part = self._thoughts.pop(index, None)
        texts = self._texts.pop(index, [])
        if part is None:
            return b""
        text = "".join(texts)
        self._kept -= len(text)
        whole = msgspec.structs.replace(part, text=text)
        index = self._details
        self._details += 1
        if whole.signature is None and whole.encrypted is None:
            return b""
        return self._chunk({"reasoning_details": [encode_reasoning(whole, index)]})

    def call(self, call: ToolCall, call_id: str) -> bytes:
        """See `StreamEncoder`."""
        index = self._calls
        self._calls += 1
        function = {"name": call.qualified, "arguments": call.arguments}
        if legacy(self._view):
            return self._chunk({"function_call": function}) if index == 0 else b""
        entry = {"index": index, "id": call_id, "type": "function", "function": function}
        return self._ensure() + self._chunk({"tool_calls": [entry]})

    def next_round(self) -> None:
        """See `StreamEncoder`."""
        self._keys.clear()
        self._gap = self._said

    def say(self, text: str) -> bytes:
        """See `StreamEncoder`."""
        if self._said:
            text = "\n\n" + text
        self._said = True
        self._gap = False
        return self._ensure() + self._chunk({"content": text})

    def finish(
        self,
        stop: StopReason,
        stop_sequence: str | None,
        usage: Usage | None,
        failure: Failure | None = None,
    ) -> bytes:
        """See `StreamEncoder`; the typed client knows no `error`, so that is `stop` here."""
        del failure  # chunks have no member for it
        finish = "stop" if stop is StopReason.ERROR else FINISH[stop]
        if finish == "tool_calls" and legacy(self._view):
            finish = "function_call"
        out = self._ensure() + self._chunk({}, finish)
        if usage is not None and not self._view.hide_usage:
            out += frame(_json({**self._head, "choices": [], "usage": encode_usage(usage)}))
        return out + DONE

    def fail(self, fault: Fault) -> bytes:
        """An error event and no `[DONE]`: the official SDK raises on it."""
        kind = "rate_limit_error" if fault.status == 429 else "upstream_error"
        error = {
            "message": fault.message,
            "type": kind,
            "param": None,
            "code": fault.code,
        }
        return frame(_json({"error": error}))

    def result(self) -> None:
        """Nothing: chunks are all there is."""
