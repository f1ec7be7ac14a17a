import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from interlock.storage.engine import Database
from interlock.storage.errors import StoreUnavailable, StoreUrlError

pytestmark = pytest.mark.anyio


async def count(database: Database) -> int:
    async with database.read() as connection:
        return int(
            (await connection.execute(text("SELECT count(*) FROM server_meta"))).scalar_one()
        )


INSERT = text("INSERT INTO server_meta (name, value) VALUES (:name, '')")


async def test_a_block_that_ends_is_stored_and_one_that_raises_is_not(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(INSERT, {"name": "kept"})

    async def fail() -> None:
        async with database.transaction() as connection:
            await connection.execute(INSERT, {"name": "lost"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await count(database) == 1


async def test_transactions_that_read_before_they_write_do_not_fail_each_other(
    database: Database,
) -> None:
    async def add(name: str) -> None:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT count(*) FROM server_meta"))
            await asyncio.sleep(0)
            await connection.execute(INSERT, {"name": name})

    await asyncio.gather(*(add(f"n{number}") for number in range(20)))

    assert await count(database) == 20


async def test_foreign_keys_are_enforced(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.transaction() as connection:
            await connection.execute(
                text("INSERT INTO memberships VALUES ('no account', 'no user', 'owner', 0)")
            )


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(INSERT, {"name": "new"})
        async with asyncio.timeout(5):
            assert await count(database) == 0


async def test_a_wrong_statement_is_not_an_outage(database: Database) -> None:
    with pytest.raises((OperationalError, ProgrammingError)):
        async with database.read() as connection:
            await connection.execute(text("SELECT nothing FROM nowhere"))


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    database = Database("postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        async with database.read():
            pass
    await database.close()


async def test_a_connection_cut_by_the_server_is_unavailable_once_and_then_replaced(
    postgresql_url: str,
) -> None:
    database = Database(postgresql_url)
    with pytest.raises(StoreUnavailable):
        async with database.transaction() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    await database.close()


async def test_a_pool_with_all_connections_taken_is_unavailable_after_the_wait(
    postgresql_url: str,
) -> None:
    database = Database(postgresql_url, pool_size=1, connect_timeout_s=0.05)
    async with database.read():
        with pytest.raises(StoreUnavailable):
            async with database.read():
                pass
    await database.close()


async def test_sqlite_in_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    database = Database(f"sqlite:///{tmp_path}/file/interlock.db")
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        async with database.read():
            pass


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://root@localhost/x",
        "postgresql://localhost",
        "postgresql://user:secret-password@localhost:port/x",
    ],
)
def test_a_url_that_names_no_store_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(StoreUrlError) as caught:
        Database(url)

    assert "secret-password" not in str(caught.value)


def test_a_description_hides_the_password() -> None:
    assert "hunter2" not in Database("postgres://bob:hunter2@db/app").describe()
