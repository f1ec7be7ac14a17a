"""Where the store is and how long to wait for it."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr

__all__ = ["StoreSettings"]


class StoreSettings(BaseModel):
    """The relational store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: SecretStr | None = None
    """`sqlite:///PATH` or `postgresql://...`; none: `interlock.db` in the data directory."""
    blobs_url: SecretStr | None = None
    """`s3://BUCKET/PREFIX`, `gs://...`, `az://...` or `file:///PATH`: where the files of
    conversations are kept; none: `blobs` in the data directory. Needs the extra `s3`."""
    blobs: dict[str, SecretStr] = {}
    """Options of that store: `endpoint`, `region`, `access_key_id`, `secret_access_key`,
    `allow_http`, ... What is absent is looked for in the environment (`AWS_...`)."""
    redis_url: SecretStr | None = None
    """`redis://HOST:PORT/N`, when several processes serve; none: one process."""
    redis_prefix: str = Field(default="interlock", min_length=1, max_length=64)
    """Begins the name of everything kept there; servers with different databases need
    different ones."""
    pool_size: int = Field(default=5, ge=1, le=200)
    """Connections kept per process, besides the writer's own."""
    connect_timeout_s: float = Field(default=5.0, gt=0, le=120)
    migration_lock_s: float = Field(default=60.0, gt=0, le=3600)
    """How long a starting process waits for another one that is migrating."""
