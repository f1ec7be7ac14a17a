"""Tells what an instant is called in another time zone."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from interlock.tools.instants import INSTANT, ZONE, read, zone
from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    at = read(arguments["datetime"])
    target = zone(arguments["to"])
    if at.tzinfo is None:
        source = arguments.get("from")
        if source is None:
            raise ToolFailure("missing_zone", "the time has no offset and `from` is not given")
        at = at.replace(tzinfo=zone(source))
    try:
        there = at.astimezone(target)
    except OverflowError:
        raise ToolFailure("out_of_range", "the result is outside the years 1 to 9999") from None
    offset = there.utcoffset() or timedelta(0)
    return {
        "datetime": there.isoformat(),
        "zone": arguments["to"],
        "abbreviation": there.tzname() or "",
        "offset_minutes": int(offset.total_seconds() // 60),
        "daylight_saving": bool(there.dst()),
    }


TOOL = Tool(
    name="timezone_convert",
    title="Time zones",
    description="Convert an ISO 8601 time to another IANA time zone. A time without offset is "
    "taken in the zone `from`.",
    category="date",
    input_schema={**schema(("datetime", "to"), datetime=INSTANT, to=ZONE, **{"from": ZONE})},
    output_schema=schema(
        datetime={"type": "string"},
        zone={"type": "string"},
        abbreviation={"type": "string"},
        offset_minutes={"type": "integer"},
        daylight_saving={"type": "boolean"},
    ),
    examples=(
        Example(
            arguments={"datetime": "2026-07-01T12:00:00Z", "to": "Europe/Berlin"},
            output={
                "datetime": "2026-07-01T14:00:00+02:00",
                "zone": "Europe/Berlin",
                "abbreviation": "CEST",
                "offset_minutes": 120,
                "daylight_saving": True,
            },
        ),
        Example(
            arguments={
                "datetime": "2026-01-01T09:00:00",
                "from": "America/New_York",
                "to": "Asia/Kolkata",
            },
            output={
                "datetime": "2026-01-01T19:30:00+05:30",
                "zone": "Asia/Kolkata",
                "abbreviation": "IST",
                "offset_minutes": 330,
                "daylight_saving": False,
            },
        ),
    ),
    run=_run,
)
