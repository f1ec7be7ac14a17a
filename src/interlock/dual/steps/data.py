"""Instructions that move values, compute and build."""

from typing import TYPE_CHECKING, Any

from interlock.dual.errors import Raise
from interlock.dual.frames import Frame
from interlock.dual.marks import NEUTRAL
from interlock.dual.ops.arithmetic import HOST_OPERATORS, INTEGER_BOUND, binary, inplace, unary
from interlock.dual.ops.compare import equal, key_of, ordered, same_object
from interlock.dual.ops.iterate import iterate
from interlock.dual.ops.position import moved
from interlock.dual.ops.subscripts import (
    delete_item,
    delete_slice,
    get_item,
    get_slice,
    key_error,
    set_item,
    set_slice,
)
from interlock.dual.ops.types import enum_data, shown_type, truth
from interlock.dual.values import (
    FALSE,
    TRUE,
    CellObj,
    DictObj,
    HeapObj,
    InstanceObj,
    IterObj,
    ListObj,
    RangeObj,
    SetObj,
    TupleObj,
    Value,
    ViewObj,
    taken,
)

if TYPE_CHECKING:
    from interlock.dual.machine import Machine

Arg = Any
_FAST = {"+", "-", "*", "/", "//", "%"}


def const(m: "Machine", f: Frame, arg: Arg) -> None:
    f.stack.append(arg)


def pop(m: "Machine", f: Frame, arg: Arg) -> None:
    f.stack.pop()


def last(m: "Machine", f: Frame, arg: Arg) -> None:
    """The value of an expression statement of the module: perhaps the program's answer."""
    m.last = f.stack.pop()


def dup(m: "Machine", f: Frame, arg: Arg) -> None:
    f.stack.append(f.stack[-1])


def dup2(m: "Machine", f: Frame, arg: Arg) -> None:
    f.stack += f.stack[-2:]


def swap(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    stack[-1], stack[-2] = stack[-2], stack[-1]


def rot3(m: "Machine", f: Frame, arg: Arg) -> None:
    """The top goes below the two others."""
    stack = f.stack
    stack[-1], stack[-2], stack[-3] = stack[-2], stack[-3], stack[-1]


def load_fast(m: "Machine", f: Frame, arg: Arg) -> None:
    value = f.slots[arg]
    if value is None:
        raise _unbound(f, arg)
    f.stack.append(value)  # type: ignore[arg-type]  # a fast slot never holds a cell


def store_fast(m: "Machine", f: Frame, arg: Arg) -> None:
    value = f.stack.pop()
    f.slots[arg] = value
    if m.traced:
        m.note_store(f, value)


def delete_fast(m: "Machine", f: Frame, arg: Arg) -> None:
    if f.slots[arg] is None:
        raise _unbound(f, arg)
    f.slots[arg] = None


def _unbound(f: Frame, slot: int) -> Raise:
    name = f.code.slots[slot]
    return Raise(
        "UnboundLocalError",
        f"cannot access local variable '{name}' where it is not associated with a value",
    )


def fresh(m: "Machine", f: Frame, arg: Arg) -> None:
    """A variable of a comprehension begins unbound."""
    slot, is_cell = arg
    f.slots[slot] = CellObj() if is_cell else None


def _cell(f: Frame, slot: int) -> CellObj:
    cell = f.slots[slot]
    if not isinstance(cell, CellObj):
        cell = CellObj(cell)
        f.slots[slot] = cell
    return cell


def load_deref(m: "Machine", f: Frame, arg: Arg) -> None:
    value = _cell(f, arg).value
    if value is None:
        name = f.code.slots[arg]
        raise Raise(
            "NameError",
            f"cannot access free variable '{name}' where it is not associated with a value"
            " in enclosing scope",
        )
    f.stack.append(value)


def store_deref(m: "Machine", f: Frame, arg: Arg) -> None:
    value = f.stack.pop()
    _cell(f, arg).value = value
    if m.traced:
        m.note_store(f, value)


def delete_deref(m: "Machine", f: Frame, arg: Arg) -> None:
    cell = _cell(f, arg)
    if cell.value is None:
        raise _unbound(f, arg)
    cell.value = None


def load_global(m: "Machine", f: Frame, arg: Arg) -> None:
    value = f.namespace.get(arg)
    if value is None:
        value = m.builtins.get(arg)
        if value is None:
            raise Raise("NameError", f"name '{arg}' is not defined")
    f.stack.append(value)


def store_global(m: "Machine", f: Frame, arg: Arg) -> None:
    value = f.stack.pop()
    f.namespace[arg] = value
    if m.traced:
        m.note_store(f, value)


def delete_global(m: "Machine", f: Frame, arg: Arg) -> None:
    if f.namespace.pop(arg, None) is None:
        raise Raise("NameError", f"name '{arg}' is not defined")


def make_binary(symbol: str) -> Any:  # noqa: ANN401 - a handler
    """The handler of one operator: numbers at once, everything else by `ops.arithmetic`."""
    host = HOST_OPERATORS[symbol]
    fast = symbol in _FAST
    bound, low = INTEGER_BOUND, -INTEGER_BOUND

    def handler(m: "Machine", f: Frame, arg: Arg) -> None:
        stack = f.stack
        b = stack[-1]
        a = stack[-2]
        x = a.data
        y = b.data
        kind = type(x)
        if fast and (kind is int or kind is float):
            other = type(y)
            if (other is int or other is float) and (y or symbol in "+-*"):
                try:
                    made = host(x, y)
                except OverflowError as error:
                    raise Raise("OverflowError", str(error)) from None
                if type(made) is float or low < made < bound:
                    del stack[-1]
                    mark = a.mark
                    if b.mark is not mark:
                        mark = m.env.marks.join(mark, b.mark)
                    stack[-1] = Value(made, mark)
                    return
        result = binary(m.env, symbol, a, b)
        stack.pop()
        stack[-1] = result

    return handler


def inplace_op(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    try:
        if isinstance(stack[-2].data, HeapObj):
            result = inplace(m.env, arg, stack[-2], stack[-1])
        else:
            result = binary(m.env, arg, stack[-2], stack[-1])
    except Raise as error:
        head, found, tail = error.message.partition("unsupported operand type(s) for ")
        if not found or head:
            raise
        _, _, operands = tail.partition(":")
        raise Raise("TypeError", f"{found}{arg}=:{operands}", error.mark) from None
    stack.pop()
    stack[-1] = result


def unary_op(m: "Machine", f: Frame, arg: Arg) -> None:
    f.stack[-1] = unary(m.env, arg, f.stack[-1])


def make_compare(symbol: str) -> Any:  # noqa: ANN401 - a handler
    """The handler of one comparison."""
    test = _COMPARISONS[symbol]

    def handler(m: "Machine", f: Frame, arg: Arg) -> None:
        stack = f.stack
        b = stack[-1]
        a = stack[-2]
        outcome = TRUE if test(m, a, b) else FALSE
        mark = a.mark
        if not m.env.marks.pure:
            mark = m.env.marks.join(m.env.deep(a), m.env.deep(b))
        del stack[-1]
        stack[-1] = outcome if mark is NEUTRAL else Value(outcome.data, mark)

    return handler


def _contains(m: "Machine", a: Value, b: Value) -> bool:
    """`a in b`."""
    env = m.env
    data = enum_data(b.data)
    if isinstance(data, IterObj) and not env.marks.pure:
        moved(env, data, env.marks.join(env.deep(a), env.deep(b)))
    match data:
        case str() | bytes():
            item = enum_data(a.data)
            if isinstance(item, HeapObj):
                kind = shown_type(item)
                if isinstance(data, bytes):
                    raise Raise("TypeError", f"a bytes-like object is required, not '{kind}'")
                raise Raise(
                    "TypeError", f"'in <string>' requires string as left operand, not {kind}"
                )
            try:
                return item in data  # type: ignore[operator]
            except TypeError as error:
                raise Raise("TypeError", str(error)) from None
        case DictObj() | SetObj():
            return key_of(env, a) in data.entries
        case ViewObj() if data.kind == "dict_keys" and isinstance(data.source.data, DictObj):
            return key_of(env, a) in data.source.data.entries
        case RangeObj() if isinstance(a.data, int):
            return a.data in data.span
    try:
        elements = iterate(env, b)
        wanted = a.data
        for element in elements:
            if same_object(element.data, wanted) or equal(env, element.data, wanted):
                return True
    except Raise as error:
        if error.type_name == "TypeError" and "is not iterable" in error.message:
            raise Raise(
                "TypeError", f"argument of type '{shown_type(data)}' is not iterable"
            ) from None
        raise
    return False


_COMPARISONS: dict[str, Any] = {
    "==": lambda m, a, b: equal(m.env, a.data, b.data),
    "!=": lambda m, a, b: not equal(m.env, a.data, b.data),
    "is": lambda m, a, b: same_object(a.data, b.data),
    "is not": lambda m, a, b: not same_object(a.data, b.data),
    "in": _contains,
    "not in": lambda m, a, b: not _contains(m, a, b),
    "<": lambda m, a, b: ordered(m.env, "<", a.data, b.data),
    "<=": lambda m, a, b: ordered(m.env, "<=", a.data, b.data),
    ">": lambda m, a, b: ordered(m.env, ">", a.data, b.data),
    ">=": lambda m, a, b: ordered(m.env, ">=", a.data, b.data),
}


def subscript(m: "Machine", f: Frame, arg: Arg) -> bool | None:
    stack = f.stack
    container, index = stack[-2], stack[-1]
    try:
        value = get_item(m.env, container, index)
    except Raise:
        data = container.data
        if not isinstance(data, DictObj) or data.factory is None:
            raise
        if key_of(m.env, index) in data.entries:
            raise
        del stack[-2:]
        return m.call_prelude("_default_item", [container, index, data.factory])
    stack.pop()
    stack[-1] = value
    return None


def store_subscript(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    set_item(m.env, stack[-2], stack[-1], stack[-3])
    del stack[-3:]


def delete_subscript(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    delete_item(m.env, stack[-2], stack[-1])
    del stack[-2:]


def slice_(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    value = get_slice(m.env, stack[-4], (stack[-3], stack[-2], stack[-1]))
    del stack[-3:]
    stack[-1] = value


def store_slice(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    set_slice(m.env, stack[-4], (stack[-3], stack[-2], stack[-1]), stack[-5])
    del stack[-5:]


def del_slice(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    delete_slice(m.env, stack[-4], (stack[-3], stack[-2], stack[-1]))
    del stack[-4:]


def build_list(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    m.env.meter.elements(arg + 1)
    items = stack[-arg:] if arg else []
    if arg:
        del stack[-arg:]
    stack.append(Value(ListObj(items)))


def build_tuple(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    m.env.meter.elements(arg + 1)
    items = tuple(stack[-arg:]) if arg else ()
    if arg:
        del stack[-arg:]
    stack.append(Value(TupleObj(items)))


def build_set(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    m.env.meter.elements(2 * arg + 1)
    entries: dict[Any, Value] = {}
    for value in stack[-arg:] if arg else []:
        entries.setdefault(key_of(m.env, value), value)
    if arg:
        del stack[-arg:]
    stack.append(Value(SetObj(entries)))


def build_dict(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    m.env.meter.elements(2 * arg + 1)
    made = Value(DictObj({}))
    flat = stack[-2 * arg :] if arg else []
    for position in range(0, len(flat), 2):
        set_item(m.env, made, flat[position], flat[position + 1])
    if arg:
        del stack[-2 * arg :]
    stack.append(made)


def list_append(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    target = stack[-1 - arg].data
    value = stack[-1]
    m.env.meter.elements(1)
    target.items.append(value)
    m.env.added(target, value)
    del stack[-1]


def list_extend(m: "Machine", f: Frame, arg: Arg) -> None:
    """`*x` in a list, a tuple or the arguments of a call."""
    stack = f.stack
    try:
        inplace(m.env, "+", stack[-1 - arg], stack[-1])
    except Raise as error:
        if error.message.endswith("object is not iterable"):
            kind = shown_type(stack[-1].data)
            message = f"Value after * must be an iterable, not {kind}"
            raise Raise("TypeError", message, error.mark) from None
        raise
    del stack[-1]


def list_to_tuple(m: "Machine", f: Frame, arg: Arg) -> None:
    gathered = f.stack[-1]
    data = gathered.data
    made = TupleObj(tuple(iterate(m.env, gathered)))
    if isinstance(data, HeapObj):
        made.mark = data.mark
    f.stack[-1] = Value(made, gathered.mark)


def set_add(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    target = stack[-1 - arg].data
    value = stack[-1]
    m.env.meter.elements(2)
    entries = target.entries
    key = key_of(m.env, value)
    if key in entries:
        # Equal to one already there: that there is one derives from both.
        target.mark = m.env.marks.join(target.mark, m.env.deep(value))
        m.env.touched(target)
    else:
        entries[key] = value
        m.env.added(target, value)
    del stack[-1]


def set_update(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    source = stack.pop()
    for value in iterate(m.env, source):
        stack.append(value)
        set_add(m, f, arg)
    target = stack[-arg].data
    if isinstance(target, HeapObj) and isinstance(source.data, HeapObj):
        target.mark = m.env.marks.join(target.mark, m.env.marks.join(source.mark, source.data.mark))
        m.env.touched(target)


def dict_add(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    set_item(m.env, stack[-2 - arg], stack[-2], stack[-1])
    del stack[-2:]


def dict_update(m: "Machine", f: Frame, arg: Arg) -> None:
    """`{**x}`; `arg`: of a call's keywords, which must be strings given once."""
    stack = f.stack
    source = stack[-1]
    target = stack[-2]
    data = source.data
    if not isinstance(data, DictObj):
        raise Raise("TypeError", f"'{shown_type(data)}' object is not a mapping")
    into = target.data
    for key, item in list(data.entries.values()):
        if arg and not isinstance(key.data, str):
            raise Raise("TypeError", "keywords must be strings")
        if arg and isinstance(into, DictObj) and key.data in into.entries:
            raise Raise("TypeError", f"got multiple values for keyword argument '{key.data!s}'")
        index = m.env.deep(key)
        set_item(
            m.env, target, taken(m.env.marks, source, key), taken(m.env.marks, source, item, index)
        )
    if isinstance(into, DictObj):
        into.mark = m.env.marks.join(into.mark, m.env.marks.join(source.mark, data.mark))
        m.env.touched(into)
    del stack[-1]


def format_(m: "Machine", f: Frame, arg: Arg) -> None:
    """One `{...}` of an f-string."""
    conversion, has_spec = arg
    stack = f.stack
    env = m.env
    spec = stack[-1] if has_spec else Value("")
    value = stack[-2] if has_spec else stack[-1]
    mark = env.marks.join(env.deep(value), spec.mark)
    shown = value
    if conversion:
        name = {"r": "repr", "s": "str", "a": "ascii"}[conversion]
        shown = env.natives[name].fn(env, (value,), {})
    if not has_spec and type(shown.data) is str:
        text = shown
    else:
        text = env.natives["format"].fn(env, (shown, spec), {})
    if has_spec:
        stack.pop()
    stack[-1] = Value(text.data, env.marks.join(mark, text.mark))


def build_string(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    parts = stack[-arg:] if arg else []
    join = m.env.marks.join
    mark = NEUTRAL
    size = 0
    texts = []
    for part in parts:
        if part.mark is not mark:
            mark = join(mark, part.mark)
        texts.append(str(part.data))
        size += len(texts[-1])
    m.env.meter.memory(size)
    if arg:
        del stack[-arg:]
    stack.append(Value("".join(texts), mark))


def _elements(m: "Machine", value: Value, wanted: int, *, at_least: bool) -> list[Value]:
    if not isinstance(value.data, HeapObj | str | bytes):
        raise Raise("TypeError", f"cannot unpack non-iterable {shown_type(value.data)} object")
    elements = []
    for element in iterate(m.env, value):
        elements.append(element)
        if len(elements) > wanted and not at_least:
            raise Raise("ValueError", f"too many values to unpack (expected {wanted})")
    if len(elements) < wanted:
        word = "at least " if at_least else ""
        raise Raise(
            "ValueError",
            f"not enough values to unpack (expected {word}{wanted}, got {len(elements)})",
        )
    return elements


def unpack(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    elements = _elements(m, stack[-1], arg, at_least=False)
    stack.pop()
    stack.extend(reversed(elements))


def unpack_star(m: "Machine", f: Frame, arg: Arg) -> None:
    before, after = arg
    stack = f.stack
    source = stack[-1]
    elements = _elements(m, source, before + after, at_least=True)
    m.env.meter.elements(len(elements))
    middle = len(elements) - after
    rest = ListObj(elements[before:middle])
    own = source.data.mark if isinstance(source.data, HeapObj) else NEUTRAL
    stack.pop()
    stack.extend(reversed(elements[middle:]))
    stack.append(Value(rest, m.env.marks.join(source.mark, own)))
    stack.extend(reversed(elements[:before]))


def join_under(m: "Machine", f: Frame, arg: Arg) -> None:
    """The top derives from what is below it, which goes."""
    stack = f.stack
    top = stack[-1]
    mark = top.mark
    if not m.env.marks.pure:
        mark = m.env.marks.join(mark, m.env.deep(stack[-2]))
    del stack[-1]
    stack[-1] = top if mark is top.mark else Value(top.data, mark)


def join_below(m: "Machine", f: Frame, arg: Arg) -> None:
    """As `join_under`, with one value between the two."""
    stack = f.stack
    top = stack[-1]
    stack[-1] = Value(top.data, m.env.marks.join(top.mark, stack[-3].mark))
    del stack[-3]


def store_attr(m: "Machine", f: Frame, arg: Arg) -> None:
    stack = f.stack
    target = stack[-1]
    data = target.data
    if not isinstance(data, InstanceObj):
        raise Raise("AttributeError", f"'{shown_type(data)}' object has no attribute '{arg}'")
    m.classes.set_field(m.env, target, arg, stack[-2])
    del stack[-2:]


def truth_of(value: Value) -> bool:
    """`bool(x)` of a value on the stack."""
    data = value.data
    return data if type(data) is bool else truth(data)


__all__ = ["key_error", "truth_of"]
