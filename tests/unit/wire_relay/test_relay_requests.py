"""Requests: untouched by default, and every edit does what it says and nothing else."""

import json
from typing import Any

import pytest
from relay_driving import FORMATS, peeked, requested

from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.exchange import Edits, FormatName, Reinsert
from interlock.providers.wire.model import Reasoning, ToolCall
from interlock.providers.wire.relay import relay_exchange

FUNCTION = {"type": "object", "properties": {"a": {"type": "string"}}}
CALL = {"id": "tc-1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.0}'}}
BODIES: dict[FormatName, dict[str, Any]] = {
    "chat": {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "tool_calls": [CALL], "x": 1},
            {"role": "tool", "tool_call_id": "tc-1", "content": "secret"},
        ],
        "model": "m",
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": FUNCTION}},
            {"type": "function", "function": {"name": "g"}},
        ],
    },
    "messages": {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t", "text": "t", "signature": "s"},
                    {"type": "tool_use", "id": "tc-1", "name": "f", "input": {"a": 1.0}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "tc-1",
                        "content": [
                            {"type": "text", "text": "secret"},
                            {"type": "image", "source": {}},
                        ],
                    }
                ],
            },
        ],
        "tools": [{"name": "f", "input_schema": FUNCTION}, {"name": "g", "input_schema": {}}],
    },
    "responses": {
        "model": "m",
        "input": [
            {"role": "user", "content": "hi"},
            {
                "type": "function_call",
                "id": "fc",
                "call_id": "tc-1",
                "name": "f",
                "arguments": "{}",
            },
            {"type": "function_call_output", "call_id": "tc-1", "output": "secret"},
        ],
        "tools": [
            {"type": "function", "name": "f", "parameters": FUNCTION},
            {"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": "g"}]},
        ],
    },
}
BEGIN = {"chat": "messages", "messages": "messages", "responses": "input"}


def upstream_id(call_id: str) -> str:
    return {"tc-1": "call_up"}.get(call_id, call_id)


@pytest.mark.parametrize("name", FORMATS)
def test_a_request_goes_out_as_it_came(name: FormatName) -> None:
    body = json.dumps(BODIES[name], indent=3).encode()
    head = peeked(name, body)
    exchange = relay_exchange(name)

    assert exchange.request(head, Edits()) is body
    assert exchange.request(head, Edits(model="m")) is body
    assert exchange.request(head, Edits(upstream_id=lambda i: i)) is body
    assert list(exchange.dropped()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_only_the_model_is_renamed(name: FormatName) -> None:
    tree = {**BODIES[name], "metadata": {"model": "m"}, "seed": 12345678901234567890123}
    text = json.dumps(tree)[:-1] + ', "temperature": 1.0, "x": 1.50e1}'
    out = relay_exchange(name).request(peeked(name, text.encode()), Edits(model="up/m"))

    assert json.loads(out) == {**json.loads(text), "model": "up/m"}
    assert b'"temperature":1.0,"x":1.50e1' in out
    assert b"12345678901234567890123" in out
    assert list(json.loads(out)) == list(json.loads(text))


@pytest.mark.parametrize("name", FORMATS)
def test_ids_of_the_history_become_the_upstreams(name: FormatName) -> None:
    text = json.dumps(BODIES[name])
    out = requested(name, text.encode(), upstream_id=upstream_id)

    assert out == json.loads(text.replace("tc-1", "call_up"))


@pytest.mark.parametrize("name", FORMATS)
def test_results_are_replaced_by_our_id(name: FormatName) -> None:
    out = requested(name, BODIES[name], upstream_id=upstream_id, results={"tc-1": "[REDACTED]"})

    assert "secret" not in json.dumps(out)
    last = out[BEGIN[name]][-1]
    match name:
        case "chat":
            assert last["content"] == "[REDACTED]"
        case "messages":
            said, picture = last["content"][0]["content"]
            assert (said["text"], picture["type"]) == ("[REDACTED]", "image")
        case _:
            assert last["output"] == "[REDACTED]"


@pytest.mark.parametrize("name", FORMATS)
def test_a_denied_sibling_is_put_back_with_its_refusal(name: FormatName) -> None:
    denied = ToolCall(id="call_d", name="g", arguments='{"to":"eve"}')
    again = ToolCall(id="call_e", name="g", arguments="")
    reinsert = [
        Reinsert(after_call_id="call_up", call=denied, denial="denied 1"),
        Reinsert(after_call_id="call_up", call=again, denial="denied 2"),
        Reinsert(after_call_id="call_gone", call=again, denial="never"),
    ]
    out = requested(name, BODIES[name], upstream_id=upstream_id, reinsert=reinsert)[BEGIN[name]]

    match name:
        case "chat":
            assert [c["id"] for c in out[1]["tool_calls"]] == ["call_up", "call_d", "call_e"]
            assert out[1]["tool_calls"][1]["function"] == {"name": "g", "arguments": '{"to":"eve"}'}
            assert [m.get("tool_call_id") for m in out[2:]] == ["call_up", "call_d", "call_e"]
            assert out[3]["content"] == "denied 1"
        case "messages":
            assert [b.get("id") for b in out[1]["content"]] == [None, "call_up", "call_d", "call_e"]
            assert out[1]["content"][2]["input"] == {"to": "eve"}
            results = out[2]["content"]
            assert [b["tool_use_id"] for b in results] == ["call_up", "call_d", "call_e"]
            assert (results[1]["content"], results[1]["is_error"]) == ("denied 1", True)
        case _:
            assert [i.get("call_id") for i in out] == [
                None,
                "call_up",
                "call_d",
                "call_e",
                "call_up",
                "call_d",
                "call_e",
            ]
            assert out[5]["output"] == "denied 1"
    assert "never" not in json.dumps(out)


@pytest.mark.parametrize("name", FORMATS)
def test_a_refusal_finds_its_place_when_the_sibling_was_never_answered(name: FormatName) -> None:
    tree = json.loads(json.dumps(BODIES[name]))
    tree[BEGIN[name]][-1] = {"role": "user", "content": "never mind"}
    denied = ToolCall(id="call_d", name="g", arguments="{}")
    reinsert = [Reinsert(after_call_id="call_up", call=denied, denial="denied 1")]
    out = requested(name, tree, upstream_id=upstream_id, reinsert=reinsert)[BEGIN[name]]

    text = json.dumps(out)
    assert text.index("call_d") < text.index("denied 1") < text.index("never mind")


@pytest.mark.parametrize("name", FORMATS)
def test_hidden_tools_do_not_reach_the_model(name: FormatName) -> None:
    hidden = {"responses": "crm.g"}.get(name, "g")
    choice: Any = {
        "chat": {"type": "function", "function": {"name": "g"}},
        "messages": {"type": "tool", "name": "g"},
        "responses": {"type": "function", "name": "g", "namespace": "crm"},
    }[name]
    tree = {**BODIES[name], "tool_choice": choice}
    out = requested(name, tree, drop_tools=frozenset({hidden}))

    assert out["tools"] == tree["tools"][:1]
    assert out["tool_choice"] == ({"type": "auto"} if name == "messages" else "auto")


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_about_tools_is_left_when_all_are_hidden(name: FormatName) -> None:
    tree = {**BODIES[name], "tool_choice": "auto", "parallel_tool_calls": True}
    if name == "messages":
        tree["tool_choice"] = {"type": "auto"}
    out = requested(name, tree, drop_tools=frozenset({"f", "g", "crm.g"}))

    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(out)


def test_some_tools_of_a_namespace_can_be_hidden() -> None:
    inner = [{"type": "function", "name": n} for n in "abc"]
    tree = {
        "model": "m",
        "input": "x",
        "tools": [{"type": "namespace", "name": "n", "tools": inner}],
    }

    out = requested("responses", tree, drop_tools=frozenset({"n.b", "a"}))

    assert [t["name"] for t in out["tools"][0]["tools"]] == ["a", "c"]


def test_deprecated_functions_are_hidden_too() -> None:
    tree = {"model": "m", "messages": [], "functions": [{"name": "f"}], "function_call": "auto"}

    assert requested("chat", tree, drop_tools=frozenset({"f"})) == {"model": "m", "messages": []}


@pytest.mark.parametrize(
    "options", [None, {}, {"include_usage": False, "x": 1}, {"include_usage": None}]
)
def test_a_chat_stream_is_asked_for_usage(options: dict[str, Any] | None) -> None:
    tree = {"model": "m", "messages": [], "stream": True, "stream_options": options}
    head = peeked("chat", tree)

    assert head.wants_usage is False
    out = requested("chat", tree, ask_usage=True)
    assert out["stream_options"] == {**(options or {}), "include_usage": True}


@pytest.mark.parametrize("tree", [{"stream": True, "stream_options": {"include_usage": True}}, {}])
def test_usage_is_not_asked_for_twice(tree: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", "messages": [], **tree}).encode()
    head = peeked("chat", body)

    assert head.wants_usage is True
    assert relay_exchange("chat").request(head, Edits(ask_usage=True)) is body


def test_the_typed_clients_thinking_loses_its_text() -> None:
    out = requested("messages", BODIES["messages"], native_client=False)
    block = out["messages"][1]["content"][0]

    assert block == {"type": "thinking", "thinking": "t", "signature": "s"}
    same = requested("messages", BODIES["messages"])["messages"][1]["content"][0]
    assert same["text"] == "t"


def test_thinking_the_typed_client_lost_the_proof_of_is_left_out() -> None:
    content = [{"type": "thinking", "text": "t"}, {"type": "text", "text": "said"}]
    tree = {
        "model": "m",
        "messages": [
            {"role": "assistant", "content": content},
            {"role": "assistant", "content": content[:1]},
            {"role": "user", "content": "go"},
        ],
    }

    out = requested("messages", tree, native_client=False)["messages"]

    assert out == [{"role": "assistant", "content": content[1:]}, {"role": "user", "content": "go"}]


def test_earlier_items_and_tools_come_before_the_input() -> None:
    earlier = [{"role": "user", "content": "one"}, BODIES["responses"]["input"][1]]
    tree = {"model": "m", "input": "two", "previous_response_id": "resp_1"}
    out = requested(
        "responses", tree, prepend=earlier, tools=[{"type": "web_search"}], upstream_id=upstream_id
    )

    assert [i.get("call_id") or i["content"] for i in out["input"]] == ["one", "call_up", "two"]
    assert out["tools"] == [{"type": "web_search"}]
    assert "previous_response_id" not in out
    own = requested("responses", BODIES["responses"], tools=[{"type": "web_search"}])
    assert own["tools"] == BODIES["responses"]["tools"]


OVERRIDES: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 77,
    "stop": ["x"],
    "seed": 5,
    "frequency_penalty": 0.1,
    "reasoning": Reasoning(effort="high", budget_tokens=2048),
}


def test_overrides_become_members_of_the_format() -> None:
    chat = requested("chat", BODIES["chat"], overrides=OVERRIDES)
    assert (chat["temperature"], chat["max_completion_tokens"], chat["seed"]) == (0.5, 77, 5)
    assert (chat["reasoning_effort"], chat["stop"]) == ("high", ["x"])
    old = requested("chat", {**BODIES["chat"], "max_tokens": 3}, overrides=OVERRIDES)
    assert (old["max_tokens"], "max_completion_tokens" in old) == (77, False)

    messages = requested("messages", BODIES["messages"], overrides=OVERRIDES)
    assert (messages["max_tokens"], messages["stop_sequences"]) == (77, ["x"])
    assert messages["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert messages["output_config"] == {"effort": "high"}
    assert not {"seed", "frequency_penalty"} & set(messages)

    responses = requested(
        "responses", {**BODIES["responses"], "reasoning": {"summary": "auto"}}, overrides=OVERRIDES
    )
    assert (responses["max_output_tokens"], responses["top_p"]) == (77, 0.9)
    assert responses["reasoning"] == {"summary": "auto", "effort": "high"}


def test_overrides_a_format_has_no_word_for_are_reported() -> None:
    exchange = relay_exchange("messages")
    head = peeked("messages", BODIES["messages"])
    exchange.request(head, Edits(overrides=OVERRIDES))

    assert list(exchange.dropped()) == ["llm.seed", "llm.frequency_penalty"]
    exchange.request(head, Edits())
    assert list(exchange.dropped()) == []


@pytest.mark.parametrize("overrides", [{"colour": 1}, {"reasoning": {"budget": "much"}}])
def test_overrides_that_are_none_are_refused(overrides: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        requested("chat", BODIES["chat"], overrides=overrides)


def test_outputs_of_the_clients_own_machine_are_replaced_in_their_form() -> None:
    runs = [{"stdout": "a", "stderr": "b", "outcome": {"type": "exit", "exit_code": 0}}] * 2
    tree = {
        "model": "m",
        "input": [
            {"type": "shell_call", "call_id": "tc-1", "action": {"commands": ["ls"]}},
            {"type": "shell_call_output", "call_id": "tc-1", "output": runs},
            {"type": "local_shell_call_output", "id": "tc-2", "output": "a"},
            {
                "type": "custom_tool_call_output",
                "call_id": "tc-3",
                "output": [{"type": "input_text", "text": "a"}],
            },
        ],
    }
    results = {f"tc-{i}": "X" for i in (1, 2, 3)}

    out = requested("responses", tree, results=results, upstream_id=lambda i: i.replace("tc", "up"))

    assert [i.get("call_id") or i["id"] for i in out["input"]] == ["up-1", "up-1", "up-2", "up-3"]
    assert [(r["stdout"], r["stderr"]) for r in out["input"][1]["output"]] == [("X", ""), ("", "")]
    assert [i["output"] for i in out["input"][2:]] == ["X", "X"]


def test_a_denied_item_is_put_back_as_the_kind_it_was_offered_as() -> None:
    tools = [{"type": "local_shell"}, {"type": "apply_patch"}, {"type": "custom", "name": "sql"}]
    history = [
        {"type": "function_call", "call_id": "ok", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "ok", "output": "done"},
    ]
    denied = [
        ToolCall(id="a", name="local_shell", arguments='{"command":["rm"]}'),
        ToolCall(id="b", name="apply_patch", arguments='{"type":"delete_file","path":"x"}'),
        ToolCall(id="c", name="sql", arguments='{"input":"DROP"}'),
    ]
    reinsert = [Reinsert(after_call_id="ok", call=call, denial="no") for call in denied]

    out = requested(
        "responses", {"model": "m", "input": history, "tools": tools}, reinsert=reinsert
    )

    assert out["input"][1:4] == [
        {
            "type": "local_shell_call",
            "call_id": "a",
            "action": {"command": ["rm"]},
            "status": "completed",
        },
        {
            "type": "apply_patch_call",
            "call_id": "b",
            "operation": {"type": "delete_file", "path": "x"},
            "status": "completed",
        },
        {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "DROP"},
    ]
    assert [i["type"] for i in out["input"][5:]] == [
        "local_shell_call_output",
        "apply_patch_call_output",
        "custom_tool_call_output",
    ]


def test_an_upstream_that_stores_nothing_is_not_sent_ids_it_cannot_look_up() -> None:
    exchange = relay_exchange("responses")
    output = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
    ]
    answer = exchange.answer(json.dumps({"id": "r", "output": output}).encode())
    body = b'{"model":"m","store":false,"input":"hi","tool_choice":"required"}'

    tree = json.loads(exchange.again(body, answer.calls, {"c": "no"}))

    assert tree["input"] == [
        {"type": "message", "role": "user", "content": "hi"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "no"},
    ]
    assert tree["tool_choice"] == "auto"
    kept = json.loads(exchange.again(b'{"model":"m","input":"hi"}', answer.calls, {"c": "no"}))
    assert kept["input"][1:3] == output


@pytest.mark.parametrize("name", FORMATS)
def test_a_round_nobody_remembers_is_told_from_its_calls(name: FormatName) -> None:
    calls = [ToolCall(id="c", name="f", arguments='{"a":1}')]
    body = json.dumps({"model": "m", BEGIN[name]: [{"role": "user", "content": "hi"}], "n": 2})

    tree = json.loads(relay_exchange(name).again(body.encode(), calls, {"c": "no"}))

    text = json.dumps(tree[BEGIN[name]])
    assert text.index('"c"') < text.index('"no"')
    if name == "chat":
        assert tree["n"] == 1
