"""Stored policies, and what a decision must remember to be decided again."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables of this revision; decisions get what they were made under."""
    op.add_column("decisions", sa.Column("basis", sa.Text(), nullable=False, server_default="{}"))
    op.create_table(
        "policies",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=320), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policies")),
    )
    op.create_index("uq_policies_account_id_name", "policies", ["account_id", "name"], unique=True)
    op.create_table(
        "policy_versions",
        sa.Column("policy_id", sa.String(length=64), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=320), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("previous", sa.Integer()),
        sa.Column("changed_at", sa.Double()),
        sa.Column("changed_by", sa.String(length=320)),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["policies.id"], name=op.f("fk_policy_versions_policy_id")
        ),
        sa.PrimaryKeyConstraint("policy_id", "n", name=op.f("pk_policy_versions")),
    )
    op.create_index("ix_policy_versions_state", "policy_versions", ["state"])
    op.create_table(
        "policy_bindings",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("policy_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=320), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["policies.id"], name=op.f("fk_policy_bindings_policy_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_bindings")),
    )
    op.create_index(
        "uq_policy_bindings_policy_id_kind_target",
        "policy_bindings",
        ["policy_id", "kind", "target"],
        unique=True,
    )
    op.create_table(
        "policy_tests",
        sa.Column("policy_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=320), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["policies.id"], name=op.f("fk_policy_tests_policy_id")
        ),
        sa.PrimaryKeyConstraint("policy_id", "name", name=op.f("pk_policy_tests")),
    )
    op.create_table(
        "request_policies",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_request_policies")),
    )
    op.create_index("ix_request_policies_used_at", "request_policies", ["used_at"])
