"""One conversation through the gateway, the same way in every wire format.

Driven by the official SDKs, streaming or not, so that a test can say what it means once
and run it six times. Keeps the history the way a client of the format does.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast

import anthropic
import openai

__all__ = ["STYLES", "Answer", "Call", "Dialogue", "Style", "tool"]

Wire = Literal["chat", "messages", "responses"]
Style = tuple[Wire, bool]
STYLES: tuple[Style, ...] = tuple(
    (wire, stream)
    for wire in cast(tuple[Wire, ...], ("chat", "messages", "responses"))
    for stream in (False, True)
)
"""Every wire format, whole and streamed."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that reached the client."""

    id: str
    name: str
    args: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the client got."""

    text: str
    calls: list[Call]
    finish: str
    """As the format calls it."""
    session_id: str
    response_id: str
    usage: tuple[int, int]
    """Input and output tokens."""


@dataclass(frozen=True, slots=True)
class _Tool:
    name: str
    description: str
    properties: tuple[str, ...]


def tool(name: str, *properties: str, description: str = "A tool") -> _Tool:
    """A tool whose arguments are strings."""
    return _Tool(name, description, properties)


@dataclass(slots=True, kw_only=True)
class Dialogue:
    """Use as an async context manager; `headers` go with every request and may be changed."""

    base_url: str
    key: str
    style: Style
    tools: Sequence[_Tool] = ()
    headers: dict[str, str] = field(default_factory=dict)
    provider: str = "demo"
    endpoint: str = "chat"
    chained: bool = False
    """Responses: name the previous response instead of repeating the history."""
    history: list[Any] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    """Further members of the body."""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _openai: openai.AsyncOpenAI | None = None
    _anthropic: anthropic.AsyncAnthropic | None = None
    _previous: str | None = None

    async def __aenter__(self) -> Self:
        url = f"{self.base_url}/control/{self.endpoint}/{self.provider}"
        if self.wire == "messages":
            client = anthropic.AsyncAnthropic(base_url=url, api_key=self.key, max_retries=0)
            self._anthropic = await self._stack.enter_async_context(client)
        else:
            other = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=self.key, max_retries=0)
            self._openai = await self._stack.enter_async_context(other)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    @property
    def wire(self) -> Wire:
        """The wire format."""
        return self.style[0]

    # What the client says

    async def say(self, text: str) -> Answer:
        """A user message."""
        self.history.append({"role": "user", "content": text})
        return await self.send()

    async def results(self, given: Mapping[str, str], *, then: str | None = None) -> Answer:
        """Tool results by call id, and perhaps a new user message after them."""
        if self.wire == "messages":
            blocks: list[Any] = [
                {"type": "tool_result", "tool_use_id": name, "content": text}
                for name, text in given.items()
            ]
            if then is not None:
                blocks.append({"type": "text", "text": then})
            self.history.append({"role": "user", "content": blocks})
            return await self.send()
        for name, text in given.items():
            if self.wire == "chat":
                self.history.append({"role": "tool", "tool_call_id": name, "content": text})
            else:
                item = {"type": "function_call_output", "call_id": name, "output": text}
                self.history.append(item)
        if then is not None:
            self.history.append({"role": "user", "content": then})
        return await self.send()

    async def send(self) -> Answer:
        """Sends the history as it stands and appends the answer to it."""
        stream = self.style[1]
        if self.wire == "chat":
            answer = await (self._chat_stream() if stream else self._chat())
        elif self.wire == "messages":
            answer = await self._messages(stream=stream)
        else:
            answer = await self._responses(stream=stream)
        return answer

    # Chat Completions

    def _chat_request(self) -> dict[str, Any]:
        return self._request(
            messages=self.history,
            tools=[
                {
                    "type": "function",
                    "function": {
                        "name": one.name,
                        "description": one.description,
                        "parameters": _schema(one),
                    },
                }
                for one in self.tools
            ],
        )

    async def _chat(self) -> Answer:
        assert self._openai is not None
        raw = await self._openai.chat.completions.with_raw_response.create(**self._chat_request())
        answer = raw.parse()
        message = answer.choices[0].message
        assert answer.usage is not None
        self.history.append(message.model_dump(exclude_none=True))
        return Answer(
            text=message.content or "",
            calls=[
                _call(one.id, one.function.name, one.function.arguments)
                for one in message.tool_calls or []
                if one.type == "function"
            ],
            finish=answer.choices[0].finish_reason,
            session_id=raw.headers["x-session-id"],
            response_id=answer.id,
            usage=(answer.usage.prompt_tokens, answer.usage.completion_tokens),
        )

    async def _chat_stream(self) -> Answer:
        assert self._openai is not None
        raw = await self._openai.chat.completions.with_raw_response.create(
            **self._chat_request(), stream=True, stream_options={"include_usage": True}
        )
        text, finish, name, usage = "", "", "", (0, 0)
        parts: dict[int, list[str]] = {}
        async for chunk in raw.parse():
            name = chunk.id or name
            if chunk.usage is not None:
                usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
                for part in choice.delta.tool_calls or []:
                    entry = parts.setdefault(part.index, ["", "", ""])
                    entry[0] += part.id or ""
                    entry[1] += (part.function and part.function.name) or ""
                    entry[2] += (part.function and part.function.arguments) or ""
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if parts:
            message["tool_calls"] = [
                {"id": a, "type": "function", "function": {"name": b, "arguments": c}}
                for a, b, c in parts.values()
            ]
        self.history.append(message)
        return Answer(
            text=text,
            calls=[_call(*entry) for entry in parts.values()],
            finish=finish,
            session_id=raw.headers["x-session-id"],
            response_id=name,
            usage=usage,
        )

    # Messages

    async def _messages(self, *, stream: bool) -> Answer:
        assert self._anthropic is not None
        request = self._request(
            max_tokens=2000,
            messages=self.history,
            tools=[
                {
                    "name": one.name,
                    "description": one.description,
                    "input_schema": _schema(one),
                }
                for one in self.tools
            ],
        )
        if stream:
            async with self._anthropic.messages.stream(**request) as events:
                session_id = events.response.headers["x-session-id"]
                message = await events.get_final_message()
        else:
            raw = await self._anthropic.messages.with_raw_response.create(**request)
            session_id, message = raw.headers["x-session-id"], await _parsed(raw)
        self.history.append(
            {
                "role": "assistant",
                "content": [block.model_dump(exclude_none=True) for block in message.content],
            }
        )
        return Answer(
            text="".join(block.text for block in message.content if block.type == "text"),
            calls=[
                Call(block.id, block.name, cast(dict[str, Any], block.input))
                for block in message.content
                if block.type == "tool_use"
            ],
            finish=message.stop_reason or "",
            session_id=session_id,
            response_id=message.id,
            usage=(message.usage.input_tokens, message.usage.output_tokens),
        )

    # Responses

    async def _responses(self, *, stream: bool) -> Answer:
        assert self._openai is not None
        request = self._request(
            input=self.history,
            tools=[
                {
                    "type": "function",
                    "name": one.name,
                    "description": one.description,
                    "parameters": _schema(one),
                    "strict": False,
                }
                for one in self.tools
            ],
        )
        if self.chained and self._previous is not None:
            request["previous_response_id"] = self._previous
        create = self._openai.responses.with_raw_response.create
        final: Any = None
        if stream:
            raw: Any = await create(**request, stream=True)
            numbers = []
            async for event in raw.parse():
                numbers.append(event.sequence_number)
                if event.type in {"response.completed", "response.failed", "response.incomplete"}:
                    final = event.response
            assert numbers == list(range(len(numbers)))
        else:
            raw = await create(**request)
            final = raw.parse()
        assert final is not None
        self._previous = final.id
        if self.chained:
            self.history.clear()
        else:
            self.history += [item.model_dump(exclude_none=True) for item in final.output]
        return Answer(
            text=final.output_text,
            calls=[
                _call(item.call_id, item.name, item.arguments)
                for item in final.output
                if item.type == "function_call"
            ],
            finish=final.status,
            session_id=raw.headers["x-session-id"],
            response_id=final.id,
            usage=(final.usage.input_tokens, final.usage.output_tokens),
        )

    def _request(self, **members: Any) -> dict[str, Any]:
        request = {"model": "demo", "extra_headers": dict(self.headers), **members}
        if not self.tools:
            del request["tools"]
        return {**request, **self.extra}


async def _parsed(raw: Any) -> Any:
    found = raw.parse()
    return await found if hasattr(found, "__await__") else found


def _schema(one: _Tool) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in one.properties},
        "required": list(one.properties),
    }


def _call(name: str, function: str, arguments: str) -> Call:
    return Call(name, function, json.loads(arguments))
