"""Where a reader was: `Last-Event-ID`, `last_event_id` or `since`. Pure.

The header wins over the queries, an event id over `since`. What cannot be read is no cursor:
a browser would give up for good on an error. Source: conversations.md, 11.4.
"""

from dataclasses import dataclass

from interlock.conversations.cursors import EventId, parse_since

__all__ = ["Cursor", "read_cursor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The last thing a reader got."""

    ms: int
    """Events with a larger time are wanted, unless `event` is in the log."""
    event: EventId | None = None


def read_cursor(header: str | None, query: str | None, since: str | None) -> Cursor | None:
    """The cursor of a request; None: from now on."""
    for text in (header, query):
        found = EventId.parse(text) if text else None
        if found is not None:
            return Cursor(ms=found.ms, event=found)
    ms = parse_since(since) if since else None
    return None if ms is None else Cursor(ms=ms)
