"""Tables of conversations, members, messages, invitations, read marks and presence."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    column,
    table,
)

from interlock.storage.schema import Instant, JsonText, metadata

__all__ = [
    "conversation_invites",
    "conversation_members",
    "conversations",
    "message_chunks",
    "message_texts",
    "message_versions",
    "messages",
    "presences",
    "read_marks",
    "threads",
]


def _of_conversation(*, key: bool = False) -> Column[str]:
    return Column(
        "conversation_id",
        String(36),
        ForeignKey("conversations.id", ondelete="CASCADE"),
        primary_key=key,
        nullable=False,
    )


conversations = Table(
    "conversations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("account_id", String(64), nullable=False),
    Column("title", Text, nullable=False),
    Column("is_group", Boolean, nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("last_activity_at", Instant, nullable=False),
    Column("archived_at", Instant),
    Column("assistant_mode", String(8), nullable=False),
    Column("context_mode", String(16), nullable=False),
    Column("default_agent", String(64)),
    Column("model", String(300)),
    Column("system_prompt", Text),
    Column("last_seq", BigInteger, nullable=False),
)

conversation_members = Table(
    "conversation_members",
    metadata,
    _of_conversation(key=True),
    Column("user_id", String(64), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("role", String(8), nullable=False),
    Column("joined_at", Instant, nullable=False),
    Column("joined_seq", BigInteger, nullable=False),
    Index("ix_conversation_members_user_id", "user_id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", String(36), primary_key=True),
    _of_conversation(),
    Column("root_id", String(36), nullable=False),
    Column("parent_id", String(36)),
    Column("author_user_id", String(64)),
    Column("agent_id", String(36)),
    Column("requested_by", String(64)),
    Column("role", String(16), nullable=False),
    Column("content", Text, nullable=False),
    # Sorted byte by byte on both databases: a locale would put the dots elsewhere.
    Column("path", Text().with_variant(Text(collation="C"), "postgresql"), nullable=False),
    Column("depth", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("status", String(16), nullable=False),
    Column("finish_reason", String(32)),
    Column("usage", JsonText),
    Column("model", String(300)),
    Column("error", JsonText),
    Column("edited_at", Instant),
    Column("edited_by", String(64)),
    Column("deleted_at", Instant),
    Column("deleted_by", String(64)),
    Column("mentions", JsonText, nullable=False),
    Column("has_reasoning", Boolean, nullable=False),
    Column("metadata", JsonText, nullable=False),
    Column("made_by", String(36)),
    Index("uq_messages_conversation_id_seq", "conversation_id", "seq", unique=True),
    Index("ix_messages_root_id_seq", "root_id", "seq"),
    Index("ix_messages_parent_id", "parent_id"),
    Index("ix_messages_status_conversation_id", "status", "conversation_id"),
)

threads = Table(
    "threads",
    metadata,
    Column("root_id", String(36), primary_key=True),
    _of_conversation(),
    Column("last_activity_at", Instant, nullable=False),
    Index("ix_threads_conversation_id_last_activity_at", "conversation_id", "last_activity_at"),
)

message_texts = table(
    "message_texts", column("message_id"), column("conversation_id"), column("content")
)
"""Words of messages for full text on SQLite: a virtual table, so not part of the metadata."""

message_chunks = Table(
    "message_chunks",
    metadata,
    Column(
        "message_id", String(36), ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("idx", Integer, primary_key=True),
    Column("content", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

message_versions = Table(
    "message_versions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("message_id", String(36), ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    Column("action", String(8), nullable=False),
    Column("content", Text, nullable=False),
    Column("by_user_id", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    Column("reason", Text),
    Index("ix_message_versions_message_id_at", "message_id", "at"),
)

conversation_invites = Table(
    "conversation_invites",
    metadata,
    Column("id", String(36), primary_key=True),
    _of_conversation(),
    Column("email", String(320), nullable=False),
    Column("role", String(8), nullable=False),
    Column("token_hash", String(64), nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("used_at", Instant),
    Column("used_by", String(64)),
    Index("uq_conversation_invites_token_hash", "token_hash", unique=True),
    Index("ix_conversation_invites_conversation_id", "conversation_id"),
)

read_marks = Table(
    "read_marks",
    metadata,
    Column("root_id", String(36), primary_key=True),
    Column("user_id", String(64), primary_key=True),
    _of_conversation(),
    Column("seq", BigInteger, nullable=False),
    Index("ix_read_marks_conversation_id_user_id", "conversation_id", "user_id"),
)

presences = Table(
    "presences",
    metadata,
    Column("user_id", String(64), primary_key=True),
    Column("status", String(8), nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("announced_at", Instant, nullable=False),
    Index("ix_presences_status_last_seen_at", "status", "last_seen_at"),
)
