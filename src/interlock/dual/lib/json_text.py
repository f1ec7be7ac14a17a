"""Module `json`: reading and writing, bounded in size and depth.

What is read derives from the text: every element gets the text's mark. What is written derives
from all of the value.
"""

import json
import math
from collections.abc import Hashable
from typing import Any

from interlock.dual.errors import LimitExceeded, Raise
from interlock.dual.lib.access import (
    Args,
    Kwargs,
    bind,
    fail,
    joined,
    plain_args,
    room,
    work_on,
)
from interlock.dual.lib.display import repr_text
from interlock.dual.lib.ordering import order_of
from interlock.dual.marks import Mark
from interlock.dual.native import Env, Native
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import Data, DictObj, ListObj, TupleObj, Value

__all__ = ["NATIVES", "read_json", "write_json"]

_MAX_INDENT = 1_000
_LOADS = ("s",)
_LOADS_IGNORED = frozenset(("strict",))


def read_json(env: Env, text: str, mark: Mark) -> Value:
    """The value of a JSON text; every part of it has the mark.

    Raises:
        Raise: JSONDecodeError, as Python words it.
        LimitExceeded: too large, or nested too deeply.
    """
    work_on(env, len(text), 64)
    # Every value but the first has a bracket, comma or colon of its own before it.
    most = text.count(",") + text.count("[") + text.count("{") + text.count(":")
    env.meter.elements(2 * most)
    room(env, len(text), text)
    _check_depth(env, text)

    def number(digits: str) -> int:
        if len(digits) * 3.3 > env.limits.integer_bits:
            env.meter.integer(int((len(digits) - 1) * 3.32))
        return int(digits)

    try:
        found = json.loads(text, parse_int=number)
    except json.JSONDecodeError as error:
        raise Raise("JSONDecodeError", str(error)) from None
    except RecursionError:
        raise _too_deep(env) from None
    return _lifted(found, mark)


def _too_deep(env: Env) -> LimitExceeded:
    return LimitExceeded("recursion", f"JSON nested deeper than {env.limits.nesting} levels")


def _check_depth(env: Env, text: str) -> None:
    """Refuses deep nesting before the host's recursive parser sees it."""
    if text.count("[") + text.count("{") <= env.limits.nesting:
        return
    depth, in_string, skip = 0, False, False
    for char in text:
        if skip:
            skip = False
        elif in_string:
            if char == "\\":
                skip = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            if depth > env.limits.nesting:
                raise _too_deep(env)
        elif char in "]}":
            depth -= 1


def _lifted(data: Any, mark: Mark) -> Value:  # noqa: ANN401 - parsed JSON
    if isinstance(data, dict):
        entries: dict[Hashable, tuple[Value, Value]] = {
            key: (Value(key, mark), _lifted(item, mark)) for key, item in data.items()
        }
        return Value(DictObj(entries), mark)
    if isinstance(data, list):
        return Value(ListObj([_lifted(item, mark) for item in data]), mark)
    return Value(data, mark)


def _loads(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The value of a JSON text."""
    plain_args("loads", args, {}, 1, 1)
    for name in kwargs:
        if name not in _LOADS_IGNORED:
            fail("TypeError", f"loads() option '{name}' is not supported here")
    data = enum_data(args[0].data)
    if isinstance(data, bytes):
        room(env, len(data) * 4)
        try:
            data = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Raise("UnicodeDecodeError", str(error)) from None
    if not isinstance(data, str):
        kind = shown_type(data)
        fail("TypeError", f"the JSON object must be str, bytes or bytearray, not {kind}")
    if data.startswith("\ufeff"):
        message = "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)"
        fail("JSONDecodeError", message)
    return read_json(env, data, joined(env, args))


class _Writer:
    """Writes JSON text, charging each piece before the next is made."""

    def __init__(self, env: Env, options: "_Options") -> None:
        self.env = env
        self.options = options
        self.pieces: list[str] = []
        self.open: set[int] = set()

    def add(self, piece: str) -> None:
        self.env.meter.memory(len(piece) + 8)
        self.pieces.append(piece)
        if not len(self.pieces) & 31:
            self.env.meter.work(1)

    def value(self, data: Data) -> None:
        data = enum_data(data)
        if isinstance(data, (ListObj, TupleObj)) and (
            not isinstance(data, ListObj) or data.kind == "list"
        ):
            self.nested(data, "[", "]", [(None, item.data) for item in data.items])
        elif isinstance(data, DictObj):
            self.nested(data, "{", "}", self.members(data))
        else:
            self.add(self.scalar(data))

    def scalar(self, data: Data) -> str:
        if data is None:
            return "null"
        if isinstance(data, bool):
            return "true" if data else "false"
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, int):
            return str(data)
        if isinstance(data, float):
            return self.float_text(data)
        raise Raise("TypeError", f"Object of type {shown_type(data)} is not JSON serializable")

    def text(self, data: str) -> str:
        self.env.meter.memory(len(data) * (6 if not data.isascii() else 2))
        self.env.meter.work(len(data) >> 10)
        return json.dumps(data, ensure_ascii=self.options.ensure_ascii)

    def float_text(self, data: float) -> str:
        if math.isfinite(data):
            return repr(data)
        if not self.options.allow_nan:
            message = "Out of range float values are not JSON compliant"
            raise Raise("ValueError", message)
        return "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"

    def members(self, data: DictObj) -> list[tuple[str | None, Data]]:
        entries = list(data.entries.values())
        if self.options.sort_keys:
            order = order_of(self.env, [key for key, _ in entries])
            entries = [entries[position] for position in order]
        found: list[tuple[str | None, Data]] = []
        for key, item in entries:
            name = self.key(enum_data(key.data))
            if name is not None:
                found.append((self.text(name), item.data))
        return found

    def key(self, data: Data) -> str | None:
        if isinstance(data, str):
            return data
        if data is None or isinstance(data, (int, float)):
            return self.scalar(data)
        if self.options.skip_keys:
            return None
        message = f"keys must be str, int, float, bool or None, not {shown_type(data)}"
        raise Raise("TypeError", message)

    def nested(
        self, data: Data, opening: str, closing: str, members: list[tuple[str | None, Data]]
    ) -> None:
        if id(data) in self.open:
            raise Raise("ValueError", "Circular reference detected")
        if len(self.open) >= self.env.limits.nesting:
            raise Raise("RecursionError", "maximum recursion depth exceeded")
        if not members:
            self.add(opening + closing)
            return
        self.open.add(id(data))
        indent = self.options.indent
        line = "" if indent is None else "\n" + indent * len(self.open)
        self.add(opening + line)
        for position, (name, item) in enumerate(members):
            if position:
                self.add(self.options.item_separator + line)
            if name is not None:
                self.add(name + self.options.key_separator)
            self.value(item)
        self.open.discard(id(data))
        last = "" if indent is None else "\n" + indent * len(self.open)
        self.add(last + closing)


class _Options:
    """The options of `json.dumps`."""

    def __init__(self) -> None:
        self.ensure_ascii = True
        self.allow_nan = True
        self.sort_keys = False
        self.skip_keys = False
        self.indent: str | None = None
        self.item_separator = ", "
        self.key_separator = ": "

    def read(self, env: Env, kwargs: Kwargs) -> None:
        """Takes over the keywords of a call.

        Raises:
            Raise: TypeError, an option there is not.
        """
        for name, value in kwargs.items():
            match name:
                case "ensure_ascii" | "allow_nan" | "sort_keys":
                    setattr(self, name, bool(value.data))
                case "skipkeys":
                    self.skip_keys = bool(value.data)
                case "indent":
                    self._set_indent(value.data)
                case "separators":
                    self._set_separators(env, value)
                case "check_circular":
                    pass
                case "default" if value.data is None:
                    pass
                case _:
                    fail("TypeError", f"dumps() option '{name}' is not supported here")
        if self.indent is not None and not (kwargs.get("separators") or Value(None)).data:
            self.item_separator = ","

    def _set_indent(self, data: Data) -> None:
        if data is None:
            return
        if isinstance(data, str):
            self.indent = data[:_MAX_INDENT]
        elif isinstance(data, int):
            if data > _MAX_INDENT:
                raise LimitExceeded("memory", f"an indent of more than {_MAX_INDENT} spaces")
            self.indent = " " * data
        else:
            kind = shown_type(data)
            fail("TypeError", f"can't multiply sequence by non-int of type '{kind}'")

    def _set_separators(self, env: Env, value: Value) -> None:
        data = value.data
        if data is None:
            return
        items = data.items if isinstance(data, (TupleObj, ListObj)) else ()
        texts = [item.data for item in items if isinstance(item.data, str)]
        if len(texts) != 2:
            fail("TypeError", f"separators must be two strings, not {repr_text(env, data)[:100]}")
        self.item_separator, self.key_separator = texts


def write_json(env: Env, data: Data, kwargs: Kwargs) -> str:
    """The JSON text of a value.

    Raises:
        Raise: TypeError or ValueError, as Python words it.
    """
    options = _Options()
    options.read(env, kwargs)
    writer = _Writer(env, options)
    writer.value(data)
    return "".join(writer.pieces)


def _dumps(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The JSON text of a value."""
    positional = {name: value for name, value in kwargs.items() if name != "obj"}
    (value,) = bind(
        "dumps", args, {"obj": kwargs["obj"]} if "obj" in kwargs else {}, ("obj",), required=1
    )
    data = None if value is None else value.data
    return Value(write_json(env, data, positional))


NATIVES: dict[str, Native] = {
    "_json_text": Native(fn=_dumps),
    "json.dumps": Native(fn=_dumps),
    "json.loads": Native(fn=_loads, marks="own"),
}
