"""The demo model over loopback, as the published SDKs of the providers see it."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from tests.support.demo_server import demo_server

CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": "get_doc", "parameters": {"type": "object"}}}
]
MESSAGE_TOOLS: Any = [{"name": "get_doc", "input_schema": {"type": "object"}}]
RESPONSE_TOOLS: Any = [
    {"type": "function", "name": "get_doc", "parameters": {"type": "object"}, "strict": False}
]
CALL = 'CALL get_doc {"id": "D1", "note": "twenty characters and more"}'
ARGS = {"id": "D1", "note": "twenty characters and more"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with demo_server() as base:
        yield base


@pytest.fixture
def gpt(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=url, api_key="any", max_retries=0) as client:
        yield client


# Chat Completions


def test_chat_answers_with_text_and_usage(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(
        model="gpt-x", messages=[{"role": "user", "content": "hello"}]
    )

    assert answer.choices[0].message.content == "ECHO hello"
    assert (answer.choices[0].finish_reason, answer.model) == ("stop", "gpt-x")
    assert answer.id.startswith("chatcmpl-")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 3)
    assert answer.usage.total_tokens == 5


def test_chat_calls_a_tool_and_tells_its_result(gpt: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": CALL}]
    first = gpt.chat.completions.create(model="demo", messages=messages, tools=CHAT_TOOLS)
    message = first.choices[0].message

    assert first.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert call.id.startswith("call_")
    assert json.loads(call.function.arguments) == ARGS

    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "the doc"}]
    second = gpt.chat.completions.create(model="demo", messages=messages, tools=CHAT_TOOLS)
    assert second.choices[0].message.content == "RESULT the doc"


def test_chat_streams_text_and_usage_only_on_request(gpt: openai.OpenAI) -> None:
    ask: Any = {
        "model": "demo",
        "messages": [{"role": "user", "content": "SAY a text longer than a piece"}],
        "stream": True,
    }
    plain = list(gpt.chat.completions.create(**ask))
    counted = list(gpt.chat.completions.create(**ask, stream_options={"include_usage": True}))

    assert plain[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in plain) == "a text longer than a piece"
    assert plain[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in plain)
    assert counted[-1].choices == []
    assert counted[-1].usage is not None
    assert counted[-1].usage.completion_tokens == 7
    assert [chunk.usage for chunk in counted[:-1]] == [None] * (len(counted) - 1)


def test_chat_streams_several_calls_in_fragments(gpt: openai.OpenAI) -> None:
    with gpt.chat.completions.stream(
        model="demo",
        messages=[{"role": "user", "content": f"{CALL}\nCALL get_doc {{}}"}],
        tools=CHAT_TOOLS,
    ) as stream:
        chunks = [event.chunk for event in stream if event.type == "chunk"]
        final = stream.get_final_completion()

    fragments = [one for c in chunks if c.choices for one in c.choices[0].delta.tool_calls or []]
    assert [one.index for one in fragments if one.id] == [0, 1]
    assert len([one for one in fragments if one.index == 0]) > 3
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert [json.loads(one.function.arguments) for one in calls] == [ARGS, {}]
    assert final.choices[0].finish_reason == "tool_calls"


def test_chat_fills_a_requested_schema(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": "mail bob@example.com"}],
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "x",
                "schema": {"type": "object", "properties": {"email": {"type": "string"}}},
            },
        },
    )

    assert json.loads(answer.choices[0].message.content or "") == {"email": "bob@example.com"}


# Messages


def test_messages_answer_with_text_and_usage(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(
        model="claude-x",
        max_tokens=100,
        system="Be brief.",
        messages=[{"role": "user", "content": "hello"}],
    )

    assert [(one.type, getattr(one, "text", "")) for one in answer.content] == [
        ("text", "ECHO hello")
    ]
    assert (answer.stop_reason, answer.stop_sequence, answer.model) == (
        "end_turn",
        None,
        "claude-x",
    )
    assert answer.id.startswith("msg_01")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (4, 3)


def test_messages_call_a_tool_and_tell_its_result(claude: anthropic.Anthropic) -> None:
    messages: Any = [{"role": "user", "content": CALL}]
    ask: Any = {"model": "demo", "max_tokens": 500, "tools": MESSAGE_TOOLS}
    first = claude.messages.create(messages=messages, **ask)
    (block,) = first.content

    assert first.stop_reason == "tool_use"
    assert block.type == "tool_use"
    assert block.id.startswith("toolu_01")
    assert block.input == ARGS

    messages += [
        {"role": "assistant", "content": first.content},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": block.id, "content": "the doc"}],
        },
    ]
    second = claude.messages.create(messages=messages, **ask)
    assert second.content[0].type == "text"
    assert second.content[0].text == "RESULT the doc"


def test_messages_stream_the_published_events_and_a_ping(claude: anthropic.Anthropic) -> None:
    events = list(
        claude.messages.create(
            model="demo",
            max_tokens=500,
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
        )
    )
    raw = claude.with_raw_response.messages.create(
        model="demo", max_tokens=9, messages=[{"role": "user", "content": "x"}], stream=True
    )

    assert [event.type for event in events if event.type != "ping"] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert b"event: ping" in raw.http_response.read()
    start = events[0]
    assert start.type == "message_start"
    assert start.message.usage.input_tokens == 2


def test_messages_stream_a_tool_call_in_fragments(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(
        model="demo",
        max_tokens=500,
        messages=[{"role": "user", "content": f"{CALL}\nCALL get_doc {{}}"}],
        tools=MESSAGE_TOOLS,
    ) as stream:
        final = stream.get_final_message()

    assert [one.input for one in final.content if one.type == "tool_use"] == [ARGS, {}]
    assert final.stop_reason == "tool_use"
    assert final.usage.output_tokens > 10


def test_messages_end_at_the_limit_or_the_stop_sequence(claude: anthropic.Anthropic) -> None:
    ask: Any = {"model": "demo", "messages": [{"role": "user", "content": "one END two"}]}

    assert claude.messages.create(max_tokens=1, **ask).stop_reason == "max_tokens"
    stopped = claude.messages.create(max_tokens=99, stop_sequences=["END"], **ask)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "END")


def test_tokens_are_counted_as_they_are_charged(claude: anthropic.Anthropic) -> None:
    ask: Any = {
        "model": "demo",
        "messages": [{"role": "user", "content": "hello there"}],
        "tools": MESSAGE_TOOLS,
    }

    counted = claude.messages.count_tokens(**ask).input_tokens
    assert claude.messages.create(max_tokens=9, **ask).usage.input_tokens == counted


# Responses


def test_responses_answer_with_text_and_usage(gpt: openai.OpenAI) -> None:
    answer = gpt.responses.create(model="demo", instructions="Be brief.", input="hello")

    assert (answer.output_text, answer.status) == ("ECHO hello", "completed")
    assert answer.id.startswith("resp_")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (4, 3)


def test_responses_continue_from_the_previous_one(gpt: openai.OpenAI) -> None:
    first = gpt.responses.create(model="demo", input=CALL, tools=RESPONSE_TOOLS)
    (call,) = first.output

    assert call.type == "function_call"
    assert call.id is not None
    assert (call.id[:3], call.call_id[:5]) == ("fc_", "call_")
    assert json.loads(call.arguments) == ARGS

    second = gpt.responses.create(
        model="demo",
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "the doc"}],
    )
    assert second.output_text == "RESULT the doc"
    assert second.previous_response_id == first.id
    with pytest.raises(openai.BadRequestError, match="not found"):
        gpt.responses.create(model="demo", previous_response_id="resp_none", input="x")


def test_responses_stream_the_published_events_in_order(gpt: openai.OpenAI) -> None:
    said = list(gpt.responses.create(model="demo", input="hello", stream=True))
    called = list(
        gpt.responses.create(
            model="demo", input="CALL get_doc {}", tools=RESPONSE_TOOLS, stream=True
        )
    )

    assert [event.type for event in said] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.type for event in called] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    for events in (said, called):
        assert [event.sequence_number for event in events] == list(range(len(events)))


def test_responses_helper_assembles_a_streamed_call(gpt: openai.OpenAI) -> None:
    with gpt.responses.stream(model="demo", input=CALL, tools=RESPONSE_TOOLS) as stream:
        final = stream.get_final_response()

    (call,) = final.output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == ARGS


def test_a_response_over_its_limit_is_incomplete(gpt: openai.OpenAI) -> None:
    events = list(
        gpt.responses.create(model="demo", input="TOKENS 40", max_output_tokens=16, stream=True)
    )

    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.status == "incomplete"
    assert last.response.output_text == "tok " * 16


def test_functions_of_a_namespace_are_called_with_it(url: str, gpt: openai.OpenAI) -> None:
    tools: Any = [{"type": "namespace", "name": "shell", "tools": RESPONSE_TOOLS}]
    raw = gpt.with_raw_response.responses.create(
        model="demo", input="CALL shell.get_doc {}", tools=tools
    )

    (item,) = json.loads(raw.text)["output"]
    assert (item["name"], item["namespace"]) == ("get_doc", "shell")


# Models, embeddings, errors


def test_both_model_lists_name_the_demo_model(
    gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    assert [one.id for one in gpt.models.list()] == ["demo"]
    assert [one.id for one in claude.models.list()] == ["demo"]


def test_embeddings_come_as_numbers_or_packed(gpt: openai.OpenAI) -> None:
    packed = gpt.embeddings.create(model="demo", input=["a cat", "a dog"])
    plain = gpt.embeddings.create(model="demo", input="a cat", encoding_format="float")

    assert [len(one.embedding) for one in packed.data] == [384, 384]
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert plain.usage.prompt_tokens == 2
    with pytest.raises(openai.BadRequestError):
        gpt.embeddings.create(model="demo", input="x", dimensions=5_000)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_fail_reaches_the_openai_sdk_as_its_error(
    gpt: openai.OpenAI, status: int, error: type[openai.APIStatusError]
) -> None:
    ask: Any = {"model": "demo", "messages": [{"role": "user", "content": f"FAIL {status}"}]}
    with pytest.raises(error) as caught:
        gpt.chat.completions.create(**ask, stream=True)

    assert caught.value.status_code == status
    assert caught.value.body is not None


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (429, "rate_limit_error"), (529, "overloaded_error")],
)
def test_fail_reaches_the_anthropic_sdk_as_its_error(
    claude: anthropic.Anthropic, status: int, kind: str
) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        claude.messages.create(
            model="demo", max_tokens=9, messages=[{"role": "user", "content": f"FAIL {status}"}]
        )

    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == kind
    assert (caught.value.response.headers.get("retry-after") == "1") == (status != 400)


def test_a_connection_cut_in_the_stream_is_an_error_at_the_client(gpt: openai.OpenAI) -> None:
    stream = gpt.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": "CUT 700\nTOKENS 100"}],
        stream=True,
    )

    with pytest.raises(Exception, match=r"(?i)peer|closed|incomplete|disconnected|connection"):
        list(stream)


def test_a_malformed_event_is_an_error_at_the_client(claude: anthropic.Anthropic) -> None:
    stream = claude.messages.create(
        model="demo",
        max_tokens=500,
        messages=[{"role": "user", "content": "GARBAGE 900\nTOKENS 100"}],
        stream=True,
    )

    with pytest.raises(json.JSONDecodeError):
        [event.type for event in stream]
