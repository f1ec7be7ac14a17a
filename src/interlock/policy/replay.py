"""Re-decides recorded calls under another policy (11.13).

Pure: the caller reads the records and counts the results. A call whose values
were not kept, or were masked, is `unknown`, never guessed.

Only the policy is decided again. A call that something else denied (a guard, a
pinned tool definition) stays denied whatever the policy says now.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from interlock.policy.compiled import CompiledPolicy
from interlock.policy.model import Decision, Labels, Session, ToolCall, Verdict

__all__ = ["Outcome", "Replayed", "replay"]

_OTHER_GATES = frozenset({"guard", "pinning"})
"""Reasons of denials that no policy made."""

Outcome = Literal["same", "newly_denied", "newly_allowed", "other_rule", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One recorded call and what the policy says about it now."""

    id: str | None
    tool: str
    outcome: Outcome
    before: str
    """Recorded verdict."""
    before_rule: str | None
    decision: Decision | None
    """None when unknown."""
    why: str | None = None
    """Why it is unknown."""


def replay(records: Iterable[Mapping[str, Any]], policy: CompiledPolicy) -> Iterator[Replayed]:
    """Re-decides each record, in order.

    A record has the members of `DecisionRecord`: `tool`, `args` (None when not
    kept), `verdict`, `rule`, and `labels` as `{"args": {name: labels},
    "session": labels}` (as `Labels.to_record` has them): the labels the call came
    with, before any `session before` update, because those updates run again.
    `masked: true` marks a record whose strings were masked.
    """
    for record in records:
        before, rule = str(record.get("verdict", "")), record.get("rule")
        found = _decided(record, policy)
        decision = None if isinstance(found, str) else found
        yield Replayed(
            id=record.get("id"),
            tool=str(record.get("tool", "")),
            outcome="unknown" if decision is None else _compared(record, decision),
            before=before,
            before_rule=rule,
            decision=decision,
            why=found if isinstance(found, str) else None,
        )


def _decided(record: Mapping[str, Any], policy: CompiledPolicy) -> Decision | str:
    """The decision now, or why there can be none."""
    args, labels = record.get("args"), record.get("labels")
    tool, verdict = record.get("tool"), record.get("verdict")
    if not isinstance(args, Mapping):
        return "the values were not kept"
    if record.get("masked"):
        return "the values were masked"
    if not isinstance(labels, Mapping):
        return "the labels were not kept"
    if not isinstance(tool, str) or verdict not in {item.value for item in Verdict}:
        return "the record is not readable"
    try:
        held = {name: Labels.from_record(meta) for name, meta in labels.get("args", {}).items()}
        session = Session(labels=Labels.from_record(labels.get("session", {})))
    except (AttributeError, TypeError):
        return "the record is not readable"
    return policy.decide(ToolCall(tool=tool, args=args, labels=held), session)


def _compared(record: Mapping[str, Any], decision: Decision) -> Outcome:
    before, rule = record["verdict"], record.get("rule")
    if record.get("reason") in _OTHER_GATES:
        return "same" if decision.verdict.allowed else "other_rule"
    was_allowed = Verdict(before).allowed
    if was_allowed and not decision.verdict.allowed:
        return "newly_denied"
    if not was_allowed and decision.verdict.allowed:
        return "newly_allowed"
    now = None if decision.rule is None else decision.rule.policy
    same = now == rule and decision.verdict.value == before
    return "same" if same else "other_rule"
