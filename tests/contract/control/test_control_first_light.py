"""The gateway as its clients see it, in the simplest ways."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from tests.support.gateway import Gateway, running_gateway
from tests.support.requirements import requirement

pytestmark = pytest.mark.anyio

POLICY = """
tool "send_email" { hard deny when not to.value in {str like w"*@corp.example"}; }
"""
EMAIL_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "send_email",
        "description": "Send",
        "parameters": {
            "type": "object",
            "properties": {"to": {"type": "string"}, "body": {"type": "string"}},
        },
    },
}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path) as running:
        yield running


@pytest.fixture
async def openai_client(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=gateway.chat(), api_key=gateway.key) as client:
        yield client


@pytest.fixture
async def anthropic_client(gateway: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=gateway.messages(), api_key=gateway.key) as client:
        yield client


def _policy(code: str) -> dict[str, str]:
    return {"X-Policy": json.dumps({"codes": {"code": code}})}


def _call(to: str) -> str:
    return f'CALL send_email {{"to": "{to}", "body": "numbers"}}'


@requirement("control.call-ids.long")
@pytest.mark.parametrize("stream", [False, True])
async def test_an_allowed_call_reaches_an_openai_client_with_our_id(
    openai_client: openai.AsyncOpenAI, stream: bool
) -> None:
    calls = await _chat_calls(openai_client, _call("a@corp.example"), stream, _policy(POLICY))

    assert [(name, json.loads(args)) for _, name, args in calls] == [
        ("send_email", {"to": "a@corp.example", "body": "numbers"})
    ]
    assert calls[0][0].startswith("tc-")
    assert len(calls[0][0]) == 76


@requirement("control.policy.denied-text")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_denied_call_never_reaches_an_openai_client(
    openai_client: openai.AsyncOpenAI, stream: bool
) -> None:
    request: Any = {
        "model": "demo",
        "messages": [{"role": "user", "content": _call("eve@evil.example")}],
        "tools": [EMAIL_TOOL],
        "extra_headers": _policy(POLICY),
    }

    if stream:
        chunks = [
            c async for c in await openai_client.chat.completions.create(**request, stream=True)
        ]
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        calls = [c for c in chunks if c.choices and c.choices[0].delta.tool_calls]
        finish = [c.choices[0].finish_reason for c in chunks if c.choices][-1]
    else:
        choice = (await openai_client.chat.completions.create(**request)).choices[0]
        text, calls, finish = choice.message.content or "", choice.message.tool_calls or [], ""
        finish = choice.finish_reason

    assert not calls
    assert "'send_email' is denied by argument checking policies" in text
    assert "send_email#0" in text
    assert finish == "stop"


@requirement("control.policy.denied-text")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_denied_call_never_reaches_an_anthropic_client(
    anthropic_client: anthropic.AsyncAnthropic, stream: bool
) -> None:
    request: Any = {
        "model": "demo",
        "max_tokens": 500,
        "messages": [{"role": "user", "content": _call("eve@evil.example")}],
        "tools": [
            {
                "name": "send_email",
                "input_schema": EMAIL_TOOL["function"]["parameters"],
            }
        ],
        "extra_headers": _policy(POLICY),
    }

    if stream:
        async with anthropic_client.messages.stream(**request) as events:
            answer = await events.get_final_message()
    else:
        answer = await anthropic_client.messages.create(**request)

    assert {block.type for block in answer.content} == {"text"}
    assert answer.stop_reason == "end_turn"
    text = "".join(block.text for block in answer.content if block.type == "text")
    assert "'send_email' is denied" in text


@requirement("control.policy.denied-text")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_denied_call_never_reaches_a_responses_client(
    openai_client: openai.AsyncOpenAI, stream: bool
) -> None:
    request: Any = {
        "model": "demo",
        "input": _call("eve@evil.example"),
        "tools": [
            {
                "type": "function",
                "name": "send_email",
                "parameters": EMAIL_TOOL["function"]["parameters"],
            }
        ],
        "extra_headers": _policy(POLICY),
    }

    if stream:
        final = None
        async for event in await openai_client.responses.create(**request, stream=True):
            if event.type == "response.completed":
                final = event.response
        assert final is not None
    else:
        final = await openai_client.responses.create(**request)

    assert {item.type for item in final.output} == {"message"}
    assert "'send_email' is denied" in final.output_text


async def _chat_calls(
    client: openai.AsyncOpenAI, text: str, stream: bool, headers: dict[str, str]
) -> list[tuple[str, str, str]]:
    request: Any = {
        "model": "demo",
        "messages": [{"role": "user", "content": text}],
        "tools": [EMAIL_TOOL],
        "extra_headers": headers,
    }
    if not stream:
        answer = await client.chat.completions.create(**request)
        return [
            (call.id, call.function.name, call.function.arguments)
            for call in answer.choices[0].message.tool_calls or []
            if call.type == "function"
        ]
    found: dict[int, list[str]] = {}
    async for chunk in await client.chat.completions.create(**request, stream=True):
        for choice in chunk.choices:
            for part in choice.delta.tool_calls or []:
                entry = found.setdefault(part.index, ["", "", ""])
                entry[0] += part.id or ""
                entry[1] += (part.function and part.function.name) or ""
                entry[2] += (part.function and part.function.arguments) or ""
    return [(a, b, c) for a, b, c in found.values()]
