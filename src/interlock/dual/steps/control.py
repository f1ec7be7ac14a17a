"""Instructions that decide what runs next: branches, loops, exceptions, joins of strict mode."""

from typing import TYPE_CHECKING, Any

from interlock.dual.errors import Raise
from interlock.dual.frames import Frame
from interlock.dual.marks import NEUTRAL
from interlock.dual.ops.iterate import make_iter, step
from interlock.dual.ops.matching import try_pattern
from interlock.dual.ops.position import moved
from interlock.dual.ops.types import is_exception, shown_type
from interlock.dual.steps.data import truth_of
from interlock.dual.values import (
    CellObj,
    ClassObj,
    ExcObj,
    GenObj,
    HeapObj,
    IterObj,
    TupleObj,
    TypeObj,
    Value,
    touched,
)

if TYPE_CHECKING:
    from interlock.dual.machine import Machine

Arg = Any


def jump(m: "Machine", f: Frame, arg: Arg) -> None:
    f.pc = arg


def branch(m: "Machine", f: Frame, arg: Arg) -> None:
    """Jumps when the condition, which goes, is false."""
    value = f.stack.pop()
    if m.traced:
        m.decided(f, m.env.deep(value))
    if not truth_of(value):
        f.pc = arg


def branch_keep(m: "Machine", f: Frame, arg: Arg) -> None:
    """As `branch`; the condition stays, to be joined onto the outcome."""
    value = f.stack[-1]
    if m.traced:
        m.decided(f, m.env.deep(value))
    if not truth_of(value):
        f.pc = arg


def short(m: "Machine", f: Frame, arg: Arg) -> None:
    """`and`, `or`: the left operand stays; a decision only if the right one calls something."""
    target, stop_when, decides = arg
    value = f.stack[-1]
    if decides and m.traced:
        m.decided(f, m.env.deep(value))
    if truth_of(value) is stop_when:
        f.pc = target


def short_pair(m: "Machine", f: Frame, arg: Arg) -> None:
    """Between two comparisons of a chain: [shared operand, outcome] on the stack."""
    target, decides = arg
    stack = f.stack
    value = stack[-1]
    if decides and m.traced:
        m.decided(f, m.env.deep(value))
    if truth_of(value):
        stack[-1], stack[-2] = stack[-2], value
    else:
        f.pc = target


def filter_(m: "Machine", f: Frame, arg: Arg) -> None:
    """A comprehension's `if`: a decision, and what is collected derives from it."""
    target, depth = arg
    value = f.stack.pop()
    if m.traced:
        mark = m.env.deep(value)
        m.decided(f, mark)
        _collect(m, f, depth, mark)
    if not truth_of(value):
        f.pc = target


def _collect(m: "Machine", f: Frame, depth: int, mark: Any) -> None:  # noqa: ANN401 - a Mark
    """`depth`: where the collection lies, counted from the top; 0: this frame's own outcome."""
    if mark is NEUTRAL or not depth:
        return
    target = f.stack[-depth].data
    if isinstance(target, HeapObj):
        touched(m.env.marks, target, mark)


def iter_(m: "Machine", f: Frame, arg: Arg) -> None:
    source = f.stack[-1]
    made = make_iter(m.env, source)
    f.stack[-1] = made
    if m.traced:
        mark = m.env.deep(made)
        if mark is not NEUTRAL:
            m.looped(f, mark)


def next_(m: "Machine", f: Frame, arg: Arg) -> bool | None:
    iterator = f.stack[-1].data
    if type(iterator) is IterObj:
        element = step(m.env, iterator)
        if element is None:
            exhausted(m, f, arg)
            return None
        own = f.stack[-1].mark
        if own is not NEUTRAL and own is not element.mark:
            element = Value(element.data, m.env.marks.join(element.mark, own))
        f.stack.append(element)
        return None
    if isinstance(iterator, GenObj):
        if m.resume(iterator):
            return True
        exhausted(m, f, arg)
    return None


def next_collect(m: "Machine", f: Frame, arg: Arg) -> bool | None:
    return next_(m, f, arg)


def exhausted(m: "Machine", f: Frame, arg: Arg) -> None:
    """The loop is over: the iterator goes; a collection derives from all that was iterated."""
    target, depth = arg if isinstance(arg, tuple) else (arg, 0)
    iterator = f.stack[-1]
    mark = NEUTRAL
    if m.traced:
        mark = m.env.deep(iterator)
        _collect(m, f, depth, mark)
        if m.strict:
            m.env.control = m.env.marks.join(m.env.control, mark)
        if f.gathers:
            f.gathered = m.env.marks.join(f.gathered, mark)
    f.stack.pop()
    f.pc = target


def strict_next(m: "Machine", f: Frame, arg: Arg) -> bool | None:
    """Strict mode: the body is controlled by what the length of the container derives from."""
    mark = m.env.deep(f.stack[-1])
    if mark is not NEUTRAL:
        m.env.control = m.env.marks.join(m.env.control, mark)
    moved(m.env, f.stack[-1].data, m.env.control)
    return next_(m, f, arg)


def match(m: "Machine", f: Frame, arg: Arg) -> None:
    """Tries a pattern: pushes the captures, then the outcome marked with the whole subject."""
    pattern, count, names = arg
    stack = f.stack
    values = stack[-count:] if count else []
    subject = stack[-1 - count]
    captures: dict[str, Value] = {}
    matched = try_pattern(m.env, m.classes, pattern, subject, values, captures)
    if count:
        del stack[-count:]
    mark = m.env.deep(subject)
    for name in names:
        found = captures.get(name) if matched else None
        stack.append(Value(None) if found is None else found)
    stack.append(Value(matched, mark))


def branch_match(m: "Machine", f: Frame, arg: Arg) -> None:
    branch(m, f, arg[0])


# strict mode


def nothing(m: "Machine", f: Frame, arg: Arg) -> None:
    """What the joins of strict mode are in other modes."""


def control_save(m: "Machine", f: Frame, arg: Arg) -> None:
    f.controls.append((m.env.control, m.risk, m.tries))


def control_end(m: "Machine", f: Frame, arg: Arg) -> None:
    """The join after a construct: whatever it may have assigned derives from its conditions.

    `keep`: something in it may have left the construct, so what follows does too.
    """
    depth, keep, stored, changed, iterated = arg
    marks = m.env.marks
    control = marks.join(m.env.control, m.risk)
    saved, risk, tries = f.controls[depth]
    del f.controls[depth:]
    if control is not NEUTRAL:
        for variable in stored:
            _taint(m, f, variable, control)
        for variable in changed:
            found = _lookup(m, f, variable)
            data = found.data if found is not None else None
            if isinstance(data, HeapObj) and data.IS_CONTAINER:
                touched(marks, data, control)
        for variable in iterated:
            found = _lookup(m, f, variable)
            if found is not None:
                moved(m.env, found.data, control)
    m.tries = tries
    if tries:
        # Whether any of this raised decides what the rest of the open `try` does.
        m.risk = marks.join(risk, control)
        m.env.control = marks.join(saved, m.risk)
    else:
        m.risk = risk
        m.env.control = control if keep else saved


def _lookup(m: "Machine", f: Frame, variable: tuple[str, Any]) -> Value | None:
    kind, where = variable
    if kind == "global":
        return f.namespace.get(where)
    held = f.slots[where]
    return held.value if isinstance(held, CellObj) else held


def _taint(m: "Machine", f: Frame, variable: tuple[str, Any], control: Any) -> None:  # noqa: ANN401 - a Mark
    value = _lookup(m, f, variable)
    if value is None:
        return
    mark = m.env.marks.join(value.mark, control)
    if mark is value.mark:
        return
    kind, where = variable
    tainted = Value(value.data, mark)
    if kind == "global":
        f.namespace[where] = tainted
        return
    held = f.slots[where]
    if isinstance(held, CellObj):
        held.value = tainted
    else:
        f.slots[where] = tainted


def try_enter(m: "Machine", f: Frame, arg: Arg) -> None:
    m.tries += 1


# exceptions


def setup_try(m: "Machine", f: Frame, arg: Arg) -> None:
    target, depth = arg
    f.handlers.append((target, len(f.stack), len(f.handled), depth))


def pop_try(m: "Machine", f: Frame, arg: Arg) -> None:
    f.handlers.pop()


def push_except(m: "Machine", f: Frame, arg: Arg) -> None:
    f.handled.append(f.stack[-1])


def pop_except(m: "Machine", f: Frame, arg: Arg) -> None:
    f.handled.pop()


def match_except(m: "Machine", f: Frame, arg: Arg) -> None:
    """Jumps when the exception below is none of the classes on top, which go."""
    stack = f.stack
    wanted = stack[-1].data
    exc = stack[-2].data
    classes = [item.data for item in wanted.items] if isinstance(wanted, TupleObj) else [wanted]
    matched = False
    for cls in classes:
        if not _is_exception_class(cls):
            raise Raise(
                "TypeError",
                "catching classes that do not inherit from BaseException is not allowed",
            )
        matched = matched or is_instance_of(exc, cls)
    stack.pop()
    if not matched:
        f.pc = arg


def _is_exception_class(cls: object) -> bool:
    if isinstance(cls, TypeObj):
        return is_exception(cls.name, "BaseException")
    return isinstance(cls, ClassObj) and cls.kind == "exception"


def is_instance_of(exc: object, cls: object) -> bool:
    """Whether an exception is of a class."""
    if not isinstance(exc, ExcObj):
        return False
    if isinstance(cls, TypeObj):
        return is_exception(exc.type_name, cls.name)
    own: object = exc.cls
    while isinstance(own, ClassObj):
        if own is cls:
            return True
        own = own.base
    return False


def reraise(m: "Machine", f: Frame, arg: Arg) -> None:
    """Raises the exception on top again; `arg`: it was being handled."""
    exc = f.stack[-1]
    if arg:
        f.handled.pop()
    raise thrown(exc)


def thrown(exc: Value) -> Raise:
    """The event for an exception object."""
    data = exc.data
    assert isinstance(data, ExcObj)  # noqa: S101 - callers checked
    return Raise(data.type_name, "", exc.mark, exc=data)


def raise_(m: "Machine", f: Frame, arg: Arg) -> bool | None:
    if not arg:
        for frame in (f,):
            if frame.handled:
                raise thrown(frame.handled[-1])
        raise Raise("RuntimeError", "No active exception to reraise")
    exc = f.stack[-arg]
    cause = f.stack[-1] if arg == 2 else None
    made = m.exception_of(exc)
    if made is None:
        raise Raise("TypeError", "exceptions must derive from BaseException")
    data = made.data
    if cause is not None and isinstance(data, ExcObj):
        data.cause = cause
    raise thrown(made)


def assertion(m: "Machine", f: Frame, arg: Arg) -> None:
    args = [f.stack[-1]] if arg else []
    raise Raise("AssertionError", exc=ExcObj("AssertionError", args))


def end_finally(m: "Machine", f: Frame, arg: Arg) -> None:
    """Goes on with what was pending when the `finally` suite began."""
    stack = f.stack
    kind = stack[-1].data
    if kind == 0:
        del stack[-2:]
    elif kind == 1:
        stack.pop()
        raise thrown(stack[-1])
    else:
        stack.pop()
        assert isinstance(kind, int)  # noqa: S101 - the compiler put it there
        f.pc = arg[kind - 2]


__all__ = ["exhausted", "is_instance_of", "shown_type", "thrown"]
