"""Driving an exchange the way the gateway does, with every call let through."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from interlock.providers.wire.exchange import (
    Edits,
    Ended,
    Exchange,
    Failed,
    FormatName,
    Forward,
    Head,
    Held,
    Step,
    StreamRelay,
)
from interlock.providers.wire.model import ToolCall
from interlock.providers.wire.registry import exchange

__all__ = ["NAMES", "PAIRS", "asked", "cut", "head_of", "minimal", "opened", "run", "sent"]

NAMES: tuple[FormatName, ...] = ("chat", "messages", "responses")
PAIRS: list[tuple[FormatName, FormatName]] = [
    (client, upstream) for client in NAMES for upstream in NAMES if client != upstream
]

_MINIMAL: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    "messages": {
        "model": "m",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "hi"}],
    },
    "responses": {"model": "m", "input": "hi"},
}


def minimal(client: str, **members: Any) -> dict[str, Any]:
    """The smallest request in a format, plus `members`."""
    return {**_MINIMAL[client], **members}


def head_of(client: FormatName, body: dict[str, Any]) -> Head:
    return Head(
        format=client,
        model=str(body.get("model")),
        stream=bool(body.get("stream")),
        body=msgspec.json.encode(body),
    )


def sent(
    client: FormatName, upstream: FormatName, body: dict[str, Any], edits: Edits | None = None
) -> tuple[dict[str, Any], list[str]]:
    """What goes upstream for `body`, and what was dropped."""
    machine = exchange(client, upstream)
    out = machine.request(head_of(client, body), edits or Edits())
    return msgspec.json.decode(out), list(machine.dropped())


def asked(client: FormatName, upstream: FormatName, **members: Any) -> tuple[Exchange, Head]:
    """An exchange whose minimal request has been made."""
    machine = exchange(client, upstream, now=lambda: 1769519573.0)
    if client == "chat":
        members = {"stream_options": {"include_usage": True}, **members}
    head = head_of(client, minimal(client, stream=True, **members))
    machine.request(head, Edits())
    return machine, head


def opened(
    client: FormatName, upstream: FormatName, *, native: bool = True, **options: Any
) -> StreamRelay:
    machine, head = asked(client, upstream)
    return machine.stream(
        head, hide_usage=False, native_client=native, session_id="0f6c", **options
    )


def cut(data: bytes, *positions: int) -> list[bytes]:
    edges = [0, *sorted(positions), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def run(
    relay: StreamRelay,
    chunks: Iterable[bytes],
    *,
    decide: Callable[[ToolCall], str | None] = lambda call: call.id,
) -> tuple[bytes, Sequence[Step]]:
    """Feeds `chunks`; gives the client's bytes up to the end or failure, and the last steps.

    `decide` gives the id a call is released under, or None to deny it.
    """
    out = bytearray()
    last: list[Step] = []
    for chunk in [*chunks, None]:
        for step in relay.feed(chunk) if chunk is not None else relay.eof():
            if isinstance(step, Forward):
                out += step.data
            elif isinstance(step, Held):
                call_id = decide(step.call)
                if call_id is None:
                    relay.drop(step.call)
                else:
                    out += step.release(call_id, None)
            elif isinstance(step, Ended | Failed):
                last.append(step)
    return bytes(out), last
