"""Instants and spans as people type them, and as tables show them."""

import re
from datetime import UTC, datetime, timedelta

import typer

__all__ = ["parse_instant", "shown_instant"]

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_instant(text: str | None, option: str, *, future: bool = False) -> float | None:
    """Seconds since the epoch of `2026-01-31`, `2026-01-31T12:00Z`, or a span like `7d`.

    A span counts back from now, forward with `future`. Without a zone: UTC.

    Raises:
        typer.BadParameter: neither.
    """
    if text is None:
        return None
    now = datetime.now(UTC)
    span = _SPAN.fullmatch(text.strip())
    try:
        if span is not None:
            distance = timedelta(seconds=float(span[1]) * _UNITS[span[2]])
            return (now + distance if future else now - distance).timestamp()
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        example = "90d" if future else "2h"
        raise typer.BadParameter(
            f"`{text}` is neither a date (`2026-01-31`, `2026-01-31T12:00Z`) nor a span "
            f"(`{example}`)",
            param_hint=option,
        ) from None


def shown_instant(at: float | None) -> str:
    """An instant as UTC to the second, or `-`."""
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
