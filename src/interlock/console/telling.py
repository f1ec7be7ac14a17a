"""Decisions in words: who decided, on which label, and where the label came from. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.console.words import REASONS
from interlock.gateway.records import DecisionRecord
from interlock.policy.model import Decision, RuleTrace, Verdict

__all__ = ["Cause", "cause_of", "difference", "first_argument", "given_labels", "rules_of"]

_QUIET = frozenset({"__non_executable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a call came out as it did; parts of one sentence."""

    line: int | None
    policy: str | None
    denies: bool
    labels: tuple[str, ...] = ()
    carrier: str = ""
    """What carries them: an argument's name, or `the session`."""
    origins: tuple[str, ...] = ()
    """Tools (or the user) the labels came from."""
    reason: str = ""
    """Where no rule decided."""


def cause_of(record: DecisionRecord) -> Cause:
    """The rule, the label and the origin of a decision."""
    denies = not Verdict(record.verdict).allowed if record.verdict in set(Verdict) else True
    if record.rule is None:
        return Cause(
            line=None,
            policy=record.policy,
            denies=denies,
            reason=REASONS.get(record.reason, record.reason.replace("_", " ")),
        )
    lineage = record.lineage
    nodes = {str(one["id"]): one for one in lineage.get("nodes") or ()}
    path = [str(one) for one in lineage.get("path") or () if str(one) in nodes]
    text = record.rule_text or ""
    args = record.labels.get("args") or {}
    carrier = ""
    labels: list[str] = []
    for name in path:
        node = nodes[name]
        if node.get("kind") == "argument":
            carrier = str(node.get("ref"))
            labels += _tags(args.get(carrier) or {}, text)
        elif name == "session" or node.get("ref") == record.session_id:
            carrier = carrier or "the session"
            labels += _tags(record.labels.get("session") or {}, text)
    origins = [
        str(nodes[name].get("tool") or nodes[name].get("ref") or "")
        for name in path
        if nodes[name].get("kind") == "tool_result"
    ]
    return Cause(
        line=record.rule_line,
        policy=record.policy,
        denies=denies,
        labels=tuple(dict.fromkeys(labels)),
        carrier=carrier if labels else "",
        origins=tuple(dict.fromkeys(one for one in origins if one)),
    )


def first_argument(args: Mapping[str, Any] | None) -> str:
    """The argument that says most in a list: a recipient, a path, else the first one."""
    if not args:
        return ""
    known = ("to", "recipient", "url", "path", "file", "command", "query", "amount")
    name = next((one for one in known if one in args), next(iter(args)))
    return f"{name}={args[name]}"


def given_labels(record: DecisionRecord) -> list[tuple[str, list[str], list[str], list[str]]]:
    """Name, tags, producers, consumers (empty: everybody) of each labelled value."""
    found = []
    rows = {**(record.labels.get("args") or {})}
    for name, meta in [*rows.items(), ("the session", record.labels.get("session") or {})]:
        consumers = [str(one) for one in meta.get("consumers") or ["*"]]
        tags = [str(one) for one in meta.get("tags") or ()]
        producers = [str(one) for one in meta.get("producers") or ()]
        who = [] if consumers == ["*"] else consumers
        if tags or producers or who:
            found.append((name, tags, producers, who))
    return found


def rules_of(record: DecisionRecord, traced: Decision | None) -> list[dict[str, Any]]:
    """Every rule about the tool in evaluation order; only the recorded ones where unknown."""
    if traced is not None and traced.rules:
        return [_rule(one) for one in traced.rules]
    return [
        {
            "name": one.get("rule"),
            "source": one.get("policy"),
            "text": one.get("text"),
            "line": one.get("line"),
            "state": one.get("state", "fired"),
            "description": one.get("description"),
            "error": one.get("error"),
            "outcome": one.get("outcome"),
            "conditions": [],
        }
        for one in record.rules
    ]


def difference(record: DecisionRecord, now: Decision) -> str:
    """What a simulation comes to, against what was recorded."""
    was, then = Verdict(record.verdict), now.verdict
    line = f"line {record.rule_line}" if record.rule_line else "the rule"
    by = "the default" if now.rule is None else f"line {now.rule.line}"
    if was.allowed and not then.allowed:
        return f"would be denied: {by} denies it"
    if not was.allowed and then.allowed:
        return f"would be allowed: {line} no longer fires"
    now_rule = None if now.rule is None else now.rule.policy
    if now_rule != record.rule:
        return f"same outcome, but {by} decides"
    return "no difference"


def _tags(meta: Mapping[str, Any], rule_text: str) -> Sequence[str]:
    tags = [str(one) for one in meta.get("tags") or () if one not in _QUIET]
    named = [tag for tag in tags if f'"{tag}"' in rule_text]
    return named or tags


def _rule(one: RuleTrace) -> dict[str, Any]:
    return {
        "name": one.policy,
        "source": one.source,
        "text": one.rule,
        "line": one.line,
        "state": one.state,
        "description": one.description,
        "error": one.error,
        "outcome": one.outcome,
        "conditions": [
            {"text": c.text, "value": c.value, "operands": dict(c.operands)} for c in one.conditions
        ],
    }
