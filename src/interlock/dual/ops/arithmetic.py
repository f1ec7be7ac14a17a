"""Binary and unary operators on values; sizes are checked before anything is built."""

import operator
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from interlock.dual.errors import Raise
from interlock.dual.limits import ELEMENT_BYTES
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.native import Env
from interlock.dual.ops.compare import key_of
from interlock.dual.ops.iterate import iterate
from interlock.dual.ops.types import enum_data, shown_type, truth, type_name
from interlock.dual.values import (
    FALSE,
    TRUE,
    ClassObj,
    Data,
    DictObj,
    HeapObj,
    ListObj,
    SetObj,
    TupleObj,
    TypeExpr,
    TypeObj,
    Value,
    ViewObj,
)

__all__ = ["HOST_OPERATORS", "INTEGER_BOUND", "binary", "inplace", "unary"]

INTEGER_BOUND = 1 << 4096
"""Integers of at least this size are checked against the limit; see `Limits.integer_bits`."""

HOST_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "|": operator.or_,
    "^": operator.xor,
    "&": operator.and_,
}
_SET_OPERATORS = frozenset({"|", "&", "-", "^"})
_UNARY: Mapping[str, Callable[[Any], Any]] = {
    "+": operator.pos,
    "-": operator.neg,
    "~": operator.invert,
}


def binary(env: Env, symbol: str, a: Value, b: Value) -> Value:
    """`a OP b`.

    Raises:
        Raise: as Python would.
        LimitExceeded: the result would be too large.
    """
    x, y = enum_data(a.data), enum_data(b.data)
    if not isinstance(x, HeapObj) and not isinstance(y, HeapObj):
        mark = env.marks.join(a.mark, b.mark)
        if symbol == "%" and isinstance(x, str | bytes):
            return _by_library(env, symbol, a, b)
        return Value(_scalar(env, symbol, x, y), mark)
    if symbol == "%" and isinstance(x, str | bytes):
        return _by_library(env, symbol, a, b)
    special = env.natives.get(f"{type_name(x)}.{symbol}")
    if special is not None:
        return _by_library(env, symbol, a, b)
    made = _containers(env, symbol, Value(x, a.mark), Value(y, b.mark))
    if made is not None:
        return made
    if symbol == "|" and _is_annotation(x) and _is_annotation(y):
        mark = env.marks.join(env.deep(a), env.deep(b))
        return Value(TypeExpr("Union", (a, b)), mark)
    raise _unsupported(symbol, x, y)


def _by_library(env: Env, symbol: str, a: Value, b: Value) -> Value:
    native = env.natives[f"{type_name(enum_data(a.data))}.{symbol}"]
    made = native.fn(env, (a, b), {})
    if native.marks == "own":
        return made
    join = env.marks.join
    return Value(made.data, join(join(made.mark, env.deep(a)), env.deep(b)))


def _unsupported(symbol: str, x: Data, y: Data) -> Raise:
    if symbol == "+" and isinstance(x, ListObj | TupleObj | str):
        kind = shown_type(x)
        return Raise("TypeError", f'can only concatenate {kind} (not "{shown_type(y)}") to {kind}')
    if symbol == "*" and (_is_sequence(x) or _is_sequence(y)):
        other = y if _is_sequence(x) else x
        return Raise(
            "TypeError", f"can't multiply sequence by non-int of type '{shown_type(other)}'"
        )
    name = "** or pow()" if symbol == "**" else symbol
    return Raise(
        "TypeError",
        f"unsupported operand type(s) for {name}: '{shown_type(x)}' and '{shown_type(y)}'",
    )


def _is_sequence(data: Data) -> bool:
    return isinstance(data, str | bytes | ListObj | TupleObj)


def _is_annotation(data: Data) -> bool:
    return data is None or isinstance(data, TypeObj | TypeExpr | ClassObj)


def _scalar(env: Env, symbol: str, x: Any, y: Any) -> Data:  # noqa: ANN401 - any two scalars
    if isinstance(x, int) and isinstance(y, int):
        _check_integers(env, symbol, x, y)
    elif symbol == "*":
        _check_repeat(env, x, y)
    elif symbol == "+" and isinstance(x, str | bytes) and isinstance(y, str | bytes):
        env.meter.memory(len(x) + len(y))
    try:
        made = HOST_OPERATORS[symbol](x, y)
    except ZeroDivisionError as error:
        raise Raise("ZeroDivisionError", str(error)) from None
    except OverflowError as error:
        raise Raise("OverflowError", str(error)) from None
    except TypeError as error:
        raise Raise("TypeError", str(error)) from None
    except ValueError as error:
        raise Raise("ValueError", str(error)) from None
    if isinstance(made, int):
        env.meter.integer(made.bit_length())
    elif isinstance(made, complex):
        raise Raise("ValueError", "complex numbers are not supported here")
    return made  # type: ignore[no-any-return]


def _check_integers(env: Env, symbol: str, x: int, y: int) -> None:
    if symbol == "**" and y > 0:
        env.meter.integer((x.bit_length() - (x in {1, -1})) * y)
    elif symbol == "<<" and y > 0 and x:
        env.meter.integer(x.bit_length() + y)
    elif symbol == "*":
        env.meter.integer(x.bit_length() + y.bit_length() - 1)


def _check_repeat(env: Env, x: object, y: object) -> None:
    text, count = (x, y) if isinstance(x, str | bytes) else (y, x)
    if isinstance(text, str | bytes) and isinstance(count, int) and count > 0:
        env.meter.memory(len(text) * count)
        env.meter.work(len(text) * count >> 14)


def _containers(env: Env, symbol: str, a: Value, b: Value) -> Value | None:
    x, y = a.data, b.data
    if symbol == "+" and isinstance(x, ListObj) and isinstance(y, ListObj) and x.kind == y.kind:
        env.meter.elements(len(x.items) + len(y.items))
        made = ListObj(_leaving(env, a) + _leaving(env, b), x.kind, x.maxlen)
        return _with(made, _outer(env, a, b))
    if symbol == "+" and isinstance(x, TupleObj) and isinstance(y, TupleObj):
        env.meter.elements(len(x.items) + len(y.items))
        return Value(TupleObj(tuple(_leaving(env, a) + _leaving(env, b))), _outer(env, a, b))
    if symbol == "*":
        return _repeated(env, a, b) if isinstance(x, HeapObj) else _repeated(env, b, a)
    if symbol == "|" and isinstance(x, DictObj) and isinstance(y, DictObj):
        return _merged(env, a, b)
    if symbol in _SET_OPERATORS and _is_set(x) and _is_set(y):
        return _set_operation(env, symbol, a, b)
    return None


def _with(made: HeapObj, mark: Mark) -> Value:
    return Value(made, mark)


def _outer(env: Env, a: Value, b: Value) -> Mark:
    """What the shape of a result derives from: references and containers of both operands."""
    join = env.marks.join
    mark = join(a.mark, b.mark)
    for data in (a.data, b.data):
        if isinstance(data, HeapObj):
            mark = join(mark, data.mark)
    return mark


def _leaving(env: Env, value: Value) -> list[Value]:
    return list(iterate(env, value))


def _repeated(env: Env, a: Value, b: Value) -> Value | None:
    x, count = a.data, b.data
    if not isinstance(x, ListObj | TupleObj) or not isinstance(count, int):
        return None
    size = len(x.items) * max(count, 0)
    env.meter.memory(size * ELEMENT_BYTES)
    env.meter.work(size >> 6)
    mark = _outer(env, a, b)
    items = _leaving(env, a) * count
    if isinstance(x, ListObj):
        return Value(ListObj(items, x.kind, x.maxlen), mark)
    return Value(TupleObj(tuple(items)), mark)


def _merged(env: Env, a: Value, b: Value) -> Value:
    x, y = a.data, b.data
    entries: dict[Hashable, tuple[Value, Value]] = {}
    kind, factory = "dict", None
    if isinstance(x, DictObj) and isinstance(y, DictObj):
        env.meter.elements(2 * (len(x.entries) + len(y.entries)))
        kind, factory = x.kind, x.factory
        entries = dict(x.entries)
        for key, (name, item) in y.entries.items():
            old = entries.get(key)
            entries[key] = (name if old is None else old[0], item)
    return Value(DictObj(entries, kind, factory), _outer(env, a, b))


def _is_set(data: Data) -> bool:
    return isinstance(data, SetObj) or (
        isinstance(data, ViewObj) and data.kind in {"dict_keys", "dict_items"}
    )


def _set_operation(env: Env, symbol: str, a: Value, b: Value) -> Value:
    left = {key_of(env, v): v for v in iterate(env, a)}
    right = {key_of(env, v): v for v in iterate(env, b)}
    env.meter.elements(len(left) + len(right))
    match symbol:
        case "|":
            made = {**right, **left}
        case "&":
            made = {k: v for k, v in left.items() if k in right}
        case "-":
            made = {k: v for k, v in left.items() if k not in right}
        case _:
            made = {k: v for k, v in left.items() if k not in right}
            made.update({k: v for k, v in right.items() if k not in left})
    frozen = isinstance(a.data, SetObj) and a.data.frozen
    # Which elements are there depends on those of both sides.
    mark = env.marks.join(env.deep(a), env.deep(b))
    return Value(SetObj(made, frozen), mark)


def inplace(env: Env, symbol: str, a: Value, b: Value) -> Value:
    """`a OP= b`: changes lists, sets and dicts in place, else as `binary`."""
    x = enum_data(a.data)
    special = isinstance(x, HeapObj) and f"{type_name(x)}.{symbol}" in env.natives
    if not special and isinstance(x, ListObj) and symbol in {"+", "*"}:
        if symbol == "+":
            taken_in = list(iterate(env, b))
            env.meter.elements(len(taken_in))
            x.items += taken_in
        elif isinstance(b.data, int):
            env.meter.elements(len(x.items) * max(b.data - 1, 0))
            x.items *= b.data
        else:
            raise _unsupported(symbol, x, b.data)
        return _changed(env, a, x, b)
    if not special and isinstance(x, DictObj) and symbol == "|":
        if not isinstance(b.data, DictObj):  # pairs will do, as for `update`
            env.natives["dict.update"].fn(env, (a, b), {})
            return _changed(env, a, x, b)
        made = _merged(env, a, b).data
        if isinstance(made, DictObj):
            x.entries = made.entries
        return _changed(env, a, x, b)
    if isinstance(x, SetObj) and not x.frozen and symbol in _SET_OPERATORS and _is_set(b.data):
        made = _set_operation(env, symbol, a, b).data
        if isinstance(made, SetObj):
            x.entries = made.entries
        x.mark = env.marks.join(x.mark, env.deep(b))
        return _changed(env, a, x, b)
    return binary(env, symbol, a, b)


def _changed(env: Env, a: Value, x: HeapObj, b: Value) -> Value:
    """What is left on a container that took in `b`: whatever `b` itself derives from."""
    own = b.data.mark if isinstance(b.data, HeapObj) else NEUTRAL
    x.mark = env.marks.join(x.mark, env.marks.join(b.mark, own))
    env.touched(x)
    return a


def unary(env: Env, symbol: str, a: Value) -> Value:
    """`-a`, `+a`, `~a`, `not a`.

    Raises:
        Raise: `TypeError`.
    """
    if symbol == "not":
        made = FALSE if truth(a.data) else TRUE
        mark = env.deep(a)
        return made if mark is NEUTRAL else Value(made.data, mark)
    x = enum_data(a.data)
    if isinstance(x, HeapObj):
        special = env.natives.get(f"{type_name(x)}.unary{symbol}")
        if special is not None:
            return Value(special.fn(env, (a,), {}).data, env.deep(a))
        raise Raise("TypeError", f"bad operand type for unary {symbol}: '{shown_type(x)}'")
    try:
        return Value(_UNARY[symbol](x), a.mark)
    except (TypeError, OverflowError) as error:
        raise Raise(type(error).__name__, str(error)) from None
