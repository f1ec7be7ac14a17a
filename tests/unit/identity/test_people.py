import asyncio

import pytest
from tests.unit.identity.test_login import ACTOR, HERE, PASSWORD, World

from interlock.identity.admin import IdentityAdmin
from interlock.identity.callers import Callers
from interlock.identity.context import Context
from interlock.identity.errors import (
    AlreadySetUpError,
    InvalidIdentityError,
    LastAdministratorError,
    LastOwnerError,
    SessionNotFoundError,
    UserExistsError,
    UserNotFoundError,
)
from interlock.identity.login import InvalidCredentialsError, InvalidSessionError
from interlock.identity.model import KeySpec
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(database: Database) -> World:
    return World(database)


def admin_of(world: World) -> IdentityAdmin:
    return world.people._admin


async def test_of_racing_setups_exactly_one_wins(world: World) -> None:
    assert not await world.people.is_set_up()
    outcomes = await asyncio.gather(
        *(world.people.setup(f"u{n}", f"u{n}@example.com", PASSWORD) for n in range(4)),
        return_exceptions=True,
    )

    won = [one for one in outcomes if not isinstance(one, BaseException)]
    lost = [one for one in outcomes if isinstance(one, AlreadySetUpError)]
    assert (len(won), len(lost)) == (1, 3)
    assert won[0].is_admin
    assert await world.people.find() == won


@pytest.mark.parametrize(
    ("username", "email", "password", "param"),
    [
        ("", "a@example.com", PASSWORD, "username"),
        ("a@example.com", "a@example.com", PASSWORD, "username"),
        ("a\x00", "a@example.com", PASSWORD, "username"),
        ("01234567-89ab-4cde-8f01-234567757365", "a@example.com", PASSWORD, "username"),
        ("ann", "nobody", PASSWORD, "email"),
        ("ann", "a\x00@example.com", PASSWORD, "email"),
        ("ann", "a@example.com", "short", "password"),
    ],
)
async def test_a_setup_names_what_is_wrong(
    world: World, username: str, email: str, password: str, param: str
) -> None:
    with pytest.raises(InvalidIdentityError) as refused:
        await world.people.setup(username, email, password)

    assert refused.value.param == param
    assert not await world.people.is_set_up()


async def test_names_and_addresses_are_unique_ignoring_case(world: World) -> None:
    await world.user("ann")
    for email, username in (("ANN@example.com", "other"), ("b@example.com", "ANN")):
        with pytest.raises(UserExistsError):
            await world.people.create_user(email, ACTOR, username=username)
    # Full-width letters read the same.
    with pytest.raises(UserExistsError):
        await world.people.create_user("c@example.com", ACTOR, username="\uff41nn")


async def test_people_are_found_by_parts_of_names(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")

    assert await world.people.find("AN") == [ann]
    assert await world.people.find("%") == []
    assert await world.people.find("\x00") == []
    assert await world.people.find(limit=1) == [ann]
    assert await world.people.find(after="ann") == [bob]


async def test_a_new_password_ends_the_other_sessions(world: World) -> None:
    user = await world.user()
    mine = await world.sessions.login("ann", PASSWORD, HERE)
    other = await world.sessions.login("ann", PASSWORD, HERE)
    with pytest.raises(InvalidCredentialsError):
        await world.people.change_password(
            user.id, "wrong password", "new password", session_id=mine.session.id, actor=ACTOR
        )
    await world.people.change_password(
        user.id, PASSWORD, "new password", session_id=mine.session.id, actor=ACTOR
    )

    await world.sessions.resolve(mine.token, HERE)
    with pytest.raises(InvalidSessionError):
        await world.sessions.resolve(other.token, HERE)
    with pytest.raises(InvalidCredentialsError):
        await world.sessions.login("ann", PASSWORD, HERE)
    await world.sessions.login("ann", "new password", HERE)


async def test_the_last_administrator_stays_one(world: World) -> None:
    root = await world.people.setup("root", "root@example.com", PASSWORD)
    for attempt in (
        world.people.disable(root.id, ACTOR),
        world.people.set_global_role(root.id, "member", ACTOR),
        world.people.remove(root.id, ACTOR),
    ):
        with pytest.raises(LastAdministratorError):
            await attempt
    second = await world.people.create_user("b@example.com", ACTOR, global_role="admin")

    outcomes = await asyncio.gather(
        world.people.disable(root.id, ACTOR),
        world.people.disable(second.id, ACTOR),
        return_exceptions=True,
    )
    assert sum(isinstance(one, LastAdministratorError) for one in outcomes) == 1


async def test_removing_a_person_ends_sessions_and_keys_with_it(world: World) -> None:
    await world.people.setup("root", "root@example.com", PASSWORD)
    user = await world.user()
    issued = await world.sessions.login("ann", PASSWORD, HERE)
    await admin_of(world).create_key(KeySpec(label="k"), ACTOR, user=user.id)

    await world.people.remove(user.id, ACTOR)

    with pytest.raises(InvalidSessionError):
        await world.sessions.resolve(issued.token, HERE)
    with pytest.raises(UserNotFoundError):
        await world.people.get(user.id)
    assert await admin_of(world).keys() == []
    assert ("user.remove",) in await world.stored("SELECT action FROM audit_log")


async def test_the_only_owner_of_an_organization_with_members_is_not_removed(
    world: World,
) -> None:
    await world.people.setup("root", "root@example.com", PASSWORD)
    ann, bob = await world.user("ann"), await world.user("bob")
    organization = await admin_of(world).create_organization("Acme", ann.id, ACTOR)
    await admin_of(world).add_member(organization.id, bob.id, "member", ACTOR)

    with pytest.raises(LastOwnerError):
        await world.people.remove(ann.id, ACTOR)
    await world.people.get(ann.id)


async def test_one_ends_ones_own_sessions_and_no_others(world: World) -> None:
    ann, bob = await world.user("ann"), await world.user("bob")
    hers = await world.sessions.login("ann", PASSWORD, HERE)

    with pytest.raises(SessionNotFoundError):
        await world.people.revoke_session(bob.id, hers.session.id, ACTOR)
    assert await world.people.sessions_of(ann.id) == [hers.session]
    await world.people.revoke_session(ann.id, hers.session.id, ACTOR)
    assert await world.people.sessions_of(ann.id) == []


async def test_a_context_says_who_asks_and_with_which_rights(world: World) -> None:
    ann = await world.user("ann")
    organization = await admin_of(world).create_organization("Acme", ann.id, ACTOR)
    await admin_of(world).create_group(organization.id, "ops", [ann.id], ACTOR)
    issued = await world.sessions.login("ann", PASSWORD, HERE)
    found = await world.sessions.resolve(issued.token, HERE)

    context = await Callers(world.database).of_session(
        found, "console", account_id=organization.id, trace_id="t"
    )

    assert context == Context(
        user_id=ann.id,
        account_id=organization.id,
        account_role="owner",
        global_role="member",
        email="ann@example.com",
        username="ann",
        display_name="ann",
        surface="console",
        credential="cookie",
        credential_id=issued.session.id,
        groups=frozenset({"ops"}),
        signed_in_at=issued.session.signed_in_at,
        trace_id="t",
    )
