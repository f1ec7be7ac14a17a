"""LangChain's `ChatOpenAI`, pointed at the gateway by base URL."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from tests.support.control_site import Site
from tests.support.requirements import requirement

pytestmark = pytest.mark.anyio

PROVIDERS = ["demo", "openai", "anthropic"]
TWO = 'CALL weather {"city": "Oslo"}\nCALL weather {"city": "Rome"}'
DENIED = 'tool "weather" { hard deny when city.value in {"Rome"}; }'


@tool
def weather(city: str) -> str:
    """Weather of a city."""
    return f"{city}: fog"


def model(site: Site, provider: str = "demo", **options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model="demo",
        base_url=site.gateway.chat(provider),
        api_key=site.key,  # type: ignore[arg-type]
        max_retries=0,
        **options,
    )


@pytest.fixture(params=[False, True], ids=["chat", "responses"])
def responses(request: pytest.FixtureRequest) -> bool:
    """Whether LangChain uses the Responses format."""
    found: bool = request.param
    return found


def text_of(message: Any) -> str:
    found: str = message.text
    return found


@requirement("control.langchain.invoke")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_invoke_answers_with_usage(site: Site, provider: str, responses: bool) -> None:
    answer = await model(site, provider, use_responses_api=responses).ainvoke("hello")

    assert text_of(answer) == "ECHO hello"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] > 0


@requirement("control.langchain.stream")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_streamed_chunks_add_up(site: Site, provider: str, responses: bool) -> None:
    chat = model(site, provider, use_responses_api=responses, stream_usage=True)
    total: AIMessageChunk | None = None
    async for chunk in chat.astream("hello there, stream"):
        assert isinstance(chunk, AIMessageChunk)
        total = chunk if total is None else total + chunk

    assert total is not None
    assert text_of(total) == "ECHO hello there, stream"
    assert total.usage_metadata is not None


@requirement("control.langchain.tools")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_bound_tools_go_round_the_loop(
    site: Site, provider: str, stream: bool, responses: bool
) -> None:
    bound = model(site, provider, use_responses_api=responses).bind_tools([weather])
    history: list[Any] = [HumanMessage(TWO)]
    answer = await _ask(bound, history, stream)
    assert [call["args"] for call in answer.tool_calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    history.append(answer)
    for call in answer.tool_calls:
        result = await weather.ainvoke(call)
        assert isinstance(result, ToolMessage)
        history.append(result)
    final = await _ask(bound, history, stream)

    assert text_of(final) == "RESULT Rome: fog"


@requirement("control.langchain.denied")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_denied_call_is_not_among_the_tool_calls(
    site: Site, stream: bool, responses: bool
) -> None:
    headers = {"X-Policy": json.dumps({"codes": {"code": DENIED}})}
    bound = model(site, use_responses_api=responses, default_headers=headers).bind_tools([weather])

    answer = await _ask(bound, [HumanMessage(TWO)], stream)

    assert [call["args"] for call in answer.tool_calls] == [{"city": "Oslo"}]


@requirement("control.langchain.errors")
async def test_a_wrong_key_is_the_sdks_exception(site: Site, responses: bool) -> None:
    stranger = ChatOpenAI(
        model="demo",
        base_url=site.gateway.chat(),
        api_key="sq-wrong",  # type: ignore[arg-type]
        use_responses_api=responses,
        max_retries=0,
    )

    with pytest.raises(openai.AuthenticationError):
        await stranger.ainvoke("hello")


async def _ask(bound: Any, history: list[Any], stream: bool) -> Any:
    if not stream:
        return await bound.ainvoke(history)
    total: Any = None
    async for chunk in _chunks(bound, history):
        total = chunk if total is None else total + chunk
    return total


async def _chunks(bound: Any, history: list[Any]) -> AsyncIterator[Any]:
    async for chunk in bound.astream(history):
        yield chunk
