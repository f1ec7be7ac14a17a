"""Scenes of the same story, each driven by a real SDK over HTTP.

A scene returns what happened; how it is told is `run`'s business. The SDKs are the
optional extra `demo`, so they are imported where they are used.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from interlock.demo.story import PLAN_POLICY, PLANNED, POLICY, QUESTION, REPLIED, TOOLS, Office

__all__ = ["Line", "Outcome", "chat_scene", "messages_scene", "planned_scene"]

_MODEL = "demo"
_MAX_STEPS = 6


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the transcript."""

    who: str
    """`user`, `model`, `tool`, `answer`."""
    text: str


@dataclass(slots=True)
class Outcome:
    """What a scene came to."""

    office: Office = field(default_factory=Office)
    answer: str = ""
    session_id: str = ""
    tokens: list[int] = field(default_factory=list)
    """What each answer took; only noted over Chat Completions."""


def chat_scene(base_url: str, key: str, *, policy: bool, say: Callable[[Line], None]) -> Outcome:
    """The assistant over Chat Completions, with or without the policy."""
    headers = {"X-Policy": json.dumps({"codes": {"code": POLICY}})} if policy else {}
    outcome = Outcome()
    chat = _Chat(f"{base_url}/control/chat/demo/v1", key, headers, say)
    chat.run(QUESTION, outcome)
    return outcome


def planned_scene(base_url: str, key: str, *, say: Callable[[Line], None]) -> Iterator[Outcome]:
    """The assistant in dual-llm: a harmless program, then a careless one, in one session."""
    headers = {
        "X-Features": json.dumps({"agent_arch": "dual-llm"}),
        "X-Policy": json.dumps({"codes": {"code": PLAN_POLICY}}),
        "X-Config": json.dumps({"response_format": {"strip_response_content": True}}),
    }
    chat = _Chat(f"{base_url}/control/chat/demo/v1", key, headers, say)
    for text in (PLANNED, REPLIED):
        outcome = Outcome()
        chat.run(text, outcome)
        yield outcome


@dataclass(slots=True)
class _Chat:
    """A conversation over Chat Completions."""

    base_url: str
    key: str
    headers: dict[str, str]
    say: Callable[[Line], None]
    messages: list[dict[str, Any]] = field(default_factory=list)

    def run(self, text: str, outcome: Outcome) -> None:
        """One question of the user's, with the tools run as asked."""
        # The SDK belongs to the optional extra `demo`.
        import openai  # noqa: PLC0415

        client = openai.OpenAI(base_url=self.base_url, api_key=self.key)
        self.messages.append({"role": "user", "content": text})
        self.say(Line("user", text))
        for _ in range(_MAX_STEPS):
            raw = client.chat.completions.with_raw_response.create(
                model=_MODEL,
                messages=cast(Any, self.messages),
                tools=cast(Any, TOOLS),
                extra_headers=self.headers,
            )
            outcome.session_id = self.headers["X-Session-ID"] = raw.headers.get("x-session-id", "")
            answer = raw.parse()
            outcome.tokens.append(answer.usage.total_tokens if answer.usage else 0)
            message = answer.choices[0].message
            self.messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                outcome.answer = message.content or ""
                break
            for call in message.tool_calls:
                function = cast(Any, call).function
                args = json.loads(function.arguments)
                result = _act(outcome, function.name, args, self.say)
                said = {"role": "tool", "tool_call_id": call.id, "content": result}
                self.messages.append(said)
        self.say(Line("answer", outcome.answer))


def messages_scene(base_url: str, key: str, *, say: Callable[[Line], None]) -> Outcome:
    """The same with the policy, over Anthropic Messages, streamed."""
    # The SDK belongs to the optional extra `demo`.
    import anthropic  # noqa: PLC0415

    client = anthropic.Anthropic(base_url=f"{base_url}/control/chat/demo", api_key=key)
    outcome = Outcome()
    messages: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
    say(Line("user", QUESTION))
    tools = [
        {
            "name": tool["function"]["name"],
            "description": tool["function"]["description"],
            "input_schema": tool["function"]["parameters"],
        }
        for tool in TOOLS
    ]
    headers = {"X-Policy": json.dumps({"codes": {"code": POLICY}})}
    for _ in range(_MAX_STEPS):
        if outcome.session_id:
            headers["X-Session-ID"] = outcome.session_id
        with client.messages.stream(
            model=_MODEL,
            max_tokens=1024,
            messages=cast(Any, messages),
            tools=cast(Any, tools),
            extra_headers=headers,
        ) as stream:
            answer = stream.get_final_message()
            outcome.session_id = stream.response.headers.get("x-session-id", "")
        messages.append(
            {"role": "assistant", "content": [block.model_dump() for block in answer.content]}
        )
        text = "".join(block.text for block in answer.content if block.type == "text")
        calls = [block for block in answer.content if block.type == "tool_use"]
        if not calls:
            outcome.answer = text
            break
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call.id,
                "content": _act(outcome, call.name, cast(dict[str, Any], call.input), say),
            }
            for call in calls
        ]
        messages.append({"role": "user", "content": results})
    say(Line("answer", outcome.answer))
    return outcome


def _act(outcome: Outcome, tool: str, args: dict[str, Any], say: Callable[[Line], None]) -> str:
    say(Line("model", f"{tool}({', '.join(f'{name}={value!r}' for name, value in args.items())})"))
    result = outcome.office.run(tool, args)
    say(Line("tool", result))
    return result
