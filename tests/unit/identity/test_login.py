import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.clocks import FrozenClock

from interlock.identity import passwords
from interlock.identity.admin import IdentityAdmin
from interlock.identity.audit import AuditLog
from interlock.identity.errors import AccountDisabledError
from interlock.identity.login import (
    AuthSettings,
    InvalidCredentialsError,
    InvalidSessionError,
    LoginSessions,
    LoginThrottledError,
    Origin,
    SessionExpiredError,
    SessionSettings,
    SuspiciousSessionError,
)
from interlock.identity.login.attempts import MemoryAttempts
from interlock.identity.model import Actor, User
from interlock.identity.people import People
from interlock.storage.engine import Database
from interlock.storage.secrets import SecretBox

pytestmark = pytest.mark.anyio

ACTOR = Actor(name="test", surface="server")
HERE = Origin(address="192.0.2.1", user_agent="browser")
PASSWORD = "correct horse"


class World:
    def __init__(
        self, database: Database, *, auth: AuthSettings | None = None, **session: Any
    ) -> None:
        self.database = database
        self.clock = FrozenClock()
        audit = AuditLog(database, self.clock)
        admin = IdentityAdmin(database, SecretBox("master-key-of-the-tests"), audit, self.clock)
        self.people = People(database, admin, audit, self.clock)
        self.attempts = MemoryAttempts(self.clock, capacity=500)
        self.sessions = LoginSessions(
            database,
            self.clock,
            settings=SessionSettings(**session),
            auth=auth,
            attempts=self.attempts,
        )

    async def user(self, name: str = "ann") -> User:
        return await self.people.create_user(
            f"{name}@example.com", ACTOR, username=name, password=PASSWORD
        )

    async def stored(self, query: str) -> list[tuple[Any, ...]]:
        async with self.database.read() as connection:
            return [tuple(row) for row in (await connection.execute(text(query))).all()]


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    return World(database)


async def test_a_log_in_by_name_or_address_gives_a_session_stored_only_as_a_hash(
    world: World,
) -> None:
    user = await world.user()
    one = await world.sessions.login(" ANN ", PASSWORD, HERE)
    two = await world.sessions.login("Ann@Example.com", PASSWORD, HERE)

    assert len(one.token) == 43
    assert one.token != two.token
    found = await world.sessions.resolve(one.token, HERE)
    assert (found.user, found.session, found.csrf) == (user, one.session, one.csrf)
    for row in await world.stored("SELECT * FROM login_sessions"):
        assert one.token not in map(str, row)
        assert one.csrf not in map(str, row)


@pytest.mark.parametrize(
    ("who", "password"),
    [("ann", "wrong password"), ("nobody", PASSWORD), ("a\x00b", PASSWORD), ("\ud800", "\ud800x")],
)
async def test_a_wrong_password_and_an_unknown_person_are_told_alike(
    world: World, who: str, password: str
) -> None:
    await world.user()
    with pytest.raises(InvalidCredentialsError):
        await world.sessions.login(who, password, HERE)


async def test_an_unknown_person_costs_a_hash_like_a_known_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.user()
    hashed: list[str] = []
    plain = passwords._hasher
    counting = type(
        "Counting",
        (),
        {
            "hash": lambda _, value: (hashed.append("hash"), plain.hash(value))[1],
            "verify": lambda _, *pair: (hashed.append("verify"), plain.verify(*pair))[1],
        },
    )()
    monkeypatch.setattr(passwords, "_hasher", counting)
    for who in ("ann", "nobody"):
        with pytest.raises(InvalidCredentialsError):
            await world.sessions.login(who, "wrong password", HERE)

    assert hashed == ["verify", "hash"]


async def test_the_former_token_works_within_the_grace_period_and_not_after(world: World) -> None:
    await world.user()
    old = await world.sessions.login("ann", PASSWORD, HERE)
    world.clock.seconds += 10
    new = await world.sessions.refresh(old.token, HERE)

    assert new.token != old.token
    assert new.csrf != old.csrf
    assert new.session.id != old.session.id
    assert new.session.absolute_expires_at == old.session.absolute_expires_at
    world.clock.seconds += 60
    within = await world.sessions.resolve(old.token, HERE)
    assert within.session.id == new.session.id
    assert world.sessions.csrf_ok(within, old.csrf, old.csrf)
    assert world.sessions.csrf_ok(within, new.csrf, new.csrf)
    current = await world.sessions.resolve(new.token, HERE)
    assert world.sessions.csrf_ok(current, old.csrf, old.csrf)
    world.clock.seconds += 1
    with pytest.raises(InvalidSessionError):
        await world.sessions.resolve(old.token, HERE)
    current = await world.sessions.resolve(new.token, HERE)
    assert not world.sessions.csrf_ok(current, old.csrf, old.csrf)


async def test_refreshes_at_once_all_give_the_same_new_session(world: World) -> None:
    await world.user()
    old = await world.sessions.login("ann", PASSWORD, HERE)

    many = await asyncio.gather(*(world.sessions.refresh(old.token, HERE) for _ in range(4)))

    assert len({one.token for one in many}) == 1
    assert len(await world.people.sessions_of(old.user.id)) == 1


async def test_csrf_values_of_other_sessions_and_halves_are_refused(world: World) -> None:
    await world.user()
    mine = await world.sessions.login("ann", PASSWORD, HERE)
    other = await world.sessions.login("ann", PASSWORD, HERE)
    found = await world.sessions.resolve(mine.token, HERE)
    check = world.sessions.csrf_ok

    assert check(found, mine.csrf, mine.csrf)
    assert not check(found, other.csrf, other.csrf)
    assert not check(found, mine.csrf, None)
    assert not check(found, None, mine.csrf)
    assert not check(found, mine.csrf, other.csrf)
    assert not check(found, "", "")
    assert not check(found, "\u00e9", "\u00e9")


async def test_the_idle_and_the_absolute_window_end_a_session(database: Database) -> None:
    world = World(database, idle_seconds=1000, absolute_seconds=2500)
    await world.user()
    issued = await world.sessions.login("ann", PASSWORD, HERE)
    for _ in range(2):
        world.clock.seconds += 900
        await world.sessions.resolve(issued.token, HERE)
    world.clock.seconds += 699
    last = await world.sessions.resolve(issued.token, HERE)
    assert last.session.expires_at == issued.session.absolute_expires_at
    world.clock.seconds += 1
    for ask in (world.sessions.resolve, world.sessions.refresh):
        with pytest.raises(SessionExpiredError):
            await ask(issued.token, HERE)

    idle = await world.sessions.login("ann", PASSWORD, HERE)
    world.clock.seconds += 1000
    with pytest.raises(SessionExpiredError):
        await world.sessions.resolve(idle.token, HERE)


async def test_the_window_is_written_once_a_minute_and_sent_again_past_its_half(
    world: World,
) -> None:
    await world.user()
    issued = await world.sessions.login("ann", PASSWORD, HERE)
    world.clock.seconds += 59
    early = await world.sessions.resolve(issued.token, HERE)
    assert early.session.expires_at == issued.session.expires_at
    assert not early.resend
    world.clock.seconds += 1
    later = await world.sessions.resolve(issued.token, HERE)
    assert later.session.expires_at == issued.session.expires_at + 60
    assert not later.resend
    world.clock.seconds += 14_401
    late = await world.sessions.resolve(issued.token, HERE)
    assert late.resend
    assert late.csrf == issued.csrf
    assert not (await world.sessions.resolve(issued.token, HERE)).resend


async def test_one_session_too_many_ends_the_oldest(database: Database) -> None:
    world = World(database, max_sessions_per_user=2)
    await world.user()
    issued = []
    for _ in range(3):
        world.clock.seconds += 1
        issued.append(await world.sessions.login("ann", PASSWORD, HERE))

    with pytest.raises(InvalidSessionError):
        await world.sessions.resolve(issued[0].token, HERE)
    for one in issued[1:]:
        await world.sessions.resolve(one.token, HERE)


async def test_a_new_role_has_sessions_rotate(world: World) -> None:
    user = await world.user()
    issued = await world.sessions.login("ann", PASSWORD, HERE)
    await world.people.set_global_role(user.id, "read_only", ACTOR)

    found = await world.sessions.resolve(issued.token, HERE)
    assert found.flagged
    assert found.user.global_role == "read_only"
    rotated = await world.sessions.refresh(issued.token, HERE)
    assert not (await world.sessions.resolve(rotated.token, HERE)).flagged


async def test_a_disabled_person_is_told_so_and_stays_out_when_enabled_again(
    world: World,
) -> None:
    user = await world.user()
    issued = await world.sessions.login("ann", PASSWORD, HERE)
    await world.people.create_user("root@example.com", ACTOR, global_role="admin")
    await world.people.disable(user.id, ACTOR)

    for attempt in (
        world.sessions.resolve(issued.token, HERE),
        world.sessions.refresh(issued.token, HERE),
        world.sessions.login("ann", PASSWORD, HERE),
    ):
        with pytest.raises(AccountDisabledError):
            await attempt
    with pytest.raises(InvalidCredentialsError):
        await world.sessions.login("ann", "wrong password", HERE)
    await world.people.enable(user.id, ACTOR)
    with pytest.raises(InvalidSessionError):
        await world.sessions.resolve(issued.token, HERE)


async def test_leaving_ends_the_session_and_every_token_of_it(world: World) -> None:
    await world.user()
    old = await world.sessions.login("ann", PASSWORD, HERE)
    new = await world.sessions.refresh(old.token, HERE)
    assert await world.sessions.alive(old.session.id)
    await world.sessions.revoke(old.token)

    assert not await world.sessions.alive(old.session.id)
    for token in (old.token, new.token, "", "x" * 43, new.token + "="):
        with pytest.raises(InvalidSessionError):
            await world.sessions.resolve(token, HERE)


async def test_a_session_used_from_elsewhere_needs_a_refresh_when_that_is_checked(
    database: Database,
) -> None:
    world = World(database, auth=AuthSettings(suspicious_check=True))
    await world.user()
    issued = await world.sessions.login("ann", PASSWORD, HERE)
    there = Origin(address="198.51.100.7", user_agent="browser")

    with pytest.raises(SuspiciousSessionError):
        await world.sessions.resolve(issued.token, there)
    rotated = await world.sessions.refresh(issued.token, there)
    await world.sessions.resolve(rotated.token, there)
    with pytest.raises(SuspiciousSessionError):
        await world.sessions.resolve(rotated.token, HERE)


async def test_ten_failures_close_an_account_for_a_while_and_never_for_good(
    world: World,
) -> None:
    await world.user()
    for n in range(10):
        with pytest.raises(InvalidCredentialsError):
            await world.sessions.login(
                "ann" if n % 2 else "ann@example.com", "wrong password", Origin(address=f"h{n}")
            )
    for n in range(20):
        with pytest.raises(LoginThrottledError) as refused:
            await world.sessions.login("ann", PASSWORD, Origin(address=f"i{n}"))
    assert refused.value.retry_after_s == 900
    world.clock.seconds += 900

    await world.sessions.login("ann", PASSWORD, HERE)


async def test_ten_thousand_attempts_from_two_hundred_addresses_reach_few_hashes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.user()
    looked_at = 0

    async def never(password: str, stored: str | None) -> bool:
        nonlocal looked_at
        looked_at += 1
        return False

    monkeypatch.setattr(passwords, "verify_password", never)
    outcomes = []
    for n in range(10_000):
        who = "ann" if n % 2 else f"somebody-{n}"
        try:
            await world.sessions.login(who, "wrong", Origin(address=f"192.0.2.{n % 200}"))
        except (InvalidCredentialsError, LoginThrottledError) as error:
            outcomes.append(type(error))

    assert looked_at == outcomes.count(InvalidCredentialsError) <= 200 * 10
    assert len(world.attempts) <= 500


async def test_hashing_leaves_the_event_loop_free() -> None:
    hashing = asyncio.create_task(passwords.hash_password(PASSWORD))
    turns = 0
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0)

    assert turns > 10
    await hashing


async def test_the_audit_log_tells_when_a_session_began_was_renewed_and_ended(
    world: World,
) -> None:
    user = await world.user()
    old = await world.sessions.login("ann", PASSWORD, HERE)
    new = await world.sessions.refresh(old.token, HERE)
    await world.sessions.revoke(new.token)
    await world.sessions.revoke_all(user.id)
    with pytest.raises(InvalidCredentialsError):
        await world.sessions.login("ann", "wrong password", HERE)

    entries = await AuditLog(world.database, world.clock).entries(target=user.id)
    told = [entry for entry in entries if entry.action.startswith("session.")]
    assert [(entry.actor, entry.action) for entry in reversed(told)] == [
        (user.email, "session.login"),
        (user.email, "session.refresh"),
        (user.email, "session.logout"),
        (user.email, "session.revoke_all"),
    ]
    written = repr(await world.stored("SELECT * FROM audit_log"))
    assert HERE.address in written
    for secret in (old.token, new.token, old.csrf, new.csrf):
        assert secret not in written
