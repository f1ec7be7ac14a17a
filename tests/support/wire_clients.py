"""The published clients, fed with bytes in process: what would they make of a stream or a body?"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import anthropic
import httpx2
import openai
from pydantic import TypeAdapter
from sequrity.types.chat_completion.stream import ChatCompletionChunk
from sequrity.types.messages.response import AnthropicMessageResponse
from sequrity.types.messages.stream import AnthropicStreamEvent
from sequrity.types.responses.response import ResponsesResponse
from sequrity.types.responses.stream import OpenAiResponseStreamEvent

__all__ = ["parse_body", "read_stream", "typed_body", "typed_events"]


def _answer(content: bytes | Sequence[bytes], kind: str) -> httpx2.MockTransport:
    def handler(request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": kind}
        if isinstance(content, bytes):
            return httpx2.Response(200, headers=headers, content=content)
        return httpx2.Response(200, headers=headers, content=iter(content))

    return httpx2.MockTransport(handler)


def _openai(content: bytes | Sequence[bytes], kind: str) -> openai.OpenAI:
    http = httpx2.Client(transport=_answer(content, kind))
    return openai.OpenAI(api_key="k", base_url="http://t/v1", http_client=http, max_retries=0)


def _anthropic(content: bytes | Sequence[bytes], kind: str) -> anthropic.Anthropic:
    http = httpx2.Client(transport=_answer(content, kind))
    return anthropic.Anthropic(api_key="k", base_url="http://t", http_client=http, max_retries=0)


def read_stream(client: str, chunks: Sequence[bytes]) -> dict[str, Any]:
    """What the official SDK of `client` has accumulated when the stream is over."""
    return _READERS[client](chunks)


def parse_body(client: str, body: bytes) -> dict[str, Any]:
    """What the official SDK of `client` makes of a whole body."""
    return _PARSERS[client](body)


_SSE = "text/event-stream; charset=utf-8"
_HI: Any = [{"role": "user", "content": "hi"}]


def _read_chat(chunks: Sequence[bytes]) -> dict[str, Any]:
    with _openai(chunks, _SSE) as client:
        final: dict[str, Any] = {}
        text: dict[str, Any] = {"content": None, "refusal": None, "reasoning_content": None}
        calls: dict[int, dict[str, Any]] = {}
        details: list[Any] = []
        with client.chat.completions.create(model="m", messages=_HI, stream=True) as stream:
            for chunk in stream:
                tree = chunk.model_dump(mode="json", exclude_unset=True)
                final.update({k: tree[k] for k in ("id", "model", "created", "usage") if k in tree})
                for choice in tree["choices"]:
                    delta = choice["delta"]
                    for key, so_far in text.items():
                        if delta.get(key) is not None:
                            text[key] = (so_far or "") + delta[key]
                    details += delta.get("reasoning_details", [])
                    for call in delta.get("tool_calls") or ():
                        known = calls.setdefault(call["index"], {"arguments": ""})
                        known["arguments"] += call["function"].get("arguments") or ""
                        known.update({k: call[k] for k in ("id", "type") if k in call})
                        if call["function"].get("name"):
                            known["name"] = call["function"]["name"]
                    if choice["finish_reason"]:
                        final["finish_reason"] = choice["finish_reason"]
        final.update(text)
        final["tool_calls"] = [calls[i] for i in sorted(calls)]
        final["reasoning_details"] = details
        return final


def _parse_chat(body: bytes) -> dict[str, Any]:
    with _openai(body, "application/json") as client:
        answer = client.chat.completions.create(model="m", messages=_HI)
        tree = answer.model_dump(mode="json", exclude_unset=True)
        choice = tree["choices"][0]
        message = choice["message"]
        return {
            **{k: tree[k] for k in ("id", "model", "created", "usage") if k in tree},
            "finish_reason": choice["finish_reason"],
            "content": message["content"],
            "refusal": message.get("refusal"),
            "reasoning_content": message.get("reasoning_content"),
            "reasoning_details": message.get("reasoning_details", []),
            "tool_calls": [
                {"id": c["id"], "type": c["type"], **c["function"]}
                for c in message.get("tool_calls") or ()
            ],
        }


def _read_messages(chunks: Sequence[bytes]) -> dict[str, Any]:
    with (
        _anthropic(chunks, _SSE) as client,
        client.messages.stream(model="m", max_tokens=9, messages=_HI) as stream,
    ):
        return stream.get_final_message().model_dump(mode="json", exclude_unset=True)


def _parse_messages(body: bytes) -> dict[str, Any]:
    with _anthropic(body, "application/json") as client:
        answer = client.messages.create(model="m", max_tokens=9, messages=_HI)
        return answer.model_dump(mode="json", exclude_unset=True)


def _read_responses(chunks: Sequence[bytes]) -> dict[str, Any]:
    with _openai(chunks, _SSE) as client:
        last: Any = None
        numbers: list[int] = []
        accumulated: dict[str, Any] = {}
        with client.responses.stream(model="m", input="hi") as stream:
            for event in stream:
                numbers.append(event.sequence_number)
                if event.type in {
                    "response.completed",
                    "response.incomplete",
                    "response.failed",
                }:
                    last = event.response
                elif event.type == "response.output_item.done":
                    item = event.item.model_dump(mode="json", exclude_unset=True)
                    accumulated[str(event.output_index)] = item
        # the snapshots events carry repeat numbers, what the server sent does not
        assert sorted(set(numbers)) == list(range(numbers[-1] + 1))
        tree: dict[str, Any] = last.model_dump(mode="json", exclude_unset=True)
        for item in tree["output"]:
            for part in item.get("content") or ():
                part.pop("parsed", None)
            item.pop("parsed_arguments", None)
        if tree["status"] != "failed":  # a failed one also holds what was not finished
            assert tree["output"] == [accumulated[str(i)] for i in range(len(accumulated))]
        return tree


def _parse_responses(body: bytes) -> dict[str, Any]:
    with _openai(body, "application/json") as client:
        answer = client.responses.create(model="m", input="hi")
        return answer.model_dump(mode="json", exclude_unset=True)


_READERS: dict[str, Callable[[Sequence[bytes]], dict[str, Any]]] = {
    "chat": _read_chat,
    "messages": _read_messages,
    "responses": _read_responses,
}
_PARSERS: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "chat": _parse_chat,
    "messages": _parse_messages,
    "responses": _parse_responses,
}

_EVENTS: dict[str, TypeAdapter[Any]] = {
    "chat": TypeAdapter(ChatCompletionChunk),
    "messages": TypeAdapter(AnthropicStreamEvent),
    "responses": TypeAdapter(OpenAiResponseStreamEvent),
}


def typed_events(client: str, stream: bytes) -> list[dict[str, Any]]:
    """The events as the typed client validates them; raises on any it does not know."""
    return [
        _EVENTS[client].validate_python(event).model_dump(mode="json") for event in _data(stream)
    ]


def _data(stream: bytes) -> Iterator[Any]:
    for line in stream.decode().split("\n"):
        assert not line.startswith(("id:", "retry:"))
        if line.startswith("data:") and line[5:].strip() != "[DONE]":
            yield json.loads(line[5:])


def typed_body(client: str, body: bytes) -> None:
    """Validates a whole body as the typed client does."""
    if client == "messages":
        AnthropicMessageResponse.model_validate_json(body)
    elif client == "responses":
        ResponsesResponse.model_validate_json(body)
