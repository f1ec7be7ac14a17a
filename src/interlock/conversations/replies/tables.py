"""The table of replies: what was asked, what has been done, how it came about."""

from sqlalchemy import Column, ForeignKey, String, Table

from interlock.storage.schema import Instant, JsonText, metadata

__all__ = ["replies"]

replies = Table(
    "replies",
    metadata,
    Column(
        "message_id", String(36), ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("asked", JsonText, nullable=False),
    Column("journal", JsonText, nullable=False),
    Column("trail", JsonText, nullable=False),
    Column("created_at", Instant, nullable=False),
)
"""`asked`: who asked and with which options. `journal`: finished rounds with their tool results,
so that nothing is done twice after a crash."""
