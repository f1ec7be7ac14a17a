"""Iterating over values, one explicit step at a time.

`make_iter` gives the iterator a `for` loop keeps; `step` moves it. Natives use `iterate`, which
does both. Elements leave with their own mark, the container's own, and those of the references.
"""

from collections.abc import Iterator, Mapping

from interlock.dual.errors import Raise
from interlock.dual.marks import NEUTRAL
from interlock.dual.native import Env, StepFn
from interlock.dual.ops.compare import key_of
from interlock.dual.ops.types import shown_type
from interlock.dual.values import (
    ClassObj,
    Data,
    DictObj,
    GenObj,
    HeapObj,
    IterObj,
    ListObj,
    RangeObj,
    SetObj,
    TupleObj,
    Value,
    ViewObj,
    taken,
)

__all__ = ["is_iterator", "iterate", "length", "make_iter", "step"]


def is_iterator(data: Data) -> bool:
    """Whether `next()` takes it."""
    return isinstance(data, IterObj | GenObj)


def length(data: Data) -> int | None:
    """`len(x)`, None for what has none."""
    match data:
        case str() | bytes():
            return len(data)
        case ListObj() | TupleObj():
            return len(data.items)
        case DictObj() | SetObj():
            return len(data.entries)
        case RangeObj():
            return len(data.span)
        case ViewObj():
            return length(data.source.data)
        case ClassObj() if data.kind == "enum":
            return len(data.members)
    return None


def make_iter(env: Env, value: Value) -> Value:
    """`iter(x)`: itself for iterators.

    Raises:
        Raise: `TypeError`, the value is not iterable.
    """
    data = value.data
    match data:
        case IterObj() | GenObj():
            return value
        case ListObj() | TupleObj():
            made = IterObj("list_iterator", [value])
        case str() | bytes():
            made = IterObj("str_iterator", [value])
        case RangeObj():
            made = IterObj("range_iterator", [value])
        case DictObj():
            made = _snapshot("dict_keyiterator", value, [key for key, _ in data.entries.values()])
        case SetObj():
            made = _snapshot("set_iterator", value, list(data.entries.values()))
        case ViewObj():
            source = data.source.data
            entries = source.entries if isinstance(source, DictObj) else {}
            keys = [key for key, _ in entries.values()]
            made = _snapshot(_VIEW_ITERATORS[data.kind], _through(env, value, data.source), keys)
        case ClassObj() if data.kind == "enum":
            made = IterObj("list_iterator", [Value(ListObj(list(data.members.values())))])
        case _:
            raise Raise("TypeError", f"'{shown_type(data)}' object is not iterable")
    return Value(made, value.mark)


def _through(env: Env, view: Value, source: Value) -> Value:
    """The dict of a view, marked with what the view derives from too."""
    own = view.data.mark if isinstance(view.data, HeapObj) else view.mark
    mark = env.marks.join(env.marks.join(source.mark, view.mark), own)
    return Value(source.data, mark)


_VIEW_ITERATORS = {
    "dict_keys": "dict_keyiterator",
    "dict_values": "dict_valueiterator",
    "dict_items": "dict_itemiterator",
}


def _snapshot(kind: str, source: Value, elements: list[Value]) -> IterObj:
    return IterObj(kind, [source], 0, elements)


def step(env: Env, iterator: IterObj) -> Value | None:
    """The next element, None at the end.

    Raises:
        Raise: e.g. `RuntimeError`, a dict changed its size.
    """
    if iterator.position < 0:
        return None
    own = _STEPS.get(iterator.kind) or env.iterators[iterator.kind]
    element = own(env, iterator)
    if element is None or iterator.mark is NEUTRAL:
        return element
    # Where it stands derives from this: see `ops.position`.
    return Value(element.data, env.marks.join(element.mark, iterator.mark))


def iterate(env: Env, value: Value) -> Iterator[Value]:
    """All elements, for natives. The machine turns generators into lists before it calls them.

    Raises:
        Raise: `TypeError`, the value is not iterable.
    """
    data = value.data
    if isinstance(data, ListObj | TupleObj) and data.mark is value.mark is NEUTRAL:
        env.meter.work(len(data.items) >> 4)
        yield from list(data.items)
        return
    if isinstance(data, GenObj):
        raise Raise("TypeError", "a generator cannot be used here")
    made = make_iter(env, value).data
    if not isinstance(made, IterObj):
        return
    count = 0
    while (element := step(env, made)) is not None:
        count += 1
        if not count & 15:
            env.meter.work(1)
        yield element


def _step_items(env: Env, iterator: IterObj) -> Value | None:
    source = iterator.sources[0]
    data = source.data
    if isinstance(data, ListObj | TupleObj) and iterator.position < len(data.items):
        element = data.items[iterator.position]
        iterator.position += 1
        return taken(env.marks, source, element)
    iterator.position = -1
    return None


def _step_text(env: Env, iterator: IterObj) -> Value | None:
    source = iterator.sources[0]
    data = source.data
    if isinstance(data, str | bytes) and iterator.position < len(data):
        element = data[iterator.position]
        iterator.position += 1
        return Value(element, source.mark)
    iterator.position = -1
    return None


def _step_range(env: Env, iterator: IterObj) -> Value | None:
    source = iterator.sources[0]
    data = source.data
    if isinstance(data, RangeObj) and iterator.position < len(data.span):
        element = data.span[iterator.position]
        iterator.position += 1
        return taken(env.marks, source, Value(element))
    iterator.position = -1
    return None


def _step_set(env: Env, iterator: IterObj) -> Value | None:
    source = iterator.sources[0]
    data = source.data
    if isinstance(data, SetObj) and len(data.entries) != len(iterator.state):
        raise Raise("RuntimeError", "Set changed size during iteration")
    if iterator.position < len(iterator.state):
        element = iterator.state[iterator.position]
        iterator.position += 1
        return taken(env.marks, source, element)
    iterator.position = -1
    return None


def _next_entry(env: Env, iterator: IterObj) -> tuple[Value, Value] | None:
    source = iterator.sources[0]
    data = source.data
    if not isinstance(data, DictObj):
        iterator.position = -1
        return None
    if len(data.entries) != len(iterator.state):
        raise Raise("RuntimeError", "dictionary changed size during iteration")
    if iterator.position >= len(iterator.state):
        iterator.position = -1
        return None
    key = iterator.state[iterator.position]
    iterator.position += 1
    entry = data.entries.get(key_of(env, key))
    if entry is None:
        raise Raise("RuntimeError", "dictionary keys changed during iteration")
    return entry


def _step_keys(env: Env, iterator: IterObj) -> Value | None:
    entry = _next_entry(env, iterator)
    return None if entry is None else taken(env.marks, iterator.sources[0], entry[0])


def _step_dict_values(env: Env, iterator: IterObj) -> Value | None:
    entry = _next_entry(env, iterator)
    if entry is None:
        return None
    return taken(env.marks, iterator.sources[0], entry[1], env.deep(entry[0]))


def _step_entries(env: Env, iterator: IterObj) -> Value | None:
    entry = _next_entry(env, iterator)
    if entry is None:
        return None
    source = iterator.sources[0]
    key = taken(env.marks, source, entry[0])
    item = taken(env.marks, source, entry[1], env.deep(entry[0]))
    return Value(TupleObj((key, item)))


_STEPS: Mapping[str, StepFn] = {
    "list_iterator": _step_items,
    "str_iterator": _step_text,
    "range_iterator": _step_range,
    "set_iterator": _step_set,
    "dict_keyiterator": _step_keys,
    "dict_valueiterator": _step_dict_values,
    "dict_itemiterator": _step_entries,
}
