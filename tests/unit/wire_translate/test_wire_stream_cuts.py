"""Stream decoders: the same events however the bytes are cut, and one ending always."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.stream_corpus import FAILURES, SCENARIOS, Failure, reframe
from tests.support.stream_corpus import FORMATS as NAMES

from interlock.kernel.errors import InterlockError
from interlock.providers.wire.model import (
    ArgumentsDelta,
    Event,
    Fault,
    Finish,
    PartEnd,
    PartStart,
    Refusal,
    SignatureDelta,
    Start,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    UsageSeen,
)
from interlock.providers.wire.registry import FORMATS


def decoded(name: str, chunks: Iterable[bytes]) -> list[Event]:
    decoder = FORMATS[name].stream_decoder(max_event_bytes=1 << 20)  # type: ignore[index]
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + decoder.eof()


def coalesced(events: list[Event]) -> list[Event]:
    """Neighbouring deltas of one part joined."""
    out: list[Event] = []
    for event in events:
        last = out[-1] if out else None
        if (
            isinstance(event, TextDelta | ArgumentsDelta)
            and isinstance(last, TextDelta | ArgumentsDelta)
            and type(last) is type(event)
            and last.index == event.index
        ):
            out[-1] = type(event)(index=event.index, text=last.text + event.text)
        else:
            out.append(event)
    return out


def well_formed(events: list[Event]) -> None:
    """One start first, one ending last, every part opened and ended once."""
    assert isinstance(events[-1], Finish | Fault)
    assert sum(isinstance(event, Finish | Fault) for event in events) == 1
    starts = [i for i, event in enumerate(events) if isinstance(event, Start)]
    assert starts in ([], [0])
    opened: set[int] = set()
    ended: set[int] = set()
    for event in events:
        if isinstance(event, PartStart):
            assert starts
            assert event.index == len(opened)
            opened.add(event.index)
        elif isinstance(event, PartEnd):
            assert event.index in opened - ended
            ended.add(event.index)
        elif not isinstance(event, Start | UsageSeen | Finish | Fault):
            assert event.index in opened - ended
    if isinstance(events[-1], Finish):
        assert opened == ended


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_stream_cut_at_any_byte_decodes_to_the_same_events(name: str, scenario: str) -> None:
    data = SCENARIOS[scenario].recorded(name).sse
    whole = decoded(name, [data])
    well_formed(whole)
    expected = coalesced(whole)

    step = 1 if len(data) < 8000 else 7
    for i in range(0, len(data) + 1, step):
        assert coalesced(decoded(name, [data[:i], data[i:]])) == expected
    assert coalesced(decoded(name, [data[i : i + 1] for i in range(len(data))])) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_other_line_ends_comments_and_a_byte_order_mark_change_nothing(
    name: str, newline: bytes
) -> None:
    data = SCENARIOS["reasoning_and_calls"].recorded(name).sse
    framed = reframe(data, newline, bom=True, comments=True)
    expected = decoded(name, [data])

    for i in range(0, len(framed), 11):
        assert coalesced(decoded(name, [framed[:i], framed[i:]])) == coalesced(expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_streamed_events_add_up_to_the_whole_answer(name: str, scenario: str) -> None:
    recorded = SCENARIOS[scenario].recorded(name)
    events = decoded(name, [recorded.sse])
    whole = FORMATS[name].decode_response(recorded.body)  # type: ignore[index]
    texts: dict[int, str] = {}
    parts: dict[int, Text | Thinking | Refusal | ToolCall] = {}
    for event in events:
        if isinstance(event, PartStart):
            assert isinstance(event.part, Text | Thinking | Refusal | ToolCall)
            parts[event.index] = event.part
            texts[event.index] = ""
        elif isinstance(event, TextDelta | ArgumentsDelta):
            texts[event.index] += event.text
    kinds = [(type(p), texts[i]) for i, p in parts.items() if not isinstance(p, ToolCall)]
    wanted = [(type(p), p.text) for p in whole.parts if isinstance(p, Text | Thinking | Refusal)]
    finish = events[-1]

    assert isinstance(finish, Finish)
    assert (finish.stop, finish.stop_sequence, finish.usage) == (
        whole.stop,
        whole.stop_sequence,
        whole.usage,
    )
    if name == "chat":  # a chat body has one text, however many parts the stream told
        for kind in (Text, Thinking, Refusal):
            said = "".join(text for k, text in kinds if k is kind)
            assert said == "".join(text for k, text in wanted if k is kind)
    else:
        assert kinds == wanted


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f"{f.format}-{f.name}")
def test_a_broken_stream_ends_in_exactly_one_fault(failure: Failure) -> None:
    whole = decoded(failure.format, [failure.sse])
    well_formed(whole)

    assert isinstance(whole[-1], Fault)
    assert whole[-1].code == failure.code
    step = max(1, len(failure.sse) // 200)
    for i in range(0, len(failure.sse), step):
        events = decoded(failure.format, [failure.sse[:i], failure.sse[i:]])
        assert coalesced(events) == coalesced(whole)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scenario", ["text", "parallel_calls", "reasoning_and_calls"])
def test_a_stream_that_breaks_off_anywhere_never_looks_complete(name: str, scenario: str) -> None:
    data = SCENARIOS[scenario].recorded(name).sse
    complete = {"chat": b'"finish_reason": "', "messages": b'{"type": "message_stop"}'}
    mark = complete.get(name, b'"type": "response.completed"')
    limit = data.index(mark)

    for i in range(0, limit, 3):
        last = decoded(name, [data[:i]])[-1]
        assert isinstance(last, Fault)
        assert last.code == "upstream_truncated"


def test_a_chat_answer_with_a_finish_reason_is_complete_without_the_end_mark() -> None:
    data = SCENARIOS["text"].chat.sse
    events = decoded("chat", [data[: data.index(b"data: [DONE]")]])

    assert isinstance(events[-1], Finish)


def test_what_says_how_an_upstream_error_was_meant_is_kept() -> None:
    failed = {f"{f.format}-{f.name}": f for f in FAILURES}
    faults = {
        key: decoded(failed[key].format, [failed[key].sse])[-1]
        for key in ("chat-error", "messages-error", "responses-failed", "chat-finish_error")
    }

    assert {k: (f.message, f.status) for k, f in faults.items() if isinstance(f, Fault)} == {
        "chat-error": ("the upstream failed: engine overloaded", 503),
        "messages-error": ("the upstream failed: Overloaded", 529),
        "responses-failed": ("the upstream failed: slow down", 429),
        "chat-finish_error": ("the upstream failed: provider disconnected", 502),
    }


def chat_chunks(*deltas: str) -> bytes:
    return b"".join(
        b'data: {"id":"c","model":"m","created":1,"choices":[{"index":0,%s}]}\n\n' % d.encode()
        for d in deltas
    )


def calls_of(events: list[Event]) -> list[tuple[str, str, str]]:
    calls = {
        e.index: e.part for e in events if isinstance(e, PartStart) and isinstance(e.part, ToolCall)
    }
    said = dict.fromkeys(calls, "")
    for event in events:
        if isinstance(event, ArgumentsDelta):
            said[event.index] += event.text
    return [(call.id, call.name, said[i]) for i, call in calls.items()]


def test_parallel_chat_calls_that_share_an_index_are_told_apart_by_id() -> None:
    one = '"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}'
    two = '"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]}'
    data = chat_chunks(one, two, '"delta":{},"finish_reason":"stop"')

    events = decoded("chat", [data])

    assert calls_of(events) == [("a", "f", "{}"), ("b", "g", "{}")]
    assert isinstance(events[-1], Finish)
    assert events[-1].stop == "tool_calls"


def test_chat_calls_without_index_or_id_are_continued() -> None:
    first = '"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{\\"a\\""}}]}'
    rest = '"delta":{"tool_calls":[{"function":{"arguments":":1}"}}]}'
    end = '"delta":{},"finish_reason":"tool_calls"'

    assert calls_of(decoded("chat", [chat_chunks(first, rest, end)])) == [
        ("call_0", "f", '{"a":1}')
    ]


def test_the_deprecated_function_call_is_a_call() -> None:
    data = chat_chunks(
        '"delta":{"role":"assistant","function_call":{"name":"f","arguments":"{"}}',
        '"delta":{"function_call":{"arguments":"}"}}',
        '"delta":{},"finish_reason":"function_call"',
    )

    assert calls_of(decoded("chat", [data])) == [("call_0", "f", "{}")]


def test_reasoning_details_repeat_the_text_but_bring_the_proof() -> None:
    data = chat_chunks(
        '"delta":{"reasoning":"Hm, ","reasoning_details":[{"type":"reasoning.text",'
        '"text":"Hm, ","index":0,"format":"anthropic-claude-v1"}]}',
        '"delta":{"reasoning":"so.","reasoning_details":[{"type":"reasoning.text",'
        '"text":"so.","index":0,"format":"anthropic-claude-v1"}]}',
        '"delta":{"reasoning_details":[{"type":"reasoning.text","signature":"sig","index":0,'
        '"format":"anthropic-claude-v1"}]}',
        '"delta":{"content":"Yes."}',
        '"delta":{},"finish_reason":"stop"',
    )
    events = coalesced(decoded("chat", [data]))

    assert [e.text for e in events if isinstance(e, TextDelta)] == ["Hm, so.", "Yes."]
    assert [e.proof for e in events if isinstance(e, SignatureDelta)] == [
        Thinking(signature="sig", origin="chat", format="anthropic-claude-v1")
    ]


def test_an_item_the_provider_tells_only_whole_is_not_lost() -> None:
    item = (
        '{"type":"message","id":"m1","role":"assistant",'
        '"content":[{"type":"output_text","text":"all at once","annotations":[]}]}'
    )
    call = '{"type":"function_call","id":"f1","call_id":"c1","name":"f","arguments":"{\\"a\\":1}"}'
    data = (
        'data: {"type":"response.created","response":{"id":"r","model":"m"}}\n\n'
        f'data: {{"type":"response.output_item.done","output_index":0,"item":{item}}}\n\n'
        f'data: {{"type":"response.output_item.done","output_index":1,"item":{call}}}\n\n'
        'data: {"type":"response.completed","response":{"status":"completed"}}\n\n'
    ).encode()
    events = decoded("responses", [data])

    well_formed(events)
    assert [e.text for e in events if isinstance(e, TextDelta)] == ["all at once"]
    assert calls_of(events) == [("c1", "f", "")] or calls_of(events) == [("c1", "f", '{"a":1}')]
    assert calls_of(events)[0][2] == '{"a":1}'


ATOMS = st.sampled_from(
    [
        b"data: ",
        b"event: error\n",
        b"\n\n",
        b"[DONE]",
        b'{"type":"message_start","message":{"id":"a","model":"m"}}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"tool_use"}}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text"}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}',
        b'{"type":"content_block_stop","index":0}',
        b'{"type":"message_stop"}',
        b'{"type":"response.created"}',
        b'{"type":"response.output_item.added","item":{"type":"function_call"}}',
        b'{"type":"response.output_item.added","item":{"type":"reasoning","id":7}}',
        b'{"type":"response.output_text.delta","delta":[]}',
        b'{"type":"response.output_item.done","item":{"type":"reasoning","summary":[1]}}',
        b'{"type":"response.completed"}',
        b'{"choices":[{"delta":{"content":"x"}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{}]}}]}',
        b'{"choices":[{"delta":{"reasoning_details":[{"data":"x"},7]}}]}',
        b'{"choices":[{"delta":{},"finish_reason":"stop"}]}',
        b'{"error":[]}',
        b'{"usage":{"prompt_tokens":"x"},"choices":null}',
        b"[" * 50,
        b"\xff",
    ]
)


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(NAMES), pieces=st.lists(ATOMS, max_size=25), junk=st.binary())
def test_no_bytes_crash_a_decoder(name: str, pieces: list[bytes], junk: bytes) -> None:
    try:
        events = decoded(name, [*(b"data: " + piece + b"\n\n" for piece in pieces), junk])
    except InterlockError:
        return
    well_formed(events)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    scenario=st.sampled_from(sorted(SCENARIOS)),
    at=st.integers(0, 10**6),
    byte=st.integers(0, 255),
)
def test_a_damaged_byte_never_crashes_a_decoder(
    name: str, scenario: str, at: int, byte: int
) -> None:
    data = bytearray(SCENARIOS[scenario].recorded(name).sse)
    data[at % len(data)] = byte

    well_formed(decoded(name, [bytes(data)]))
