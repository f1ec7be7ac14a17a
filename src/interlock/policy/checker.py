"""Static checks: what a well-formed text may still get wrong (11.3).

Every `let` is examined once, for what holds wherever it is used; a use then
only has to ask whether that is legal where it stands. All findings are
collected; any error keeps the text from compiling.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from interlock.policy.advice import KnownTools, advice, diagnose
from interlock.policy.errors import Diagnostic, PolicyError
from interlock.policy.evaluate.patterns import PatternError, regex_matcher
from interlock.policy.evaluate.values import instant, pattern_of, range_problem
from interlock.policy.scope import Scope
from interlock.policy.syntax import nodes as n
from interlock.policy.syntax.parser import parse

__all__ = ["Checked", "check"]

MAX_RULE_NODES = 5_000
MAX_EXPANDED_DEPTH = 80

Where = Literal["check", "before", "result", "after", "let"]

_PLACES = {
    "check": "a check rule",
    "before": "`session before`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A text that compiles: its tree, its names, and what its author should look at."""

    source: str
    program: n.Program
    scope: Scope
    warnings: tuple[Diagnostic, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Facts:
    """What is known about an expression without knowing where it stands."""

    kind: Literal["predicate", "set"]
    patterned: bool = False
    joined: bool = False
    """A union with patterns, legal on the right of a comparison only."""
    reads_result: bool = False
    reads_bare: bool = False
    size: int = 1
    depth: int = 1

    def add(self, other: "_Facts") -> None:
        self.reads_result = self.reads_result or other.reads_result
        self.reads_bare = self.reads_bare or other.reads_bare
        self.size = min(self.size + other.size, MAX_RULE_NODES + 1)
        self.depth = max(self.depth, other.depth + 1)


def check(
    text: str, source: str, *, before: Scope | None = None, known_tools: KnownTools | None = None
) -> Checked:
    """Parses and checks a text; `before` is the scope of the text in front of it.

    Raises:
        PolicyError: with every error found.
    """
    program = parse(text, source)
    checker = _Checker(source, text, before)
    checker.run(program)
    if checker.errors:
        raise PolicyError(checker.errors)
    found = advice(program, checker.scope, known_tools)
    return Checked(source=source, program=program, scope=checker.scope, warnings=found)


class _Checker:
    def __init__(self, source: str, text: str, before: Scope | None) -> None:
        self.errors: list[Diagnostic] = []
        self._lets: dict[str, n.Let] = {}
        self.scope = Scope(source=source, text=text, lets=self._lets, before=before)
        self._facts: dict[int, _Facts | None] = {}
        self._open: list[int] = []

    def run(self, program: n.Program) -> None:
        for item in program.declarations:
            if isinstance(item, n.Let):
                if item.name in self._lets:
                    first = self._lets[item.name].span.line
                    self._error(item, f"`{item.name}` is already defined in line {first}")
                else:
                    self._lets[item.name] = item
        for name in self._lets:
            self._let_facts(self.scope, self._lets[name])
        for item in program.declarations:
            if isinstance(item, n.ToolDecl):
                self._tool(item)
            elif isinstance(item, n.Shorthand):
                self._shorthand(item)

    def _error(self, node: n.Node, message: str, help_text: str | None = None) -> None:
        self.errors.append(diagnose(self.scope, node, message, help_text, "error"))

    # Declarations

    def _tool(self, item: n.ToolDecl) -> None:
        self._tool_id(item.id)
        for member in item.members:
            if isinstance(member, n.CheckRule):
                self._check_rule(member)
            elif isinstance(member, n.UpdateBlock):
                for statement in member.statements:
                    self._statement(statement, member.where)

    def _tool_id(self, tool_id: n.ToolId) -> None:
        if tool_id.regex:
            self._regex(tool_id, tool_id.text)

    def _check_rule(self, rule: n.CheckRule) -> None:
        if rule.condition is not None:
            self._bounded(rule, self._predicate(rule.condition, "check"))

    def _shorthand(self, item: n.Shorthand) -> None:
        self._tool_id(item.id)
        target = n.Target("bare", item.field, span=item.span)
        update = n.Update(target, item.op, item.value, span=item.span)
        self._update(update, item.where)
        if item.condition is not None:
            self._bounded(item, self._predicate(item.condition, item.where))

    def _statement(self, statement: n.Statement, where: n.Where) -> None:
        if isinstance(statement, n.Update):
            self._update(statement, where)
            return
        self._bounded(statement, self._predicate(statement.condition, where))
        for update in statement.updates:
            self._update(update, where)

    def _update(self, update: n.Update, where: n.Where) -> None:
        if update.target.scope == "result" and where == "before":
            self._error(update.target, "there is no `@result` before the call has run")
        facts = self._set(update.value, where)
        self._bounded(update, facts)
        if facts.joined:
            self._error(
                update.value,
                "a union with patterns is only legal on the right side of a comparison",
                "write the elements in one set literal, behind `&=` or `-=`",
            )
        elif facts.patterned and update.op not in {"&=", "-="}:
            self._error(
                update.value,
                "patterns and numbers cannot be stored as labels",
                "labels are plain strings; patterns may stand behind `&=` and `-=`",
            )

    def _bounded(self, node: n.Node, facts: _Facts) -> None:
        if facts.size > MAX_RULE_NODES:
            self._error(
                node,
                f"with its `let`s written out this has more than {MAX_RULE_NODES} parts",
                "every use of a `let` counts as its whole text",
            )
        elif facts.depth > MAX_EXPANDED_DEPTH:
            self._error(
                node, f"with its `let`s written out this is nested over {MAX_EXPANDED_DEPTH} deep"
            )

    # Names

    def _let_facts(self, scope: Scope, let: n.Let) -> _Facts | None:
        """Facts about a `let`; None when it has none because it is wrong, which was reported."""
        key = id(let)
        if key in self._facts:
            return self._facts[key]
        if key in self._open or len(self._open) >= MAX_EXPANDED_DEPTH:
            what = "is defined by itself" if key in self._open else "is nested too deeply"
            self._error(let, f"`{let.name}` {what}", "a `let` is written out at each use")
            self._facts[key] = None
            return None
        self._open.append(key)
        outer = self.scope
        self.scope = scope
        facts = self._let_value(let.value)
        self.scope = outer
        self._open.pop()
        return self._facts.setdefault(key, facts)

    def _let_value(self, value: n.LetValue) -> _Facts | None:
        if isinstance(value, n.Alias):
            return self._lookup(value, value.name)
        if isinstance(
            value, n.BoolDomain | n.NumberDomain | n.StrDomain | n.TimeDomain | n.TimeExact
        ):
            self._element(value)
            return _Facts(kind="set", patterned=True)
        if isinstance(value, n.SetLiteral | n.SetRef | n.Meta | n.SetOp | n.ElementOps):
            return self._set(value, "let")
        return self._predicate(value, "let")

    def _lookup(self, node: n.Node, name: str) -> _Facts | None:
        found = self.scope.find(name)
        if found is None:
            self._error(node, f"unknown name `{name}`", _did_you_mean(name, self._lets))
            return None
        return self._let_facts(*found)

    def _reference(
        self, node: n.PredicateRef | n.SetRef, kind: Literal["predicate", "set"], where: Where
    ) -> _Facts:
        facts = self._lookup(node, node.name)
        if facts is None:
            return _Facts(kind=kind)
        if facts.kind != kind:
            is_a, wanted = ("a condition", "a set") if kind == "set" else ("a set", "a condition")
            self._error(node, f"`{node.name}` is {is_a} where {wanted} is needed")
            return _Facts(kind=kind)
        if facts.reads_result and where in _PLACES:
            self._error(node, f"`{node.name}` reads `@result`, which {_PLACES[where]} cannot")
        if facts.reads_bare and where == "check":
            self._error(
                node,
                f"`{node.name}` uses a bare `@field`, which has no meaning in a check rule",
                "write `@session.tags` or `@args.tags`",
            )
        copy = _Facts(kind=kind, patterned=facts.patterned, joined=facts.joined)
        copy.add(facts)
        return copy

    # Conditions

    def _predicate(self, item: n.Predicate, where: Where) -> _Facts:
        facts = _Facts(kind="predicate")
        match item:
            case n.PredicateRef():
                return self._reference(item, "predicate", where)
            case n.Not(inner):
                facts.add(self._predicate(inner, where))
            case n.And(items) | n.Or(items):
                for part in items:
                    facts.add(self._predicate(part, where))
            case n.ValueIn(value, within):
                self._value(value, facts, where)
                facts.add(self._set(within, where))
            case n.ValueEquals(left, right):
                self._value(left, facts, where)
                self._value(right, facts, where)
            case n.SetCompare(_, operand, right_set):
                facts.add(self._set(operand, where))
                facts.add(self._set(right_set, where))
            case n.SetIs(_, operand):
                facts.add(self._set(operand, where))
            case n.BoolConst():
                pass
        return facts

    def _value(self, value: n.Value, facts: _Facts, where: Where) -> None:
        if isinstance(value, n.ValueOf):
            if value.scope == "result":
                facts.reads_result = True
                self._reads_result(value, where)
        elif value.kind == "datetime":
            self._time(value, value.value)

    def _reads_result(self, node: n.Node, where: Where) -> None:
        if where in _PLACES:
            self._error(node, f"`@result` cannot be read in {_PLACES[where]}")

    # Sets

    def _set(self, item: n.SetExpr, where: Where) -> _Facts:
        facts = _Facts(kind="set")
        match item:
            case n.SetRef():
                return self._reference(item, "set", where)
            case n.Meta():
                self._meta(item, facts, where)
            case n.SetLiteral(elements):
                facts.patterned = any(not isinstance(e, n.StringElement) for e in elements)
                facts.size += len(elements)
                for element in elements:
                    self._element(element)
            case n.SetOp(op, items):
                parts = [self._set(part, where) for part in items]
                for part in parts:
                    facts.add(part)
                self._chain(item, op, parts, facts)
            case n.ElementOps(base, steps):
                parts = [self._set(base, where)]
                facts.add(parts[0])
                facts.patterned, facts.joined = parts[0].patterned, parts[0].joined
                for adds, element in steps:
                    self._element(element)
                    plain = isinstance(element, n.StringElement)
                    other = _Facts(kind="set", patterned=not plain)
                    self._chain(item, "union" if adds else "minus", [facts, other], facts)
                facts.size += len(steps)
        return facts

    def _meta(self, item: n.Meta, facts: _Facts, where: Where) -> None:
        if item.scope == "result":
            facts.reads_result = True
            self._reads_result(item, where)
        elif item.scope == "bare":
            facts.reads_bare = True
            if where == "check":
                self._error(
                    item,
                    f"a bare `@{item.field}` has no meaning in a check rule",
                    f"write `@session.{item.field}` or `@args.{item.field}`",
                )

    def _chain(self, node: n.SetExpr, op: str, parts: list[_Facts], facts: _Facts) -> None:
        patterned, joined = parts[0].patterned, parts[0].joined
        for part in parts[1:]:
            joined = joined or part.joined
            if op == "union":
                patterned = patterned or part.patterned
                joined = joined or patterned
            elif op == "xor" and (patterned or part.patterned):
                self._error(node, "patterns cannot stand in a symmetric difference")
                patterned = False
            elif op == "minus" and patterned:
                self._error(node, "nothing can be taken out of a set of patterns")
                patterned = False
            elif op == "intersect":
                if patterned and part.patterned:
                    self._error(node, "two sets of patterns cannot be intersected")
                patterned = False if patterned != part.patterned else patterned
            if op != "union":
                joined = joined and patterned
        facts.patterned, facts.joined = patterned, joined

    # Elements

    def _element(self, element: n.Element) -> None:
        match element:
            case n.RegexElement(text) | n.StrDomain("matching", text, _):
                self._regex(element, text)
            case n.TimeExact(_, value):
                self._time(element, value)
            case n.TimeDomain(low, high, _, _):
                bounds = [bound for bound in (low, high) if bound is not None]
                if not all(self._time(element, bound) for bound in bounds):
                    return
            case n.WildcardElement() | n.StrDomain("like", _, _):
                try:
                    pattern_of(element)
                except PatternError as error:
                    self._error(element, str(error), error.advice)
        problem = range_problem(element)
        if problem is not None:
            self._error(element, problem)

    def _regex(self, node: n.Node, text: str) -> None:
        try:
            regex_matcher(text)
        except PatternError as error:
            self._error(node, str(error), error.advice)

    def _time(self, node: n.Node, value: object) -> bool:
        valid = instant(value) is not None
        if not valid:
            self._error(
                node,
                f"`{value}` is not a date or time",
                "write ISO 8601, for example `2026-01-31` or `2026-01-31T09:30:00Z`",
            )
        return valid


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = [other for other in known if other.lower() == name.lower()]
    if near:
        return f"there is a `let {near[0]}`"
    return f"define it with `let {name} = ...;`, or write `{name}.value` for an argument"
