"""Fixtures every test may use: the event loop, and real databases of both kinds."""

import contextlib
import os
import shutil
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import interlock.conversations.attachments.tables
import interlock.conversations.replies.tables
import interlock.conversations.tables
import interlock.events.tables
import interlock.gateway.policies.tables
import interlock.gateway.tables
import interlock.idempotency.tables
import interlock.identity.tables
import interlock.limits.budgets.tables
import interlock.limits.tables  # noqa: F401 - they fill the shared metadata
from interlock.storage.engine import Database
from interlock.storage.migrate import migrate
from interlock.storage.schema import metadata

_SERVER = "postgresql://postgres@127.0.0.1:5432"


@pytest.fixture
def anyio_backend() -> str:
    """One event loop implementation: the one the server uses."""
    return "asyncio"


@contextlib.contextmanager
def _new_postgresql_database() -> Iterator[str]:
    server = os.environ.get("TEST_POSTGRESQL_URL", _SERVER)
    try:
        admin = psycopg.connect(f"{server}/postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        pytest.skip(f"PostgreSQL is not reachable at {server}: {error}")
    name = f"interlock_test_{uuid.uuid4().hex[:12]}"
    with admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield f"{server}/{name}"
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def _postgresql_database() -> Iterator[str]:
    """URL of a PostgreSQL database only this test process uses; each test empties it."""
    with _new_postgresql_database() as url:
        yield url


@pytest.fixture(scope="session")
def _migrated_postgresql() -> Iterator[str]:
    """The same, migrated once; tests leave its schema alone."""
    with _new_postgresql_database() as url:
        migrate(Database(url), metadata)
        yield url


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "interlock.db"
    migrate(Database(f"sqlite:///{path}"), metadata)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of an empty SQLite database."""
    return f"sqlite:///{tmp_path / 'interlock.db'}"


@pytest.fixture
def postgresql_url(_postgresql_database: str) -> str:
    """URL of an empty PostgreSQL database."""
    with psycopg.connect(_postgresql_database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS dbos CASCADE")
        connection.execute("CREATE SCHEMA public")
    return _postgresql_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database, once of each kind."""
    url = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(url, str)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a migrated database without rows, once of each kind."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("_migrated_sqlite"), tmp_path / "interlock.db")
        return f"sqlite:///{tmp_path / 'interlock.db'}"
    url = request.getfixturevalue("_migrated_postgresql")
    assert isinstance(url, str)
    names = sql.SQL(", ").join(map(sql.Identifier, metadata.tables))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))
    return url


@pytest.fixture
async def database(migrated_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    """A migrated database without rows, closed afterwards."""
    found = Database(migrated_url)
    yield found
    await found.close()
