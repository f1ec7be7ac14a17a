"""Decisions: the list, one beside it, one alone. Source: console.md, 5.3."""

from typing import Any

import msgspec
from starlette.responses import Response

from interlock.console.errors import NothingHereError
from interlock.console.filters import RANGE_WORDS, Wanted, wanted_of
from interlock.console.headers import HEADERS
from interlock.console.lineage_graph import edge_words, graph_of, node_names
from interlock.console.page import Call, Page
from interlock.console.telling import cause_of, first_argument, given_labels, rules_of
from interlock.gateway.history import DecisionFilter, DecisionNotFoundError, History
from interlock.gateway.policies.whatif import Simulated
from interlock.gateway.records import DecisionRecord

__all__ = ["PAGES", "detail", "found"]

COUNTED = 10_000
_AROUND = 3
_FRAGMENTS = {
    "pane": "decision_pane.html",
    "rows": "decisions_list.html",
    "whatif": "whatif.html",
    "node": "decision_node.html",
}
_BUILT_IN = (
    ("Denied", {"verdict": "denied"}),
    ("Touched by untrusted text", {"label": "untrusted"}),
    ("By rule", {"group": "rule"}),
)


async def listed(call: Call) -> Response:
    """The list, with `peek` open beside it."""
    services, viewer = call.services, call.viewer
    wanted = wanted_of(call.request.query_params, account_id=viewer.scope, now=services.now())
    peek = call.query("peek")
    values: dict[str, Any] = {"record": None}
    if peek:
        values = await detail(call, peek, back=wanted)
        if call.fragment == "pane":
            return call.render("decision_pane.html", fragments=_FRAGMENTS, **values)
        if call.fragment == "node":
            return call.render("decision_node.html", fragments=_FRAGMENTS, **values)
    page = await services.history.decisions(wanted.filter, limit=50, page=wanted.page)
    group = wanted.members.get("group")
    groups = []
    if group in {"rule", "tool", "key"}:
        groups = await services.history.tally(wanted.filter, group, limit=20)  # type: ignore[arg-type] # checked
    labels = (
        {view.id: view.label for view in await services.admin.keys(account_id=viewer.scope)}
        if group == "key"
        else {}
    )
    answer = await _answer(services.history, wanted)
    return call.render(
        "decisions.html",
        fragments=_FRAGMENTS,
        wanted=wanted,
        rows=[(record, first_argument(record.args)) for record in page.decisions],
        next=page.next,
        group=group,
        groups=groups,
        key_labels=labels,
        counts=answer,
        ranges=RANGE_WORDS,
        built_in=_BUILT_IN,
        peek=peek,
        **values,
    )


async def one(call: Call) -> Response:
    """One decision on a page of its own."""
    values = await detail(call, call.path("id"), back=None)
    return call.render("decision.html", fragments=_FRAGMENTS, peek=call.path("id"), **values)


async def as_json(call: Call) -> Response:
    """The record as the command line prints it, for download."""
    record = await found(call, call.path("id"))
    body = msgspec.json.format(msgspec.json.encode(record), indent=2)
    return Response(
        body,
        media_type="application/json",
        headers={
            **HEADERS,
            "cache-control": "no-store",
            "content-security-policy": "sandbox",
            "content-disposition": f'attachment; filename="{record.id}.json"',
        },
    )


async def found(call: Call, decision_id: str) -> DecisionRecord:
    """The decision, if it is one the person may see.

    Raises:
        NothingHereError: none, or another account's.
    """
    try:
        return await call.services.history.decision(decision_id[:200], account_id=call.viewer.scope)
    except DecisionNotFoundError:
        raise NothingHereError(decision_id) from None


async def detail(call: Call, decision_id: str, *, back: Wanted | None) -> dict[str, Any]:
    """Everything the detail of a decision shows."""
    record = await found(call, decision_id)
    simulated = await call.services.whatif.simulate(record)
    rule = None
    if record.rule is not None:
        rule = f"line {record.rule_line}" if record.rule_line else record.rule
    node = call.query("node")
    chosen = next((n for n in record.lineage.get("nodes") or () if n.get("id") == node), None)
    return {
        "record": record,
        "cause": cause_of(record),
        "graph": graph_of(record.lineage, rule),
        "tall": graph_of(record.lineage, rule, down=True),
        "edges": [(edge, edge_words(edge)) for edge in record.lineage.get("edges") or ()],
        "names": node_names(record.lineage),
        "rules": rules_of(record, simulated.decision),
        "traced": simulated,
        "text": _around(record, simulated),
        "labels": given_labels(record),
        "node": chosen,
        "reached": _reached(record, node),
        "back": back,
        "sim": None,
        "first": first_argument(record.args),
    }


def _around(record: DecisionRecord, simulated: Simulated) -> list[tuple[int, str, bool]]:
    """Lines of the policy around the deciding one: number, text, whether it is that one."""
    source = next((s for s in simulated.basis.texts if s.name == record.policy), None)
    if source is None or not record.rule_line:
        return []
    lines = source.text.splitlines()
    first = max(0, record.rule_line - 1 - _AROUND)
    return [
        (number, lines[number - 1], number == record.rule_line)
        for number in range(first + 1, min(len(lines), record.rule_line + _AROUND) + 1)
    ]


def _reached(record: DecisionRecord, node: str) -> list[str]:
    """Everything the value of a node flowed into, in order."""
    found_ids: list[str] = []
    waiting = [node] if node else []
    edges = record.lineage.get("edges") or ()
    while waiting:
        name = waiting.pop(0)
        for edge in edges:
            target = str(edge.get("to"))
            if str(edge.get("from")) == name and target not in found_ids:
                found_ids.append(target)
                waiting.append(target)
    return found_ids


async def _answer(history: History, wanted: Wanted) -> dict[str, int]:
    """How many the filter finds, and how many of them were denied; up to 10,001."""
    total = await history.count(wanted.filter, at_most=COUNTED)
    denied: DecisionFilter = msgspec.structs.replace(
        wanted.filter, verdicts=("hard_denied", "soft_denied")
    )
    only = wanted.filter.verdicts
    if only and not set(only) & set(denied.verdicts):
        return {"total": total, "denied": 0}
    return {"total": total, "denied": await history.count(denied, at_most=COUNTED)}


PAGES = (
    Page(path="/console/decisions", handler=listed),
    Page(path="/console/decisions/{id}", handler=one),
    Page(path="/console/decisions/{id}/json", handler=as_json),
)
