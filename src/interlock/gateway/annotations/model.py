"""An annotation, before and after it is kept."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import msgspec

from interlock.kernel.errors import InterlockError

__all__ = ["SOURCES", "Annotation", "Draft", "Kept", "Source"]

Source = Literal["tau2_bench", "swe_bench", "manual", "auto_prompt_codex"]
SOURCES: tuple[Source, ...] = get_args(Source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What somebody says about a session."""

    source: Source
    labels: dict[str, Any] = field(default_factory=dict)
    """`task_success`, `task_id`, `domain`, `reward`, `error_category`, as far as given."""
    outcome_logs: Any = None
    """Any JSON."""
    metadata: dict[str, Any] | None = None

    @property
    def size_bytes(self) -> int:
        """Of the free parts, as JSON."""
        parts = (self.outcome_logs, self.metadata)
        return sum(len(msgspec.json.encode(part)) for part in parts if part is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation(Draft):
    """An annotation that is kept."""

    id: str
    session_id: str
    at: float
    """When it was made, seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What became of several: each is in one of the two."""

    created: tuple[Annotation, ...]
    errors: dict[int, InterlockError]
    """By position in what was given."""
