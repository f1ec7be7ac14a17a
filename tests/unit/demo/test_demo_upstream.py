"""The demo model in process: routes, refusals, faults, waiting."""

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from interlock.cli import demo_upstream as command
from interlock.providers.demo import BrokenConnectionError, DemoReply, DemoUpstream

CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
MESSAGES = {**CHAT, "max_tokens": 1_000}


def saying(text: str, **more: Any) -> dict[str, Any]:
    return {**MESSAGES, "messages": [{"role": "user", "content": text}], **more}


async def post(
    path: str,
    tree: object,
    upstream: DemoUpstream | None = None,
    headers: Mapping[str, str] | None = None,
) -> DemoReply:
    demo = upstream or DemoUpstream(faults=True)
    return await demo.handle("POST", path, headers or {}, json.dumps(tree).encode())


async def error_of(reply: DemoReply) -> tuple[int, dict[str, Any]]:
    return reply.status, json.loads(await reply.read())["error"]


@pytest.mark.anyio
@pytest.mark.parametrize("prefix", ["", "/v1", "/openai/deployments/x"])
async def test_a_route_is_found_behind_any_prefix_and_query(prefix: str) -> None:
    reply = await post(f"{prefix}/chat/completions/?beta=true", CHAT)

    assert reply.status == 200
    assert reply.headers["x-demo-model"] == "interlock"
    assert json.loads(await reply.read())["choices"][0]["message"]["content"] == "ECHO hi"


@pytest.mark.anyio
async def test_other_paths_and_methods_are_refused() -> None:
    demo = DemoUpstream()

    assert (await demo.handle("POST", "/v1/nothing", {}, b"{}")).status == 404
    assert (await demo.handle("GET", "/v1/responses", {}, b"")).status == 405


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": "Bearer x"}, 200),
        ({"x-api-key": "x"}, 200),
        ({"api-key": "x"}, 200),
    ],
)
async def test_any_key_is_accepted_but_one_must_be_there(
    headers: dict[str, str], status: int
) -> None:
    demo = DemoUpstream(key_required=True)

    assert (await post("/v1/messages", MESSAGES, demo, headers)).status == status


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "tree", "says"),
    [
        ("/chat/completions", {}, "messages"),
        ("/chat/completions", {"messages": CHAT["messages"]}, "model"),
        ("/chat/completions", {**CHAT, "messages": []}, "empty array"),
        ("/chat/completions", {**CHAT, "messages": [{"role": "robot"}]}, "Invalid value"),
        ("/chat/completions", {**CHAT, "messages": "x"}, "Invalid type"),
        ("/chat/completions", {**CHAT, "tools": [{"type": "magic"}]}, "Invalid value"),
        ("/chat/completions", {**CHAT, "stream": "yes"}, "Invalid type"),
        (
            "/chat/completions",
            {**CHAT, "messages": [{"role": "tool", "tool_call_id": "c", "content": "x"}]},
            "must be a response",
        ),
        (
            "/chat/completions",
            {
                **CHAT,
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {
                                "id": "c",
                                "type": "function",
                                "function": {"name": "f", "arguments": "{}"},
                            }
                        ],
                    },
                    *CHAT["messages"],
                ],
            },
            "did not have response messages",
        ),
        ("/messages", CHAT, "max_tokens"),
        ("/messages", {**MESSAGES, "messages": [{"role": "system", "content": "x"}]}, "role"),
        (
            "/messages",
            {
                **MESSAGES,
                "messages": [
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}
                ],
            },
            "unexpected `tool_use_id`",
        ),
        (
            "/messages",
            {
                **MESSAGES,
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}],
                    },
                    {"role": "user", "content": "go on"},
                ],
            },
            "without `tool_result`",
        ),
        (
            "/messages",
            {
                **MESSAGES,
                "messages": [
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "thinking", "thinking": "", "signature": "", "text": ""}
                        ],
                    }
                ],
            },
            "Extra inputs",
        ),
        ("/responses", {"model": "demo"}, "input"),
        (
            "/responses",
            {
                "model": "demo",
                "input": [{"type": "function_call_output", "call_id": "c", "output": "x"}],
            },
            "No tool call found",
        ),
        (
            "/responses",
            {
                "model": "demo",
                "input": [
                    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
                ],
            },
            "No tool output found",
        ),
        ("/embeddings", {"model": "demo", "input": []}, "input"),
    ],
)
async def test_a_bad_request_is_refused_as_the_provider_would(
    path: str, tree: object, says: str
) -> None:
    status, error = await error_of(await post(path, tree))

    assert (status, error["type"]) == (400, "invalid_request_error")
    assert says in error["message"]


@pytest.mark.anyio
async def test_a_system_message_may_stand_inside_a_conversation() -> None:
    later = {"role": "system", "content": [{"type": "text", "text": "The tools have changed."}]}

    reply = await post("/messages", {**MESSAGES, "messages": [*CHAT["messages"], later]})

    assert reply.status == 200
    assert json.loads(await reply.read())["content"] == [{"type": "text", "text": "ECHO hi"}]


@pytest.mark.anyio
async def test_slow_waits_before_anything_is_answered() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    reply = await post("/messages", saying("SLOW 3"), DemoUpstream(sleep=sleep))

    assert (reply.status, slept) == (200, [3.0])


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/chat/completions", "/messages", "/responses"])
@pytest.mark.parametrize("stream", [True, False])
async def test_cut_ends_the_answer_after_its_bytes(path: str, stream: bool) -> None:
    text = "CUT 100\nSAY " + "x" * 200
    body = {"model": "demo", "input": text} if path == "/responses" else saying(text)
    reply = await post(path, {**body, "stream": stream})

    received: list[bytes] = []

    async def take() -> None:
        async for piece in reply.body:
            received.append(piece)

    with pytest.raises(BrokenConnectionError):
        await take()
    assert len(b"".join(received)) == 100


@pytest.mark.anyio
async def test_stall_goes_silent_and_garbage_breaks_an_event() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    demo = DemoUpstream(faults=True, sleep=sleep)
    stalled = await post("/messages", saying("STALL 10", stream=True), demo)
    with pytest.raises(BrokenConnectionError):
        await stalled.read()
    assert slept == [86_400.0]

    spoiled = await post("/messages", saying("GARBAGE 10", stream=True), demo)
    whole = await spoiled.read()
    assert b'data: {"garbage": tru\n\n' in whole
    assert whole.endswith(b"}\n\n")
    broken = await post("/messages", saying("GARBAGE 10"), demo)
    with pytest.raises(json.JSONDecodeError):
        json.loads(await broken.read())


@pytest.mark.anyio
async def test_huge_is_one_big_event() -> None:
    reply = await post("/chat/completions", saying("HUGE 1", stream=True, max_tokens=10**9))

    assert max([len(piece) async for piece in reply.body]) > 1 << 20


@pytest.mark.anyio
async def test_faults_are_off_inside_the_server() -> None:
    reply = await post("/messages", saying("CUT 1"), DemoUpstream())

    assert json.loads(await reply.read())["content"][0]["text"] == "ECHO CUT 1"


@pytest.mark.anyio
async def test_only_the_newest_responses_are_remembered() -> None:
    demo = DemoUpstream()
    ids = [
        json.loads(await (await post("/responses", {"model": "m", "input": "x"}, demo)).read())[
            "id"
        ]
        for _ in range(300)
    ]

    def after(response_id: str) -> dict[str, Any]:
        return {"model": "m", "input": "y", "previous_response_id": response_id}

    assert (await post("/responses", after(ids[-1]), demo)).status == 200
    assert (await post("/responses", after(ids[0]), demo)).status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "tool_calls", "id", "name", "function", "input"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(["/chat/completions", "/messages", "/responses", "/embeddings"]),
    st.dictionaries(
        st.sampled_from(
            [
                *("model", "messages", "input", "tools", "tool_choice", "max_tokens", "stop"),
                *("text", "stream", "system", "response_format", "previous_response_id"),
            ]
        ),
        JSON,
    ),
)
def test_no_body_breaks_it(path: str, tree: dict[str, Any]) -> None:
    async def one() -> int:
        reply = await post(path, tree)
        await reply.read()
        return reply.status

    # A thread of its own: the event loop of another test may be open in this one.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, one()).result() in {200, 400}


def test_the_command_serves_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    import typer  # noqa: PLC0415 - only this test builds a command line

    served: dict[str, object] = {}
    monkeypatch.setattr(command, "serve", lambda **given: served.update(given))
    app = typer.Typer()
    app.command()(command.demo_upstream)

    result = CliRunner().invoke(app, ["--port", "9001", "--no-faults"])

    assert result.exit_code == 0
    assert "http://127.0.0.1:9001/v1" in result.output.replace("\n", "")
    assert served == {"host": "127.0.0.1", "port": 9001, "faults": False}


@pytest.mark.anyio
async def test_what_is_remembered_of_responses_is_bounded_in_bytes() -> None:
    upstream = DemoUpstream()
    body = {"model": "demo", "input": "x" * (1 << 20)}
    for _ in range(40):
        reply = await upstream.handle(
            "POST",
            "/v1/responses",
            {"authorization": "Bearer k"},
            json.dumps(body).encode(),
        )
        assert reply.status == 200

    assert sum(map(len, upstream._responses.values())) <= 16 << 20
    assert upstream._responses
