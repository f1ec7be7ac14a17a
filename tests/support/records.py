"""Makers of records, with something plausible in every member."""

from typing import Any

from interlock.gateway.records import DecisionRecord, SessionRecord, StoredResponse, UsageRecord

__all__ = ["make_decision", "make_response", "make_session", "make_usage"]


def make_usage(**members: Any) -> UsageRecord:
    values: dict[str, Any] = {
        "request_id": "req_1",
        "at": 1_700_000_000.0,
        "account_id": "acc_1",
        "key_id": "key_1",
        "session_id": None,
        "surface": "control",
        "endpoint": "chat/messages",
        "provider": "demo",
        "model": "demo",
        "upstream_model": "demo-1",
        "role": "main",
        "stream": True,
        "status": 200,
        "input_tokens": 100,
        "output_tokens": 20,
        "cost": 0.25,
    }
    return UsageRecord(**(values | members))


def make_decision(**members: Any) -> DecisionRecord:
    values: dict[str, Any] = {
        "id": "dec_1",
        "at": 1_700_000_000.0,
        "account_id": "acc_1",
        "key_id": "key_1",
        "session_id": "session-1",
        "request_id": "req_1",
        "trace_id": None,
        "surface": "control",
        "tool": "send_email",
        "call_id": "tc-1",
        "verdict": "hard_denied",
        "reason": "rule",
        "rule": "send_email#0",
        "rule_text": "must deny always",
        "rule_line": 3,
        "policy": "header",
        "caller": {"user": "ann@example.com"},
        "args": {"to": "bob@example.com"},
        "labels": {"args": {"to": {"tags": ["pii"], "producers": ["web"], "consumers": []}}},
        "rules": [{"policy": "send_email#0", "rule": "must deny always", "line": 3}],
        "lineage": {"nodes": [], "edges": [], "path": []},
    }
    return DecisionRecord(**(values | members))


def make_session(**members: Any) -> SessionRecord:
    values: dict[str, Any] = {
        "id": "11111111-2222-4333-8444-555566667777",
        "key_id": "key_1",
        "account_id": "acc_1",
        "endpoint": "chat",
        "created_at": 10.0,
        "updated_at": 10.0,
        "expires_at": 99.0,
        "closed": False,
        "state": b"\x00state",
    }
    return SessionRecord(**(values | members))


def make_response(**members: Any) -> StoredResponse:
    values: dict[str, Any] = {
        "id": "resp_1",
        "session_id": "11111111-2222-4333-8444-555566667777",
        "key_id": "key_1",
        "account_id": "acc_1",
        "created_at": 10.0,
        "expires_at": 99.0,
        "retrievable": True,
        "body": b'{"id": "resp_1"}',
        "items": b"[]",
        "tools": b"[]",
        "previous_id": None,
        "provider": "demo",
    }
    return StoredResponse(**(values | members))
