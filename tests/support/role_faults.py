"""A demo model that fails in one role only, as a provider might in the middle of a turn."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

from interlock.kernel.roles import ModelRole, role_of
from interlock.providers.demo import BrokenConnectionError, DemoReply, DemoUpstream

__all__ = ["FAULTS", "RoleFaults"]

FAULTS = ("500", "garbage", "empty", "cut", "stall")
"""What can be wrong: a status, a body that is no answer, an end in the middle, silence."""


class RoleFaults(DemoUpstream):
    """`faults` says what happens to a role's calls; others are answered.

    `hold` keeps calls of the planner waiting until it is set, `arrived` says that one waits.
    """

    def __init__(self) -> None:
        super().__init__(faults=True, key_required=True)
        self.faults: dict[ModelRole, str] = {}
        self.says: dict[ModelRole, str | list[str]] = {}
        """What a role answers instead of what it would; of a list one after the other."""
        self.asked: list[tuple[ModelRole | None, str]] = []
        self.hold: threading.Event | None = None
        self.arrived = threading.Event()

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> DemoReply:
        """Plays the fault of the role that is asked, if it has one."""
        role = role_of(_system(body))
        self.asked.append((role, body.decode()))
        if role == "pllm" and self.hold is not None:
            self.arrived.set()
            await asyncio.to_thread(self.hold.wait, 10)
        fault = None if role is None else self.faults.get(role)
        if role is not None and role in self.says:
            said = self.says[role]
            text = said if isinstance(said, str) else said.pop(0)
            return _reply(200, json.dumps(_said(text)).encode())
        if fault is None:
            return await super().handle(method, path, headers, body)
        if fault.isdigit():
            error = {"error": {"message": f"failed with {fault}", "type": "server_error"}}
            return _reply(int(fault), json.dumps(error).encode())
        return DemoReply(status=200, headers=_JSON, body=_broken(fault))


_JSON = {"content-type": "application/json"}


def _system(body: bytes) -> str:
    try:
        first = json.loads(body)["messages"][0]
    except (ValueError, KeyError, IndexError):
        return ""
    content = first["content"]
    return content if isinstance(content, str) else str(content[0]["text"])


def _said(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "demo",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _reply(status: int, body: bytes) -> DemoReply:
    async def pieces() -> AsyncIterator[bytes]:
        yield body

    return DemoReply(status=status, headers=_JSON, body=pieces())


async def _broken(fault: str) -> AsyncIterator[bytes]:
    if fault == "stall":
        await asyncio.sleep(86_400)
    yield {"garbage": b'{"nothing": tru', "empty": b"{}"}.get(fault, b'{"id": "x", ')
    if fault == "cut":
        raise BrokenConnectionError("cut, as asked")
