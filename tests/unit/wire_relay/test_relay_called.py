"""Ids of calls in a history."""

from typing import Any

import pytest
from msgspec import json

from interlock.providers.wire.exchange import FormatName
from interlock.providers.wire.relay.called import (
    called_ids,
    given_results,
    last_called,
    said_by_user,
)

HISTORIES: dict[FormatName, dict[str, Any]] = {
    "chat": {
        "messages": [
            {"role": "user", "content": "tc-text"},
            {"role": "assistant", "tool_calls": [{"id": "one"}, {"id": "two"}]},
            {"role": "tool", "tool_call_id": "one", "content": "three"},
            {"role": "assistant", "content": "done", "tool_calls": [{"id": "four"}]},
        ]
    },
    "messages": {
        "messages": [
            {"role": "assistant", "content": [{"type": "text", "text": "x", "id": "no"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "one"}, {"type": "tool_use", "id": "two"}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "one"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "four"}]},
        ]
    },
    "responses": {
        "input": [
            {"type": "function_call", "call_id": "one"},
            {"type": "custom_tool_call", "call_id": "two"},
            {"type": "function_call_output", "call_id": "three", "output": "tc"},
            {"type": "local_shell_call", "call_id": "four"},
        ]
    },
}


@pytest.mark.parametrize("name", list(HISTORIES))
def test_calls_are_found_in_the_places_of_ids_newest_first(name: FormatName) -> None:
    found = list(called_ids(name, json.encode(HISTORIES[name])))

    assert found == ["four", "two", "one"]


@pytest.mark.parametrize("name", list(HISTORIES))
@pytest.mark.parametrize("body", [b"", b"[]", b'{"messages": 1, "input": {}}', b'{"input": [1]}'])
def test_a_history_that_is_none_has_no_calls(name: FormatName, body: bytes) -> None:
    assert list(called_ids(name, body)) == []


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (
            "chat",
            {
                "messages": [
                    {"role": "user", "content": "x"},
                    {"role": "tool", "tool_call_id": "a", "content": "one"},
                    {
                        "role": "tool",
                        "tool_call_id": "b",
                        "content": [{"type": "text", "text": "two"}],
                    },
                    {"role": "tool", "tool_call_id": "c"},
                ]
            },
        ),
        (
            "messages",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "tool_result", "tool_use_id": "a", "content": "one"},
                            {
                                "type": "tool_result",
                                "tool_use_id": "b",
                                "content": [{"type": "text", "text": "two"}],
                            },
                            {"type": "tool_result", "tool_use_id": "c"},
                        ],
                    }
                ]
            },
        ),
        (
            "responses",
            {
                "input": [
                    {"type": "function_call_output", "call_id": "a", "output": "one"},
                    {
                        "type": "function_call_output",
                        "call_id": "b",
                        "output": [{"type": "input_text", "text": "two"}],
                    },
                    {"type": "message", "role": "user", "content": "x"},
                ]
            },
        ),
    ],
)
def test_every_result_of_a_history_is_found(name: FormatName, body: Any) -> None:
    assert list(given_results(name, json.encode(body))) == [("a", "one"), ("b", "two")]


def test_results_before_the_body_come_first_and_a_broken_body_has_none() -> None:
    before = [{"type": "function_call_output", "call_id": "a", "output": "one"}]

    assert list(given_results("responses", b'{"input": "x"}', before)) == [("a", "one")]
    assert list(given_results("chat", b"{")) == []


@pytest.mark.parametrize(
    ("items", "called"),
    [
        (HISTORIES["responses"]["input"], ["four"]),
        (HISTORIES["responses"]["input"][:2], ["one", "two"]),
        ([{"role": "user", "content": "x"}, {"type": "function_call", "call_id": "a"}], ["a"]),
        (
            [
                {"type": "function_call", "call_id": "a"},
                {"role": "assistant", "content": "x"},
                {"type": "reasoning"},
            ],
            ["a"],
        ),
        ([{"type": "function_call", "call_id": "a"}, {"role": "user", "content": "x"}], []),
        (["nonsense", {"type": "function_call", "call_id": 1}], []),
        ([], []),
    ],
)
def test_the_last_calls_of_stored_items_are_those_nothing_answers(
    items: list[Any], called: list[str]
) -> None:
    assert last_called(items) == called


def test_only_texts_in_messages_of_the_user_are_his_words() -> None:
    part = {"type": "text", "text": "two"}
    chat = [
        {"role": "system", "content": "no"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "no"},
        {"role": "tool", "tool_call_id": "x", "content": "no"},
        {"role": "user", "content": [part, {"type": "image_url", "text": "no"}, "no", None]},
        {"role": "user"},
        "no",
    ]
    messages = [
        {"role": "user", "content": [{"type": "tool_result", "content": "no"}, part]},
        {"role": "user", "content": [{"type": "document", "text": "no"}]},
    ]
    items = [
        {"type": "function_call_output", "call_id": "x", "output": "no"},
        {"role": "user", "type": "function_call_output", "content": "no"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "two"}]},
        {"role": "user", "content": "three"},
    ]

    def said(name: str, body: object, *prepended: object) -> list[str]:
        return list(said_by_user(name, json.encode(body), prepended))  # type: ignore[arg-type]

    assert said("chat", {"messages": chat}) == ["one", "two"]
    assert said("messages", {"messages": messages}) == ["two"]
    assert said("responses", {"input": items}, {"role": "user", "content": "one"}) == [
        "one",
        "two",
        "three",
    ]
    assert said("responses", {"input": "plain"}) == ["plain"]
    assert list(said_by_user("chat", b"{")) == []
