"""The audit log: who did what, filtered and exported. Source: console.md, 5.11."""

import csv
import io

import msgspec
from starlette.responses import Response

from interlock.console.filters import RANGES
from interlock.console.headers import HEADERS
from interlock.console.page import Call, Page
from interlock.console.routes.settings import render_tab
from interlock.console.routes.usage import safe_cell
from interlock.identity.model import AuditEntry

__all__ = ["PAGES"]

_PAGE = 50
_MOST = 10_000
_FIELDS = ("actor", "action", "target")
_COLUMNS = ("number", "at", "actor", "surface", "action", "target", "before", "after")


async def audit(call: Call) -> Response:
    """Entries of the filter, newest first."""
    entries = await _entries(call, limit=_PAGE + 1)
    values = {
        "entries": entries[:_PAGE],
        "next": entries[_PAGE - 1].id if len(entries) > _PAGE else None,
        "filters": {name: call.query(name)[:320] for name in (*_FIELDS, "t") if call.query(name)},
        "ranges": tuple(RANGES),
    }
    return render_tab(call, "audit", values)


async def export(call: Call) -> Response:
    """The newest 10,000 entries of the filter, as CSV or JSON."""
    entries = await _entries(call, limit=_MOST)
    headers = {**HEADERS, "cache-control": "no-store", "content-security-policy": "sandbox"}
    if call.query("as") == "json":
        headers["content-disposition"] = 'attachment; filename="audit.json"'
        return Response(
            msgspec.json.encode(entries), media_type="application/json", headers=headers
        )
    headers["content-disposition"] = 'attachment; filename="audit.csv"'
    held = io.StringIO()
    writer = csv.writer(held)
    writer.writerow(_COLUMNS)
    for one in entries:
        documents = [msgspec.json.encode(part).decode() if part else "" for part in _sides(one)]
        cells = (one.actor, one.surface, one.action, one.target, *documents)
        writer.writerow([one.id, one.at, *(safe_cell(cell) for cell in cells)])
    return Response(held.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _sides(entry: AuditEntry) -> tuple[object, object]:
    return entry.before, entry.after


async def _entries(call: Call, *, limit: int) -> list[AuditEntry]:
    before = call.query("before")
    span = RANGES.get(call.query("t"))
    return await call.services.audit.entries(
        limit=limit,
        before_id=int(before) if before.isdecimal() and len(before) < 18 else None,
        actor=_storable(call.query("actor")[:320]),
        action=_storable(call.query("action")[:100]),
        target=_storable(call.query("target")[:200]),
        since=call.services.now() - span if span else None,
    )


def _storable(text: str) -> str | None:
    """None: no filter. A NUL is in no stored text and no database takes it."""
    return text.replace("\0", "\ufffd") or None


PAGES = (
    Page(path="/console/settings/audit", handler=audit, right="admin"),
    Page(path="/console/settings/audit/export", handler=export, right="admin"),
)
