"""Compiles checked texts into declarations that are ready to run.

One `Declaration` per `tool` declaration; a shorthand is one with a single
update. Rules keep the trace entry they leave when they fire, made once.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from interlock.policy.checker import Checked
from interlock.policy.evaluate.frame import Frame
from interlock.policy.evaluate.patterns import regex_matcher
from interlock.policy.evaluate.predicates import PredicateCompiler
from interlock.policy.evaluate.updates import (
    Step,
    compile_statement,
    compile_update,
    conditional,
)
from interlock.policy.model import Caller, RuleTrace
from interlock.policy.scope import Scope
from interlock.policy.syntax import nodes as n
from interlock.policy.syntax.printer import print_rule

__all__ = ["Condition", "Declaration", "Rule", "compile_declarations"]


Condition = Callable[[Frame], bool]


class Rule:
    """One check rule, compiled."""

    def __init__(self, rule: n.CheckRule, scope: Scope, caller: Caller, policy: str) -> None:
        self.deny = rule.outcome == "deny"
        self.hard = rule.level == "hard"
        self.fired = RuleTrace(
            policy=policy,
            source=scope.source,
            rule=print_rule(rule),
            line=rule.span.line,
            level=rule.level,
            outcome=rule.outcome,
            state="fired",
            description=rule.doc,
        )
        self._condition = rule.condition
        self._scope = scope
        self._caller = caller
        self.run = self._compiled(tracing=False)

    @cached_property
    def traced_run(self) -> Condition:
        """Like `run`, leaving every comparison on the frame's trail."""
        return self._compiled(tracing=True)

    def _compiled(self, *, tracing: bool) -> Condition:
        if self._condition is None:
            return lambda _: True
        compiler = PredicateCompiler(caller=self._caller, tracing=tracing)
        return compiler.compile(self._condition, self._scope).run


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What one declaration says about the tools it is about."""

    tool: str
    matches: Callable[[str], bool] | None
    """None: about the tool of exactly this name."""
    priority: int
    user: bool
    """False for the presets' own."""
    rules: tuple[Rule, ...]
    before: tuple[Step, ...]
    result: tuple[Step, ...]
    after: tuple[Step, ...]


def compile_declarations(checked: Checked, caller: Caller, *, user: bool) -> list[Declaration]:
    """The declarations of one text in source order."""
    numbers: Counter[n.ToolId] = Counter()
    compiled = []
    for item in checked.program.declarations:
        if isinstance(item, n.ToolDecl):
            compiled.append(_tool(item, checked.scope, caller, numbers, user))
        elif isinstance(item, n.Shorthand):
            compiled.append(_shorthand(item, checked.scope, caller, user))
    return compiled


def _tool(
    item: n.ToolDecl, scope: Scope, caller: Caller, numbers: Counter[n.ToolId], user: bool
) -> Declaration:
    steps: dict[n.Where, list[Step]] = {"before": [], "result": [], "after": []}
    rules, priority = [], 0
    for member in item.members:
        if isinstance(member, n.Priority):
            priority = member.value
        elif isinstance(member, n.CheckRule):
            rules.append(Rule(member, scope, caller, f"{item.id.text}#{numbers[item.id]}"))
            numbers[item.id] += 1
        else:
            steps[member.where] += [
                compile_statement(statement, member.where, scope, caller, item.id.text)
                for statement in member.statements
            ]
    return _declaration(item.id, priority, user, tuple(rules), steps)


def _shorthand(item: n.Shorthand, scope: Scope, caller: Caller, user: bool) -> Declaration:
    target = n.Target("bare", item.field, span=item.span)
    update = n.Update(target, item.op, item.value, span=item.span)
    change = compile_update(update, item.where, scope, caller, item.id.text)
    if item.condition is None:
        step: Step = lambda frame: change(frame, False)  # noqa: E731
    else:
        step = conditional(item.condition, (change,), item.where, scope, caller)
    return _declaration(item.id, item.priority or 0, user, (), {item.where: [step]})


def _declaration(
    tool_id: n.ToolId,
    priority: int,
    user: bool,
    rules: tuple[Rule, ...],
    steps: dict[n.Where, list[Step]],
) -> Declaration:
    return Declaration(
        tool=tool_id.text,
        matches=regex_matcher(tool_id.text) if tool_id.regex else None,
        priority=priority,
        user=user,
        rules=rules,
        before=tuple(steps.get("before", ())),
        result=tuple(steps.get("result", ())),
        after=tuple(steps.get("after", ())),
    )
