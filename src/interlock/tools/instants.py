"""Reading and writing of instants for the tools about dates; time zones from a fixed table.

The table is that of the package `tzdata`, never the machine's, so that an answer depends on
the arguments and the installed version alone.
"""

import functools
import importlib.resources
import re
from datetime import UTC, date, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from interlock.tools.model import ToolFailure

__all__ = ["INSTANT", "ZONE", "read", "written", "zone"]

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(/[A-Za-z0-9_+\-]+){0,2}")
INSTANT: Final = {"type": "string", "minLength": 8, "maxLength": 40}
ZONE: Final = {"type": "string", "minLength": 1, "maxLength": 64}


def read(text: str) -> datetime:
    """An ISO 8601 date or date and time; without offset it is naive. Raises ToolFailure."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ToolFailure("invalid_date", f"`{text}` is no ISO 8601 date or time") from None


def written(at: datetime, like: str) -> str:
    """An instant in the form of the text it came from: a date stays a date."""
    if "T" not in like.upper() and ":" not in like and not (at.hour or at.minute or at.second):
        return date(at.year, at.month, at.day).isoformat()
    text = at.isoformat()
    return text[:-6] + "Z" if like.endswith(("Z", "z")) and text.endswith("+00:00") else text


@functools.cache
def zone(name: str) -> tzinfo:
    """A time zone by its IANA name. Raises ToolFailure."""
    if name.upper() in {"UTC", "Z"}:
        return UTC
    if _NAME.fullmatch(name):
        try:
            path = importlib.resources.files("tzdata") / "zoneinfo" / name
            with path.open("rb") as data:
                return ZoneInfo.from_file(data, key=name)
        except (OSError, ValueError):
            pass
    raise ToolFailure("unknown_zone", f"time zone `{name}` is not known")
