"""Limit profiles in the store, and the requests they hold for."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from interlock.identity.audit import AuditLog
from interlock.identity.model import Actor
from interlock.kernel.errors import InterlockError
from interlock.limits.counters import MemoryCounters
from interlock.limits.errors import TooManyRequestsError
from interlock.limits.model import POSTING
from interlock.limits.profiles import LimitProfiles
from interlock.limits.routes import Asker, RouteLimits, RouteSettings
from interlock.limits.sightings import Sightings
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio

_ACTOR = Actor(name="ann@example.com", surface="chat")
_SLOW = {"requests_per_second": 0.001, "burst": 2}


class Clock:
    """A clock that stands still."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


def _limits(database: Database, **settings: float) -> RouteLimits:
    clock = Clock()
    given = RouteSettings(**settings)  # type: ignore[arg-type]
    return RouteLimits(database, MemoryCounters(clock), clock, given)


def _profiles(database: Database, changed: Callable[[], None] = lambda: None) -> LimitProfiles:
    clock = Clock()
    return LimitProfiles(database, AuditLog(database, clock), clock, changed=changed)


async def test_a_profile_is_made_changed_and_removed(database: Database) -> None:
    profiles = _profiles(database)
    made = await profiles.create(_ACTOR, name=" slow ", params=_SLOW, description="careful")
    kept = await profiles.change(_ACTOR, made.id, params=None)
    cleared = await profiles.change(
        _ACTOR, made.id, params={"requests_per_second": 9}, description=None
    )
    await profiles.delete(_ACTOR, made.id)

    assert (made.name, kept.params, kept.description) == ("slow", _SLOW, "careful")
    assert (cleared.params, cleared.description) == ({"requests_per_second": 9}, None)
    assert await profiles.profiles() == []
    entries = await AuditLog(database, Clock()).entries()
    assert [one.action for one in entries] == [
        "limit.delete",
        "limit.change",
        "limit.change",
        "limit.create",
    ]


@pytest.mark.parametrize(
    ("attempt", "code"),
    [
        (lambda p, i: p.create(_ACTOR, name=" ", params=_SLOW), "invalid_profile"),
        (lambda p, i: p.create(_ACTOR, name="b", params={}), "invalid_profile"),
        (lambda p, i: p.create(_ACTOR, name="a", params=_SLOW), "profile_name_taken"),
        (lambda p, i: p.change(_ACTOR, "no", params=_SLOW), "not_found"),
        (lambda p, i: p.change(_ACTOR, i, algorithm="leaky"), "invalid_profile"),
        (lambda p, i: p.delete(_ACTOR, "no"), "not_found"),
        (lambda p, i: p.delete(_ACTOR, i), "profile_in_use"),
        (lambda p, i: p.assign(_ACTOR, profile_id="no", method="GET", path="/"), "not_found"),
        (
            lambda p, i: p.assign(_ACTOR, profile_id=i, method="X", path="/"),
            "invalid_assignment",
        ),
        (lambda p, i: p.unassign(_ACTOR, "no"), "not_found"),
    ],
)
async def test_what_cannot_be_done_is_said(
    database: Database, attempt: Callable[..., object], code: str
) -> None:
    profiles = _profiles(database)
    made = await profiles.create(_ACTOR, name="a", params=_SLOW)
    await profiles.assign(_ACTOR, profile_id=made.id, method="get", path="/x")

    with pytest.raises(InterlockError) as caught:
        await attempt(profiles, made.id)  # type: ignore[misc]

    assert caught.value.error_code == code


async def test_a_route_moves_to_another_profile_under_the_same_id(database: Database) -> None:
    profiles = _profiles(database)
    first = await profiles.create(_ACTOR, name="a", params=_SLOW)
    second = await profiles.create(_ACTOR, name="b", params=_SLOW)

    one = await profiles.assign(_ACTOR, profile_id=first.id, method="get", path="api/x")
    two = await profiles.assign(_ACTOR, profile_id=second.id, method="GET", path="/api/x")

    assert one.id == two.id
    assert [(a.path_pattern, a.profile_name) for a in await profiles.assignments()] == [
        ("/api/x", "b")
    ]


async def test_posting_has_a_profile_that_stays(database: Database) -> None:
    profiles = _profiles(database)
    await profiles.first_start()
    await profiles.first_start()
    (posting,) = await profiles.profiles()

    with pytest.raises(InterlockError) as caught:
        await profiles.delete(_ACTOR, posting.id)

    assert (posting.name, posting.built_in) == (POSTING, True)
    assert caught.value.error_code == "profile_in_use"
    changed = await profiles.change(_ACTOR, posting.id, params=_SLOW)
    assert changed.params == _SLOW


async def test_a_change_holds_for_the_next_request_and_callers_do_not_share(
    database: Database,
) -> None:
    limits = _limits(database)
    profiles = _profiles(database, limits.changed)
    ann, bob = (Asker(address="192.0.2.1", user_id=one) for one in ("ann", "bob"))
    before = await limits.check("GET", "/api/x", ann)
    slow = await profiles.create(_ACTOR, name="slow", params=_SLOW)
    await profiles.assign(_ACTOR, profile_id=slow.id, method="GET", path="/api/*")

    ruled = [await limits.check("GET", "/api/x", one) for one in (ann, ann, ann, bob)]

    assert before is not None
    assert before.profile == "default"
    assert [one.verdict.allowed for one in ruled if one] == [True, True, False, True]
    assert {one.profile for one in ruled if one} == {"slow"}


async def test_log_ins_are_limited_per_address(database: Database) -> None:
    limits = _limits(database, login_per_minute=3)
    asked = [
        await limits.check("POST", "/api/auth/login", Asker(address=address))
        for address in ("192.0.2.1",) * 4 + ("192.0.2.2",)
    ]

    assert [one.verdict.allowed for one in asked if one] == [True, True, True, False, True]
    assert asked[0] is not None
    assert asked[0].profile == "auth_login"


async def test_administrators_cannot_lock_themselves_out(database: Database) -> None:
    limits = _limits(database)
    profiles = _profiles(database, limits.changed)
    slow = await profiles.create(_ACTOR, name="slow", params=_SLOW)
    await profiles.assign(_ACTOR, profile_id=slow.id, method="GET", path="/*")
    root = Asker(address="192.0.2.1", user_id="root")

    asked = [await limits.check("GET", "/api/admin/limits/profiles", root) for _ in range(14)]

    assert [one.verdict.allowed for one in asked if one] == [True] * 12 + [False] * 2


async def test_posting_is_counted_per_person_and_conversation(database: Database) -> None:
    limits = _limits(database)
    for _ in range(10):
        await limits.post("ann", "one")
    with pytest.raises(TooManyRequestsError) as caught:
        await limits.post("ann", "one")
    await limits.post("ann", "two")
    await limits.post("bob", "one")

    assert caught.value.ruled.profile == POSTING


async def test_a_peek_says_what_a_request_would_be_told_and_uses_nothing_up(
    database: Database,
) -> None:
    limits = _limits(database)
    profiles = _profiles(database, limits.changed)
    made = await profiles.create(_ACTOR, name="slow", params=_SLOW)
    await profiles.assign(_ACTOR, profile_id=made.id, method="GET", path="/api/x")
    ann, bob = (Asker(address="192.0.2.1", user_id=name) for name in ("ann", "bob"))

    for _ in range(5):
        seen = await limits.peek("GET", "/api/x", ann)
        assert seen is not None
        assert (seen.profile, seen.verdict.allowed, seen.verdict.remaining) == ("slow", True, 1)
    for _ in range(2):
        await limits.check("GET", "/api/x", ann)
    refused, other = (
        await limits.peek("GET", "/api/x", ann),
        await limits.peek("GET", "/api/x", bob),
    )
    assert refused is not None
    assert other is not None
    assert (refused.verdict.allowed, other.verdict.allowed) == (False, True)
    assert await limits.peek("GET", "/elsewhere", ann) is None


async def test_who_is_near_a_limit_or_over_it_is_noted(database: Database) -> None:
    clock = Clock()
    noted = Sightings(clock)
    limits = RouteLimits(database, MemoryCounters(clock), clock, RouteSettings(), sightings=noted)
    profiles = _profiles(database, limits.changed)
    made = await profiles.create(_ACTOR, name="slow", params={**_SLOW, "burst": 4})
    await profiles.assign(_ACTOR, profile_id=made.id, method="GET", path="/api/x")
    ann = Asker(address="192.0.2.1", user_id="ann")

    await limits.check("GET", "/api/x", ann)
    assert await noted.recent() == []
    for _ in range(4):
        await limits.check("GET", "/api/x", ann)
    (one,) = await noted.recent()
    assert (one.who, one.profile, one.refusals) == ("user:ann", "slow", 1)
