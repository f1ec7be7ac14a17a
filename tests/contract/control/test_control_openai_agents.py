"""The OpenAI Agents SDK with both of its model classes, pointed at the gateway."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
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
from agents.models.interface import Model
from tests.support.control_site import Site
from tests.support.requirements import requirement

pytestmark = pytest.mark.anyio

TWO = 'CALL weather {"city": "Oslo"}\nCALL weather {"city": "Rome"}'
DENIED = 'tool "weather" { hard deny when city.value in {"Rome"}; }'
QUIET = RunConfig(tracing_disabled=True)


@pytest.fixture(params=["demo", "openai", "anthropic"])
async def client(site: Site, request: pytest.FixtureRequest) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=site.gateway.chat(request.param), api_key=site.key, max_retries=0
    ) as found:
        yield found


@pytest.fixture(
    params=[OpenAIChatCompletionsModel, OpenAIResponsesModel], ids=lambda one: one.__name__
)
def model(request: pytest.FixtureRequest, client: openai.AsyncOpenAI) -> Model:
    found: Model = request.param(model="demo", openai_client=client)
    return found


def agent(model: Model, ran: list[str], **headers: str) -> Agent[Any]:
    @function_tool
    def weather(city: str) -> str:
        """Weather of a city."""
        ran.append(city)
        return f"{city}: fog"

    return Agent(
        name="meteorologist",
        instructions="be brief",
        model=model,
        tools=[weather],
        model_settings=ModelSettings(extra_headers=dict(headers)),
    )


@requirement("control.agents-sdk.run")
async def test_a_run_with_function_tools_ends(model: Model) -> None:
    ran: list[str] = []

    result = await Runner.run(agent(model, ran), TWO, run_config=QUIET)

    assert sorted(ran) == ["Oslo", "Rome"]
    assert result.final_output == "RESULT Rome: fog"
    assert result.context_wrapper.usage.requests == 2
    assert result.context_wrapper.usage.total_tokens > 0


@requirement("control.agents-sdk.streamed")
async def test_a_streamed_run_with_function_tools_ends(model: Model) -> None:
    ran: list[str] = []

    result = Runner.run_streamed(agent(model, ran), TWO, run_config=QUIET)
    kinds = [event.type async for event in result.stream_events()]

    assert sorted(ran) == ["Oslo", "Rome"]
    assert result.final_output == "RESULT Rome: fog"
    assert "raw_response_event" in kinds


@requirement("control.agents-sdk.denied")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_denied_tool_does_not_run(model: Model, stream: bool) -> None:
    ran: list[str] = []
    headers = {"X-Policy": json.dumps({"codes": {"code": DENIED}})}
    guarded = agent(model, ran, **headers)

    if stream:
        result: Any = Runner.run_streamed(guarded, TWO, run_config=QUIET)
        async for _ in result.stream_events():
            pass
    else:
        result = await Runner.run(guarded, TWO, run_config=QUIET)

    assert ran == ["Oslo"]
    assert "Rome: fog" not in str(result.final_output)


@requirement("control.agents-sdk.previous-response")
async def test_a_run_continues_by_previous_response(site: Site) -> None:
    async with openai.AsyncOpenAI(base_url=site.gateway.chat(), api_key=site.key) as client:
        asked = agent(OpenAIResponsesModel(model="demo", openai_client=client), [])
        first = await Runner.run(asked, "one", run_config=QUIET)
        second = await Runner.run(
            asked, "two", run_config=QUIET, previous_response_id=first.last_response_id
        )

    assert second.final_output == "ECHO two"
    assert second.last_response_id != first.last_response_id
