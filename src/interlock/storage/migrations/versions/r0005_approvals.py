"""Human approval of soft denials, and the keys that ask for it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table of this revision; keys say whether a person is asked."""
    op.add_column(
        "gateway_keys",
        sa.Column("approval", sa.String(length=8), nullable=False, server_default="off"),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("decision_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=False),
        sa.Column("surface", sa.String(length=32), nullable=False),
        sa.Column("asked_for", sa.String(length=320), nullable=False),
        sa.Column("tool", sa.String(length=300), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("arguments", sa.Text()),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("lineage", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("decided_at", sa.Double()),
        sa.Column("decided_by", sa.String(length=320)),
        sa.Column("reason", sa.Text()),
        sa.Column("scope", sa.String(length=8), nullable=False),
        sa.Column("edited_arguments", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    op.create_index("ix_approvals_state_asked_at", "approvals", ["state", "asked_at"])
    op.create_index("ix_approvals_account_id_asked_at", "approvals", ["account_id", "asked_at"])
