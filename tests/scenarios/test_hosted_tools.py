"""What the provider would run by itself is decided wherever a request asks for it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.support.gateway import Gateway, running_gateway
from tests.support.scripted_upstream import ScriptedUpstream, answers, upstream

pytestmark = pytest.mark.anyio

Site = tuple[Gateway, ScriptedUpstream]
FUNCTION = {"type": "function", "name": "read", "parameters": {"type": "object"}}
SEARCH = {"type": "web_search"}
HELLO = [{"role": "user", "content": "hi"}]
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    ],
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "x"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


def response(number: int, *output: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the module, because the server lives in it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def site(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with upstream() as provider:
        tables = [
            f'[providers.{name}]\nbase_url = "{provider.origin}/v1"\nformats = ["{name}"]\n'
            for name in ("chat", "messages", "responses")
        ]
        async with running_gateway(
            tmp_path_factory.mktemp("hosted"), toml="\n".join(tables)
        ) as gateway:
            yield gateway, provider


async def ask(
    site: Site, wire: str, answer: dict[str, Any], policy: str, **body: Any
) -> httpx.Response:
    gateway, provider = site
    path = "chat/completions" if wire == "chat" else wire
    provider.script[:] = [answers(json.dumps(answer).encode())]
    reply = await gateway.http.post(
        f"/control/chat/{wire}/v1/{path}",
        headers={
            "authorization": f"Bearer {gateway.key}",
            "x-policy": json.dumps({"codes": policy}),
        },
        json={"model": "m", **body},
    )
    provider.script.clear()
    return reply


def sent(site: Site) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(site[1].seen[-1].body)
    return body


def deny(tool: str) -> str:
    return f'tool "{tool}" {{ must deny always; }}'


ASKED = [
    ("chat", CHAT, "web_search", {"messages": HELLO, "web_search_options": {}}),
    ("chat", CHAT, "web_search_options", {"messages": HELLO, "web_search_options": {}}),
    ("chat", CHAT, "web", {"messages": HELLO, "plugins": [{"id": "web"}]}),
    ("chat", CHAT, "plugins", {"messages": HELLO, "plugins": [{"max_results": 3}]}),
    ("chat", CHAT, "web", {"messages": HELLO, "model": "m:online"}),
    (
        "messages",
        MESSAGE,
        "files",
        {
            "messages": HELLO,
            "max_tokens": 9,
            "mcp_servers": [{"type": "url", "url": "https://x.example", "name": "files"}],
        },
    ),
    ("responses", response(1), "prompt", {"input": "hi", "prompt": {"id": "pmpt_1"}}),
    (
        "responses",
        response(1),
        "files.delete",
        {
            "input": "hi",
            "tools": [
                {
                    "type": "mcp",
                    "server_label": "files",
                    "server_url": "https://x.example",
                    "require_approval": "never",
                    "allowed_tools": ["read", "delete"],
                }
            ],
        },
    ),
    (
        "responses",
        response(1),
        "files.delete",
        {
            "input": "hi",
            "tools": [
                {
                    "type": "mcp",
                    "server_label": "files",
                    "server_url": "https://x.example",
                    "require_approval": {"never": {"tool_names": ["delete"]}},
                }
            ],
        },
    ),
]


@pytest.mark.parametrize(("wire", "answer", "tool", "body"), ASKED)
async def test_a_tool_of_the_provider_is_decided_however_it_is_asked_for(
    site: Site, wire: str, answer: dict[str, Any], tool: str, body: dict[str, Any]
) -> None:
    allowed = await ask(site, wire, answer, deny("other"), **body)
    denied = await ask(site, wire, answer, deny(tool), **body)

    assert (allowed.status_code, denied.status_code) == (200, 400)
    assert denied.json()["error"]["code"] == "tool_denied"
    assert f"Rule: {tool}#0 " in denied.json()["detail"]


@pytest.mark.parametrize(
    ("wire", "member", "value"),
    [
        ("chat", "plugins", {"id": "web"}),
        ("messages", "mcp_servers", "all"),
        ("chat", "plugins", [{"id": "a", "id ": 1}, 5]),
    ],
)
async def test_plugins_in_a_wrong_shape_are_bad_input_or_have_the_name_of_the_member(
    site: Site, wire: str, member: str, value: Any
) -> None:
    reply = await ask(
        site, wire, CHAT, deny(member), messages=HELLO, max_tokens=9, **{member: value}
    )

    assert reply.status_code == 400
    assert member in reply.json()["detail"]


async def test_an_approval_is_decided_call_by_call_and_not_with_the_offer(site: Site) -> None:
    tool = {"type": "mcp", "server_label": "files", "server_url": "https://x.example"}

    reply = await ask(
        site, "responses", response(1), deny("files.delete"), input="hi", tools=[tool]
    )

    assert reply.status_code == 200


async def test_tools_of_an_earlier_response_are_decided_again(site: Site) -> None:
    policy = (
        'tool "read" -> session before @tags |= {"secret"};\n'
        'tool "web_search" { must deny when @session.tags overlaps {"secret"}; }'
    )
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "read",
        "arguments": "{}",
        "status": "completed",
    }
    first = await ask(
        site, "responses", response(11, call), policy, input="hi", tools=[FUNCTION, SEARCH]
    )
    made = first.json()["output"][0]["call_id"]
    result = [{"type": "function_call_output", "call_id": made, "output": "42"}]
    follow = {"input": result, "previous_response_id": "resp_11"}

    again = await ask(site, "responses", response(12), policy, **follow)

    assert again.status_code == 400
    assert "'web_search' is denied" in again.json()["detail"]


async def test_tools_are_reused_along_a_chain_of_responses(site: Site) -> None:
    allow = 'tool "other" { must deny always; }'
    tools = [FUNCTION, SEARCH]
    await ask(site, "responses", response(21), allow, input="a", tools=tools)
    await ask(site, "responses", response(22), allow, input="b", previous_response_id="resp_21")
    await ask(site, "responses", response(23), allow, input="c", previous_response_id="resp_22")

    assert sent(site)["tools"] == tools


async def test_a_conversation_kept_by_the_provider_is_one_session(site: Site) -> None:
    async def session(conversation: Any) -> str:
        reply = await ask(
            site, "responses", response(31), deny("other"), input="a", conversation=conversation
        )
        return str(reply.headers["x-session-id"])

    first = await session("conv_1")

    assert await session({"id": "conv_1"}) == first
    assert await session("conv_2") != first
