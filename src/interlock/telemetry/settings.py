"""What is logged, measured and traced, and where it goes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

__all__ = ["TelemetrySettings"]


class TelemetrySettings(BaseModel):
    """Logs go to standard error; traces only where an endpoint is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"
    otlp_endpoint: str | None = None
    """OTLP over HTTP, e.g. `http://127.0.0.1:4318`; none: nothing is traced."""
    otlp_headers: SecretStr | None = None
    """`name=value,name=value`."""
    service_name: str = Field(default="interlock", min_length=1)
    trace_sample: float = Field(default=1.0, ge=0, le=1)
