"""One client answer over several upstream rounds: held calls, denials, ends and failures."""

import json
from typing import Any

import anthropic
import msgspec
import openai
import pytest
from tests.support.stream_corpus import FAILURES, SCENARIOS, Failure
from tests.support.wire_clients import read_stream, typed_events
from tests.support.wire_exchanges import PAIRS, asked, head_of, minimal, opened, run

from interlock.providers.wire.errors import StreamOverflowError
from interlock.providers.wire.exchange import (
    Edits,
    Ended,
    Failed,
    FormatName,
    Forward,
    Held,
    StreamRelay,
)
from interlock.providers.wire.model import Fault, StopReason, ToolCall, Usage
from interlock.providers.wire.registry import exchange

SENTENCE = "Tool call to 'get_weather' is denied by argument checking policies."


def texts_and_calls(client: str, stream: bytes) -> tuple[str, list[str], Any]:
    """Text, call ids and the end, as the official SDK has them."""
    tree = read_stream(client, [stream])
    if client == "chat":
        calls = [call["id"] for call in tree["tool_calls"]]
        return tree["content"], calls, tree["finish_reason"]
    if client == "messages":
        text = "|".join(b["text"] for b in tree["content"] if b["type"] == "text")
        calls = [b["id"] for b in tree["content"] if b["type"] == "tool_use"]
        return text, calls, tree["stop_reason"]
    said = [part["text"] for i in tree["output"] for part in i.get("content") or ()]
    calls = [i["call_id"] for i in tree["output"] if i["type"] == "function_call"]
    return "|".join(said), calls, tree["status"]


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
def test_a_denied_call_leaves_no_trace(client: FormatName, upstream: FormatName) -> None:
    relay = opened(client, upstream)
    scenario = SCENARIOS["parallel_calls"]

    def decide(call: ToolCall) -> str | None:
        return None if call.name == "send_email" else f"tc-{call.id}"

    out, last = run(relay, [scenario.recorded(upstream).sse], decide=decide)
    stream = out + relay.close()
    _, calls, _ = texts_and_calls(client, stream)

    assert isinstance(last[0], Ended)
    assert last[0].stop == "tool_calls"
    assert calls == ["tc-call_w1", "tc-call_n3"]
    assert b"send_email" not in stream
    assert b"a@x.org" not in stream
    typed_events(client, stream)


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
def test_an_answer_goes_on_after_a_round_of_denials(
    client: FormatName, upstream: FormatName
) -> None:
    machine, head = asked(client, upstream)
    relay = machine.stream(head, hide_usage=False, native_client=True, session_id="s")
    up = machine.request(head, Edits())
    calls: list[ToolCall] = []

    def deny(call: ToolCall) -> None:
        calls.append(call)

    scenario = SCENARIOS["text_and_call"].recorded(upstream)
    out, _ = run(relay, [scenario.sse], decide=deny)
    again = json.loads(machine.again(up, calls, {calls[0].id: SENTENCE}))
    relay.next_round()
    more, _ = run(relay, [SCENARIOS["reasoning"].recorded(upstream).sse])
    stream = out + more + relay.close(usage=Usage(input=70, output=9))
    text, made, end = texts_and_calls(client, stream)

    assert made == []
    assert text in {"Let me see.|Done.", "Let me see.\n\nDone."}
    assert end in {"stop", "end_turn", "completed"}
    assert SENTENCE in json.dumps(again)
    assert "Let me see." in json.dumps(again)
    assert "call_w1" in json.dumps(again)
    usage = read_stream(client, [stream])["usage"]
    assert usage.get("input_tokens", usage.get("prompt_tokens")) == 70
    typed_events(client, stream)


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
def test_a_model_that_insists_ends_with_the_denial_as_text(
    client: FormatName, upstream: FormatName
) -> None:
    relay = opened(client, upstream)
    sse = SCENARIOS["text_and_call"].recorded(upstream).sse
    out, _ = run(relay, [sse], decide=lambda _: None)
    stream = out + relay.close(extra_text=SENTENCE, stop=StopReason.END)
    text, calls, end = texts_and_calls(client, stream)

    assert calls == []
    assert text in {f"Let me see.|{SENTENCE}", f"Let me see.\n\n{SENTENCE}"}
    assert end in {"stop", "end_turn", "completed"}
    typed_events(client, stream)


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
def test_the_same_holds_for_answers_that_are_not_streamed(
    client: FormatName, upstream: FormatName
) -> None:
    machine, _ = asked(client, upstream)
    answer = machine.answer(SCENARIOS["text_and_call"].recorded(upstream).json)
    body = answer.finish({}, denied=frozenset({"call_w1"}), extra_text=SENTENCE)

    assert b"get_weather(" not in body
    assert b"call_w1" not in body
    assert b"Let me see." in body
    assert SENTENCE.encode() in body
    tree = msgspec.json.decode(body)
    end = tree.get("stop_reason") or tree.get("status") or tree["choices"][0]["finish_reason"]
    assert end in {"stop", "end_turn", "completed"}


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
def test_a_guard_may_rewrite_the_arguments_a_call_leaves_with(
    client: FormatName, upstream: FormatName
) -> None:
    relay = opened(client, upstream)
    out = bytearray()
    for step in relay.feed(SCENARIOS["one_call"].recorded(upstream).sse):
        if isinstance(step, Held):
            out += step.release("tc-1", '{"city":"[REDACTED:CITY]"}')
        elif isinstance(step, Forward):
            out += step.data
    stream = bytes(out) + relay.close()
    machine, _ = asked(client, upstream)
    answer = machine.answer(SCENARIOS["one_call"].recorded(upstream).json)
    body = answer.finish({}, arguments={"call_w1": '{"city":"[REDACTED:CITY]"}'})

    for data in (stream, body):
        assert b"[REDACTED:CITY]" in data
        assert "Zürich".encode() not in data


RESPONSES_CALL_THEN_TEXT = (
    b'data: {"type":"response.created","response":{"id":"r","model":"m"}}\n\n'
    b'data: {"type":"response.output_item.done","output_index":0,"item":{"type":"function_call",'
    b'"call_id":"c1","name":"f","arguments":"{}"}}\n\n'
    b'data: {"type":"response.output_text.delta","output_index":1,"content_index":0,'
    b'"delta":"after"}\n\n'
    b'data: {"type":"response.output_item.done","output_index":2,"item":{"type":"function_call",'
    b'"call_id":"c2","name":"g","arguments":"{}"}}\n\n'
    b'data: {"type":"response.completed","response":{"status":"completed"}}\n\n'
)


@pytest.mark.parametrize("order", [("c1", "c2"), ("c2", "c1")])
@pytest.mark.parametrize("denied", [set(), {"c1"}, {"c2"}, {"c1", "c2"}])
@pytest.mark.parametrize("client", ["chat", "messages"])
def test_text_behind_a_held_call_keeps_its_place_whatever_is_decided(
    client: FormatName, denied: set[str], order: tuple[str, str]
) -> None:
    relay = opened(client, "responses")
    out = bytearray()
    held: dict[str, Held] = {}
    for step in relay.feed(RESPONSES_CALL_THEN_TEXT):
        if isinstance(step, Held):
            held[step.call.id] = step
        elif isinstance(step, Forward):
            out += step.data
    for call_id in order:
        if call_id in denied:
            relay.drop(held[call_id].call)
        else:
            out += held[call_id].release(call_id, None)
    stream = bytes(out) + relay.close()
    text, calls, _ = texts_and_calls(client, stream)

    assert text == "after"
    assert calls == [call for call in ("c1", "c2") if call not in denied]
    if client == "messages":
        kinds = [b["type"] for b in read_stream(client, [stream])["content"]]
        expected = ["tool_use", "text", "tool_use"]
        if "c2" in denied:
            expected.pop()
        if "c1" in denied:
            expected.pop(0)
        assert kinds == expected


def test_a_call_nobody_decided_on_does_not_leave() -> None:
    for client, upstream in PAIRS:
        relay = opened(client, upstream)
        steps = relay.feed(SCENARIOS["one_call"].recorded(upstream).sse)
        out = b"".join(step.data for step in steps if isinstance(step, Forward))

        assert b"get_weather" not in out + relay.close()


def test_no_byte_of_a_call_leaves_before_it_is_released() -> None:
    for client, upstream in PAIRS:
        relay = opened(client, upstream)
        data = SCENARIOS["parallel_calls"].recorded(upstream).sse
        for i in range(0, len(data), 50):
            for step in relay.feed(data[i : i + 50]):
                if isinstance(step, Forward):
                    assert b"get_weather" not in step.data
                    assert b"city" not in step.data


def test_text_leaves_in_the_call_its_event_was_completed_in() -> None:
    for client, upstream in PAIRS:
        relay = opened(client, upstream)
        events = SCENARIOS["long"].recorded(upstream).sse.split(b"\n\n")
        said = [event for event in events if b'"word' in event and b"delta" in event]
        start = events.index(said[0])
        relay.feed(b"\n\n".join(events[:start]) + b"\n\n")
        for event in said[:20]:
            steps = relay.feed(event + b"\n\n")
            assert len(steps) == 1
            assert isinstance(steps[0], Forward)
            assert b"word" in steps[0].data


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
def test_arguments_without_end_are_refused(client: FormatName, upstream: FormatName) -> None:
    sse = SCENARIOS["one_call"].recorded(upstream).sse
    marker = 'ty\\": \\"Zür'.encode()
    fragment = next(e for e in sse.split(b"\n\n") if marker in e) + b"\n\n"
    relay = opened(client, upstream, max_held_bytes=2000)
    relay.feed(sse[: sse.index(fragment)])

    with pytest.raises(StreamOverflowError):
        [relay.feed(fragment) for _ in range(1000)]


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
def test_an_answer_that_must_be_remembered_is_bounded(
    client: FormatName, upstream: FormatName
) -> None:
    sse = SCENARIOS["long"].recorded(upstream).sse
    event = next(e for e in sse.split(b"\n\n") if b"word3 " in e) + b"\n\n"
    relay = opened(client, upstream, max_held_bytes=1000)
    relay.feed(sse[: sse.index(event)])

    with pytest.raises(StreamOverflowError):
        [relay.feed(event) for _ in range(3000)]


def failed(relay: StreamRelay, failure: Failure) -> bytes:
    out, last = run(relay, [failure.sse])
    assert len(last) == 1
    assert isinstance(last[0], Failed)
    assert last[0].fault.code == failure.code
    return out + relay.fail(last[0].fault)


FAILED = [(c, f) for c in ("chat", "messages", "responses") for f in FAILURES if f.format != c]


@pytest.mark.parametrize(("client", "failure"), FAILED, ids=lambda v: getattr(v, "name", v))
def test_a_failed_stream_never_reads_like_a_good_one(client: FormatName, failure: Failure) -> None:
    relay = opened(client, failure.format)  # type: ignore[arg-type]
    stream = failed(relay, failure)

    assert relay.close() == b""
    assert relay.fail(Fault(code="upstream_error", message="x")) == b""
    if client == "chat":
        assert b"[DONE]" not in stream
        with pytest.raises(openai.APIError, match="upstream"):
            read_stream(client, [stream])
    elif client == "messages":
        assert b"message_stop" not in stream
        with pytest.raises(anthropic.APIError, match="upstream"):
            read_stream(client, [stream])
    else:
        typed_events(client, stream)
        tree = read_stream(client, [stream])
        assert tree["status"] == "failed"
        assert "upstream" in tree["error"]["message"]
        assert relay.result() == msgspec.json.decode(msgspec.json.encode(relay.result()))


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f"{f.format}-{f.name}")
def test_the_typed_messages_client_is_told_of_a_failure_in_text(failure: Failure) -> None:
    if failure.format == "messages":
        return
    relay = opened("messages", failure.format, native=False)  # type: ignore[arg-type]
    stream = failed(relay, failure)
    events = typed_events("messages", stream)
    said = "".join(
        e["delta"]["text"] for e in events if e["type"] == "content_block_delta" and e["delta"]
    )

    assert "ended early" in said
    assert events[-1]["type"] == "message_stop"
    assert events[-2]["delta"]["stop_reason"] == "end_turn"
    assert read_stream("messages", [stream])["stop_reason"] == "end_turn"


def test_a_stream_closed_without_an_end_is_a_failure() -> None:
    relay = opened("chat", "messages")
    relay.feed(SCENARIOS["text"].messages.sse[:400])

    assert b'"error"' in relay.close()


def test_the_whole_response_is_kept_for_later_requests() -> None:
    relay = opened("responses", "messages")
    run(relay, [SCENARIOS["text_and_call"].messages.sse], decide=lambda call: f"tc-{call.id}")
    relay.close()
    result = relay.result()

    assert result is not None
    assert [item["type"] for item in result["output"]] == ["message", "function_call"]
    assert result["output"][1]["call_id"] == "tc-call_w1"


def test_a_response_echoes_what_was_asked() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    echoed = {
        "tools": tools,
        "tool_choice": "required",
        "temperature": 0.25,
        "metadata": {"a": "b"},
        "instructions": "be kind",
        "parallel_tool_calls": False,
        "max_output_tokens": 99,
        "previous_response_id": "resp_0",
        "text": {"verbosity": "low"},
    }
    machine = exchange("responses", "chat", now=lambda: 5.0, new_id=lambda prefix: f"{prefix}_new")
    machine.request(head_of("responses", minimal("responses", **echoed)), Edits())
    answer = machine.answer(SCENARIOS["text"].chat.json)
    tree = msgspec.json.decode(answer.finish({}))

    assert {key: tree[key] for key in echoed} == echoed
    assert (tree["id"], answer.response_id) == ("resp_new", "resp_new")
    assert tree["output"][0]["id"] == "msg_new_0"


def test_two_calls_of_one_id_are_told_apart() -> None:
    chunk = (
        b'data: {"id":"x","choices":[{"index":0,"delta":{"tool_calls":[{"index":%d,"id":"same",'
        b'"function":{"name":"f","arguments":"{}"}}]}}]}\n\n'
    )
    data = chunk % 0 + chunk % 1 + b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    steps = opened("messages", "chat").feed(data)
    ids = [step.call.id for step in steps if isinstance(step, Held)]

    assert len(ids) == len(set(ids)) == 2


def test_arguments_that_name_a_member_twice_leave_as_they_were_decided() -> None:
    arguments = '{\\"to\\":\\"a\\",\\"to\\":\\"b\\"}'
    data = (
        'data: {"id":"x","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"1",'
        f'"function":{{"name":"f","arguments":"{arguments}"}}}}]}},"finish_reason":"tool_calls"}}]}}'
        "\n\n"
    ).encode()
    steps = opened("responses", "chat").feed(data)
    (held,) = [step for step in steps if isinstance(step, Held)]

    assert held.call.arguments == '{"to":"b"}'


def test_a_character_cut_in_halves_by_the_provider_is_joined() -> None:
    chunk = 'data: {"id":"x","choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'
    end = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    data = "".join(chunk % t for t in ("a\\ud83d", "\\ude00b", "\\ud83d")) + end
    relay = opened("messages", "chat")
    out, _ = run(relay, [data.encode()])
    text, _, _ = texts_and_calls("messages", out + relay.close())

    assert text == "a😀b\ufffd"
