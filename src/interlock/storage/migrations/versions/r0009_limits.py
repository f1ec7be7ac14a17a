"""Profiles of rate limits and the routes they are assigned to."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables of this revision."""
    op.create_table(
        "limit_profiles",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("algorithm", sa.String(length=16), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("built_in", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limit_profiles")),
    )
    op.create_index("uq_limit_profiles_name", "limit_profiles", ["name"], unique=True)
    op.create_table(
        "limit_assignments",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("method", sa.String(length=8), nullable=False),
        sa.Column("path_pattern", sa.String(length=500), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limit_assignments")),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["limit_profiles.id"],
            name=op.f("fk_limit_assignments_profile_id_limit_profiles"),
        ),
    )
    op.create_index("ix_limit_assignments_profile_id", "limit_assignments", ["profile_id"])
    op.create_index(
        "uq_limit_assignments_method_path_pattern",
        "limit_assignments",
        ["method", "path_pattern"],
        unique=True,
    )
