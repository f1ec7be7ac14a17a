"""Events as values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["EVERYBODY", "Event", "NewEvent"]

EVERYBODY: Final = "*"
"""As a reader: one inside the server, that gets what is meant for anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """Something to be told."""

    type: str
    payload: Mapping[str, Any]
    audience: str | None = None
    """A user id: only that user's readers see it."""
    key: str | None = None
    """Events of one key may be merged for a slow reader."""
    name: Callable[[int], str] | None = None
    """Unix milliseconds -> public id; None: `<stream>:<seq>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that was told."""

    seq: int
    """Global, without holes, in the order of commits."""
    stream: str
    id: str
    """Public id, unique in its stream."""
    type: str
    payload: Mapping[str, Any]
    audience: str | None
    at_ms: int
    """Unix milliseconds, strictly increasing in its stream."""
    key: str | None
