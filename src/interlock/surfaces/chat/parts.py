"""What routes are handed: services, settings, values of paths and queries."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request

from interlock.conversations.build import Talks
from interlock.conversations.errors import InvalidFieldError
from interlock.surfaces.chat.auth import Callers
from interlock.web.sse import SseStreams

__all__ = [
    "ERRORS",
    "ChatParts",
    "Id",
    "IdQuery",
    "Parts",
    "RepeatKey",
    "TalksOf",
    "WellKnown",
    "instant_of",
    "limited",
]

_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


def _uncounted(endpoint: str, status: int) -> None:
    del endpoint, status


@dataclass(frozen=True, slots=True, kw_only=True)
class WellKnown:
    """One entry below `/.well-known/`."""

    path: str
    content_type: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatParts:
    """Everything the routes call."""

    talks: Talks
    callers: Callers
    streams: SseStreams
    missing: Callable[[], Awaitable[Sequence[str]]]
    """What the server lacks to be ready."""
    well_known: Mapping[str, WellKnown] = field(default_factory=dict)
    streaming: bool = True
    """`features.sse_v1`."""
    checked: Callable[[str, int], None] = _uncounted
    """Counts a probe by its endpoint and the status it was answered with."""


def _parts(request: Request) -> ChatParts:
    parts: ChatParts = request.app.state.parts
    return parts


def _talks(request: Request) -> Talks:
    return _parts(request).talks


Parts = Annotated[ChatParts, Depends(_parts)]
TalksOf = Annotated[Talks, Depends(_talks)]
Id = Annotated[str, Path(pattern=_UUID, json_schema_extra={"format": "uuid"})]
IdQuery = Annotated[str | None, Query(pattern=_UUID)]
RepeatKey = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]

_STATUSES = {
    400: "A field has a value that cannot be used.",
    401: "No valid session.",
    403: "Not allowed, or the CSRF or origin check failed.",
    404: "No such thing.",
    409: "The state does not allow it.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    423: "The account is disabled.",
    429: "Too many requests.",
    500: "Internal error.",
    503: "The store is not available.",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for status, text in _STATUSES.items()
}
"""Errors any route may answer with."""


def limited(limit: int, *, default: int, most: int) -> int:
    """A page size: 0 and less mean the default."""
    return default if limit <= 0 else min(limit, most)


def instant_of(field_name: str, text: str | None) -> float | None:
    """Epoch seconds of an RFC 3339 instant. Raises InvalidFieldError."""
    if text is None:
        return None
    try:
        # A plus sign that was not encoded arrives as a blank.
        moment = datetime.fromisoformat(text.strip().replace(" ", "+"))
        if moment.tzinfo is None:
            raise ValueError(text)
        return moment.timestamp()
    except (ValueError, OverflowError):
        raise InvalidFieldError(field_name, "must be an RFC 3339 instant") from None
