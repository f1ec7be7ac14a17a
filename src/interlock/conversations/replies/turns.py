"""Whose reply is made next: so many at a time, fair among people, in order within a lane.

A lane is one agent in one thread: its replies are made one after the other, oldest first. Among
lanes that are free, the person with the fewest replies being made comes first, and among those
whoever was served longest ago. One person's hundred questions keep nobody else waiting.

Counts what this process makes. Source: conversations.md section 12.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

__all__ = ["Turns"]


@dataclass(slots=True, eq=False)
class _Waiting:
    person: str
    lane: str
    order: str
    granted: "asyncio.Future[None]"


class Turns:
    """Gives out turns."""

    def __init__(self, most: int) -> None:
        """`most`: how many turns are taken at a time."""
        self._most = most
        self._waiting: list[_Waiting] = []
        self._lanes: set[str] = set()
        self._people: Counter[str] = Counter()
        self._served: dict[str, int] = {}
        self._count = 0

    @asynccontextmanager
    async def turn(self, person: str, lane: str, order: str) -> AsyncIterator[None]:
        """Waits for a turn and has it; `order` sorts replies of one lane, oldest first."""
        granted = asyncio.get_running_loop().create_future()
        mine = _Waiting(person, lane, order, granted)
        self._waiting.append(mine)
        self._grant()
        try:
            await granted
            yield
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
            else:
                self._release(mine)

    def _grant(self) -> None:
        while self._waiting and len(self._lanes) < self._most:
            oldest: dict[str, _Waiting] = {}
            for one in self._waiting:
                known = oldest.get(one.lane)
                if one.lane not in self._lanes and (known is None or one.order < known.order):
                    oldest[one.lane] = one
            if not oldest:
                return
            following = min(oldest.values(), key=self._rank)
            self._waiting.remove(following)
            self._lanes.add(following.lane)
            self._people[following.person] += 1
            self._count += 1
            self._served[following.person] = self._count
            if not following.granted.done():
                following.granted.set_result(None)

    def _rank(self, one: _Waiting) -> tuple[int, int, str]:
        return self._people[one.person], self._served.get(one.person, 0), one.order

    def _release(self, mine: _Waiting) -> None:
        self._lanes.discard(mine.lane)
        self._people[mine.person] -= 1
        if not self._people[mine.person]:
            del self._people[mine.person]
        if not self._waiting:
            self._served.clear()  # nobody waits: there is nothing to be fair about
        self._grant()
