"""Fixtures every test may use: the event loop, and real databases of both kinds."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import interlock.gateway.tables
import interlock.identity.tables  # noqa: F401 - both fill the shared metadata
from interlock.storage.engine import Database
from interlock.storage.migrate import migrate
from interlock.storage.schema import metadata

_SERVER = "postgresql://postgres@127.0.0.1:5432"


@pytest.fixture
def anyio_backend() -> str:
    """One event loop implementation: the one the server uses."""
    return "asyncio"


@pytest.fixture(scope="session")
def _postgresql_database() -> Iterator[str]:
    """URL of a PostgreSQL database that only this test process uses."""
    server = os.environ.get("INTERLOCK_TEST_POSTGRESQL", _SERVER)
    try:
        admin = psycopg.connect(f"{server}/postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        pytest.skip(f"PostgreSQL is not reachable at {server}: {error}")
    name = f"interlock_test_{uuid.uuid4().hex[:12]}"
    with admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield f"{server}/{name}"
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of an empty SQLite database."""
    return f"sqlite:///{tmp_path / 'interlock.db'}"


@pytest.fixture
def postgresql_url(_postgresql_database: str) -> str:
    """URL of an empty PostgreSQL database."""
    with psycopg.connect(_postgresql_database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return _postgresql_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database, once of each kind."""
    url = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
async def database(database_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    """A migrated database, closed afterwards."""
    found = Database(database_url)
    migrate(found, metadata)
    yield found
    await found.close()
