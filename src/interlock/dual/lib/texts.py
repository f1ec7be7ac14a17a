"""Modules `string` and `typing`, `%` of strings, and `collections` besides the types."""

import string
from collections.abc import Hashable, Mapping

from interlock.dual.errors import Raise
from interlock.dual.lib.access import (
    Args,
    Kwargs,
    bind,
    drain,
    fail,
    joined,
    optional,
    plain_args,
    room,
    work_on,
)
from interlock.dual.lib.text_format import format_percent
from interlock.dual.native import Env, Native
from interlock.dual.ops.types import shown_type
from interlock.dual.values import (
    ClassObj,
    DictObj,
    TypeExpr,
    Value,
)

__all__ = ["CONSTANTS", "MARKERS", "NATIVES"]

CONSTANTS: Mapping[str, str] = {
    "string.ascii_letters": string.ascii_letters,
    "string.ascii_lowercase": string.ascii_lowercase,
    "string.ascii_uppercase": string.ascii_uppercase,
    "string.digits": string.digits,
    "string.hexdigits": string.hexdigits,
    "string.octdigits": string.octdigits,
    "string.printable": string.printable,
    "string.punctuation": string.punctuation,
    "string.whitespace": string.whitespace,
}
MARKERS = (
    "Annotated",
    "Any",
    "Callable",
    "ClassVar",
    "DefaultDict",
    "Dict",
    "Final",
    "FrozenSet",
    "Iterable",
    "Iterator",
    "List",
    "Literal",
    "Mapping",
    "MutableMapping",
    "NoReturn",
    "Optional",
    "Sequence",
    "Set",
    "Tuple",
    "Type",
    "Union",
)
"""Names of `typing` that annotations are made of."""
_MAX_FIELDS = 200


def _capwords(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A text with every word capitalised and single spaces between them."""
    text, sep = bind("capwords", args, kwargs, ("s", "sep"), required=1)
    data, separator = optional(text).data, optional(sep).data
    if not isinstance(data, str) or not (separator is None or isinstance(separator, str)):
        raise Raise("TypeError", f"capwords() argument must be str, not {shown_type(data)}")
    room(env, 3 * len(data), data)
    work_on(env, len(data), 64)
    try:
        return Value(string.capwords(data, separator))
    except ValueError as error:
        raise Raise("ValueError", str(error)) from None


def _cast(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The value unchanged; says its type to the reader."""
    plain_args("cast", args, kwargs, 2, 2)
    return args[1]


def _percent(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Fills the `%` directives of a text."""
    template = args[0].data
    if not isinstance(template, str):
        raise Raise("TypeError", f"unsupported operand type for %: '{shown_type(template)}'")
    return Value(format_percent(env, template, args[1]))


def _percent_bytes(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Refused: bytes are not formatted here."""
    raise Raise("TypeError", "formatting bytes with % is not supported here")


def _named_tuple(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A class of tuples whose elements have names."""
    names = ("typename", "field_names", "rename", "defaults", "module")
    title, given, _, defaults, _ = bind("namedtuple", args, kwargs, names, required=2)
    name = optional(title).data
    if not isinstance(name, str):
        raise Raise("TypeError", "namedtuple() needs the name of the type")
    fields = _field_names(env, optional(given))
    for field in (name, *fields):
        if not field.isidentifier():
            message = f"Type names and field names must be valid identifiers: {field!r}"
            fail("ValueError", message)
        if field.startswith("_") and field is not name:
            fail("ValueError", f"Field names cannot start with an underscore: {field!r}")
    if len(set(fields)) < len(fields):
        twice = next(field for field in fields if fields.count(field) > 1)
        fail("ValueError", f"Encountered duplicate field name: {twice!r}")
    last = drain(env, defaults) if defaults is not None and defaults.data is not None else []
    if len(last) > len(fields):
        fail("TypeError", "Got more default values than field names")
    without = len(fields) - len(last)
    made = {
        field: (Value(TypeExpr("Any")), last[position - without] if position >= without else None)
        for position, field in enumerate(fields)
    }
    return Value(ClassObj(name, "namedtuple", None, made))


def _field_names(env: Env, given: Value) -> list[str]:
    if isinstance(given.data, str):
        fields = given.data.replace(",", " ").split()
    else:
        fields = []
        for element in drain(env, given):
            if not isinstance(element.data, str):
                raise Raise("TypeError", "field names must be strings")
            fields.append(element.data)
    if len(fields) > _MAX_FIELDS:
        raise Raise("ValueError", f"more than {_MAX_FIELDS} field names are not supported here")
    return fields


# arithmetic of counters


def _count(env: Env, value: Value | None) -> float:
    data = 0 if value is None else value.data
    if isinstance(data, (int, float)):
        if isinstance(data, int):
            env.meter.integer(data.bit_length() + 1)
        return data
    raise Raise("TypeError", f"unsupported operand type for counts: '{shown_type(data)}'")


def _counter_operator(symbol: str, doc: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        left, right = args[0].data, args[1].data
        if not isinstance(left, DictObj) or not isinstance(right, DictObj):
            kinds = f"'{shown_type(left)}' and '{shown_type(right)}'"
            raise Raise("TypeError", f"unsupported operand type(s) for {symbol}: {kinds}")
        return _combined(env, symbol, left, right)

    native.__doc__ = doc
    return Native(fn=native)


def _combined(env: Env, symbol: str, left: DictObj, right: DictObj) -> Value:
    entries: dict[Hashable, tuple[Value, Value]] = {}
    env.meter.elements(2 * (len(left.entries) + len(right.entries)))
    env.meter.work((len(left.entries) + len(right.entries)) >> 3)
    for filed, (key, _) in {**left.entries, **right.entries}.items():
        a = _count(env, left.entries[filed][1] if filed in left.entries else None)
        b = _count(env, right.entries[filed][1] if filed in right.entries else None)
        count = {"+": a + b, "-": a - b, "|": max(a, b), "&": min(a, b)}[symbol]
        if count > 0:
            parts = [found.entries[filed][1] for found in (left, right) if filed in found.entries]
            entries[filed] = (key, Value(count, joined(env, parts)))
    return Value(DictObj(entries, "collections.Counter"))


def _counter_sign(symbol: str, doc: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        data = args[0].data
        if not isinstance(data, DictObj):
            raise Raise("TypeError", f"bad operand type for unary {symbol}")
        empty = DictObj({}, "collections.Counter")
        pair = (data, empty) if symbol == "+" else (empty, data)
        return _combined(env, symbol, *pair)

    native.__doc__ = doc
    return Native(fn=native)


NATIVES: dict[str, Native] = {
    "bytes.%": Native(fn=_percent_bytes),
    "collections.Counter.&": _counter_operator("&", "The smaller of both counts."),
    "collections.Counter.+": _counter_operator("+", "The sums of counts, those above zero."),
    "collections.Counter.-": _counter_operator("-", "The differences, those above zero."),
    "collections.Counter.unary+": _counter_sign("+", "The counts above zero."),
    "collections.Counter.unary-": _counter_sign("-", "Counts below zero, made positive."),
    "collections.Counter.|": _counter_operator("|", "The greater of both counts."),
    "collections.namedtuple": Native(fn=_named_tuple),
    "str.%": Native(fn=_percent),
    "string.capwords": Native(fn=_capwords),
    "typing.cast": Native(fn=_cast, marks="own"),
}
