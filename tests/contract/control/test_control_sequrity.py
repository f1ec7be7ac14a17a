"""The published typed client `sequrity` 0.4.2, in single-llm mode."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio.to_thread
import pytest
from sequrity import (
    AsyncSequrityClient,
    SequrityAPIError,
    SequrityClient,
    SequrityConnectionError,
)
from sequrity.control import (
    ControlConfig,
    FeaturesHeader,
    FineGrainedConfigHeader,
    SecurityPolicyHeader,
)
from sequrity.control.integrations.langgraph import create_sequrity_langgraph_client
from sequrity.control.integrations.openai_agents_sdk import (
    create_sequrity_openai_agents_sdk_client,
)
from tests.support.control_site import SERVER_KEYS, Site
from tests.support.gateway import running_gateway
from tests.support.requirements import requirement
from tests.support.scripted_upstream import answers, chunked, sends, upstream

pytestmark = pytest.mark.anyio

PROVIDERS = ["openai", "openrouter", "anthropic", "sequrity_azure", None]
HELLO: Any = [{"role": "user", "content": "hello"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = 'CALL weather {"city": "Oslo"}'
NO_OSLO = 'tool "weather" { hard deny when city.value in {"Oslo"}; }'
SINGLE = ControlConfig(
    provider="openrouter",
    features=FeaturesHeader.single_llm(pii_redaction=True, url_blocker=True),
    security_policy=SecurityPolicyHeader.single_llm(codes=NO_OSLO),
    fine_grained_config=FineGrainedConfigHeader.single_llm(),
)


@pytest.fixture
async def client(site: Site) -> AsyncIterator[AsyncSequrityClient]:
    async with AsyncSequrityClient(api_key=site.key, base_url=site.base_url) as found:
        yield found


async def in_thread(site: Site, use: Callable[[SequrityClient], Any], **options: Any) -> Any:
    """Runs the synchronous client off the event loop the server lives in."""

    def run() -> Any:
        with SequrityClient(api_key=site.key, base_url=site.base_url, **options) as sync:
            return use(sync)

    return await anyio.to_thread.run_sync(run)


# Calls in the three formats


@requirement("control.typed.chat")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_chat_parses_whole_and_streamed(client: AsyncSequrityClient, provider: Any) -> None:
    whole = await client.control.chat.create(HELLO, "demo", provider=provider)
    stream = await client.control.chat.create(HELLO, "demo", provider=provider, stream=True)
    async with stream:
        chunks = [chunk async for chunk in stream]

    assert whole.choices[0].message.content == "ECHO hello"
    assert whole.choices[0].finish_reason == "stop"
    text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert text == "ECHO hello"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


@requirement("control.typed.messages")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_messages_parse_whole_and_streamed(
    client: AsyncSequrityClient, provider: Any
) -> None:
    whole = await client.control.messages.create(HELLO, "demo", 100, provider=provider)
    stream = await client.control.messages.create(
        HELLO, "demo", 100, provider=provider, stream=True
    )
    async with stream:
        events = [event async for event in stream]

    assert whole.stop_reason == "end_turn"
    assert [block.model_dump()["text"] for block in whole.content] == ["ECHO hello"]
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    assert "".join(delta.text for delta in deltas if delta.type == "text_delta") == "ECHO hello"


@requirement("control.typed.responses")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_responses_parse_whole_and_streamed(
    client: AsyncSequrityClient, provider: Any
) -> None:
    whole = await client.control.responses.create("demo", input="hello", provider=provider)
    stream = await client.control.responses.create(
        "demo", input="hello", provider=provider, stream=True
    )
    async with stream:
        events = [event async for event in stream]

    assert (whole.status, whole.output_text) == ("completed", "ECHO hello")
    assert whole.usage is not None
    assert whole.usage.total_tokens > 0
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events][-1] == "response.completed"


@requirement("control.typed.tools")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_every_event_of_a_streamed_tool_call_parses_in_every_format(
    client: AsyncSequrityClient, provider: Any
) -> None:
    asking: Any = [{"role": "user", "content": CALL}]
    function = WEATHER["function"]
    tool = {"name": "weather", "input_schema": function["parameters"]}
    flat = {"type": "function", **function}
    control = client.control
    chat = await control.chat.create(
        asking, "demo", tools=[WEATHER], provider=provider, stream=True, session_id=None
    )
    async with chat:
        chunks = [chunk async for chunk in chat]
    messages = await control.messages.create(
        asking, "demo", 100, tools=[tool], provider=provider, stream=True, session_id=None
    )
    async with messages:
        events: list[Any] = [event async for event in messages]
    responses = await control.responses.create(
        "demo", input=CALL, tools=[flat], provider=provider, stream=True, session_id=None
    )
    async with responses:
        items: list[Any] = [event async for event in responses]

    parts = [p for c in chunks for ch in c.choices for p in ch.delta.tool_calls or []]
    arguments = "".join((part.function and part.function.arguments) or "" for part in parts)
    assert json.loads(arguments) == {"city": "Oslo"}
    assert chunks[-1].choices == [] or chunks[-1].choices[0].finish_reason == "tool_calls"
    pieces = [
        e.delta.partial_json
        for e in events
        if getattr(e, "delta", None) and hasattr(e.delta, "partial_json")
    ]
    assert json.loads("".join(pieces)) == {"city": "Oslo"}
    done = [e for e in items if e.type == "response.function_call_arguments.done"]
    assert [(e.name, json.loads(e.arguments)) for e in done] == [("weather", {"city": "Oslo"})]


@requirement("control.typed.tools", "control.typed.session")
async def test_a_tool_loop_by_the_session_the_client_tracks(client: AsyncSequrityClient) -> None:
    messages: Any = [{"role": "user", "content": CALL}]
    first = await client.control.chat.create(messages, "demo", tools=[WEATHER], provider="openai")
    session = client.control.session_id
    message = first.choices[0].message
    calls = message.tool_calls or []
    messages += [
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": calls[0].id, "content": "fog"},
    ]
    second = await client.control.chat.create(messages, "demo", tools=[WEATHER], provider="openai")

    assert first.choices[0].finish_reason == "tool_calls"
    assert calls[0].id[3:39] == session == client.control.session_id
    assert second.choices[0].message.content == "RESULT fog"


@requirement("control.typed.session")
async def test_a_reset_client_starts_a_new_session(client: AsyncSequrityClient) -> None:
    seen = []
    for _ in range(2):
        await client.control.chat.create(HELLO, "demo", provider="openai")
        seen.append(client.control.session_id)
    client.control.reset_session()
    stream = await client.control.chat.create(HELLO, "demo", provider="openai", stream=True)
    async with stream:
        assert [chunk async for chunk in stream]
    seen.append(client.control.session_id)

    assert seen[0] is not None
    assert seen[0] == seen[1] != seen[2]


@requirement("control.typed.sync")
async def test_the_synchronous_client_does_the_same(site: Site) -> None:
    def use(sync: SequrityClient) -> list[Any]:
        control = sync.control
        whole = control.chat.create(HELLO, "demo", provider="openai")
        messages = control.messages.create(HELLO, "demo", 100, provider="anthropic")
        responses = control.responses.create("demo", input="hello", provider="openai")
        with control.chat.create(HELLO, "demo", provider="openai", stream=True) as stream:
            chunks = list(stream)
        with control.messages.create(
            HELLO, "demo", 100, provider="anthropic", stream=True
        ) as stream_of_messages:
            events = list(stream_of_messages)
        with control.responses.create(
            "demo", input="hello", provider="openai", stream=True
        ) as stream_of_responses:
            items = list(stream_of_responses)
        return [
            whole.choices[0].message.content,
            messages.content[0].model_dump()["text"],
            responses.output_text,
            bool(chunks and events and items),
            control.session_id is not None,
        ]

    assert await in_thread(site, use) == ["ECHO hello"] * 3 + [True, True]


# Headers


@requirement("control.typed.headers")
async def test_the_headers_of_the_clients_own_classes_are_understood(site: Site) -> None:
    calls: Any = [{"role": "user", "content": CALL}]

    async with AsyncSequrityClient(
        api_key=site.key, base_url=site.base_url, control=SINGLE
    ) as client:
        denied = await client.control.chat.create(calls, "demo", tools=[WEATHER])
        allowed = await client.control.chat.create(
            [{"role": "user", "content": 'CALL weather {"city": "a@b.example"}'}],
            "demo",
            tools=[WEATHER],
            session_id=None,
        )

    assert denied.choices[0].message.tool_calls in (None, [])
    assert "'weather' is denied" in str(denied.choices[0].message.content)
    redacted = (allowed.choices[0].message.tool_calls or [])[0].function.arguments
    assert json.loads(redacted) == {"city": "[REDACTED:EMAIL]"}


@requirement("control.typed.headers")
async def test_the_clients_default_tool_filter_keeps_the_tools_that_matter(site: Site) -> None:
    others = [
        {"type": "function", "function": {"name": f"unrelated_{n}", "description": "Nothing"}}
        for n in range(12)
    ]
    async with AsyncSequrityClient(
        api_key=site.key,
        base_url=site.base_url,
        control=ControlConfig(
            provider="openrouter", fine_grained_config=FineGrainedConfigHeader.single_llm()
        ),
    ) as client:
        answer = await client.control.chat.create(
            [{"role": "user", "content": f"What is the weather of a city\n{CALL}"}],
            "demo",
            tools=[*others, WEATHER],
        )

    assert [c.function.name for c in answer.choices[0].message.tool_calls or []] == ["weather"]


@requirement("control.headers.escape-hatch")
async def test_private_keys_pass_and_other_unknown_keys_do_not(client: AsyncSequrityClient) -> None:
    send = client.control.chat.create
    features = FeaturesHeader.single_llm()
    answer = await send(
        HELLO, "demo", provider="openai", features=features, feature_overrides={"x_mine": 1}
    )
    with pytest.raises(SequrityAPIError) as caught:
        await send(
            HELLO, "demo", provider="openai", features=features, feature_overrides={"mine": 1}
        )

    assert answer.choices[0].message.content == "ECHO hello"
    assert caught.value.status_code == 400
    assert caught.value.message.startswith("X-Features: mine")


@requirement("control.auth.byok")
async def test_the_callers_provider_key_goes_to_the_provider(
    site: Site, client: AsyncSequrityClient
) -> None:
    await client.control.chat.create(HELLO, "demo", provider="openai", llm_api_key="sk-my-own-1")
    own = site.upstream.last.headers["authorization"]
    await client.control.chat.create(HELLO, "demo", provider="openai", session_id=None)
    servers = site.upstream.last.headers["authorization"]

    assert (own, servers) == ("Bearer sk-my-own-1", f"Bearer {SERVER_KEYS['openai']}")


@requirement("control.validate-headers")
async def test_everything_the_client_can_say_is_a_valid_header(site: Site) -> None:
    dual = {
        "x_features": FeaturesHeader.dual_llm(
            True, True, True, True, True, True
        ).dump_for_headers(),
        "x_policy": SecurityPolicyHeader.dual_llm(
            mode="custom",
            codes=NO_OSLO,
            auto_gen=True,
            fail_fast=True,
            branching_meta_policy_tags={"a", "b"},
        ).dump_for_headers(),
        "x_config": FineGrainedConfigHeader.dual_llm(
            max_n_turns=3,
            disable_rllm=False,
            enable_multistep_planning=True,
            enabled_internal_tools=["parse_with_ai"],
            reduced_grammar_for_rllm_review=True,
            include_program=True,
            pllm_debug_info_level="extra",
        ).dump_for_headers(),
    }
    single = {
        "x_features": FeaturesHeader.single_llm(file_blocker=True).dump_for_headers(),
        "x_policy": SecurityPolicyHeader.single_llm().dump_for_headers(),
        "x_config": FineGrainedConfigHeader.single_llm().dump_for_headers(),
    }
    for body in (dual, single):
        answer = await site.gateway.http.post("/control/v1/validate-headers", json=body)
        report = answer.json()
        assert answer.status_code == 200
        for name, text in body.items():
            assert report[name]["valid"], report
            assert report[name]["errors"] == []
            assert report[name]["normalized"].keys() == json.loads(text).keys()
    assert report["x_policy"]["normalized"] == json.loads(single["x_policy"])
    assert report["x_config"]["normalized"] == json.loads(single["x_config"])


# Errors


@requirement("control.typed.errors")
async def test_errors_are_the_clients_exception_with_status_and_message(site: Site) -> None:
    async with AsyncSequrityClient(api_key="sq-wrong", base_url=site.base_url) as stranger:
        for stream in (False, True):
            with pytest.raises(SequrityAPIError) as caught:
                await stranger.control.chat.create(HELLO, "demo", stream=stream)
            assert caught.value.status_code == 401
            assert "key" in caught.value.message
            assert caught.value.response.headers["www-authenticate"] == "Bearer"


@requirement("control.typed.errors")
async def test_a_server_that_is_not_there_is_a_connection_error() -> None:
    async with AsyncSequrityClient(api_key="sq-x", base_url="http://127.0.0.1:9") as client:
        with pytest.raises(SequrityConnectionError):
            await client.control.chat.create(HELLO, "demo")


@requirement("control.typed.errors")
@pytest.mark.parametrize(("asked", "seen"), [(400, 400), (404, 404), (500, 502), (503, 503)])
async def test_failures_of_the_provider_reach_the_typed_client(
    client: AsyncSequrityClient, asked: int, seen: int
) -> None:
    with pytest.raises(SequrityAPIError) as caught:
        await client.control.messages.create(
            [{"role": "user", "content": f"FAIL {asked}"}], "demo", 100, provider="anthropic"
        )

    assert caught.value.status_code == seen
    assert "as asked" in caught.value.message


# Streams whose provider says more than the typed client can read


def sse(*events: dict[str, Any], named: bool = True) -> bytes:
    return b"".join(
        (f"event: {event['type']}\n" if named else "").encode()
        + f"data: {json.dumps(event)}\n\n".encode()
        for event in events
    )


@requirement("control.typed.stream-unions", "control.messages.thinking-typed")
async def test_events_the_client_has_no_type_for_are_kept_from_it(tmp_path: Any) -> None:
    start = {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "m",
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
    }
    thinking = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    streamed = sse(
        start,
        {"type": "ping"},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {**thinking, "thinking": "", "signature": ""},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "thinking_delta", "thinking": "hm"},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )
    whole = {**start["message"], "content": [thinking], **end}  # type: ignore[dict-item]
    async with upstream() as provider:
        toml = (
            f'[providers.anthropic]\nbase_url = "{provider.origin}/v1"\napi_key = "sk-a-0000001"\n'
        )
        async with (
            running_gateway(tmp_path, toml=toml) as gateway,
            AsyncSequrityClient(api_key=gateway.key, base_url=gateway.base_url) as client,
        ):
            send = client.control.messages.create
            provider.script.append(sends(chunked(streamed)))
            stream = await send(HELLO, "m", 100, provider="anthropic", stream=True)
            async with stream:
                kinds = [event.type async for event in stream]
            provider.script.append(answers(json.dumps(whole).encode()))
            answer = await send(HELLO, "m", 100, provider="anthropic")
            provider.script.append(sends(chunked(sse(start)), then="abort"))
            stream = await send(HELLO, "m", 100, provider="anthropic", stream=True)
            async with stream:
                broken = [event.type async for event in stream]

    assert kinds.count("message_stop") == 1
    assert "ping" not in kinds
    assert answer.content[0].model_dump()["text"] == "hm"
    assert broken[-1] == "message_stop"


@requirement("control.typed.stream-unions")
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_failures_within_a_stream_parse_as_events(
    client: AsyncSequrityClient, provider: Any
) -> None:
    stream = await client.control.responses.create(
        "demo", input="TOKENS 50\nCUT 4000", provider=provider, stream=True
    )
    async with stream:
        events: list[Any] = [event async for event in stream]
    messages = await client.control.messages.create(
        [{"role": "user", "content": "TOKENS 50\nCUT 4000"}],
        "demo",
        500,
        provider=provider,
        stream=True,
        session_id=None,
    )
    async with messages:
        blocks: list[Any] = [event async for event in messages]

    assert events[-1].type == "response.failed"
    assert events[-1].response["error"]["message"]
    assert blocks[-1].type == "message_stop"


# The client's own integrations


@requirement("control.typed.integrations")
async def test_the_clients_agents_provider_reaches_the_gateway(site: Site) -> None:
    provider = create_sequrity_openai_agents_sdk_client(
        site.key,
        features=FeaturesHeader.single_llm(),
        security_policy=SecurityPolicyHeader.single_llm(),
        service_provider="openai",
        base_url=site.base_url,
    )
    answer = await provider.chat.completions.create(model="demo", messages=HELLO)
    await provider.openai_client.close()

    assert answer.choices[0].message.content == "ECHO hello"


@requirement("control.typed.integrations")
async def test_the_clients_langchain_model_reaches_the_gateway(site: Site) -> None:
    model = create_sequrity_langgraph_client(
        site.key,
        features=FeaturesHeader.single_llm(),
        service_provider="openai",
        base_url=site.base_url,
        model="demo",
        http_async_client=None,
    )

    answer = await model.ainvoke("hello")

    assert answer.content == "ECHO hello"


@requirement("control.typed.headers")
async def test_a_policy_of_64_kilobytes_fits_in_a_header(client: AsyncSequrityClient) -> None:
    names = ", ".join(f'"city number {n}"' for n in range(3500))
    code = f'tool "weather" {{ hard deny when city.value in {{"Oslo", {names}}}; }}'
    policy = SecurityPolicyHeader.single_llm(codes=code)
    assert len(policy.dump_for_headers()) > 64 << 10
    answer = await client.control.chat.create(
        [{"role": "user", "content": CALL}],
        "demo",
        tools=[WEATHER],
        provider="openai",
        security_policy=policy,
    )

    assert "'weather' is denied" in str(answer.choices[0].message.content)
