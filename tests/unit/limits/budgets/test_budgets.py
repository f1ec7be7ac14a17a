import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import redis.asyncio as redis
from hypothesis import given
from hypothesis import strategies as st
from tests.support.scratch_redis import REDIS_URL, scratch_redis

from interlock.identity.audit import AuditLog
from interlock.identity.model import Actor, KeyInfo, KeyLimits
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.limits.budgets.admin import BudgetAdmin, checked
from interlock.limits.budgets.errors import (
    BudgetNotFoundError,
    BudgetReservedError,
    BudgetSpentError,
    InvalidBudgetError,
)
from interlock.limits.budgets.metrics import BudgetMetrics
from interlock.limits.budgets.model import EVERY, BudgetSpec, Estimate, Kind, window_of
from interlock.limits.budgets.service import Budgets, Held
from interlock.limits.budgets.shared import RedisTally
from interlock.limits.budgets.tally import Count, Hold, MemoryTally, Tally, fits
from interlock.limits.counters import CountersUnavailable
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio

ACTOR = Actor(name="test", surface="cli")
CENT = Estimate(usd=0.01, tokens=100)


class FrozenClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.at = datetime(2031, 1, 31, 23, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


class Site:
    """Budgets of one process on a store."""

    def __init__(self, database: Database, tally: Tally, *, month: float | None = None) -> None:
        self.clock = FrozenClock()
        self.database = database
        self.ledger: dict[tuple[str, str], tuple[float, float]] = {}
        self.refused: list[tuple[str, str, float]] = []
        self.admin = BudgetAdmin(database, AuditLog(database, self.clock), self.clock)
        self.budgets = Budgets(
            database,
            tally,
            self.clock,
            ledger=self._spent,
            metrics=BudgetMetrics(lambda _: None),
            key_month=month,
            refused=lambda key, what, amount, wait: self.refused.append((key.id, what, wait)),
        )
        self._calls = 0

    async def _spent(self, kind: Kind, subject: str, since: float) -> tuple[float, float] | None:
        return self.ledger.get((kind, subject))

    async def put(self, **spec: object) -> str:
        values = {"unit": "usd", "period": "month", **spec}
        made = await self.admin.put(ACTOR, BudgetSpec(**values))  # type: ignore[arg-type]
        await self.budgets.load()
        return made.id

    async def begin(self, key: KeyInfo, estimate: Estimate = CENT, call: str = "") -> Held:
        self._calls += 1
        name = call or f"call {id(self)} {self._calls}"
        return await self.budgets.hold(name, key, self.budgets.needs(key), estimate)

    async def call(self, key: KeyInfo, usd: float, tokens: float = 10) -> Held:
        """A whole call that used this."""
        held = await self.begin(key)
        self.budgets.used(held.call, tokens=tokens, usd=usd)
        self.budgets.settle(held)
        await self.budgets.close()
        return held


def make_key(name: str = "key-1", **more: object) -> KeyInfo:
    values: dict[str, object] = {"account_id": "acc-1", "user_id": "user-1", **more}
    return KeyInfo(id=name, user_email="a@example.com", label="test", **values)  # type: ignore[arg-type]


@pytest.fixture(params=["memory", "redis"])
async def tally(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Tally]:
    del anyio_backend
    if request.param == "memory":
        yield MemoryTally()
        return
    async with scratch_redis() as (client, prefix):
        yield RedisTally(client, prefix=prefix)


@pytest.fixture
async def site(migrated_url: str, tally: Tally) -> AsyncIterator[Site]:
    database = Database(migrated_url)
    yield Site(database, tally)
    await database.close()


async def test_nobody_without_a_budget_is_held(site: Site) -> None:
    await site.put(kind="user", subject="somebody", amount=1)

    assert site.budgets.needs(make_key()) == ()


async def test_a_spent_budget_stops_until_its_window_ends(site: Site) -> None:
    await site.put(kind="user", subject="user-1", amount=1)
    key = make_key()
    await site.call(key, 0.4)
    await site.call(make_key("another key of the person"), 0.6)

    with pytest.raises(BudgetSpentError, match=r"your budget of \$1.00 for January 2031") as spent:
        await site.begin(key)
    site.clock.at += timedelta(hours=2)
    again = await site.begin(key)

    assert spent.value.error_kind is ErrorKind.QUOTA
    assert spent.value.error_code == "quota_exceeded"
    assert again.warnings == []
    assert site.refused == [("key-1", "usd", 3600.0)]


async def test_calls_under_way_cannot_overspend_together(site: Site) -> None:
    await site.put(kind="key", subject="key-1", amount=1)
    key = make_key()
    running = [await site.begin(key, Estimate(usd=0.3, tokens=1)) for _ in range(3)]

    with pytest.raises(BudgetReservedError) as refused:
        await site.begin(key, Estimate(usd=0.3, tokens=1))
    for held in running:
        site.budgets.used(held.call, tokens=1, usd=0.05)
        site.budgets.settle(held)
    await site.budgets.close()
    later = await site.begin(key, Estimate(usd=0.3, tokens=1))

    assert refused.value.retry_after_s
    assert later.model is None


async def test_alone_a_call_may_begin_while_anything_is_left(site: Site) -> None:
    await site.put(kind="account", subject="acc-1", amount=1, unit="tokens", period="day")
    held = await site.begin(make_key(), Estimate(usd=0, tokens=50_000))
    with pytest.raises(BudgetReservedError):
        await site.begin(make_key())
    site.budgets.used(held.call, tokens=7, usd=None)
    site.budgets.settle(held)
    await site.budgets.close()

    with pytest.raises(BudgetSpentError, match="budget of the account of 1 tokens for 2031-01-31"):
        await site.begin(make_key())


async def test_a_refused_call_reserves_nothing_of_its_other_budgets(site: Site) -> None:
    first = await site.put(kind="user", subject="user-1", amount=9)
    await site.put(kind="account", subject="acc-1", amount=1)
    await site.call(make_key(), 1.0)
    with pytest.raises(BudgetSpentError):
        await site.begin(make_key())
    state = await site.budgets.state(await site.admin.one(first), "user-1")

    assert (state.spent, state.reserved, state.left) == (1.0, 0.0, 8.0)


async def test_a_warning_is_told_and_stops_nobody(site: Site) -> None:
    await site.put(kind="group", subject="sales", amount=1, action="warn", warn_at=0.5)
    key = make_key(groups=frozenset({"sales"}))
    quiet = await site.call(key, 0.5)
    near = await site.call(key, 2.0)
    over = await site.begin(key)

    assert quiet.warnings == []
    assert near.warnings == ["50% of the budget of your group of $1.00 for January 2031 is used"]
    assert [one[:4] for one in over.warnings] == ["250%"]
    assert site.budgets.needs(make_key()) == ()


async def test_a_cheaper_model_is_asked_when_the_money_is_gone(site: Site) -> None:
    await site.put(kind="key", subject=EVERY, amount=1, action="cheaper", model="small")
    before = await site.call(make_key(), 1.0)
    after = await site.call(make_key(), 0.1)
    another = await site.call(make_key("key-2"), 0.1)

    assert [before.model, after.model, another.model] == [None, "small", None]


async def test_an_own_budget_takes_the_place_of_the_one_for_every_subject(site: Site) -> None:
    await site.put(kind="user", subject=EVERY, amount=1)
    await site.put(kind="user", subject="user-1", amount=5)
    await site.call(make_key(), 1.5)
    held = await site.begin(make_key())
    await site.call(make_key("k", user_id="user-2"), 1.5)
    with pytest.raises(BudgetSpentError):
        await site.begin(make_key("k", user_id="user-2"))

    assert held.warnings == []


async def test_a_month_of_a_key_is_a_budget_and_the_smaller_one_counts(
    migrated_url: str, tally: Tally
) -> None:
    database = Database(migrated_url)
    site = Site(database, tally, month=9)
    await site.put(kind="key", subject="key-1", amount=50)
    key = make_key(limits=KeyLimits(monthly_cost=2))
    await site.call(key, 2.0)
    with pytest.raises(BudgetSpentError, match=r"the key's budget of \$2.00"):
        await site.begin(key)
    other = make_key("key-2")
    await site.call(other, 9.0)
    with pytest.raises(BudgetSpentError, match=r"\$9.00"):
        await site.begin(other)
    await database.close()


async def test_what_was_spent_survives_a_restart_and_the_ledger_knows_the_rest(
    site: Site,
) -> None:
    await site.put(kind="group", subject="sales", amount=2)
    await site.put(kind="user", subject="user-1", amount=2)
    key = make_key(groups=frozenset({"sales"}))
    await site.call(key, 1.0)
    restarted = Site(site.database, MemoryTally())
    restarted.ledger["user", "user-1"] = (2.5, 0)  # the last call was not stored before the kill
    await restarted.budgets.load()

    with pytest.raises(BudgetSpentError, match="your budget"):
        await restarted.begin(key)
    restarted.ledger.clear()
    fresh = Site(site.database, MemoryTally())
    await fresh.budgets.load()
    held = await fresh.begin(key)
    states = [
        await fresh.budgets.state(need.budget, need.subject) for need in fresh.budgets.needs(key)
    ]

    assert held.warnings == []
    assert [(one.spent, one.reserved) for one in states] == [(1.0, 0.01)] * 2


async def test_two_processes_without_redis_learn_of_each_other(migrated_url: str) -> None:
    database = Database(migrated_url)
    one, other = Site(database, MemoryTally()), Site(database, MemoryTally())
    await one.put(kind="user", subject="user-1", amount=1)
    await other.budgets.load()
    await one.call(make_key(), 0.1)
    await other.call(make_key(), 0.2)
    await one.call(make_key(), 0.8)

    with pytest.raises(BudgetSpentError):
        await one.begin(make_key())
    await other.call(make_key(), 0.0)
    await other.call(make_key(), 0.1)
    with pytest.raises(BudgetSpentError):
        await other.begin(make_key())
    await database.close()


async def test_a_count_that_redis_forgot_is_begun_again(migrated_url: str) -> None:
    database = Database(migrated_url)
    async with scratch_redis() as (client, prefix):
        site = Site(database, RedisTally(client, prefix=prefix))
        await site.put(kind="user", subject="user-1", amount=1)
        held = await site.begin(make_key())
        await site.call(make_key(), 1.0)
        async for name in client.scan_iter(f"{prefix}*"):
            await client.delete(name)
        site.budgets.used(held.call, tokens=1, usd=0.5)
        site.budgets.settle(held)
        await site.budgets.close()
        with pytest.raises(BudgetSpentError):
            await site.begin(make_key())
        state = await site.budgets.state((await site.admin.all())[0], "user-1")
    await database.close()

    assert state.spent == 1.5


async def test_a_caller_with_a_budget_waits_while_nobody_can_count(migrated_url: str) -> None:
    database = Database(migrated_url)
    nowhere = redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.5)
    site = Site(database, RedisTally(nowhere, prefix="x"))
    await site.put(kind="user", subject="user-1", amount=1)
    with pytest.raises(CountersUnavailable):
        await site.begin(make_key())
    assert site.budgets.needs(make_key(user_id="user-2")) == ()
    await nowhere.aclose()
    await database.close()


_PROCESS = """
import asyncio, sys
import redis.asyncio as redis
from interlock.limits.budgets.shared import RedisTally
from interlock.limits.budgets.tally import Hold

async def main():
    url, prefix, number = sys.argv[1:]
    client = redis.from_url(url)
    tally = RedisTally(client, prefix=prefix)
    await tally.begin("b", 0.0, ends_at=2e9)
    hold = Hold(name="b", amount=30.0, want=1.0, strict=True, ends_at=2e9)
    admitted = 0
    for turn in range(40):
        refused, _ = await tally.hold(f"{number} {turn}", [hold])
        if refused is None:
            admitted += 1
            if turn % 2:
                await tally.settle(f"{number} {turn}", [hold], [1.0])
    await client.aclose()
    print(admitted)

asyncio.run(main())
"""


async def test_four_processes_spend_exactly_one_budget() -> None:
    async with scratch_redis() as (_, prefix):
        running = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _PROCESS,
                REDIS_URL,
                prefix,
                str(number),
                stdout=asyncio.subprocess.PIPE,
            )
            for number in range(4)
        ]
        said = await asyncio.gather(*(process.communicate() for process in running))

    assert sum(int(out) for out, _ in said) == 30


async def test_changes_are_in_the_audit_log_and_found_by_their_place(site: Site) -> None:
    made = await site.put(kind="user", subject=" user-1 ", amount=1)
    changed = await site.put(kind="user", subject="user-1", amount=2, action="warn")
    (found,) = await site.admin.all()
    await site.admin.remove(ACTOR, made)
    with pytest.raises(BudgetNotFoundError):
        await site.admin.remove(ACTOR, made)
    await site.budgets.load()
    entries = await AuditLog(site.database, site.clock).entries()

    assert changed == made == found.id
    assert (found.spec.amount, found.spec.action) == (2, "warn")
    assert [one.action for one in entries] == ["budget.remove", "budget.set", "budget.set"]
    assert site.budgets.needs(make_key()) == ()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": float("nan")}, "amount"),
        ({"subject": " "}, "subject"),
        ({"subject": "x" * 129}, "subject"),
        ({"kind": "planet"}, "kind"),
        ({"unit": "yen"}, "unit"),
        ({"period": "hour"}, "period"),
        ({"action": "pray"}, "action"),
        ({"action": "cheaper"}, "model"),
        ({"model": "small"}, "model"),
        ({"action": "cheaper", "model": "a,b"}, "model"),
        ({"warn_at": 1.5}, "warn_at"),
    ],
)
def test_what_is_no_budget_is_refused_by_its_field(change: dict[str, object], field: str) -> None:
    values = {"kind": "user", "subject": "u", "unit": "usd", "period": "day", "amount": 1, **change}
    with pytest.raises(InvalidBudgetError) as refused:
        checked(BudgetSpec(**values))  # type: ignore[arg-type] # what no type allows

    assert refused.value.param == field


@given(
    amount=st.floats(0.1, 100),
    wants=st.lists(st.floats(0, 50), max_size=12),
    share=st.floats(0, 1),
)
def test_reservations_never_exceed_a_budget_but_for_one_call(
    amount: float, wants: list[float], share: float
) -> None:
    spent, held = share * amount, list[float]()
    for want in wants:
        if fits(amount, want, Count(spent=spent, reserved=sum(held))):
            held.append(want)

    assert spent + sum(held) <= max(amount, spent + max(held, default=0.0)) + 1e-9
    assert not held or spent < amount


@pytest.mark.parametrize(
    ("at", "day", "month"),
    [
        ("2026-02-28T23:59:59+00:00", "2026-02-28", "February 2026"),
        ("2026-03-01T00:30:00+02:00", "2026-02-28", "February 2026"),
        ("2026-12-31T12:00:00+00:00", "2026-12-31", "December 2026"),
    ],
)
def test_windows_are_days_and_months_of_utc(at: str, day: str, month: str) -> None:
    now = datetime.fromisoformat(at)
    days, months = window_of("day", now), window_of("month", now)

    assert (days.words, months.words) == (day, month)
    assert days.ends_at - days.starts_at == 86_400
    assert months.starts_at <= days.starts_at < days.ends_at <= months.ends_at


def test_errors_say_nothing_of_other_subjects() -> None:
    spec = BudgetSpec(kind="group", subject="secret-team", unit="usd", period="day", amount=3)
    error: InterlockError = BudgetSpentError(spec, window_of("day", datetime.now(UTC)))

    assert "secret-team" not in f"{error}{error.details}"


def test_a_hold_of_one_name_by_two_calls_is_two_holds() -> None:
    async def run() -> list[Count]:
        tally = MemoryTally()
        hold = Hold(name="n", amount=10, want=2, strict=True, ends_at=0)
        await tally.begin("n", 1, ends_at=0)
        await tally.hold("a", [hold])
        await tally.hold("b", [hold])
        both = await tally.look("n")
        await tally.settle("a", [hold], [3])
        return [both, await tally.look("n")]

    assert asyncio.run(run()) == [Count(spent=1, reserved=4), Count(spent=4, reserved=2)]
