"""How a decision reads to a caller: denial text and history entries (10.7, 10.8)."""

from collections.abc import Mapping, Sequence

from interlock.policy.model import DEFAULT_LABELS, Decision, RuleTrace, ToolCall

__all__ = ["denial_message", "history_entry"]

_MAX_VALUE_CHARS = 200


def denial_message(decision: Decision, call: ToolCall) -> str:
    """The sentence clients look for, with the arguments, their labels and the verdict."""
    args = {
        name: {
            "value": _short(value),
            "meta": decision.labels.get(name, DEFAULT_LABELS).to_wire(),
            "value_type": type(value).__name__,
        }
        for name, value in call.args.items()
    }
    context = {"args": args, "final_verdict": decision.verdict.value}
    return (
        f"Tool call to '{call.tool}' is denied by argument checking policies. Context: {context!r}"
    )


def history_entry(
    decision: Decision, *, step: int, tool_call_id: str | None = None
) -> dict[str, object]:
    """One entry of `policy_check_history`."""
    default: dict[str, str] | None = None
    if decision.reason == "default":
        level, _, outcome = decision.verdict.value.partition("_")
        default = {"outcome": "allow" if outcome == "allowed" else "deny", "enforcement": level}
    entry: dict[str, object] = {
        "step": step,
        "tool": decision.tool,
        "tool_call_id": tool_call_id,
        "final_verdict": decision.verdict.value,
        "denied": _rules(decision.denied),
        "allowed": _rules(decision.allowed),
        "default": default,
        "reason": decision.reason,
        "session_meta": decision.session.labels.to_wire(),
        "args_meta": {name: labels.to_wire() for name, labels in decision.labels.items()},
    }
    if decision.errors:
        entry["errors"] = list(decision.errors)
    if decision.shadow:
        entry["shadow"] = [dict(item) for item in decision.shadow]
    return entry


def _rules(rules: Sequence[RuleTrace]) -> list[Mapping[str, object]]:
    return [
        {
            "policy": rule.policy,
            "source": rule.source,
            "rule": rule.rule,
            "line": rule.line,
            "description": rule.description,
            "enforcement": rule.level,
            **({"error": rule.error} if rule.error else {}),
        }
        for rule in rules
    ]


def _short(value: object) -> object:
    if isinstance(value, str):
        return value[:_MAX_VALUE_CHARS]
    if value is None or isinstance(value, bool | float):
        return value
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        # A value nested past the limit, or an integer with too many digits.
        return "<too large to show>"
    return value if len(text) <= _MAX_VALUE_CHARS else text[:_MAX_VALUE_CHARS]
