"""Between values of a program and plain JSON data: arguments out, results in, answers."""

import base64
import datetime as dt
import math
from typing import Any

from interlock.dual.errors import LimitExceeded, Raise
from interlock.dual.limits import ELEMENT_BYTES, Limits, Meter
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.ops.types import display_name, enum_data, type_name
from interlock.dual.values import (
    ClassObj,
    Data,
    DictObj,
    HeapObj,
    InstanceObj,
    IterObj,
    ListObj,
    RangeObj,
    SetObj,
    TupleObj,
    Value,
)

__all__ = ["json_data", "lift", "plain"]

_DEPTH = 200


def plain(value: Value, meter: Meter | None = None) -> tuple[Any, str]:
    """JSON data for a value of any kind, and its Python type name.

    Date and time become ISO 8601, sets sorted lists, models dicts, bytes base64; whatever has no
    JSON form becomes a short description.

    Raises:
        LimitExceeded: shared parts written out are larger than memory allows.
    """
    meter = meter or Meter(Limits())
    return _Plain(meter, strict=False).data(value.data, 0), display_name(type_name(value.data))


def json_data(value: Value, meter: Meter) -> Any:  # noqa: ANN401 - JSON
    """A snapshot of a value as an argument of a tool.

    Raises:
        Raise: `TypeError`, it has no JSON form; `RecursionError`, it is nested too deeply.
        LimitExceeded: too large.
    """
    return _Plain(meter, strict=True).data(value.data, 0)


class _Plain:
    """One conversion; depth is bounded, size is charged."""

    def __init__(self, meter: Meter, *, strict: bool) -> None:
        self.meter = meter
        self.strict = strict
        self.open: set[int] = set()
        self.size_bytes = 0
        """Of the data made so far: shared parts are written out each time."""

    def data(self, data: Data, depth: int) -> Any:  # noqa: ANN401 - JSON
        if not isinstance(data, HeapObj):
            return self.scalar(data)
        if depth > _DEPTH or id(data) in self.open:
            if self.strict:
                raise Raise("ValueError", "the argument refers to itself or is nested too deeply")
            return "..."
        self.open.add(id(data))
        try:
            return self.heap(data, depth + 1)
        finally:
            self.open.discard(id(data))

    def charge(self, count: int) -> None:
        self.grow(count * ELEMENT_BYTES)
        self.meter.work(1 + (count >> 4))

    def grow(self, size_bytes: int) -> None:
        self.size_bytes += size_bytes
        if self.size_bytes > self.meter.limits.memory_bytes:
            raise LimitExceeded("memory", "the value written out needs too much memory")

    def scalar(self, data: Data) -> Any:  # noqa: ANN401 - JSON
        if isinstance(data, float) and not math.isfinite(data):
            if self.strict:
                raise Raise("ValueError", "NaN and infinite numbers are not JSON")
            return str(data)
        if data is None or isinstance(data, bool | int | float):
            return data
        if isinstance(data, str):
            self.grow(len(data))
            return data
        if isinstance(data, dt.datetime | dt.date | dt.time):
            return data.isoformat()
        if isinstance(data, bytes):
            return base64.b64encode(data).decode("ascii")
        if isinstance(data, dt.timedelta | dt.timezone):
            return str(data)
        return self.other(data)

    def other(self, data: Data) -> str:
        name = display_name(type_name(data))
        if self.strict:
            raise Raise("TypeError", f"Object of type {name} is not JSON serializable")
        return f"<{name}>"

    def heap(self, data: HeapObj, depth: int) -> Any:  # noqa: ANN401 - JSON
        match data:
            case ListObj() | TupleObj():
                self.charge(len(data.items))
                return [self.data(item.data, depth) for item in data.items]
            case DictObj():
                self.charge(2 * len(data.entries))
                return {
                    self.key(key.data): self.data(item.data, depth)
                    for key, item in data.entries.values()
                }
            case SetObj():
                self.charge(len(data.entries))
                items = [self.data(item.data, depth) for item in data.entries.values()]
                return sorted(items, key=lambda item: (str(type(item)), str(item)))
            case RangeObj():
                self.charge(len(data.span))
                return list(data.span)
            case InstanceObj():
                cls = data.cls
                if isinstance(cls, ClassObj) and cls.kind == "enum":
                    return self.data(data.fields["value"].data, depth)
                self.charge(2 * len(data.fields))
                return {name: self.data(item.data, depth) for name, item in data.fields.items()}
            case IterObj() if not self.strict:
                return self.other(data)
        return self.other(data)

    def key(self, data: Data) -> str:
        """As `json.dumps` writes keys."""
        inner = enum_data(data)
        if isinstance(inner, str):
            return inner
        if inner is None or isinstance(inner, bool):
            return {None: "null", True: "true", False: "false"}[inner]
        if isinstance(inner, int | float):
            return str(inner)
        if isinstance(inner, dt.datetime | dt.date | dt.time):
            return inner.isoformat()
        if self.strict:
            name = display_name(type_name(inner))
            raise Raise("TypeError", f"keys must be str, int, float, bool or None, not {name}")
        return str(self.data(inner, _DEPTH))


def lift(data: Any, mark: Mark = NEUTRAL, meter: Meter | None = None) -> Value:  # noqa: ANN401 - JSON
    """A value for plain JSON data, the mark on every part of it.

    Depth does not matter: nothing here recurses.

    Raises:
        LimitExceeded: it is larger than memory allows, or holds an integer that is too long.
    """
    result: list[Value] = []
    stack: list[tuple[Any, Any]] = [(data, result)]
    while stack:
        source, into = stack.pop()
        made = _shell(source, mark, meter)
        if isinstance(into, list):
            into.append(made)
        else:
            entries, key = into
            entries[key] = (Value(key, mark), made)
        inner = made.data
        if isinstance(inner, ListObj):
            stack.extend((item, inner.items) for item in reversed(source))
        elif isinstance(inner, DictObj):
            pairs = [(str(key), item) for key, item in source.items()]
            for key, _ in pairs:
                inner.entries[key] = (made, made)
            stack.extend((item, (inner.entries, key)) for key, item in reversed(pairs))
    return result[0]


def _shell(source: Any, mark: Mark, meter: Meter | None) -> Value:  # noqa: ANN401 - JSON
    if isinstance(source, dict):
        if meter is not None:
            meter.elements(2 * len(source) + 1)
        return Value(DictObj({}), mark)
    if isinstance(source, list | tuple):
        if meter is not None:
            meter.elements(len(source) + 1)
        return Value(ListObj([]), mark)
    if isinstance(source, str):
        if meter is not None:
            meter.memory(len(source) * (1 if source.isascii() else 4))
        return Value(source, mark)
    if isinstance(source, int) and not isinstance(source, bool) and meter is not None:
        meter.integer(source.bit_length())
    if source is None or isinstance(source, bool | int | float | dt.datetime | dt.date):
        return Value(source, mark)
    return Value(str(source), mark)
