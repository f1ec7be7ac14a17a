"""Coding programs: their own session headers, and the tools they bring."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.control_site import Site
from tests.support.dialogue import Dialogue, tool
from tests.support.requirements import requirement

pytestmark = pytest.mark.anyio

Talk = Callable[..., Dialogue]

FETCH = tool("web_fetch", "url")
SHELL = tool("exec_command", "cmd")
POLICY = json.dumps(
    {
        "codes": {
            "code": 'tool "web_fetch" -> session @tags |= {"web"};\n'
            'tool "exec_command" { must deny when @session.tags overlaps {"web"}; }'
        }
    }
)
RUN = 'CALL exec_command {"cmd": "ls"}'
CODEX = "/control/code/demo/v1/responses"


@requirement("control.coding.session-header")
@pytest.mark.parametrize("header", ["X-Claude-Code-Session-Id", "session-id", "thread-id"])
async def test_the_programs_own_session_header_keeps_one_session(talk: Talk, header: str) -> None:
    headers = {"X-Policy": POLICY, header: str(uuid.uuid4())}
    async with talk(endpoint="code", tools=(FETCH, SHELL), headers=headers) as first:
        fetched = await first.say('CALL web_fetch {"url": "https://x.example"}')
        await first.results({fetched.calls[0].id: "page"})
    async with talk(endpoint="code", tools=(SHELL,), headers=dict(headers)) as second:
        ran = await second.say(RUN)
        second.headers[header] = str(uuid.uuid4())
        second.history[:] = []
        other = await second.say(RUN)

    assert ran.session_id == fetched.session_id != other.session_id
    assert ran.calls == []
    assert [call.name for call in other.calls] == ["exec_command"]


@requirement("control.coding.session-header")
async def test_the_header_means_a_session_only_on_the_code_endpoint(talk: Talk) -> None:
    headers = {"X-Claude-Code-Session-Id": str(uuid.uuid4())}
    async with talk(headers=headers) as dialogue:
        first = await dialogue.say("one")
        dialogue.history[:] = []
        second = await dialogue.say("two")

    assert first.session_id != second.session_id


@requirement("control.coding.session-scoped")
async def test_the_same_header_of_another_key_is_another_session(site: Site, talk: Talk) -> None:
    other = await site.new_key()
    headers = {"session-id": str(uuid.uuid4())}
    seen = []
    for key in (site.key, other):
        async with talk(endpoint="code", key=key, headers=dict(headers)) as dialogue:
            seen.append((await dialogue.say("hello")).session_id)

    assert seen[0] != seen[1]


@requirement("control.coding.codex")
async def test_a_codex_request_is_served_and_its_namespaced_tools_are_decided(site: Site) -> None:
    body: dict[str, Any] = {
        "model": "demo",
        "instructions": "You are a coding agent.",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": 'CALL repo.push {"force": "yes"}'}],
            }
        ],
        "tools": [
            {
                "type": "function",
                "name": "exec_command",
                "strict": False,
                "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}},
            },
            {
                "type": "namespace",
                "name": "repo",
                "description": "The repository",
                "tools": [
                    {
                        "type": "function",
                        "name": "push",
                        "parameters": {"type": "object", "properties": {}},
                    }
                ],
            },
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0198",
        "client_metadata": {"x": "y"},
    }
    deny = json.dumps({"codes": {"code": 'tool "repo.push" { hard deny always; }'}})
    metadata = json.dumps({"turn": "x" * 1500})

    free = await site.gateway.post(CODEX, body, x_codex_turn_metadata=metadata, session_id="s-1")
    denied = await site.gateway.post(CODEX, body, x_policy=deny, session_id="s-2")

    assert free.status_code == denied.status_code == 200
    assert '"namespace":"repo"' in free.text.replace(" ", "")
    assert "response.completed" in free.text
    assert "function_call" not in denied.text
    assert "'repo.push' is denied" in denied.text


@requirement("control.coding.hosted-tools")
async def test_a_tool_the_provider_runs_itself_is_decided_when_it_is_offered(site: Site) -> None:
    body = {"model": "demo", "input": "hello", "tools": [{"type": "web_search"}]}
    deny = json.dumps({"codes": {"code": 'tool "web_search" { hard deny always; }'}})

    denied = await site.gateway.post(CODEX, body, x_policy=deny)

    assert denied.status_code == 400
    assert denied.json()["error"]["code"] == "tool_denied"
    assert "web_search" in denied.json()["detail"]


@requirement("control.coding.hosted-untranslatable")
async def test_a_hosted_tool_the_other_format_cannot_say_is_named(site: Site) -> None:
    body = {"model": "demo", "input": "hello", "tools": [{"type": "web_search"}]}

    answer = await site.gateway.post("/control/code/anthropic/v1/responses", body)

    assert answer.status_code == 400
    assert "web_search" in answer.json()["detail"]


@requirement("control.coding.claude-code")
async def test_a_claude_code_request_is_served(site: Site) -> None:
    body: dict[str, Any] = {
        "model": "demo",
        "max_tokens": 2000,
        "stream": True,
        "system": [{"type": "text", "text": "You are", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
        "tools": [{"name": "Bash", "input_schema": {"type": "object", "properties": {}}}],
        "metadata": {"user_id": "user_1_session_2"},
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": []},
        "output_config": {"effort": "high"},
    }
    betas = "claude-code-20250219,context-management-2025-06-27"
    answer = await site.gateway.http.post(
        "/control/code/anthropic/v1/messages?beta=true",
        json=body,
        headers={
            "x-api-key": site.key,
            "anthropic-version": "2023-06-01",
            "anthropic-beta": betas,
            "X-Claude-Code-Session-Id": str(uuid.uuid4()),
        },
    )

    assert answer.status_code == 200
    assert "event: message_stop" in answer.text
    sent = site.upstream.last
    assert sent.body == body
    assert sent.headers["anthropic-beta"] == betas
