"""Bodies of session annotations. Source: gateway.md section 15.2."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from interlock.gateway.annotations.model import Source

__all__ = ["AnnotationBody", "BatchBody", "BatchItem", "LabelsBody"]

_NAME_CHARS = 500
_BATCH_ITEMS = 100


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LabelsBody(_Strict):
    """What was found out; null and absent are the same."""

    task_success: bool | None = None
    task_id: str | None = Field(default=None, max_length=_NAME_CHARS)
    domain: str | None = Field(default=None, max_length=_NAME_CHARS)
    reward: float | None = Field(default=None, ge=0, le=1)
    error_category: str | None = Field(default=None, max_length=_NAME_CHARS)


class AnnotationBody(_Strict):
    """An annotation as it is sent."""

    source: Source
    labels: LabelsBody
    outcome_logs: Any = None
    metadata: dict[str, Any] | None = None


class BatchItem(_Strict):
    """One of several. The annotation is validated by itself, so that the others are kept."""

    session_id: str = Field(min_length=1, max_length=_NAME_CHARS)
    annotation: Any


class BatchBody(_Strict):
    """Several annotations, of any sessions."""

    items: list[Any] = Field(max_length=_BATCH_ITEMS)
