"""Gives committed events to readers, in the order of their numbers, each exactly once.

Numbers have no holes. What arrives early (two transactions of this process whose ends
are noticed in the wrong order, another process's events that are still on their way)
waits for what is missing; what does not come is read from the log.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

from interlock.events.model import Event
from interlock.events.subscription import Backpressure, Subscription

__all__ = ["Dispatcher"]


class Dispatcher:
    """The readers of one process."""

    def __init__(self, keep: Callable[[Event], None] | None = None) -> None:
        self._by_stream: dict[str, dict[Subscription, None]] = {}
        self._choosy: dict[Subscription, Callable[[str], bool]] = {}
        self._early: dict[int, Event] = {}
        self._keep = keep
        self.gap = asyncio.Event()
        """Set while events wait for others that were committed before them."""
        self.head: int | None = None
        """Number of the last event that was given out; None: not known yet."""

    def __len__(self) -> int:
        """Open subscriptions."""
        return len({one for readers in self._by_stream.values() for one in readers}) + len(
            self._choosy
        )

    def start_at(self, seq: int) -> None:
        """Says what has happened before anybody listened; counts the first time."""
        if self.head is None:
            self.head = seq

    def subscribe(
        self,
        *,
        capacity: int,
        wanted: Callable[[str], bool] | Collection[str],
        reader: str | None,
        backpressure: Backpressure,
    ) -> Subscription:
        """See `EventLog.subscribe`."""
        made = Subscription(self, capacity=capacity, reader=reader, backpressure=backpressure)
        if callable(wanted):
            self._choosy[made] = wanted
        else:
            for stream in wanted:
                made.add(stream)
        return made

    def add(self, subscription: Subscription, stream: str) -> None:
        """For `Subscription.add`."""
        self._by_stream.setdefault(stream, {})[subscription] = None

    def drop(self, subscription: Subscription, stream: str) -> None:
        """For `Subscription.drop`."""
        readers = self._by_stream.get(stream)
        if readers is not None:
            readers.pop(subscription, None)
            if not readers:
                del self._by_stream[stream]

    def leave(self, subscription: Subscription) -> None:
        """For `Subscription.close`."""
        for stream in subscription.streams:
            self.drop(subscription, stream)
        self._choosy.pop(subscription, None)

    def close(self) -> None:
        """Ends all subscriptions."""
        for readers in list(self._by_stream.values()):
            for one in list(readers):
                one.close("stopped")
        for one in list(self._choosy):
            one.close("stopped")

    def offer(self, events: Sequence[Event]) -> None:
        """Takes committed events, in any order, also twice."""
        for event in events:
            if self.head is None:
                self.head = event.seq - 1
            if event.seq == self.head + 1:
                self._deliver(event)
                if self._early:
                    self._follow()
            elif event.seq > self.head:
                self._early[event.seq] = event
        if self._early:
            self.gap.set()

    def missing(self) -> tuple[int, int] | None:
        """Numbers (after, up to) that something waits for; None: nothing waits."""
        if not self._early or self.head is None:
            return None
        return self.head, min(self._early) - 1

    def advance(self, events: Sequence[Event], up_to: int) -> None:
        """Takes all there is up to a number, in order: what is not among it is gone."""
        for event in events:
            if self.head is None or event.seq > self.head:
                self._deliver(event)
        self.head = up_to if self.head is None else max(self.head, up_to)
        for number in [number for number in self._early if number <= self.head]:
            del self._early[number]
        self._follow()

    def _follow(self) -> None:
        while self.head is not None:
            event = self._early.pop(self.head + 1, None)
            if event is None:
                break
            self._deliver(event)
        if not self._early:
            self.gap.clear()

    def _deliver(self, event: Event) -> None:
        self.head = event.seq
        if self._keep is not None:
            self._keep(event)
        full: list[Subscription] = []
        for one in self._by_stream.get(event.stream, ()):
            if not one.offer(event):
                full.append(one)
        for one, wanted in self._choosy.items():
            if wanted(event.stream) and not one.offer(event):
                full.append(one)
        for one in full:
            one.close("slow")
