"""Compiles metadata updates into steps that change a frame (11.8).

What cannot be evaluated fails closed: an update whose condition fails is
applied as far as it restricts; one whose value fails leaves tags and producers
as they are and no consumers at all.
"""

from collections.abc import Callable

from interlock.policy.advice import widening_operand
from interlock.policy.errors import EvaluationError
from interlock.policy.evaluate.frame import Bare, Frame, label_reader
from interlock.policy.evaluate.patternsets import PatternSet, drop, keep
from interlock.policy.evaluate.predicates import PredicateCompiler
from interlock.policy.evaluate.sets import PlainCode, SetCompiler, widened
from interlock.policy.model import DEFAULT_LABELS, EMPTY, Caller, Labels, LabelSet
from interlock.policy.scope import Scope
from interlock.policy.syntax import nodes as n

__all__ = ["Step", "compile_statement", "compile_update", "failure_text"]

Step = Callable[[Frame], None]
_Change = Callable[[Frame, bool], None]
_Compute = Callable[[Frame], LabelSet]


def failure_text(error: Exception) -> str:
    """What failed, without any value."""
    if isinstance(error, EvaluationError):
        return str(error)
    return f"a value could not be compared ({type(error).__name__})"


def compile_statement(
    statement: n.Statement, where: n.Where, scope: Scope, caller: Caller, declaration: str
) -> Step:
    """The step of one statement of a block."""
    if isinstance(statement, n.Update):
        change = compile_update(statement, where, scope, caller, declaration)
        return lambda frame: change(frame, False)
    changes = tuple(
        compile_update(update, where, scope, caller, declaration) for update in statement.updates
    )
    return conditional(statement.condition, changes, where, scope, caller)


def conditional(
    condition: n.Predicate,
    changes: tuple[_Change, ...],
    where: n.Where,
    scope: Scope,
    caller: Caller,
) -> Step:
    """The step that makes the changes while the condition holds."""
    holds = PredicateCompiler(caller=caller, bare=_bare(where)).compile(condition, scope).run

    def step(frame: Frame) -> None:
        cautious = False
        try:
            if not holds(frame):
                return
        except Exception as error:  # fails closed, whatever it is
            frame.errors.append(failure_text(error))
            cautious = True
        for change in changes:
            change(frame, cautious)

    return step


def _bare(where: n.Where) -> Bare:
    return "result" if where == "result" else "session"


def compile_update(
    update: n.Update, where: n.Where, scope: Scope, caller: Caller, declaration: str
) -> _Change:
    """The change one update makes; with `cautious` only as far as it restricts."""
    bare = _bare(where)
    target = update.target
    meta = n.Meta(target.scope, target.field, target.name)
    current = label_reader(meta, bare)
    compute = _computed(
        update, current, scope, SetCompiler(caller, bare, widening_operand(update, where))
    )
    field = target.field
    store = _stores(target, bare, (field, declaration, update.span.line))

    def change(frame: Frame, cautious: bool) -> None:
        before = current(frame)
        try:
            after = compute(frame).touched()
        except Exception as error:  # fails closed, whatever it is
            frame.errors.append(failure_text(error))
            frame.broken = True
            after = EMPTY if field == "consumers" else before
        if cautious:
            after = before.intersect(after) if field == "consumers" else before.union(after)
        store(frame, before, after)

    return change


def _computed(update: n.Update, current: _Compute, scope: Scope, compiler: SetCompiler) -> _Compute:
    code = compiler.compile(update.value, scope)
    if not isinstance(code, PlainCode):
        # INVARIANT: the checker lets patterns stand behind `&=` and `-=` only.
        select: Callable[[LabelSet, PatternSet], LabelSet] = keep if update.op == "&=" else drop
        patterns = widened(code).run
        return lambda frame: select(current(frame), patterns(frame))
    value = code.run
    match update.op:
        case "=":
            return value
        case "|=":
            return lambda frame: _widened(current(frame), value(frame))
        case "&=":
            return lambda frame: current(frame).intersect(value(frame))
        case "-=":
            return lambda frame: current(frame).minus(value(frame))
        case "^=":
            return lambda frame: current(frame).xor(value(frame))


def _widened(current: LabelSet, added: LabelSet) -> LabelSet:
    # Only consumers are ever untouched (11.4).
    return added if current.untouched else current.union(added)


def _stores(
    target: n.Target, bare: Bare, origin: tuple[n.FieldName, str, int]
) -> Callable[[Frame, LabelSet, LabelSet], None]:
    field, declaration, line = origin
    scope = bare if target.scope == "bare" else target.scope
    if scope == "argument":
        name = target.name

        def store_argument(frame: Frame, _: LabelSet, after: LabelSet) -> None:
            if name in frame.args:
                held = frame.labels.get(name, DEFAULT_LABELS)
                frame.labels = {**frame.labels, name: _with(held, field, after)}

        return store_argument
    if scope == "result":

        def store_result(frame: Frame, _: LabelSet, after: LabelSet) -> None:
            frame.result = _with(frame.result, field, after)

        return store_result

    def store_session(frame: Frame, before: LabelSet, after: LabelSet) -> None:
        if after != before:
            for label in _gained(before, after):
                frame.origins.append((field, label, declaration, line))
        frame.session = _with(frame.session, field, after)

    return store_session


def _gained(before: LabelSet, after: LabelSet) -> list[str]:
    if after.negated:
        return [] if before.negated else ["*"]
    return sorted(label for label in after.items if not before.contains(label))


def _with(labels: Labels, field: n.FieldName, value: LabelSet) -> Labels:
    match field:
        case "tags":
            return Labels(value, labels.producers, labels.consumers)
        case "producers":
            return Labels(labels.tags, value, labels.consumers)
        case "consumers":
            return Labels(labels.tags, labels.producers, value)
