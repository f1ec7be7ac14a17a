"""One reader of the live log: a bounded queue that never makes anybody else wait.

Offering an event costs the same whatever waits in the queue. What happens when it is full
is said by `Backpressure`:

- `coalesce`: events of one key are merged into the newest of them. Nothing is lost.
- `drop_tokens`: tokens are dropped; their keys are `lost` from then on, and so is every
  further token of such a key, since a text with a hole is worse than one that stops.
- `drop_tokens_and_system`: what `kind` calls "system" is dropped as well.

Still full: the subscription ends, and the reader resumes from the log.

INVARIANT: events leave in the order of their numbers, also merged ones, so the last event
a reader got is always a place to resume from.
Source: conversations.md section 11.5.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from interlock.events.model import EVERYBODY, Event

__all__ = ["Backpressure", "Ended", "Kind", "Merge", "Strategy", "Subscription"]

Strategy = Literal["coalesce", "drop_tokens", "drop_tokens_and_system"]
Kind = Literal["token", "system", "kept"]
Ended = Literal["closed", "slow", "stopped"]
Merge = Callable[[Event, Event], Event | None]
"""Older and newer event of one key -> one with number and id of the newer; None: cannot be."""

_log = logging.getLogger("interlock.events")


def _never(_older: Event, _newer: Event) -> Event | None:
    return None


def _kept(_event: Event) -> Kind:
    return "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backpressure:
    """What becomes of events for a reader that does not keep up."""

    strategy: Strategy = "coalesce"
    merge: Merge = _never
    kind: Callable[[Event], Kind] = _kept
    """Which events the dropping strategies may drop."""
    warn_ratio: float = 0.75
    """A fuller queue is told to the log, once until it has been half empty again."""


class _Hub(Protocol):
    """Who offers events."""

    def add(self, subscription: "Subscription", stream: str) -> None: ...

    def drop(self, subscription: "Subscription", stream: str) -> None: ...

    def leave(self, subscription: "Subscription") -> None: ...


class Subscription:
    """Events as they are committed, for one reader. Made by `EventLog.subscribe`.

    Iterate over it, or take what waits with `batch`; one consumer at a time. Iteration
    ends when the subscription does, with `ended` saying why.
    """

    __slots__ = (
        "_backpressure",
        "_hub",
        "_latest",
        "_merging_from",
        "_queue",
        "_repeats",
        "_soft",
        "_waiter",
        "_warn_from",
        "_warned",
        "capacity",
        "ended",
        "lost",
        "reader",
        "streams",
    )

    def __init__(
        self, hub: _Hub, *, capacity: int, reader: str | None, backpressure: Backpressure
    ) -> None:
        self._hub = hub
        self._backpressure = backpressure
        self._queue: OrderedDict[int, Event] = OrderedDict()
        self._latest: dict[str, int] = {}
        """Key -> number of the newest waiting event of it; only when merging."""
        self._repeats = 0
        """Waiting events with a newer one of the same key behind them."""
        self._soft: OrderedDict[int, None] = OrderedDict()
        """Numbers of waiting events that may be dropped; only when dropping."""
        self._waiter: asyncio.Future[None] | None = None
        self._warned = False
        self._merging_from = capacity // 2
        self._warn_from = max(1, int(capacity * backpressure.warn_ratio))
        self.capacity = capacity
        self.reader = reader
        self.streams: set[str] = set()
        self.lost: set[str] = set()
        """Keys of which events were dropped."""
        self.ended: Ended | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, stream: str) -> None:
        """Also hear this stream, from the next event on."""
        if self.ended is None and stream not in self.streams:
            self.streams.add(stream)
            self._hub.add(self, stream)

    def drop(self, stream: str) -> None:
        """Hear this stream no longer; what waits of it is forgotten."""
        if stream in self.streams:
            self.streams.discard(stream)
            self._hub.drop(self, stream)
            for event in [one for one in self._queue.values() if one.stream == stream]:
                self._forget(event)

    def take_lost(self, key: str) -> bool:
        """Whether events of this key were dropped; from now on they are taken again."""
        if key in self.lost:
            self.lost.discard(key)
            return True
        return False

    def close(self, why: Ended = "closed") -> None:
        """Stops hearing; iteration ends and what waits is forgotten. Again: nothing."""
        if self.ended is not None:
            return
        self.ended = why
        self._hub.leave(self)
        self._queue.clear()
        self._latest.clear()
        self._soft.clear()
        self.wake()

    def wake(self) -> None:
        """Lets a waiting `batch` return, with nothing if nothing is there."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def batch(self, limit: int = 64) -> list[Event]:
        """What waits, at most `limit`, oldest first; waits for something to come.

        Empty after `wake`, and always once the subscription has ended.
        """
        if not self._queue and self.ended is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.waiting(limit)

    def waiting(self, limit: int = 64) -> list[Event]:
        """What waits now, at most `limit`, oldest first."""
        queue = self._queue
        if len(queue) <= limit:
            taken = list(queue.values())
            queue.clear()
            self._latest.clear()
            self._soft.clear()
            self._repeats = 0
            self._warned = False
            return taken
        return [self._pop() for _ in range(limit)]

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self.ended is not None:
                raise StopAsyncIteration
            await self.batch(0)
        return self._pop()

    def offer(self, event: Event) -> bool:
        """Takes an event that was committed. False: there is no room, this reader must end."""
        audience = event.audience
        if audience is not None and self.reader not in (audience, EVERYBODY):
            return True
        queue = self._queue
        size = len(queue)
        if size >= self._warn_from and not self._warned:
            self._warned = True
            _log.warning("a reader of events is slow: %d of %d wait", size, self.capacity)
        if self._backpressure.strategy == "coalesce":
            taken = self._coalesce(event)
        else:
            taken = self._drop_or_take(event)
        if taken and self._waiter is not None:
            self.wake()
        return taken

    def _coalesce(self, event: Event) -> bool:
        """Queues an event, merged if there is cause. False: the queue is full."""
        queue = self._queue
        name = None if event.key is None else f"{event.stream}\0{event.key}"
        before = None if name is None else self._latest.get(name)
        if before is not None and name is not None:
            if len(queue) >= self._merging_from:
                merged = self._backpressure.merge(queue[before], event)
                if merged is not None:
                    del queue[before]
                    queue[event.seq] = merged
                    self._latest[name] = event.seq
                    return True
            self._repeats += 1
        if len(queue) >= self.capacity and not self._compact():
            return False
        queue[event.seq] = event
        if name is not None:
            self._latest[name] = event.seq
        return True

    def _compact(self) -> bool:
        """Merges all that can be, in one pass; whether there is room now.

        A pass is paid for by the events that came in unmerged since the last one.
        """
        if not self._repeats:
            return False
        self._repeats = 0
        newest: dict[str, Event] = {}
        for event in list(self._queue.values()):
            if event.key is None:
                continue
            name = f"{event.stream}\0{event.key}"
            older = newest.get(name)
            merged = None if older is None else self._backpressure.merge(older, event)
            if merged is not None and older is not None:
                del self._queue[older.seq]
                self._queue[event.seq] = merged
            newest[name] = merged or event
        return len(self._queue) < self.capacity

    def _drop_or_take(self, event: Event) -> bool:
        kind = self._backpressure.kind(event)
        soft = kind == "token" or (
            kind == "system" and self._backpressure.strategy == "drop_tokens_and_system"
        )
        key = event.key or event.type
        if kind == "token" and key in self.lost:
            return True
        if len(self._queue) >= self.capacity:
            if soft:
                self._lose(event, kind)
                return True
            if not self._soft:
                return False
            number, _ = self._soft.popitem(last=False)
            dropped = self._queue.pop(number)
            self._lose(dropped, self._backpressure.kind(dropped))
        self._queue[event.seq] = event
        if soft:
            self._soft[event.seq] = None
        return True

    def _lose(self, event: Event, kind: Kind) -> None:
        if kind == "token":
            self.lost.add(event.key or event.type)

    def _pop(self) -> Event:
        number, event = self._queue.popitem(last=False)
        self._soft.pop(number, None)
        if event.key is not None and self._latest:
            name = f"{event.stream}\0{event.key}"
            if self._latest.get(name) == number:
                del self._latest[name]
            elif self._repeats:
                self._repeats -= 1
        if self._warned and len(self._queue) < self.capacity // 2:
            self._warned = False
        return event

    def _forget(self, event: Event) -> None:
        self._queue.pop(event.seq, None)
        self._soft.pop(event.seq, None)
        if event.key is not None:
            name = f"{event.stream}\0{event.key}"
            if self._latest.get(name) == event.seq:
                del self._latest[name]
