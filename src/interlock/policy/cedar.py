"""Policies in Cedar, decided by the Cedar engine (11.11).

The principal is `User::"<caller's user>"`, a member of `Group::"..."` and
`Role::"..."` entities, with the attributes `user`, `key`, `account`, `surface`,
`groups` and `roles`; the action is `Action::"<tool>"`, the resource
`Tool::"<tool>"`. The context is `{args: {name: {value, tags, producers,
consumers}}, session: {tags, producers, consumers, value}}`; label sets are in
wire form. There is no schema.

A matching `permit` is a soft allow, a matching `forbid` a hard deny, under the
same order as SQRT rules. Cedar has no null and no binary fractions: such a value
has no `value` attribute, a fraction of at most four digits is a `decimal`.
Cedar skips a policy that fails to evaluate; here a failing `forbid` denies.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import cedarpy

from interlock.policy.engine import ForeignRules
from interlock.policy.errors import Diagnostic, PolicyError
from interlock.policy.model import DEFAULT_LABELS, Caller, Labels, RuleTrace, Session, ToolCall

__all__ = ["CedarProgram"]

_STATEMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|\b(?:permit|forbid)\b\s*\(|;', re.DOTALL)
_FAILED = re.compile(r"policy `([^`]*)`")
_PLACE = re.compile(r"at line (\d+),? column (\d+)")
_ESCAPES = frozenset({"__entity", "__extn", "__expr"})
_MIN_LONG, _MAX_LONG = -(1 << 63), (1 << 63) - 1
_MAX_DEPTH = 32


class _Policy(NamedTuple):
    trace: RuleTrace
    action: Mapping[str, object]
    resource: Mapping[str, object]


class CedarProgram:
    """One Cedar policy text, for one caller."""

    def __init__(self, text: str, source: str, caller: Caller) -> None:
        """Parses the text.

        Raises:
            PolicyError: Cedar refuses it, or it holds templates.
        """
        try:
            self._policies = cedarpy.PolicySet.from_str(text)
            parsed = json.loads(cedarpy.policies_to_json_str(text))
        except ValueError as error:
            raise _refused(str(error), source) from None
        if parsed.get("templates"):
            raise _refused("templates are not supported", source)
        self._rules = _rules(text, source, parsed["staticPolicies"])
        self._principal = {"type": "User", "id": caller.user}
        self._entities = cedarpy.Entities.from_json_str(json.dumps(_entities(caller)))

    def rules_for(
        self, call: ToolCall, labels: Mapping[str, Labels], session: Session
    ) -> ForeignRules:
        """What the policies say about one call.

        Raises:
            ValueError: the call cannot be put to Cedar at all.
        """
        answer = cedarpy.is_authorized(
            {
                "principal": self._principal,
                "action": {"type": "Action", "id": call.tool},
                "resource": {"type": "Tool", "id": call.tool},
                "context": _context(call, labels, session),
            },
            self._policies,
            self._entities,
        )
        if answer.decision is cedarpy.Decision.NoDecision:
            msg = "the call could not be put to the Cedar engine"
            raise ValueError(msg)
        fired_ids = set(answer.diagnostics.reasons)
        failed: dict[str, str] = {}
        for error in answer.diagnostics.errors:
            match = _FAILED.search(error)
            if match is None or match.group(1) not in self._rules:
                msg = "a Cedar policy failed that could not be identified"
                raise ValueError(msg)
            failed[match.group(1)] = error
        return self._outcome(call.tool, fired_ids, failed)

    def _outcome(self, tool: str, fired_ids: set[str], failed: Mapping[str, str]) -> ForeignRules:
        fired, rules, allow_listed = [], [], False
        for key, policy in self._rules.items():
            concerns = _concerns(policy, tool)
            denies = policy.trace.outcome == "deny"
            allow_listed = allow_listed or (concerns and not denies)
            problem = "a condition could not be evaluated" if key in failed else None
            holds = key in fired_ids or (problem is not None and denies)
            trace = _with_state(policy.trace, holds, problem)
            if holds:
                fired.append(trace)
            if concerns:
                rules.append(trace)
        # Cedar names only the policies that made its decision: with a forbid
        # fired the permits stay silent, which does not matter to the verdict.
        errors = [f"{self._rules[key].trace.policy}: could not be evaluated" for key in failed]
        return ForeignRules(fired=fired, rules=rules, allow_listed=allow_listed, errors=errors)


def _with_state(trace: RuleTrace, holds: bool, problem: str | None) -> RuleTrace:
    return RuleTrace(
        policy=trace.policy,
        source=trace.source,
        rule=trace.rule,
        line=trace.line,
        level=trace.level,
        outcome=trace.outcome,
        state="fired" if holds else "not_fired",
        description=trace.description,
        error=problem,
    )


def _refused(reason: str, source: str) -> PolicyError:
    place = _PLACE.search(reason)
    line, column = (int(place.group(1)), int(place.group(2))) if place else (0, 0)
    return PolicyError(
        [
            Diagnostic(
                message=f"invalid Cedar policy: {reason}",
                source=source,
                line=line,
                column=column,
                help="policies are Cedar statements: `permit(principal, action, resource);`",
            )
        ]
    )


def _rules(text: str, source: str, parsed: Mapping[str, dict[str, object]]) -> dict[str, _Policy]:
    places = list(_places(text))
    ordered = sorted(parsed, key=_number)
    rules = {}
    for index, key in enumerate(ordered):
        policy = parsed[key]
        annotations = policy.get("annotations")
        notes = annotations if isinstance(annotations, Mapping) else {}
        line, body = places[index] if index < len(places) else (0, "")
        forbids = policy["effect"] == "forbid"
        trace = RuleTrace(
            policy=str(notes.get("id") or key),
            source=source,
            rule=" ".join(body.split()),
            line=line,
            level="hard" if forbids else "soft",
            outcome="deny" if forbids else "allow",
            state="not_fired",
            description=str(notes["description"]) if notes.get("description") else None,
        )
        rules[key] = _Policy(trace, _scope(policy["action"]), _scope(policy["resource"]))
    return rules


def _number(key: str) -> tuple[int, str]:
    digits = key.removeprefix("policy")
    return (int(digits), "") if digits.isdigit() else (0, key)


def _scope(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _places(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of each statement; strings and comments are stepped over."""
    start: int | None = None
    for match in _STATEMENT.finditer(text):
        found = match.group()
        if found == ";" and start is not None:
            yield text.count("\n", 0, start) + 1, text[start : match.end()]
            start = None
        elif found[0] in "pf" and start is None:
            start = match.start()


def _concerns(policy: _Policy, tool: str) -> bool:
    return _may_be(policy.action, "Action", tool) and _may_be(policy.resource, "Tool", tool)


def _may_be(scope: Mapping[str, object], kind: str, tool: str) -> bool:
    """Whether a scope can be about the tool; scopes not understood may be."""
    entities = scope.get("entities")
    wanted = list(entities) if isinstance(entities, list) else [scope.get("entity")]
    if scope.get("op") not in {"==", "in"} or None in wanted:
        return True
    return {"type": kind, "id": tool} in wanted


def _entities(caller: Caller) -> list[dict[str, object]]:
    groups = [{"type": "Group", "id": name} for name in sorted(caller.groups)]
    roles = [{"type": "Role", "id": name} for name in sorted(caller.roles)]
    user: dict[str, object] = {
        "uid": {"type": "User", "id": caller.user},
        "attrs": {
            "user": caller.user,
            "key": caller.key,
            "account": caller.account,
            "surface": caller.surface,
            "groups": sorted(caller.groups),
            "roles": sorted(caller.roles),
        },
        "parents": [*groups, *roles],
    }
    others: list[dict[str, object]] = [
        {"uid": uid, "attrs": {}, "parents": []} for uid in (*groups, *roles)
    ]
    return [user, *others]


def _context(call: ToolCall, labels: Mapping[str, Labels], session: Session) -> dict[str, object]:
    args = {}
    for name, value in call.args.items():
        entry: dict[str, object] = dict(labels.get(name, DEFAULT_LABELS).to_wire())
        converted = _value(value, 0)
        if converted is not None:
            entry["value"] = converted
        args[name] = entry
    about: dict[str, object] = dict(session.labels.to_wire())
    stored = _value(session.value, 0)
    if stored is not None:
        about["value"] = stored
    if not _ESCAPES.isdisjoint(args):
        msg = "an argument has a name Cedar reserves"
        raise ValueError(msg)
    return {"args": args, "session": about}


def _value(value: object, depth: int) -> object | None:
    """The value as Cedar's JSON, None when Cedar cannot hold it."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if _MIN_LONG <= value <= _MAX_LONG else None
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if depth >= _MAX_DEPTH:
        return None
    if isinstance(value, list | tuple | set | frozenset):
        items = [_value(item, depth + 1) for item in value]
        return None if None in items else items
    if isinstance(value, Mapping):
        # A record with these keys would be read as an entity or a function call.
        if not _ESCAPES.isdisjoint(value) or not all(isinstance(key, str) for key in value):
            return None
        fields = {key: _value(item, depth + 1) for key, item in value.items()}
        return None if None in fields.values() else fields
    return None


def _decimal(value: float) -> object | None:
    text = repr(value)
    whole, _, fraction = text.partition(".")
    if not fraction.isdigit() or len(fraction) > 4 or len(whole.lstrip("-")) > 14:
        return None
    return {"__extn": {"fn": "decimal", "arg": text}}
