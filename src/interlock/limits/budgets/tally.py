"""Counts what was spent and what is reserved, under names; in this process.

A name stands for one subject, unit and window. The rule of a reservation (`fits`) keeps what
calls under way may use together within the budget; alone, a call may begin while anything is
left, since nobody knows beforehand how much it will use.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

__all__ = ["Count", "CountsForgottenError", "Hold", "MemoryTally", "Tally", "fits"]

_CAPACITY: Final = 100_000


class CountsForgottenError(Exception):
    """Counts that had begun are gone, e.g. because Redis was restarted: `begin` them again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A part of a budget that a call reserves."""

    name: str
    amount: float
    """Of the budget."""
    want: float
    """Of the call."""
    strict: bool
    """False: the call is let through whatever is left."""
    ends_at: float
    """Seconds since the epoch; afterwards nobody asks for this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How far a name is."""

    spent: float
    reserved: float


def fits(amount: float, want: float, count: Count) -> bool:
    """Whether a call may begin."""
    if count.spent >= amount:
        return False
    return count.reserved <= 0 or count.spent + count.reserved + want <= amount


class Tally(Protocol):
    """Where counts are kept: in this process, or in Redis for all processes at once."""

    def knows(self, name: str) -> bool:
        """Whether a name has a count here; else `begin` it from what is stored."""
        ...

    async def begin(self, name: str, spent: float, *, ends_at: float) -> None:
        """Sets what was spent before anybody counted; later calls change nothing."""
        ...

    async def hold(self, call: str, holds: Sequence[Hold]) -> tuple[int | None, list[Count]]:
        """Reserves all of it or nothing, in one step.

        Returns the index of the first strict one that does not fit (None: reserved), and the
        counts as they were before. A call that never settles is forgotten after some time.

        Raises CountsForgottenError.
        """
        ...

    async def settle(self, call: str, holds: Sequence[Hold], used: Sequence[float]) -> None:
        """Puts what was used in the place of what was reserved."""
        ...

    async def look(self, name: str) -> Count:
        """The count of a name."""
        ...

    async def close(self) -> None:
        """Ends connections."""
        ...


class _Kept:
    __slots__ = ("held", "spent")

    def __init__(self, spent: float) -> None:
        self.spent = spent
        self.held: dict[str, float] = {}


class MemoryTally:
    """Counts in this process; bounded. What another process spends is learned by `learn`."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def knows(self, name: str) -> bool:
        """See `Tally`."""
        return name in self._kept

    async def begin(self, name: str, spent: float, *, ends_at: float) -> None:
        """See `Tally`."""
        del ends_at
        if name not in self._kept:
            self._kept[name] = _Kept(spent)
            if len(self._kept) > _CAPACITY:
                self._kept.popitem(last=False)

    def learn(self, name: str, spent: float) -> None:
        """What all processes together have spent, when that is more than is known here."""
        kept = self._kept.get(name)
        if kept is not None:
            kept.spent = max(kept.spent, spent)

    def names(self, most: int) -> list[str]:
        """Those used last."""
        return list(islice(reversed(self._kept), most))

    async def hold(self, call: str, holds: Sequence[Hold]) -> tuple[int | None, list[Count]]:
        """See `Tally`."""
        counts = [self._count(one.name) for one in holds]
        for index, (one, count) in enumerate(zip(holds, counts, strict=True)):
            if one.strict and not fits(one.amount, one.want, count):
                return index, counts
        for one in holds:
            self._of(one.name).held[call] = one.want
        return None, counts

    async def settle(self, call: str, holds: Sequence[Hold], used: Sequence[float]) -> None:
        """See `Tally`."""
        for one, amount in zip(holds, used, strict=True):
            kept = self._of(one.name)
            kept.held.pop(call, None)
            kept.spent += amount

    async def look(self, name: str) -> Count:
        """See `Tally`."""
        return self._count(name)

    async def close(self) -> None:
        """See `Tally`."""

    def _of(self, name: str) -> _Kept:
        kept = self._kept.get(name)
        if kept is None:
            kept = self._kept[name] = _Kept(0.0)
        self._kept.move_to_end(name)
        return kept

    def _count(self, name: str) -> Count:
        kept = self._kept.get(name)
        if kept is None:
            return Count(spent=0.0, reserved=0.0)
        return Count(spent=kept.spent, reserved=sum(kept.held.values()))
