"""Approvals: a person decides about a call that waits. Source: console.md, 5.5."""

import json
from typing import Any, Literal

from starlette.responses import Response

from interlock.console.errors import MissingRightError, NothingHereError
from interlock.console.lineage_graph import edge_words, graph_of, node_names
from interlock.console.page import Call, Page
from interlock.gateway.approvals.model import Approval, ApprovalNotFoundError, InvalidApprovalError

__all__ = ["PAGES"]

_STATES = {"waiting": "pending", "allowed": "allowed", "denied": "denied", "expired": "expired"}
_FRAGMENTS = {"pane": "approval_pane.html", "rows": "approvals_list.html"}


async def inbox(call: Call) -> Response:
    """What waits, or what became of the rest."""
    show = call.query("show", "waiting")
    show = show if show in _STATES else "waiting"
    rows = await call.services.approvals.listed(
        state=_STATES[show], account_id=call.viewer.scope, limit=100
    )
    values: dict[str, Any] = {"one": None}
    if peek := call.query("peek"):
        values = _detail(await _found(call, peek), back=show)
        if call.fragment == "pane":
            return call.render("approval_pane.html", fragments=_FRAGMENTS, **values)
    asking = await call.services.admin.keys(account_id=call.viewer.scope) if not rows else []
    return call.render(
        "approvals.html",
        fragments=_FRAGMENTS,
        rows=rows,
        show=show,
        states=tuple(_STATES),
        asking=[key for key in asking if key.approval == "ask" and key.revoked_at is None],
        peek=peek,
        **values,
    )


async def alone(call: Call) -> Response:
    """One approval on a page of its own."""
    one = await _found(call, call.path("id"))
    return call.render("approval.html", fragments=_FRAGMENTS, **_detail(one, back=None))


async def decide(call: Call) -> Response:
    """Allows or denies; who comes second is told who was first."""
    one = await _found(call, call.path("id"))
    if not call.viewer.may_decide:
        raise MissingRightError("decide about approvals")
    allow = call.field("do") == "allow"
    scope: Literal["once", "session"] = "session" if call.field("scope") == "session" else "once"
    await call.services.approvals.decide(
        one.id,
        call.viewer.actor,
        allow=allow,
        reason=call.field("reason")[:2000],
        scope=scope if allow else "once",
        arguments=_edited(call, one) if allow else None,
        answered_by_user_id=call.viewer.user_id,
    )
    return call.redirect(f"/console/approvals/{one.id}")


def _edited(call: Call, one: Approval) -> dict[str, Any] | None:
    """Arguments a person changed; None: the same as the call's."""
    text = call.form.get("arguments", "").strip()
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidApprovalError("the arguments must be one JSON object")
    return None if value == one.arguments else value


async def _found(call: Call, approval_id: str) -> Approval:
    try:
        one = await call.services.approvals.find(approval_id[:200])
    except ApprovalNotFoundError:
        raise NothingHereError(approval_id) from None
    if call.viewer.scope is not None and one.account_id != call.viewer.scope:
        raise NothingHereError(approval_id)
    return one


def _detail(one: Approval, *, back: str | None) -> dict[str, Any]:
    return {
        "one": one,
        "back": back,
        "graph": graph_of(one.lineage, "this call"),
        "edges": [(edge, edge_words(edge)) for edge in one.lineage.get("edges") or ()],
        "names": node_names(one.lineage),
    }


PAGES = (
    Page(path="/console/approvals", handler=inbox),
    Page(path="/console/approvals/{id}", handler=alone),
    Page(path="/console/approvals/{id}", handler=decide, methods=("POST",)),
)
