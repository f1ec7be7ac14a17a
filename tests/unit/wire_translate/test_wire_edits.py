"""Everything the gateway may change on the way is changed in translation too."""

from typing import Any

import pytest
from tests.support.wire_exchanges import minimal, sent

from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.exchange import Edits, FormatName, Reinsert
from interlock.providers.wire.model import ToolCall

TOOLS: dict[str, Any] = {
    "chat": [
        {"type": "function", "function": {"name": "get", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "put", "parameters": {"type": "object"}}},
    ],
    "messages": [
        {"name": "get", "input_schema": {"type": "object"}},
        {"name": "put", "input_schema": {"type": "object"}},
    ],
    "responses": [
        {"type": "function", "name": "get", "parameters": {"type": "object"}},
        {"type": "function", "name": "put", "parameters": {"type": "object"}},
    ],
}
HISTORY: dict[str, dict[str, Any]] = {
    "chat": {
        "messages": [
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "tc-1",
                        "type": "function",
                        "function": {"name": "get", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "tc-1", "content": "secret"},
        ]
    },
    "messages": {
        "messages": [
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "tc-1", "name": "get", "input": {}}],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "tc-1", "content": "secret"}],
            },
        ]
    },
    "responses": {
        "input": [
            {"role": "user", "content": "go"},
            {"type": "function_call", "call_id": "tc-1", "name": "get", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "tc-1", "output": "secret"},
        ]
    },
}


def traffic(upstream: str, body: dict[str, Any]) -> list[tuple[str, ...]]:
    """Calls and results of an upstream body, in order."""
    out: list[tuple[str, ...]] = []
    for item in body.get("input", []):
        if item["type"] == "function_call":
            out.append(("call", item["call_id"], item["name"]))
        elif item["type"] == "function_call_output":
            out.append(("result", item["call_id"], item["output"]))
    for message in body.get("messages", []):
        out += [("call", c["id"], c["function"]["name"]) for c in message.get("tool_calls") or ()]
        if message["role"] == "tool":
            out.append(("result", message["tool_call_id"], message["content"]))
        if upstream == "messages" and isinstance(message["content"], list):
            for block in message["content"]:
                if block["type"] == "tool_use":
                    out.append(("call", block["id"], block["name"]))
                elif block["type"] == "tool_result":
                    out.append(("result", block["tool_use_id"], block["content"]))
    return out


def request(client: str, **members: Any) -> dict[str, Any]:
    return minimal(client, **HISTORY[client], tools=TOOLS[client], **members)


@pytest.mark.parametrize("upstream", ["chat", "messages", "responses"])
@pytest.mark.parametrize("client", ["chat", "messages", "responses"])
def test_ids_results_denied_siblings_tools_and_the_model_are_changed(
    client: FormatName, upstream: FormatName
) -> None:
    if client == upstream:
        return
    denied = ToolCall(id="up-2", name="put", arguments='{"x":1}')
    edits = Edits(
        model="upstream-model",
        upstream_id=lambda our: our.replace("tc-", "up-"),
        results={"tc-1": "masked"},
        reinsert=[Reinsert(after_call_id="up-1", call=denied, denial="Error: denied")],
        drop_tools=frozenset({"put"}),
        overrides={"temperature": 0.125, "max_tokens": 333},
    )
    body, _ = sent(client, upstream, request(client), edits)

    assert body["model"] == "upstream-model"
    assert traffic(upstream, body) == [
        ("call", "up-1", "get"),
        ("call", "up-2", "put"),
        ("result", "up-1", "masked"),
        ("result", "up-2", "Error: denied"),
    ]
    names = [tool.get("name") or tool["function"]["name"] for tool in body["tools"]]
    assert names == ["get"]
    assert body["temperature"] == 0.125
    assert 333 in (
        body.get(k) for k in ("max_tokens", "max_completion_tokens", "max_output_tokens")
    )


def test_a_choice_of_a_dropped_tool_goes_with_it() -> None:
    choice = {"type": "function", "function": {"name": "put"}}
    body, _ = sent(
        "chat",
        "messages",
        request("chat", tool_choice=choice),
        Edits(drop_tools=frozenset({"put"})),
    )
    none, _ = sent(
        "chat",
        "responses",
        request("chat", tool_choice="required"),
        Edits(drop_tools=frozenset({"put", "get"})),
    )

    assert "tool_choice" not in body
    assert not {"tools", "tool_choice"} & none.keys()


def test_a_dropped_tool_no_other_format_knows_is_no_reason_to_refuse() -> None:
    tools = [*TOOLS["responses"], {"type": "web_search"}]
    body, _ = sent(
        "responses",
        "chat",
        minimal("responses", tools=tools),
        Edits(drop_tools=frozenset({"web_search"})),
    )

    assert len(body["tools"]) == 2


def test_earlier_items_and_tools_of_a_response_come_first() -> None:
    edits = Edits(prepend=HISTORY["responses"]["input"], tools=TOOLS["responses"])
    body, dropped = sent(
        "responses", "chat", minimal("responses", previous_response_id="resp_1"), edits
    )

    assert [message["role"] for message in body["messages"]] == [
        "user",
        "assistant",
        "tool",
        "user",
    ]
    assert body["messages"][-1]["content"] == "hi"
    assert len(body["tools"]) == 2
    assert dropped == []


def test_tools_of_the_follow_up_win_over_earlier_ones() -> None:
    edits = Edits(tools=TOOLS["responses"])
    body, _ = sent("responses", "chat", minimal("responses", tools=TOOLS["responses"][:1]), edits)

    assert len(body["tools"]) == 1


def test_images_of_a_result_stay_when_its_text_is_replaced() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://x.org/i.png"}}
    content = [{"type": "text", "text": "secret"}, image]
    result = {"type": "tool_result", "tool_use_id": "tc-1", "content": content}
    turns = [*HISTORY["messages"]["messages"][:2], {"role": "user", "content": [result]}]
    body, _ = sent(
        "messages",
        "responses",
        minimal("messages", messages=turns),
        Edits(results={"tc-1": "masked"}),
    )

    assert [part["type"] for part in body["input"][-1]["output"]] == ["input_text", "input_image"]
    assert body["input"][-1]["output"][0]["text"] == "masked"


@pytest.mark.parametrize(
    ("overrides", "member", "value"),
    [
        ({"reasoning_effort": "high"}, "reasoning_effort", "high"),
        ({"reasoning": {"budget": 1024}}, "reasoning_effort", "minimal"),
        ({"max_completion_tokens": 5}, "max_completion_tokens", 5),
        ({"seed": 3}, "seed", 3),
        ({"frequency_penalty": 1}, "frequency_penalty", 1),
        ({"logit_bias": {"5": 1}}, "logit_bias", {"5": 1}),
    ],
)
def test_role_overrides_win_over_the_body(
    overrides: dict[str, Any], member: str, value: Any
) -> None:
    body, _ = sent("messages", "chat", minimal("messages"), Edits(overrides=overrides))

    assert body[member] == value


@pytest.mark.parametrize(
    "overrides",
    [{"temperature": "hot"}, {"messages": []}, {"nonsense": 1}, {"reasoning": {"effort": 7}}],
)
def test_a_wrong_override_is_refused(overrides: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        sent("messages", "chat", minimal("messages"), Edits(overrides=overrides))


def test_a_conversation_that_was_edited_keeps_its_own_body() -> None:
    body = request("chat")
    before = repr(body)
    sent("chat", "messages", body, Edits(results={"tc-1": "x"}, drop_tools=frozenset({"get"})))

    assert repr(body) == before
