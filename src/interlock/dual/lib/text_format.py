"""`str.format`, `str.format_map` and `%` over values.

Replacement fields reach data only: `{0[key]}` items of lists, tuples and dicts, `{0.name}` fields
of the program's own records. No attribute of a type, no method, nothing of the host.
"""

from collections.abc import Callable, Mapping, Sequence

from interlock.dual.errors import Raise
from interlock.dual.lib.access import fail, fail_key, room
from interlock.dual.lib.display import convert, format_text
from interlock.dual.lib.formats import (
    FieldName,
    FormatError,
    PercentSource,
    field_name,
    percent_pieces,
    template_pieces,
)
from interlock.dual.native import Env
from interlock.dual.ops.compare import key_of_data
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import (
    SCALARS,
    Data,
    DictObj,
    InstanceObj,
    ListObj,
    TupleObj,
    Value,
)

__all__ = ["format_percent", "format_template"]

_MAX_DEPTH = 2


def format_template(
    env: Env, template: str, args: Sequence[Value], lookup: Callable[[str], Value | None]
) -> str:
    """`template.format(*args, **kwargs)`; `lookup` finds a keyword.

    Raises:
        Raise: as Python words it.
    """
    try:
        return _Template(env, args, lookup).text(template, _MAX_DEPTH)
    except FormatError as error:
        raise Raise(error.type_name, error.message) from None


class _Template:
    def __init__(
        self, env: Env, args: Sequence[Value], lookup: Callable[[str], Value | None]
    ) -> None:
        self.env = env
        self.args = args
        self.lookup = lookup
        self.next_index = 0
        self.numbered: bool | None = None

    def text(self, template: str, depth: int) -> str:
        if depth < 0:
            fail("ValueError", "Max string recursion exceeded")
        env = self.env
        env.meter.work(len(template) >> 6)
        parts = []
        for piece in template_pieces(template):
            parts.append(piece.literal)
            if piece.field is None:
                continue
            data = self.value(piece.field).data
            if piece.conversion is not None:
                data = convert(env, data, piece.conversion)
            spec = self.text(piece.spec, depth - 1) if "{" in piece.spec else piece.spec
            part = format_text(env, data, spec)
            room(env, len(part), part)
            parts.append(part)
        env.meter.memory(len(template))
        return "".join(parts)

    def value(self, field: str) -> Value:
        name = field_name(field)
        first = name.first
        if first == "" or isinstance(first, int):
            found = self.positional(first)
        else:
            keyword = self.lookup(str(first))
            if keyword is None:
                fail_key(Value(first))
            found = keyword
        return self.follow(found, name)

    def positional(self, first: int | str) -> Value:
        numbered = first != ""
        if self.numbered is not None and self.numbered is not numbered:
            modes = ("manual field specification", "automatic field numbering")
            old, new = modes if self.numbered else modes[::-1]
            fail("ValueError", f"cannot switch from {old} to {new}")
        self.numbered = numbered
        if not numbered:
            first, self.next_index = self.next_index, self.next_index + 1
        index = int(first)
        if index >= len(self.args):
            fail(
                "IndexError",
                f"Replacement index {index} out of range for positional args tuple",
            )
        return self.args[index]

    def follow(self, value: Value, name: FieldName) -> Value:
        for is_attribute, step in name.path:
            value = _attribute(value, str(step)) if is_attribute else self.item(value, step)
        return value

    def item(self, value: Value, key: int | str) -> Value:
        data = value.data
        match data:
            case ListObj() | TupleObj():
                if not isinstance(key, int):
                    kind = shown_type(data)
                    fail("TypeError", f"{kind} indices must be integers or slices, not str")
                if key >= len(data.items):
                    fail("IndexError", f"{shown_type(data)} index out of range")
                return data.items[key]
            case DictObj():
                entry = data.entries.get(key_of_data(self.env, key))
                if entry is None:
                    fail_key(Value(key))
                return entry[1]
            case str():
                if not isinstance(key, int):
                    fail("TypeError", "string indices must be integers, not 'str'")
                if key >= len(data):
                    fail("IndexError", "string index out of range")
                return Value(data[key])
        raise Raise("TypeError", f"'{shown_type(data)}' object is not subscriptable")


def _attribute(value: Value, name: str) -> Value:
    data = value.data
    if not name.startswith("_"):
        if isinstance(data, InstanceObj) and name in data.fields:
            return data.fields[name]
        if isinstance(data, TupleObj) and data.cls is not None and name in data.cls.fields:
            return data.items[list(data.cls.fields).index(name)]
        found = _read_scalar(data, name)
        if found is not None:
            return found
    raise Raise("AttributeError", f"'{shown_type(data)}' object has no attribute '{name}'")


_READABLE: Mapping[str, frozenset[str]] = {
    "datetime": frozenset(("year", "month", "day", "hour", "minute", "second", "microsecond")),
    "date": frozenset(("year", "month", "day")),
    "time": frozenset(("hour", "minute", "second", "microsecond")),
    "timedelta": frozenset(("days", "seconds", "microseconds")),
}


def _read_scalar(data: Data, name: str) -> Value | None:
    """A part of a date value."""
    if type(data) in SCALARS and name in _READABLE.get(type(data).__name__, ()):
        part = getattr(data, name)
        return Value(int(part))
    return None


def format_percent(env: Env, template: str, right: Value) -> str:
    """`template % right`.

    Raises:
        Raise: as Python words it.
    """
    data = right.data
    is_tuple = isinstance(data, TupleObj)
    values: Sequence[Value] = data.items if isinstance(data, TupleObj) else (right,)
    used = 0

    def following() -> Value:
        nonlocal used
        if used >= len(values):
            raise FormatError("TypeError", "not enough arguments for format string")
        used += 1
        return values[used - 1]

    def keyed(key: str) -> Value:
        nonlocal used
        used = len(values)
        if not isinstance(data, DictObj):
            raise FormatError("TypeError", "format requires a mapping")
        entry = data.entries.get(key)
        if entry is None:
            fail_key(Value(key))
        return entry[1]

    def scalar(value: object) -> object:
        inner = enum_data(value.data) if isinstance(value, Value) else None
        return inner if isinstance(inner, (int, float, str)) else None

    source = PercentSource(
        next=following,
        keyed=keyed,
        text=lambda value, kind: convert(env, value.data, kind) if isinstance(value, Value) else "",
        type_name=lambda value: shown_type(value.data) if isinstance(value, Value) else "",
        checked=lambda size: room(env, size, "é"),
        scalar=scalar,
    )
    env.meter.work(len(template) >> 6)
    try:
        pieces = percent_pieces(template, source)
    except FormatError as error:
        raise Raise(error.type_name, error.message) from None
    if used < len(values) and (is_tuple or not isinstance(data, (DictObj, ListObj))):
        fail("TypeError", "not all arguments converted during string formatting")
    return "".join(pieces)
