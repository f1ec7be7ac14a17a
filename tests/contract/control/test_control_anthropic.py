"""The official `anthropic` client, pointed at the gateway by base URL."""

import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import anyio.to_thread
import pytest
from anthropic import beta_async_tool
from tests.support.control_site import Site
from tests.support.gateway import running_gateway
from tests.support.requirements import requirement
from tests.support.scripted_upstream import answers, chunked, sends, upstream

pytestmark = pytest.mark.anyio

At = Callable[..., anthropic.AsyncAnthropic]

WEATHER: Any = {
    "name": "weather",
    "description": "Weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
TWO = 'CALL weather {"city": "Oslo"}\nCALL weather {"city": "Rome"}'
PROVIDERS = ["demo", "openai", "openrouter", "anthropic", "sequrity_azure"]
_SIX = {
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
}


@pytest.fixture
async def at(site: Site) -> AsyncIterator[At]:
    """Makes clients for a provider or with other options; they are closed at the end."""
    made: list[anthropic.AsyncAnthropic] = []

    def make(provider: str = "demo", **options: Any) -> anthropic.AsyncAnthropic:
        url = site.gateway.messages(provider)
        given = {"base_url": url, "api_key": site.key, "max_retries": 0}
        made.append(anthropic.AsyncAnthropic(**{**given, **options}))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def asking(text: str, **more: Any) -> Any:
    return {
        "model": "demo",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": text}],
        **more,
    }


@requirement("control.messages.message", "control.translate.messages")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_messages_answer_through_every_provider(at: At, provider: str) -> None:
    answer = await at(provider).messages.create(**asking("hello", system="be brief"))

    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "demo")
    assert [block.type for block in answer.content] == ["text"]
    assert answer.content[0].type == "text"
    assert answer.content[0].text == "ECHO hello"
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0


@requirement("control.messages.stream", "control.translate.messages")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_messages_stream_is_accumulated_by_the_helper(at: At, provider: str) -> None:
    async with at(provider).messages.stream(**asking("hello there, stream")) as stream:
        pieces = [piece async for piece in stream.text_stream]
        final = await stream.get_final_message()

    assert "".join(pieces) == "ECHO hello there, stream"
    assert len(pieces) > 1
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0


@requirement("control.messages.events")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_messages_stream_has_only_the_published_events_in_order(
    at: At, provider: str
) -> None:
    stream = await at(provider).messages.create(**asking(TWO, tools=[WEATHER]), stream=True)
    kinds = [event.type async for event in stream]

    assert set(kinds) == _SIX
    assert (kinds[0], kinds[-2], kinds[-1]) == ("message_start", "message_delta", "message_stop")
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2


@requirement("control.messages.tool-loop", "control.messages.parallel-tools")
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("stream", [False, True])
async def test_parallel_tool_uses_go_round_the_loop(at: At, provider: str, stream: bool) -> None:
    client = at(provider)
    request = asking(TWO, tools=[WEATHER])
    if stream:
        async with client.messages.stream(**request) as events:
            first: Any = await events.get_final_message()
    else:
        first = await client.messages.create(**request)
    uses = [block for block in first.content if block.type == "tool_use"]
    request["messages"] += [
        {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in first.content]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": use.id, "content": f"{use.input['city']}: 9"}
                for use in uses
            ],
        },
    ]
    second = await client.messages.create(**request)

    assert first.stop_reason == "tool_use"
    assert [use.input for use in uses] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert second.content[0].type == "text"
    assert second.content[0].text == "RESULT Rome: 9"


@requirement("control.messages.tool-runner")
@pytest.mark.parametrize("provider", ["demo", "anthropic", "openai"])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_tool_runner_runs_a_loop_to_its_end(at: At, provider: str, stream: bool) -> None:
    ran: list[str] = []

    @beta_async_tool
    async def weather(city: str) -> str:
        """Weather of a city."""
        ran.append(city)
        return f"{city}: fog"

    runner = at(provider).beta.messages.tool_runner(
        **asking(TWO), tools=[weather], stream=stream, max_iterations=4
    )
    final: Any = None
    if stream:
        async for events in runner:
            final = await events.get_final_message()  # type: ignore[union-attr]
    else:
        final = await runner.until_done()

    assert sorted(ran) == ["Oslo", "Rome"]
    assert final.content[0].text == "RESULT Rome: fog"


@requirement("control.messages.tool-error")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_failed_tool_is_told_to_the_model(site: Site, at: At, provider: str) -> None:
    client = at(provider)
    request = asking('CALL weather {"city": "Oslo"}', tools=[WEATHER])
    first = await client.messages.create(**request)
    use = next(block for block in first.content if block.type == "tool_use")
    result = {
        "type": "tool_result",
        "tool_use_id": use.id,
        "content": "no such city",
        "is_error": True,
    }
    request["messages"] += [
        {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in first.content]},
        {"role": "user", "content": [result]},
    ]
    second = await client.messages.create(**request)

    assert second.content[0].type == "text"
    assert "no such city" in second.content[0].text


@requirement("control.messages.stop-reasons")
@pytest.mark.parametrize("provider", ["demo", "anthropic", "openai"])
async def test_stop_reasons_are_those_of_the_format(at: At, provider: str) -> None:
    client = at(provider)
    cut = await client.messages.create(**{**asking("SAY " + "long " * 40), "max_tokens": 3})

    assert cut.stop_reason == "max_tokens"


@requirement("control.messages.count-tokens")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_tokens_are_counted_with_every_provider(at: At, provider: str) -> None:
    client = at(provider)
    short = await client.messages.count_tokens(
        model="demo", messages=[{"role": "user", "content": "hello"}]
    )
    long = await client.messages.count_tokens(
        model="demo",
        messages=[{"role": "user", "content": "hello " * 200}],
        tools=[WEATHER],
        system="be brief",
    )

    assert 0 < short.input_tokens < long.input_tokens


@requirement("control.models.anthropic")
async def test_models_are_listed_in_anthropics_shape(at: At) -> None:
    client = at()
    page = await client.models.list()
    one = await client.models.retrieve("demo")
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("nothing")

    assert [(model.id, model.type) for model in page.data] == [("demo", "model")]
    assert (page.has_more, page.first_id, page.last_id) == (False, "demo", "demo")
    assert one.display_name == "demo"
    assert one.created_at.tzinfo is not None


@requirement("control.auth.x-api-key-as-gateway-key", "control.auth.bearer")
async def test_the_gateway_key_may_be_api_key_or_auth_token(site: Site, at: At) -> None:
    as_bearer = at("anthropic", api_key=None, auth_token=site.key)
    as_header = at(
        "anthropic",
        api_key="unused",
        default_headers={"x-api-key": site.key, "Authorization": anthropic.Omit()},
    )

    for client in (as_bearer, as_header):
        answer = await client.messages.create(**asking("hi"))
        assert answer.stop_reason == "end_turn"
        assert site.upstream.last.headers["x-api-key"] == "sk-server-anthropic-0003"
        assert "authorization" not in site.upstream.last.headers


@requirement("control.auth.x-api-key-as-gateway-key")
async def test_a_client_that_fills_both_headers_from_one_key_uses_the_servers(
    site: Site, at: At
) -> None:
    client = at(
        "anthropic", default_headers={"x-api-key": site.key, "Authorization": f"Bearer {site.key}"}
    )

    await client.messages.create(**asking("hi"))

    assert site.upstream.last.headers["x-api-key"] == "sk-server-anthropic-0003"


@requirement("control.query-ignored", "control.headers.forwarded")
async def test_beta_calls_carry_their_names_to_the_provider(site: Site, at: At) -> None:
    answer = await at("anthropic").beta.messages.create(
        **asking("hi"), betas=["context-1m-2025-08-07", "another-2026-01-01"]
    )

    assert answer.stop_reason == "end_turn"
    headers = site.upstream.last.headers
    assert set(headers["anthropic-beta"].split(",")) == {
        "context-1m-2025-08-07",
        "another-2026-01-01",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", headers["anthropic-version"])


@requirement("control.errors.anthropic")
@pytest.mark.parametrize("stream", [False, True])
async def test_errors_of_the_gateway_are_the_clients_exceptions(at: At, stream: bool) -> None:
    cases: list[tuple[dict[str, Any], dict[str, Any], type[Exception], int, str]] = [
        ({"api_key": "sq-wrong"}, {}, anthropic.AuthenticationError, 401, "authentication_error"),
        ({"provider": "llama"}, {}, anthropic.InternalServerError, 503, "overloaded_error"),
        (
            {"default_headers": {"X-Session-ID": "none"}},
            {},
            anthropic.NotFoundError,
            404,
            "not_found_error",
        ),
        ({}, {"max_tokens": -1}, anthropic.BadRequestError, 400, "invalid_request_error"),
    ]
    for options, body, kind, status, name in cases:
        with pytest.raises(kind) as caught:
            await at(**options).messages.create(**{**asking("x"), **body}, stream=stream)
        error = caught.value
        assert isinstance(error, anthropic.APIStatusError)
        assert error.status_code == status
        assert error.body["type"] == "error"  # type: ignore[index]
        assert error.type == name
        assert error.request_id is not None
        assert error.request_id.startswith("req_")


@requirement("control.errors.upstream-anthropic")
@pytest.mark.parametrize("provider", ["anthropic", "openai"])
@pytest.mark.parametrize(
    ("status", "kind", "seen"),
    [
        (400, anthropic.BadRequestError, 400),
        (401, anthropic.InternalServerError, 502),
        (404, anthropic.NotFoundError, 404),
        (500, anthropic.InternalServerError, 502),
        (529, anthropic.InternalServerError, 503),
    ],
)
async def test_failures_of_the_provider_keep_what_the_caller_can_act_on(
    at: At, provider: str, status: int, kind: type[anthropic.APIStatusError], seen: int
) -> None:
    with pytest.raises(kind) as caught:
        await at(provider).messages.create(**asking(f"FAIL {status}"))

    assert caught.value.status_code == seen


@requirement("control.errors.mid-stream")
@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_a_provider_that_breaks_off_is_an_error_event_for_a_native_client(
    at: At, provider: str
) -> None:
    text = ""

    async with at(provider).messages.stream(**asking("TOKENS 50\nCUT 4000")) as stream:

        async def read() -> None:
            nonlocal text
            async for piece in stream.text_stream:
                text += piece

        with pytest.raises(anthropic.APIError):
            await read()

    assert text.startswith("tok ")


@requirement("control.messages.sync")
async def test_the_synchronous_client_works_as_well(site: Site) -> None:
    def talk() -> tuple[str, str]:
        with anthropic.Anthropic(base_url=site.gateway.messages(), api_key=site.key) as sync:
            whole = sync.messages.create(**asking("sync"))
            with sync.messages.stream(**asking("sync")) as stream:
                streamed = stream.get_final_text()
        assert whole.content[0].type == "text"
        return whole.content[0].text, streamed

    assert await anyio.to_thread.run_sync(talk) == ("ECHO sync", "ECHO sync")


# What only a scripted provider says: pings, thinking


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events
    )


START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "claude-test",
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 1},
    },
}
THINKING: list[dict[str, Any]] = [
    START,
    {"type": "ping"},
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "thinking", "thinking": "", "signature": ""},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "let me see"},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "signature_delta", "signature": "c2ln"},
    },
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "text_delta", "text": "42"},
    },
    {"type": "content_block_stop", "index": 1},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 9},
    },
    {"type": "message_stop"},
]
WHOLE = {
    **START["message"],
    "content": [
        {"type": "thinking", "thinking": "let me see", "signature": "c2ln"},
        {"type": "text", "text": "42"},
    ],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 7, "output_tokens": 9},
}


@pytest.fixture
async def scripted(tmp_path: Any) -> AsyncIterator[tuple[Any, Any]]:
    """A gateway in front of a provider that plays what a test gives it."""
    async with upstream() as provider:
        toml = (
            f'[providers.claude]\nbase_url = "{provider.origin}/v1"\nformats = ["messages"]\n'
            'key_header = "x-api-key"\napi_key = "sk-claude-0000001"\n'
        )
        async with running_gateway(tmp_path, toml=toml) as gateway:
            yield gateway, provider


@requirement("control.messages.ping", "control.messages.thinking-native")
async def test_a_native_client_gets_pings_and_thinking_untouched(
    scripted: tuple[Any, Any],
) -> None:
    gateway, provider = scripted
    provider.script.append(sends(chunked(sse(*THINKING))))
    headers = {"anthropic-version": "2023-06-01"}
    answer = await gateway.post(
        "/control/chat/claude/v1/messages", asking("x", stream=True), **headers
    )
    async with anthropic.AsyncAnthropic(
        base_url=gateway.messages("claude"), api_key=gateway.key
    ) as client:
        provider.script.append(sends(chunked(sse(*THINKING))))
        async with client.messages.stream(**asking("x")) as stream:
            final = await stream.get_final_message()
        provider.script.append(answers(json.dumps(WHOLE).encode()))
        whole = await client.messages.create(**asking("x"))

    assert b"event: ping\n" in answer.content
    for message in (final, whole):
        assert [block.model_dump(exclude_none=True) for block in message.content] == WHOLE[
            "content"
        ]


@requirement("control.messages.ping", "control.messages.thinking-typed")
async def test_the_typed_client_gets_no_ping_and_thinking_with_text(
    scripted: tuple[Any, Any],
) -> None:
    gateway, provider = scripted
    provider.script.append(sends(chunked(sse(*THINKING))))
    streamed = await gateway.post("/control/chat/claude/v1/messages", asking("x", stream=True))
    provider.script.append(answers(json.dumps(WHOLE).encode()))
    whole = await gateway.post("/control/chat/claude/v1/messages", asking("x"))

    assert b"ping" not in streamed.content
    assert b"message_stop" in streamed.content
    assert whole.json()["content"][0] == {
        "type": "thinking",
        "thinking": "let me see",
        "text": "let me see",
        "signature": "c2ln",
    }


@requirement("control.messages.thinking-text-removed")
async def test_a_text_member_of_earlier_thinking_does_not_reach_the_provider(
    scripted: tuple[Any, Any],
) -> None:
    gateway, provider = scripted
    provider.script.append(answers(json.dumps(WHOLE).encode()))
    block = {"type": "thinking", "thinking": "hm", "text": "hm", "signature": "c2ln"}
    body = asking("x")
    body["messages"] += [
        {"role": "assistant", "content": [block, {"type": "text", "text": "a"}]},
        {"role": "user", "content": "and?"},
    ]
    answer = await gateway.post("/control/chat/claude/v1/messages", body)

    assert answer.status_code == 200
    sent = json.loads(provider.seen[-1].body)["messages"][1]["content"][0]
    assert sent == {"type": "thinking", "thinking": "hm", "signature": "c2ln"}


@requirement("control.auth.byok")
async def test_a_callers_own_key_goes_to_the_provider_in_its_header(site: Site, at: At) -> None:
    own = f"sk-ant-own-{uuid.uuid4().hex}"
    client = at("anthropic", api_key=None, auth_token=site.key, default_headers={"X-Api-Key": own})

    await client.messages.create(**asking("hi"))

    assert site.upstream.last.headers["x-api-key"] == own
    assert "authorization" not in site.upstream.last.headers
