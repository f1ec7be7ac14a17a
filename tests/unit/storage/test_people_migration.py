import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

import interlock.storage.migrate as module
from interlock.storage.engine import Database
from interlock.storage.errors import SchemaError
from interlock.storage.migrate import check_schema, migrate
from interlock.storage.schema import metadata

SCRIPTS = Path(module.__file__).parent / "migrations"
OLDER = ("r0001", "r0002", "r0003", "r0004", "r0005", "__init__")
ANN, BOB = "user_0123456789abcdef01234567", "user_ffffffffffffffffffffffff"
ACCOUNT, KEY = "acc_00112233445566778899aabb", "key_fedcba9876543210fedcba98"
GROUP = "grp_abcabcabcabcabcabcabcabc"
NEW_ANN = "01234567-89ab-4cde-8f01-234567757365"
NEW_BOB = "ffffffff-ffff-4fff-8fff-ffffff757365"
NEW_ACCOUNT = "00112233-4455-4667-8788-99aabb616363"
NEW_KEY = "fedcba98-7654-4321-80fe-dcba986b6579"
NEW_GROUP = "abcabcab-cabc-4abc-8abc-abcabc677270"


def older_store(database: Database, folder: Path) -> None:
    """A store as the revision before this one left it."""
    scripts = folder / "migrations"
    shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    for script in (scripts / "versions").glob("*.py"):
        if not script.name.startswith(OLDER):
            script.unlink()
    with pytest.raises(SchemaError, match="not the one of this version"):
        migrate(database, metadata, scripts=scripts)


def insert(database: Database, table: str, **values: Any) -> None:
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    with database.migration_connection() as connection, connection.begin():
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.migration_connection() as connection:
        return [tuple(row) for row in connection.execute(text(query)).all()]


def fill(database: Database) -> None:
    for n, (user, email) in enumerate([(ANN, "ann@a.example"), (BOB, "Ann@b.example")]):
        insert(
            database,
            "users",
            id=user,
            email=email,
            name=f"Person {n}",
            server_admin=n == 0,
            created_at=float(n),
        )
    insert(database, "accounts", id=ACCOUNT, kind="personal", name="Ann", created_at=0.0)
    insert(database, "memberships", account_id=ACCOUNT, user_id=ANN, role="owner", created_at=0.0)
    insert(database, "groups", id=GROUP, account_id=ACCOUNT, name="team")
    insert(database, "group_members", group_id=GROUP, user_id=ANN)
    insert(
        database,
        "gateway_keys",
        id=KEY,
        token_hash="00" * 32,
        prefix="sq-abcd",
        label="first",
        account_id=ACCOUNT,
        user_id=ANN,
        scopes="[]",
        provider_credentials='{"openai":"v1.sealed"}',
        limits="{}",
        tool_pinning="off",
        call_ids="long",
        retention="full",
        policy_override=False,
        approval="off",
        bootstrap=False,
        created_at=0.0,
    )
    insert(
        database,
        "audit_log",
        at=0.0,
        actor="root",
        surface="cli",
        action="key.create",
        target=KEY,
        account_id=ACCOUNT,
        after=json.dumps({"user_id": ANN, "label": "key_of_mine", "text": f"of {ANN}."}),
    )
    insert(
        database,
        "tool_pins",
        scope=KEY,
        tool="send",
        digest="d",
        definition="{}",
        first_seen_at=0.0,
        last_seen_at=0.0,
    )
    insert(
        database,
        "gateway_sessions",
        id="s",
        suffix="s",
        key_id=KEY,
        account_id=ACCOUNT,
        endpoint="chat",
        created_at=0.0,
        updated_at=0.0,
        expires_at=9e9,
        closed=False,
        state=msgspec.msgpack.encode(
            {"id": "s", "owner": f"{ACCOUNT}:{ANN}", "key_id": KEY, "dual": b"\x00raw"}
        ),
        version=1,
    )


def test_ids_of_an_older_store_become_the_same_uuids_everywhere(
    database_url: str, tmp_path: Path
) -> None:
    database = Database(database_url)
    older_store(database, tmp_path)
    fill(database)

    assert migrate(database, metadata)[0] == "0006"

    assert check_schema(database, metadata).ready
    assert rows(database, "SELECT id, account_id, user_id, sealed_for FROM gateway_keys") == [
        (NEW_KEY, NEW_ACCOUNT, NEW_ANN, KEY)
    ]
    assert rows(database, "SELECT account_id, user_id FROM memberships") == [(NEW_ACCOUNT, NEW_ANN)]
    assert rows(database, "SELECT group_id, user_id FROM group_members") == [(NEW_GROUP, NEW_ANN)]
    assert rows(database, "SELECT id, account_id FROM groups") == [(NEW_GROUP, NEW_ACCOUNT)]
    assert rows(database, "SELECT scope FROM tool_pins") == [(NEW_KEY,)]
    ((target, account, after),) = rows(database, "SELECT target, account_id, after FROM audit_log")
    assert (target, account) == (NEW_KEY, NEW_ACCOUNT)
    assert json.loads(after) == {
        "user_id": NEW_ANN,
        "label": "key_of_mine",
        "text": f"of {NEW_ANN}.",
    }
    ((key_id, state),) = rows(database, "SELECT key_id, state FROM gateway_sessions")
    assert key_id == NEW_KEY
    assert msgspec.msgpack.decode(state) == {
        "id": "s",
        "owner": f"{NEW_ACCOUNT}:{NEW_ANN}",
        "key_id": NEW_KEY,
        "dual": b"\x00raw",
    }


def test_people_of_an_older_store_get_a_role_and_a_name_of_their_own(
    database_url: str, tmp_path: Path
) -> None:
    database = Database(database_url)
    older_store(database, tmp_path)
    fill(database)

    migrate(database, metadata)

    assert rows(
        database,
        "SELECT id, username, username_key, display_name, global_role FROM users"
        " ORDER BY created_at",
    ) == [
        (NEW_ANN, "ann", "ann", "Person 0", "admin"),
        (NEW_BOB, "Ann-2", "ann-2", "Person 1", "member"),
    ]


def test_references_are_checked_again_after_the_conversion(
    database_url: str, tmp_path: Path
) -> None:
    database = Database(database_url)
    older_store(database, tmp_path)
    fill(database)
    migrate(database, metadata)

    with database.migration_connection() as connection, connection.begin():
        connection.execute(text(f"DELETE FROM users WHERE id = '{NEW_ANN}'"))

    assert rows(database, "SELECT id FROM gateway_keys") == []
    assert rows(database, "SELECT user_id FROM memberships") == []
