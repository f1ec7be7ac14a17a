"""Built-in functions that look at one value or a few: `len`, `round`, `repr`, `print`, ..."""

import datetime as dt
from collections.abc import Callable
from typing import Any

from interlock.dual.errors import Raise
from interlock.dual.lib.access import (
    Args,
    Kwargs,
    at,
    bind,
    call_host,
    drain,
    fail,
    host,
    index_of,
    integer,
    joined,
    list_of,
    optional,
    plain_args,
)
from interlock.dual.lib.conversions import own_mark
from interlock.dual.lib.display import ascii_text, format_text, repr_text, str_text
from interlock.dual.lib.ordering import extreme_of, order_of
from interlock.dual.lib.sequences import shape
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.native import Env, Native
from interlock.dual.ops.arithmetic import binary
from interlock.dual.ops.iterate import iterate, length, make_iter, step
from interlock.dual.ops.position import moved
from interlock.dual.ops.types import enum_data, shown_type, truth
from interlock.dual.values import (
    NONE,
    BoundObj,
    ClassObj,
    FuncObj,
    IterObj,
    ListObj,
    NativeObj,
    ToolObj,
    TupleObj,
    TypeObj,
    Value,
)

__all__ = ["NATIVES"]


def _len(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """How many elements or characters there are."""
    plain_args("len", args, kwargs, 1, 1)
    size = length(enum_data(args[0].data))
    if size is None:
        fail("TypeError", f"object of type '{shown_type(args[0].data)}' has no len()")
    return Value(size)


def _numeric(name: str, least: int, most: int, doc: str) -> Native:
    """A function the host has on numbers, with results no larger than their arguments."""
    function: Any = {"abs": abs, "divmod": divmod}[name]

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        plain_args(name, args, kwargs, least, most)
        data = [enum_data(arg.data) for arg in args]
        for item in data:
            if not isinstance(item, (int, float, dt.timedelta)):
                _refuse_operands(name, args)
        found = call_host(function, data)
        if isinstance(found, tuple):
            return Value(TupleObj(tuple(Value(item) for item in found)))
        return Value(found)

    native.__doc__ = doc
    return Native(fn=native)


def _refuse_operands(name: str, args: Args) -> None:
    kinds = [f"'{shown_type(arg.data)}'" for arg in args]
    if name == "abs":
        fail("TypeError", f"bad operand type for abs(): {kinds[0]}")
    fail("TypeError", f"unsupported operand type(s) for {name}(): {' and '.join(kinds)}")


def _pow(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A power, or its remainder by a modulus."""
    base, exponent, modulus = bind("pow", args, kwargs, ("base", "exp", "mod"), required=2)
    if modulus is None or modulus.data is None:
        return binary(env, "**", optional(base), optional(exponent))
    numbers = [enum_data(optional(value).data) for value in (base, exponent, modulus)]
    if not all(isinstance(number, int) for number in numbers):
        fail("TypeError", "pow() 3rd argument not allowed unless all arguments are integers")
    bits = [number.bit_length() for number in numbers if isinstance(number, int)]
    # A square per bit of the exponent, each quadratic in the words of the modulus.
    env.meter.work((bits[1] * (bits[2] // 32 + 1) ** 2) >> 9)
    return Value(call_host(pow, numbers))


def _round(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A number rounded, half to even, to so many digits."""
    number, digits = bind("round", args, kwargs, ("number", "ndigits"), required=1)
    data = enum_data(optional(number).data)
    if not isinstance(data, (int, float)):
        kind = shown_type(data)
        fail("TypeError", f"type {kind} doesn't define __round__ method")
    if digits is None or digits.data is None:
        return Value(call_host(round, (data,)))
    places = index_of(digits)
    if isinstance(data, int) and -places > env.limits.integer_bits:
        # More places than it has digits.
        return Value(0)
    return Value(call_host(round, (data, places)))


def _text_of_number(name: str, doc: str) -> Native:
    function: Callable[..., Any] = {"bin": bin, "hex": hex, "oct": oct}[name]

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        plain_args(name, args, kwargs, 1, 1)
        return Value(call_host(function, (index_of(args[0]),)))

    native.__doc__ = doc
    return Native(fn=native)


def _chr(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The character with a code point."""
    plain_args("chr", args, kwargs, 1, 1)
    return Value(call_host(chr, (index_of(args[0]),)))


def _ord(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The code point of a character."""
    plain_args("ord", args, kwargs, 1, 1)
    return Value(call_host(ord, (host(args[0]),)))


def _repr(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The text of a value as a program would write it."""
    plain_args("repr", args, kwargs, 1, 1)
    return Value(repr_text(env, args[0].data))


def _ascii(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """As `repr`, with escapes for what is not ASCII."""
    plain_args("ascii", args, kwargs, 1, 1)
    return Value(ascii_text(env, args[0].data))


def _format(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The text of a value by a format spec."""
    plain_args("format", args, kwargs, 1, 2)
    spec = args[1].data if len(args) > 1 else ""
    if not isinstance(spec, str):
        fail("TypeError", f"format() argument 2 must be str, not {shown_type(spec)}")
    return Value(format_text(env, args[0].data, spec))


def _print(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Notes a line for debugging; nobody but the operator sees it."""
    for name in kwargs:
        if name not in ("sep", "end", "file", "flush"):
            fail("TypeError", f"print() got an unexpected keyword argument '{name}'")
    for name in ("sep", "end"):
        value = kwargs.get(name, NONE)
        if value.data is not None and not isinstance(value.data, str):
            fail("TypeError", f"{name} must be None or a string, not {shown_type(value.data)}")
    separator = kwargs.get("sep", NONE).data
    left = env.limits.debug_chars - env.debug_chars
    if left <= 0:
        return NONE
    between = separator if isinstance(separator, str) else " "
    line = between.join(str_text(env, arg.data)[:left] for arg in args)[:left]
    env.debug.append(line)
    env.debug_chars += len(line) + 1
    return NONE


def _callable(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Whether a value can be called."""
    plain_args("callable", args, kwargs, 1, 1)
    kinds = (FuncObj, NativeObj, BoundObj, TypeObj, ClassObj, ToolObj)
    return Value(isinstance(args[0].data, kinds))


def _sum(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The sum of an iterable's elements, from a start."""
    source, start = bind("sum", args, kwargs, ("iterable", "start"), required=1)
    total = optional(start, Value(0))
    if isinstance(total.data, (str, bytes)):
        kind = "strings" if isinstance(total.data, str) else "bytes"
        join = "''.join(seq)" if isinstance(total.data, str) else "b''.join(seq)"
        fail("TypeError", f"sum() can't sum {kind} [use {join} instead]")
    elements = drain(env, optional(source))
    numbers = [enum_data(element.data) for element in elements]
    mark = env.marks.join(env.deep(optional(source)), env.deep(total))
    first = enum_data(total.data)
    if isinstance(first, (int, float)) and all(isinstance(n, (int, float)) for n in numbers):
        mark = env.marks.join(mark, joined(env, elements))
        env.meter.work(len(numbers) >> 5)
        bits = max((n.bit_length() for n in numbers if isinstance(n, int)), default=0)
        env.meter.integer(bits + len(numbers).bit_length())
        return Value(call_host(sum, (numbers, first)), mark)
    for element in elements:
        env.meter.work(1)
        total = binary(env, "+", total, element)
    return at(env, total, mark)


def _downwards(reverse: Value | None) -> bool:
    """The `reverse` of a sort, which Python takes as an integer."""
    return reverse is not None and bool(index_of(reverse))


def _in_order(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Of the prelude: elements in the order of their keys."""
    plain_args("_in_order", args, kwargs, 3, 3)
    elements, keys = drain(env, args[0]), drain(env, args[1])
    order = order_of(env, keys, reverse=_downwards(args[2]))
    made = list_of(env, [elements[position] for position in order])
    return _shaped(env, made, args)


def _shaped(env: Env, made: Value, args: Args) -> Value:
    """A list whose order derives from all keys and elements."""
    if isinstance(made.data, ListObj):
        made.data.mark = joined(env, args)
    return made


def _sort_list(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Of the prelude: brings a list into the order of its elements' keys."""
    plain_args("_sort_list", args, kwargs, 3, 3)
    target = args[0].data
    if not isinstance(target, ListObj) or target.kind != "list":
        fail("TypeError", f"'{shown_type(target)}' object has no attribute 'sort'")
    keys = drain(env, args[1])
    if len(keys) != len(target.items):
        fail("ValueError", "list modified during sort")
    order = order_of(env, keys, reverse=_downwards(args[2]))
    mark = joined(env, args)
    target.items[:] = [target.items[position] for position in order]
    shape(env, target, mark)
    return NONE


def _extreme(name: str, *, greatest: bool, doc: str) -> Native:
    """`min` or `max` without a key; the prelude does those with one."""

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        for word in kwargs:
            if word not in ("default", "key"):
                fail("TypeError", f"'{word}' is an invalid keyword argument for {name}()")
        if len(args) > 1 and "default" in kwargs:
            message = f"Cannot specify a default for {name}() with multiple positional arguments"
            fail("TypeError", message)
        if not args:
            fail("TypeError", f"{name} expected at least 1 argument, got 0")
        elements = list(args) if len(args) > 1 else drain(env, args[0])
        if not elements:
            default = kwargs.get("default")
            if default is None:
                fail("ValueError", f"{name}() arg is an empty sequence")
            return at(env, default, _outer(env, args))
        position = extreme_of(env, elements, greatest=greatest)
        return at(env, elements[position], joined(env, (*args, *elements)))

    native.__doc__ = doc
    return Native(fn=native, marks="own")


def _outer(env: Env, args: Args) -> Mark:
    mark = NEUTRAL
    for arg in args:
        mark = env.marks.join(mark, own_mark(env, arg))
    return mark


def _extreme_by_key(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Of the prelude: the element with the smallest or greatest key."""
    plain_args("_by_key", args, kwargs, 3, 3)
    elements, keys = drain(env, args[0]), drain(env, args[1])
    position = extreme_of(env, keys, greatest=bool(args[2].data))
    return at(env, elements[position], joined(env, args))


def _number_or_none(value: Value | None) -> int | None:
    return None if value is None or value.data is None else integer(value, 0)


def _islice_bounds(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Of the prelude: start, stop and step of `islice`, checked."""
    plain_args("islice", args, kwargs, 1, 3)
    values = [None, *args] if len(args) == 1 else list(args)
    start, stop, step = (*map(_number_or_none, values), None, None)[:3]
    for name, number in (("Start", start), ("Stop", stop)):
        if number is not None and number < 0:
            message = f"{name} argument for islice() must be None or an integer: "
            fail("ValueError", message + "0 <= x <= sys.maxsize.")
    if step is not None and step < 1:
        fail("ValueError", "Step for islice() must be a positive integer or None.")
    bounds = (Value(start or 0), Value(stop), Value(step or 1))
    return Value(TupleObj(bounds))


def _sorted(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A new list of an iterable's elements in ascending order."""
    source, _, reverse = bind(
        "sorted", args[:1], kwargs, ("iterable", "key", "reverse"), required=1
    )
    plain_args("sorted", args, {}, 1, 1)
    elements = drain(env, optional(source))
    order = order_of(env, elements, reverse=_downwards(reverse))
    made = list_of(env, [elements[position] for position in order])
    if isinstance(made.data, ListObj):
        # Which element comes where derives from all of them.
        made.data.mark = joined(env, (*args, *kwargs.values(), *elements))
    return made


def _sort(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Brings a list into ascending order."""
    plain_args("sort", args[1:], {}, 0, 0)
    _, reverse = bind("sort", (), kwargs, ("key", "reverse"))
    target = args[0].data if args else None
    if not isinstance(target, ListObj) or target.kind != "list":
        fail("TypeError", f"descriptor 'sort' for 'list' doesn't apply to '{shown_type(target)}'")
    order = order_of(env, target.items, reverse=_downwards(reverse))
    mark = joined(env, (*args, *kwargs.values()))
    target.items[:] = [target.items[position] for position in order]
    shape(env, target, mark)
    return NONE


def _any(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Whether some element is true."""
    plain_args("any", args, kwargs, 1, 1)
    moved(env, args[0].data, env.deep(args[0]))
    return Value(any(truth(element.data) for element in iterate(env, args[0])))


def _all(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Whether every element is true."""
    plain_args("all", args, kwargs, 1, 1)
    moved(env, args[0].data, env.deep(args[0]))
    return Value(all(truth(element.data) for element in iterate(env, args[0])))


def _iter(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """An iterator over the elements of a value."""
    plain_args("iter", args, kwargs, 1, 1)
    return make_iter(env, args[0])


def _next(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The next element of an iterator, or a default at its end."""
    plain_args("next", args, kwargs, 1, 2)
    data = args[0].data
    if not isinstance(data, IterObj):
        raise Raise("TypeError", f"'{shown_type(data)}' object is not an iterator")
    element = step(env, data)
    if element is not None:
        return at(env, at(env, element, args[0].mark), data.mark)
    if len(args) > 1:
        return at(env, args[1], env.deep(args[0]))
    raise Raise("StopIteration", "", env.deep(args[0]))


NATIVES: dict[str, Native] = {
    "all": Native(fn=_all),
    "any": Native(fn=_any),
    "iter": Native(fn=_iter, marks="own"),
    "list.sort": Native(fn=_sort, marks="own"),
    "max": _extreme("max", greatest=True, doc="The greatest of some values."),
    "min": _extreme("min", greatest=False, doc="The smallest of some values."),
    "next": Native(fn=_next, marks="own"),
    "sorted": Native(fn=_sorted, marks="own"),
    "abs": _numeric("abs", 1, 1, "Absolute value."),
    "ascii": Native(fn=_ascii),
    "bin": _text_of_number("bin", "An integer in binary."),
    "callable": Native(fn=_callable, marks="own"),
    "chr": Native(fn=_chr),
    "divmod": _numeric("divmod", 2, 2, "Quotient and remainder."),
    "format": Native(fn=_format),
    "hex": _text_of_number("hex", "An integer in hexadecimal."),
    "len": Native(fn=_len),
    "oct": _text_of_number("oct", "An integer in octal."),
    "ord": Native(fn=_ord),
    "pow": Native(fn=_pow),
    "print": Native(fn=_print, marks="own"),
    "repr": Native(fn=_repr),
    "round": Native(fn=_round),
    "sum": Native(fn=_sum, marks="own"),
    "_by_key": Native(fn=_extreme_by_key, marks="own"),
    "_in_order": Native(fn=_in_order, marks="own"),
    "_islice_bounds": Native(fn=_islice_bounds),
    "_sort_list": Native(fn=_sort_list, marks="own"),
}
