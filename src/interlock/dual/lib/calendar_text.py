"""Date formats over host date values: which directives exist, and what they may cost.

The host's time zone is never asked: naive values read as UTC wherever an
instant is needed.
"""

import re
from datetime import UTC, date, datetime, time

from interlock.dual.lib.formats import FormatError

__all__ = ["format_moment", "instant", "parse_moment"]

MAX_FORMAT_CHARS = 1_000
MAX_PARSED_CHARS = 1_000

_DIRECTIVE = re.compile(r"%(?P<flag>[-_0^#]?)(?P<letter>.?)", re.DOTALL)
_FORMATTED = frozenset("aAwdbBmyYHIMSfpzZjUWcxXGuVDFTReknthCgPl%")
_PARSED = frozenset("aAwdbBmyYHIMSfpzZjUWcxXGuV%")


def format_moment(value: date | time, form: str) -> str:
    """`value.strftime(form)`, with the directives of the C standard and the `-` flag.

    Raises:
        FormatError: an unknown directive, a number the format cannot hold.
    """
    if len(form) > MAX_FORMAT_CHARS:
        raise FormatError("ValueError", "format string too long")
    for found in _DIRECTIVE.finditer(form):
        if found["letter"] not in _FORMATTED:
            raise FormatError("ValueError", "Invalid format string")
    try:
        return value.strftime(form)
    except (ValueError, OverflowError, TypeError, UnicodeError) as error:
        raise FormatError("ValueError", str(error)) from None


def parse_moment(text: str, form: str) -> datetime:
    """`datetime.strptime(text, form)`.

    Raises:
        FormatError: the text does not match, or the format is bad.
    """
    if len(form) > MAX_FORMAT_CHARS or len(text) > MAX_PARSED_CHARS:
        message = f"time data {text[:100]!r} does not match format {form[:100]!r}"
        raise FormatError("ValueError", message)
    seen: set[str] = set()
    for found in _DIRECTIVE.finditer(form):
        letter = found["letter"]
        if not letter:
            raise FormatError("ValueError", f"stray % in format '{form}'")
        if found["flag"] or letter not in _PARSED:
            bad = found["flag"] or letter
            raise FormatError("ValueError", f"'{bad}' is a bad directive in format '{form}'")
        if letter in seen and letter != "%":
            # The host would fail on the group of its own expression; one of each is the rule.
            raise FormatError(
                "ValueError", f"directive '%{letter}' occurs twice in format '{form}'"
            )
        seen.add(letter)
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007  the program says which zone it means
    except (ValueError, OverflowError, TypeError) as error:
        raise FormatError("ValueError", str(error)) from None
    except re.error:
        raise FormatError("ValueError", f"bad format '{form}'") from None


def instant(value: datetime) -> datetime:
    """The value with a zone: a naive one is UTC."""
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
