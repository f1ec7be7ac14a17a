"""Decides calls under one program: the normative order of 11.7 and 11.8.

An `Engine` is one set of declarations for one caller; `policy.compiled` runs
one or more of them side by side. What a tool's name selects is worked out once
per name, so the number of declarations about other tools costs nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from interlock.policy.evaluate.frame import Frame
from interlock.policy.evaluate.updates import Step, failure_text
from interlock.policy.model import (
    Decision,
    Labels,
    Mode,
    Presets,
    ResultUpdate,
    RuleTrace,
    Session,
    ToolCall,
    Verdict,
)
from interlock.policy.presets import NON_EXECUTABLE
from interlock.policy.program import Condition, Declaration, Rule

__all__ = ["Engine", "ForeignProgram", "ForeignRules"]

_MAX_PLANS = 4_096
"""Tool names come from models, so what is remembered per name is bounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRules:
    """What a program in another language says about a call."""

    fired: Sequence[RuleTrace] = ()
    rules: Sequence[RuleTrace] = ()
    allow_listed: bool = False
    """It has an allow rule about this tool, fired or not (11.7 step 5)."""
    errors: Sequence[str] = ()


class ForeignProgram(Protocol):
    """A policy in another language; its rules have priority 0 and come last."""

    def rules_for(
        self, call: ToolCall, labels: Mapping[str, Labels], session: Session
    ) -> ForeignRules:
        """What it says about one call; may raise, which is a denial."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Everything one tool's name selects, in the order it runs."""

    rules: tuple[tuple[int, Rule, Condition], ...]
    before: tuple[Step, ...]
    result: tuple[Step, ...]
    after: tuple[Step, ...]
    allow_listed: bool


class _Fired:
    """The rules that fired so far, and the first of each kind that can decide."""

    __slots__ = ("allowed", "denied", "hard_allow", "hard_deny", "soft", "soft_priority")

    def __init__(self) -> None:
        self.denied: list[RuleTrace] = []
        self.allowed: list[RuleTrace] = []
        self.hard_deny: RuleTrace | None = None
        self.hard_allow: RuleTrace | None = None
        self.soft: RuleTrace | None = None
        self.soft_priority = 0

    def add(self, trace: RuleTrace, priority: int) -> None:
        deny = trace.outcome == "deny"
        (self.denied if deny else self.allowed).append(trace)
        if trace.level == "soft":
            if self.soft is None or priority > self.soft_priority:
                self.soft, self.soft_priority = trace, priority
        elif deny:
            self.hard_deny = self.hard_deny or trace
        else:
            self.hard_allow = self.hard_allow or trace


class Engine:
    """Decides calls under one program."""

    def __init__(
        self,
        declarations: Sequence[Declaration],
        foreign: Sequence[ForeignProgram] = (),
        *,
        presets: Presets,
        mode: Mode = "standard",
    ) -> None:
        self._presets = presets
        self._strict = mode == "strict"
        self._foreign = tuple(foreign)
        self._exact: dict[str, list[tuple[int, Declaration]]] = {}
        self._patterns: list[tuple[int, Declaration]] = []
        for order, declaration in enumerate(declarations):
            if declaration.matches is None:
                self._exact.setdefault(declaration.tool, []).append((order, declaration))
            else:
                self._patterns.append((order, declaration))
        self._plans: dict[str, _Plan] = {}

    def decide(
        self, call: ToolCall, labels: Mapping[str, Labels], session: Session, *, trace: bool
    ) -> Decision:
        """The decision on one attempted call.

        Raises:
            Exception: nothing of the policy's own; a caller treats any as a denial.
        """
        plan = self._plans.get(call.tool) or self._plan(call.tool)
        frame = Frame(
            call.args,
            labels,
            session.labels,
            session_value=session.value,
            control=call.control,
        )
        for step in plan.before:
            step(frame)
        if frame.session is not session.labels:
            session = Session(labels=frame.session, value=session.value)
        fired = _Fired()
        traces = self._run(plan, frame, fired, trace)
        allow_listed = plan.allow_listed
        for program in self._foreign:
            found = program.rules_for(call, frame.labels, session)
            for rule in found.fired:
                fired.add(rule, 0)
            frame.errors.extend(found.errors)
            traces.extend(found.rules)
            allow_listed = allow_listed or found.allow_listed
        verdict, rule_trace, reason = self._verdict(fired, allow_listed, frame)
        return Decision(
            verdict=verdict,
            tool=call.tool,
            rule=rule_trace,
            reason=reason,
            denied=fired.denied,
            allowed=fired.allowed,
            session=session,
            labels=frame.labels,
            rules=traces if trace else (),
            origins=frame.origins,
            errors=frame.errors,
        )

    def result(
        self,
        call: ToolCall,
        value: object,
        initial: Labels,
        labels: Mapping[str, Labels],
        session: Session,
        *,
        non_executable: bool,
    ) -> ResultUpdate:
        """What a finished call leaves behind: `result` blocks, then `session after` blocks."""
        plan = self._plans.get(call.tool) or self._plan(call.tool)
        if non_executable and self._presets.enable_non_executable_memory:
            tags = initial.tags.with_label(NON_EXECUTABLE)
            initial = Labels(tags, initial.producers, initial.consumers)
        frame = Frame(
            call.args,
            labels,
            session.labels,
            session_value=session.value,
            result=initial,
            value=value,
            control=call.control,
        )
        for step in plan.result:
            step(frame)
        for step in plan.after:
            step(frame)
        return ResultUpdate(
            labels=frame.result,
            session=Session(labels=frame.session, value=session.value),
            args=frame.labels,
            origins=frame.origins,
            errors=frame.errors,
        )

    def _plan(self, tool: str) -> _Plan:
        found = list(self._exact.get(tool, ()))
        found += [pair for pair in self._patterns if pair[1].matches and pair[1].matches(tool)]
        found.sort(key=lambda pair: (pair[1].user, -pair[1].priority, pair[0]))
        chosen = [declaration for _, declaration in found]
        ruling = sorted(found, key=lambda pair: (-pair[1].priority, pair[0]))
        plan = _Plan(
            rules=tuple(
                (item.priority, rule, rule.run) for _, item in ruling for rule in item.rules
            ),
            before=tuple(step for item in chosen for step in item.before),
            result=tuple(step for item in chosen for step in item.result),
            after=tuple(step for item in chosen for step in item.after),
            allow_listed=any(not rule.deny for item in chosen if item.user for rule in item.rules),
        )
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        self._plans[tool] = plan
        return plan

    def _run(self, plan: _Plan, frame: Frame, fired: _Fired, trace: bool) -> list[RuleTrace]:
        traces: list[RuleTrace] = []
        stopped = False
        for priority, rule, run in plan.rules:
            if stopped:
                traces.append(replace(rule.fired, state="not_reached"))
                continue
            problem: str | None = None
            try:
                holds = rule.traced_run(frame) if trace else run(frame)
            except Exception as error:  # fails closed, whatever it is
                problem = failure_text(error)
                holds = rule.deny
                frame.errors.append(f"{rule.fired.policy}: {problem}")
            if not (holds or trace or problem):
                continue
            if trace or problem:
                entry = replace(
                    rule.fired,
                    state="fired" if holds else "not_fired",
                    conditions=tuple(frame.trail),
                    error=problem,
                )
                frame.trail.clear()
                traces.append(entry)
            else:
                entry = rule.fired
            if holds:
                fired.add(entry, priority)
                if rule.hard and rule.deny and self._presets.fail_fast:
                    if not trace:
                        break
                    stopped = True
        return traces

    def _verdict(
        self, fired: _Fired, allow_listed: bool, frame: Frame
    ) -> tuple[Verdict, RuleTrace | None, Literal["rule", "allow_list", "default", "error"]]:
        if fired.hard_deny is not None:
            return Verdict.HARD_DENIED, fired.hard_deny, "rule"
        if frame.broken or (self._strict and frame.errors):
            return Verdict.HARD_DENIED, None, "error"
        if fired.hard_allow is not None:
            return Verdict.HARD_ALLOWED, fired.hard_allow, "rule"
        presets = self._presets
        if not allow_listed and presets.default_allow_enforcement_level == "hard":
            default = Verdict.HARD_ALLOWED if presets.default_allow else Verdict.HARD_DENIED
            return default, None, "default"
        if fired.soft is not None:
            denies = fired.soft.outcome == "deny"
            return Verdict.SOFT_DENIED if denies else Verdict.SOFT_ALLOWED, fired.soft, "rule"
        if allow_listed:
            return Verdict.SOFT_DENIED, None, "allow_list"
        return (
            Verdict.SOFT_ALLOWED if presets.default_allow else Verdict.SOFT_DENIED,
            None,
            "default",
        )
