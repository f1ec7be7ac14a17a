"""Drives a pass-through exchange as the gateway does: steps in, decisions out."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from interlock.providers.wire.exchange import (
    Edits,
    Ended,
    Exchange,
    Failed,
    FormatName,
    Forward,
    Head,
    Held,
    OfferedTool,
    StreamRelay,
)
from interlock.providers.wire.model import ToolCall
from interlock.providers.wire.relay import client, relay_exchange

SESSION = "0f6c1c9e-6c56-11f0-9d2a-8b7f4f1f2a10"
FORMATS: tuple[FormatName, ...] = ("chat", "messages", "responses")

Decide = Callable[[ToolCall], str | None]


def ours(call: ToolCall) -> str | None:
    """Lets every call through under an id of ours."""
    return f"tc-{call.id}"


def none(call: ToolCall) -> str | None:
    """Denies every call."""
    return None


def head_for(name: FormatName, **members: Any) -> Head:
    tools = [OfferedTool(name="get_weather", kind="function")]
    return Head(
        **{"format": name, "model": "m", "stream": True, "body": b"{}", "tools": tools} | members
    )


class Client:
    """What a client has received, and what was decided on the way."""

    def __init__(
        self,
        name: FormatName,
        *,
        native: bool = True,
        hide_usage: bool = False,
        max_held_bytes: int = 8 << 20,
        head: Head | None = None,
        exchange: Exchange | None = None,
    ) -> None:
        self.exchange = exchange or relay_exchange(name)
        self.relay: StreamRelay = self.exchange.stream(
            head or head_for(name),
            hide_usage=hide_usage,
            native_client=native,
            session_id=SESSION,
            max_held_bytes=max_held_bytes,
        )
        self.out = b""
        self.calls: list[ToolCall] = []
        self.end: Ended | Failed | None = None

    def read(
        self,
        chunks: Iterable[bytes],
        decide: Decide = ours,
        rewrite: Callable[[ToolCall], str | None] = none,
    ) -> "Client":
        self.end = None
        for chunk in chunks:
            self._take(self.relay.feed(chunk), decide, rewrite)
        self._take(self.relay.eof(), decide, rewrite)
        return self

    def _take(
        self, steps: Sequence[Any], decide: Decide, rewrite: Callable[[ToolCall], str | None]
    ) -> None:
        for step in steps:
            assert self.end is None, "nothing comes after the end"
            match step:
                case Forward():
                    assert step.data
                    self.out += step.data
                case Held():
                    self.calls.append(step.call)
                    our_id = decide(step.call)
                    if our_id is None:
                        self.relay.drop(step.call)
                    else:
                        self.out += step.release(our_id, rewrite(step.call))
                case Ended() | Failed():
                    self.end = step

    def close(self, **how: Any) -> bytes:
        if isinstance(self.end, Failed):
            self.out += self.relay.fail(self.end.fault)
        else:
            assert isinstance(self.end, Ended)
            self.out += self.relay.close(**how)
        return self.out


def relayed(name: FormatName, chunks: Iterable[bytes], decide: Decide = ours, **how: Any) -> bytes:
    """The whole client stream of one upstream answer."""
    return Client(name, **how).read(chunks, decide).close()


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def events(stream: bytes) -> list[Any]:
    """The data of every event, decoded; strict about framing."""
    found: list[Any] = []
    assert stream == b"" or stream.endswith(b"\n\n")
    for block in stream.decode().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if not lines:
            continue
        assert not any(line.startswith(("id:", "retry:")) for line in lines)
        data = [line[5:].strip() for line in lines if line.startswith("data:")]
        assert len(data) == 1, block
        tree = data[0] if data[0] == "[DONE]" else json.loads(data[0])
        if isinstance(tree, dict) and lines[0].startswith("event:"):
            assert lines[0][6:].strip() == tree["type"]
        found.append(tree)
    return found


def sse(*trees: Any, named: bool = False) -> bytes:
    """An upstream stream of these events."""
    out = b""
    for tree in trees:
        if named and isinstance(tree, dict):
            out += f"event: {tree['type']}\n".encode()
        text = tree if isinstance(tree, str) else json.dumps(tree, separators=(",", ":"))
        out += f"data: {text}\n\n".encode()
    return out


def peeked(name: FormatName, body: dict[str, Any] | bytes) -> Head:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client(name).peek(data)


def requested(name: FormatName, body: dict[str, Any] | bytes, **edits: Any) -> dict[str, Any]:
    """The upstream body for a client body under edits, decoded."""
    tree = json.loads(relay_exchange(name).request(peeked(name, body), Edits(**edits)))
    assert isinstance(tree, dict)
    return tree
