"""Methods of `list`, `collections.deque`, `tuple` and `range`.

Marks: an element keeps its own; what decides the order or the number of elements (an index, what
a comparison looked at) goes to the container's own mark.
"""

from collections.abc import Callable

from interlock.dual.errors import Raise
from interlock.dual.lib.access import (
    Args,
    Kwargs,
    at,
    bind,
    drain,
    fail,
    index_of,
    integer,
    joined,
    plain_args,
    work_on,
)
from interlock.dual.lib.display import repr_text
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.native import Env, Native
from interlock.dual.ops.compare import equal
from interlock.dual.ops.types import shown_type
from interlock.dual.values import (
    NONE,
    HeapObj,
    ListObj,
    RangeObj,
    TupleObj,
    Value,
    taken,
)

__all__ = ["NATIVES", "grown", "shape"]


def shape(env: Env, container: HeapObj, mark: Mark) -> None:
    """Notes that which elements `container` has, or their order, derives from `mark`.

    For changes that add nothing: a cached deep mark stays right, if perhaps too strict, when
    elements go, so caches are given up only for a mark that is new.
    """
    if mark is not NEUTRAL:
        container.mark = env.marks.join(container.mark, mark)
        env.touched(container)
    elif env.control is not NEUTRAL:
        env.touched(container)


def grown(env: Env, container: HeapObj, mark: Mark) -> None:
    """As `shape`, for changes that may have added any elements."""
    if mark is not NEUTRAL:
        container.mark = env.marks.join(container.mark, mark)
    env.touched(container)


def _list(args: Args, method: str) -> ListObj:
    data = args[0].data if args else None
    if not isinstance(data, ListObj):
        kind = shown_type(data)
        fail("TypeError", f"descriptor '{method}' for 'list' objects doesn't apply to a '{kind}'")
    return data


def _append(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Adds an element at the end."""
    found = _list(args, "append")
    plain_args(f"{found.kind.rpartition('.')[2]}.append", args[1:], kwargs, 1, 1)
    _push(env, args[0], found, args[1])
    return NONE


def _push(env: Env, receiver: Value, found: ListObj, value: Value) -> None:
    env.meter.elements(1)
    element = at(env, value, receiver.mark)
    found.items.append(element)
    env.added(found, element)
    if found.maxlen is not None and len(found.items) > found.maxlen:
        del found.items[0]


def _extend(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Adds all elements of an iterable at the end."""
    found = _list(args, "extend")
    plain_args(f"{found.kind.rpartition('.')[2]}.extend", args[1:], kwargs, 1, 1)
    elements = drain(env, args[1])
    receiver = args[0]
    if receiver.mark is not NEUTRAL:
        elements = [at(env, element, receiver.mark) for element in elements]
    found.items.extend(elements)
    if found.maxlen is not None and len(found.items) > found.maxlen:
        del found.items[: len(found.items) - found.maxlen]
    # How many there are derives from the iterable as such, even when it is empty.
    grown(env, found, _own(env, args[1]))
    return NONE


def _own(env: Env, value: Value) -> Mark:
    """The mark of a container without its elements."""
    data = value.data
    return env.marks.join(value.mark, data.mark) if isinstance(data, HeapObj) else value.mark


def _insert(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Adds an element before a position."""
    found = _list(args, "insert")
    plain_args("insert", args[1:], kwargs, 2, 2)
    position = index_of(args[1])
    if found.maxlen is not None and len(found.items) >= found.maxlen:
        fail("IndexError", "deque already at its maximum size")
    env.meter.elements(1)
    work_on(env, len(found.items))
    found.items.insert(position, at(env, args[2], args[0].mark))
    grown(env, found, args[1].mark)
    return NONE


def _clamped(value: Value) -> int:
    """An index of any size, within those a host list takes."""
    return max(-(2**62), min(2**62, index_of(value)))


def _pop(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Removes and returns the last element, or the one at a position."""
    found = _list(args, "pop")
    if found.kind != "list":
        plain_args("pop", args[1:], kwargs, 0, 0)
    plain_args("pop", args[1:], kwargs, 0, 1)
    index = args[1].mark if len(args) > 1 else NEUTRAL
    position = _clamped(args[1]) if len(args) > 1 else -1
    if not found.items:
        kind = "an empty deque" if found.kind != "list" else "empty list"
        fail("IndexError", f"pop from {kind}", joined(env, args))
    if not -len(found.items) <= position < len(found.items):
        fail("IndexError", "pop index out of range", joined(env, args))
    work_on(env, len(found.items))
    gone = found.items.pop(position)
    element = taken(env.marks, args[0], gone, index)
    shape(env, found, index)
    _without(env, found, gone)
    return element


def _without(env: Env, container: HeapObj, gone: Value) -> None:
    """What has left a container no longer counts for its labels."""
    if gone.mark is not NEUTRAL or isinstance(gone.data, HeapObj):
        env.touched(container)


def _remove(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Removes the first element equal to a value."""
    found = _list(args, "remove")
    plain_args("remove", args[1:], kwargs, 1, 1)
    seen = joined(env, args)
    position = _position(env, found.items, args[1])
    if position is None:
        kind = found.kind.rpartition(".")[2]
        fail("ValueError", f"{kind}.remove(x): x not in {kind}", seen)
    del found.items[position]
    shape(env, found, seen)
    return NONE


def _position(
    env: Env, items: list[Value] | tuple[Value, ...], wanted: Value, start: int = 0
) -> int | None:
    env.meter.work(1 + (len(items) >> 4))
    data = wanted.data
    for position in range(start, len(items)):
        other = items[position].data
        if other is data or equal(env, other, data):
            return position
    return None


def _index(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Where a value occurs first; ValueError: nowhere."""
    items = _items(args, "index")
    plain_args("index", args[1:], kwargs, 1, 3)
    size = len(items)
    start, stop, _ = slice(
        _clamped(args[2]) if len(args) > 2 else None,
        _clamped(args[3]) if len(args) > 3 else None,
    ).indices(size)
    position = _position(env, items[:stop], args[1], start)
    if position is None:
        kind = shown_type(args[0].data)
        from_tuple = kind not in ("list", "deque")
        if from_tuple:
            fail("ValueError", "tuple.index(x): x not in tuple")
        fail("ValueError", f"{_repr(env, args[1])} is not in {kind}")
    return Value(position)


def _items(args: Args, method: str) -> list[Value] | tuple[Value, ...]:
    data = args[0].data if args else None
    if isinstance(data, (ListObj, TupleObj)):
        return data.items
    kind = shown_type(data)
    raise Raise("TypeError", f"descriptor '{method}' doesn't apply to a '{kind}' object")


def _count(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """How many elements are equal to a value."""
    items = _items(args, "count")
    plain_args("count", args[1:], kwargs, 1, 1)
    env.meter.work(1 + (len(items) >> 4))
    wanted = args[1].data
    return Value(sum(1 for item in items if item.data is wanted or equal(env, item.data, wanted)))


def _clear(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Removes all elements."""
    found = _list(args, "clear")
    plain_args("clear", args[1:], kwargs, 0, 0)
    found.items.clear()
    env.touched(found)
    return NONE


def _copy(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A new list of the same elements."""
    found = _list(args, "copy")
    plain_args("copy", args[1:], kwargs, 0, 0)
    env.meter.elements(len(found.items))
    made = ListObj(list(found.items), found.kind, found.maxlen)
    made.mark = found.mark
    return Value(made, args[0].mark)


def _reverse(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Turns the order around."""
    found = _list(args, "reverse")
    plain_args("reverse", args[1:], kwargs, 0, 0)
    work_on(env, len(found.items), 256)
    found.items.reverse()
    shape(env, found, NEUTRAL)
    return NONE


def _append_left(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Adds an element at the front."""
    found = _list(args, "appendleft")
    plain_args("deque.appendleft", args[1:], kwargs, 1, 1)
    env.meter.elements(1)
    work_on(env, len(found.items))
    found.items.insert(0, at(env, args[1], args[0].mark))
    if found.maxlen is not None and len(found.items) > found.maxlen:
        found.items.pop()
    env.touched(found)
    return NONE


def _extend_left(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Adds all elements of an iterable at the front, one by one."""
    found = _list(args, "extendleft")
    plain_args("deque.extendleft", args[1:], kwargs, 1, 1)
    elements = [at(env, element, args[0].mark) for element in drain(env, args[1])]
    elements.reverse()
    found.items[:0] = elements
    if found.maxlen is not None:
        del found.items[found.maxlen :]
    grown(env, found, _own(env, args[1]))
    return NONE


def _pop_left(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Removes and returns the first element."""
    found = _list(args, "popleft")
    plain_args("deque.popleft", args[1:], kwargs, 0, 0)
    if not found.items:
        fail("IndexError", "pop from an empty deque")
    work_on(env, len(found.items))
    gone = found.items.pop(0)
    element = taken(env.marks, args[0], gone)
    shape(env, found, NEUTRAL)
    _without(env, found, gone)
    return element


def _rotate(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Moves elements from the end to the front, `n` times."""
    found = _list(args, "rotate")
    (steps,) = bind("rotate", args[1:], kwargs, ("n",))
    if found.items:
        by = integer(steps, 1) % len(found.items)
        work_on(env, len(found.items), 64)
        if by:
            found.items[:] = found.items[-by:] + found.items[:-by]
    shape(env, found, NEUTRAL if steps is None else steps.mark)
    return NONE


def _max_length(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The greatest number of elements, or None."""
    return Value(_list(args, "maxlen").maxlen)


def _range_part(part: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        data = args[0].data
        if not isinstance(data, RangeObj):
            fail("TypeError", f"descriptor '{part}' for 'range' objects doesn't apply")
        return Value(getattr(data.span, part))

    native.__doc__ = f"The `{part}` it was made with."
    return Native(fn=native, is_property=True)


def _range_index(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Where a number occurs; ValueError: nowhere."""
    return _in_range(env, args, kwargs, range.index)


def _range_count(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """1 if a number is in it, else 0."""
    return _in_range(env, args, kwargs, range.count)


def _in_range(env: Env, args: Args, kwargs: Kwargs, function: Callable[[range, int], int]) -> Value:
    plain_args(function.__name__, args[1:], kwargs, 1, 1)
    data, wanted = args[0].data, args[1].data
    if not isinstance(data, RangeObj):
        fail("TypeError", "descriptor for 'range' objects doesn't apply")
    if not isinstance(wanted, (int, float)) or wanted not in data.span:
        if function is range.count:
            return Value(0)
        fail("ValueError", f"{_repr(env, args[1])} is not in range")
    return Value(function(data.span, int(wanted)))


def _repr(env: Env, value: Value) -> str:
    return repr_text(env, value.data)


_LIST: dict[str, Native] = {
    "append": Native(fn=_append, marks="own"),
    "clear": Native(fn=_clear, marks="own"),
    "copy": Native(fn=_copy, marks="own"),
    "count": Native(fn=_count),
    "extend": Native(fn=_extend, marks="own"),
    "index": Native(fn=_index),
    "insert": Native(fn=_insert, marks="own"),
    "pop": Native(fn=_pop, marks="own"),
    "remove": Native(fn=_remove, marks="own"),
    "reverse": Native(fn=_reverse, marks="own"),
}

NATIVES: dict[str, Native] = {
    **{f"list.{name}": native for name, native in _LIST.items()},
    **{f"collections.deque.{name}": native for name, native in _LIST.items()},
    "collections.deque.appendleft": Native(fn=_append_left, marks="own"),
    "collections.deque.extendleft": Native(fn=_extend_left, marks="own"),
    "collections.deque.maxlen": Native(fn=_max_length, is_property=True),
    "collections.deque.popleft": Native(fn=_pop_left, marks="own"),
    "collections.deque.rotate": Native(fn=_rotate, marks="own"),
    "range.count": Native(fn=_range_count),
    "range.index": Native(fn=_range_index),
    "range.start": _range_part("start"),
    "range.step": _range_part("step"),
    "range.stop": _range_part("stop"),
    "tuple.count": Native(fn=_count),
    "tuple.index": Native(fn=_index),
}
