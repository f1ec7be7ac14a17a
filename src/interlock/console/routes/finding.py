"""`go/{id}`: any pasted id leads to its page; and what the palette finds."""

from dataclasses import dataclass

import msgspec
from starlette.responses import Response

from interlock.console.errors import NothingHereError
from interlock.console.headers import HEADERS
from interlock.console.nav import NAV
from interlock.console.page import Call, Page
from interlock.gateway.approvals.model import ApprovalNotFoundError
from interlock.gateway.history import DecisionFilter, DecisionNotFoundError
from interlock.identity.errors import InvalidIdentityError, KeyNotFoundError

__all__ = ["PAGES"]

_EACH = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing the palette offers."""

    group: str
    name: str
    path: str


async def go(call: Call) -> Response:
    """Redirects to what has the id; a name of a page or policy works too."""
    wanted = (call.request.path_params.get("id") or call.query("q")).strip()[:200]
    if not wanted:
        return call.redirect("/console")
    found = await _by_id(call, wanted)
    if found is None:
        named = await _by_name(call, wanted.lower())
        found = named[0].path if named else None
    if found is None:
        raise NothingHereError(wanted)
    return call.redirect(found)


async def palette(call: Call) -> Response:
    """What a search finds, as JSON: names only, never contents."""
    text = call.query("q").lower()[:200]
    rows = await _by_name(call, text)
    return Response(
        msgspec.json.encode(rows),
        media_type="application/json",
        headers={**HEADERS, "cache-control": "no-store"},
    )


async def _by_id(call: Call, wanted: str) -> str | None:
    history, scope = call.services.history, call.viewer.scope
    try:
        record = await history.decision(wanted, account_id=scope)
    except DecisionNotFoundError:
        pass
    else:
        return f"/console/decisions/{record.id}"
    try:
        one = await call.services.approvals.find(wanted)
        if scope is None or one.account_id == scope:
            return f"/console/approvals/{one.id}"
    except ApprovalNotFoundError:
        pass
    try:
        key = await call.services.admin.key(wanted)
        if scope is None or key.account_id == scope:
            return f"/console/keys/{key.id}"
    except (KeyNotFoundError, InvalidIdentityError):
        pass
    for member, wanted_by in (
        ("session", DecisionFilter(account_id=scope, session_id=wanted)),
        ("request", DecisionFilter(account_id=scope, request_id=wanted)),
    ):
        page = await history.decisions(wanted_by, limit=1)
        if page.decisions:
            return f"/console/decisions?{member}={wanted}&t=all"
    return None


async def _by_name(call: Call, text: str) -> list[Found]:
    rows = [
        Found(group="Go to", name=entry.name, path=entry.path)
        for entry in NAV
        if text in entry.name.lower() and (call.viewer.admin or not entry.admin)
    ][:_EACH]
    if not text:
        return rows
    summaries = await call.services.policies.summaries()
    rows += [
        Found(group="Policies", name=one.policy.name, path=f"/console/policies/{one.policy.name}")
        for one in summaries
        if text in one.policy.name.lower()
    ][:_EACH]
    keys = await call.services.admin.keys(account_id=call.viewer.scope)
    rows += [
        Found(group="Keys", name=key.label, path=f"/console/keys/{key.id}")
        for key in keys
        if text in key.label.lower() or key.prefix.lower().startswith(text)
    ][:_EACH]
    return rows


PAGES = (
    Page(path="/console/go", handler=go),
    Page(path="/console/go/{id}", handler=go),
    Page(path="/console/palette", handler=palette),
)
