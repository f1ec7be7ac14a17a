"""Why a decision came out as it did: each rule about the tool, fired or why not."""

from collections.abc import Iterator, Mapping, Sequence

from interlock.policy.model import Condition, Decision, RuleTrace

__all__ = ["explain", "explain_text"]

_REASONS = {
    "rule": "a rule decided",
    "allow_list": "the tool has allow rules and none of them holds",
    "default": "no rule holds, the default decided",
    "error": "the call could not be decided",
}
_MAX_OPERAND_CHARS = 120


def explain(decision: Decision) -> dict[str, object]:
    """For machine readers: the decision and every rule looked at.

    Only a decision made with `trace` knows the rules that did not fire.
    """
    rules = decision.rules or [*decision.denied, *decision.allowed]
    return {
        "verdict": decision.verdict.value,
        "tool": decision.tool,
        "reason": decision.reason,
        "rule": None if decision.rule is None else decision.rule.policy,
        "rules": [_rule(rule) for rule in rules],
        "labels": {name: labels.to_wire() for name, labels in decision.labels.items()},
        "session": decision.session.labels.to_wire(),
        "added_to_session": [
            {"field": field, "label": label, "declaration": declaration, "line": line}
            for field, label, declaration, line in decision.origins
        ],
        "shadow": [dict(entry) for entry in decision.shadow],
        "errors": list(decision.errors),
    }


def explain_text(decision: Decision) -> str:
    """For people: the same as lines of text."""
    return "\n".join(_lines(decision))


def _rule(rule: RuleTrace) -> dict[str, object]:
    return {
        "policy": rule.policy,
        "source": rule.source,
        "line": rule.line,
        "rule": rule.rule,
        "level": rule.level,
        "outcome": rule.outcome,
        "state": rule.state,
        "description": rule.description,
        "error": rule.error,
        "conditions": [
            {
                "text": condition.text,
                "line": condition.line,
                "value": condition.value,
                "operands": dict(condition.operands),
            }
            for condition in rule.conditions
        ],
    }


def _lines(decision: Decision) -> Iterator[str]:
    yield f"{decision.verdict.value}: {decision.tool} ({_REASONS[decision.reason]})"
    if decision.rule is not None:
        rule = decision.rule
        yield f"  decided by {rule.policy} in {rule.source}, line {rule.line}: {rule.rule}"
        for note in (rule.description or "").splitlines():
            yield f"  {note}"
    rules: Sequence[RuleTrace] = decision.rules or [*decision.denied, *decision.allowed]
    if not rules:
        yield "  no rule is about this tool"
    for rule in rules:
        yield from _rule_lines(rule)
    for field, label, declaration, line in decision.origins:
        yield f"  session {field} gained {label!r} ({declaration}, line {line})"
    for entry in decision.shadow:
        yield f"  watched policy {entry['policy']} would say {entry['verdict']} ({entry['rule']})"
    for error in decision.errors:
        yield f"  failed closed: {error}"


def _rule_lines(rule: RuleTrace) -> Iterator[str]:
    state = {"fired": "fired", "not_fired": "did not fire", "not_reached": "was not reached"}
    yield f"  [{state[rule.state]}] {rule.policy} line {rule.line}: {rule.rule}"
    if rule.description:
        for line in rule.description.splitlines():
            yield f"      /// {line}"
    for condition in rule.conditions:
        yield f"      {_truth(condition)}: {condition.text}{_operands(condition.operands)}"
    if rule.error:
        yield f"      failed closed: {rule.error}"


def _truth(condition: Condition) -> str:
    return "failed" if condition.value is None else str(condition.value).lower()


def _operands(operands: Mapping[str, object]) -> str:
    shown = []
    for name, value in operands.items():
        text = repr(value)
        cut = text if len(text) <= _MAX_OPERAND_CHARS else f"{text[:_MAX_OPERAND_CHARS]}..."
        shown.append(f"{name} = {cut}")
    return f"   ({'; '.join(shown)})" if shown else ""
