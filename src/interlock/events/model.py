"""Events as values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Event", "NewEvent"]


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
    stream: str
    id: str
    type: str
    payload: Mapping[str, Any]
    audience: str | None
    at_ms: int
    key: str | None
