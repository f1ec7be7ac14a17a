"""A session costs the same however long it has been going on."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateway import running_gateway

pytestmark = pytest.mark.anyio

TOOLS = [{"type": "function", "function": {"name": "write_file"}}]


async def test_what_is_stored_of_a_session_does_not_grow_with_what_was_written(
    tmp_path: Path,
) -> None:
    call = "CALL write_file " + json.dumps({"text": "y" * 20_000})
    async with running_gateway(tmp_path) as gateway:
        messages: list[dict[str, Any]] = []
        for _ in range(5):
            messages = [*messages, {"role": "user", "content": call}]
            body = {"model": "demo", "messages": messages, "tools": TOOLS}
            asked = await gateway.post("/control/chat/demo/v1/chat/completions", body)
            message = asked.json()["choices"][0]["message"]
            made = message["tool_calls"][0]["id"]
            result = {"role": "tool", "tool_call_id": made, "content": "done"}
            messages = [*messages, message, result]
            body = {"model": "demo", "messages": messages, "tools": TOOLS}
            told = await gateway.post("/control/chat/demo/v1/chat/completions", body)
            messages = [*messages, told.json()["choices"][0]["message"]]

        recorder = gateway.app.store.recorder
        assert await recorder.flush(wait_s=5.0)
        record = await recorder.load_session(told.headers["x-session-id"])

    assert record is not None
    assert record.state.count(b"write_file") == 5
    assert len(record.state) < 5_000
