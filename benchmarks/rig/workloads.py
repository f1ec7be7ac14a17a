"""What is asked of every gateway: the request bodies and the upstream behind each.

A workload is data. A gateway says where it wants it sent (`Target`); the same
bytes of conversation go to all of them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.rig import upstream
from benchmarks.rig.upstream import Endpoint

__all__ = ["LOAD_WORKLOADS", "PACED", "STALLED", "WORKLOADS", "Target", "Workload"]

SYSTEM = "You are a careful assistant that answers in one sentence and never makes things up."
NOTE = (
    "Summarise the following note for a busy reader: the quick brown fox jumps over the lazy "
    "dog, then rests in the shade until evening and goes home. Keep names and times as they are."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One kind of request.

    `dialect` is what the caller speaks; the upstream always speaks Chat
    Completions, so "messages" means the gateway translates both ways.
    """

    name: str
    title: str
    endpoint: Endpoint
    dialect: Literal["chat", "messages"] = "chat"
    stream: bool = False
    tools: bool = False
    proof: str
    """Text that a right answer contains; checked once before anything is timed."""

    def body(self, model: str) -> bytes:
        """The request body, naming the model as this gateway knows it."""
        document: dict[str, object] = {"model": model}
        user = {"role": "user", "content": NOTE}
        if self.dialect == "messages":
            document |= {"max_tokens": 128, "system": SYSTEM, "messages": [user]}
        else:
            system = {"role": "system", "content": SYSTEM}
            document |= {"max_tokens": 128, "messages": [system, user]}
        document["temperature"] = 0.2
        if self.tools:
            document["tools"] = [_chat_tool(*tool) for tool in TOOLS]
        if self.stream:
            document["stream"] = True
        return json.dumps(document, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where and how one gateway takes one workload."""

    base: str
    """Scheme, host and port."""
    path: str
    model: str
    headers: Mapping[str, str] = field(default_factory=dict)


TOOLS: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    (upstream.TOOL_NAME, "Find an order by its number.", {"order_id": "string"}),
    ("search_catalogue", "Full text search.", {"query": "string", "limit": "integer"}),
    ("read_file", "Read a file of the workspace.", {"path": "string"}),
    ("write_file", "Write a file.", {"path": "string", "content": "string"}),
    ("send_email", "Send a message.", {"to": "string", "subject": "string", "body": "string"}),
    ("refund_order", "Give money back.", {"order_id": "string", "amount": "number"}),
    ("run_query", "Run a read-only query.", {"sql": "string"}),
    ("create_ticket", "Open a ticket.", {"title": "string", "priority": "string"}),
)


def _chat_tool(name: str, description: str, members: Mapping[str, str]) -> dict[str, object]:
    properties = {member: {"type": kind} for member, kind in members.items()}
    schema = {"type": "object", "properties": properties, "required": list(members)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": schema},
    }


LOAD_WORKLOADS = (
    Workload(
        name="json",
        title="JSON, same format in and out",
        endpoint=upstream.JSON,
        proof="busy reader",
    ),
    Workload(
        name="stream",
        title="SSE of 32 events, same format in and out",
        endpoint=upstream.BURST,
        stream=True,
        proof="word029",
    ),
    Workload(
        name="tool-json",
        title="JSON, 8 tools offered, one call answered",
        endpoint=upstream.TOOL,
        tools=True,
        proof=upstream.TOOL_NAME,
    ),
    Workload(
        name="tool-stream",
        title="SSE of 32 events, 8 tools offered, one call answered",
        endpoint=upstream.TOOL_BURST,
        tools=True,
        stream=True,
        proof=upstream.TOOL_NAME,
    ),
    Workload(
        name="translated-json",
        title="JSON, Messages in, Chat Completions upstream",
        endpoint=upstream.JSON,
        dialect="messages",
        proof='"end_turn"',
    ),
    Workload(
        name="translated-stream",
        title="SSE of 32 events, Messages in, Chat Completions upstream",
        endpoint=upstream.BURST,
        dialect="messages",
        stream=True,
        proof="message_stop",
    ),
)
"""Measured with wrk at several concurrencies."""

PACED = Workload(
    name="paced",
    title="time to the first event of a paced stream",
    endpoint=upstream.PACED,
    stream=True,
    proof="word017",
)
STALLED = Workload(
    name="memory",
    title="memory of an open stream",
    endpoint=upstream.STALLED,
    stream=True,
    proof="word000",
)

WORKLOADS = {work.name: work for work in (*LOAD_WORKLOADS, PACED, STALLED)}
