"""Two servers on one database: what one learns about a conversation holds at the other."""

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateway import Gateway, running_gateway

pytestmark = pytest.mark.anyio

POLICY = """
tool "read" { session before { @tags |= {"private"}; } }
tool "send" { hard deny when "private" in @session.tags; }
"""
TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("read", "send")]
TOML = "[gateway]\nshared_sessions = true\n"


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[tuple[Gateway, Gateway]]:
    async with (
        running_gateway(tmp_path, toml=TOML) as one,
        running_gateway(tmp_path, toml=TOML) as other,
    ):
        yield one, other


async def _called(server: Gateway, conversation: str, text: str) -> list[str]:
    """The tools that are called in answer to a text."""
    answer = await server.post(
        "/control/code/demo/v1/messages",
        {
            "model": "demo",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": text}],
            "tools": TOOLS,
        },
        x_claude_code_session_id=conversation,
        x_policy=json.dumps({"codes": POLICY}),
    )
    content: list[dict[str, Any]] = answer.json()["content"]
    return [block["name"] for block in content if block["type"] == "tool_use"]


async def test_a_label_set_at_one_server_denies_at_the_other(
    servers: tuple[Gateway, Gateway],
) -> None:
    one, other = servers
    conversation = str(uuid.uuid4())

    free = await _called(one, conversation, "CALL send {}")
    fresh = await _called(one, str(uuid.uuid4()), "hello")
    read = await _called(other, conversation, "CALL read {}")
    denied = await _called(one, conversation, "CALL send {}")

    assert (free, fresh, read, denied) == (["send"], [], ["read"], [])


async def test_a_server_that_has_seen_nothing_but_words_learns_of_a_label(
    servers: tuple[Gateway, Gateway],
) -> None:
    one, other = servers
    conversation = str(uuid.uuid4())

    await _called(one, conversation, "hello")
    await _called(other, conversation, "CALL read {}")

    assert await _called(one, conversation, "CALL send {}") == []
