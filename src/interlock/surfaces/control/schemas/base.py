"""What all header models have in common: strict types, unknown keys refused.

Every field is optional and null means absent, because a header only says what it
changes. Keys starting with `x_` are private to clients and ignored, at every level,
unless a model declares them.

Source: gateway.md section 3.
"""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["HeaderModel"]


class HeaderModel(BaseModel):
    """Base of the header models: frozen, nothing coerced, nothing unknown."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())

    ignored: ClassVar[frozenset[str]] = frozenset()
    """Keys accepted for old clients' sake and dropped."""

    @model_validator(mode="before")
    @classmethod
    def _drop_ignored(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        known = cls.model_fields
        return {
            key: value
            for key, value in data.items()
            if key in known or not (key in cls.ignored or key.startswith("x_"))
        }

    def given(self) -> dict[str, object]:
        """What the header says, as plain JSON values: neither nulls nor defaults."""
        return self.model_dump(exclude_none=True, exclude_unset=True)
