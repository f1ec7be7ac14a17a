"""Where the stores are and how long to wait for them."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr

__all__ = ["StoreSettings"]


class StoreSettings(BaseModel):
    """The relational store and the optional shared services."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: SecretStr | None = None
    """`sqlite:///PATH` or `postgresql://...`; none: `interlock.db` in the data directory."""
    redis_url: SecretStr | None = None
    """`redis://...` shares limits between processes; none: each process counts for itself."""
    blobs_url: SecretStr | None = None
    """`s3://...` or `file:///PATH`; none: `blobs/` in the data directory."""
    pool_size: int = Field(default=5, ge=1, le=200)
    """Connections kept per process, besides the writer's own."""
    connect_timeout_s: float = Field(default=5.0, gt=0, le=120)
    migration_lock_s: float = Field(default=60.0, gt=0, le=3600)
    """How long a starting process waits for another one that is migrating."""
