"""A dual-llm conversation over plain HTTP, in Chat Completions: the client runs tools as told.

The demo planner writes the program that stands in a ```plan block of the user's message.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

__all__ = ["DUAL", "DualTalk", "Tools", "function", "plan", "policy"]

Tools = Mapping[str, Callable[..., Any]]
DUAL = '{"agent_arch": "dual-llm"}'
_PATH = "/control/chat/demo/v1/chat/completions"


def plan(*programs: str, ask: str = "Do this") -> str:
    """A request whose programs are given, one for each attempt."""
    return "\n".join([ask, *(f"```plan\n{one}\n```" for one in programs)])


def policy(code: str, **more: Any) -> dict[str, str]:
    """The header X-Policy."""
    return {"x-policy": json.dumps({"codes": {"code": code}, **more})}


def function(name: str, *properties: str, **more: Any) -> dict[str, Any]:
    """A tool definition whose parameters may be anything."""
    schema = {"type": "object", "properties": {one: {} for one in properties}}
    return {"type": "function", "function": {"name": name, "parameters": schema, **more}}


@dataclass(slots=True, kw_only=True)
class DualTalk:
    """One conversation; `ran` is what the client's tools were called with."""

    http: httpx.AsyncClient
    key: str
    tools: Tools = field(default_factory=dict)
    definitions: list[dict[str, Any]] | None = None
    """Instead of those made of `tools`."""
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    path: str = _PATH
    messages: list[Any] = field(default_factory=list)
    ran: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    session: str = ""

    async def post(self) -> httpx.Response:
        """Sends the conversation as it stands, and notes the answer when it is one."""
        tools = self.definitions
        if tools is None:
            tools = [
                function(name, *run.__code__.co_varnames[: run.__code__.co_argcount])
                for name, run in self.tools.items()
            ]
        body = {"model": "demo", "messages": self.messages, "tools": tools, **self.body}
        headers = {"authorization": f"Bearer {self.key}", "x-features": DUAL, **self.headers}
        answer = await self.http.post(self.path, json=body, headers=headers)
        if answer.status_code == 200:
            self.session = answer.headers["x-session-id"]
            if not self.body.get("stream"):
                self.messages.append(answer.json()["choices"][0]["message"])
        return answer

    async def say(self, text: str) -> httpx.Response:
        """A user message; what comes first in answer to it."""
        self.messages.append({"role": "user", "content": text})
        return await self.post()

    async def give(self, *results: tuple[str, Any]) -> httpx.Response:
        """Results by call id."""
        self.messages += [
            {"role": "tool", "tool_call_id": call_id, "content": _text(value)}
            for call_id, value in results
        ]
        return await self.post()

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls of the newest answer."""
        found: list[dict[str, Any]] = self.messages[-1].get("tool_calls") or []
        return found

    async def run(self, text: str) -> dict[str, Any]:
        """Says something, runs tools until the turn is over, and returns the final object."""
        answer = await self.say(text)
        assert answer.status_code == 200, answer.text
        while self.calls:
            results = []
            for call in self.calls:
                name, args = call["function"]["name"], json.loads(call["function"]["arguments"])
                self.ran.append((name, args))
                results.append((call["id"], self.tools[name](**args)))
            answer = await self.give(*results)
            assert answer.status_code == 200, answer.text
        return self.final()

    def final(self) -> dict[str, Any]:
        """The newest answer as the object it is."""
        found: dict[str, Any] = json.loads(self.messages[-1]["content"])
        return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
