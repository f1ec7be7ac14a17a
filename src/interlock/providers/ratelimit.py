"""What upstreams say about limits: Retry-After, and what is left of an allowance.

Pure. Durations come in every spelling in use: seconds, milliseconds, `6m0s`, HTTP
dates, RFC 3339 instants, epoch milliseconds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["Headroom", "headroom", "retry_after"]

_MAX_WAIT_S = 3600.0
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?")

_FAMILIES = (
    (
        "x-ratelimit-limit-{}",
        "x-ratelimit-remaining-{}",
        "x-ratelimit-reset-{}",
        ("requests", "tokens"),
    ),
    (
        "anthropic-ratelimit-{}-limit",
        "anthropic-ratelimit-{}-remaining",
        "anthropic-ratelimit-{}-reset",
        ("requests", "tokens", "input-tokens", "output-tokens"),
    ),
    ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", ("",)),
)


@dataclass(frozen=True, slots=True)
class Headroom:
    """The scarcest of the allowances an answer spoke of."""

    share: float
    """0..1 of its limit."""
    reset_s: float | None


def retry_after(headers: Mapping[str, str], wall: datetime) -> float | None:
    """Seconds to wait before the next attempt, if the answer says (at most an hour)."""
    text = headers.get("retry-after-ms")
    if text is not None and _NUMBER.fullmatch(text.strip()):
        return min(float(text) / 1000, _MAX_WAIT_S)
    text = headers.get("retry-after")
    return None if text is None else _seconds(text.strip(), wall)


def headroom(headers: Mapping[str, str], wall: datetime) -> Headroom | None:
    """The scarcest allowance named in `headers`; None when there is none."""
    found: Headroom | None = None
    for limit_name, left_name, reset_name, things in _FAMILIES:
        for thing in things:
            left = headers.get(left_name.format(thing))
            if left is None or not _NUMBER.fullmatch(left):
                continue
            limit = headers.get(limit_name.format(thing), "")
            whole = float(limit) if _NUMBER.fullmatch(limit) else 0.0
            share = min(float(left) / whole, 1.0) if whole > 0 else (1.0 if float(left) else 0.0)
            if found is None or share < found.share:
                reset = headers.get(reset_name.format(thing))
                found = Headroom(share, None if reset is None else _seconds(reset, wall))
    return found


def _seconds(text: str, wall: datetime) -> float | None:
    """A wait, in any of the spellings; None for nonsense. Never negative, at most an hour."""
    wait: float | None = None
    if _NUMBER.fullmatch(text):
        wait = float(text)
        if wait > 1e9:
            # An instant, not a wait: epoch seconds, or milliseconds.
            wait = (wait / 1000 if wait > 1e11 else wait) - wall.timestamp()
    elif _PART.match(text) and not _PART.sub("", text):
        wait = sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))
    else:
        instant = _instant(text)
        if instant is not None:
            wait = (instant - wall).total_seconds()
    return None if wait is None else min(max(wait, 0.0), _MAX_WAIT_S)


def _instant(text: str) -> datetime | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            instant = parse(text)
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return None
