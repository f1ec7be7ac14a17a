"""Usage and cost. Source: console.md, 5.7."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import msgspec
from starlette.responses import Response

from interlock.console.headers import HEADERS
from interlock.console.page import Call, Page
from interlock.gateway.history import GroupBy, UsageSum

__all__ = ["PAGES", "Stack", "safe_cell", "stacks_of"]

_DAY_S = 86_400.0
_DAYS = {"7d": 7, "30d": 30, "90d": 90}
_BY = ("model", "provider", "key", "account", "endpoint")
_SERIES = 6
_NUMBERS = (
    "requests",
    "errors",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "reasoning_tokens",
    "unpriced",
    "cost",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One day of the chart: parts from the bottom, in a drawing 100 high."""

    day: str
    place: int
    total: float
    parts: tuple[tuple[int, float, float], ...]
    """Series number, y, height."""


async def usage(call: Call) -> Response:
    """What was used and what it cost."""
    span = call.query("t", "30d")
    span = span if span in _DAYS else "30d"
    by = call.query("by", "model")
    by = by if by in _BY else "model"
    rows, daily, total = await _sums(call, by, _DAYS[span])
    names = [row.group[by] for row in sorted(rows, key=lambda row: (-row.cost, -row.requests))]
    labels = {}
    if by == "key":
        keys = await call.services.admin.keys(account_id=call.viewer.scope)
        labels = {key.id: key.label for key in keys}
    return call.render(
        "usage.html",
        rows=sorted(rows, key=lambda row: (-row.cost, -row.requests)),
        total=total,
        month=await _month(call),
        by=by,
        choices=_BY,
        span=span,
        spans=tuple(_DAYS),
        measure="cost" if total.cost else "requests",
        stacks=stacks_of(
            daily,
            by,
            names,
            days=_DAYS[span],
            now=call.services.now(),
            measure="cost" if total.cost else "requests",
        ),
        series=names[: _SERIES - 1] + (["others"] if len(names) >= _SERIES else []),
        labels=labels,
    )


async def export(call: Call) -> Response:
    """The table as CSV or JSON: exactly what is shown."""
    span, by = call.query("t", "30d"), call.query("by", "model")
    by = by if by in _BY else "model"
    rows, _, _ = await _sums(call, by, _DAYS.get(span, 30))
    headers = {**HEADERS, "cache-control": "no-store", "content-security-policy": "sandbox"}
    if call.query("as") == "json":
        headers["content-disposition"] = 'attachment; filename="usage.json"'
        return Response(msgspec.json.encode(rows), media_type="application/json", headers=headers)
    held = io.StringIO()
    writer = csv.writer(held)
    writer.writerow([by, *_NUMBERS])
    for row in rows:
        writer.writerow([safe_cell(row.group[by]), *(getattr(row, name) for name in _NUMBERS)])
    headers["content-disposition"] = 'attachment; filename="usage.csv"'
    return Response(held.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def safe_cell(value: str) -> str:
    """A cell no spreadsheet takes for a formula."""
    return f"'{value}" if value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value


def stacks_of(
    daily: Sequence[UsageSum],
    by: str,
    names: Sequence[str],
    *,
    days: int,
    now: float,
    measure: str,
) -> list[Stack]:
    """The chart; the sixth series holds everything else."""
    number = {name: min(place, _SERIES - 1) for place, name in enumerate(names)}
    found: dict[str, list[float]] = {}
    for place in range(days - 1, -1, -1):
        day = datetime.fromtimestamp(now - place * _DAY_S, UTC).strftime("%Y-%m-%d")
        found[day] = [0.0] * _SERIES
    for row in daily:
        if row.group["day"] in found:
            found[row.group["day"]][number.get(row.group[by], _SERIES - 1)] += getattr(row, measure)
    most = max([sum(parts) for parts in found.values()] + [0.0]) or 1.0
    made = []
    for place, (day, parts) in enumerate(found.items()):
        y, drawn = 100.0, []
        for series, value in enumerate(parts):
            height = round(96 * value / most, 2)
            if height > 0:
                y = round(y - height, 2)
                drawn.append((series + 1, y, height))
        made.append(Stack(day=day, place=place, total=sum(parts), parts=tuple(drawn)))
    return made


async def _sums(call: Call, by: str, days: int) -> tuple[list[UsageSum], list[UsageSum], UsageSum]:
    since = call.services.now() - days * _DAY_S
    history, scope = call.services.history, call.viewer.scope
    group = cast(GroupBy, by)
    rows = await history.usage(by=(group,), since=since, account_id=scope)
    daily = await history.usage(by=("day", group), since=since, account_id=scope)
    (total,) = await history.usage(by=(), since=since, account_id=scope)
    return rows, daily, total


async def _month(call: Call) -> dict[str, float]:
    """Spent this month (UTC), and where it leads if it goes on like this."""
    now = datetime.fromtimestamp(call.services.now(), UTC)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    (spent,) = await call.services.history.usage(
        by=(), since=first.timestamp(), account_id=call.viewer.scope
    )
    gone = max(3600.0, (now - first).total_seconds())
    return {"spent": spent.cost, "course": spent.cost * (following - first).total_seconds() / gone}


PAGES = (
    Page(path="/console/usage", handler=usage),
    Page(path="/console/usage/export", handler=export),
)
