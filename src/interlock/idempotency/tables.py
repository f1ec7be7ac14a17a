"""The table of keys and of the first answers to them."""

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table

from interlock.storage.schema import Instant, metadata

__all__ = ["idempotency_keys"]

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", String(200), primary_key=True),
    Column("key_hash", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_idempotency_keys_created_at", "created_at"),
)
"""`scope` says who may use a key and for what; keys are hashed because clients put anything
into them."""
