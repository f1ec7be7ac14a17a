"""Compiles conditions into functions of a frame.

With `tracing`, every comparison also leaves a `Condition` on the frame's trail
and nothing is folded away, so that an explanation shows what was compared.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from interlock.policy.evaluate import patternsets
from interlock.policy.evaluate.frame import Bare, Frame, value_reader
from interlock.policy.evaluate.patternsets import PatternSet, member_test, scalar_test
from interlock.policy.evaluate.sets import PlainCode, SetCode, SetCompiler, widened
from interlock.policy.evaluate.values import Test, each, values_equal
from interlock.policy.model import DEFAULT_LABELS, Caller, Condition, LabelSet
from interlock.policy.scope import Scope
from interlock.policy.syntax import nodes as n
from interlock.policy.syntax.printer import print_predicate, print_set, print_value

__all__ = ["PredicateCode", "PredicateCompiler"]

Run = Callable[[Frame], bool]


@dataclass(frozen=True, slots=True)
class PredicateCode:
    """A condition; `constant` when it is the same for every frame."""

    run: Run
    constant: bool | None = None


_TRUE = PredicateCode(lambda _: True, True)
_FALSE = PredicateCode(lambda _: False, False)


@dataclass(slots=True, kw_only=True)
class PredicateCompiler:
    """Compiles the conditions of one place."""

    caller: Caller
    bare: Bare = "session"
    tracing: bool = False
    sets: SetCompiler = field(init=False)

    def __post_init__(self) -> None:
        self.sets = SetCompiler(self.caller, self.bare)

    def compile(self, item: n.LetValue, scope: Scope) -> PredicateCode:
        """Code for a condition, or for a `let` value used as one."""
        match item:
            case n.BoolConst(value):
                return _TRUE if value else _FALSE
            case n.PredicateRef(name) | n.Alias(name):
                found = scope.find(name)
                if found is None:  # pragma: no cover - the checker refuses unknown names
                    raise LookupError(name)
                return self.compile(found[1].value, found[0])
            case n.Not(inner):
                return _negated(self.compile(inner, scope))
            case n.And(items):
                return self._all([self.compile(part, scope) for part in items])
            case n.Or(items):
                return self._any([self.compile(part, scope) for part in items])
            case n.ValueIn() | n.ValueEquals() | n.SetCompare() | n.SetIs():
                return self._comparison(item, scope)
            case _:  # pragma: no cover - the checker refuses a set used as a predicate
                raise TypeError(item)

    def _all(self, codes: list[PredicateCode]) -> PredicateCode:
        if not self.tracing:
            kept: list[Run] = []
            for code in codes:
                if code.constant is False:
                    return _and(kept, _FALSE)
                if code.constant is None:
                    kept.append(code.run)
            return _and(kept, _TRUE)
        return PredicateCode(_conjunction(tuple(code.run for code in codes)))

    def _any(self, codes: list[PredicateCode]) -> PredicateCode:
        if not self.tracing:
            kept: list[Run] = []
            for code in codes:
                if code.constant is True:
                    return _or(kept, _TRUE)
                if code.constant is None:
                    kept.append(code.run)
            return _or(kept, _FALSE)
        return PredicateCode(_disjunction(tuple(code.run for code in codes)))

    def _comparison(self, item: n.Comparison, scope: Scope) -> PredicateCode:
        match item:
            case n.ValueIn(value, within):
                code = self._value_in(value, within, scope)
            case n.ValueEquals(left, right):
                code = _value_equals(left, right)
            case n.SetCompare(op, operand, right_set):
                code = self._set_compare(op, operand, right_set, scope)
            case n.SetIs(what, operand):
                code = self._set_is(what, operand)
        return self._traced(item, code, scope) if self.tracing else code

    def _value_in(self, value: n.Value, within: n.SetExpr, scope: Scope) -> PredicateCode:
        wanted = self.sets.compile(within, scope)
        read = _reader(value)
        fixed = widened(wanted).constant
        if fixed is not None:
            test = member_test(fixed)
            if isinstance(value, n.Literal_):
                return _literal_in(value, test)
            if value.scope == "argument":
                return PredicateCode(_argument_in(value.name, scalar_test(fixed)))
            return PredicateCode(lambda frame: test(read(frame)))
        if (
            isinstance(wanted, PlainCode)
            and isinstance(value, n.Literal_)
            and value.kind == "string"
        ):
            labels, label = wanted.run, str(value.value)
            return PredicateCode(lambda frame: labels(frame).contains(label))
        run = widened(wanted).run
        return PredicateCode(lambda frame: member_test(run(frame))(read(frame)))

    def _set_is(self, what: str, operand: n.Meta) -> PredicateCode:
        code = self.sets.operand(operand)
        run = code.run
        if what == "empty":
            return _folded(lambda frame: run(frame).is_empty, code.constant)
        return _folded(lambda frame: run(frame).is_universal, code.constant)

    def _set_compare(
        self, op: str, operand: n.Meta, right: n.SetExpr, scope: Scope
    ) -> PredicateCode:
        left, wanted = self.sets.operand(operand), self.sets.compile(right, scope)
        run = _overlaps_labels(left, wanted) if op == "overlaps" else None
        run = run or _compare(op, left, wanted)
        if left.constant is None or wanted.constant is None:
            return PredicateCode(run)
        return _TRUE if run(_NO_FRAME) else _FALSE

    def _traced(self, item: n.Comparison, code: PredicateCode, scope: Scope) -> PredicateCode:
        text, line, run = print_predicate(item), item.span.line, code.run
        operands = self._operands(item, scope)

        def traced(frame: Frame) -> bool:
            shown = {name: read(frame) for name, read in operands}
            try:
                value = run(frame)
            except Exception:
                frame.trail.append(Condition(text=text, line=line, value=None, operands=shown))
                raise
            frame.trail.append(Condition(text=text, line=line, value=value, operands=shown))
            return value

        return PredicateCode(traced)

    def _operands(
        self, item: n.Comparison, scope: Scope
    ) -> list[tuple[str, Callable[[Frame], object]]]:
        found: list[tuple[str, Callable[[Frame], object]]] = []
        match item:
            case n.ValueIn(value, within):
                self._add_value(found, value)
                self._add_labels(found, within, scope)
            case n.ValueEquals(left, right):
                self._add_value(found, left)
                self._add_value(found, right)
            case n.SetCompare(_, operand, right_set):
                self._add_labels(found, operand, scope)
                self._add_labels(found, right_set, scope)
            case n.SetIs(_, operand):
                self._add_labels(found, operand, scope)
        return found

    def _add_value(
        self, found: list[tuple[str, Callable[[Frame], object]]], value: n.Value
    ) -> None:
        if isinstance(value, n.ValueOf):
            found.append((print_value(value), value_reader(value)))

    def _add_labels(
        self, found: list[tuple[str, Callable[[Frame], object]]], item: n.LetValue, scope: Scope
    ) -> None:
        match item:
            case n.Meta():
                run = self.sets.operand(item).run
                found.append((print_set(item), lambda frame: run(frame).to_wire()))
            case n.SetOp(_, items):
                for part in items:
                    self._add_labels(found, part, scope)
            case n.ElementOps(base, _):
                self._add_labels(found, base, scope)
            case n.SetRef(name) | n.Alias(name):
                inner = scope.find(name)
                if inner is not None:
                    self._add_labels(found, inner[1].value, inner[0])
            case _:
                pass


_NO_FRAME = Frame({}, {}, DEFAULT_LABELS)


def _negated(code: PredicateCode) -> PredicateCode:
    if code.constant is not None:
        return _FALSE if code.constant else _TRUE
    run = code.run
    return PredicateCode(lambda frame: not run(frame))


def _and(kept: list[Run], rest: PredicateCode) -> PredicateCode:
    """What is left of a conjunction after folding; an error before a constant still counts."""
    runs = tuple(kept) if rest.constant else (*kept, rest.run)
    if not kept:
        return rest
    return PredicateCode(_conjunction(runs))


def _or(kept: list[Run], rest: PredicateCode) -> PredicateCode:
    runs = (*kept, rest.run) if rest.constant else tuple(kept)
    if not kept:
        return rest
    return PredicateCode(_disjunction(runs))


def _conjunction(runs: tuple[Run, ...]) -> Run:
    if len(runs) == 1:
        return runs[0]
    if len(runs) == 2:
        one, two = runs
        return lambda frame: one(frame) and two(frame)

    def conjunction(frame: Frame) -> bool:
        for run in runs:  # noqa: SIM110 - a generator costs more than the tests
            if not run(frame):
                return False
        return True

    return conjunction


def _disjunction(runs: tuple[Run, ...]) -> Run:
    if len(runs) == 1:
        return runs[0]
    if len(runs) == 2:
        one, two = runs
        return lambda frame: one(frame) or two(frame)

    def disjunction(frame: Frame) -> bool:
        for run in runs:  # noqa: SIM110 - a generator costs more than the tests
            if run(frame):
                return True
        return False

    return disjunction


def _reader(value: n.Value) -> Callable[[Frame], object]:
    if isinstance(value, n.ValueOf):
        return value_reader(value)
    fixed = _constant(value)
    return lambda _: fixed


def _constant(value: n.Literal_) -> object:
    if value.kind != "datetime":
        return value.value
    at = datetime.fromisoformat(str(value.value))
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _argument_in(name: str, scalar: Test) -> Run:
    """The commonest comparison of values, in one step."""

    def within(frame: Frame) -> bool:
        value = frame.args.get(name)
        kind = value.__class__
        if kind is str or kind is int or kind is float:
            return scalar(value)
        return each(value, scalar)

    return within


def _literal_in(value: n.Literal_, test: Test) -> PredicateCode:
    return _TRUE if test(_constant(value)) else _FALSE


def _value_equals(left: n.Value, right: n.Value) -> PredicateCode:
    if isinstance(left, n.Literal_) and isinstance(right, n.Literal_):
        return _TRUE if values_equal(_constant(left), _constant(right)) else _FALSE
    one, two = _reader(left), _reader(right)
    if isinstance(right, n.Literal_) and right.kind == "string":
        text = str(right.value)

        def equals_text(frame: Frame) -> bool:
            value = one(frame)
            return value == text if type(value) is str else values_equal(value, text)

        return PredicateCode(equals_text)
    return PredicateCode(lambda frame: values_equal(one(frame), two(frame)))


def _folded(run: Run, constant: LabelSet | None) -> PredicateCode:
    if constant is None:
        return PredicateCode(run)
    return _TRUE if run(_NO_FRAME) else _FALSE


def _overlaps_labels(left: PlainCode, wanted: SetCode) -> Run | None:
    """The commonest comparison, `overlaps` some fixed labels, in one step."""
    fixed = wanted.constant
    if not isinstance(fixed, LabelSet) or fixed.negated:
        return None
    read, items = left.run, fixed.items
    disjoint = items.isdisjoint

    def overlaps(frame: Frame) -> bool:
        held = read(frame)
        return not items <= held.items if held.negated else not disjoint(held.items)

    return overlaps


def _compare(op: str, left: PlainCode, wanted: SetCode) -> Run:
    read = left.run
    if isinstance(wanted, PlainCode):
        labels = wanted.run
        match op:
            case "overlaps":
                return lambda frame: read(frame).overlaps(labels(frame))
            case "subset":
                return lambda frame: read(frame).subset(labels(frame))
            case "superset":
                return lambda frame: labels(frame).subset(read(frame))
            case _:
                return lambda frame: read(frame) == labels(frame)
    compare: dict[str, Callable[[LabelSet, PatternSet], bool]] = {
        "overlaps": patternsets.overlaps,
        "subset": patternsets.subset,
        "superset": patternsets.superset,
        "equals": patternsets.equals,
    }
    test, run = compare[op], widened(wanted).run
    return lambda frame: test(read(frame), run(frame))
