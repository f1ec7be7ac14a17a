"""Posted events that are not committed yet, in order within each stream."""

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from interlock.events.errors import EventsBehindError
from interlock.events.model import NewEvent

__all__ = ["Outbox", "Posted"]


@dataclass(slots=True, kw_only=True)
class Posted:
    """One event on its way."""

    number: int
    stream: str
    event: NewEvent
    payload: str
    doubt: tuple[int, str] | None = None
    """Number and public id it has if the commit whose answer was lost came about."""


class Outbox:
    """What waits for the next commit. Bounded."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._streams: dict[str, deque[Posted]] = {}
        self._numbers = itertools.count(1)
        self._unsettled: dict[int, None] = {}
        self.last = 0
        """Number of the newest posted event."""

    def __bool__(self) -> bool:
        return bool(self._streams)

    def put(self, stream: str, event: NewEvent, payload: str) -> None:
        """Adds an event. Raises EventsBehindError when there is no room."""
        if len(self._unsettled) >= self._capacity:
            raise EventsBehindError
        self.last = next(self._numbers)
        self._unsettled[self.last] = None
        posted = Posted(number=self.last, stream=stream, event=event, payload=payload)
        self._streams.setdefault(stream, deque()).append(posted)

    def take(self, stream: str) -> list[Posted]:
        """All of one stream."""
        return list(self._streams.pop(stream, ()))

    def take_all(self, limit: int) -> list[Posted]:
        """The oldest of all streams, about `limit`, in the order they were posted."""
        taken: list[Posted] = []
        while self._streams and len(taken) < limit:
            taken.extend(self.take(next(iter(self._streams))))
        taken.sort(key=lambda one: one.number)
        return taken

    def take_first(self) -> list[Posted]:
        """The oldest of all; nothing when nothing waits."""
        if not self._streams:
            return []
        stream = min(self._streams, key=lambda name: self._streams[name][0].number)
        taken = self._streams[stream].popleft()
        if not self._streams[stream]:
            del self._streams[stream]
        return [taken]

    def restore(self, taken: Sequence[Posted]) -> None:
        """Puts back what could not be committed, before what came since."""
        for posted in reversed(taken):
            self._streams.setdefault(posted.stream, deque()).appendleft(posted)

    def settle(self, taken: Sequence[Posted]) -> None:
        """Forgets what is committed, or given up."""
        for posted in taken:
            self._unsettled.pop(posted.number, None)

    def settled(self, number: int) -> bool:
        """Whether all up to this number have left."""
        first = next(iter(self._unsettled), None)
        return first is None or first > number
