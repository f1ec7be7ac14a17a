"""The demo model on a port, remembering what it was asked: the other end of the gateway."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interlock.providers.demo import DemoReply, DemoUpstream

__all__ = ["Asked", "RecordingDemo"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the upstream got it."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The decoded JSON."""
        return json.loads(self.raw)


class RecordingDemo(DemoUpstream):
    """A demo model with fault lines that keeps every request."""

    def __init__(self) -> None:
        super().__init__(faults=True, key_required=True)
        self.asked: list[Asked] = []

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> DemoReply:
        """Remembers, then answers."""
        self.asked.append(Asked(path, dict(headers), body))
        return await super().handle(method, path, headers, body)

    @property
    def last(self) -> Asked:
        """The newest request."""
        return self.asked[-1]

    @property
    def last_text(self) -> str:
        """The newest request's body as text with readable characters."""
        return json.dumps(self.last.body, ensure_ascii=False)
