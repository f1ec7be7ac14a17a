"""What a planner is shown of variables (6.2, `context_var_visibility`).

Always names and types. Values only as far as the level says; at `none` no byte of any value.
A type's name is shown only when it is a built-in's or stands in a program the planner wrote.

Source: gateway.md 6.2.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

from interlock.dual.errors import LimitExceeded
from interlock.dual.marks import MarkTable
from interlock.dual.ops.types import display_name, type_name
from interlock.dual.turn.config import Visibility
from interlock.dual.values import (
    DictObj,
    ListObj,
    NativeObj,
    RangeObj,
    SetObj,
    ToolObj,
    TupleObj,
    TypeObj,
    Value,
    deep,
)

__all__ = ["identifiers", "shown_name", "variable_lines", "visible"]

Plain: TypeAlias = Callable[[Value], tuple[Any, str]]
"""Plain data of a value, and its type's name: `dual.plain.plain`."""

_VALUE_CHARS: Final = 1_000
_MAX_VARIABLES: Final = 200
_MAX_NODES: Final = 2_000
_WORD = re.compile(r"\w+")
_BUILTIN_TYPES: Final = frozenset(
    {
        "NoneType", "bool", "int", "float", "str", "bytes", "list", "tuple", "dict", "set",
        "frozenset", "range", "function", "module", "type", "method", "generator", "ellipsis",
        "datetime", "date", "time", "timedelta", "timezone", "Counter", "defaultdict",
        "OrderedDict", "deque", "Pattern", "Match", "dict_keys", "dict_values", "dict_items",
        "builtin_function_or_method", "Ok", "Err",
    }
)  # fmt: skip


def identifiers(*sources: str) -> frozenset[str]:
    """All words of programs: what a planner has written itself."""
    return frozenset(word for source in sources for word in _WORD.findall(source))


def shown_name(name: str, known: Collection[str], *, otherwise: str) -> str:
    """A name that may be shown: a planner's own word; else the given one."""
    return name if name in known else otherwise


def variable_lines(
    names: Mapping[str, Value],
    *,
    marks: MarkTable,
    level: Visibility,
    known: Collection[str],
    plain: Plain,
) -> tuple[list[str], list[str]]:
    """One line per variable, twice: without any value, and with those the level shows."""
    bare, full = [], []
    for name, value in list(names.items())[:_MAX_VARIABLES]:
        if isinstance(value.data, ToolObj | NativeObj | TypeObj):
            continue
        kind = shown_type(display_name(type_name(value.data)), known)
        line = f"- {name}: {kind}"
        bare.append(line)
        if level != "none" and kind not in {"function", "module", "type"}:
            line += _shown(value, marks, level, plain)
        full.append(line)
    return bare, full


def visible(value: Value, marks: MarkTable, level: Visibility) -> bool:
    """Whether the planner may see the value itself."""
    if level in {"none", "all"}:
        return level == "all"
    if level != "all-executable" and not _is_basic(value, text=level != "basic-notext"):
        return False
    tagged = deep(marks, value).labels.tags.contains("__non_executable")
    return level == "basic-notext" or not tagged


def shown_type(name: str, known: Collection[str]) -> str:
    """A type's name if it may be shown, else `object`."""
    return name if name in _BUILTIN_TYPES else shown_name(name, known, otherwise="object")


def _shown(value: Value, marks: MarkTable, level: Visibility, plain: Plain) -> str:
    if not visible(value, marks, level):
        return ""
    try:
        text = json.dumps(plain(value)[0], ensure_ascii=False)
    except LimitExceeded:
        return " (too large to show)"
    if len(text) > _VALUE_CHARS:
        text = f"{text[:_VALUE_CHARS]}... ({len(text)} characters)"
    return f" = {text}"


def _is_basic(value: Value, *, text: bool) -> bool:
    """Whether it is a number, a truth value, None, text if wanted, or a container of such."""
    open_values = [value]
    seen = 0
    while open_values:
        seen += 1
        data = open_values.pop().data
        if data is None or isinstance(data, bool | int | float) or (text and isinstance(data, str)):
            continue
        if seen > _MAX_NODES:
            return False
        match data:
            case RangeObj():
                continue
            case ListObj() | TupleObj() if not isinstance(data, TupleObj) or data.cls is None:
                open_values.extend(data.held())
            case SetObj() | DictObj():
                open_values.extend(data.held())
            case _:
                return False
    return True
