"""Denied, mixed, rewritten and continued calls, as the published clients read the result."""

import json
from typing import Any

import pytest
from relay_driving import (
    FORMATS,
    SESSION,
    Client,
    bytewise,
    events,
    head_for,
    none,
    ours,
    relayed,
    sse,
)
from tests.support.stream_corpus import SCENARIOS, Scenario
from tests.support.wire_clients import read_stream, typed_events

from interlock.providers.wire.exchange import Ended, FormatName, OfferedTool
from interlock.providers.wire.model import Fault, StopReason, ToolCall, Usage
from interlock.providers.wire.relay import relay_exchange

SUM = Usage(input=100, output=50, cache_read=10, reasoning=7)


def calls_of(name: str, final: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """(id, name, arguments) of the calls a client ended up with."""
    match name:
        case "chat":
            found = final["tool_calls"]
            return [(c["id"], c["name"], json.loads(c["arguments"] or "{}")) for c in found]
        case "messages":
            found = [b for b in final["content"] if b["type"] == "tool_use"]
            return [(b["id"], b["name"], b["input"]) for b in found]
        case _:
            found = [i for i in final["output"] if i["type"] == "function_call"]
            return [(i["call_id"], i["name"], json.loads(i["arguments"])) for i in found]


def text_of(name: str, final: dict[str, Any]) -> str:
    match name:
        case "chat":
            return final["content"] or ""
        case "messages":
            return "".join(b["text"] for b in final["content"] if b["type"] == "text")
        case _:
            parts = [p for i in final["output"] if i["type"] == "message" for p in i["content"]]
            return "".join(p["text"] for p in parts)


def stop_of(name: str, final: dict[str, Any]) -> str:
    return str(final[{"chat": "finish_reason", "messages": "stop_reason"}.get(name, "status")])


CALLING = [s for s in SCENARIOS.values() if s.calls]
ENDED = {"chat": "stop", "messages": "end_turn", "responses": "completed"}
CALLED = {"chat": "tool_calls", "messages": "tool_use", "responses": "completed"}


@pytest.mark.parametrize("scenario", CALLING, ids=lambda s: s.name)
@pytest.mark.parametrize("name", FORMATS)
def test_clients_read_allowed_calls_under_our_ids(name: FormatName, scenario: Scenario) -> None:
    final = read_stream(name, [relayed(name, [scenario.recorded(name).sse])])

    assert calls_of(name, final) == [
        (f"tc-{c.id}", c.name, json.loads(c.arguments)) for c in scenario.calls
    ]
    assert text_of(name, final) == scenario.text
    assert stop_of(name, final) == CALLED[name]


@pytest.mark.parametrize("scenario", CALLING, ids=lambda s: s.name)
@pytest.mark.parametrize("name", FORMATS)
def test_clients_read_an_ordinary_answer_when_all_calls_are_denied(
    name: FormatName, scenario: Scenario
) -> None:
    reader = Client(name).read([scenario.recorded(name).sse], none)
    final = read_stream(name, [reader.close(extra_text="Denied.", stop=StopReason.END)])

    assert calls_of(name, final) == []
    assert text_of(name, final).endswith("Denied.")
    assert stop_of(name, final) == ENDED[name]


@pytest.mark.parametrize("name", FORMATS)
def test_an_answer_of_denied_calls_alone_ends_well_without_a_word(name: FormatName) -> None:
    stream = relayed(name, [SCENARIOS["one_call"].recorded(name).sse], none)

    final = read_stream(name, [stream])

    assert (calls_of(name, final), stop_of(name, final)) == ([], ENDED[name])


@pytest.mark.parametrize("denied", [{0}, {1}, {2}, {0, 1}, {1, 2}])
@pytest.mark.parametrize("scenario", ["parallel_calls", "reasoning_and_calls"])
@pytest.mark.parametrize("name", FORMATS)
def test_denied_siblings_leave_no_gap(name: FormatName, scenario: str, denied: set[int]) -> None:
    told = SCENARIOS[scenario]
    names = [call.id for call in told.calls]

    def decide(call: ToolCall) -> str | None:
        return None if names.index(call.id) in denied else f"tc-{call.id}"

    stream = relayed(name, bytewise(told.recorded(name).sse), decide)

    left = [c for i, c in enumerate(told.calls) if i not in denied]
    assert calls_of(name, read_stream(name, [stream])) == [
        (f"tc-{c.id}", c.name, json.loads(c.arguments)) for c in left
    ]
    typed_events(name, relayed(name, [told.recorded(name).sse], decide, native=False))


@pytest.mark.parametrize("scenario", ["one_call", "call_without_arguments", "parallel_calls"])
@pytest.mark.parametrize("name", FORMATS)
def test_rewritten_arguments_are_all_the_client_sees(name: FormatName, scenario: str) -> None:
    reader = Client(name).read(
        [SCENARIOS[scenario].recorded(name).sse], ours, lambda call: '{"to":"[REDACTED]"}'
    )

    stream = reader.close()

    found = calls_of(name, read_stream(name, [stream]))
    assert [arguments for _, _, arguments in found] == [{"to": "[REDACTED]"}] * len(found)
    assert "Zür".encode() not in stream
    assert b"a@x.org" not in stream


@pytest.mark.parametrize("second", ["text", "parallel_calls", "reasoning", "multi_part"])
@pytest.mark.parametrize("first", ["text_and_call", "one_call", "reasoning_and_calls"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_continued_answer_is_one_answer_to_the_client(
    name: FormatName, first: str, second: str
) -> None:
    before, after = SCENARIOS[first], SCENARIOS[second]
    reader = Client(name).read([before.recorded(name).sse], none)
    reader.relay.next_round()
    reader.read(bytewise(after.recorded(name).sse), ours)
    stream = reader.close(usage=SUM)

    final = read_stream(name, [stream])

    apart = "\n\n" if name == "chat" and before.text and after.text else ""
    assert text_of(name, final) == before.text + apart + after.text
    assert [c[0] for c in calls_of(name, final)] == [f"tc-{c.id}" for c in after.calls]
    assert final["id"] == {"chat": f"chatcmpl-{first}", "messages": f"msg_{first}"}.get(
        name, f"resp_{first}"
    )
    usage = final["usage"]
    if name == "chat":
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (100, 50)
        ids = {e["id"] for e in events(stream) if e != "[DONE]"}
        assert ids == {f"chatcmpl-{first}"}
    elif name == "messages":
        assert (usage["input_tokens"], usage["output_tokens"]) == (90, 50)
        assert usage["cache_read_input_tokens"] == 10
        assert stream.count(b"event: message_start") == 1
    else:
        assert (usage["input_tokens"], usage["total_tokens"]) == (100, 150)
        numbers = [e["sequence_number"] for e in events(stream)]
        assert numbers == list(range(len(numbers)))
        assert stream.count(b"event: response.created") == 1
        assert reader.relay.result() == events(stream)[-1]["response"]


@pytest.mark.parametrize("name", FORMATS)
def test_three_denied_rounds_and_a_sentence_still_read_as_one_answer(name: FormatName) -> None:
    reader = Client(name)
    for round_ in range(3):
        if round_:
            reader.relay.next_round()
        reader.read([SCENARIOS["text_and_call"].recorded(name).sse], none)
    final = read_stream(name, [reader.close(extra_text="No.", usage=SUM, stop=StopReason.END)])

    assert text_of(name, final).count("Let me see.") == 3
    assert text_of(name, final).endswith("No.")
    assert calls_of(name, final) == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_failure_in_a_continued_round_is_told_once(name: FormatName) -> None:
    reader = Client(name).read([SCENARIOS["text_and_call"].recorded(name).sse], none)
    reader.relay.next_round()
    sse_bytes = SCENARIOS["text"].recorded(name).sse
    reader.read([sse_bytes[: len(sse_bytes) // 2]])

    stream = reader.close()

    last = events(stream)[-1]
    match name:
        case "chat":
            assert last["error"]["code"] == "upstream_truncated"
            assert "[DONE]" not in events(stream)
        case "messages":
            assert last["type"] == "error"
        case _:
            assert last["type"] == "response.failed"
            assert last["response"]["output"][0]["content"][0]["text"] == "Let me see."
    assert reader.relay.close() == b""


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda s: s.name)
@pytest.mark.parametrize("name", FORMATS)
def test_the_typed_client_reads_every_event(name: FormatName, scenario: Scenario) -> None:
    stream = relayed(name, [scenario.recorded(name).sse], native=False)

    assert typed_events(name, stream)
    assert b"ping" not in stream or name != "messages"


def test_the_typed_client_gets_thinking_as_text_too() -> None:
    stream = relayed("messages", [SCENARIOS["reasoning"].messages.sse], native=False)
    found = events(stream)

    starts = [e["content_block"] for e in found if e["type"] == "content_block_start"]
    deltas = [e["delta"] for e in found if e["type"] == "content_block_delta"]
    assert starts[0] == {"type": "thinking", "thinking": "", "signature": "", "text": ""}
    assert deltas[0] == {"type": "thinking_delta", "thinking": "First, ", "text": "First, "}


def test_the_typed_client_is_told_of_a_failure_in_words() -> None:
    for at in (0, 400, 700):
        reader = Client("messages", native=False).read([SCENARIOS["text"].messages.sse[:at]])
        stream = reader.close()

        typed_events("messages", stream)
        final = read_stream("messages", [stream])
        assert "too early" in text_of("messages", final)
        assert stop_of("messages", final) == "end_turn"


def test_the_typed_client_gets_no_blocks_it_cannot_read() -> None:
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
    upstream = SCENARIOS["text"].messages.sse.replace(
        b'event: content_block_start\ndata: {"type": "content_block_start", "index": 0',
        sse(
            {"type": "content_block_start", "index": 0, "content_block": found},
            {"type": "content_block_stop", "index": 0},
            named=True,
        )
        + b'event: content_block_start\ndata: {"type": "content_block_start", "index": 0',
    )

    stream = relayed("messages", [upstream], native=False)

    assert b"web_search_tool_result" not in stream
    assert text_of("messages", read_stream("messages", [stream])) == SCENARIOS["text"].text
    assert b"web_search_tool_result" in relayed("messages", [upstream])


def test_usage_the_client_did_not_ask_for_is_hidden() -> None:
    upstream = SCENARIOS["text"].chat.sse

    stream = relayed("chat", [upstream], hide_usage=True)

    assert not any(e["usage"] for e in events(stream) if e != "[DONE]")
    assert stream.endswith(b"data: [DONE]\n\n")
    reader = Client("chat", hide_usage=True).read([upstream])
    assert isinstance(reader.end, Ended)
    assert reader.end.usage == Usage(input=16, output=5)


def test_usage_inside_the_last_choice_chunk_is_hidden_too() -> None:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    counts = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    upstream = sse({**chunk, "choices": [end], "usage": counts}, "[DONE]")

    assert "usage" not in events(relayed("chat", [upstream], hide_usage=True))[0]
    assert events(relayed("chat", [upstream]))[0]["usage"] == counts


def test_usage_nobody_told_is_told_when_the_client_asked() -> None:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    upstream = sse({**chunk, "choices": [end]}, "[DONE]")
    counted = Usage(input=3, output=4, estimated=True)

    asked = Client("chat").read([upstream]).close(usage=counted)
    silent = Client("chat", head=head_for("chat", wants_usage=False)).read([upstream])

    assert events(asked)[-2]["usage"]["total_tokens"] == 7
    assert b"usage" not in silent.close(usage=counted)


@pytest.mark.parametrize("name", FORMATS)
def test_a_notice_is_said_before_the_end(name: FormatName) -> None:
    reader = Client(name).read([SCENARIOS["text"].recorded(name).sse])

    final = read_stream(name, [reader.close(extra_text="Not financial advice.")])

    assert text_of(name, final).startswith(SCENARIOS["text"].text)
    assert text_of(name, final).endswith("Not financial advice.")
    assert stop_of(name, final) == ENDED[name]


def test_the_official_sdk_raises_on_a_failed_chat_stream() -> None:
    reader = Client("chat").read([SCENARIOS["text"].chat.sse[:900]])

    with pytest.raises(Exception, match="too early"):
        read_stream("chat", [reader.close()])


def test_the_failure_of_a_responses_upstream_is_the_answer() -> None:
    failed = {
        "id": "r1",
        "status": "failed",
        "error": {"code": "rate_limit_exceeded", "message": "x"},
    }
    upstream = sse(
        {"type": "response.created", "sequence_number": 0, "response": {"id": "r1"}},
        {"type": "response.failed", "sequence_number": 1, "response": failed},
        named=True,
    )

    last = events(relayed("responses", [upstream]))[-1]

    assert last["type"] == "response.failed"
    assert last["response"]["error"] == failed["error"]
    assert last["sequence_number"] == 1


def test_a_failure_keeps_the_kind_the_messages_upstream_gave_it() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    upstream = SCENARIOS["text"].messages.sse[:400]
    upstream = upstream[: upstream.rindex(b"\n\n") + 2] + sse(error, named=True)

    assert events(relayed("messages", [upstream]))[-1] == error


@pytest.mark.parametrize("name", FORMATS)
def test_the_model_is_asked_again_with_what_it_said_and_the_denials(name: FormatName) -> None:
    told = SCENARIOS["reasoning_and_calls"]
    exchange = relay_exchange(name)
    start = {"chat": "messages", "messages": "messages", "responses": "input"}[name]
    body = json.dumps(
        {"model": "m", start: [{"role": "user", "content": "hi"}], "x": 1.50}
    ).encode()
    denials = {call.id: f"denied {call.name}" for call in told.calls}
    streamed = Client(name, exchange=exchange).read(bytewise(told.recorded(name).sse), none)
    first = json.loads(exchange.again(body, streamed.calls, denials))
    streamed.relay.next_round()
    later = json.loads(exchange.again(body, streamed.calls, denials))

    whole = relay_exchange(name)
    answer = whole.answer(told.recorded(name).json)
    second = json.loads(whole.again(body, answer.calls, denials))

    assert first == later
    assert first[start] == second[start]
    assert first["x"] == 1.5
    assert b"1.50" in exchange.again(body, streamed.calls, denials)
    added = json.dumps(first[start][1:])
    for call in told.calls:
        assert call.id in added
        assert f"denied {call.name}" in added
    assert "Calling." in added
    assert "proof" in added or name == "chat" or "cHJvb2Y=" in added


def test_thinking_goes_back_with_its_signature_before_the_calls() -> None:
    told = SCENARIOS["reasoning_and_calls"]
    exchange = relay_exchange("messages")
    reader = Client("messages", native=False, exchange=exchange).read([told.messages.sse], none)
    body = b'{"model":"m","tool_choice":{"type":"any"},"messages":[{"role":"user","content":"hi"}]}'

    tree = json.loads(
        exchange.again(body, reader.calls, dict.fromkeys(["call_w1", "call_m2"], "no"))
    )

    assert tree["messages"][1] == {"role": "assistant", "content": told.messages.body["content"]}
    assert tree["messages"][2]["content"][0] == {
        "type": "tool_result",
        "tool_use_id": "call_w1",
        "content": "no",
        "is_error": True,
    }
    assert tree["tool_choice"] == {"type": "auto"}


def test_ids_of_another_choice_are_never_mixed_up() -> None:
    def chunk(index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "finish_reason": reason}
        about = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return {**about, "choices": [choice]}

    def call(call_id: str, name: str) -> dict[str, Any]:
        function = {"name": name, "arguments": "{}"}
        return {
            "tool_calls": [{"index": 0, "id": call_id, "type": "function", "function": function}]
        }

    upstream = sse(
        chunk(0, {"role": "assistant", "content": None}),
        chunk(1, {"role": "assistant", "content": None}),
        chunk(1, call("b", "two")),
        chunk(0, call("a", "one")),
        chunk(0, {}, "tool_calls"),
        chunk(1, {}, "tool_calls"),
        "[DONE]",
    )

    def only_two(found: ToolCall) -> str | None:
        return "tc-b" if found.name == "two" else None

    found = events(relayed("chat", [upstream], only_two))
    ends = {c["index"]: c["finish_reason"] for e in found[:-1] for c in e["choices"]}
    told = [
        (c["index"], t["id"])
        for e in found[:-1]
        for c in e["choices"]
        for t in c["delta"].get("tool_calls", [])
    ]

    assert told == [(1, "tc-b")]
    assert ends == {0: "stop", 1: "tool_calls"}


def test_the_deprecated_function_call_is_decided_too() -> None:
    about = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**about, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    upstream = sse(
        chunk(
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}
        ),
        chunk({"function_call": {"arguments": '{"a":'}}),
        chunk({"function_call": {"arguments": "1}"}}),
        chunk({}, "function_call"),
        "[DONE]",
    )
    reader = Client("chat").read([upstream])

    assert [(c.name, c.arguments) for c in reader.calls] == [("f", '{"a":1}')]
    assert events(reader.close()) == events(upstream)
    denied = relayed("chat", [upstream], none)
    assert b"function_call" not in denied
    assert read_stream("chat", [denied])["finish_reason"] == "stop"


def test_a_stream_that_never_says_done_is_complete_with_a_finish_reason() -> None:
    upstream = SCENARIOS["one_call"].chat.sse.replace(b"data: [DONE]\n\n", b"")
    reader = Client("chat").read([upstream])

    assert isinstance(reader.end, Ended)
    assert reader.close().endswith(b"data: [DONE]\n\n")


def test_an_answer_that_calls_in_a_single_chunk_is_split() -> None:
    about = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    calls = [
        {
            "index": 0,
            "id": f"c{i}",
            "type": "function",
            "function": {"name": f"f{i}", "arguments": "{}"},
        }
        for i in range(3)
    ]
    delta = {"role": "assistant", "content": "Both.", "tool_calls": calls}
    upstream = sse(
        {**about, "choices": [{"index": 0, "delta": delta, "finish_reason": "tool_calls"}]},
        "[DONE]",
    )

    def second(call: ToolCall) -> str | None:
        return None if call.name == "f1" else f"tc-{call.id}"

    final = read_stream("chat", [relayed("chat", [upstream], second)])

    assert final["content"] == "Both."
    assert [(c["id"], c["name"]) for c in final["tool_calls"]] == [("tc-c0", "f0"), ("tc-c2", "f2")]
    assert final["finish_reason"] == "tool_calls"


def test_every_kind_of_item_the_client_would_run_is_held() -> None:
    items: list[dict[str, Any]] = [
        {
            "type": "function_call",
            "id": "1",
            "call_id": "c1",
            "name": "f",
            "namespace": "crm",
            "arguments": "{}",
        },
        {"type": "custom_tool_call", "id": "2", "call_id": "c2", "name": "py", "input": "print()"},
        {
            "type": "local_shell_call",
            "id": "3",
            "call_id": "c3",
            "action": {"type": "exec", "command": ["ls"]},
        },
        {
            "type": "shell_call",
            "id": "4",
            "call_id": "c4",
            "action": {"commands": ["ls"]},
            "environment": None,
        },
        {
            "type": "apply_patch_call",
            "id": "5",
            "call_id": "c5",
            "operation": {"type": "delete_file", "path": "x"},
        },
        {
            "type": "computer_call",
            "id": "6",
            "call_id": "c6",
            "action": {"type": "click", "x": 1, "y": 2},
        },
        {
            "type": "mcp_approval_request",
            "id": "7",
            "name": "rm",
            "server_label": "fs",
            "arguments": "{}",
        },
        {
            "type": "tool_search_call",
            "id": "8",
            "call_id": "c8",
            "execution": "client",
            "arguments": {},
        },
        {"type": "teleport_call", "id": "9", "call_id": "c9", "where": "Mars"},
    ]
    run = [
        {"type": "web_search_call", "id": "w", "status": "completed"},
        {"type": "mcp_call", "id": "m", "name": "n", "server_label": "s", "arguments": "{}"},
        {
            "type": "shell_call",
            "id": "h",
            "call_id": "h",
            "environment": {"type": "container_reference"},
        },
        {"type": "code_interpreter_call", "id": "i"},
    ]
    listed = [*items, *run]
    upstream = sse(
        {"type": "response.created", "sequence_number": 0, "response": {"id": "r"}},
        *(
            {
                "type": f"response.output_item.{step}",
                "sequence_number": 0,
                "output_index": i,
                "item": item,
            }
            for i, item in enumerate(listed)
            for step in ("added", "done")
        ),
        {
            "type": "response.completed",
            "sequence_number": 0,
            "response": {"id": "r", "output": listed},
        },
        named=True,
    )
    reader = Client("responses").read([upstream])
    stream = reader.close()
    answer = relay_exchange("responses").answer(json.dumps({"id": "r", "output": listed}).encode())

    expected = [
        ("crm.f", {}),
        ("py", {"input": "print()"}),
        ("local_shell", {"type": "exec", "command": ["ls"]}),
        ("shell", {"commands": ["ls"]}),
        ("apply_patch", {"type": "delete_file", "path": "x"}),
        ("computer", {"type": "click", "x": 1, "y": 2}),
        ("fs.rm", {}),
        ("tool_search", {}),
        ("teleport", {"where": "Mars"}),
    ]
    for calls in (reader.calls, answer.calls):
        assert [(c.qualified, json.loads(c.arguments)) for c in calls] == expected
    told = events(stream)[-1]["response"]["output"]
    assert [i.get("call_id") for i in told] == [
        *(f"tc-c{i}" for i in range(1, 7)),
        None,
        "tc-c8",
        "tc-c9",
        None,
        None,
        "h",
        None,
    ]
    denied = events(relayed("responses", [upstream], none))
    assert denied[-1]["response"]["output"] == run
    assert [e["sequence_number"] for e in denied] == list(range(len(denied)))
    assert (
        json.loads(answer.finish({}, denied=frozenset(c.id for c in answer.calls)))["output"] == run
    )


def test_a_call_only_the_final_object_tells_is_held_too() -> None:
    item = {"type": "function_call", "id": "f", "call_id": "c1", "name": "f", "arguments": "{}"}
    upstream = sse(
        {"type": "response.created", "sequence_number": 0, "response": {"id": "r"}},
        {
            "type": "response.completed",
            "sequence_number": 1,
            "response": {"id": "r", "output": [item]},
        },
        named=True,
    )
    reader = Client("responses").read([upstream])

    assert [c.name for c in reader.calls] == ["f"]
    assert events(reader.close())[-1]["response"]["output"] == [{**item, "call_id": "tc-c1"}]
    assert b"c1" not in relayed("responses", [upstream], none)


def test_failing_says_nothing_after_closing() -> None:
    for name in FORMATS:
        reader = Client(name).read([SCENARIOS["text"].recorded(name).sse])
        reader.close()

        assert reader.relay.close() == b""
        assert reader.relay.fail(Fault(code="upstream_error", message="late")) == b""


def test_a_response_nobody_began_fails_as_a_whole_one() -> None:
    reader = Client(
        "responses", head=head_for("responses", tools=[OfferedTool(name="x", kind="f")])
    )
    reader.read([])

    found = events(reader.close())

    assert [e["type"] for e in found] == ["response.created", "response.failed"]
    assert found[1]["response"]["id"] == f"resp_{SESSION.replace('-', '')}"
    assert reader.relay.result() == found[1]["response"]
