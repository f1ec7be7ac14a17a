"""People: user names, roles on the server, login sessions, rights of groups; ids become UUIDs.

Ids of the form `user_<24 hex>`, `acc_...`, `key_...` and `grp_...` become the UUID that
`converted` gives, wherever they stand. Always the same id becomes the same UUID, so that
what was kept outside the database can be found again.
"""

import re
import unicodedata
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_OLD = re.compile(r"\b(user|acc|key|grp)_([0-9a-f]{24})\b")
_PREFIXES = ("user", "acc", "key", "grp")
_PLAIN = (
    ("users", "id"),
    ("accounts", "id"),
    ("groups", "id"),
    ("groups", "account_id"),
    ("memberships", "account_id"),
    ("memberships", "user_id"),
    ("group_members", "group_id"),
    ("group_members", "user_id"),
    ("gateway_keys", "id"),
    ("gateway_keys", "account_id"),
    ("gateway_keys", "user_id"),
    ("audit_log", "target"),
    ("audit_log", "account_id"),
    ("usage_records", "account_id"),
    ("usage_records", "key_id"),
    ("decisions", "account_id"),
    ("decisions", "key_id"),
    ("gateway_sessions", "key_id"),
    ("gateway_sessions", "account_id"),
    ("session_annotations", "account_id"),
    ("session_annotations", "key_id"),
    ("stored_responses", "key_id"),
    ("stored_responses", "account_id"),
    ("tool_pins", "scope"),
    ("approvals", "account_id"),
    ("approvals", "key_id"),
    ("policies", "account_id"),
    ("policy_bindings", "account_id"),
    ("policy_bindings", "target"),
)
"""Columns that hold one id and nothing else."""
_WITHIN = (
    ("audit_log", "id", "before"),
    ("audit_log", "id", "after"),
    ("decisions", "id", "caller"),
    ("session_annotations", "n", "owner"),
)
"""Columns with ids inside a text: table, primary key, column."""
_REFERRING = ("memberships", "groups", "group_members", "gateway_keys")
_BATCH = 500


def converted(old: str) -> str:
    """The UUID an older id becomes: its digits, then three letters of its prefix.

    `key_0123456789abcdef01234567` -> `01234567-89ab-4cde-8f01-2345676b6579`.
    """
    prefix, _, digits = old.partition("_")
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-8{digits[15:18]}-"
        f"{digits[18:]}{prefix[:3].encode().hex()}"
    )


def upgrade() -> None:
    """Converts ids, then makes the tables and columns of this revision."""
    bind = op.get_bind()
    op.add_column("gateway_keys", sa.Column("sealed_for", sa.String(length=64)))
    # Credentials are bound to the id their key had when they were encrypted.
    bind.execute(
        sa.text(
            "UPDATE gateway_keys SET sealed_for = id "
            "WHERE provider_credentials IS NOT NULL AND id LIKE 'key\\_%' ESCAPE '\\'"
        )
    )
    _without_references(bind)
    _people(bind)
    _sessions()
    for name in ("models", "tools", "policies", "budget"):
        op.add_column("groups", sa.Column(name, sa.Text()))
    op.add_column("groups", sa.Column("role", sa.String(length=16)))


def _without_references(bind: sa.Connection) -> None:
    """Converts while nothing checks that a reference has its target."""
    if bind.dialect.name == "sqlite":
        bind.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        _convert(bind)
        return
    inspector = sa.inspect(bind)
    keys = [
        (table, key)
        for table in _REFERRING
        for key in inspector.get_foreign_keys(table)
        if key["referred_table"] in {"users", "accounts", "groups"}
    ]
    for table, key in keys:
        op.drop_constraint(str(key["name"]), table, type_="foreignkey")
    _convert(bind)
    for table, key in keys:
        op.create_foreign_key(
            op.f(str(key["name"])),
            table,
            key["referred_table"],
            key["constrained_columns"],
            key["referred_columns"],
            ondelete="CASCADE",
        )


def _convert(bind: sa.Connection) -> None:
    for table, column in _PLAIN:
        for prefix in _PREFIXES:
            _convert_column(bind, table, column, prefix)
    for table, key, column in _WITHIN:
        _convert_within(bind, table, key, column)
    _convert_states(bind)


def _convert_column(bind: sa.Connection, table: str, column: str, prefix: str) -> None:
    """One statement for all rows; there may be millions of decisions."""
    first = len(prefix) + 2  # SQL counts from 1
    pieces = [
        f"substr({column}, {first}, 8) || '-'",
        f"substr({column}, {first + 8}, 4) || '-4'",
        f"substr({column}, {first + 12}, 3) || '-8'",
        f"substr({column}, {first + 15}, 3) || '-'",
        f"substr({column}, {first + 18}, 6) || '{prefix[:3].encode().hex()}'",
    ]
    bind.execute(
        sa.text(
            f"UPDATE {table} SET {column} = {' || '.join(pieces)} "  # noqa: S608 - constants
            f"WHERE {column} LIKE '{prefix}\\_%' ESCAPE '\\' "
            f"AND length({column}) = {len(prefix) + 25}"
        )
    )


def _convert_within(bind: sa.Connection, table: str, key: str, column: str) -> None:
    looks = " OR ".join(f"{column} LIKE '%{prefix}\\_%' ESCAPE '\\'" for prefix in _PREFIXES)
    rows = bind.execute(
        sa.text(f"SELECT {key}, {column} FROM {table} WHERE {looks}")  # noqa: S608 - constants
    )
    statement = sa.text(
        f"UPDATE {table} SET {column} = :value WHERE {key} = :key"  # noqa: S608 - constants
    )
    changed = [
        {"key": row[0], "value": new} for row in rows if (new := _converted_text(row[1])) != row[1]
    ]
    for start in range(0, len(changed), _BATCH):
        bind.execute(statement, changed[start : start + _BATCH])


def _convert_states(bind: sa.Connection) -> None:
    """States of gateway sessions say whose they are."""
    table = sa.table("gateway_sessions", sa.column("id"), sa.column("state", sa.LargeBinary))
    identifiers = bind.execute(sa.select(table.c.id)).scalars().all()
    for name in identifiers:
        stored = bind.execute(sa.select(table.c.state).where(table.c.id == name)).scalar_one()
        try:
            state = msgspec.msgpack.decode(stored)
        except msgspec.DecodeError:
            continue  # whoever wrote it cannot read it either
        if not isinstance(state, dict):
            continue
        for member in ("owner", "key_id", "account_id"):
            if isinstance(state.get(member), str):
                state[member] = _converted_text(state[member])
        bind.execute(
            sa.update(table).where(table.c.id == name).values(state=msgspec.msgpack.encode(state))
        )


def _converted_text(text: str) -> str:
    return _OLD.sub(lambda found: converted(found[0]), text)


def _people(bind: sa.Connection) -> None:
    for column in (
        sa.Column("username", sa.String(length=64), nullable=False, server_default=""),
        sa.Column("username_key", sa.String(length=128), nullable=False, server_default=""),
        sa.Column("global_role", sa.String(length=16), nullable=False, server_default="member"),
        sa.Column("email_verified", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("users", column)
    users = sa.table(
        "users",
        *map(sa.column, ("id", "email", "username", "username_key", "global_role", "created_at")),
        sa.column("server_admin", sa.Boolean),
    )
    bind.execute(sa.update(users).where(users.c.server_admin).values(global_role="admin"))
    taken: set[str] = set()
    rows: list[Any] = list(
        bind.execute(
            sa.select(users.c.id, users.c.email).order_by(users.c.created_at, users.c.id)
        ).all()
    )
    for user_id, email in rows:
        name, key = _free_name(email, taken)
        bind.execute(
            sa.update(users).where(users.c.id == user_id).values(username=name, username_key=key)
        )
    op.create_index("uq_users_username_key", "users", ["username_key"], unique=True)
    op.drop_column("users", "server_admin")
    op.alter_column("users", "name", new_column_name="display_name")


def _free_name(email: str, taken: set[str]) -> tuple[str, str]:
    """A user name nobody has yet, after the address; and the form it is compared in."""
    base = re.sub(r"[^\w.\-]", "-", email.partition("@")[0])[:56] or "user"
    name, n = base, 1
    while (key := unicodedata.normalize("NFKC", name).casefold()) in taken:
        n += 1
        name = f"{base}-{n}"
    taken.add(key)
    return name, key


def _sessions() -> None:
    op.create_table(
        "login_sessions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("family", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("previous_csrf_hash", sa.String(length=64)),
        sa.Column("successor", sa.String(length=64)),
        sa.Column("issued_at", sa.Double(), nullable=False),
        sa.Column("signed_in_at", sa.Double(), nullable=False),
        sa.Column("last_seen_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("absolute_expires_at", sa.Double(), nullable=False),
        sa.Column("replaced_at", sa.Double()),
        sa.Column("revoked_at", sa.Double()),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("user_agent", sa.String(length=300), nullable=False),
        sa.Column("fingerprint", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_login_sessions_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_sessions")),
    )
    op.create_index("uq_login_sessions_token_hash", "login_sessions", ["token_hash"], unique=True)
    for column in ("user_id", "family", "absolute_expires_at"):
        op.create_index(f"ix_login_sessions_{column}", "login_sessions", [column])
