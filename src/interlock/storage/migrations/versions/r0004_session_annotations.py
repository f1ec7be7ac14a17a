"""Annotations of sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table of this revision."""
    op.create_table(
        "session_annotations",
        sa.Column("n", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_session_annotations")),
    )
    op.create_index("uq_session_annotations_id", "session_annotations", ["id"], unique=True)
    op.create_index(
        "ix_session_annotations_session_id_owner_n",
        "session_annotations",
        ["session_id", "owner", "n"],
    )
    op.create_index("ix_session_annotations_at", "session_annotations", ["at"])
