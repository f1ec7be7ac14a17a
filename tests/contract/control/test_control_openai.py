"""The official `openai` client, pointed at the gateway by base URL."""

import json
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio.to_thread
import openai
import pydantic
import pytest
from tests.support.control_site import SERVER_KEYS, Site
from tests.support.requirements import requirement

pytestmark = pytest.mark.anyio

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
FLAT: Any = {"type": "function", **WEATHER["function"]}
TWO = 'CALL weather {"city": "Oslo"}\nCALL weather {"city": "Rome"}'
PROVIDERS = ["demo", "openai", "openrouter", "anthropic", "sequrity_azure"]


class Person(pydantic.BaseModel):
    name: str
    email: str


@pytest.fixture(scope="session")
async def client(site: Site) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=site.gateway.chat(), api_key=site.key, max_retries=0
    ) as found:
        yield found


@pytest.fixture
async def at(site: Site) -> AsyncIterator[Callable[..., openai.AsyncOpenAI]]:
    """Makes clients for a provider or with other options; they are closed at the end."""
    made: list[openai.AsyncOpenAI] = []

    def make(provider: str = "demo", **options: Any) -> openai.AsyncOpenAI:
        given = {"base_url": site.gateway.chat(provider), "api_key": site.key, "max_retries": 0}
        made.append(openai.AsyncOpenAI(**{**given, **options}))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


# Chat Completions


@requirement("control.chat.completion", "control.translate.chat")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_chat_answers_through_every_provider(
    at: Callable[..., openai.AsyncOpenAI], provider: str
) -> None:
    answer = await at(provider).chat.completions.create(model="demo", messages=user("hello"))

    choice = answer.choices[0]
    assert (answer.object, answer.model) == ("chat.completion", "demo")
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", "ECHO hello")
    assert answer.usage is not None
    used = answer.usage
    assert used.total_tokens == used.prompt_tokens + used.completion_tokens > 0


@requirement("control.chat.stream", "control.translate.chat")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_chat_stream_is_accumulated_by_the_helper(
    at: Callable[..., openai.AsyncOpenAI], provider: str
) -> None:
    kinds: list[str] = []
    async with at(provider).chat.completions.stream(
        model="demo", messages=user("hello there, stream"), stream_options={"include_usage": True}
    ) as stream:
        async for event in stream:
            kinds.append(event.type)
        final = await stream.get_final_completion()

    assert final.choices[0].message.content == "ECHO hello there, stream"
    assert final.choices[0].finish_reason == "stop"
    assert final.usage is not None
    assert final.usage.prompt_tokens > 0
    assert kinds.count("content.done") == 1


@requirement("control.chat.stream-usage")
async def test_usage_is_streamed_only_when_asked_for(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="demo", messages=user("x"), stream=True)
    without = [chunk async for chunk in stream]
    stream = await client.chat.completions.create(
        model="demo", messages=user("x"), stream=True, stream_options={"include_usage": True}
    )
    with_usage = [chunk async for chunk in stream]

    assert all(chunk.usage is None and chunk.choices for chunk in without)
    assert without[0].choices[0].delta.role == "assistant"
    assert [chunk.choices for chunk in with_usage if chunk.usage] == [[]]
    assert with_usage[-1].usage is not None


@requirement("control.chat.tool-loop", "control.chat.parallel-tools")
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("stream", [False, True])
async def test_parallel_tool_calls_go_round_the_loop(
    at: Callable[..., openai.AsyncOpenAI], provider: str, stream: bool
) -> None:
    client = at(provider)
    messages = user(TWO)
    create = client.chat.completions
    if stream:
        async with create.stream(model="demo", messages=messages, tools=[WEATHER]) as events:
            done = [e async for e in events if e.type == "tool_calls.function.arguments.done"]
            first = (await events.get_final_completion()).choices[0]
        assert [event.parsed_arguments for event in done] == [{"city": "Oslo"}, {"city": "Rome"}]
    else:
        first = (await create.create(model="demo", messages=messages, tools=[WEATHER])).choices[0]
    calls = first.message.tool_calls or []
    messages.append(first.message.model_dump(exclude_none=True))
    for number, call in enumerate(calls):
        messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{number} degrees"})
    second = await create.create(model="demo", messages=messages, tools=[WEATHER])

    assert first.finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments) for call in calls] == [
        {"city": "Oslo"},
        {"city": "Rome"},
    ]
    assert len({call.id for call in calls}) == 2
    assert second.choices[0].message.content == "RESULT 1 degrees"


@requirement("control.chat.parallel-off")
async def test_a_client_that_takes_one_call_at_a_time_gets_one(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="demo", messages=user(TWO), tools=[WEATHER], parallel_tool_calls=False
    )

    assert len(answer.choices[0].message.tool_calls or []) == 1


@requirement("control.chat.structured-output")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_structured_output_is_parsed_into_the_callers_type(
    at: Callable[..., openai.AsyncOpenAI], provider: str
) -> None:
    answer = await at(provider).chat.completions.parse(
        model="demo",
        messages=user("Dana Smith writes from dana@corp.example"),
        response_format=Person,
    )

    person = answer.choices[0].message.parsed
    assert person is not None
    assert person.email == "dana@corp.example"


@requirement("control.chat.limits")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_cut_by_max_tokens_says_length(
    at: Callable[..., openai.AsyncOpenAI], provider: str
) -> None:
    answer = await at(provider).chat.completions.create(
        model="demo", messages=user("SAY " + "long " * 40), max_tokens=3
    )

    assert answer.choices[0].finish_reason == "length"


@requirement("control.chat.unknown-fields")
async def test_body_members_nobody_knows_reach_the_provider(
    site: Site, at: Callable[..., openai.AsyncOpenAI]
) -> None:
    answer = await at("openrouter").chat.completions.create(
        model="demo", messages=user("x"), extra_body={"a_new_field": {"deep": [1]}}, seed=7
    )

    assert answer.choices[0].message.content == "ECHO x"
    assert site.upstream.last.body["a_new_field"] == {"deep": [1]}
    assert site.upstream.last.body["seed"] == 7


@requirement("control.chat.bare-assistant")
async def test_an_assistant_message_may_have_neither_content_nor_calls(
    client: openai.AsyncOpenAI,
) -> None:
    messages: Any = [*user("one"), {"role": "assistant"}, *user("two")]

    answer = await client.chat.completions.create(model="demo", messages=messages)

    assert answer.choices[0].message.content == "ECHO two"


@requirement("control.chat.sync")
async def test_the_synchronous_client_works_as_well(site: Site) -> None:
    def talk() -> tuple[str | None, str]:
        with openai.OpenAI(base_url=site.gateway.chat(), api_key=site.key) as sync:
            whole = sync.chat.completions.create(model="demo", messages=user("sync"))
            with sync.chat.completions.stream(model="demo", messages=user("sync")) as stream:
                streamed = stream.until_done().get_final_completion()
        return whole.choices[0].message.content, str(streamed.choices[0].message.content)

    assert await anyio.to_thread.run_sync(talk) == ("ECHO sync", "ECHO sync")


# Responses


@requirement("control.responses.response", "control.translate.responses")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_responses_answer_through_every_provider(
    at: Callable[..., openai.AsyncOpenAI], provider: str
) -> None:
    answer = await at(provider).responses.create(
        model="demo", input="hello", instructions="be brief", metadata={"a": "b"}
    )

    assert (answer.object, answer.status, answer.output_text) == (
        "response",
        "completed",
        "ECHO hello",
    )
    assert answer.id.startswith("resp_")
    assert answer.usage is not None
    used = answer.usage
    assert used.total_tokens == used.input_tokens + used.output_tokens > 0
    assert used.input_tokens_details.cached_tokens == 0
    assert used.output_tokens_details.reasoning_tokens == 0


@requirement("control.responses.stream", "control.translate.responses")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_responses_stream_is_accumulated_by_the_helper(
    at: Callable[..., openai.AsyncOpenAI], provider: str
) -> None:
    kinds: list[str] = []
    numbers: list[int] = []
    async with at(provider).responses.stream(model="demo", input="hello there") as stream:
        async for event in stream:
            kinds.append(event.type)
            numbers.append(event.sequence_number)
        final = await stream.get_final_response()

    assert final.output_text == "ECHO hello there"
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert numbers == list(range(len(numbers)))


@requirement("control.responses.tool-loop", "control.responses.previous-id")
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_responses_tool_loop_by_previous_response(
    at: Callable[..., openai.AsyncOpenAI], provider: str, stream: bool
) -> None:
    responses = at(provider).responses
    if stream:
        async with responses.stream(model="demo", input=TWO, tools=[FLAT]) as events:
            first: Any = await events.get_final_response()
    else:
        first = await responses.create(model="demo", input=TWO, tools=[FLAT])
    calls = [item for item in first.output if item.type == "function_call"]
    outputs: Any = [
        {"type": "function_call_output", "call_id": call.call_id, "output": call.arguments}
        for call in calls
    ]
    second = await responses.create(model="demo", input=outputs, previous_response_id=first.id)

    assert (first.status, len(calls)) == ("completed", 2)
    assert second.previous_response_id == first.id
    assert "Rome" in second.output_text


@requirement("control.responses.retrieve", "control.responses.input-items")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_stored_response_can_be_fetched_listed_and_deleted(
    client: openai.AsyncOpenAI, stream: bool
) -> None:
    if stream:
        async with client.responses.stream(model="demo", input="keep me") as events:
            made: Any = await events.get_final_response()
    else:
        made = await client.responses.create(model="demo", input="keep me")
    kept = await client.responses.retrieve(made.id)
    items: Any = await client.responses.input_items.list(made.id)
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError) as caught:
        await client.responses.retrieve(made.id)

    assert kept.output_text == made.output_text == "ECHO keep me"
    assert [(item.type, item.content[0].text) for item in items.data] == [("message", "keep me")]
    assert caught.value.code == "not_found"


@requirement("control.responses.store-false")
async def test_an_unstored_response_is_continued_but_not_fetched(
    client: openai.AsyncOpenAI,
) -> None:
    made = await client.responses.with_raw_response.create(model="demo", input="x", store=False)
    first = made.parse()
    second = await client.responses.with_raw_response.create(
        model="demo", input="y", previous_response_id=first.id
    )
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(first.id)

    assert second.headers["x-session-id"] == made.headers["x-session-id"]


@requirement("control.responses.previous-unknown", "control.responses.other-owner")
async def test_a_previous_response_nobody_or_somebody_else_made_is_not_found(
    site: Site, client: openai.AsyncOpenAI, at: Callable[..., openai.AsyncOpenAI]
) -> None:
    made = await client.responses.create(model="demo", input="x")
    stranger = at(api_key=await site.new_key(user="stranger@corp.example"))

    for who, name in ((client, "resp_unknown"), (stranger, made.id)):
        with pytest.raises(openai.NotFoundError):
            await who.responses.create(model="demo", input="y", previous_response_id=name)
        for method in (who.responses.retrieve, who.responses.delete):
            with pytest.raises(openai.NotFoundError):
                await method(name)
        with pytest.raises(openai.NotFoundError):
            await who.responses.input_items.list(name)


@requirement("control.responses.background")
async def test_background_responses_are_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="demo", input="x", background=True)

    assert "background" in caught.value.message


@requirement("control.responses.structured-output")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_structured_responses_are_parsed_into_the_callers_type(
    at: Callable[..., openai.AsyncOpenAI], provider: str
) -> None:
    answer = await at(provider).responses.parse(
        model="demo", input="Dana Smith writes from dana@corp.example", text_format=Person
    )

    assert answer.output_parsed is not None
    assert answer.output_parsed.email == "dana@corp.example"


@requirement("control.responses.limits")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_cut_response_is_incomplete(
    at: Callable[..., openai.AsyncOpenAI], provider: str
) -> None:
    answer = await at(provider).responses.create(
        model="demo", input="SAY " + "long " * 60, max_output_tokens=16
    )

    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"


# Others


@requirement("control.embeddings")
@pytest.mark.parametrize("provider", ["demo", "openai"])
async def test_embeddings_of_equal_words_are_equal(
    at: Callable[..., openai.AsyncOpenAI], provider: str
) -> None:
    found = await at(provider).embeddings.create(
        model="demo", input=["red apple", "apple red", "blue car"]
    )

    vectors = [one.embedding for one in found.data]
    assert [len(vector) for vector in vectors] == [384, 384, 384]
    assert vectors[0] == pytest.approx(vectors[1])
    assert vectors[0] != pytest.approx(vectors[2])
    assert found.usage.prompt_tokens > 0


@requirement("control.models.openai")
async def test_models_are_listed_and_fetched(client: openai.AsyncOpenAI) -> None:
    listed = [model async for model in client.models.list()]
    one = await client.models.retrieve("demo")
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("no/such/model")

    assert [model.id for model in listed] == ["demo"]
    assert (one.id, one.object, one.owned_by) == ("demo", "model", "demo")
    assert one.created > 0
    assert caught.value.code == "model_not_found"


# Errors


@requirement("control.errors.openai")
@pytest.mark.parametrize(
    ("change", "kind", "status", "code"),
    [
        ({"api_key": "sq-wrong"}, openai.AuthenticationError, 401, "invalid_api_key"),
        ({"provider": "llama"}, openai.InternalServerError, 503, "provider_not_configured"),
    ],
)
async def test_errors_of_the_gateway_are_the_clients_exceptions(
    at: Callable[..., openai.AsyncOpenAI],
    change: dict[str, Any],
    kind: type[openai.APIStatusError],
    status: int,
    code: str,
) -> None:
    for stream in (False, True):
        with pytest.raises(kind) as caught:
            await at(**change).chat.completions.create(
                model="demo", messages=user("x"), stream=stream
            )
        error = caught.value
        assert (error.status_code, error.code) == (status, code)
        assert error.request_id is not None
        assert error.request_id.startswith("req_")


@requirement("control.errors.openai")
@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("X-Features", "{", "invalid_header"),
        ("X-Features", '{"agent_arch": "triple"}', "invalid_header"),
        ("X-Policy", '{"presets": {"default_allow": "yes"}}', "invalid_header"),
        ("X-Policy", '{"codes": {"code": "tool {"}}', "policy_compile_error"),
        ("X-Config", '{"fsm": {"max_n_turns": 0}}', "invalid_header"),
    ],
)
async def test_bad_config_headers_are_bad_requests_that_name_the_header(
    client: openai.AsyncOpenAI, header: str, value: str, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(
            model="demo", messages=user("x"), extra_headers={header: value}
        )

    error = caught.value
    assert (error.code, error.type) == (code, "invalid_request_error")
    assert header in error.message


@requirement("control.errors.body")
@pytest.mark.parametrize(
    "body",
    [
        {"model": "demo"},
        {"model": "", "messages": []},
        {"messages": [{"role": "user", "content": "x"}]},
        {"model": "demo", "messages": "text"},
        {"model": "a,b,c", "messages": [{"role": "user", "content": "x"}]},
    ],
)
async def test_bodies_without_sense_are_bad_requests(
    client: openai.AsyncOpenAI, body: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post("/chat/completions", body=body, cast_to=object)

    assert caught.value.type == "invalid_request_error"


@requirement("control.errors.upstream")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("status", "kind", "seen"),
    [
        (400, openai.BadRequestError, 400),
        (401, openai.InternalServerError, 502),
        (404, openai.NotFoundError, 404),
        (422, openai.UnprocessableEntityError, 422),
        (500, openai.InternalServerError, 502),
        (503, openai.InternalServerError, 503),
    ],
)
async def test_failures_of_the_provider_keep_what_the_caller_can_act_on(
    at: Callable[..., openai.AsyncOpenAI],
    status: int,
    kind: type[openai.APIStatusError],
    seen: int,
    provider: str,
    stream: bool,
) -> None:
    with pytest.raises(kind) as caught:
        await at(provider).chat.completions.create(
            model="demo", messages=user(f"FAIL {status}"), stream=stream
        )

    error = caught.value
    assert error.status_code == seen
    assert SERVER_KEYS[provider] not in str(error.body)
    assert "as asked" in error.message


@requirement("control.errors.upstream-429")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_provider_that_asks_to_wait_is_a_429_with_its_retry_after(
    at: Callable[..., openai.AsyncOpenAI], provider: str, stream: bool
) -> None:
    own = {"X-Api-Key": f"sk-own-{uuid.uuid4().hex}"}
    with pytest.raises(openai.RateLimitError) as caught:
        await at(provider, default_headers=own).chat.completions.create(
            model="demo", messages=user("FAIL 429"), stream=stream
        )

    assert caught.value.type == "rate_limit_error"
    assert caught.value.response.headers["retry-after"] == "1"


@requirement("control.errors.byok-refused")
async def test_a_refused_key_of_the_caller_is_the_callers_401(
    at: Callable[..., openai.AsyncOpenAI],
) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        await at("openai", default_headers={"X-Api-Key": "sk-mine-is-bad"}).chat.completions.create(
            model="demo", messages=user("FAIL 401")
        )

    assert caught.value.code == "upstream_authentication_error"
    assert "sk-mine-is-bad" not in str(caught.value.body)


@requirement("control.errors.mid-stream")
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_provider_that_breaks_off_is_an_error_in_the_chat_stream(
    at: Callable[..., openai.AsyncOpenAI], provider: str
) -> None:
    stream = await at(provider).chat.completions.create(
        model="demo", messages=user("TOKENS 50\nCUT 2500"), stream=True
    )
    text = ""

    async def read() -> None:
        nonlocal text
        async for chunk in stream:
            text += "".join(choice.delta.content or "" for choice in chunk.choices)

    async with stream:
        with pytest.raises(openai.APIError) as caught:
            await read()

    assert text.startswith("tok ")
    assert caught.value.message


@requirement("control.errors.mid-stream")
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_provider_that_breaks_off_fails_the_response(
    at: Callable[..., openai.AsyncOpenAI], provider: str
) -> None:
    last: Any = None
    async for event in await at(provider).responses.create(
        model="demo", input="TOKENS 50\nCUT 4000", stream=True
    ):
        last = event

    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert last.response.error.message
