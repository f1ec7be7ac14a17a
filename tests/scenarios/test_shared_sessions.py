"""Two servers on one database: what one learns about a conversation holds at the other."""

import asyncio
import json
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateway import Gateway, running_gateway

pytestmark = pytest.mark.anyio

READS = 24
POLICY = 'tool "read" { session before { @tags |= {"private"}; } }\n' + "".join(
    f'tool "read_{n}" {{ session before {{ @tags |= {{"t{n}"}}; }} }}\n'
    f'tool "send_{n}" {{ hard deny when "t{n}" in @session.tags; }}\n'
    for n in range(READS)
)
POLICY += 'tool "send" { hard deny when "private" in @session.tags; }\n'
TOOLS = [
    {"name": name, "input_schema": {"type": "object"}}
    for name in (
        "read",
        "send",
        *(f"{verb}_{n}" for verb in ("read", "send") for n in range(READS)),
    )
]
TOML = "[gateway]\nshared_sessions = true\n"


@pytest.fixture
async def servers(migrated_url: str, tmp_path: Path) -> AsyncIterator[tuple[Gateway, Gateway]]:
    environ = {"INTERLOCK_DATABASE_URL": migrated_url}
    async with (
        running_gateway(tmp_path / "one", toml=TOML, environ=environ) as one,
        _second(tmp_path, environ) as other,
    ):
        yield one, other


def _second(tmp_path: Path, environ: dict[str, str]) -> Any:
    """Another server with the same secret and a directory of its own."""
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "one" / "secret.key", tmp_path / "other" / "secret.key")
    return running_gateway(tmp_path / "other", toml=TOML, environ=environ)


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
    assert answer.status_code == 200, answer.text
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


async def test_labels_put_on_at_the_same_moment_at_two_servers_are_all_kept(
    servers: tuple[Gateway, Gateway],
) -> None:
    conversation = str(uuid.uuid4())

    read = await asyncio.gather(
        *(_called(servers[n % 2], conversation, f"CALL read_{n} {{}}") for n in range(READS))
    )
    sent = [
        await _called(server, conversation, "\n".join(f"CALL send_{n} {{}}" for n in range(READS)))
        for server in servers
    ]

    assert read == [[f"read_{n}"] for n in range(READS)]
    assert sent == [[], []]
