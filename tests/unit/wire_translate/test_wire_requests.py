"""What each member of a request becomes in the other formats, and what cannot be said."""

import json
from typing import Any

import pytest
from tests.support.stream_corpus import SCENARIOS
from tests.support.wire_exchanges import PAIRS, asked, head_of, minimal, sent

from interlock.providers.wire.errors import InvalidRequestError, UntranslatableError
from interlock.providers.wire.exchange import Edits, FormatName, Head
from interlock.providers.wire.registry import exchange
from interlock.providers.wire.thinking import BUDGETS

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def chat(*messages: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages) or [USER], **members}


def messages(*turns: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 100, "messages": list(turns) or [USER], **members}


def responses(*items: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"model": "m", "input": list(items) or "hi", **members}


# Messages is strict ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([], [("user", "Continue.")]),
        ([{"role": "assistant", "content": "a"}], [("user", "Continue."), ("assistant", "a")]),
        ([USER, USER], [("user", ["hi", "hi"])]),
        ([USER, {"role": "assistant"}, USER], [("user", ["hi", "hi"])]),
        ([USER, {"role": "assistant", "content": None}], [("user", "hi")]),
        ([{"role": "user", "content": ""}, USER], [("user", "hi")]),
        ([USER, {"role": "assistant", "content": "a \n"}], [("user", "hi"), ("assistant", "a")]),
    ],
)
def test_roles_alternate_from_the_user_on_and_no_text_is_empty(
    turns: list[dict[str, Any]], expected: list[tuple[str, Any]]
) -> None:
    body, _ = sent("chat", "messages", {"model": "m", "messages": turns})
    told = [
        (
            turn["role"],
            turn["content"]
            if isinstance(turn["content"], str)
            else [block["text"] for block in turn["content"]],
        )
        for turn in body["messages"]
    ]

    assert told == expected


def test_tool_results_come_before_the_words_of_the_same_turn() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body, _ = sent(
        "chat",
        "messages",
        chat(
            USER,
            {"role": "assistant", "tool_calls": [call]},
            {"role": "user", "content": "wait"},
            {"role": "tool", "tool_call_id": "c1", "content": "r"},
        ),
    )

    assert [block["type"] for block in body["messages"][-1]["content"]] == ["tool_result", "text"]


def test_a_token_limit_is_made_up_only_when_none_is_given() -> None:
    without, _ = sent("chat", "messages", chat())
    thinking, _ = sent("chat", "messages", chat(reasoning_effort="medium"))
    older, _ = sent("chat", "messages", chat(max_tokens=7))

    assert without["max_tokens"] == 16384
    assert thinking["max_tokens"] == 16384 + 8192
    assert older["max_tokens"] == 7


def test_system_text_inside_the_conversation_moves_to_the_front_and_says_so() -> None:
    late = {"role": "system", "content": "late"}
    body, dropped = sent("chat", "messages", chat({"role": "system", "content": "a"}, USER, late))

    assert [part["text"] for part in body["system"]] == ["a", "late"]
    assert "messages[].role" in dropped


def test_arguments_that_are_no_object_are_kept_readable() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":'}}
    body, dropped = sent(
        "chat", "messages", chat(USER, {"role": "assistant", "tool_calls": [call]})
    )

    assert body["messages"][1]["content"][0]["input"] == {"unreadable_arguments": '{"a":'}
    assert dropped == ["messages[].tool_calls[].function.arguments"]


# Reasoning ------------------------------------------------------------------------------


@pytest.mark.parametrize(("effort", "budget"), BUDGETS.items())
def test_effort_becomes_a_budget_and_comes_back_as_the_same_effort(
    effort: str, budget: int
) -> None:
    body, _ = sent("chat", "messages", chat(reasoning_effort=effort))
    back, _ = sent("messages", "chat", messages(max_tokens=99999, thinking=body["thinking"]))

    assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert back["reasoning_effort"] == effort


def test_a_budget_stays_below_the_token_limit_or_goes() -> None:
    tight, _ = sent("chat", "messages", chat(reasoning_effort="high", max_tokens=2000))
    none, dropped = sent("chat", "messages", chat(reasoning_effort="high", max_tokens=1000))

    assert tight["thinking"]["budget_tokens"] == 1600
    assert "thinking" not in none
    assert dropped == ["reasoning_effort"]


@pytest.mark.parametrize(
    ("members", "lost"),
    [
        ({"tools": [TOOL], "tool_choice": "required"}, ["reasoning_effort"]),
        ({"temperature": 0.3}, ["temperature"]),
        ({"top_p": 0.5}, ["top_p"]),
        ({"top_k": 4}, ["top_k"]),
    ],
)
def test_what_messages_refuses_together_with_thinking_is_dropped_and_listed(
    members: dict[str, Any], lost: list[str]
) -> None:
    body, dropped = sent("chat", "messages", chat(reasoning_effort="low", **members))

    assert dropped == lost
    assert ("thinking" in body) == (lost != ["reasoning_effort"])
    assert not {"temperature", "top_p", "top_k"} & body.keys()


def test_thinking_is_off_where_the_thoughts_behind_open_calls_are_missing() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body, dropped = sent(
        "chat",
        "messages",
        chat(
            USER,
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "r"},
            reasoning_effort="low",
        ),
    )

    assert "thinking" not in body
    assert dropped == ["reasoning_effort"]


@pytest.mark.parametrize(
    ("members", "chat_effort", "responses_effort"),
    [
        ({"thinking": {"type": "disabled"}}, None, None),
        ({"thinking": {"type": "adaptive"}}, None, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "max", "max"),
        ({"output_config": {"effort": "low"}}, "low", "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "minimal", "minimal"),
    ],
)
def test_thinking_members_become_effort(
    members: dict[str, Any], chat_effort: str | None, responses_effort: str | None
) -> None:
    to_chat, dropped = sent("messages", "chat", messages(**members))
    to_responses, _ = sent("messages", "responses", messages(**members))

    assert to_chat.get("reasoning_effort") == chat_effort
    assert to_responses.get("reasoning", {}).get("effort") == responses_effort
    assert ("thinking" in dropped) == (chat_effort is None)


@pytest.mark.parametrize("scenario", ["reasoning", "reasoning_and_calls", "redacted_reasoning"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
def test_proofs_of_reasoning_come_back_to_the_upstream_that_made_them(
    client: FormatName, upstream: FormatName, scenario: str
) -> None:
    recorded = SCENARIOS[scenario].recorded(upstream)
    machine, _ = asked(client, upstream)
    answer = json.loads(machine.answer(recorded.json).finish({}))
    history: dict[str, Any]
    if client == "chat":
        history = chat(USER, answer["choices"][0]["message"])
    elif client == "messages":
        history = messages(USER, {"role": "assistant", "content": answer["content"]})
    else:
        history = responses({"role": "user", "content": "hi"}, *answer["output"])
    body, dropped = sent(client, upstream, history)

    if upstream == "messages":
        kinds = {"thinking", "redacted_thinking"}
        wanted = [b for b in recorded.body["content"] if b["type"] in kinds]
        told = [b for b in body["messages"][1]["content"] if b["type"] in kinds]
    elif upstream == "responses":
        wanted = [i for i in recorded.body["output"] if i["type"] == "reasoning"]
        told = [i for i in body["input"] if i["type"] == "reasoning"]
    else:
        wanted = [recorded.body["choices"][0]["message"].get("reasoning_content")]
        told = [body["messages"][1].get("reasoning_content")]
    assert told == wanted
    assert "messages[].reasoning" not in dropped


def test_proofs_of_a_chat_upstream_come_back_to_it_through_another_format() -> None:
    details = [
        {
            "type": "reasoning.text",
            "text": "Hm.",
            "signature": "sig",
            "format": "anthropic-claude-v1",
        },
        {"type": "reasoning.encrypted", "data": "enc", "id": "r1", "format": "other-v1"},
    ]
    message = {
        "role": "assistant",
        "content": "ok",
        "reasoning": "Hm.",
        "reasoning_details": details,
    }
    body = {"id": "1", "model": "m", "choices": [{"message": message, "finish_reason": "stop"}]}
    for client in ("messages", "responses"):
        machine, _ = asked(client, "chat")  # type: ignore[arg-type]
        answer = json.loads(machine.answer(json.dumps(body).encode()).finish({}))
        if client == "messages":
            history = messages(USER, {"role": "assistant", "content": answer["content"]})
        else:
            history = responses({"role": "user", "content": "hi"}, *answer["output"])
        up, _ = sent(client, "chat", history)  # type: ignore[arg-type]
        told = up["messages"][1]["reasoning_details"]

        assert [{k: v for k, v in d.items() if k != "index"} for d in told] == details
        other = "responses" if client == "messages" else "messages"
        foreign, dropped = sent(client, other, history)  # type: ignore[arg-type]
        assert "sig" not in json.dumps(foreign)
        assert "messages[].reasoning" in dropped


def test_thoughts_of_an_earlier_turn_are_not_told_to_a_chat_upstream() -> None:
    said = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "t", "signature": ""}],
    }
    text = {"role": "assistant", "content": "x"}
    earlier, dropped = sent("messages", "chat", messages(USER, said, text, USER))

    assert "reasoning_content" not in json.dumps(earlier)
    assert dropped == ["messages[].reasoning"]


def test_a_text_member_of_a_thinking_block_never_goes_upstream() -> None:
    block = {"type": "thinking", "thinking": "t", "text": "t", "signature": "s"}
    request = exchange("messages", "chat")._client.decode_request(  # type: ignore[attr-defined]
        messages(USER, {"role": "assistant", "content": [block]})
    )
    body = exchange("chat", "messages")._upstream.encode_request(request).body  # type: ignore[attr-defined]

    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "t", "signature": "s"}
    ]


# Tools ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "to_messages", "to_responses"),
    [
        ("auto", {"type": "auto"}, "auto"),
        ("none", {"type": "none"}, "none"),
        ("required", {"type": "any"}, "required"),
        (
            {"type": "function", "function": {"name": "f"}},
            {"type": "tool", "name": "f"},
            {"type": "function", "name": "f"},
        ),
    ],
)
def test_tool_choices_map_both_ways(choice: Any, to_messages: Any, to_responses: Any) -> None:
    request = chat(tools=[TOOL], tool_choice=choice)
    one, _ = sent("chat", "messages", request)
    two, _ = sent("chat", "responses", request)
    back, _ = sent("messages", "chat", messages(tools=one["tools"], tool_choice=to_messages))
    again, _ = sent("responses", "chat", responses(tools=two["tools"], tool_choice=to_responses))

    assert (one["tool_choice"], two["tool_choice"]) == (to_messages, to_responses)
    assert back["tool_choice"] == again["tool_choice"] == choice


def test_one_call_at_a_time_is_said_in_every_format() -> None:
    one, _ = sent("chat", "messages", chat(tools=[TOOL], parallel_tool_calls=False))
    two, _ = sent(
        "messages", "responses", messages(tools=one["tools"], tool_choice=one["tool_choice"])
    )
    three, _ = sent("responses", "chat", responses(tools=two["tools"], parallel_tool_calls=False))

    assert one["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert two["parallel_tool_calls"] is False
    assert three["parallel_tool_calls"] is False


def test_allowed_tools_leave_only_those() -> None:
    tools = [TOOL, {"type": "function", "function": {"name": "g"}}]
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    body, _ = sent("chat", "messages", chat(tools=tools, tool_choice=choice))

    assert [tool["name"] for tool in body["tools"]] == ["g"]
    assert body["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize("upstream", ["chat", "responses"])
def test_a_tool_that_was_loaded_later_is_named_in_the_result(upstream: FormatName) -> None:
    loaded = [
        {"type": "tool_reference", "tool_name": "WebFetch"},
        {"type": "tool_reference", "tool_name": "WebSearch"},
    ]
    call = {"type": "tool_use", "id": "c1", "name": "ToolSearch", "input": {}}
    body, _ = sent(
        "messages",
        upstream,
        messages(
            USER,
            {"role": "assistant", "content": [call]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "c1", "content": loaded}],
            },
        ),
    )

    said = json.dumps(body)
    assert "The tool `WebFetch` can be called now." in said
    assert "The tool `WebSearch` can be called now." in said


def test_a_declared_output_schema_is_carried() -> None:
    tool = {**TOOL, "function": {**TOOL["function"], "output_schema": {"type": "string"}}}  # type: ignore[dict-item]
    one, _ = sent("chat", "messages", chat(tools=[tool]))
    two, _ = sent("messages", "responses", messages(tools=one["tools"]))

    assert one["tools"][0]["output_schema"] == {"type": "string"}
    assert two["tools"][0]["output_schema"] == {"type": "string"}


def test_namespaced_functions_have_one_flat_name_and_get_their_own_back() -> None:
    tools = [
        {"type": "function", "name": "git__log", "parameters": {}},
        {
            "type": "namespace",
            "name": "git",
            "description": "",
            "tools": [{"type": "function", "name": n, "parameters": {}} for n in ("log", "x" * 80)],
        },
    ]
    machine = exchange("responses", "chat")
    head = head_of(
        "responses", responses(tools=tools, tool_choice={"type": "function", "name": "log"})
    )
    body = json.loads(machine.request(head, Edits()))
    names = [tool["function"]["name"] for tool in body["tools"]]
    calls = [
        {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for i, name in enumerate(names)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    answer = machine.answer(json.dumps({"choices": [{"message": message}]}).encode())
    items = json.loads(answer.finish({}))["output"]

    assert names[0] == "git__log"
    assert len(set(names)) == 3
    assert all(len(name) <= 64 for name in names)
    assert body["tool_choice"]["function"]["name"] == names[1]
    assert [call.qualified for call in answer.calls] == ["git__log", "git.log", "git." + "x" * 80]
    assert [(item.get("namespace"), item["name"]) for item in items] == [
        (None, "git__log"),
        ("git", "log"),
        ("git", "x" * 80),
    ]


CUSTOM = {"type": "custom", "custom": {"name": "patch"}}


@pytest.mark.parametrize(
    ("client", "upstream", "body", "word"),
    [
        ("chat", "messages", chat(tools=[CUSTOM]), "custom"),
        ("chat", "responses", chat(tools=[CUSTOM]), "custom"),
        (
            "messages",
            "chat",
            messages(tools=[{"type": "web_search_20250305", "name": "w"}]),
            "web_search_20250305",
        ),
        ("responses", "chat", responses(tools=[{"type": "web_search"}]), "web_search"),
        (
            "responses",
            "messages",
            responses(
                tools=[
                    {"type": "namespace", "name": "n", "tools": [{"type": "custom", "name": "p"}]}
                ]
            ),
            "custom",
        ),
        ("responses", "chat", responses({"type": "computer_call", "id": "c"}), "computer_call"),
        ("responses", "chat", responses({"type": "item_reference", "id": "c"}), "item_reference"),
        ("responses", "messages", responses(prompt={"id": "p"}), "prompt"),
        (
            "messages",
            "chat",
            messages({"role": "assistant", "content": [{"type": "server_tool_use", "id": "s"}]}),
            "server_tool_use",
        ),
        (
            "messages",
            "responses",
            messages(
                {
                    "role": "user",
                    "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}],
                }
            ),
            "file",
        ),
        (
            "chat",
            "messages",
            chat({"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}),
            "file",
        ),
        (
            "chat",
            "messages",
            chat(
                {
                    "role": "user",
                    "content": [
                        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
                    ],
                }
            ),
            "input_audio",
        ),
        (
            "chat",
            "messages",
            chat(
                {
                    "role": "user",
                    "content": [
                        {"type": "file", "file": {"file_data": "data:video/mp4;base64,aGk="}}
                    ],
                }
            ),
            "video/mp4",
        ),
        ("chat", "messages", chat(n=2), "choices"),
        ("chat", "responses", chat(n=2), "choices"),
        (
            "chat",
            "responses",
            chat(tools=[TOOL], tool_choice={"type": "custom", "custom": {"name": "x"}}),
            "custom",
        ),
    ],
)
def test_what_has_no_word_in_the_other_format_is_refused_by_name(
    client: FormatName, upstream: FormatName, body: dict[str, Any], word: str
) -> None:
    with pytest.raises(UntranslatableError, match=word) as caught:
        sent(client, upstream, body)

    assert caught.value.param


@pytest.mark.parametrize(
    ("client", "body", "param"),
    [
        ("chat", {"messages": []}, "model"),
        ("chat", {"model": "m"}, "messages"),
        ("chat", {"model": "m", "messages": {}}, "messages"),
        ("chat", chat({"role": "wizard"}), "messages[0].role"),
        ("chat", chat(USER, {"role": "user", "content": 7}), "messages[1].content"),
        (
            "chat",
            chat({"role": "user", "content": [{"type": "text"}]}),
            "messages[0].content[0].text",
        ),
        ("chat", chat({"role": "tool", "content": ""}), "messages[0].tool_call_id"),
        ("chat", chat(temperature="hot"), "temperature"),
        ("chat", chat(max_tokens=1.5), "max_tokens"),
        ("chat", chat(max_tokens=0), "max_tokens"),
        ("chat", chat(n=0), "n"),
        ("chat", chat(stop=[1]), "stop"),
        ("chat", chat(stream="yes"), "stream"),
        ("chat", chat(tools=[{"type": "function"}]), "tools[0].function"),
        ("chat", chat(tool_choice="maybe"), "tool_choice"),
        ("chat", chat(response_format={"type": "yaml"}), "response_format.type"),
        ("messages", messages({"role": "tool", "content": ""}), "messages[0].role"),
        (
            "messages",
            messages(
                {
                    "role": "user",
                    "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}],
                }
            ),
            "messages[0].content[0].type",
        ),
        (
            "messages",
            messages(
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "1", "name": "f", "input": []}],
                }
            ),
            "messages[0].content[0].input",
        ),
        ("messages", messages(system=[{"type": "image"}]), "system[0].source"),
        ("messages", messages(thinking={"type": "enabled"}), "thinking.budget_tokens"),
        ("messages", messages(tool_choice={"type": "some"}), "tool_choice.type"),
        (
            "messages",
            messages(output_config={"format": {"type": "xml"}}),
            "output_config.format.type",
        ),
        ("responses", responses(background=True), "background"),
        ("responses", responses({"type": "function_call", "name": "f"}), "input[0].call_id"),
        ("responses", responses({"id": "x"}), "input[0].type"),
        (
            "responses",
            responses({"role": "user", "content": [{"type": "input_image"}]}),
            "input[0].content[0].image_url",
        ),
        ("responses", {"model": "m", "input": 7}, "input"),
        ("responses", responses(text={"format": {"type": "xml"}}), "text.format.type"),
        ("responses", responses(tools=[{}]), "tools[0].type"),
    ],
)
def test_a_wrong_member_is_named_by_its_path(
    client: FormatName, body: dict[str, Any], param: str
) -> None:
    upstream: FormatName = "messages" if client == "chat" else "chat"
    with pytest.raises(InvalidRequestError) as caught:
        sent(client, upstream, body)

    assert caught.value.param == param


@pytest.mark.parametrize("odd", [[], {}, 7, [[]]])
def test_a_kind_that_is_no_word_is_a_wrong_member(odd: Any) -> None:
    for client, body in (
        ("chat", chat({"role": odd})),
        ("chat", chat({"role": "user", "content": [{"type": odd}]})),
        ("messages", messages({"role": odd})),
        ("messages", messages({"role": "user", "content": [{"type": odd}]})),
        ("responses", responses({"role": odd})),
        ("responses", responses({"type": odd})),
        ("responses", responses({"role": "user", "content": [{"type": odd}]})),
    ):
        for upstream in ("chat", "messages", "responses"):
            if upstream != client:
                with pytest.raises(InvalidRequestError):
                    sent(client, upstream, body)  # type: ignore[arg-type]


def test_a_body_that_is_not_json_is_named() -> None:
    for junk in (b"{", b"[]", b"\xff", b"[" * 100_000):
        head = Head(format="chat", model="", stream=False, body=junk)
        with pytest.raises(InvalidRequestError) as caught:
            exchange("chat", "messages").request(head, Edits())
        assert caught.value.param == "body"


def test_nothing_that_is_not_carried_goes_unsaid() -> None:
    unknown = {"x_new_member": {"a": 1}, "y_null": None}
    for client, upstream in PAIRS:
        body, dropped = sent(client, upstream, minimal(client, **unknown))

        assert "x_new_member" in dropped
        assert "y_null" not in dropped
        assert "x_new_member" not in json.dumps(body)


def test_structured_output_is_asked_for_in_every_format() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    one, _ = sent("chat", "messages", chat(response_format=wanted))
    two, _ = sent("messages", "responses", messages(output_config=one["output_config"]))
    three, _ = sent("responses", "chat", responses(text=two["text"]))
    any_object, dropped = sent("chat", "messages", chat(response_format={"type": "json_object"}))

    assert one["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert three["response_format"]["json_schema"]["schema"] == schema
    assert "JSON object" in any_object["system"]
    assert dropped == ["response_format"]


def test_the_deprecated_functions_are_answered_in_kind() -> None:
    functions = [{"name": "f", "parameters": {"type": "object"}}]
    machine = exchange("chat", "messages")
    head = head_of("chat", chat(functions=functions, function_call={"name": "get_weather"}))
    body = json.loads(machine.request(head, Edits()))
    answer = machine.answer(SCENARIOS["one_call"].messages.json)
    choice = json.loads(answer.finish({}))["choices"][0]

    assert body["tool_choice"] == {"type": "tool", "name": "get_weather"}
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"]["name"] == "get_weather"
    assert "tool_calls" not in choice["message"]


def test_usage_is_always_asked_of_a_streaming_chat_upstream() -> None:
    body, _ = sent("messages", "chat", messages(stream=True))

    assert body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("count", [4, 6])
def test_more_stop_words_than_chat_takes_are_listed(count: int) -> None:
    words = [f"s{i}" for i in range(count)]
    body, dropped = sent("messages", "chat", messages(stop_sequences=words))

    assert body["stop"] == words[:4]
    assert dropped == (["stop_sequences"] if count > 4 else [])
