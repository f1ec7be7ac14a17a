"""Moves a date by years, months, days or parts of a day."""

import calendar
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from interlock.tools.instants import INSTANT, read, written
from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]

_AMOUNT = {"type": "integer", "minimum": -1_000_000, "maximum": 1_000_000}


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    at = read(arguments["date"])
    try:
        months = 12 * arguments.get("years", 0) + arguments.get("months", 0)
        at = _by_months(at, months) if months else at
        at += timedelta(
            weeks=arguments.get("weeks", 0),
            days=arguments.get("days", 0),
            hours=arguments.get("hours", 0),
            minutes=arguments.get("minutes", 0),
            seconds=arguments.get("seconds", 0),
        )
    except (OverflowError, ValueError):
        raise ToolFailure("out_of_range", "the result is outside the years 1 to 9999") from None
    return {"date": written(at, arguments["date"]), "weekday": calendar.day_name[at.weekday()]}


def _by_months(at: datetime, months: int) -> datetime:
    """The same day of another month, or that month's last one."""
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1] if 1 <= year <= 9999 else 1
    return at.replace(year=year, month=month + 1, day=min(at.day, last))


TOOL = Tool(
    name="date_shift",
    title="Date shift",
    description="Add or subtract years, months, weeks, days, hours, minutes and seconds to an ISO "
    "8601 date or time. The end of a shorter month is taken where the day does not exist.",
    category="date",
    input_schema=schema(
        ("date",),
        date=INSTANT,
        years=_AMOUNT,
        months=_AMOUNT,
        weeks=_AMOUNT,
        days=_AMOUNT,
        hours=_AMOUNT,
        minutes=_AMOUNT,
        seconds=_AMOUNT,
    ),
    output_schema=schema(date={"type": "string"}, weekday={"type": "string"}),
    examples=(
        Example(
            arguments={"date": "2024-01-31", "months": 1},
            output={"date": "2024-02-29", "weekday": "Thursday"},
        ),
        Example(
            arguments={"date": "2026-03-01T10:00:00Z", "days": -1, "minutes": 30},
            output={"date": "2026-02-28T10:30:00Z", "weekday": "Saturday"},
        ),
    ),
    run=_run,
)
