"""The newest events in memory: serves resume until restart when nothing is kept in the store."""

import heapq
import itertools
from collections import deque
from collections.abc import Collection, Iterable

from interlock.events.model import EVERYBODY, Event

__all__ = ["Ring"]


class Ring:
    """Events by stream, oldest first; at most `most` of each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._streams: dict[str, deque[Event]] = {}

    def keep(self, event: Event) -> None:
        """Adds the newest event."""
        kept = self._streams.get(event.stream)
        if kept is None:
            kept = self._streams[event.stream] = deque(maxlen=self._most)
        kept.append(event)

    def read(
        self,
        streams: Collection[str] | None,
        *,
        after_seq: int | None,
        after_ms: int | None,
        limit: int,
        reader: str | None,
    ) -> list[Event]:
        """See `EventLog.read`."""
        names = self._streams if streams is None else streams
        parts = [_after(self._streams.get(name), after_seq) for name in names]
        found = (
            event
            for event in heapq.merge(*parts, key=lambda event: event.seq)
            if (after_ms is None or event.at_ms > after_ms)
            and (reader == EVERYBODY or event.audience is None or event.audience == reader)
        )
        return list(itertools.islice(found, limit))

    def position(self, stream: str, public_id: str) -> int | None:
        """The number of a public id."""
        for event in reversed(self._streams.get(stream, ())):
            if event.id == public_id:
                return event.seq
        return None

    def last(self, stream: str) -> Event | None:
        """The newest event of a stream."""
        kept = self._streams.get(stream)
        return kept[-1] if kept else None

    def prune(self, *, before_ms: int, keys: Collection[str], streams: Collection[str]) -> int:
        """Removes events from before an instant, besides the named ones; how many."""
        removed = 0
        for stream, kept in list(self._streams.items()):
            if stream in streams:
                continue
            left = [event for event in kept if event.at_ms >= before_ms or event.key in keys]
            removed += len(kept) - len(left)
            if not left:
                del self._streams[stream]
            elif len(left) < len(kept):
                self._streams[stream] = deque(left, maxlen=self._most)
        return removed

    def forget(self, stream: str) -> None:
        """Removes a stream."""
        self._streams.pop(stream, None)

    def forget_audience(self, user_id: str) -> None:
        """Removes what only one person could read."""
        for stream, kept in list(self._streams.items()):
            left = [event for event in kept if event.audience != user_id]
            self._streams[stream] = deque(left, maxlen=self._most)


def _after(kept: deque[Event] | None, seq: int | None) -> Iterable[Event]:
    if kept is None or seq is None:
        return kept or ()
    newest = list(itertools.takewhile(lambda event: event.seq > seq, reversed(kept)))
    return newest[::-1]
