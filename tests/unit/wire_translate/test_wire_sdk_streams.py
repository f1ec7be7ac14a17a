"""Every scenario through every pair of formats, as the published clients see it."""

from typing import Any

import msgspec
import pytest
from tests.support.stream_corpus import SCENARIOS
from tests.support.wire_clients import parse_body, read_stream, typed_body, typed_events
from tests.support.wire_exchanges import PAIRS, asked, cut, head_of, minimal, run

from interlock.providers.wire.exchange import Edits, FormatName, Held
from interlock.providers.wire.model import ToolCall


def our(call: ToolCall) -> str:
    return f"tc-{call.id}"


def comparable(client: str, tree: dict[str, Any]) -> dict[str, Any]:
    """Without what may differ: white space of arguments, nulls, time of our own."""
    tree = msgspec.json.decode(msgspec.json.encode(tree))
    for call in tree.get("tool_calls", []) if client == "chat" else []:
        call["arguments"] = msgspec.json.decode(call["arguments"])
    for item in tree.get("output", []):
        if item["type"] == "function_call":
            item["arguments"] = msgspec.json.decode(item["arguments"])
    return drop_nulls(tree)


def drop_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: drop_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [drop_nulls(item) for item in value]
    return value


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_a_client_reads_from_a_stream_is_what_it_reads_from_the_whole_answer(
    client: FormatName, upstream: FormatName, scenario: str
) -> None:
    recorded = SCENARIOS[scenario].recorded(upstream)
    machine, head = asked(client, upstream)
    answer = machine.answer(recorded.json)
    body = answer.finish({call.id: our(call) for call in answer.calls})
    whole = comparable(client, parse_body(client, body))

    size = len(recorded.sse)
    for at in (0, size // 5, size // 3, size // 2, size - 30):
        relay = machine.stream(head, hide_usage=False, native_client=True, session_id="s")
        out, _ = run(relay, cut(recorded.sse, at, at + 1), decide=our)
        stream = out + relay.close()
        typed_events(client, stream)
        middle = len(stream) // 2
        read = comparable(client, read_stream(client, cut(stream, middle, middle + 1)))
        if client == "chat":
            read.setdefault("content", "")
            read.pop("object", None)
        assert read == whole


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_client_gets_the_same_bytes_however_the_upstream_cut_them(
    client: FormatName, upstream: FormatName, scenario: str
) -> None:
    sse = SCENARIOS[scenario].recorded(upstream).sse
    machine, head = asked(client, upstream)

    def told(chunks: list[bytes]) -> bytes:
        relay = machine.stream(head, hide_usage=False, native_client=True, session_id="s")
        return run(relay, chunks, decide=our)[0] + relay.close()

    whole = told([sse])
    for at in range(0, len(sse), max(1, len(sse) // 40)):
        assert told(cut(sse, at)) == whole


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_typed_client_accepts_every_answer_and_stream(
    client: FormatName, upstream: FormatName, scenario: str
) -> None:
    recorded = SCENARIOS[scenario].recorded(upstream)
    machine, head = asked(client, upstream)
    machine.request(head, Edits(native_client=False))
    typed_body(client, machine.answer(recorded.json).finish({}))
    relay = machine.stream(head, hide_usage=False, native_client=False, session_id="s")
    out, _ = run(relay, [recorded.sse])

    assert typed_events(client, out + relay.close())


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
def test_text_and_calls_survive_every_pair(client: FormatName, upstream: FormatName) -> None:
    scenario = SCENARIOS["reasoning_and_calls"]
    machine, head = asked(client, upstream)
    relay = machine.stream(head, hide_usage=False, native_client=True, session_id="s")
    held: list[ToolCall] = []
    for step in relay.feed(scenario.recorded(upstream).sse):
        if isinstance(step, Held):
            held.append(step.call)

    assert [(c.id, c.name, c.arguments) for c in held] == [
        (c.id, c.name, c.arguments) for c in scenario.calls
    ]


def test_usage_counts_cached_tokens_as_each_format_does() -> None:
    scenario = SCENARIOS["cached_usage"]
    seen = {}
    for client, upstream in PAIRS:
        machine, _ = asked(client, upstream)
        answer = machine.answer(scenario.recorded(upstream).json)
        seen[client, upstream] = msgspec.json.decode(answer.finish({}))["usage"]

    chat = {
        "prompt_tokens": 1200,
        "completion_tokens": 7,
        "total_tokens": 1207,
        "prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 150},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    messages = {
        "input_tokens": 50,
        "cache_creation_input_tokens": 150,
        "cache_read_input_tokens": 1000,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3},
    }
    assert seen["chat", "messages"] == chat
    assert seen["messages", "chat"] == messages
    assert seen["responses", "messages"] == {
        "input_tokens": 1200,
        "input_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 150},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1207,
    }
    assert seen["chat", "responses"]["prompt_tokens"] == 1200
    assert seen["messages", "responses"]["input_tokens"] == 200


@pytest.mark.parametrize(
    ("client", "scenario", "reason"),
    [
        ("chat", "text", "stop"),
        ("chat", "truncated", "length"),
        ("chat", "one_call", "tool_calls"),
        ("chat", "filtered", "content_filter"),
        ("chat", "stop_sequence", "stop"),
        ("messages", "text", "end_turn"),
        ("messages", "truncated", "max_tokens"),
        ("messages", "one_call", "tool_use"),
        ("messages", "filtered", "refusal"),
        ("responses", "text", ("completed", None)),
        ("responses", "truncated", ("incomplete", "max_output_tokens")),
        ("responses", "one_call", ("completed", None)),
        ("responses", "filtered", ("incomplete", "content_filter")),
    ],
)
def test_stop_reasons_follow_the_table(client: FormatName, scenario: str, reason: object) -> None:
    for upstream in ("chat", "messages", "responses"):
        if upstream == client:
            continue
        machine, _ = asked(client, upstream)  # type: ignore[arg-type]
        answer = machine.answer(SCENARIOS[scenario].recorded(upstream).json)
        tree = msgspec.json.decode(answer.finish({}))
        said: object
        if client == "chat":
            said = tree["choices"][0]["finish_reason"]
        elif client == "messages":
            said = tree["stop_reason"]
        else:
            said = (tree["status"], (tree["incomplete_details"] or {}).get("reason"))
        assert said == reason


def test_a_stop_sequence_is_an_end_to_a_chat_client() -> None:
    machine, _ = asked("chat", "messages")
    answer = machine.answer(SCENARIOS["stop_sequence"].messages.json)

    assert answer.stop == "stop_sequence"
    assert msgspec.json.decode(answer.finish({}))["choices"][0]["finish_reason"] == "stop"


def test_a_chat_client_that_did_not_ask_for_usage_sees_no_usage_chunk() -> None:
    machine, head = asked("chat", "messages", stream_options=None)
    relay = machine.stream(head, hide_usage=False, native_client=True, session_id="s")
    out, _ = run(relay, [SCENARIOS["text"].messages.sse])

    assert b'"usage"' not in out + relay.close()


def test_the_typed_client_reads_thoughts_from_a_member_text() -> None:
    machine, head = asked("messages", "chat")
    recorded = SCENARIOS["reasoning"].chat
    relay = machine.stream(head, hide_usage=False, native_client=False, session_id="s")
    out, _ = run(relay, [recorded.sse])
    block = typed_events("messages", out)[1]["content_block"]

    assert block["type"] == "thinking"
    assert b'"content_block":{"type":"thinking","thinking":"","signature":"","text":""}' in out
    machine, _ = asked("messages", "chat")
    machine.request(head_of("messages", minimal("messages")), Edits(native_client=False))
    body = machine.answer(recorded.json).finish({})
    typed_body("messages", body)
    thought = "First, think…\n\nthen"
    assert msgspec.json.decode(body)["content"][0] == {
        "type": "thinking",
        "thinking": thought,
        "signature": "",
        "text": thought,
    }
