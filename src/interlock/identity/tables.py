"""Tables of accounts, people, memberships, groups, keys, login sessions and the audit log."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, false

from interlock.storage.schema import Instant, JsonText, metadata

__all__ = [
    "accounts",
    "audit_log",
    "gateway_keys",
    "group_members",
    "groups",
    "login_sessions",
    "memberships",
    "server_meta",
    "users",
]

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("email", String(320), nullable=False, unique=True),
    Column("display_name", String(200), nullable=False),
    Column("password_hash", String(300)),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
    Column("username", String(64), nullable=False, server_default=""),
    Column("username_key", String(128), nullable=False, server_default=""),
    Column("global_role", String(16), nullable=False, server_default="member"),
    Column("email_verified", Boolean, nullable=False, server_default=false()),
    Index("uq_users_username_key", "username_key", unique=True),
)
"""`username_key` is the user name as it is compared: see `identity.naming`."""

login_sessions = Table(
    "login_sessions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("family", String(36), nullable=False),
    Column("user_id", String(64), ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("token_hash", String(64), nullable=False),
    Column("previous_csrf_hash", String(64)),
    Column("successor", String(64)),
    Column("issued_at", Instant, nullable=False),
    Column("signed_in_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("absolute_expires_at", Instant, nullable=False),
    Column("replaced_at", Instant),
    Column("revoked_at", Instant),
    Column("flagged", Boolean, nullable=False),
    Column("address", String(64), nullable=False),
    Column("user_agent", String(300), nullable=False),
    Column("fingerprint", String(128), nullable=False),
    Index("uq_login_sessions_token_hash", "token_hash", unique=True),
    Index("ix_login_sessions_user_id", "user_id"),
    Index("ix_login_sessions_family", "family"),
    Index("ix_login_sessions_absolute_expires_at", "absolute_expires_at"),
)
"""One row per token. `family` is the session the person began; rotation adds a row to it.
`successor` is the token after this one, readable only with this one: see `identity.login`."""


memberships = Table(
    "memberships",
    metadata,
    Column(
        "account_id", String(64), ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("user_id", String(64), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_memberships_user_id", "user_id"),
)

groups = Table(
    "groups",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("account_id", String(64), ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("role", String(16)),
    Column("models", JsonText),
    Column("tools", JsonText),
    Column("policies", JsonText),
    Column("budget", JsonText),
    Index("uq_groups_account_id_name", "account_id", "name", unique=True),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_id", String(64), ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", String(64), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_group_members_user_id", "user_id"),
)

gateway_keys = Table(
    "gateway_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("token_hash", String(64), nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("label", String(200), nullable=False),
    Column("account_id", String(64), ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", String(64), ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("scopes", JsonText, nullable=False),
    Column("base_config", JsonText),
    Column("provider_credentials", JsonText),
    Column("limits", JsonText, nullable=False),
    Column("tool_pinning", String(8), nullable=False),
    Column("call_ids", String(8), nullable=False),
    Column("retention", String(8), nullable=False),
    Column("policy_override", Boolean, nullable=False),
    Column("approval", String(8), nullable=False, server_default="off"),
    Column("bootstrap", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    Column("sealed_for", String(64)),
    Index("uq_gateway_keys_token_hash", "token_hash", unique=True),
    Index("ix_gateway_keys_account_id_created_at", "account_id", "created_at"),
    Index("ix_gateway_keys_user_id", "user_id"),
)

"""`sealed_for` is the id its provider credentials were encrypted for, when that is not `id`."""

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("actor", String(320), nullable=False),
    Column("surface", String(32), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(200), nullable=False),
    Column("account_id", String(64)),
    Column("before", JsonText),
    Column("after", JsonText),
    Index("ix_audit_log_at", "at"),
    Index("ix_audit_log_target", "target"),
)

server_meta = Table(
    "server_meta",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", JsonText, nullable=False),
)
