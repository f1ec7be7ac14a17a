"""Filters, groups, adds up and sorts the rows of a table."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]

_Row = Mapping[str, Any]
_ROWS: Final = 10_000
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "contains": lambda a, b: str(b) in str(a),
}


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    rows = _rows(arguments)
    for condition in arguments.get("filter", []):
        rows = [one for one in rows if _holds(one, condition)]
    aggregates = arguments.get("aggregates", [])
    groups = arguments.get("group_by", [])
    if aggregates or groups:
        rows = _grouped(rows, groups, aggregates)
    for order in reversed(arguments.get("sort", [])):
        column = order["column"]
        rows = sorted(rows, key=lambda one: _key(one.get(column)), reverse=order.get("desc", False))
    total = len(rows)
    limit = arguments.get("limit")
    return {"rows": [dict(one) for one in rows[:limit]], "total": total}


def _rows(arguments: Mapping[str, Any]) -> Sequence[_Row]:
    if ("csv" in arguments) == ("rows" in arguments):
        raise ToolFailure("invalid_arguments", "give either `csv` or `rows`")
    if "rows" in arguments:
        return list(arguments["rows"])
    text = io.StringIO(arguments["csv"])
    reader = csv.DictReader(text, delimiter=arguments.get("delimiter", ","))
    rows: list[_Row] = []
    try:
        for row in reader:
            if len(rows) == _ROWS:
                raise ToolFailure("too_large", f"tables are read up to {_ROWS} rows")
            rows.append({str(k): _cell(v) for k, v in row.items() if k is not None})
    except csv.Error as error:
        raise ToolFailure("invalid_csv", f"the table cannot be read: {error}") from None
    return rows


def _cell(text: str | None) -> Any:  # noqa: ANN401 - a cell of a table
    """Numbers as numbers, the rest as text."""
    if text is None or not text.strip():
        return text
    number = _decimal(text.strip())
    return text if number is None else _plain(number)


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(value if isinstance(value, str) else repr(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < 300 else None


def _plain(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _holds(row: _Row, condition: Mapping[str, Any]) -> bool:
    left, right = row.get(condition["column"]), condition["value"]
    try:
        return _COMPARE[condition["op"]](left, right)
    except TypeError:
        return False


def _grouped(
    rows: Sequence[_Row], columns: Sequence[str], aggregates: Sequence[Mapping[str, Any]]
) -> Sequence[_Row]:
    groups: dict[tuple[str, ...], list[_Row]] = {} if columns else {(): []}
    for row in rows:
        groups.setdefault(tuple(repr(row.get(one)) for one in columns), []).append(row)
    made = []
    for members in groups.values():
        first = members[0] if members else {}
        row = {one: first.get(one) for one in columns}
        for wanted in aggregates:
            column = wanted.get("column")
            name = wanted.get("as") or f"{wanted['op']}_{column or 'rows'}"
            row[name] = _aggregate(wanted["op"], column, members)
        made.append(row)
    return made


def _aggregate(operation: str, column: str | None, rows: Sequence[_Row]) -> Any:  # noqa: ANN401 - a cell
    if operation == "count":
        return sum(1 for row in rows if column is None or row.get(column) not in {None, ""})
    if column is None:
        raise ToolFailure("invalid_arguments", f"`{operation}` needs a `column`")
    values = [one for row in rows if (one := _decimal(row.get(column))) is not None]
    if not values:
        return None
    if operation == "min":
        return _plain(min(values))
    if operation == "max":
        return _plain(max(values))
    total = sum(values, Decimal(0))
    return _plain(total if operation == "sum" else total / len(values))


def _key(value: object) -> tuple[int, Decimal, str]:
    """Nothing first, then numbers, then texts."""
    if value is None:
        return (0, Decimal(0), "")
    number = None if isinstance(value, str) else _decimal(value)
    return (2, Decimal(0), str(value)) if number is None else (1, number, "")


_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 200}
TOOL = Tool(
    name="table_aggregate",
    title="Table",
    description="Filter, group, aggregate (sum, avg, min, max, count) and sort rows given as CSV "
    "with a header or as a list of objects.",
    category="table",
    input_schema=schema(
        (),
        csv={"type": "string", "maxLength": 200_000},
        delimiter={"type": "string", "minLength": 1, "maxLength": 1},
        rows={"type": "array", "items": {"type": "object"}, "maxItems": _ROWS},
        filter={
            "type": "array",
            "maxItems": 20,
            "items": schema(column=_NAME, op={"enum": list(_COMPARE)}, value={}),
        },
        group_by={"type": "array", "items": _NAME, "maxItems": 20},
        aggregates={
            "type": "array",
            "maxItems": 20,
            "items": schema(
                ("op",),
                op={"enum": ["count", "sum", "avg", "min", "max"]},
                column=_NAME,
                **{"as": _NAME},
            ),
        },
        sort={
            "type": "array",
            "maxItems": 10,
            "items": schema(("column",), column=_NAME, desc={"type": "boolean"}),
        },
        limit={"type": "integer", "minimum": 1, "maximum": _ROWS},
    )
    | {"required": []},
    output_schema=schema(
        rows={"type": "array", "items": {"type": "object"}}, total={"type": "integer"}
    ),
    examples=(
        Example(
            arguments={
                "csv": "who,spent\nann,0.1\nbob,3\nann,0.2\n",
                "group_by": ["who"],
                "aggregates": [{"op": "sum", "column": "spent"}, {"op": "count"}],
                "sort": [{"column": "sum_spent", "desc": True}],
            },
            output={
                "rows": [
                    {"who": "bob", "sum_spent": 3, "count_rows": 1},
                    {"who": "ann", "sum_spent": 0.3, "count_rows": 2},
                ],
                "total": 2,
            },
        ),
        Example(
            arguments={
                "rows": [{"n": 1}, {"n": 2}, {"n": 3}],
                "filter": [{"column": "n", "op": "ge", "value": 2}],
                "limit": 1,
            },
            output={"rows": [{"n": 2}], "total": 2},
        ),
    ),
    run=_run,
)
