"""Stored sessions count their writes, so that two processes cannot overwrite each other."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the version; sessions stored before have the version 1."""
    op.add_column(
        "gateway_sessions",
        sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"),
    )
