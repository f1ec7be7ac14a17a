"""Sorts, joins and takes apart lists."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]

_List = Sequence[Any]


def _same(value: object) -> str:
    """Equal JSON, equal text: 1 and true differ."""
    return json.dumps(value, sort_keys=True)


def _unique(items: _List, other: _List) -> list[Any]:
    del other
    seen: dict[str, Any] = {}
    for one in items:
        seen.setdefault(_same(one), one)
    return list(seen.values())


def _union(items: _List, other: _List) -> list[Any]:
    return _unique([*items, *other], [])


def _both(items: _List, other: _List) -> list[Any]:
    known = {_same(one) for one in other}
    return _unique([one for one in items if _same(one) in known], [])


def _only(items: _List, other: _List) -> list[Any]:
    known = {_same(one) for one in other}
    return _unique([one for one in items if _same(one) not in known], [])


def _key(value: object) -> tuple[int, float, str]:
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, bool):
        return (1, float(value), "")
    if isinstance(value, int | float):
        return (2, float(value), "")
    return (3, 0.0, value if isinstance(value, str) else _same(value))


def _flat(items: _List, other: _List) -> list[Any]:
    del other
    found: list[Any] = []
    for one in items:
        found += one if isinstance(one, list) else [one]
    return found


_OPERATIONS: Final[Mapping[str, Callable[[_List, _List], list[Any]]]] = {
    "unique": _unique,
    "sort": lambda items, _: sorted(items, key=_key),
    "reverse": lambda items, _: list(reversed(items)),
    "flatten": _flat,
    "union": _union,
    "intersection": _both,
    "difference": _only,
}


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    operation, items = arguments["operation"], arguments["items"]
    if operation == "chunk":
        size = arguments.get("size")
        if size is None:
            raise ToolFailure("invalid_arguments", "`chunk` needs a `size`")
        result = [list(items[at : at + size]) for at in range(0, len(items), size)]
    elif operation in {"union", "intersection", "difference"} and "other" not in arguments:
        raise ToolFailure("invalid_arguments", f"`{operation}` needs `other`")
    else:
        result = _OPERATIONS[operation](items, arguments.get("other", []))
    return {"result": result, "count": len(result)}


_ITEMS: Final = {"type": "array", "maxItems": 10_000}
TOOL = Tool(
    name="list_ops",
    title="Lists",
    description="Sort, reverse, flatten one level, chunk, or remove repeats of a list; union, "
    "intersection and difference of two.",
    category="list",
    input_schema=schema(
        ("operation", "items"),
        operation={"enum": [*_OPERATIONS, "chunk"]},
        items=_ITEMS,
        other=_ITEMS,
        size={"type": "integer", "minimum": 1, "maximum": 10_000},
    ),
    output_schema=schema(result={"type": "array"}, count={"type": "integer"}),
    examples=(
        Example(
            arguments={"operation": "unique", "items": [3, 1, 3, "1", True, 1]},
            output={"result": [3, 1, "1", True], "count": 4},
        ),
        Example(
            arguments={"operation": "difference", "items": [1, 2, 3], "other": [2]},
            output={"result": [1, 3], "count": 2},
        ),
        Example(
            arguments={"operation": "chunk", "items": [1, 2, 3], "size": 2},
            output={"result": [[1, 2], [3]], "count": 2},
        ),
    ),
    run=_run,
)
