"""Whole answers: untouched without calls, exact under verdicts, malformed ones refused."""

import json
from typing import Any

import pytest
from relay_driving import FORMATS, head_for, peeked
from tests.support.stream_corpus import SCENARIOS, Scenario
from tests.support.wire_clients import parse_body, typed_body

from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.exchange import Answer, Edits, FormatName
from interlock.providers.wire.model import StopReason, ToolCall, Usage
from interlock.providers.wire.relay import relay_exchange

PAIRS = [(name, s) for name in FORMATS for s in SCENARIOS.values()]
IDS = [f"{name}-{s.name}" for name, s in PAIRS]


def opened(name: FormatName, body: bytes | dict[str, Any]) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return relay_exchange(name).answer(data)


def ids_of(answer: Answer) -> dict[str, str]:
    return {call.id: f"tc-{call.id}" for call in answer.calls}


@pytest.mark.parametrize(("name", "scenario"), PAIRS, ids=IDS)
def test_an_answer_without_calls_comes_back_as_the_same_bytes(
    name: FormatName, scenario: Scenario
) -> None:
    body = scenario.recorded(name).json
    answer = opened(name, body)

    assert [(c.id, c.name, json.loads(c.arguments)) for c in answer.calls] == [
        (c.id, c.name, json.loads(c.arguments)) for c in scenario.calls
    ]
    assert answer.usage is not None
    inp, out, read, _, _ = scenario.usage
    assert (answer.usage.input, answer.usage.output) == (inp, out)
    assert answer.usage.cache_read == read
    assert answer.model == "model-1"
    if not scenario.calls:
        assert answer.finish({}) is body
        assert answer.finish({}, usage=answer.usage, stop=answer.stop) is body


@pytest.mark.parametrize(("name", "scenario"), PAIRS, ids=IDS)
def test_allowed_calls_change_nothing_but_their_ids(name: FormatName, scenario: Scenario) -> None:
    text = json.dumps(scenario.recorded(name).body)
    for call in scenario.calls:
        text = text.replace(f'"{call.id}"', f'"tc-{call.id}"')
    answer = opened(name, scenario.recorded(name).json)

    body = answer.finish(ids_of(answer))

    assert json.loads(body) == json.loads(text)
    parse_body(name, body)
    if name != "messages" or b'"thinking"' not in body:
        typed_body(name, body)


@pytest.mark.parametrize("name", FORMATS)
def test_numbers_and_unknown_members_survive_an_edit(name: FormatName) -> None:
    tree = SCENARIOS["one_call"].recorded(name).body
    text = json.dumps({**tree, "x_new": {"keep": [None, "é"]}})
    text = (
        text[:-1]
        + ', "x_numbers": [1.0, 1, 1.50, 1e2, 123456789012345678901, 0.1234567890123456789]}'
    )
    answer = opened(name, text.encode())

    body = answer.finish(ids_of(answer))

    assert b'"x_numbers":[1.0,1,1.50,1e2,123456789012345678901,0.1234567890123456789]' in body
    assert '"x_new":{"keep":[null,"é"]}'.encode() in body
    assert list(json.loads(body)) == [*tree, "x_new", "x_numbers"]


def calls_left(name: FormatName, tree: dict[str, Any]) -> list[str]:
    match name:
        case "chat":
            found = tree["choices"][0]["message"].get("tool_calls", [])
            return [call["id"] for call in found]
        case "messages":
            return [b["id"] for b in tree["content"] if b["type"] == "tool_use"]
        case _:
            return [i["call_id"] for i in tree["output"] if i["type"] == "function_call"]


@pytest.mark.parametrize("name", FORMATS)
def test_denied_calls_are_gone_and_the_answer_ends_by_itself(name: FormatName) -> None:
    answer = opened(name, SCENARIOS["text_and_call"].recorded(name).json)
    denied = frozenset(call.id for call in answer.calls)

    body = answer.finish({}, denied=denied, extra_text="Denied.")

    tree = json.loads(body)
    assert calls_left(name, tree) == []
    assert b"call_w1" not in body
    assert b"Denied." in body
    stop = {
        "chat": lambda: tree["choices"][0]["finish_reason"],
        "messages": lambda: tree["stop_reason"],
        "responses": lambda: tree["status"],
    }[name]()
    assert stop == {"chat": "stop", "messages": "end_turn", "responses": "completed"}[name]
    parse_body(name, body)
    typed_body(name, body)


@pytest.mark.parametrize("name", FORMATS)
def test_allowed_siblings_of_a_denied_call_stay(name: FormatName) -> None:
    answer = opened(name, SCENARIOS["parallel_calls"].recorded(name).json)
    ids = ids_of(answer)
    tree = json.loads(answer.finish(ids, denied=frozenset({"call_m2"}), extra_text="One denied."))

    assert calls_left(name, tree) == ["tc-call_w1", "tc-call_n3"]
    last = {"messages": "content", "responses": "output"}.get(name)
    if last:
        assert tree[last][-1]["type"] in ("tool_use", "function_call")


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_nobody_decided_does_not_leave(name: FormatName) -> None:
    answer = opened(name, SCENARIOS["parallel_calls"].recorded(name).json)

    assert calls_left(name, json.loads(answer.finish({"call_w1": "tc-1"}))) == ["tc-1"]


@pytest.mark.parametrize("name", FORMATS)
def test_arguments_a_guard_rewrote_replace_the_models(name: FormatName) -> None:
    answer = opened(name, SCENARIOS["one_call"].recorded(name).json)
    body = answer.finish(ids_of(answer), arguments={"call_w1": '{"city":"[REDACTED]"}'})

    assert b"[REDACTED]" in body
    assert "Zür".encode() not in body
    again = opened(name, body)
    assert json.loads(again.calls[0].arguments) == {"city": "[REDACTED]"}


@pytest.mark.parametrize("name", FORMATS)
def test_usage_and_stop_are_replaced_when_they_differ(name: FormatName) -> None:
    answer = opened(name, SCENARIOS["text"].recorded(name).json)
    total = Usage(input=100, output=50, cache_read=10, cache_write=5, reasoning=7)

    again = opened(name, answer.finish({}, usage=total, stop=StopReason.LENGTH))

    assert again.usage is not None
    assert (again.usage.input, again.usage.output, again.usage.cache_read) == (100, 50, 10)
    assert again.stop is StopReason.LENGTH


def test_every_choice_of_several_is_searched_for_calls() -> None:
    def choice(index: int, name: str) -> dict[str, Any]:
        function = {"name": name, "arguments": "{}"}
        calls = [{"id": "same", "type": "function", "function": function}]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        return {"index": index, "finish_reason": "tool_calls", "message": message}

    answer = opened("chat", {"id": "c", "model": "m", "choices": [choice(0, "a"), choice(1, "b")]})

    assert [(c.id, c.name) for c in answer.calls] == [("same", "a"), ("same_0", "b")]
    tree = json.loads(answer.finish({"same_0": "tc-b"}, denied=frozenset({"same"})))
    assert "tool_calls" not in tree["choices"][0]["message"]
    assert tree["choices"][0]["finish_reason"] == "stop"
    assert tree["choices"][1]["message"]["tool_calls"][0]["id"] == "tc-b"
    assert tree["choices"][1]["finish_reason"] == "tool_calls"


def test_the_deprecated_function_call_is_a_call() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "f", "arguments": "{}"},
    }
    body = {"choices": [{"index": 0, "finish_reason": "function_call", "message": message}]}
    answer = opened("chat", body)

    assert [(c.id, c.name) for c in answer.calls] == [("f", "f")]
    assert json.loads(answer.finish({"f": "tc-1"}))["choices"] == body["choices"]
    left = json.loads(answer.finish({}, denied=frozenset({"f"})))["choices"][0]
    assert left == {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": ""},
    }


def test_custom_tools_of_chat_are_decided_by_name_and_input() -> None:
    call = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "DROP TABLE x"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    answer = opened("chat", {"choices": [{"index": 0, "message": message}]})

    assert answer.calls == [ToolCall(id="c1", name="sql", arguments='{"input":"DROP TABLE x"}')]
    tree = json.loads(answer.finish({"c1": "t"}, arguments={"c1": '{"input":"SELECT 1"}'}))
    found = tree["choices"][0]["message"]["tool_calls"][0]
    assert found == {"id": "t", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}


def test_members_of_a_toolset_are_decided_under_its_name() -> None:
    block = {"type": "tool_use", "id": "t", "name": "key", "toolset_name": "computer", "input": {}}
    answer = opened("messages", {"id": "m", "content": [block], "stop_reason": "tool_use"})

    assert [c.qualified for c in answer.calls] == ["computer.key"]


def test_tools_the_provider_ran_are_content() -> None:
    content = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s", "input": {}},
        {"type": "text", "text": "found"},
    ]
    usage = {"input_tokens": 1, "output_tokens": 2, "server_tool_use": {"web_search_requests": 1}}
    body = json.dumps({"id": "m", "content": content, "usage": usage}).encode()

    answer = opened("messages", body)

    assert (list(answer.calls), answer.finish({})) == ([], body)


def test_the_typed_client_gets_thinking_as_text_too() -> None:
    exchange = relay_exchange("messages")
    head = peeked("messages", {"model": "m", "messages": []})
    exchange.request(head, Edits(native_client=False))
    answer = exchange.answer(SCENARIOS["reasoning"].messages.json)

    tree = json.loads(answer.finish({}))

    assert tree["content"][0]["text"] == tree["content"][0]["thinking"]
    assert tree["content"][0]["signature"]
    typed_body("messages", answer.finish({}))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"error":{"message":"no such model"}}',
        b'{"choices":{},"content":{},"output":{}}',
        b'{"choices":[1],"content":[1],"output":[1]}',
        b'{"choices":[{"message":[]}],"content":["tool_use"],"output":["x"]}',
        b'{"choices":[{"message":{"tool_calls":{}}}],"content":1,"output":1}',
        b"{" * 100_000,
        b'{"a":' * 100_000,
        b'{"choices":[{"message":"\xff"}],"content":"\xff","output":"\xff"}',
        b"<html>busy</html>",
    ],
    ids=lambda body: body[:30].decode(errors="replace"),
)
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_not_an_answer_is_refused(name: FormatName, body: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        relay_exchange(name).answer(body)


def test_an_error_sent_as_success_is_quoted() -> None:
    with pytest.raises(MalformedAnswerError, match="no such model"):
        opened("chat", {"error": {"message": "no such model"}})


@pytest.mark.parametrize("name", FORMATS)
def test_half_a_surrogate_pair_does_not_break_an_answer(name: FormatName) -> None:
    text = SCENARIOS["one_call"].recorded(name).json[:-1] + rb', "x": "cut \ud83d"}'
    answer = opened(name, text)

    assert json.loads(answer.finish(ids_of(answer)))["x"] == "cut \ufffd"


def test_the_head_of_a_stream_is_all_an_exchange_needs() -> None:
    for name in FORMATS:
        relay = relay_exchange(name).stream(
            head_for(name), hide_usage=False, native_client=True, session_id="s"
        )
        assert relay.result() is None
