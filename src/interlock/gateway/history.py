"""What people ask of the ledger and the decision log: lists, single records, sums, clean-up."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import ClassVar

from msgspec import Struct

from interlock.gateway.records import DecisionRecord, SessionRecord
from interlock.gateway.repository import (
    DecisionFilter,
    DecisionRepository,
    GroupBy,
    SessionRepository,
    UsageRepository,
    UsageSum,
)
from interlock.gateway.tallies import Tally, TallyBy, TallyRepository
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.storage.engine import Database

__all__ = [
    "DecisionFilter",
    "DecisionNotFoundError",
    "DecisionPage",
    "GroupBy",
    "History",
    "InvalidPageError",
    "Purged",
    "Tally",
    "TallyBy",
    "UsageSum",
]

_DAY_S = 86_400.0
_TAIL_ROWS = 500
_OVERLAP_S = 5.0
_LATE_S = 86_400.0
"""How much later than it was made a decision may be stored: a full disk, a stopped store."""
_SEEN = 20_000
_READ_ROWS = 200


class DecisionNotFoundError(InterlockError):
    """Raised for an unknown decision, or one of another account."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "decision_not_found"

    def __init__(self, decision_id: str) -> None:
        super().__init__(f"no decision `{decision_id}`")


class InvalidPageError(InterlockError):
    """Raised for a page token that was not handed out here."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_page"

    def __init__(self, page: str) -> None:
        super().__init__(f"`{page[:80]}` is not a page", param="page")


class DecisionPage(Struct, frozen=True, kw_only=True):
    """Decisions, newest first."""

    decisions: list[DecisionRecord]
    next: str | None
    """Page token of the rest; None: there is none."""


class Purged(Struct, frozen=True, kw_only=True):
    """Rows a clean-up removed."""

    decisions: int
    values: int
    """Decisions whose values were removed."""
    usage: int
    sessions: int


class History:
    """Reads of what the recorder wrote."""

    def __init__(self, database: Database) -> None:
        self._decisions = DecisionRepository(database)
        self._tallies = TallyRepository(database)
        self._usage = UsageRepository(database)
        self._sessions = SessionRepository(database)
        self._values_gone_to = 0.0

    async def decisions(
        self, wanted: DecisionFilter, *, limit: int = 50, page: str | None = None
    ) -> DecisionPage:
        """Decisions, newest first; `page` continues a list with the same filter.

        Raises:
            InvalidPageError: the token is not one of ours.
        """
        before = None if page is None else _position(page)
        found = await self._decisions.page(wanted, limit=limit + 1, before=before)
        more = len(found) > limit
        found = found[:limit]
        return DecisionPage(
            decisions=found, next=f"{found[-1].at!r}:{found[-1].id}" if more else None
        )

    async def decision(self, decision_id: str, *, account_id: str | None = None) -> DecisionRecord:
        """One decision.

        Raises:
            DecisionNotFoundError: none, or none in the account.
        """
        found = await self._decisions.one(decision_id, account_id=account_id)
        if found is None:
            raise DecisionNotFoundError(decision_id)
        return found

    async def session(self, session_id: str) -> SessionRecord | None:
        """A session as it is stored; None: it is not."""
        return await self._sessions.session(session_id)

    async def count(self, wanted: DecisionFilter, *, at_most: int | None = None) -> int:
        """How many decisions a filter finds; with `at_most`, one more than that means more."""
        return await self._decisions.count(wanted, at_most=at_most)

    async def tally(self, wanted: DecisionFilter, by: TallyBy, *, limit: int = 12) -> list[Tally]:
        """Decisions counted by a column, most first."""
        return await self._tallies.by(wanted, by, limit=limit)

    async def series(
        self, wanted: DecisionFilter, *, step_s: float
    ) -> list[tuple[float, str, int]]:
        """Start of a step (epoch seconds), verdict, count; steps without decisions are absent."""
        return await self._tallies.series(wanted, step_s=step_s)

    async def latency(self, wanted: DecisionFilter) -> tuple[float, float] | None:
        """Median and 99th percentile, in seconds, of the newest 2,000 decisions; None: none."""
        return await self._tallies.latency(wanted)

    async def position(self, wanted: DecisionFilter, newest: int) -> tuple[float, str] | None:
        """Where the `newest` newest decisions begin: what `each` takes; None: at the oldest."""
        return await self._decisions.position(wanted, newest)

    async def each(
        self, wanted: DecisionFilter, *, after: tuple[float, str] | None = None
    ) -> AsyncIterator[DecisionRecord]:
        """Every decision, oldest first, read some at a time. Give `until`, or it may not end."""
        after = after or (0.0, "")
        while True:
            found = await self._decisions.page(wanted, limit=_READ_ROWS, after=after)
            for record in found:
                yield record
            if len(found) < _READ_ROWS:
                return
            after = (found[-1].at, found[-1].id)

    async def follow(
        self, wanted: DecisionFilter, *, last: int = 10, poll_s: float = 1.0
    ) -> AsyncGenerator[DecisionRecord, None]:
        """The `last` decisions, oldest first, then new ones as they are stored, without end.

        Groups of several processes are stored out of order by a little, so each look goes
        back some seconds and what was shown is remembered.
        """
        newest = await self._decisions.page(wanted, limit=last) if last else []
        latest = newest[:1] or await self._decisions.page(DecisionFilter(), limit=1)
        position = (latest[0].at, latest[0].id) if latest else (0.0, "")
        # What is there already and not among the last ones is not news.
        around = await self._decisions.page(
            wanted, limit=_SEEN, after=(position[0] - _OVERLAP_S, "")
        )
        seen = OrderedDict.fromkeys(record.id for record in (*reversed(newest), *around))
        for record in reversed(newest):
            yield record
        while True:
            after = (position[0] - _OVERLAP_S, "")
            while True:
                found = await self._decisions.page(wanted, limit=_TAIL_ROWS, after=after)
                for record in found:
                    after = (record.at, record.id)
                    position = max(position, after)
                    if record.id not in seen:
                        seen[record.id] = None
                        yield record
                if len(found) < _TAIL_ROWS:
                    break
            while len(seen) > _SEEN:
                seen.popitem(last=False)
            await asyncio.sleep(poll_s)

    async def usage(
        self,
        *,
        by: Sequence[GroupBy],
        since: float | None = None,
        until: float | None = None,
        account_id: str | None = None,
        key_id: str | None = None,
        model: str | None = None,
        provider: str | None = None,
    ) -> list[UsageSum]:
        """Usage summed by these groups, in group order; see `UsageRepository.sums`."""
        return await self._usage.sums(
            by=by,
            since=since,
            until=until,
            account_id=account_id,
            key_id=key_id,
            model=model,
            provider=provider,
        )

    async def spent(self, key_id: str, since: float) -> float:
        """Dollars spent on a key since then: the `SpentSoFar` of the limits."""
        return await self._usage.cost(key_id, since=since)

    async def purge(
        self,
        *,
        now: float,
        decision_days: float,
        usage_days: float,
        value_days: float | None = None,
    ) -> Purged:
        """Removes what has been kept long enough, in small transactions."""
        return Purged(
            decisions=await self._decisions.purge(before=now - decision_days * _DAY_S),
            values=await self._forget_values(now, value_days),
            usage=await self._usage.purge(before=now - usage_days * _DAY_S),
            sessions=await self._sessions.purge(now=now),
        )

    async def _forget_values(self, now: float, value_days: float | None) -> int:
        """Each pass looks at what became old since the last one; the first looks at all."""
        if value_days is None:
            return 0
        before = now - value_days * _DAY_S
        changed = await self._decisions.forget_values(
            since=self._values_gone_to, before=before, now=now
        )
        self._values_gone_to = before - _LATE_S
        return changed


def _position(page: str) -> tuple[float, str]:
    at, colon, name = page.partition(":")
    try:
        if colon and name:
            return float(at), name
    except ValueError:
        pass
    raise InvalidPageError(page)
