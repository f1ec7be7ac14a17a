"""The table of approvals."""

from sqlalchemy import Column, Index, String, Table, Text

from interlock.storage.schema import Instant, JsonText, metadata

__all__ = ["approvals"]

approvals = Table(
    "approvals",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("decision_id", String(64), nullable=False),
    Column("account_id", String(64), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("session_id", String(64), nullable=False),
    Column("surface", String(32), nullable=False),
    Column("asked_for", String(320), nullable=False),
    Column("tool", String(300), nullable=False),
    Column("rule", Text, nullable=False),
    Column("arguments", JsonText),
    Column("labels", JsonText, nullable=False),
    Column("lineage", JsonText, nullable=False),
    Column("state", String(8), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("decided_at", Instant),
    Column("decided_by", String(320)),
    Column("reason", Text),
    Column("scope", String(8), nullable=False),
    Column("edited_arguments", JsonText),
    Index("ix_approvals_state_asked_at", "state", "asked_at"),
    Index("ix_approvals_account_id_asked_at", "account_id", "asked_at"),
)
