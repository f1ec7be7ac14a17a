"""Settings of the person and of the server, the audit log, about. Source: console.md, 5.11."""

import csv
import io
from typing import Any

import msgspec
from starlette.responses import Response

from interlock.console.errors import NothingHereError
from interlock.console.headers import HEADERS
from interlock.console.look import COOKIE
from interlock.console.page import Call, Page
from interlock.console.routes.usage import safe_cell
from interlock.identity.model import AuditEntry

__all__ = ["PAGES"]

_TABS = {"profile": False, "appearance": False, "server": True, "audit": True, "about": False}
"""Tab -> for administrators alone."""
_YEAR_S = 31_536_000


async def shown(call: Call) -> Response:
    """One tab."""
    tab = str(call.request.path_params.get("tab", "appearance"))
    if tab not in _TABS:
        raise NothingHereError(tab)
    if _TABS[tab]:
        call.need_admin()
    values: dict[str, Any] = {}
    if tab == "server":
        find = call.query("find").lower()
        rows = call.services.settings()
        values = {"rows": [row for row in rows if find in row.key.lower()], "find": find}
    elif tab == "audit":
        entries = await _entries(call, limit=51)
        values = {
            "entries": entries[:50],
            "next": entries[49].id if len(entries) > 50 else None,
            "actor": call.query("actor"),
            "action": call.query("action"),
        }
    elif tab == "about":
        values = {"version": call.services.version, "health": await call.services.health()}
    tabs = [name for name, admin in _TABS.items() if call.viewer.admin or not admin]
    return call.render(f"settings_{tab}.html", tab=tab, tabs=tabs, **values)


async def look(call: Call) -> Response:
    """Keeps how it should look, in this browser."""
    answer = call.redirect("/console/settings/appearance")
    chosen = call.look.changed(call.form)
    answer.set_cookie(
        COOKIE, chosen.cookie(), max_age=_YEAR_S, path="/console", httponly=True, samesite="strict"
    )
    return answer


async def audit_export(call: Call) -> Response:
    """The newest 10,000 entries of the filter as CSV."""
    await_entries = await _entries(call, limit=10_000)
    held = io.StringIO()
    writer = csv.writer(held)
    writer.writerow(["number", "at", "actor", "surface", "action", "target", "before", "after"])
    for one in await_entries:
        writer.writerow(
            [
                one.id,
                one.at,
                safe_cell(one.actor),
                one.surface,
                one.action,
                safe_cell(one.target),
                *(
                    safe_cell(msgspec.json.encode(part).decode() if part else "")
                    for part in (one.before, one.after)
                ),
            ]
        )
    return Response(
        held.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={
            **HEADERS,
            "cache-control": "no-store",
            "content-security-policy": "sandbox",
            "content-disposition": 'attachment; filename="audit.csv"',
        },
    )


async def _entries(call: Call, *, limit: int) -> list[AuditEntry]:
    before = call.query("before")
    return await call.services.audit.entries(
        limit=limit,
        before_id=int(before) if before.isdecimal() and len(before) < 18 else None,
        actor=call.query("actor")[:320] or None,
        action=call.query("action")[:100] or None,
    )


async def start(call: Call) -> Response:
    """The first tab."""
    return call.redirect("/console/settings/profile")


PAGES = (
    Page(path="/console/settings", handler=start),
    Page(path="/console/settings/appearance", handler=shown),
    Page(path="/console/settings/appearance", handler=look, methods=("POST",)),
    Page(path="/console/settings/audit/export", handler=audit_export, right="admin"),
    Page(path="/console/settings/{tab}", handler=shown),
)
