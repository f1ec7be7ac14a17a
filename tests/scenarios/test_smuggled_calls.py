"""An upstream that words a tool call so that we and the client could read it differently."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.gateway import Gateway, running_gateway
from tests.support.scripted_upstream import ScriptedUpstream, answers, chunked, sends, upstream

pytestmark = pytest.mark.anyio

Site = tuple[Gateway, ScriptedUpstream]
POLICY = json.dumps(
    {"codes": 'tool "pay" { must deny when to.value == "eve"; }\ntool "rm" { must deny always; }'}
)
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the module, because the server lives in it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def site(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with upstream() as provider:
        toml = f'[providers.up]\nbase_url = "{provider.origin}/v1"\napi_key = "sk-up-0000001"\n'
        async with running_gateway(tmp_path_factory.mktemp("smuggled"), toml=toml) as gateway:
            yield gateway, provider


async def ask(site: Site, call: dict[str, Any], *, stream: bool) -> str:
    """What the client is sent when the model makes that call, and nothing but it, each time."""
    gateway, provider = site
    if stream:
        delta = {"tool_calls": [{"index": 0, **call}]}
        first = {**CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        last = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
        body = "".join(f"data: {json.dumps(e)}\n\n" for e in (first, last)) + "data: [DONE]\n\n"
        answer = sends(chunked(body.encode()))
    else:
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        answer = answers(json.dumps({**CHUNK, "choices": [choice]}).encode())
    provider.script[:] = [answer] * 4
    reply = await gateway.http.post(
        "/control/chat/up/v1/chat/completions",
        headers={"authorization": f"Bearer {gateway.key}", "x-policy": POLICY},
        json={"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream},
    )
    provider.script.clear()
    assert reply.status_code == 200
    return reply.text


def function(name: Any, arguments: str) -> dict[str, Any]:
    return {"id": "a", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        '{"to":"eve","to":"bob"}',
        '{"to": "eve", "to": "bob"}',
        '{"to":"eve","t\\u006f":"bob"}',
        '{"to":"bob","more":{"x":1,"x":2}}',
        '{"to":"eve","n":1e5,"to":"b"}',
    ],
)
async def test_arguments_that_name_a_member_twice_are_denied(
    site: Site, arguments: str, stream: bool
) -> None:
    said = await ask(site, function("pay", arguments), stream=stream)

    assert "each member given once" in said
    assert "tool_calls" not in said


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", [None, "", ["rm"], {"x": "rm"}])
async def test_a_call_that_names_no_tool_is_denied(site: Site, name: Any, stream: bool) -> None:
    said = await ask(site, function(name, "{}"), stream=stream)

    assert "the call names no tool" in said
    assert "tool_calls" not in said


@pytest.mark.parametrize("stream", [False, True])
async def test_arguments_in_any_spelling_go_out_as_they_came(site: Site, stream: bool) -> None:
    arguments = '{ "to": "bob",\n "n": 1e5, "note": "caf\\u00e9 \\/" }'

    said = await ask(site, function("pay", arguments), stream=stream)

    assert json.dumps(arguments) in said
