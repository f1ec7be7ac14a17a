"""Re-decides recorded calls under another policy (11.13).

Pure: the caller reads the records and counts the results. A call whose values
were not kept, or were masked, is `unknown`, never guessed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from interlock.policy.compiled import CompiledPolicy
from interlock.policy.model import Decision, Labels, Session, ToolCall, Verdict

__all__ = ["Outcome", "Replayed", "replay"]

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


def replay(records: Iterable[Mapping[str, Any]], policy: CompiledPolicy) -> Iterator[Replayed]:
    """Re-decides each record, in order.

    A record has the members of `DecisionRecord`: `tool`, `args` (None when not
    kept), `verdict`, `rule`, and `labels` as `{"args": {name: labels},
    "session": labels}`: the labels the call came with, before any `session
    before` update, because those updates run again. `masked: true` marks a
    record whose strings were masked.
    """
    for record in records:
        before, rule = str(record.get("verdict", "")), record.get("rule")
        decision = _decided(record, policy)
        yield Replayed(
            id=record.get("id"),
            tool=str(record.get("tool", "")),
            outcome="unknown" if decision is None else _compared(before, rule, decision),
            before=before,
            before_rule=rule,
            decision=decision,
        )


def _decided(record: Mapping[str, Any], policy: CompiledPolicy) -> Decision | None:
    args, labels = record.get("args"), record.get("labels")
    tool, verdict = record.get("tool"), record.get("verdict")
    if not isinstance(args, Mapping) or not isinstance(labels, Mapping) or record.get("masked"):
        return None
    if not isinstance(tool, str) or verdict not in {item.value for item in Verdict}:
        return None
    try:
        held = {name: Labels.from_wire(meta) for name, meta in labels.get("args", {}).items()}
        session = Session(labels=Labels.from_wire(labels.get("session", {})))
    except (AttributeError, TypeError):
        return None
    return policy.decide(ToolCall(tool=tool, args=args, labels=held), session)


def _compared(before: str, rule: object, decision: Decision) -> Outcome:
    was_allowed = Verdict(before).allowed
    if was_allowed and not decision.verdict.allowed:
        return "newly_denied"
    if not was_allowed and decision.verdict.allowed:
        return "newly_allowed"
    now = None if decision.rule is None else decision.rule.policy
    return "same" if now == rule else "other_rule"
