"""The table of attachments."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Table, Text

from interlock.storage.schema import Instant, metadata

__all__ = ["attachments"]

attachments = Table(
    "attachments",
    metadata,
    Column("id", String(36), primary_key=True),
    Column(
        "conversation_id",
        String(36),
        ForeignKey("conversations.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("message_id", String(36), ForeignKey("messages.id", ondelete="CASCADE")),
    Column("uploaded_by", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("media_type", String(100), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("blob", String(36), nullable=False),
    Column("text_state", String(8), nullable=False),
    Column("text", Text),
    Column("text_error", Text),
    Column("text_edited_by", String(64)),
    Column("created_at", Instant, nullable=False),
    Index("ix_attachments_conversation_id_created_at", "conversation_id", "created_at"),
    Index("ix_attachments_message_id", "message_id"),
    Index("ix_attachments_text_state", "text_state"),
)
