import asyncio
from typing import NamedTuple

import pytest

from interlock.identity.admin import IdentityAdmin
from interlock.identity.audit import AuditLog
from interlock.identity.bootstrap import Bootstrap, BootstrapResult
from interlock.identity.errors import InvalidIdentityError, Unauthenticated
from interlock.identity.keys import KeyService
from interlock.identity.model import Actor
from interlock.kernel.clock import SystemClock
from interlock.storage.engine import Database
from interlock.storage.errors import SecretKeyError
from interlock.storage.secrets import SecretBox

pytestmark = pytest.mark.anyio

MASTER = "master-key-of-the-tests"
ACTOR = Actor(name="root@example.com", surface="cli")


class World(NamedTuple):
    keys: KeyService
    admin: IdentityAdmin
    audit: AuditLog
    bootstrap: Bootstrap


def make_world(database: Database, master: str = MASTER) -> World:
    clock = SystemClock()
    box = SecretBox(master)
    keys = KeyService(database, box, clock=clock)
    audit = AuditLog(database, clock)
    admin = IdentityAdmin(database, box, audit, clock, keys=keys)
    return World(keys, admin, audit, Bootstrap(database, box, admin, audit, keys=keys))


async def is_valid(keys: KeyService, token: str) -> bool:
    serving = asyncio.create_task(keys.run())
    try:
        await keys.lookup(token)
    except Unauthenticated:
        return False
    else:
        return True
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_the_first_start_makes_an_administrator_who_can_log_in_and_a_valid_key(
    database: Database,
) -> None:
    world = make_world(database)

    made = await world.bootstrap.run()

    assert made.admin_email == "admin@localhost"
    assert made.admin_password is not None
    user = await world.admin.check_password("Admin@localhost", made.admin_password)
    assert user is not None
    assert user.is_admin
    assert made.key is not None
    assert len(made.key) == 43
    assert await is_valid(world.keys, made.key)


async def test_the_second_start_makes_nothing_and_shows_nothing(database: Database) -> None:
    await make_world(database).bootstrap.run()

    assert await make_world(database).bootstrap.run() == BootstrapResult.nothing


async def test_credentials_of_the_first_start_are_not_in_its_representation(
    database: Database,
) -> None:
    made = await make_world(database).bootstrap.run()

    assert made.key is not None
    assert made.key not in repr(made)
    assert str(made.admin_password) not in repr(made)


async def test_configured_credentials_are_used_and_not_echoed(database: Database) -> None:
    world = make_world(database)

    made = await world.bootstrap.run(
        admin_email="Boss@Example.com", admin_password="correct horse", key="any-sixteen-chars"
    )

    assert made == BootstrapResult(admin_email="boss@example.com")
    assert await world.admin.check_password("boss@example.com", "correct horse") is not None
    assert await is_valid(world.keys, "any-sixteen-chars")


async def test_a_changed_bootstrap_key_replaces_the_former_one(database: Database) -> None:
    await make_world(database).bootstrap.run(key="the-first-bootstrap-key")
    world = make_world(database)
    await world.bootstrap.run(key="the-second-bootstrap-key")

    assert await is_valid(world.keys, "the-second-bootstrap-key")
    assert not await is_valid(world.keys, "the-first-bootstrap-key")
    assert [key.label for key in await world.admin.keys()] == ["bootstrap"]


async def test_a_bootstrap_key_set_later_joins_the_generated_one(database: Database) -> None:
    made = await make_world(database).bootstrap.run()
    world = make_world(database)
    await world.bootstrap.run(key="the-first-bootstrap-key")

    assert made.key is not None
    assert await is_valid(world.keys, made.key)
    assert await is_valid(world.keys, "the-first-bootstrap-key")


async def test_a_revoked_bootstrap_key_does_not_come_back_with_the_next_start(
    database: Database,
) -> None:
    world = make_world(database)
    await world.bootstrap.run(key="the-first-bootstrap-key")
    await world.admin.revoke_key("bootstrap", ACTOR)

    await make_world(database).bootstrap.run(key="the-first-bootstrap-key")

    assert not await is_valid(world.keys, "the-first-bootstrap-key")


async def test_several_processes_starting_at_once_make_one_administrator(
    database: Database,
) -> None:
    made = await asyncio.gather(*(make_world(database).bootstrap.run() for _ in range(4)))

    assert sorted(result.key is not None for result in made) == [False, False, False, True]


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"key": "too-short"}, "INTERLOCK_BOOTSTRAP_KEY"),
        ({"admin_email": "nobody"}, "email"),
        ({"admin_password": "short"}, "password"),
    ],
)
async def test_unusable_bootstrap_values_are_refused_and_change_nothing(
    database: Database, options: dict[str, str], param: str
) -> None:
    world = make_world(database)

    with pytest.raises(InvalidIdentityError) as caught:
        await world.bootstrap.run(**options)

    assert caught.value.param == param
    assert await world.admin.keys() == []


async def test_another_master_key_is_noticed_at_the_start(database: Database) -> None:
    await make_world(database).bootstrap.run()

    with pytest.raises(SecretKeyError, match="not the one this database was made with"):
        await make_world(database, "quite another master key").bootstrap.run()


async def test_the_audit_log_tells_of_the_first_start_without_secrets(database: Database) -> None:
    world = make_world(database)
    made = await world.bootstrap.run()

    entries = await world.audit.entries()

    assert [(entry.actor, entry.action) for entry in entries] == [
        ("server", "key.create"),
        ("server", "user.create"),
    ]
    text = repr(entries)
    assert made.key is not None
    assert made.key not in text
    assert str(made.admin_password) not in text
