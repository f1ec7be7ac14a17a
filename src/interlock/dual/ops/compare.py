"""Equality, order, membership and hashing as Python has them.

These look at data only; whoever calls joins the deep marks of both sides onto the outcome.
Nested data is walked to `Limits.nesting` levels, then `RecursionError` as CPython does.
Long walks are charged as work.
"""

import operator
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from interlock.dual.errors import Raise
from interlock.dual.native import Env
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import (
    BoundObj,
    ClassObj,
    Data,
    DictObj,
    HeapObj,
    InstanceObj,
    ListObj,
    ModuleObj,
    NativeObj,
    PatternObj,
    RangeObj,
    SetObj,
    ToolObj,
    TupleObj,
    TypeExpr,
    TypeObj,
    Value,
    ViewObj,
)

__all__ = ["NamedKey", "equal", "key_of", "key_of_data", "ordered", "same_object"]

_NAN = float("nan")
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class NamedKey:
    """Key of objects that are equal when their names are."""

    kind: str
    name: str


def key_of(env: Env, value: Value) -> Hashable:
    """What stands for a value as key of a dict or element of a set.

    Raises:
        Raise: `TypeError`, the value is not hashable.
    """
    return key_of_data(env, value.data)


def key_of_data(env: Env, data: Data, depth: int = 0) -> Hashable:
    """See `key_of`."""
    if not isinstance(data, HeapObj):
        return _NAN if isinstance(data, float) and data != data else data  # noqa: PLR0124 - only a NaN is unequal to itself
    if depth > env.limits.nesting:
        raise Raise("RecursionError", "maximum recursion depth exceeded")
    match data:
        case TupleObj():
            env.meter.work(1 + (len(data.items) >> 4))
            return tuple([key_of_data(env, item.data, depth + 1) for item in data.items])
        case SetObj() if data.frozen:
            env.meter.work(len(data.entries) >> 4)
            return frozenset(data.entries)
        case RangeObj():
            return data.span
        case InstanceObj():
            return _instance_key(env, data, depth)
        case TypeObj() | NativeObj() | ModuleObj() | ToolObj():
            return NamedKey(type(data).__name__, data.name)
        case ListObj() | DictObj() | SetObj() | ViewObj():
            raise Raise("TypeError", f"unhashable type: '{shown_type(data)}'")
    return data


def _instance_key(env: Env, data: InstanceObj, depth: int) -> Hashable:
    inner = enum_data(data)
    if inner is not data:
        return key_of_data(env, inner, depth)
    cls = data.cls
    if not isinstance(cls, ClassObj) or cls.kind == "enum":
        return data
    if "frozen" in cls.options:
        fields = [key_of_data(env, field.data, depth + 1) for field in data.fields.values()]
        return (cls, *fields)
    raise Raise("TypeError", f"unhashable type: '{cls.name}'")


def same_object(a: Data, b: Data) -> bool:
    """`a is b`; scalars are the same when type and value are, so that a restart changes nothing."""
    if isinstance(a, HeapObj):
        if a is b:
            return True
        named = TypeObj | NativeObj | ModuleObj | ToolObj
        if isinstance(a, named) and isinstance(b, named):
            return type(a) is type(b) and a.name == b.name
        return False
    return type(a) is type(b) and (a == b or (a != a and b != b))  # noqa: PLR0124 - NaN


def equal(env: Env, a: Data, b: Data, depth: int = 0) -> bool:
    """`a == b`."""
    heap_a, heap_b = isinstance(a, HeapObj), isinstance(b, HeapObj)
    if not heap_a and not heap_b:
        return bool(a == b)
    if a is b:
        return True
    if depth > env.limits.nesting:
        raise Raise("RecursionError", "maximum recursion depth exceeded in comparison")
    inner_a, inner_b = enum_data(a), enum_data(b)
    if inner_a is not a or inner_b is not b:
        return equal(env, inner_a, inner_b, depth + 1)
    if isinstance(a, ViewObj) or isinstance(b, ViewObj):
        keys_a, keys_b = _set_keys(env, a), _set_keys(env, b)
        return keys_a is not None and keys_b is not None and set(keys_a) == set(keys_b)
    return type(a) is type(b) and _equal_heap(env, a, b, depth)


def _equal_heap(env: Env, a: Data, b: Data, depth: int) -> bool:
    match a, b:
        case (ListObj(), ListObj()):
            return a.kind == b.kind and _equal_items(env, a.items, b.items, depth)
        case (TupleObj(), TupleObj()):
            return _equal_items(env, a.items, b.items, depth)
        case (DictObj(), DictObj()):
            return _equal_dicts(env, a, b, depth)
        case (SetObj(), SetObj()):
            env.meter.work(1 + (len(a.entries) >> 4))
            return a.entries.keys() == b.entries.keys()
        case (RangeObj(), RangeObj()):
            return a.span == b.span
        case (InstanceObj(), InstanceObj()):
            return _equal_instances(env, a, b, depth)
        case (TypeExpr(), TypeExpr()):
            return a.origin == b.origin and _equal_items(env, a.args, b.args, depth)
        case (PatternObj(), PatternObj()):
            return a.pattern == b.pattern and a.flags == b.flags
        case (BoundObj(), BoundObj()):
            return a.receiver.data is b.receiver.data and same_object(
                a.function.data, b.function.data
            )
    return same_object(a, b)


def _equal_items(env: Env, a: Iterable[Value], b: Iterable[Value], depth: int) -> bool:
    left, right = list(a), list(b)
    if len(left) != len(right):
        return False
    env.meter.work(1 + (len(left) >> 4))
    return all(
        _identical_or_equal(env, x.data, y.data, depth) for x, y in zip(left, right, strict=True)
    )


def _identical_or_equal(env: Env, a: Data, b: Data, depth: int) -> bool:
    """Elements compare as `a is b or a == b`, so a NaN is found in its list."""
    if not isinstance(a, HeapObj) and not isinstance(b, HeapObj):
        return bool(a == b) or (a != a and b != b)  # noqa: PLR0124 - NaN
    return a is b or equal(env, a, b, depth + 1)


def _equal_dicts(env: Env, a: DictObj, b: DictObj, depth: int) -> bool:
    if len(a.entries) != len(b.entries):
        return False
    env.meter.work(1 + (len(a.entries) >> 4))
    if a.kind == b.kind == "collections.OrderedDict" and list(a.entries) != list(b.entries):
        return False
    for key, (_, item) in a.entries.items():
        other = b.entries.get(key)
        if other is None or not _identical_or_equal(env, item.data, other[1].data, depth):
            return False
    return True


def _equal_instances(env: Env, a: InstanceObj, b: InstanceObj, depth: int) -> bool:
    if a.cls is not b.cls:
        return False
    if isinstance(a.cls, ClassObj) and a.cls.kind == "enum":
        return False
    return a.fields.keys() == b.fields.keys() and _equal_items(
        env, a.fields.values(), [b.fields[name] for name in a.fields], depth
    )


def _set_keys(env: Env, data: Data) -> Iterable[Hashable] | None:
    """The keys of set-like data: sets, `dict.keys()`, `dict.items()`."""
    if isinstance(data, SetObj):
        return data.entries
    if isinstance(data, ViewObj) and isinstance(data.source.data, DictObj):
        entries = data.source.data.entries
        if data.kind == "dict_keys":
            return entries
        if data.kind == "dict_items":
            return [(key, key_of(env, item)) for key, (_, item) in entries.items()]
    return None


def ordered(env: Env, op: str, a: Data, b: Data, depth: int = 0) -> bool:
    """`a < b` and its kin; `op` is one of `<`, `<=`, `>`, `>=`.

    Raises:
        Raise: `TypeError`, there is no order between the two.
    """
    a, b = enum_data(a), enum_data(b)
    if not isinstance(a, HeapObj) and not isinstance(b, HeapObj):
        try:
            return _ORDER[op](a, b)
        except TypeError as error:
            raise Raise("TypeError", str(error)) from None
    if depth > env.limits.nesting:
        raise Raise("RecursionError", "maximum recursion depth exceeded in comparison")
    match a, b:
        case (ListObj(), ListObj()) if a.kind == b.kind:
            return _ordered_items(env, op, a.items, b.items, depth)
        case (TupleObj(), TupleObj()):
            return _ordered_items(env, op, list(a.items), list(b.items), depth)
    keys_a, keys_b = _set_keys(env, a), _set_keys(env, b)
    if keys_a is not None and keys_b is not None:
        return _ORDER[op](frozenset(keys_a), frozenset(keys_b))
    raise Raise(
        "TypeError",
        f"'{op}' not supported between instances of '{shown_type(a)}' and '{shown_type(b)}'",
    )


def _ordered_items(env: Env, op: str, a: list[Value], b: list[Value], depth: int) -> bool:
    env.meter.work(1 + (min(len(a), len(b)) >> 4))
    for x, y in zip(a, b, strict=False):
        if not _identical_or_equal(env, x.data, y.data, depth):
            return ordered(env, op, x.data, y.data, depth + 1)
    return _ORDER[op](len(a), len(b))
