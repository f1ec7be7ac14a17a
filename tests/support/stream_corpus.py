"""Answers as the three providers send them: streamed bytes and the whole body of each.

Every scenario is one answer told as parts with the fragments a provider would cut
them into. `SCENARIOS[name].chat|messages|responses` gives, per format, `sse` (the
event stream, LF framing) and `body` (the not streamed answer). `FAILURES` are streams
that must not end well. Written without the product's encoders on purpose: it is
what they are compared with.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

__all__ = ["FAILURES", "FORMATS", "SCENARIOS", "Failure", "Recorded", "Scenario", "reframe"]

FORMATS = ("chat", "messages", "responses")
CREATED = 1769519573
MODEL = "model-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """A text part."""

    fragments: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Think:
    """Readable reasoning; `proof` is the signature or the encrypted content."""

    fragments: Sequence[str]
    proof: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """Reasoning nobody can read; Chat Completions cannot tell it and leaves it out."""

    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """The model's own refusal."""

    fragments: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call; fragments are pieces of the arguments' JSON text."""

    id: str
    name: str
    fragments: Sequence[str]

    @property
    def arguments(self) -> str:
        return "".join(self.fragments) or "{}"


Part = Say | Think | Redacted | Refuse | Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One answer in one format."""

    sse: bytes
    body: dict[str, Any]

    @property
    def json(self) -> bytes:
        return json.dumps(self.body, ensure_ascii=False).encode()


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """An answer. `stop`: end, length, tool_calls, stop_sequence or filter."""

    name: str
    parts: Sequence[Part]
    stop: str = "end"
    usage: tuple[int, int, int, int, int] = (16, 5, 0, 0, 0)
    """Input (with cached), output (with reasoning), cache read, cache written, reasoning."""
    interleaved: bool = False
    """Chat only: fragments of parallel calls alternate."""

    @cached_property
    def chat(self) -> Recorded:
        return Recorded(sse=_frame(_chat_stream(self)), body=_chat_body(self))

    @cached_property
    def messages(self) -> Recorded:
        return Recorded(sse=_frame(_messages_stream(self)), body=_messages_body(self))

    @cached_property
    def responses(self) -> Recorded:
        return Recorded(sse=_frame(_responses_stream(self)), body=_responses_body(self))

    def recorded(self, name: str) -> Recorded:
        result = getattr(self, name)
        assert isinstance(result, Recorded)
        return result

    @property
    def text(self) -> str:
        return "".join("".join(p.fragments) for p in self.parts if isinstance(p, Say))

    @property
    def calls(self) -> list[Call]:
        return [p for p in self.parts if isinstance(p, Call)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A stream that must end as a failure with `code` (of the neutral `Fault`)."""

    name: str
    format: str
    sse: bytes
    code: str


def reframe(sse: bytes, newline: bytes, *, bom: bool = False, comments: bool = False) -> bytes:
    """The same events with other line ends, a byte order mark, comments between them."""
    if comments:
        sse = b": open\n\n" + sse.replace(b"\n\n", b"\n: keep-alive\n\n:\n\n")
    return (b"\xef\xbb\xbf" if bom else b"") + sse.replace(b"\n", newline)


def _frame(events: Iterator[tuple[str | None, dict[str, Any] | str]]) -> bytes:
    out = bytearray()
    for name, data in events:
        if name:
            out += f"event: {name}\n".encode()
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        out += f"data: {text}\n\n".encode()
    return bytes(out)


# Chat Completions ---------------------------------------------------------------------

_CHAT_STOP = {
    "end": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "stop_sequence": "stop",
    "filter": "content_filter",
}


def _chat_usage(s: Scenario) -> dict[str, Any]:
    inp, out, read, write, think = s.usage
    details: dict[str, Any] = {"cached_tokens": read, "audio_tokens": 0}
    if write:
        details["cache_write_tokens"] = write
    return {
        "prompt_tokens": inp,
        "completion_tokens": out,
        "total_tokens": inp + out,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": think, "audio_tokens": 0},
    }


def _chat_stream(s: Scenario) -> Iterator[tuple[None, dict[str, Any] | str]]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> tuple[None, dict[str, Any]]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return None, {
            "id": f"chatcmpl-{s.name}",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": MODEL,
            "service_tier": "default",
            "system_fingerprint": "fp_1",
            "choices": [choice],
            "usage": None,
            "obfuscation": "xK9",
        }

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for part in s.parts:
        if isinstance(part, Think):
            for text in part.fragments:
                yield chunk({"reasoning_content": text})
        elif isinstance(part, Say):
            for text in part.fragments:
                yield chunk({"content": text})
        elif isinstance(part, Refuse):
            for text in part.fragments:
                yield chunk({"refusal": text})
    for call in _chat_calls(s):
        yield chunk({"tool_calls": [call]})
    yield chunk({}, _CHAT_STOP[s.stop])
    last = chunk({})[1]
    yield None, {**last, "choices": [], "usage": _chat_usage(s)}
    yield None, "[DONE]"


def _chat_calls(s: Scenario) -> Iterator[dict[str, Any]]:
    opened = []
    for i, call in enumerate(s.calls):
        head = {
            "index": i,
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }
        rest = [{"index": i, "function": {"arguments": f}} for f in call.fragments]
        opened.append([head, *rest])
    if not s.interleaved:
        for fragments in opened:
            yield from fragments
        return
    while any(opened):
        for fragments in opened:
            if fragments:
                yield fragments.pop(0)


def _chat_body(s: Scenario) -> dict[str, Any]:
    says = [p for p in s.parts if isinstance(p, Say)]
    thinks = [p for p in s.parts if isinstance(p, Think)]
    refusals = [p for p in s.parts if isinstance(p, Refuse)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": s.text if says else None,
        "refusal": "".join("".join(p.fragments) for p in refusals) if refusals else None,
        "annotations": [],
    }
    if thinks:
        message["reasoning_content"] = "".join("".join(p.fragments) for p in thinks)
    if s.calls:
        message["tool_calls"] = [
            {
                "id": c.id,
                "type": "function",
                "function": {"name": c.name, "arguments": "".join(c.fragments)},
            }
            for c in s.calls
        ]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _CHAT_STOP[s.stop],
    }
    return {
        "id": f"chatcmpl-{s.name}",
        "object": "chat.completion",
        "created": CREATED,
        "model": MODEL,
        "choices": [choice],
        "usage": _chat_usage(s),
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


# Messages ------------------------------------------------------------------------------

_MESSAGES_STOP = {
    "end": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "stop_sequence": "stop_sequence",
    "filter": "refusal",
}


def _messages_usage(s: Scenario) -> dict[str, Any]:
    inp, out, read, write, _ = s.usage
    return {
        "input_tokens": inp - read - write,
        "cache_creation_input_tokens": write,
        "cache_read_input_tokens": read,
        "output_tokens": out,
        "service_tier": "standard",
    }


def _messages_head(s: Scenario) -> dict[str, Any]:
    return {
        "id": f"msg_{s.name}",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _messages_usage(s),
    }


def _messages_stream(s: Scenario) -> Iterator[tuple[str, dict[str, Any]]]:
    def event(kind: str, **members: Any) -> tuple[str, dict[str, Any]]:
        return kind, {"type": kind, **members}

    head = _messages_head(s)
    head["usage"] = {**head["usage"], "output_tokens": 1}
    yield event("message_start", message=head)
    for i, part in enumerate(s.parts):
        start, deltas = _messages_block(part)
        yield event("content_block_start", index=i, content_block=start)
        if i == 0:
            yield event("ping")
        for delta in deltas:
            yield event("content_block_delta", index=i, delta=delta)
        yield event("content_block_stop", index=i)
    stop = {
        "stop_reason": _MESSAGES_STOP[s.stop],
        "stop_sequence": "END" if s.stop == "stop_sequence" else None,
    }
    yield event("message_delta", delta=stop, usage={"output_tokens": s.usage[1]})
    yield event("message_stop")


def _messages_block(part: Part) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if isinstance(part, Say | Refuse):
        texts = [{"type": "text_delta", "text": f} for f in part.fragments]
        return {"type": "text", "text": ""}, texts
    if isinstance(part, Think):
        deltas = [{"type": "thinking_delta", "thinking": f} for f in part.fragments]
        if part.proof:
            deltas.append({"type": "signature_delta", "signature": part.proof})
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if isinstance(part, Redacted):
        return {"type": "redacted_thinking", "data": part.data}, []
    start = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
    pieces = ["", *part.fragments]
    return start, [{"type": "input_json_delta", "partial_json": f} for f in pieces]


def _messages_body(s: Scenario) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for part in s.parts:
        if isinstance(part, Say | Refuse):
            content.append({"type": "text", "text": "".join(part.fragments)})
        elif isinstance(part, Think):
            content.append(
                {
                    "type": "thinking",
                    "thinking": "".join(part.fragments),
                    "signature": part.proof or "",
                }
            )
        elif isinstance(part, Redacted):
            content.append({"type": "redacted_thinking", "data": part.data})
        else:
            tool = {"type": "tool_use", "id": part.id, "name": part.name}
            content.append({**tool, "input": json.loads(part.arguments)})
    return {
        **_messages_head(s),
        "content": content,
        "stop_reason": _MESSAGES_STOP[s.stop],
        "stop_sequence": "END" if s.stop == "stop_sequence" else None,
    }


# Responses -----------------------------------------------------------------------------


def _responses_usage(s: Scenario) -> dict[str, Any]:
    inp, out, read, _, think = s.usage
    return {
        "input_tokens": inp,
        "input_tokens_details": {"cached_tokens": read},
        "output_tokens": out,
        "output_tokens_details": {"reasoning_tokens": think},
        "total_tokens": inp + out,
    }


def _responses_body(s: Scenario, *, status: str | None = None) -> dict[str, Any]:
    reason = {"length": "max_output_tokens", "filter": "content_filter"}.get(s.stop)
    final = status is None
    return {
        "id": f"resp_{s.name}",
        "object": "response",
        "created_at": CREATED,
        "status": status or ("incomplete" if reason else "completed"),
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if reason and final else None,
        "instructions": None,
        "max_output_tokens": None,
        "model": MODEL,
        "output": [_responses_item(s, i, p) for i, p in enumerate(s.parts)] if final else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _responses_usage(s) if final else None,
        "user": None,
        "metadata": {},
    }


def _responses_item(s: Scenario, i: int, part: Part, *, opened: bool = False) -> dict[str, Any]:
    """Output item `i`; `opened`: as it looks in `output_item.added`."""
    status = "in_progress" if opened else "completed"
    if isinstance(part, Say | Refuse):
        text = "".join(part.fragments)
        return {
            "id": f"msg_{s.name}_{i}",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [] if opened else [_responses_content(part, text)],
        }
    if isinstance(part, Think | Redacted):
        text = "".join(part.fragments) if isinstance(part, Think) else ""
        proof = part.proof if isinstance(part, Think) else part.data
        item: dict[str, Any] = {"id": f"rs_{s.name}_{i}", "type": "reasoning"}
        item["summary"] = [{"type": "summary_text", "text": text}] if text and not opened else []
        if proof and not opened:
            item["encrypted_content"] = proof
        return item
    return {
        "id": f"fc_{s.name}_{i}",
        "type": "function_call",
        "status": status,
        "arguments": "" if opened else part.arguments,
        "call_id": part.id,
        "name": part.name,
    }


def _responses_content(part: Say | Refuse, text: str) -> dict[str, Any]:
    if isinstance(part, Refuse):
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _responses_stream(s: Scenario) -> Iterator[tuple[str, dict[str, Any]]]:
    count = iter(range(10**6))

    def event(kind: str, **members: Any) -> tuple[str, dict[str, Any]]:
        return kind, {"type": kind, "sequence_number": next(count), **members}

    yield event("response.created", response=_responses_body(s, status="in_progress"))
    yield event("response.in_progress", response=_responses_body(s, status="in_progress"))
    for i, part in enumerate(s.parts):
        opened = _responses_item(s, i, part, opened=True)
        done = _responses_item(s, i, part)
        yield event("response.output_item.added", output_index=i, item=opened)
        yield from _responses_inside(part, done, i, event)
        yield event("response.output_item.done", output_index=i, item=done)
    end = "response.incomplete" if s.stop in ("length", "filter") else "response.completed"
    yield event(end, response=_responses_body(s))


def _responses_inside(
    part: Part,
    done: dict[str, Any],
    i: int,
    event: Callable[..., tuple[str, dict[str, Any]]],
) -> Iterator[tuple[str, dict[str, Any]]]:
    at: dict[str, Any] = {"item_id": done["id"], "output_index": i}
    if isinstance(part, Say | Refuse):
        text = "".join(part.fragments)
        at["content_index"] = 0
        yield event("response.content_part.added", **at, part=_responses_content(part, ""))
        kind = "refusal" if isinstance(part, Refuse) else "output_text"
        for fragment in part.fragments:
            extra: dict[str, Any] = {"obfuscation": "Zq"} if kind == "refusal" else {"logprobs": []}
            yield event(f"response.{kind}.delta", **at, delta=fragment, **extra)
        whole: dict[str, Any] = (
            {"refusal": text} if kind == "refusal" else {"text": text, "logprobs": []}
        )
        yield event(f"response.{kind}.done", **at, **whole)
        yield event("response.content_part.done", **at, part=_responses_content(part, text))
    elif isinstance(part, Think) and "".join(part.fragments):
        text = "".join(part.fragments)
        at["summary_index"] = 0
        empty = {"type": "summary_text", "text": ""}
        yield event("response.reasoning_summary_part.added", **at, part=empty)
        for fragment in part.fragments:
            yield event("response.reasoning_summary_text.delta", **at, delta=fragment)
        yield event("response.reasoning_summary_text.done", **at, text=text)
        full = {"type": "summary_text", "text": text}
        yield event("response.reasoning_summary_part.done", **at, part=full)
    elif isinstance(part, Call):
        for fragment in part.fragments:
            yield event("response.function_call_arguments.delta", **at, delta=fragment)
        whole = {"name": part.name, "arguments": part.arguments}
        yield event("response.function_call_arguments.done", **at, **whole)


# The corpus ----------------------------------------------------------------------------

_WEATHER = Call(
    id="call_w1", name="get_weather", fragments=['{"ci', 'ty": "Zür', 'ich \\"Süd\\""', "}"]
)
_MAIL = Call(
    id="call_m2",
    name="send_email",
    fragments=['{"to":', ' ["a@x.org"],', ' "body": "hi\\n🎉"', ', "n": 1.50}'],
)
_NOTHING = Call(id="call_n3", name="list_files", fragments=[])

SCENARIOS: dict[str, Scenario] = {
    s.name: s
    for s in (
        Scenario(name="text", parts=[Say(fragments=["The ", "answer", " is 97", "."])]),
        Scenario(name="empty_deltas", parts=[Say(fragments=["", "a", "", "", "b", ""])]),
        Scenario(name="empty_text", parts=[Say(fragments=[""])]),
        Scenario(name="nothing", parts=[]),
        Scenario(
            name="unicode",
            parts=[
                Say(
                    fragments=[
                        "Grüße, 世",
                        "界 👩‍👩‍👧 ",
                        "e\u0301\u200d\u2028\u2029",
                        'line\r\n\ttab "quoted" \\ back\u0000\u0007\u0085',
                        "data: [DONE]\n\n: not a comment\nevent: error\n",
                    ]
                )
            ],
        ),
        Scenario(name="one_call", parts=[_WEATHER], stop="tool_calls"),
        Scenario(
            name="text_and_call",
            parts=[Say(fragments=["Let ", "me see."]), _WEATHER],
            stop="tool_calls",
        ),
        Scenario(name="parallel_calls", parts=[_WEATHER, _MAIL, _NOTHING], stop="tool_calls"),
        Scenario(
            name="interleaved_calls",
            parts=[Say(fragments=["Both."]), _WEATHER, _MAIL],
            stop="tool_calls",
            interleaved=True,
        ),
        Scenario(name="call_without_arguments", parts=[_NOTHING], stop="tool_calls"),
        Scenario(
            name="reasoning",
            parts=[
                Think(fragments=["First, ", "think…", "\n\nthen"], proof="c2lnbmF0dXJl+/=="),
                Say(fragments=["Done", "."]),
            ],
            usage=(40, 30, 0, 0, 21),
        ),
        Scenario(
            name="reasoning_and_calls",
            parts=[
                Think(fragments=["Need two tools."], proof="cHJvb2Y="),
                Say(fragments=["Calling."]),
                _WEATHER,
                _MAIL,
            ],
            stop="tool_calls",
            usage=(40, 30, 8, 0, 12),
        ),
        Scenario(
            name="redacted_reasoning",
            parts=[Redacted(data="b3BhcXVl"), Say(fragments=["Yes."])],
        ),
        Scenario(name="refusal", parts=[Refuse(fragments=["I can", "not do", " that."])]),
        Scenario(name="truncated", parts=[Say(fragments=["Once upon"])], stop="length"),
        Scenario(name="filtered", parts=[Say(fragments=["Well, "])], stop="filter"),
        Scenario(name="stop_sequence", parts=[Say(fragments=["1 2 3"])], stop="stop_sequence"),
        Scenario(
            name="cached_usage",
            parts=[Say(fragments=["ok"])],
            usage=(1200, 7, 1000, 150, 3),
        ),
        Scenario(
            name="multi_part",
            parts=[Say(fragments=["One, ", "two. "]), Say(fragments=["Three", "."])],
        ),
        Scenario(
            name="long",
            parts=[Say(fragments=[f"word{i} " for i in range(60)])],
            usage=(16, 120, 0, 0, 0),
        ),
    )
}


def _cut_after(sse: bytes, marker: bytes) -> bytes:
    """The stream up to and including the event that contains `marker`."""
    end = sse.index(b"\n\n", sse.index(marker)) + 2
    return sse[:end]


def _failures() -> Iterator[Failure]:
    text = SCENARIOS["text"]
    marker = b"answer"
    errors = {
        "chat": b'data: {"error":{"message":"engine overloaded","type":"server_error",'
        b'"code":503}}\n\n',
        "messages": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error",'
        b'"message":"Overloaded"}}\n\n',
        "responses": b'event: error\ndata: {"type":"error","code":"server_error",'
        b'"message":"boom","param":null,"sequence_number":4}\n\n',
    }
    for name in FORMATS:
        sse = text.recorded(name).sse
        half = _cut_after(sse, marker)
        yield Failure(name="cut", format=name, sse=half, code="upstream_truncated")
        inside = sse[: len(half) + 12]
        yield Failure(name="cut_inside", format=name, sse=inside, code="upstream_truncated")
        yield Failure(name="silence", format=name, sse=b"", code="upstream_truncated")
        yield Failure(name="error", format=name, sse=half + errors[name], code="upstream_error")
        yield Failure(name="error_first", format=name, sse=errors[name], code="upstream_error")
        for label, junk in (
            ("not_json", b"{oops}"),
            ("not_object", b"[1]"),
            ("half_json", b'{"id":"x","choi'),
            ("bad_utf8", b'{"id":"\xff","type":"\xff"}'),
        ):
            bad = half + b"data: " + junk + b"\n\n"
            yield Failure(name=label, format=name, sse=bad, code="upstream_malformed")
    call = SCENARIOS["one_call"]
    for name in FORMATS:
        half = _cut_after(call.recorded(name).sse, 'ty\\": \\"Zür'.encode())
        yield Failure(name="cut_call", format=name, sse=half, code="upstream_truncated")
    failed = {
        **_responses_body(text, status="failed"),
        "error": {"code": "rate_limit_exceeded", "message": "slow down"},
    }
    tail = json.dumps({"type": "response.failed", "sequence_number": 9, "response": failed})
    sse = _cut_after(text.responses.sse, marker) + f"data: {tail}\n\n".encode()
    yield Failure(name="failed", format="responses", sse=sse, code="upstream_error")
    chunk = json.dumps(
        {
            "id": "x",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
            "error": {"code": 502, "message": "provider disconnected"},
        }
    )
    sse = _cut_after(text.chat.sse, marker) + f"data: {chunk}\n\n".encode()
    yield Failure(name="finish_error", format="chat", sse=sse, code="upstream_error")


FAILURES: list[Failure] = list(_failures())
