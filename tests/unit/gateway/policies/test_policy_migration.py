"""A store of the first schema is brought up to date without losing what it holds."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import MetaData, text

import interlock.storage.migrate as module
from interlock.gateway.history import History
from interlock.storage.engine import Database
from interlock.storage.migrate import migrate
from interlock.storage.schema import metadata

pytestmark = pytest.mark.anyio

SCRIPTS = Path(module.__file__).parent / "migrations"
OLD = """
INSERT INTO decisions (id, at, account_id, key_id, request_id, surface, tool, verdict, reason,
  caller, labels, rules, lineage, shadow, guards, duration_s)
VALUES ('dec_old', 5, 'acc', 'key', 'req', 'control', 'pay', 'soft_allowed', 'default',
  '{}', '{}', '[]', '{}', '[]', '[]', 0)
"""


async def test_decisions_of_the_first_schema_are_still_there(
    database_url: str, tmp_path: Path
) -> None:
    database = Database(database_url)
    first = tmp_path / "migrations"
    later = shutil.ignore_patterns("__pycache__", "r000[2-9]*", "r00[1-9]*")
    shutil.copytree(SCRIPTS, first, ignore=later)
    assert migrate(database, MetaData(), scripts=first) == ("0001",)
    with database.migration_connection() as connection, connection.begin():
        connection.execute(text(OLD))

    assert "0002" in migrate(database, metadata)
    record = await History(database).decision("dec_old")
    await database.close()

    assert (record.tool, record.basis) == ("pay", {})
