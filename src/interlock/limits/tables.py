"""Tables of limit profiles and of the routes they are assigned to."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, Text

from interlock.storage.schema import Instant, JsonText, metadata

__all__ = ["limit_assignments", "limit_profiles"]

limit_profiles = Table(
    "limit_profiles",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("algorithm", String(16), nullable=False),
    Column("params", JsonText, nullable=False),
    Column("description", Text),
    Column("built_in", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("uq_limit_profiles_name", "name", unique=True),
)

limit_assignments = Table(
    "limit_assignments",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("profile_id", String(36), ForeignKey("limit_profiles.id"), nullable=False),
    Column("method", String(8), nullable=False),
    Column("path_pattern", String(500), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_limit_assignments_profile_id", "profile_id"),
    Index("uq_limit_assignments_method_path_pattern", "method", "path_pattern", unique=True),
)
