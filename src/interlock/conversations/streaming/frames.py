"""Frames of a stream, and how deltas are merged. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from interlock.events.model import Event
from interlock.events.subscription import Backpressure, Kind, Strategy

__all__ = ["Frame", "backpressure", "frame_of", "merge_deltas", "merged", "text_of"]

_REPLACED = frozenset({"presence.update", "typing.update", "unread.update"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One event as a reader gets it."""

    type: str
    payload: Mapping[str, Any]
    id: str | None = None
    """None: it says nothing about where the reader is."""


def frame_of(event: Event) -> Frame:
    """The frame of a logged event."""
    return Frame(type=event.type, payload=event.payload, id=event.id)


def text_of(payload: Mapping[str, Any]) -> str:
    """The text of a delta."""
    return str(payload["choices"][0]["delta"]["content"])


def merged(frames: Iterable[Frame]) -> list[Frame]:
    """Neighbouring deltas of one message as one: id of the last, texts joined."""
    found: list[Frame] = []
    runs: list[list[Frame]] = []
    for frame in frames:
        last = runs[-1][-1] if runs else None
        if last is not None and _continues(last, frame):
            runs[-1].append(frame)
        else:
            runs.append([frame])
    for run in runs:
        found.append(run[0] if len(run) == 1 else _joined(run))
    return found


def merge_deltas(older: Event, newer: Event) -> Event | None:
    """Two events of one key as one, for a reader that is slow; None when they cannot be."""
    if newer.type in _REPLACED and older.type == newer.type:
        return newer
    if newer.type != "message.delta" or older.type != "message.delta":
        return None
    joined = _joined([frame_of(older), frame_of(newer)])
    return replace(newer, payload=joined.payload)


def backpressure(strategy: Strategy, warn_ratio: float) -> Backpressure:
    """How the log treats a slow reader of conversations."""
    return Backpressure(strategy=strategy, merge=merge_deltas, kind=_kind, warn_ratio=warn_ratio)


def _kind(event: Event) -> Kind:
    if event.type == "message.delta":
        return "token"
    return "system" if event.type in _REPLACED else "kept"


def _continues(last: Frame, frame: Frame) -> bool:
    return (
        last.type == frame.type == "message.delta"
        and last.payload["message_id"] == frame.payload["message_id"]
    )


def _joined(run: list[Frame]) -> Frame:
    first, last = run[0].payload, run[-1].payload
    delta = {"content": "".join(text_of(frame.payload) for frame in run)}
    if "role" in first["choices"][0]["delta"]:
        delta = {"role": "assistant", **delta}
    return Frame(
        type="message.delta",
        payload={**last, "choices": [{"index": 0, "delta": delta}]},
        id=run[-1].id,
    )
