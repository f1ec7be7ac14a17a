"""How far two dates are apart, in total and in calendar parts."""

import calendar
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from interlock.tools.instants import INSTANT, read
from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]

_WHOLE = {"type": "integer"}


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    start, end = read(arguments["start"]), read(arguments["end"])
    if (start.tzinfo is None) != (end.tzinfo is None):
        raise ToolFailure("mixed_offsets", "one of the two has an offset and the other has none")
    if start.tzinfo is not None:
        end = end.astimezone(start.tzinfo)
    apart = end - start
    sign = -1 if apart < timedelta(0) else 1
    years, months, rest = _parts(min(start, end), max(start, end))
    return {
        "total_seconds": _exact(apart),
        "total_days": sign * (abs(apart) // timedelta(days=1)),
        "sign": 0 if not apart else sign,
        "years": years,
        "months": months,
        "days": rest.days,
        "hours": rest.seconds // 3600,
        "minutes": rest.seconds % 3600 // 60,
        "seconds": rest.seconds % 60,
    }


def _parts(early: datetime, late: datetime) -> tuple[int, int, timedelta]:
    months = (late.year - early.year) * 12 + late.month - early.month
    anchor = _later(early, months)
    if anchor > late:
        months -= 1
        anchor = _later(early, months)
    return months // 12, months % 12, late - anchor


def _later(at: datetime, months: int) -> datetime:
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return at.replace(year=year, month=month + 1, day=min(at.day, last))


def _exact(apart: timedelta) -> int | float:
    whole = apart.total_seconds()
    return int(whole) if whole == int(whole) else whole


TOOL = Tool(
    name="date_diff",
    title="Date difference",
    description="The time between two ISO 8601 dates or times: total seconds and days, and years, "
    "months, days, hours, minutes, seconds.",
    category="date",
    input_schema=schema(start=INSTANT, end=INSTANT),
    output_schema=schema(
        total_seconds={"type": "number"},
        total_days=_WHOLE,
        sign=_WHOLE,
        years=_WHOLE,
        months=_WHOLE,
        days=_WHOLE,
        hours=_WHOLE,
        minutes=_WHOLE,
        seconds=_WHOLE,
    ),
    examples=(
        Example(
            arguments={"start": "2024-02-29", "end": "2026-03-01T12:00:00"},
            output={
                "total_seconds": 63201600,
                "total_days": 731,
                "sign": 1,
                "years": 2,
                "months": 0,
                "days": 1,
                "hours": 12,
                "minutes": 0,
                "seconds": 0,
            },
        ),
    ),
    run=_run,
)
