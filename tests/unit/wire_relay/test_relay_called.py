"""Ids of calls in a history."""

from typing import Any

import pytest
from msgspec import json

from interlock.providers.wire.exchange import FormatName
from interlock.providers.wire.relay.called import called_ids

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
