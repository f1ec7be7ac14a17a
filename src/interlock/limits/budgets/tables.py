"""Budgets, and what was spent of them by window."""

from sqlalchemy import Column, Double, Index, String, Table, Text

from interlock.storage.schema import Instant, metadata

__all__ = ["budget_spending", "budgets"]

budgets = Table(
    "budgets",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("unit", String(16), nullable=False),
    Column("period", String(16), nullable=False),
    Column("amount", Double, nullable=False),
    Column("action", String(16), nullable=False),
    Column("model", Text),
    Column("warn_at", Double, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("uq_budgets_subject", "kind", "subject", "unit", "period", unique=True),
)

budget_spending = Table(
    "budget_spending",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("spent", Double, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Index("ix_budget_spending_ends_at", "ends_at"),
)
"""`name` is subject, unit and window of a count (`service.name_of`)."""
