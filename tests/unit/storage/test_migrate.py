import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, String, Table, text

import interlock.storage.migrate as module
from interlock.storage.engine import Database
from interlock.storage.errors import MigrationFailedError, SchemaError, StoreUnavailable
from interlock.storage.migrate import SchemaStatus, check_schema, migrate
from interlock.storage.schema import metadata

SCRIPTS = Path(module.__file__).parent / "migrations"
ALL = tuple(sorted(one.name[1:5] for one in (SCRIPTS / "versions").glob("r*.py")))
HEAD = ALL[-1]

SECOND = '''"""A second revision."""
import sqlalchemy as sa
from alembic import op
revision = "9002"
down_revision = "HEAD"
def upgrade():
    op.create_table("second", sa.Column("id", sa.String(10), primary_key=True))
    {rest}
'''.replace("HEAD", HEAD)


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url)


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "migrations"
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(database: Database, statement: str) -> None:
    with database.migration_connection() as connection, connection.begin():
        connection.execute(text(statement))


def tables(database: Database) -> set[str]:
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if database.dialect == "sqlite"
        else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    with database.migration_connection() as connection:
        return set(connection.execute(text(query)).scalars())


def test_an_empty_store_gets_every_table_and_nothing_the_second_time(database: Database) -> None:
    assert check_schema(database, metadata).pending == ALL
    assert migrate(database, metadata) == ALL
    assert set(metadata.tables) <= tables(database)
    assert migrate(database, metadata) == ()
    assert check_schema(database, metadata) == SchemaStatus(current=HEAD, head=HEAD, pending=())


def test_looking_changes_nothing(database: Database) -> None:
    check_schema(database, metadata)

    assert not set(metadata.tables) & tables(database)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DROP TABLE decisions", "table `decisions` is missing"),
        ("DROP INDEX ix_usage_records_at", "index `ix_usage_records_at` is missing"),
        ("ALTER TABLE users DROP COLUMN display_name", "column `users.display_name` is missing"),
    ],
)
def test_a_schema_with_something_missing_refuses_the_start_and_names_it(
    database: Database, damage: str, told: str
) -> None:
    migrate(database, metadata)
    run(database, damage)

    with pytest.raises(SchemaError, match=told) as caught:
        migrate(database, metadata)

    assert "backup" in str(caught.value.hint)
    assert told in check_schema(database, metadata).differences


def test_a_table_the_migrations_forgot_refuses_the_start(database: Database) -> None:
    larger = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(larger)
    Table("forgotten", larger, Column("id", String(10), primary_key=True))

    with pytest.raises(SchemaError, match="table `forgotten` is missing"):
        migrate(database, larger)


def test_tables_of_others_are_left_alone(database: Database) -> None:
    run(database, "CREATE TABLE somebody_elses (id INTEGER)")

    assert migrate(database, metadata) == ALL
    assert "somebody_elses" in tables(database)


def test_a_store_of_a_newer_version_is_refused(database: Database) -> None:
    migrate(database, metadata)
    run(database, "UPDATE schema_revision SET version_num = '9999'")

    for call in (migrate, check_schema):
        with pytest.raises(SchemaError, match="`9999`, which this version does not know") as caught:
            call(database, metadata)
        assert "newer Interlock" in str(caught.value.hint)


def test_a_failing_migration_leaves_nothing_behind_and_blocks_the_start_until_it_is_retried(
    database: Database, scripts: Path
) -> None:
    migrate(database, metadata, scripts=scripts)
    second = scripts / "versions" / "r9002_second.py"
    second.write_text(SECOND.format(rest='op.execute("SELECT no_such_thing FROM second")'))

    with pytest.raises(MigrationFailedError, match="`9002` did not finish") as failed:
        migrate(database, metadata, scripts=scripts)
    assert failed.value.revision == "9002"
    assert "second" not in tables(database)
    with pytest.raises(SchemaError, match="`9002` was interrupted") as blocked:
        migrate(database, metadata, scripts=scripts)
    assert "interlock migrate" in str(blocked.value.hint)
    assert check_schema(database, metadata, scripts=scripts).interrupted == "9002"

    second.write_text(SECOND.format(rest=""))
    assert migrate(database, metadata, scripts=scripts, retry=True) == ("9002",)
    assert "second" in tables(database)
    assert check_schema(database, metadata, scripts=scripts).ready


def test_a_process_killed_after_its_migration_was_marked_blocks_the_start(
    database: Database,
) -> None:
    migrate(database, metadata)
    run(database, "INSERT INTO schema_marker VALUES ('0001', 0)")

    with pytest.raises(SchemaError, match="interrupted"):
        migrate(database, metadata)
    assert migrate(database, metadata, retry=True) == ()
    assert migrate(database, metadata) == ()


def _start(url: str, results: "multiprocessing.Queue[object]") -> None:
    import interlock.gateway.policies.tables  # noqa: PLC0415 - in a new process
    import interlock.gateway.tables  # noqa: PLC0415 - in a new process
    import interlock.identity.tables  # noqa: F401, PLC0415 - in a new process

    try:
        results.put(migrate(Database(url), metadata))
    except Exception as error:
        results.put(repr(error))


def test_processes_starting_at_once_migrate_once(database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[object] = context.Queue()
    processes = [context.Process(target=_start, args=(database_url, results)) for _ in range(3)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=60)

    assert sorted(map(str, outcomes)) == sorted(["()", "()", str(ALL)])


def test_a_lock_another_process_keeps_ends_the_wait(database: Database) -> None:
    with (
        database.migration_connection() as connection,
        module._lock(database, connection, 1.0),
        pytest.raises(StoreUnavailable, match="still migrating"),
    ):
        migrate(database, metadata, lock_s=0.05)


def test_an_unreachable_server_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        migrate(Database("postgresql://postgres@127.0.0.1:1/none"), metadata)
