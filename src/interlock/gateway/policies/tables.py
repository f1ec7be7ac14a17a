"""Tables of stored policies: versions, bindings, tests, and texts that came with requests.

A version's text never changes, so a reader that knows `(policy_id, n)` need not read
it again. Account `""` is the server itself.
"""

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text

from interlock.storage.schema import Instant, JsonText, metadata

__all__ = ["policies", "policy_bindings", "policy_tests", "policy_versions", "request_policies"]

policies = Table(
    "policies",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("account_id", String(64), nullable=False),
    Column("name", String(100), nullable=False),
    Column("language", String(8), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(320), nullable=False),
    Index("uq_policies_account_id_name", "account_id", "name", unique=True),
)

policy_versions = Table(
    "policy_versions",
    metadata,
    Column("policy_id", String(64), ForeignKey("policies.id"), primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("author", String(320), nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("state", String(8), nullable=False),
    Column("previous", Integer),
    Column("changed_at", Instant),
    Column("changed_by", String(320)),
    Index("ix_policy_versions_state", "state"),
)
"""`state` is `draft`, `shadow`, `active` or `retired`; `previous` is the version this one
took over from, which a rollback returns to."""

policy_bindings = Table(
    "policy_bindings",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("policy_id", String(64), ForeignKey("policies.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("target", String(64), nullable=False),
    Column("account_id", String(64), nullable=False),
    Column("position", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(320), nullable=False),
    Index("uq_policy_bindings_policy_id_kind_target", "policy_id", "kind", "target", unique=True),
)
"""`kind` is `server`, `surface`, `account` or `key`; `account_id` is the account of the
target, `""` for server and surfaces."""

policy_tests = Table(
    "policy_tests",
    metadata,
    Column("policy_id", String(64), ForeignKey("policies.id"), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("document", JsonText, nullable=False),
    Column("author", String(320), nullable=False),
    Column("created_at", Instant, nullable=False),
)
"""`document` is a test file (the members of `interlock policy test`) with this one test."""

request_policies = Table(
    "request_policies",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("language", String(8), nullable=False),
    Column("text", Text, nullable=False),
    Column("used_at", Instant, nullable=False),
    Index("ix_request_policies_used_at", "used_at"),
)
"""Policies that came with requests (X-Policy), once each: what decisions were made under."""
