"""Subscripts and slices: reading, storing, deleting. Every position is bounded by the data."""

from interlock.dual.errors import Raise
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.native import Env
from interlock.dual.ops.compare import key_of
from interlock.dual.ops.iterate import iterate
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import (
    ClassObj,
    Data,
    DictObj,
    ExcObj,
    HeapObj,
    ListObj,
    MatchObj,
    RangeObj,
    TupleObj,
    TypeExpr,
    TypeObj,
    Value,
    taken,
)

__all__ = [
    "delete_item",
    "delete_slice",
    "get_item",
    "get_slice",
    "key_error",
    "set_item",
    "set_slice",
]


def key_error(key: Value) -> Raise:
    """`KeyError(key)`."""
    return Raise("KeyError", exc=ExcObj("KeyError", [key]))


def get_item(env: Env, container: Value, index: Value) -> Value:
    """`container[index]`; a `defaultdict` without the key is the machine's business.

    Raises:
        Raise: `IndexError`, `KeyError`, `TypeError`.
    """
    data = enum_data(container.data)
    match data:
        case DictObj():
            key = index.data
            entry = data.entries.get(
                key_of(env, index) if isinstance(key, HeapObj | float) else key
            )
            if entry is None:
                if data.kind == "collections.Counter":
                    return Value(0, env.marks.join(env.deep(container), env.deep(index)))
                raise key_error(index)
            own_key = NEUTRAL if env.marks.pure else env.deep(entry[0])
            mark = env.marks.join(own_key, _index_mark(env, index))
            return taken(env.marks, container, entry[1], mark)
        case ListObj() | TupleObj():
            position = _position(data, index)
            try:
                element = data.items[position]
            except IndexError:
                raise Raise("IndexError", f"{_kind(data)} index out of range") from None
            return taken(env.marks, container, element, index.mark)
        case str() | bytes():
            position = _position(data, index)
            try:
                return Value(data[position], env.marks.join(container.mark, index.mark))
            except IndexError:
                raise Raise("IndexError", f"{_kind(data)} index out of range") from None
        case RangeObj():
            position = _position(data, index)
            try:
                made = Value(data.span[position])
            except IndexError:
                raise Raise("IndexError", "range object index out of range") from None
            return taken(env.marks, container, made, index.mark)
    return _other_item(env, container, index)


def _other_item(env: Env, container: Value, index: Value) -> Value:
    data = container.data
    match data:
        case TypeObj() | TypeExpr():
            args = index.data.items if isinstance(index.data, TupleObj) else (index,)
            name = data.name if isinstance(data, TypeObj) else data.origin
            return Value(TypeExpr(name, tuple(args)), container.mark)
        case ClassObj() if data.kind == "enum" and isinstance(index.data, str):
            member = data.members.get(index.data)
            if member is None:
                raise key_error(index)
            return taken(env.marks, container, member, index.mark)
        case MatchObj():
            native = env.natives["re.Match.group"]
            made = native.fn(env, (container, index), {})
            mark = env.marks.join(env.deep(container), env.deep(index))
            return Value(made.data, env.marks.join(made.mark, mark))
    if isinstance(data, TypeObj | ClassObj):
        raise Raise("TypeError", f"type '{data.name}' is not subscriptable")
    raise Raise("TypeError", f"'{shown_type(data)}' object is not subscriptable")


def _index_mark(env: Env, index: Value) -> Mark:
    return env.deep(index) if isinstance(index.data, HeapObj) else index.mark


def _kind(data: Data) -> str:
    return {"str": "string", "bytes": "index"}.get(shown_type(data), shown_type(data))


def _position(data: Data, index: Value) -> int:
    position = enum_data(index.data)
    if not isinstance(position, int):
        kind = {"str": "string", "bytes": "byte"}.get(shown_type(data), shown_type(data))
        tail = "" if kind in {"string"} else " or slices"
        shown = shown_type(position)
        if kind == "string":
            raise Raise("TypeError", f"string indices must be integers, not '{shown}'")
        raise Raise("TypeError", f"{kind} indices must be integers{tail}, not {shown}")
    return position


def set_item(env: Env, container: Value, index: Value, item: Value) -> None:
    """`container[index] = item`; the index's marks stay with the item.

    Raises:
        Raise: `IndexError`, `TypeError`.
    """
    data = container.data
    match data:
        case DictObj():
            key = key_of(env, index)
            old = data.entries.get(key)
            if old is None:
                env.meter.elements(2)
                data.entries[key] = (index, item)
                env.added(data, index)
            else:
                # The key as first given stays; that this item is here is due to the new one too.
                mark = _index_mark(env, index)
                if mark is not NEUTRAL:
                    item = Value(item.data, env.marks.join(item.mark, mark))
                data.entries[key] = (old[0], item)
                _lost(env, data, old[1])
            env.added(data, item)
        case ListObj():
            position = _position(data, index)
            if index.mark is not NEUTRAL:
                # Which element changed is known by all of them.
                data.mark = env.marks.join(data.mark, index.mark)
                env.touched(data)
            try:
                old_item = data.items[position]
            except IndexError:
                raise Raise("IndexError", "list assignment index out of range") from None
            data.items[position] = item
            _lost(env, data, old_item)
            env.added(data, item)
        case _:
            raise Raise(
                "TypeError", f"'{shown_type(data)}' object does not support item assignment"
            )


def _lost(env: Env, data: HeapObj, old: Value) -> None:
    """A replaced element no longer counts; give up caches that counted it."""
    if old.mark is not NEUTRAL or isinstance(old.data, HeapObj):
        env.touched(data)


def delete_item(env: Env, container: Value, index: Value) -> None:
    """`del container[index]`.

    Raises:
        Raise: `IndexError`, `KeyError`, `TypeError`.
    """
    data = container.data
    mark = _index_mark(env, index)
    match data:
        case DictObj():
            removed = data.entries.pop(key_of(env, index), None)
            if removed is None:
                raise key_error(index)
            # Which keys are left depends on the one that went.
            mark = env.marks.join(mark, env.deep(removed[0]))
        case ListObj():
            position = _position(data, index)
            try:
                del data.items[position]
            except IndexError:
                raise Raise("IndexError", "list assignment index out of range") from None
        case _:
            raise Raise("TypeError", f"'{shown_type(data)}' object doesn't support item deletion")
    data.mark = env.marks.join(data.mark, mark)
    env.touched(data)


def _slice(parts: tuple[Value, Value, Value]) -> slice:
    bounds = []
    for part in parts:
        bound = enum_data(part.data)
        if bound is not None and not isinstance(bound, int):
            raise Raise(
                "TypeError",
                "slice indices must be integers or None or have an __index__ method",
            )
        bounds.append(bound)
    if bounds[2] == 0:
        raise Raise("ValueError", "slice step cannot be zero")
    return slice(*bounds)


def _slice_mark(env: Env, parts: tuple[Value, Value, Value]) -> Mark:
    return env.marks.join_all(part.mark for part in parts)


def get_slice(env: Env, container: Value, parts: tuple[Value, Value, Value]) -> Value:
    """`container[lower:upper:step]`.

    Raises:
        Raise: `TypeError`, `ValueError`.
    """
    data = enum_data(container.data)
    where = _slice(parts)
    mark = _slice_mark(env, parts)
    outer = env.marks.join(container.mark, mark)
    match data:
        case str() | bytes():
            made = data[where]
            env.meter.memory(len(made))
            return Value(made, outer)
        case ListObj() if data.kind == "list":
            items = data.items[where]
            env.meter.elements(len(items))
            return Value(ListObj(items), env.marks.join(outer, data.mark))
        case TupleObj():
            part = data.items[where]
            env.meter.elements(len(part))
            return Value(TupleObj(part), env.marks.join(outer, data.mark))
        case RangeObj():
            return Value(RangeObj(data.span[where]), env.marks.join(outer, data.mark))
    if isinstance(data, DictObj):
        raise Raise("TypeError", "unhashable type: 'slice'")
    raise Raise("TypeError", f"'{shown_type(data)}' object is not subscriptable")


def set_slice(env: Env, container: Value, parts: tuple[Value, Value, Value], item: Value) -> None:
    """`container[lower:upper:step] = item`.

    Raises:
        Raise: `TypeError`, `ValueError`.
    """
    data = container.data
    if not isinstance(data, ListObj) or data.kind != "list":
        raise Raise("TypeError", f"'{shown_type(data)}' object does not support item assignment")
    where = _slice(parts)
    try:
        elements = list(iterate(env, item))
    except Raise as error:
        if error.message.endswith("object is not iterable"):
            raise Raise("TypeError", "can only assign an iterable", error.mark) from None
        raise
    env.meter.elements(len(elements))
    try:
        data.items[where] = elements
    except ValueError as error:
        raise Raise("ValueError", str(error)) from None
    own = item.data.mark if isinstance(item.data, HeapObj) else NEUTRAL
    added = env.marks.join(env.marks.join(item.mark, own), _slice_mark(env, parts))
    data.mark = env.marks.join(data.mark, added)
    env.touched(data)


def delete_slice(env: Env, container: Value, parts: tuple[Value, Value, Value]) -> None:
    """`del container[lower:upper:step]`.

    Raises:
        Raise: `TypeError`, `ValueError`.
    """
    data = container.data
    if isinstance(data, DictObj):
        raise Raise("TypeError", "unhashable type: 'slice'")
    if not isinstance(data, ListObj) or data.kind != "list":
        raise Raise("TypeError", f"'{shown_type(data)}' object does not support item deletion")
    where = _slice(parts)
    del data.items[where]
    data.mark = env.marks.join(data.mark, _slice_mark(env, parts))
    env.touched(data)
