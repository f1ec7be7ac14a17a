"""Streams whose events are numbered: what follows an undecided call has to wait for it.

In Messages blocks are numbered, in Responses items and events are. Whether a call
leaves decides the number of all that follows, so events after a held call queue up
behind it and are written, with their numbers, once it is decided. Before the first
call nothing waits and nothing is written anew.
"""

from collections import deque
from functools import partial
from typing import Any, Literal

from interlock.providers.wire.model import ToolCall
from interlock.providers.wire.relay.events import Event, EventRelay, HeldBytes

__all__ = ["HeldCall", "OrderedRelay"]

Tree = dict[str, Any]


class HeldCall(HeldBytes):
    """A call in the queue: `open` while it is told, `held` until it is decided."""

    __slots__ = ("arguments", "call", "key", "our_id", "start", "state", "told")

    def __init__(self, key: int, start: Tree) -> None:
        super().__init__()
        self.key = key
        """Its index in the upstream's numbering."""
        self.start = start
        """Its block or item as it opened."""
        self.told: list[Event] = []
        """Its events that are not mere pieces of arguments."""
        self.call: ToolCall | None = None
        self.our_id = ""
        self.arguments: str | None = None
        """What the client sees instead of the model's arguments."""
        self.state: Literal["open", "held", "released", "dropped"] = "open"


class OrderedRelay(EventRelay):
    """The queue; a format renders what leaves it."""

    def __init__(self, *, max_held_bytes: int) -> None:
        super().__init__(max_held_bytes=max_held_bytes)
        self._queue: deque[Event | HeldCall] = deque()
        self._calls: list[HeldCall] = []
        self._released = 0

    def _render(self, event: Event) -> bytes:
        """An event as the client gets it, numbers and all."""
        raise AssertionError("a format renders its events")

    def _render_call(self, call: HeldCall) -> bytes:
        """A released call as the client gets it."""
        raise AssertionError("a format renders its calls")

    def _put(self, event: Event) -> bool:
        """Sends an event, or queues it behind an undecided call; whether it left unchanged."""
        if self._queue:
            self._queue.append(event)
            self._keep(len(event.raw))
            return False
        data = self._render(event)
        self._emit(data)
        return data is event.raw

    def _put_call(self, call: HeldCall) -> None:
        """Opens a call: everything after it waits."""
        self._queue.append(call)
        self._calls.append(call)
        self._forget()

    def _held_whole(self, held: HeldCall, call: ToolCall) -> None:
        """A call is complete: ask for its decision."""
        held.call = call
        held.state = "held"
        self._forget()
        self._hold(call, partial(self._release, held))

    def _release(self, held: HeldCall, our_id: str, arguments: str | None = None) -> bytes:
        if held.state == "held":
            held.state = "released"
            held.our_id = our_id
            held.arguments = arguments
        return self._leaving()

    def drop(self, call: ToolCall) -> None:
        """See `StreamRelay.drop`."""
        for held in self._calls:
            if held.state == "held" and held.call is not None and held.call.id == call.id:
                held.state = "dropped"

    def _leaving(self) -> bytes:
        """Everything at the front of the queue that waits for no decision."""
        out: list[bytes] = []
        queue = self._queue
        while queue:
            first = queue[0]
            if isinstance(first, Event):
                out.append(self._render(first))
            elif first.state == "released":
                out.append(self._render_call(first))
                self._released += 1
            elif first.state != "dropped":
                break
            queue.popleft()
        if not queue:
            self._held = 0
        return b"".join(out)

    def _before(self) -> None:
        if self._queue:
            self._emit(self._leaving())

    def _drained(self) -> bytes:
        """The queue at the end: calls nobody decided are dropped."""
        for held in self._calls:
            if held.state in ("open", "held"):
                held.state = "dropped"
        return self._leaving()

    def _restart(self) -> None:
        """State of a round, for the next one."""
        self._over = False
        self._buffer.clear()
        self._held = 0
        self._recorded = 0
        self._calls = []
        self._forget()
