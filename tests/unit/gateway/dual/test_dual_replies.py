"""Answers of dual-llm as the published clients read them, whole and streamed."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from tests.support.wire_clients import parse_body, read_stream, typed_body, typed_events

from interlock.gateway.config import SessionConfig
from interlock.gateway.context import CallContext
from interlock.gateway.dual.replies import Reply
from interlock.identity.model import KeyInfo
from interlock.providers.wire.model import Failure, ToolCall, Usage
from interlock.providers.wire.relay import client

pytestmark = pytest.mark.anyio

FORMATS = ("chat", "messages", "responses")
SESSION = "0f6c1c9e-6c56-81f0-9d2a-8b7f4f1f2a10"
USAGE = Usage(input=21, output=8)
CONTENT = '{"status": "success", "final_return_value": {"value": "' + "x" * 150 + '"}}'
BODIES: dict[str, dict[str, Any]] = {
    "chat": {
        "model": "a",
        "messages": [{"role": "user", "content": "hi"}],
        "stream_options": {"include_usage": True},
    },
    "messages": {
        "model": "a",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
    },
    "responses": {"model": "a", "input": "hi"},
}


class CollectingSink:
    """Keeps what a client would have got."""

    def __init__(self) -> None:
        self.opened = False
        self.must_drain = False
        self.ended = 0
        self.body = b""
        self.chunks: list[bytes] = []

    def note(self, name: str, value: str) -> None:
        """See `Sink`."""

    def answer(self, session_id: str, body: bytes) -> None:
        assert session_id == SESSION
        self.opened, self.body = True, body

    def open(self, session_id: str) -> None:
        assert session_id == SESSION
        self.opened = True

    def write(self, data: bytes) -> None:
        self.chunks.append(data)

    async def drain(self) -> None:
        self.must_drain = False

    def end(self) -> None:
        self.ended += 1


def context(format_name: str, *, stream: bool, native: bool = True) -> CallContext:
    body = msgspec.json.encode({**BODIES[format_name], "stream": stream})
    head = client(format_name).peek(body)  # type: ignore[arg-type]
    key = KeyInfo(
        id="key_1", account_id="acc_1", user_id="usr_1", label="k", user_email="u@x.example"
    )
    return CallContext(
        request_id="req_1",
        key=key,
        config=SessionConfig(arch="dual-llm"),
        head=head,
        provider="demo",
        byok=None,
        endpoint=f"chat/{format_name}",
        native_client=native,
    )


async def answered(
    format_name: str,
    say: Callable[[Reply], Awaitable[None]],
    *,
    stream: bool,
    native: bool = True,
) -> tuple[CollectingSink, Reply]:
    sink = CollectingSink()
    reply = Reply(
        context(format_name, stream=stream, native=native),
        sink,
        session_id=SESSION,
        answer_id={"chat": SESSION, "messages": "msg_1", "responses": "resp_1"}[format_name],
        model="a,a",
        created=1769519573,
    )
    reply.begin()
    await say(reply)
    return sink, reply


def read(format_name: str, sink: CollectingSink, *, stream: bool) -> dict[str, Any]:
    return read_stream(format_name, sink.chunks) if stream else parse_body(format_name, sink.body)


def text_of(format_name: str, tree: dict[str, Any]) -> str:
    if format_name == "chat":
        return str(tree["content"])
    if format_name == "messages":
        return "".join(b["text"] for b in tree["content"] if b["type"] == "text")
    items = [item for item in tree["output"] if item["type"] == "message"]
    return "".join(part["text"] for item in items for part in item["content"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("format_name", FORMATS)
async def test_a_final_value_reads_the_same_whole_and_streamed(
    format_name: str, stream: bool
) -> None:
    sink, _ = await answered(format_name, lambda r: r.say(CONTENT, USAGE), stream=stream)
    tree = read(format_name, sink, stream=stream)
    assert text_of(format_name, tree) == CONTENT
    assert tree["model"] == "a,a"
    ending = {"chat": "finish_reason", "messages": "stop_reason", "responses": "status"}
    good = {"chat": "stop", "messages": "end_turn", "responses": "completed"}
    assert tree[ending[format_name]] == good[format_name]
    spent = tree["usage"]
    assert spent.get("prompt_tokens", spent.get("input_tokens")) == 21
    assert spent.get("completion_tokens", spent.get("output_tokens")) == 8
    if format_name == "chat":
        assert tree["id"] == SESSION


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("format_name", FORMATS)
async def test_calls_come_whole_and_end_the_answer(format_name: str, stream: bool) -> None:
    calls = [
        ToolCall(id="tc-1", name="get_doc", arguments='{"id": "D1"}'),
        ToolCall(id="tc-2", name="get_doc", arguments='{"id": "D2"}'),
    ]
    sink, _ = await answered(format_name, lambda r: r.calls(calls, USAGE), stream=stream)
    tree = read(format_name, sink, stream=stream)
    if format_name == "chat":
        assert tree["finish_reason"] == "tool_calls"
        found = [(c["id"], c["name"], c["arguments"]) for c in tree["tool_calls"]]
        assert found == [(c.id, c.name, c.arguments) for c in calls]
    elif format_name == "messages":
        assert tree["stop_reason"] == "tool_use"
        blocks = [b for b in tree["content"] if b["type"] == "tool_use"]
        assert [(b["id"], b["input"]) for b in blocks] == [
            ("tc-1", {"id": "D1"}),
            ("tc-2", {"id": "D2"}),
        ]
    else:
        assert tree["status"] == "completed"
        items = [i for i in tree["output"] if i["type"] == "function_call"]
        assert [(i["call_id"], i["arguments"]) for i in items] == [
            (c.id, c.arguments) for c in calls
        ]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("format_name", FORMATS)
async def test_a_failure_is_told_in_the_way_of_each_format(format_name: str, stream: bool) -> None:
    failure = Failure(code="policy_violation", message="Tool call to 'x' is denied")
    sink, _ = await answered(
        format_name, lambda r: r.say('{"status": "failure"}', USAGE, failure), stream=stream
    )
    tree = read(format_name, sink, stream=stream)
    assert text_of(format_name, tree) == '{"status": "failure"}'
    if format_name == "chat":
        assert tree["finish_reason"] == ("stop" if stream else "error")
    elif format_name == "messages":
        assert tree["stop_reason"] == "end_turn"
    else:
        assert tree["status"] == "failed"
        assert tree["error"] == {"code": failure.code, "message": failure.message}


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("format_name", FORMATS)
async def test_thoughts_are_streamed_before_the_answer(format_name: str, native: bool) -> None:
    async def say(reply: Reply) -> None:
        await reply.think("first this")
        await reply.think("then that")
        await reply.say(CONTENT, USAGE)

    sink, _ = await answered(format_name, say, stream=True, native=native)
    tree = read(format_name, sink, stream=True)
    assert text_of(format_name, tree) == CONTENT
    if format_name == "chat":
        assert tree["reasoning_content"] == "first this\nthen that"
    elif format_name == "messages":
        assert tree["content"][0]["thinking"] == "first this\nthen that"
    else:
        assert tree["output"][0]["summary"][0]["text"] == "first this\nthen that"


@pytest.mark.parametrize("format_name", FORMATS)
async def test_the_typed_client_knows_every_event_and_body(format_name: str) -> None:
    async def say(reply: Reply) -> None:
        await reply.think("thinking")
        await reply.say(CONTENT, USAGE)

    streamed, _ = await answered(format_name, say, stream=True, native=False)
    assert typed_events(format_name, b"".join(streamed.chunks))
    whole, _ = await answered(format_name, say, stream=False, native=False)
    typed_body(format_name, whole.body)


@pytest.mark.parametrize("stream", [False, True])
async def test_only_responses_leaves_a_body_to_keep(stream: bool) -> None:
    kept = {}
    for name in FORMATS:
        _, reply = await answered(name, lambda r: r.say(CONTENT, USAGE), stream=stream)
        kept[name] = reply.body
    assert kept["chat"] is None
    assert kept["messages"] is None
    assert kept["responses"] is not None
    assert kept["responses"]["id"] == "resp_1"


async def test_the_first_event_of_a_stream_comes_before_any_work() -> None:
    sink, _ = await answered("chat", _nothing, stream=True)
    assert sink.opened
    assert sink.chunks


async def _nothing(reply: Reply) -> None:
    del reply
