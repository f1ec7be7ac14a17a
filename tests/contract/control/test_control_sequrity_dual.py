"""The published typed client `sequrity` 0.4.2 and its integrations, in dual-llm mode."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
)
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from sequrity import AsyncSequrityClient
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
from sequrity.control.types.dual_llm_response import ResponseContentJsonSchema
from tests.support.control_site import Site
from tests.support.requirements import requirement

pytestmark = pytest.mark.anyio

PROVIDERS = ["openai", "openrouter", "anthropic", "sequrity_azure", None]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PROGRAM = """first = weather(city="Oslo")
second = weather(city=first["next"])
final_return_value = f"{first['sky']} and {second['sky']}"
"""
RESULTS = {"Oslo": '{"sky": "fog", "next": "Rome"}', "Rome": '{"sky": "sun", "next": null}'}
NO_ROME = 'tool "weather" { hard deny when city.value in {"Rome"}; }'
QUIET = RunConfig(tracing_disabled=True)


def plan(program: str) -> str:
    return f"Do this\n```plan\n{program}\n```"


def control(**policy: Any) -> ControlConfig:
    return ControlConfig(
        provider="openrouter",
        features=FeaturesHeader.dual_llm(),
        security_policy=SecurityPolicyHeader.dual_llm(**policy),
        fine_grained_config=FineGrainedConfigHeader.dual_llm(include_program=True),
    )


@pytest.fixture
async def client(site: Site) -> AsyncIterator[AsyncSequrityClient]:
    found = AsyncSequrityClient(api_key=site.key, base_url=site.base_url, control=control())
    async with found:
        yield found


def content(text: str | None) -> ResponseContentJsonSchema:
    found = ResponseContentJsonSchema.parse_json_safe(text or "")
    assert found.status != "unknown", text
    return found


def success(text: str | None) -> Any:
    found = content(text)
    assert found.status == "success", text
    assert found.final_return_value is not None
    assert found.program is not None
    return found.final_return_value.value


# The three formats, whole and streamed


async def chat(
    client: AsyncSequrityClient, messages: list[Any], stream: bool, provider: Any
) -> tuple[str, list[tuple[str, str, str]]]:
    """Text and calls of an answer; appends it to the messages."""
    if stream:
        events = await client.control.chat.create(
            messages, "demo", tools=[WEATHER], provider=provider, stream=True
        )
        async with events:
            deltas = [c.choices[0].delta async for c in events if c.choices]
        text = "".join(delta.content or "" for delta in deltas)
        parts: dict[int, list[str]] = {}
        for delta in deltas:
            for call in delta.tool_calls or []:
                entry = parts.setdefault(call.index, ["", "", ""])
                entry[0] += call.id or ""
                entry[1] += (call.function and call.function.name) or ""
                entry[2] += (call.function and call.function.arguments) or ""
        calls = [(one[0], one[1], one[2]) for one in parts.values()]
    else:
        answer = await client.control.chat.create(
            messages, "demo", tools=[WEATHER], provider=provider
        )
        message = answer.choices[0].message
        assert answer.id == client.control.session_id
        text = message.content or ""
        calls = [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or []]
    said: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        said["tool_calls"] = [
            {"id": a, "type": "function", "function": {"name": b, "arguments": c}}
            for a, b, c in calls
        ]
    messages.append(said)
    return text, calls


@requirement("control.typed.dual")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_chat_goes_through_the_tool_loop(
    client: AsyncSequrityClient, provider: Any, stream: bool
) -> None:
    messages: list[Any] = [{"role": "user", "content": plan(PROGRAM)}]
    ran = []
    text, calls = await chat(client, messages, stream, provider)
    session = client.control.session_id
    assert session is not None
    assert len(session) == 36
    while calls:
        for call_id, name, arguments in calls:
            assert name == "weather"
            assert call_id[3:39] == session
            ran.append(json.loads(arguments)["city"])
            result = {"role": "tool", "tool_call_id": call_id, "content": RESULTS[ran[-1]]}
            messages.append(result)
        text, calls = await chat(client, messages, stream, provider)

    assert ran == ["Oslo", "Rome"]
    assert success(text) == "fog and sun"
    assert client.control.session_id == session
    messages.append({"role": "user", "content": plan("final_return_value = [1, 2]")})
    text, calls = await chat(client, messages, stream, provider)
    assert (success(text), calls) == ([1, 2], [])
    assert client.control.session_id == session


@requirement("control.typed.dual")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_messages_go_through_the_tool_loop(
    client: AsyncSequrityClient, provider: Any, stream: bool
) -> None:
    function = WEATHER["function"]
    tools: Any = [{"name": "weather", "input_schema": function["parameters"]}]
    messages: list[Any] = [{"role": "user", "content": plan(PROGRAM)}]
    ran: list[str] = []
    while True:
        if stream:
            events = await client.control.messages.create(
                messages, "demo", 500, tools=tools, provider=provider, stream=True
            )
            blocks: list[dict[str, Any]] = []
            async with events:
                async for event in events:
                    if event.type == "content_block_start":
                        blocks.append(event.content_block.model_dump(exclude_none=True))
                    elif event.type == "content_block_delta":
                        delta = event.delta.model_dump()
                        key = "text" if delta["type"] == "text_delta" else "json"
                        piece = delta.get("text") or delta.get("partial_json") or ""
                        blocks[-1][key] = blocks[-1].get(key, "") + piece
                    elif event.type == "message_delta":
                        stop = event.delta.stop_reason
            for block in blocks:
                if block["type"] == "tool_use":
                    block["input"] = json.loads(block.pop("json"))
        else:
            answer = await client.control.messages.create(
                messages, "demo", 500, tools=tools, provider=provider
            )
            blocks = [block.model_dump(exclude_none=True) for block in answer.content]
            stop = answer.stop_reason
        messages.append({"role": "assistant", "content": blocks})
        calls = [block for block in blocks if block["type"] == "tool_use"]
        if not calls:
            break
        assert stop == "tool_use"
        results = []
        for call in calls:
            ran.append(call["input"]["city"])
            results.append(
                {"type": "tool_result", "tool_use_id": call["id"], "content": RESULTS[ran[-1]]}
            )
        messages.append({"role": "user", "content": results})

    assert ran == ["Oslo", "Rome"]
    assert stop == "end_turn"
    assert success(blocks[0]["text"]) == "fog and sun"


@requirement("control.typed.dual")
@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_responses_go_through_the_tool_loop(
    client: AsyncSequrityClient, provider: Any, stream: bool, chained: bool
) -> None:
    function = WEATHER["function"]
    tools: Any = [{"type": "function", **function}]
    items: list[Any] = [{"role": "user", "content": plan(PROGRAM)}]
    previous: str | None = None
    ran: list[str] = []
    while True:
        options: Any = {"tools": tools} if previous is None else {"previous_response_id": previous}
        if stream:
            events = await client.control.responses.create(
                "demo", input=items, provider=provider, stream=True, **options
            )
            async with events:
                seen: list[Any] = [event async for event in events]
            assert [event.sequence_number for event in seen] == list(range(len(seen)))
            assert seen[-1].type == "response.completed"
            answer: dict[str, Any] = seen[-1].response
        else:
            whole = await client.control.responses.create(
                "demo", input=items, provider=provider, **options
            )
            answer = whole.model_dump(exclude_none=True)
        assert answer["status"] == "completed"
        items = [] if chained else [*items, *answer["output"]]
        previous = answer["id"] if chained else None
        calls = [item for item in answer["output"] if item["type"] == "function_call"]
        if not calls:
            break
        for call in calls:
            ran.append(json.loads(call["arguments"])["city"])
            output = RESULTS[ran[-1]]
            items.append(
                {"type": "function_call_output", "call_id": call["call_id"], "output": output}
            )

    assert ran == ["Oslo", "Rome"]
    (message,) = [item for item in answer["output"] if item["type"] == "message"]
    assert success(message["content"][0]["text"]) == "fog and sun"


@requirement("control.typed.dual-denied")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_denial_reads_as_the_client_expects_it(site: Site, stream: bool) -> None:
    settings = control(codes=NO_ROME)
    asked = plan('final_return_value = weather(city="Rome")')
    async with AsyncSequrityClient(
        api_key=site.key, base_url=site.base_url, control=settings
    ) as client:
        text, calls = await chat(client, [{"role": "user", "content": asked}], stream, "openai")
        if stream:
            events = await client.control.responses.create(
                "demo",
                input=asked,
                tools=[{"type": "function", **WEATHER["function"]}],
                provider="openai",
                stream=True,
                session_id=None,
            )
            async with events:
                last = [event async for event in events][-1]
            assert last.type == "response.failed"
            status, output = (
                last.response["status"],
                last.response["output"][0]["content"][0]["text"],
            )
        else:
            response = await client.control.responses.create(
                "demo",
                input=asked,
                tools=[{"type": "function", **WEATHER["function"]}],
                provider="openai",
                session_id=None,
            )
            status, output = response.status, response.output_text

    assert calls == []
    assert status == "failed"
    for said in (text, output):
        found = content(said)
        assert found.status == "failure"
        assert found.final_return_value is None
        assert found.error is not None
        assert found.error.code == "policy_violation"
        assert "'weather' is denied by argument checking policies" in found.error.message
        assert found.policy_check_history
        assert '"denied": [{' in said


# Everything its headers can say


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("features", {"toxicity_filter": True, "pii_redaction": True, "healthcare_guardrail": True}),
    ("features", {"finance_guardrail": True, "url_blocker": True, "file_blocker": True}),
    ("policy", {"mode": "strict"}),
    ("policy", {"mode": "custom", "branching_meta_policy_tags": {"a"}}),
    ("policy", {"mode": "custom", "branching_meta_policy_mode": "allow"}),
    ("policy", {"branching_meta_policy_producers": {"p"}}),
    ("policy", {"branching_meta_policy_consumers": {"c"}}),
    ("policy", {"codes": 'tool "x" { must deny always; }'}),
    ("policy", {"language": "cedar"}),
    ("policy", {"auto_gen": True}),
    ("policy", {"fail_fast": False}),
    ("policy", {"default_allow_enforcement_level": "hard"}),
    ("policy", {"enable_non_executable_memory": False}),
    ("policy", {"enable_llm_blocked_tag": False}),
    ("policy", {"llm_blocked_tag_enforcement_level": "soft"}),
    ("config", {"min_num_tools_for_filtering": None, "max_n_turns": None}),
    ("config", {"min_num_tools_for_filtering": 2, "clear_session_meta": "every_attempt"}),
    ("config", {"clear_session_meta": "every_turn", "clear_history_every_n_attempts": 2}),
    ("config", {"disable_rllm": False, "reduced_grammar_for_rllm_review": True}),
    ("config", {"disable_rllm": False, "reduced_grammar_for_rllm_review": False}),
    ("config", {"enable_multistep_planning": True, "prune_failed_steps": False}),
    ("config", {"enabled_internal_tools": []}),
    (
        "config",
        {
            "enabled_internal_tools": [
                "parse_with_ai",
                "verify_hypothesis",
                "set_policy",
                "complete_turn",
            ]
        },
    ),
    ("config", {"force_to_cache": ["weather", r"get_.*"]}),
    ("config", {"max_pllm_steps": 1, "max_pllm_failed_steps": 1, "max_tool_calls_per_step": 1}),
    ("config", {"retry_on_policy_violation": True}),
    ("config", {"pllm_debug_info_level": "minimal"}),
    ("config", {"pllm_debug_info_level": "extra", "include_policy_check_history": True}),
    ("config", {"include_namespace_snapshot": True}),
]


@requirement("control.typed.dual-options")
@pytest.mark.parametrize(("header", "options"), OPTIONS, ids=lambda one: str(one)[:60])
async def test_every_option_of_the_client_is_accepted(
    client: AsyncSequrityClient, header: str, options: dict[str, Any]
) -> None:
    given: dict[str, Any] = {
        "features": FeaturesHeader.dual_llm(**(options if header == "features" else {})),
        "security_policy": SecurityPolicyHeader.dual_llm(**(options if header == "policy" else {})),
        "fine_grained_config": FineGrainedConfigHeader.dual_llm(
            **{"include_program": True, **(options if header == "config" else {})}
        ),
    }
    messages: list[Any] = [
        {"role": "user", "content": plan('final_return_value = weather(city="Oslo")')}
    ]
    for _ in range(2):
        answer = await client.control.chat.create(
            messages, "demo", tools=[WEATHER], provider="openai", **given
        )
        message = answer.choices[0].message
        if message.tool_calls:
            call = message.tool_calls[0]
            messages += [
                message.model_dump(exclude_none=True),
                {"role": "tool", "tool_call_id": call.id, "content": "fog"},
            ]

    assert success(answer.choices[0].message.content) == "fog"


@requirement("control.typed.dual-options")
async def test_stripping_the_answer_leaves_the_value(client: AsyncSequrityClient) -> None:
    answer = await client.control.chat.create(
        [{"role": "user", "content": plan("final_return_value = {'a': 1}")}],
        "demo",
        provider="openai",
        fine_grained_config=FineGrainedConfigHeader.dual_llm(strip_response_content=True),
    )

    assert json.loads(answer.choices[0].message.content or "") == {"a": 1}


@requirement("control.typed.dual-options")
async def test_snapshot_and_history_parse_as_the_clients_types(
    client: AsyncSequrityClient,
) -> None:
    answer = await client.control.chat.create(
        [{"role": "user", "content": plan("a = [1]\nfinal_return_value = len(a)")}],
        "demo",
        provider="openai",
        fine_grained_config=FineGrainedConfigHeader.dual_llm(
            include_program=True,
            include_policy_check_history=True,
            include_namespace_snapshot=True,
        ),
    )
    found = content(answer.choices[0].message.content)

    assert found.namespace_snapshot is not None
    assert found.namespace_snapshot["a"].value == [1]
    assert found.session_meta is not None
    assert found.session_meta.meta.consumers == {"*"}
    assert found.policy_check_history == []
    assert found.program == "a = [1]\nfinal_return_value = len(a)"


# Integrations and stock clients


def integration_options(site: Site, **policy: Any) -> dict[str, Any]:
    return {
        "features": FeaturesHeader.dual_llm(),
        "security_policy": SecurityPolicyHeader.dual_llm(**policy),
        "fine_grained_config": FineGrainedConfigHeader.dual_llm(),
        "service_provider": "openai",
        "base_url": site.base_url,
    }


@tool("weather")
def lang_weather(city: str) -> str:
    """Weather of a city."""
    return RESULTS[city]


async def drive(bound: Any, history: list[Any], stream: bool) -> tuple[AIMessage, list[str]]:
    """The agent loop of a LangChain user."""
    ran: list[str] = []
    while True:
        if stream:
            answer: Any = None
            async for chunk in bound.astream(history):
                answer = chunk if answer is None else answer + chunk
        else:
            answer = await bound.ainvoke(history)
        history.append(answer)
        if not answer.tool_calls:
            return answer, ran
        for call in answer.tool_calls:
            ran.append(call["args"]["city"])
            result = await lang_weather.ainvoke(call)
            assert isinstance(result, ToolMessage)
            history.append(result)


@requirement("control.typed.dual-integrations")
async def test_the_clients_langchain_model_runs_an_agent_over_several_turns(site: Site) -> None:
    model = create_sequrity_langgraph_client(
        site.key, model="demo", http_async_client=None, **integration_options(site)
    )
    bound = model.bind_tools([lang_weather])
    history: list[Any] = [HumanMessage(plan(PROGRAM))]
    first, ran = await drive(bound, history, False)
    session = model.session_id
    # Its history now holds the bare value where the answer was an object.
    history.append(HumanMessage(plan("final_return_value = 2")))
    second, more = await drive(bound, history, False)

    assert (first.content, ran) == ("fog and sun", ["Oslo", "Rome"])
    assert (second.content, more) == ("2", [])
    assert model.session_id == session
    model.reset_session()
    third, _ = await drive(bound, [HumanMessage(plan("final_return_value = 3"))], False)
    assert third.content == "3"
    assert model.session_id != session


@requirement("control.typed.dual-integrations")
async def test_the_clients_langchain_model_streams(site: Site) -> None:
    model = create_sequrity_langgraph_client(
        site.key, model="demo", http_async_client=None, **integration_options(site)
    )
    answer, ran = await drive(model.bind_tools([lang_weather]), [HumanMessage(plan(PROGRAM))], True)

    assert ran == ["Oslo", "Rome"]
    assert json.loads(str(answer.content))["final_return_value"]["value"] == "fog and sun"


@requirement("control.typed.dual-integrations")
async def test_a_denial_reaches_the_clients_langchain_model_in_words(site: Site) -> None:
    model = create_sequrity_langgraph_client(
        site.key, model="demo", http_async_client=None, **integration_options(site, codes=NO_ROME)
    )
    answer, ran = await drive(
        model.bind_tools([lang_weather]), [HumanMessage(plan(PROGRAM))], False
    )

    assert ran == ["Oslo"]
    assert str(answer.content).startswith("Error: Tool call to 'weather' is denied by argument")


def agent(ran: list[str], **options: Any) -> Agent[Any]:
    @function_tool
    def weather(city: str) -> str:
        """Weather of a city."""
        ran.append(city)
        return RESULTS[city]

    return Agent(name="meteorologist", instructions="be brief", tools=[weather], **options)


async def run_agent(asked: Agent[Any], text: Any, config: RunConfig, stream: bool) -> Any:
    if not stream:
        return await Runner.run(asked, text, run_config=config)
    result = Runner.run_streamed(asked, text, run_config=config)
    async for _ in result.stream_events():
        pass
    return result


@requirement("control.typed.dual-integrations")
@pytest.mark.parametrize("stream", [False, True])
async def test_the_clients_agents_provider_runs_a_whole_agent(site: Site, stream: bool) -> None:
    provider = create_sequrity_openai_agents_sdk_client(site.key, **integration_options(site))
    config = RunConfig(model="demo", model_provider=provider, tracing_disabled=True)
    ran: list[str] = []
    result = await run_agent(agent(ran), plan(PROGRAM), config, stream)
    followed = [
        *result.to_input_list(),
        {"role": "user", "content": plan("final_return_value = 2")},
    ]
    second = await run_agent(agent(ran), followed, config, stream)
    await provider.openai_client.close()

    assert ran == ["Oslo", "Rome"]
    assert success_value(result.final_output) == "fog and sun"
    assert success_value(second.final_output) == 2


def success_value(text: str) -> Any:
    found = content(text)
    assert found.final_return_value is not None, text
    return found.final_return_value.value


@requirement("control.dual.stock-clients")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "kind", [OpenAIChatCompletionsModel, OpenAIResponsesModel], ids=lambda one: one.__name__
)
async def test_the_stock_agents_sdk_runs_a_whole_agent(site: Site, kind: Any, stream: bool) -> None:
    headers = {"X-Features": '{"agent_arch": "dual-llm"}'}
    ran: list[str] = []
    async with AsyncOpenAI(base_url=site.gateway.chat(), api_key=site.key, max_retries=0) as client:
        asked = agent(
            ran,
            model=kind(model="demo", openai_client=client),
            model_settings=ModelSettings(extra_headers=headers),
        )
        result = await run_agent(asked, plan(PROGRAM), QUIET, stream)

    assert ran == ["Oslo", "Rome"]
    assert success_value(result.final_output) == "fog and sun"


@requirement("control.dual.stock-clients")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
async def test_stock_langchain_runs_a_whole_agent(
    site: Site, responses: bool, stream: bool
) -> None:
    model = ChatOpenAI(
        model="demo",
        base_url=site.gateway.chat(),
        api_key=site.key,  # type: ignore[arg-type]
        max_retries=0,
        use_responses_api=responses,
        default_headers={"X-Features": '{"agent_arch": "dual-llm"}'},
    )
    history: list[Any] = [HumanMessage(plan(PROGRAM))]
    answer, ran = await drive(model.bind_tools([lang_weather]), history, stream)
    history.append(HumanMessage(plan("final_return_value = 2")))
    second, _ = await drive(model.bind_tools([lang_weather]), history, stream)

    assert ran == ["Oslo", "Rome"]
    assert success_value(answer.text) == "fog and sun"
    assert success_value(second.text) == 2
