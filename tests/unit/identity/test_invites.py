"""Links by which people choose a password, and the list of people they are made from."""

import asyncio
import base64

import pytest
from tests.unit.identity.test_login import ACTOR, HERE, PASSWORD, World

from interlock.identity.audit import AuditLog
from interlock.identity.errors import InvalidIdentityError, UserNotFoundError
from interlock.identity.invites import LIFETIME_S, InvitationError, Invites
from interlock.identity.login import InvalidSessionError
from interlock.identity.model import KeySpec
from interlock.identity.naming import name_key
from interlock.identity.roster import Roster
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(database: Database) -> World:
    return World(database)


def invites_of(world: World, database: Database, key: bytes = b"k" * 32) -> Invites:
    return Invites(database, AuditLog(database, world.clock), world.clock, key=key)


async def test_a_link_sets_a_password_once(world: World, database: Database) -> None:
    invites = invites_of(world, database)
    user = await world.people.create_user("ines@example.com", ACTOR)
    token = await invites.make(user.id, ACTOR)

    assert (await invites.whose(token)).id == user.id
    with pytest.raises(InvalidIdentityError):
        await invites.redeem(token, "short")
    outcomes = await asyncio.gather(
        *(invites.redeem(token, f"{PASSWORD} {n}") for n in range(3)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in outcomes) == [
        "InvitationError",
        "InvitationError",
        "User",
    ]
    with pytest.raises(InvitationError):
        await invites.whose(token)


async def test_a_way_back_in_ends_sessions_and_needs_the_person_enabled(
    world: World, database: Database
) -> None:
    invites = invites_of(world, database)
    user = await world.people.create_user("mo@example.com", ACTOR, password=PASSWORD)
    issued = await world.sessions.login("mo@example.com", PASSWORD, HERE)
    token = await invites.make(user.id, ACTOR)
    await world.people.disable(user.id, ACTOR)
    with pytest.raises(InvitationError):
        await invites.redeem(token, "another good one")
    await world.people.enable(user.id, ACTOR)
    await invites.redeem(token, "another good one")
    with pytest.raises(InvalidSessionError):
        await world.sessions.resolve(issued.token, HERE)
    await world.sessions.login("mo@example.com", "another good one", HERE)


async def test_a_link_cannot_be_made_up_or_moved_or_kept_for_ever(
    world: World, database: Database
) -> None:
    invites = invites_of(world, database)
    user = await world.people.create_user("mo@example.com", ACTOR)
    other = await world.people.create_user("ann@example.com", ACTOR)
    token = await invites.make(user.id, ACTOR)
    held = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    moved = held.replace(user.id.encode(), other.id.encode())
    later = held.replace(b"1", b"2")
    for forged in (
        "",
        "x",
        "\u00e9",
        "=" * 8,
        token[:-4],
        token + "A" * 400,
        *(base64.urlsafe_b64encode(one).decode() for one in (moved, later, held[32:], b"\0" * 80)),
    ):
        with pytest.raises(InvitationError):
            await invites.whose(forged)
    with pytest.raises(InvitationError):
        await invites_of(world, database, b"o" * 32).whose(token)
    with pytest.raises(UserNotFoundError):
        await invites.make("nobody", ACTOR)
    world.clock.seconds += LIFETIME_S + 1
    with pytest.raises(InvitationError):
        await invites.whose(token)


async def test_the_list_of_people_counts_what_they_hold(world: World, database: Database) -> None:
    roster = Roster(database, world.clock)
    mo = await world.people.create_user("mo@example.com", ACTOR, password=PASSWORD)
    gus = await world.people.create_user("gus@example.com", ACTOR)
    await world.people.disable(gus.id, ACTOR)
    await world.people._admin.create_key(KeySpec(label="one"), ACTOR, user="mo@example.com")
    await world.sessions.login("mo@example.com", PASSWORD, HERE)
    issued = await world.sessions.login("mo@example.com", PASSWORD, HERE)
    await world.sessions.refresh(issued.token, HERE)

    found = {row.user.username: row for row in await roster.page()}
    assert (found["mo"].sessions, found["mo"].keys, found["mo"].has_password) == (2, 1, True)
    assert found["mo"].last_seen_at == world.clock.now().timestamp()
    assert (found["gus"].sessions, found["gus"].keys, found["gus"].last_seen_at) == (0, 0, None)
    assert [row.user.id for row in await roster.page(role="disabled")] == [gus.id]
    assert [row.user.id for row in await roster.page("MO")] == [mo.id]
    assert await roster.page("\0") == []
    first = (await roster.page(limit=1))[0]
    rest = await roster.page(after=name_key(first.user.username))
    assert {first.user.id, *(row.user.id for row in rest)} == {mo.id, gus.id}
    assert await roster.counts() == {"all": 2, "disabled": 1, "member": 1}
    assert set(await roster.names([mo.id, "nobody", "\0"])) == {mo.id}
    assert await roster.one("nobody") is None
