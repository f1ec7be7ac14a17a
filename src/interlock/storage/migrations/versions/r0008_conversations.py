"""Conversations, their members, messages, invitations, read marks, and full text."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables of this revision and the search index of the database."""
    _conversations()
    _messages()
    _people()
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE message_texts USING fts5("
            "message_id UNINDEXED, conversation_id UNINDEXED, content)"
        )
    else:
        op.execute(
            "CREATE INDEX ix_messages_content_words ON messages "
            "USING gin (to_tsvector('simple', content))"
        )


def _conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("is_group", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("last_activity_at", sa.Double(), nullable=False),
        sa.Column("archived_at", sa.Double()),
        sa.Column("assistant_mode", sa.String(length=8), nullable=False),
        sa.Column("context_mode", sa.String(length=16), nullable=False),
        sa.Column("default_agent", sa.String(length=64)),
        sa.Column("model", sa.String(length=300)),
        sa.Column("system_prompt", sa.Text()),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
    )
    op.create_table(
        "conversation_members",
        sa.Column("conversation_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("joined_at", sa.Double(), nullable=False),
        sa.Column("joined_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "user_id", name=op.f("pk_conversation_members")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_conversation_members_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_conversation_members_user_id", "conversation_members", ["user_id"])


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("conversation_id", sa.String(length=36), nullable=False),
        sa.Column("root_id", sa.String(length=36), nullable=False),
        sa.Column("parent_id", sa.String(length=36)),
        sa.Column("author_user_id", sa.String(length=64)),
        sa.Column("agent_id", sa.String(length=36)),
        sa.Column("requested_by", sa.String(length=64)),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column(
            "path", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("finish_reason", sa.String(length=32)),
        sa.Column("usage", sa.Text()),
        sa.Column("model", sa.String(length=300)),
        sa.Column("error", sa.Text()),
        sa.Column("edited_at", sa.Double()),
        sa.Column("edited_by", sa.String(length=64)),
        sa.Column("deleted_at", sa.Double()),
        sa.Column("deleted_by", sa.String(length=64)),
        sa.Column("mentions", sa.Text(), nullable=False),
        sa.Column("has_reasoning", sa.Boolean(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_messages_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_messages_parent_id", "messages", ["parent_id"])
    op.create_index("ix_messages_root_id_seq", "messages", ["root_id", "seq"])
    op.create_index("ix_messages_status_conversation_id", "messages", ["status", "conversation_id"])
    op.create_index(
        "uq_messages_conversation_id_seq", "messages", ["conversation_id", "seq"], unique=True
    )
    op.create_table(
        "threads",
        sa.Column("root_id", sa.String(length=36), nullable=False),
        sa.Column("conversation_id", sa.String(length=36), nullable=False),
        sa.Column("last_activity_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("root_id", name=op.f("pk_threads")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_threads_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_threads_conversation_id_last_activity_at",
        "threads",
        ["conversation_id", "last_activity_at"],
    )
    op.create_table(
        "message_chunks",
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "idx", name=op.f("pk_message_chunks")),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["messages.id"],
            name=op.f("fk_message_chunks_message_id_messages"),
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "message_versions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("action", sa.String(length=8), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("by_user_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message_versions")),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["messages.id"],
            name=op.f("fk_message_versions_message_id_messages"),
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_message_versions_message_id_at", "message_versions", ["message_id", "at"])


def _people() -> None:
    op.create_table(
        "conversation_invites",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("conversation_id", sa.String(length=36), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("revoked_at", sa.Double()),
        sa.Column("used_at", sa.Double()),
        sa.Column("used_by", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversation_invites")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_conversation_invites_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_conversation_invites_conversation_id", "conversation_invites", ["conversation_id"]
    )
    op.create_index(
        "uq_conversation_invites_token_hash", "conversation_invites", ["token_hash"], unique=True
    )
    op.create_table(
        "read_marks",
        sa.Column("root_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("root_id", "user_id", name=op.f("pk_read_marks")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_read_marks_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_read_marks_conversation_id_user_id", "read_marks", ["conversation_id", "user_id"]
    )
    op.create_table(
        "presences",
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("last_seen_at", sa.Double(), nullable=False),
        sa.Column("announced_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_presences")),
    )
    op.create_index("ix_presences_status_last_seen_at", "presences", ["status", "last_seen_at"])
    op.create_table(
        "posted_requests",
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.Text()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_posted_requests")),
    )
    op.create_index("ix_posted_requests_created_at", "posted_requests", ["created_at"])
