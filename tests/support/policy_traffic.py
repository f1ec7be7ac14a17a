"""Tool calls through a running gateway, made by the demo model."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.gateway import Gateway, running_gateway

from interlock.identity.model import Actor, KeySpec

__all__ = ["Talk", "make_data"]


@dataclass(slots=True, kw_only=True)
class Talk:
    """One conversation; the demo model calls what a `CALL` line says."""

    gateway: Gateway
    tools: tuple[str, ...] = ("read_page", "send_email")
    key: str | None = None
    policy: dict[str, Any] | None = None
    features: dict[str, Any] | None = None
    description: str = "A tool"
    session: str | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)

    async def say(self, text: str) -> dict[str, Any]:
        """A user message; returns the model's message."""
        self.messages.append({"role": "user", "content": text})
        return await self._send()

    async def call(self, tool: str, **arguments: Any) -> bool:
        """Makes the model call a tool, in the same session; whether the call came out.

        The history begins anew: the demo model would try again what was denied before.
        """
        self.messages = []
        message = await self.say(f"CALL {tool} {json.dumps(arguments)}")
        return bool(message.get("tool_calls"))

    async def result(self, text: str) -> dict[str, Any]:
        """Answers the calls of the last message with a text."""
        for call in self.messages[-1]["tool_calls"]:
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
        return await self._send()

    async def _send(self) -> dict[str, Any]:
        headers: dict[str, str] = {}
        if self.key is not None:
            headers["authorization"] = f"Bearer {self.key}"
        if self.session is not None:
            headers["X-Session-ID"] = self.session
        if self.policy is not None:
            headers["X-Policy"] = json.dumps(self.policy)
        if self.features is not None:
            headers["X-Features"] = json.dumps(self.features)
        body = {
            "model": "demo",
            "messages": self.messages,
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": name,
                        "description": self.description,
                        "parameters": {"type": "object", "properties": {"to": {}, "url": {}}},
                    },
                }
                for name in self.tools
            ],
        }
        answer = await self.gateway.post("/control/chat/demo/v1/chat/completions", body, **headers)
        assert answer.status_code == 200, answer.text
        self.session = answer.headers["x-session-id"]
        message: dict[str, Any] = answer.json()["choices"][0]["message"]
        self.messages.append(message)
        return message


def make_data(folder: Path) -> None:
    """A data directory of a server that is stopped, with some calls in its log."""

    async def serve() -> None:
        async with running_gateway(folder) as gateway:
            talk = Talk(gateway=gateway)
            for to in ("ann@corp.example", "bob@corp.example", "eve@evil.example"):
                assert await talk.call("send_email", to=to)
            strict = {"codes": {"code": 'tool "send_email" { hard deny always; }'}}
            assert not await Talk(gateway=gateway, policy=strict).call(
                "send_email", to="dan@corp.example"
            )
            made = await gateway.app.store.admin.create_key(
                KeySpec(label="robot", retention="none"), Actor(name="tests", surface="server")
            )
            await Talk(gateway=gateway, key=made.token).call("send_email", to="gil@corp.example")
            await gateway.app.store.recorder.flush(wait_s=10)

    asyncio.run(serve())
