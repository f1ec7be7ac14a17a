"""Built-in types called as functions: `int("3")`, `list(x)`, `dict(a=1)`."""

from typing import Any

from interlock.dual.errors import Raise
from interlock.dual.lib.access import (
    Args,
    Kwargs,
    bind,
    call_host,
    drain,
    fail,
    index_of,
    optional,
    plain_args,
    room,
    work_on,
)
from interlock.dual.lib.byte_strings import codec_arguments
from interlock.dual.lib.display import str_text
from interlock.dual.lib.mappings import count_into, new_dict, update_from
from interlock.dual.lib.sequences import shape
from interlock.dual.lib.set_methods import new_set
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.native import Env, Native
from interlock.dual.ops.types import enum_data, shown_type, truth
from interlock.dual.values import (
    DictObj,
    FuncObj,
    HeapObj,
    ListObj,
    RangeObj,
    SetObj,
    TupleObj,
    Value,
)

__all__ = ["NATIVES"]


def own_mark(env: Env, value: Value) -> Mark:
    """The mark of a container without its elements."""
    data = value.data
    return env.marks.join(value.mark, data.mark) if isinstance(data, HeapObj) else value.mark


def _bool(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Whether a value is true."""
    plain_args("bool", args, kwargs, 0, 1)
    return Value(truth(args[0].data) if args else False)


def _int(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """An integer from a number, or from digits in a base."""
    value, base = bind("int", args, kwargs, ("x", "base"))
    if value is None:
        if base is not None:
            fail("TypeError", "int() missing string argument")
        return Value(0)
    data = enum_data(value.data)
    if isinstance(data, (str, bytes)):
        radix = 10 if base is None else index_of(base)
        bits = {2: 1, 8: 3, 16: 4}.get(radix, 3.3 if radix == 10 else 5.2)
        if len(data) * bits > env.limits.integer_bits:
            # Spaces and leading zeros are no digits.
            digits = data.strip()
            digits = digits.lstrip("+-0") if isinstance(digits, str) else digits.lstrip(b"+-0")
            env.meter.integer(int(len(digits) * bits))
            work_on(env, len(data), 512)
        given = (data,) if base is None else (data, radix)
        return Value(call_host(int, given))
    if base is not None:
        fail("TypeError", "int() can't convert non-string with explicit base")
    if isinstance(data, (int, float)):
        return Value(call_host(int, (data,)))
    kind = shown_type(data)
    raise Raise(
        "TypeError",
        f"int() argument must be a string, a bytes-like object or a real number, not '{kind}'",
    )


def _float(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A float from a number or its text."""
    plain_args("float", args, kwargs, 0, 1)
    if not args:
        return Value(0.0)
    data = enum_data(args[0].data)
    if isinstance(data, (str, bytes)):
        work_on(env, len(data), 512)
        return Value(call_host(float, (data,)))
    if isinstance(data, (int, float)):
        return Value(call_host(float, (data,)))
    kind = shown_type(data)
    raise Raise("TypeError", f"float() argument must be a string or a real number, not '{kind}'")


def _str(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The text of a value, or bytes decoded."""
    value, encoding, errors = bind("str", args, kwargs, ("object", "encoding", "errors"))
    if value is None:
        return Value("")
    if encoding is None and errors is None:
        return Value(str_text(env, value.data))
    if not isinstance(value.data, bytes):
        kind = shown_type(value.data)
        fail("TypeError", f"decoding to str: need a bytes-like object, {kind} found")
    name, handler = codec_arguments(encoding, errors)
    room(env, len(value.data) * 4)
    return Value(call_host(bytes.decode, (value.data, name, handler)))


def _bytes(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Bytes from text and an encoding, from integers, or so many zeros."""
    value, encoding, errors = bind("bytes", args, kwargs, ("source", "encoding", "errors"))
    if value is None:
        return Value(b"")
    data = value.data
    if isinstance(data, str):
        if encoding is None:
            fail("TypeError", "string argument without an encoding")
        name, handler = codec_arguments(encoding, errors)
        room(env, len(data) * 12)
        return Value(call_host(str.encode, (data, name, handler)))
    if isinstance(data, bytes):
        return value
    if isinstance(data, int):
        room(env, max(0, data))
        return Value(call_host(bytes, (int(data),)))
    numbers = [index_of(element) for element in drain(env, value)]
    return Value(call_host(bytes, (numbers,)))


def _list(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A new list of the elements of an iterable."""
    plain_args("list", args, kwargs, 0, 1)
    if not args:
        return Value(ListObj([]))
    made = ListObj(drain(env, args[0]))
    made.mark = own_mark(env, args[0])
    return Value(made)


def _tuple(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A tuple of the elements of an iterable."""
    plain_args("tuple", args, kwargs, 0, 1)
    if not args:
        return Value(TupleObj(()))
    if isinstance(args[0].data, TupleObj) and args[0].data.cls is None:
        return args[0]
    made = TupleObj(tuple(drain(env, args[0])))
    made.mark = own_mark(env, args[0])
    return Value(made)


def _dict(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A dict from another, from pairs, and from keywords."""
    plain_args("dict", args, {}, 0, 1)
    return _filled(env, new_dict(), args[0] if args else None, kwargs)


def _filled(env: Env, made: Value, source: Value | None, kwargs: Kwargs) -> Value:
    if isinstance(made.data, DictObj):
        update_from(env, made, made.data, source, kwargs)
    return made


def _ordered_dict(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A dict whose order counts when two are compared."""
    plain_args("OrderedDict", args, {}, 0, 1)
    made = new_dict("collections.OrderedDict")
    return _filled(env, made, args[0] if args else None, kwargs)


def _default_dict(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A dict that makes the items of missing keys by calling a factory."""
    plain_args("defaultdict", args, {}, 0, 2)
    factory = args[0] if args and args[0].data is not None else None
    if factory is not None and not _callable(factory):
        fail("TypeError", "first argument must be callable or None")
    made = new_dict("collections.defaultdict", factory)
    return _filled(env, made, args[1] if len(args) > 1 else None, kwargs)


def _callable(value: Value) -> bool:
    data = value.data
    return isinstance(data, FuncObj) or (
        isinstance(data, HeapObj)
        and type(data).__name__ in ("NativeObj", "BoundObj", "TypeObj", "ClassObj", "ToolObj")
    )


def _counter(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A dict of counts, of the elements of an iterable or as given."""
    plain_args("Counter", args, {}, 0, 1)
    made = new_dict("collections.Counter")
    count_into(env, made, args, kwargs, sign=1)
    return made


def _deque(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A list that is used at both ends, of at most `maxlen` elements."""
    source, most = bind("deque", args, kwargs, ("iterable", "maxlen"))
    bound: int | None = None
    if most is not None and most.data is not None:
        bound = index_of(most, "an integer is required")
        if bound < 0:
            fail("ValueError", "maxlen must be non-negative")
    items = drain(env, source) if source is not None else []
    if bound is not None:
        items = items[max(0, len(items) - bound) :] if bound else []
    made = ListObj(items, "collections.deque", bound)
    mark = NEUTRAL if source is None else own_mark(env, source)
    shape(env, made, env.marks.join(mark, optional(most).mark))
    return Value(made)


def _set(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A set of the elements of an iterable."""
    plain_args("set", args, kwargs, 0, 1)
    return _new_set(env, args, frozen=False)


def _frozenset(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A set that cannot be changed, of the elements of an iterable."""
    plain_args("frozenset", args, kwargs, 0, 1)
    return _new_set(env, args, frozen=True)


def _new_set(env: Env, args: Args, *, frozen: bool) -> Value:
    made = new_set(env, drain(env, args[0]) if args else [], frozen=frozen)
    if args and isinstance(made.data, SetObj):
        made.data.mark = own_mark(env, args[0])
    return made


def _range(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Integers from a start to before a stop, by a step."""
    plain_args("range", args, kwargs, 1, 3)
    numbers = [index_of(arg) for arg in args]
    made: Any = call_host(range, numbers)
    if max(abs(made.start), abs(made.stop), abs(made.step)) >= 2**62:
        # The host counts the elements of a range with machine words.
        fail("OverflowError", "Python int too large to convert to C ssize_t")
    return Value(RangeObj(made))


NATIVES: dict[str, Native] = {
    "bool": Native(fn=_bool),
    "bytes": Native(fn=_bytes),
    "collections.Counter": Native(fn=_counter, marks="own"),
    "collections.OrderedDict": Native(fn=_ordered_dict, marks="own"),
    "collections.defaultdict": Native(fn=_default_dict, marks="own"),
    "collections.deque": Native(fn=_deque, marks="own"),
    "dict": Native(fn=_dict, marks="own"),
    "float": Native(fn=_float),
    "frozenset": Native(fn=_frozenset, marks="own"),
    "int": Native(fn=_int),
    "list": Native(fn=_list, marks="own"),
    "range": Native(fn=_range),
    "set": Native(fn=_set, marks="own"),
    "str": Native(fn=_str),
    "tuple": Native(fn=_tuple, marks="own"),
}
