"""Compiles set expressions into functions of a frame.

An expression is *plain* (a label set) or *patterned* (a `PatternSet`); the
checker has refused combinations that are neither. What depends on no frame is
computed once, here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from interlock.policy.errors import EvaluationError
from interlock.policy.evaluate.frame import Bare, Frame, caller_labels, label_reader
from interlock.policy.evaluate.patternsets import PatternSet, drop, keep
from interlock.policy.evaluate.values import pattern_of
from interlock.policy.model import DEFAULT_LABELS, EMPTY, Caller, LabelSet
from interlock.policy.scope import Scope
from interlock.policy.syntax import nodes as n

__all__ = ["PatternCode", "PlainCode", "SetCode", "SetCompiler", "widened"]


@dataclass(frozen=True, slots=True)
class PlainCode:
    """A label set; `constant` when it is the same for every frame."""

    run: Callable[[Frame], LabelSet]
    constant: LabelSet | None = None


@dataclass(frozen=True, slots=True)
class PatternCode:
    """A set with patterns; `constant` when it is the same for every frame."""

    run: Callable[[Frame], PatternSet]
    constant: PatternSet | None = None


SetCode = PlainCode | PatternCode


def _plain(value: LabelSet) -> PlainCode:
    return PlainCode(lambda _: value, value)


def _patterned(value: PatternSet) -> PatternCode:
    return PatternCode(lambda _: value, value)


def widened(code: SetCode) -> PatternCode:
    """A plain set as one with no patterns."""
    if isinstance(code, PatternCode):
        return code
    if code.constant is not None:
        return _patterned(PatternSet(code.constant, ()))
    run = code.run
    return PatternCode(lambda frame: PatternSet(run(frame), ()))


class SetCompiler:
    """Compiles the sets of one place: a caller, and what a bare `@field` means there."""

    def __init__(self, caller: Caller, bare: Bare, widened: n.Meta | None = None) -> None:
        self.caller = caller
        self.bare: Bare = bare
        self._widened = widened
        """An operand that reads as empty while it is the untouched default (11.4)."""

    def compile(self, item: n.LetValue, scope: Scope) -> SetCode:
        """Code for a set expression, or for a `let` value used as one."""
        match item:
            case n.SetLiteral(elements):
                return _literal(elements)
            case n.Meta():
                return self.operand(item)
            case n.SetRef(name) | n.Alias(name):
                found = scope.find(name)
                if found is None:  # pragma: no cover - the checker refuses unknown names
                    raise LookupError(name)
                return self.compile(found[1].value, found[0])
            case n.SetOp(op, items):
                codes = [self.compile(part, scope) for part in items]
                code = codes[0]
                for other in codes[1:]:
                    code = _combine(op, code, other)
                return code
            case n.ElementOps(base, steps):
                code = self.compile(base, scope)
                for adds, element in steps:
                    code = _combine("union" if adds else "minus", code, _literal((element,)))
                return code
            case n.BoolDomain() | n.NumberDomain() | n.StrDomain() | n.TimeDomain() | n.TimeExact():
                return _literal((item,))
            case _:  # pragma: no cover - the checker refuses a predicate used as a set
                raise TypeError(item)

    def operand(self, meta: n.Meta) -> PlainCode:
        """Code for a label operand; the caller's are constants."""
        if meta.scope == "caller":
            return _plain(caller_labels(self.caller, meta.field))
        read = label_reader(meta, self.bare)
        if meta is self._widened:
            return PlainCode(lambda frame: _assigned(read(frame)))
        return PlainCode(read)


def _assigned(labels: LabelSet) -> LabelSet:
    return EMPTY if labels.untouched else labels


def _literal(elements: tuple[n.Element, ...]) -> SetCode:
    labels = [element.text for element in elements if isinstance(element, n.StringElement)]
    base = LabelSet(frozenset(), True) if "*" in labels else LabelSet(frozenset(labels))
    found = [pattern_of(element) for element in elements]
    patterns = tuple(pattern for pattern in found if pattern is not None)
    return _patterned(PatternSet(base, patterns)) if patterns else _plain(base)


def _combine(op: str, left: SetCode, right: SetCode) -> SetCode:
    code = _joined(op, left, right)
    # Both sides constant: compute once. The frame is not looked at then.
    if left.constant is None or right.constant is None:
        return code
    frame = Frame({}, {}, DEFAULT_LABELS)
    try:
        if isinstance(code, PlainCode):
            return _plain(code.run(frame))
        return _patterned(code.run(frame))
    except EvaluationError:
        # No answer: the rule that asks fails closed when it is evaluated.
        return code


def _joined(op: str, left: SetCode, right: SetCode) -> SetCode:
    if isinstance(left, PlainCode) and isinstance(right, PlainCode):
        return _plain_op(op, left.run, right.run)
    if op == "union":
        one, two = widened(left).run, widened(right).run
        return PatternCode(lambda frame: one(frame).join(two(frame)))
    if isinstance(left, PatternCode):
        # INVARIANT: only `intersect` with a plain right side passes the checker.
        left, right = right, left
    plain, patterns = _as_plain(left), widened(right).run
    select = keep if op == "intersect" else drop
    return PlainCode(lambda frame: select(plain(frame), patterns(frame)))


def _as_plain(code: SetCode) -> Callable[[Frame], LabelSet]:
    if isinstance(code, PatternCode):  # pragma: no cover - the checker refuses two patterned sides
        raise TypeError(code)
    return code.run


def _plain_op(
    op: str, left: Callable[[Frame], LabelSet], right: Callable[[Frame], LabelSet]
) -> PlainCode:
    match op:
        case "union":
            return PlainCode(lambda frame: left(frame).union(right(frame)))
        case "intersect":
            return PlainCode(lambda frame: left(frame).intersect(right(frame)))
        case "minus":
            return PlainCode(lambda frame: left(frame).minus(right(frame)))
        case _:
            return PlainCode(lambda frame: left(frame).xor(right(frame)))
