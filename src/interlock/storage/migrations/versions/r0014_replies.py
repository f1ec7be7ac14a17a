"""Replies of agents: what was asked, how far they have come, how they came about."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table of this revision."""
    op.create_table(
        "replies",
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("trail", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_replies")),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["messages.id"],
            name=op.f("fk_replies_message_id_messages"),
            ondelete="CASCADE",
        ),
    )
