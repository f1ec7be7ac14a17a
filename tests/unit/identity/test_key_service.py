import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from interlock.identity.admin import IdentityAdmin
from interlock.identity.audit import AuditLog
from interlock.identity.errors import InvalidIdentityError, KeyNotFoundError, Unauthenticated
from interlock.identity.keys import KeyCacheSettings, KeyService
from interlock.identity.model import Actor, KeyInfo, KeyLimits, KeySpec
from interlock.identity.repository import KeyRow
from interlock.identity.tokens import digest
from interlock.kernel.errors import ErrorKind
from interlock.storage.engine import Database
from interlock.storage.errors import StoreUnavailable
from interlock.storage.secrets import SecretBox

pytestmark = pytest.mark.anyio

ACTOR = Actor(name="root@example.com", surface="cli")
BOX = SecretBox("master-key-of-the-tests")


class FrozenClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


class Gate(KeyService):
    """A key service whose store can be counted, held and taken away."""

    queries: int = 0
    away: bool = False
    hold: asyncio.Event | None = None

    async def _load(self, wanted: Sequence[bytes]) -> dict[bytes, KeyRow]:
        self.queries += 1
        if self.away:
            raise StoreUnavailable
        rows = await super()._load(wanted)
        if self.hold is not None:
            await self.hold.wait()
        return rows


class World:
    def __init__(self, database: Database, **settings: Any) -> None:
        self.clock = FrozenClock()
        self.keys = Gate(database, BOX, settings=KeyCacheSettings(**settings), clock=self.clock)
        audit = AuditLog(database, self.clock)
        self.admin = IdentityAdmin(database, BOX, audit, self.clock, keys=self.keys)
        self.elsewhere = IdentityAdmin(database, BOX, audit, self.clock)
        """The administration of another process: does not tell this one's cache."""

    async def new_key(self, label: str = "test", **spec: Any) -> str:
        with contextlib.suppress(Exception):
            await self.admin.create_user("ann@example.com", ACTOR, global_role="admin")
        return (await self.admin.create_key(KeySpec(label=label, **spec), ACTOR)).token

    async def refreshed(self) -> None:
        """Waits until the background refresh that was asked for has run."""
        async with asyncio.timeout(5):
            while self.keys._refresh or self.keys._in_flight:  # noqa: ASYNC110 - nothing to await
                await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.keys.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_new_key_is_found_with_everything_stored_with_it(database: Database) -> None:
    world = World(database)
    token = await world.new_key(
        "robot",
        scopes=frozenset({"endpoint:chat", "provider:openai"}),
        base_config={"x_features": {"agent_arch": "single-llm"}},
        provider_credentials={"openai": "sk-very-secret-provider-key"},
        limits=KeyLimits(requests_per_minute=5, monthly_cost=1.5),
        tool_pinning="deny",
        call_ids="compact",
        retention="masked",
        policy_override=True,
        expires_at=2_000_000.0,
    )
    async with world.serving():
        info = await world.keys.lookup(token.encode())

    (view,) = await world.admin.keys()
    assert info == KeyInfo(
        id=view.id,
        account_id=view.account_id,
        user_id=view.user_id,
        user_email="ann@example.com",
        label="robot",
        roles=frozenset({"owner", "server_admin"}),
        scopes=frozenset({"endpoint:chat", "provider:openai"}),
        base_config={"x_features": {"agent_arch": "single-llm"}},
        provider_credentials={"openai": "sk-very-secret-provider-key"},
        limits=KeyLimits(requests_per_minute=5, monthly_cost=1.5),
        tool_pinning="deny",
        call_ids="compact",
        retention="masked",
        policy_override=True,
        expires_at=2_000_000.0,
    )
    assert world.keys.cached(token) == info
    assert "sk-very-secret" not in repr(info)


async def test_groups_and_roles_are_those_of_the_account_of_the_key(database: Database) -> None:
    world = World(database)
    await world.admin.create_user("ann@example.com", ACTOR, global_role="admin")
    await world.admin.create_user("bob@example.com", ACTOR)
    team = await world.admin.create_organization("Team", "ann@example.com", ACTOR)
    await world.admin.add_member(team.id, "bob@example.com", "member", ACTOR)
    await world.admin.create_group(team.id, "finance", ["bob@example.com"], ACTOR)
    own = await world.admin.create_key(KeySpec(label="own"), ACTOR, user="bob@example.com")
    shared = await world.admin.create_key(
        KeySpec(label="shared"), ACTOR, user="bob@example.com", account_id=team.id
    )
    async with world.serving():
        mine = await world.keys.lookup(own.token)
        ours = await world.keys.lookup(shared.token)

    assert (mine.groups, mine.roles) == (frozenset(), frozenset({"owner"}))
    assert (ours.groups, ours.roles) == (frozenset({"finance"}), frozenset({"member"}))


@pytest.mark.parametrize("token", [None, "", b""])
async def test_no_key_is_told_apart_from_a_bad_key(
    database: Database, token: str | bytes | None
) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await World(database).keys.lookup(token)

    assert caught.value.error_code == "missing_api_key"
    assert caught.value.error_kind is ErrorKind.UNAUTHENTICATED


@pytest.mark.parametrize("token", ["sq-unknown", "x" * 5000, "\udcff-not-text", b"\xff\xfe"])
async def test_an_unknown_key_is_invalid(database: Database, token: str | bytes) -> None:
    world = World(database)
    async with world.serving():
        with pytest.raises(Unauthenticated) as caught:
            await world.keys.lookup(token)

    assert caught.value.error_code == "invalid_api_key"


async def test_an_unknown_key_is_asked_for_once_and_believed_for_a_short_time(
    database: Database,
) -> None:
    world = World(database, negative_ttl_s=5.0)
    async with world.serving():
        for _ in range(3):
            with pytest.raises(Unauthenticated):
                await world.keys.lookup("sq-unknown")
        first = world.keys.queries
        world.clock.seconds += 6
        with pytest.raises(Unauthenticated):
            await world.keys.lookup("sq-unknown")

    assert (first, world.keys.queries) == (1, 2)


async def test_memory_of_unknown_keys_is_bounded(database: Database) -> None:
    world = World(database, negative_capacity=10)
    async with world.serving():
        for number in range(40):
            with pytest.raises(Unauthenticated):
                await world.keys.lookup(f"sq-unknown-{number}")

    assert len(world.keys._unknown) == 10


async def test_memory_of_known_keys_is_bounded_and_an_old_one_is_read_again(
    database: Database,
) -> None:
    world = World(database, capacity=2)
    tokens = [await world.new_key(f"k{number}") for number in range(3)]
    async with world.serving():
        for token in tokens:
            await world.keys.lookup(token)
        assert world.keys.cached(tokens[0]) is None
        assert (await world.keys.lookup(tokens[0])).label == "k0"

    assert len(world.keys._entries) == 2


async def test_a_thousand_requests_with_one_new_key_cost_one_query(database: Database) -> None:
    world = World(database)
    token = await world.new_key()
    async with world.serving():
        found = await asyncio.gather(*(world.keys.lookup(token) for _ in range(1000)))

    assert len({info.id for info in found}) == 1
    assert world.keys.queries == 1


async def test_many_different_keys_share_queries(database: Database) -> None:
    world = World(database)
    tokens = [await world.new_key(f"k{number}") for number in range(20)]
    async with world.serving():
        found = await asyncio.gather(*(world.keys.lookup(token) for token in tokens))

    assert [info.label for info in found] == [f"k{number}" for number in range(20)]
    assert world.keys.queries <= 2


async def test_a_cancelled_request_does_not_take_the_others_with_it(database: Database) -> None:
    world = World(database)
    token = await world.new_key()
    first = asyncio.create_task(world.keys.lookup(token))
    second = asyncio.create_task(world.keys.lookup(token))
    await asyncio.sleep(0)
    first.cancel()
    async with world.serving():
        assert (await second).label == "test"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_absent_store_is_unavailable_and_never_an_invalid_key(
    database: Database,
) -> None:
    world = World(database)
    token = await world.new_key()
    world.keys.away = True
    async with world.serving():
        with pytest.raises(StoreUnavailable) as caught:
            await world.keys.lookup(token)
        world.keys.away = False
        assert (await world.keys.lookup(token)).label == "test"

    assert caught.value.error_kind is ErrorKind.UNAVAILABLE


async def test_a_broken_schema_is_unavailable_and_never_an_invalid_key(
    database: Database,
) -> None:
    world = World(database)
    async with database.transaction() as connection:
        await connection.exec_driver_sql("ALTER TABLE users RENAME TO somewhere_else")
    try:
        async with world.serving():
            with pytest.raises(StoreUnavailable):
                await world.keys.lookup("sq-any")
    finally:
        async with database.transaction() as connection:
            await connection.exec_driver_sql("ALTER TABLE somewhere_else RENAME TO users")


async def test_a_slow_store_is_unavailable_after_a_bounded_wait(database: Database) -> None:
    world = World(database, wait_s=0.05)
    token = await world.new_key()
    world.keys.hold = asyncio.Event()
    async with world.serving():
        with pytest.raises(StoreUnavailable):
            await world.keys.lookup(token)
        world.keys.hold.set()
        assert (await world.keys.lookup(token)).label == "test"


async def test_without_its_loop_a_lookup_is_unavailable(database: Database) -> None:
    world = World(database, wait_s=0.01)

    with pytest.raises(StoreUnavailable):
        await world.keys.lookup(await world.new_key())


async def test_a_crowd_of_made_up_keys_is_told_to_try_again(database: Database) -> None:
    world = World(database, max_waiting=3, wait_s=5)
    waiting = [asyncio.create_task(world.keys.lookup(f"sq-{number}")) for number in range(3)]
    await asyncio.sleep(0)

    with pytest.raises(StoreUnavailable):
        await world.keys.lookup("sq-one-more")
    async with world.serving():
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(result) for result in results} == {Unauthenticated}


async def test_an_old_entry_answers_at_once_and_is_refreshed_behind(database: Database) -> None:
    world = World(database, ttl_s=30)
    token = await world.new_key()
    async with world.serving():
        await world.keys.lookup(token)
        world.clock.seconds += 31
        assert world.keys.cached(token) is not None
        assert world.keys.queries == 1
        await world.refreshed()
        assert world.keys.queries == 2
        assert world.keys.cached(token) is not None
        await world.refreshed()

    assert world.keys.queries == 2


async def test_a_key_revoked_elsewhere_stops_working_after_the_refresh(
    database: Database,
) -> None:
    world = World(database, ttl_s=30)
    token = await world.new_key()
    async with world.serving():
        await world.keys.lookup(token)
        await world.elsewhere.revoke_key("test", ACTOR)
        world.clock.seconds += 31
        world.keys.cached(token)
        await world.refreshed()
        assert world.keys.cached(token) is None
        with pytest.raises(Unauthenticated):
            await world.keys.lookup(token)


async def test_a_key_revoked_here_stops_working_at_once(database: Database) -> None:
    world = World(database)
    token = await world.new_key()
    async with world.serving():
        await world.keys.lookup(token)
        await world.admin.revoke_key("test", ACTOR)
        assert world.keys.cached(token) is None
        with pytest.raises(Unauthenticated):
            await world.keys.lookup(token)


async def test_a_key_revoked_while_it_is_being_read_is_not_cached(database: Database) -> None:
    world = World(database)
    token = await world.new_key()
    world.keys.hold = asyncio.Event()
    async with world.serving():
        asking = asyncio.create_task(world.keys.lookup(token))
        async with asyncio.timeout(5):
            while not world.keys.queries:  # noqa: ASYNC110 - nothing to await
                await asyncio.sleep(0.001)
            await world.admin.revoke_key("test", ACTOR)
            world.keys.hold.set()
            with pytest.raises(Unauthenticated):
                await asking
    assert world.keys.cached(token) is None


async def test_a_cached_key_outlives_an_absent_store_up_to_the_stated_bound(
    database: Database,
) -> None:
    world = World(database, ttl_s=30, max_stale_s=3600)
    token = await world.new_key()
    async with world.serving():
        await world.keys.lookup(token)
        world.keys.away = True
        for _ in range(3):
            world.clock.seconds += 1000
            assert (await world.keys.lookup(token)).label == "test"
            await world.refreshed()
        world.clock.seconds += 1000
        with pytest.raises(StoreUnavailable):
            await world.keys.lookup(token)


async def test_an_absent_store_is_not_asked_at_every_request(database: Database) -> None:
    world = World(database, ttl_s=30)
    token = await world.new_key()
    async with world.serving():
        await world.keys.lookup(token)
        world.keys.away = True
        world.clock.seconds += 31
        for _ in range(50):
            world.keys.cached(token)
            await world.refreshed()

    assert world.keys.queries == 2


async def test_a_key_expires_while_it_is_cached(database: Database) -> None:
    world = World(database, ttl_s=3600)
    token = await world.new_key(expires_at=1_000_010.0)
    async with world.serving():
        await world.keys.lookup(token)
        world.clock.seconds += 11
        assert world.keys.cached(token) is None
        with pytest.raises(Unauthenticated):
            await world.keys.lookup(token)


async def test_a_key_made_here_works_although_it_was_unknown_a_moment_ago(
    database: Database,
) -> None:
    world = World(database)
    token = await world.new_key()
    world.keys._unknown[digest(token)] = world.clock.seconds + 60
    world.keys.forget(digest(token))
    async with world.serving():
        assert (await world.keys.lookup(token)).label == "test"


async def test_the_last_use_is_written_in_one_go(database: Database) -> None:
    world = World(database)
    used, unused = await world.new_key("used"), await world.new_key("unused")
    async with world.serving():
        await world.keys.lookup(used)
        await world.keys.write_last_used()

    assert unused
    stamps = {view.label: view.last_used_at for view in await world.admin.keys()}
    assert stamps == {"used": 1_000_000.0, "unused": None}


async def test_credentials_sealed_under_another_master_key_are_no_reason_to_refuse_the_key(
    database: Database,
) -> None:
    world = World(database)
    token = await world.new_key(provider_credentials={"openai": "sk-provider"})
    world.keys._secrets = SecretBox("another-master-key-entirely")
    async with world.serving():
        with pytest.raises(StoreUnavailable):
            await world.keys.lookup(token)


async def test_the_store_never_holds_the_key_itself_nor_a_provider_key_in_clear(
    database: Database,
) -> None:
    world = World(database)
    token = await world.new_key(provider_credentials={"openai": "sk-provider-key"})
    async with database.read() as connection:
        keys = (await connection.exec_driver_sql("SELECT * FROM gateway_keys")).all()
        audit = (await connection.exec_driver_sql("SELECT * FROM audit_log")).all()

    text = repr(keys) + repr(audit)
    assert token not in text
    assert "sk-provider-key" not in text


async def test_every_change_of_a_key_is_in_the_audit_log(database: Database) -> None:
    world = World(database)
    await world.new_key("robot")
    view = await world.admin.revoke_key("robot", ACTOR)
    again = await world.admin.revoke_key("robot", ACTOR)

    entries = await AuditLog(database, world.clock).entries(target=view.id)
    assert again == view
    assert [(entry.action, entry.actor) for entry in entries] == [
        ("key.revoke", "root@example.com"),
        ("key.create", "root@example.com"),
    ]
    assert entries[0].before == {"label": "robot", "revoked_at": None}
    assert entries[1].after is not None
    assert entries[1].after["label"] == "robot"


@pytest.mark.parametrize(
    ("spec", "param"),
    [
        ({"label": " "}, "label"),
        ({"scopes": frozenset({"everything"})}, "scopes"),
        ({"expires_at": 5.0}, "expires"),
        ({"limits": KeyLimits(requests_per_minute=0)}, "requests_per_minute"),
        ({"limits": KeyLimits(monthly_cost=float("nan"))}, "monthly_cost"),
        ({"retention": "some"}, "retention"),
        ({"base_config": {"x_other": {}}}, "base_config"),
        ({"base_config": {"x_policy": "text"}}, "base_config"),
    ],
)
async def test_a_key_that_could_not_work_is_refused(
    database: Database, spec: dict[str, Any], param: str
) -> None:
    world = World(database)
    await world.new_key()

    with pytest.raises(InvalidIdentityError) as caught:
        await world.admin.create_key(KeySpec(**({"label": "bad"} | spec)), ACTOR)

    assert caught.value.param == param
    assert len(await world.admin.keys()) == 1


async def test_a_label_that_fits_two_keys_is_not_guessed(database: Database) -> None:
    world = World(database)
    await world.new_key("twin")
    await world.new_key("twin")

    with pytest.raises(InvalidIdentityError, match="2 keys"):
        await world.admin.revoke_key("twin", ACTOR)
    with pytest.raises(KeyNotFoundError):
        await world.admin.revoke_key("nobody", ACTOR)
