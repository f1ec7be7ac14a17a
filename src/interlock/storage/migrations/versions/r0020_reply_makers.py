"""Which process makes a reply; first answers to repeated posts are kept with all others."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column of this revision and drops the table that nothing uses any more."""
    op.add_column("messages", sa.Column("made_by", sa.String(length=36), nullable=True))
    op.drop_table("posted_requests")
