"""Public ids of events: `<root id>:<message id>:<chunk index>:<unix ms>`.

The nil UUID stands for a missing root or message, -1 for no index. Both published clients
send such an id back to resume; the last part alone serves as `since`. Pure.
Source: conversations.md, 11.3.
"""

import re
from dataclasses import dataclass

__all__ = ["NIL", "EventId", "parse_since"]

NIL = "00000000-0000-0000-0000-000000000000"
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_EVENT_ID = re.compile(rf"({_UUID}):({_UUID}):(-1|\d{{1,9}}):(\d{{1,15}})\Z", re.ASCII)
_MS = re.compile(r"\d{1,15}\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventId:
    """One event id, taken apart."""

    root_id: str | None
    message_id: str | None
    index: int
    """Chunk index of a delta or of the end of a message; -1: none."""
    ms: int
    """Unix milliseconds, strictly increasing within a conversation."""

    def __str__(self) -> str:
        return f"{self.root_id or NIL}:{self.message_id or NIL}:{self.index}:{self.ms}"

    @classmethod
    def parse(cls, text: str) -> "EventId | None":
        """The id in `text`, or None for anything else: a bad cursor is ignored, never an error."""
        found = _EVENT_ID.match(text.strip().lower())
        if found is None:
            return None
        root, message, index, ms = found.groups()
        return cls(
            root_id=None if root == NIL else root,
            message_id=None if message == NIL else message,
            index=int(index),
            ms=int(ms),
        )


def parse_since(text: str) -> int | None:
    """Unix milliseconds in a `since` value; None when it is none."""
    return int(text) if _MS.match(text.strip()) else None
