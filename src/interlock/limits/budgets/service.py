"""Decides whether a call may use models, reserves what it may cost, counts what it did cost.

What was used is counted when a call ends and is stored within a second; what a killed
process had not stored is found in the ledger again, but for groups, which the ledger does not
know. Fails closed: a caller with a budget whose count cannot be read is told to retry.

Source: architecture.md section 2.2.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from interlock.identity.model import KeyInfo
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.limits.budgets.errors import BudgetReservedError, BudgetSpentError, told
from interlock.limits.budgets.metrics import BudgetMetrics
from interlock.limits.budgets.model import (
    EVERY,
    Budget,
    BudgetSpec,
    BudgetState,
    Estimate,
    Kind,
    Window,
    window_of,
)
from interlock.limits.budgets.repository import BudgetRepository
from interlock.limits.budgets.tally import Count, CountsForgottenError, Hold, MemoryTally, Tally
from interlock.storage.engine import Database, in_time

__all__ = ["Budgets", "Held", "LedgerSpent", "Need", "name_of"]

LedgerSpent = Callable[[Kind, str, float], Awaitable[tuple[float, float] | None]]
"""(kind, subject, since) -> dollars and tokens in the ledger; None: it does not know."""

_READ_S: Final = 5.0
_FLUSH_S: Final = 1.0
_LOOK_S: Final = 2.0
_PURGE_TURNS: Final = 3600
_LEARNED: Final = 500
_LEDGERED: Final = frozenset({"key", "user", "account"})

_log = logging.getLogger("interlock.budgets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A budget that a caller's call counts against, and for whom."""

    budget: Budget
    subject: str


@dataclass(slots=True, kw_only=True)
class Held:
    """What one call has reserved, and what it has used so far."""

    call: str
    needs: Sequence[Need]
    holds: Sequence[Hold]
    model: str | None = None
    """To be asked instead of the one in the request."""
    warnings: Sequence[str] = ()
    """In words for the caller."""
    usd: float = 0.0
    tokens: float = 0.0


@dataclass(slots=True)
class _Owed:
    ends_at: float
    amount: float = 0.0


@dataclass(slots=True)
class _Index:
    edition: tuple[int, float] = (0, 0.0)
    by: dict[tuple[Kind, str], list[Budget]] = field(default_factory=dict)


class Budgets:
    """The budgets of a server. Run `run()` in a task group as long as calls are made."""

    def __init__(
        self,
        database: Database,
        tally: Tally,
        clock: Clock,
        *,
        ledger: LedgerSpent,
        metrics: BudgetMetrics,
        key_month: float | None = None,
        refused: Callable[[KeyInfo, str, float, float], None] | None = None,
    ) -> None:
        """`key_month`: dollars a month for keys that set none themselves; None: any.

        `refused` is told of refusals: caller, `usd` or `tokens`, the amount, seconds to wait.
        """
        self._database = database
        self._tally = tally
        self._clock = clock
        self._ledger = ledger
        self._metrics = metrics
        self._key_month = key_month
        self._refused = refused or (lambda *_: None)
        self._index = _Index()
        self._held: dict[str, Held] = {}
        self._owed: dict[str, _Owed] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self._warned: set[str] = set()

    # --- calls -------------------------------------------------------------------------

    def needs(self, key: KeyInfo) -> Sequence[Need]:
        """Which budgets hold for a caller; empty for most, in a few dictionary lookups."""
        month = key.limits.monthly_cost or self._key_month
        if month is None and not self._index.by:
            return ()
        found: dict[str, Need] = {}
        if month is not None:
            spec = BudgetSpec(kind="key", subject=key.id, unit="usd", period="month", amount=month)
            own = Budget(id="key", spec=spec, created_at=0.0, updated_at=0.0)
            found["key:usd:month"] = Need(budget=own, subject=key.id)
        if self._index.by:
            self._stored(key, found)
        return tuple(found.values())

    async def hold(
        self, call: str, key: KeyInfo, needs: Sequence[Need], estimate: Estimate
    ) -> Held:
        """Reserves what a call may use; `settle` it in any case. `call` is its request id.

        Raises:
            BudgetSpentError, BudgetReservedError: it may not begin.
            StoreUnavailable, CountersUnavailable: nobody can say.
        """
        now = self._clock.now()
        windows = [window_of(one.budget.spec.period, now) for one in needs]
        holds = [
            Hold(
                name=name_of(one, window),
                amount=one.budget.spec.amount,
                want=estimate.of(one.budget.spec.unit),
                strict=one.budget.spec.action == "stop",
                ends_at=window.ends_at,
            )
            for one, window in zip(needs, windows, strict=True)
        ]
        try:
            refused, counts = await self._begun(call, needs, holds, windows)
        except CountsForgottenError:
            refused, counts = await self._begun(call, needs, holds, windows)
        if refused is not None:
            spec, window = needs[refused].budget.spec, windows[refused]
            self._metrics.ended(spec, "stopped")
            self._refused(key, spec.unit, spec.amount, window.ends_at - now.timestamp())
            if counts[refused].spent >= spec.amount:
                raise BudgetSpentError(spec, window)
            raise BudgetReservedError(spec, window)
        held = Held(call=call, needs=needs, holds=holds)
        self._held[call] = held
        self._consequences(held, counts, windows)
        return held

    def used(self, call: str, *, tokens: float, usd: float | None) -> None:
        """Counts what a call has used of some model; one that holds nothing is not counted."""
        held = self._held.get(call)
        if held is not None:
            held.tokens += tokens
            held.usd += usd or 0.0

    def settle(self, held: Held) -> None:
        """The call has ended, however it did. Returns at once; needs a running loop."""
        self._held.pop(held.call, None)
        used = [held.usd if one.budget.spec.unit == "usd" else held.tokens for one in held.needs]
        for hold, amount in zip(held.holds, used, strict=True):
            if amount:
                owed = self._owed.setdefault(hold.name, _Owed(hold.ends_at))
                owed.amount += amount
        task = asyncio.get_running_loop().create_task(self._settle(held, used))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    # --- looking -----------------------------------------------------------------------

    async def state(self, budget: Budget, subject: str) -> BudgetState:
        """How far a budget is used for one subject. Raises StoreUnavailable."""
        need = Need(budget=budget, subject=subject)
        window = window_of(budget.spec.period, self._clock.now())
        name = name_of(need, window)
        if self._tally.knows(name):
            count = await self._tally.look(name)
        else:
            count = Count(spent=await self._spent_before(need, name, window), reserved=0.0)
        return BudgetState(
            budget=budget,
            subject=subject,
            spent=count.spent,
            reserved=count.reserved,
            starts_at=window.starts_at,
            resets_at=window.ends_at,
        )

    # --- running -----------------------------------------------------------------------

    async def load(self) -> None:
        """Reads the budgets. Raises StoreUnavailable."""
        async with self._database.read() as connection:
            repository = BudgetRepository(connection, self._database.dialect)
            edition = await repository.edition()
            if edition == self._index.edition:
                return
            found = await repository.all()
        index = _Index(edition)
        for one in found:
            index.by.setdefault((one.spec.kind, one.spec.subject), []).append(one)
        self._index = index

    async def run(self) -> None:
        """Stores what was used and notices changes, until cancelled; then stores the rest."""
        turns = 0
        try:
            while True:
                await asyncio.sleep(_FLUSH_S)
                turns += 1
                try:
                    await self.flush()
                    if turns % int(_LOOK_S / _FLUSH_S) == 0:
                        await self.load()
                        await self._others()
                    if turns % _PURGE_TURNS == 0:
                        await self._purge()
                except InterlockError as error:
                    _log.warning("budgets wait for the store: %s", error.message)
        finally:
            try:
                await self.close()
            except InterlockError as error:
                _log.warning("what was used of budgets was not stored: %s", error.message)

    async def flush(self) -> None:
        """Stores what was used. Raises StoreUnavailable; nothing is lost then."""
        if not self._owed:
            return
        owed, self._owed = self._owed, {}
        sums: dict[str, float] = {}
        try:
            async with self._database.transaction() as connection:
                repository = BudgetRepository(connection, self._database.dialect)
                for name in sorted(owed):  # one order for all processes
                    one = owed[name]
                    sums[name] = await repository.spend(name, one.amount, ends_at=one.ends_at)
        except BaseException:
            for name, one in owed.items():
                self._owed.setdefault(name, _Owed(one.ends_at)).amount += one.amount
            raise
        self._learn(sums)

    async def close(self) -> None:
        """Waits until everything used so far is counted and stored."""
        while self._settling:
            await asyncio.wait(self._settling)
        await self.flush()

    async def _others(self) -> None:
        """Learns what other processes have spent, where nothing counts for all of them."""
        if isinstance(self._tally, MemoryTally) and self._database.dialect == "postgresql":
            async with self._database.read() as connection:
                repository = BudgetRepository(connection, self._database.dialect)
                self._learn(await repository.spent(self._tally.names(_LEARNED)))

    def _learn(self, sums: Mapping[str, float]) -> None:
        if isinstance(self._tally, MemoryTally):
            for name, spent in sums.items():
                unstored = self._owed.get(name)
                self._tally.learn(name, spent + (0.0 if unstored is None else unstored.amount))

    # --- inside ------------------------------------------------------------------------

    def _stored(self, key: KeyInfo, found: dict[str, Need]) -> None:
        subjects: list[tuple[Kind, str]] = [
            ("key", key.id),
            ("user", key.user_id),
            *(("group", name) for name in sorted(key.groups)),
            ("account", key.account_id),
        ]
        for kind, subject in subjects:
            if not subject:
                continue
            own = self._index.by.get((kind, subject), ())
            every = self._index.by.get((kind, EVERY), ())
            ruled = {(one.spec.unit, one.spec.period) for one in own}
            for one in (
                *own,
                *(one for one in every if (one.spec.unit, one.spec.period) not in ruled),
            ):
                part = f":{subject}" if kind == "group" else ""
                place = f"{kind}{part}:{one.spec.unit}:{one.spec.period}"
                before = found.get(place)
                if before is None or one.spec.amount < before.budget.spec.amount:
                    found[place] = Need(budget=one, subject=subject)

    async def _begun(
        self, call: str, needs: Sequence[Need], holds: Sequence[Hold], windows: Sequence[Window]
    ) -> tuple[int | None, list[Count]]:
        for need, hold, window in zip(needs, holds, windows, strict=True):
            if not self._tally.knows(hold.name):
                async with in_time(_READ_S):
                    spent = await self._spent_before(need, hold.name, window)
                await self._tally.begin(hold.name, spent, ends_at=hold.ends_at)
        return await self._tally.hold(call, holds)

    async def _spent_before(self, need: Need, name: str, window: Window) -> float:
        """What was spent before this process counted."""
        async with self._database.read() as connection:
            repository = BudgetRepository(connection, self._database.dialect)
            stored = (await repository.spent([name])).get(name, 0.0)
        kind = need.budget.spec.kind
        if kind in _LEDGERED:
            known = await self._ledger(kind, need.subject, window.starts_at)
            if known is not None:
                stored = max(stored, known[0 if need.budget.spec.unit == "usd" else 1])
        return stored

    def _consequences(self, held: Held, counts: Sequence[Count], windows: Sequence[Window]) -> None:
        """What a call hears of its budgets, and whether a cheaper model is asked."""
        warnings = []
        for need, hold, count, window in zip(held.needs, held.holds, counts, windows, strict=True):
            spec = need.budget.spec
            spent = count.spent >= spec.amount
            if spent and spec.action == "cheaper" and held.model is None:
                held.model = spec.model
                self._metrics.ended(spec, "cheaper")
            if count.spent < spec.warn_at * spec.amount:
                continue
            share = f"{100 * count.spent / spec.amount:.0f}% of {told(spec, window)} is used"
            warnings.append(share)
            if hold.name not in self._warned:
                self._warned.add(hold.name)
                self._metrics.ended(spec, "warned")
                _log.warning("budget of a %s: %s", spec.kind, share)
        held.warnings = warnings

    async def _settle(self, held: Held, used: Sequence[float]) -> None:
        try:
            await self._tally.settle(held.call, held.holds, used)
        except InterlockError:
            _log.warning("what a call used could not be counted at once; it is stored")

    async def _purge(self) -> None:
        async with self._database.transaction() as connection:
            await BudgetRepository(connection, self._database.dialect).purge(
                before=self._clock.now().timestamp() - 400 * 86_400.0
            )
        self._warned.clear()


def name_of(need: Need, window: Window) -> str:
    """The name under which a budget's use is counted."""
    spec = need.budget.spec
    return f"{spec.kind}:{need.subject}:{spec.unit}:{spec.period}:{window.name}"
