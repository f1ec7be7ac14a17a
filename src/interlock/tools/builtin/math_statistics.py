"""Figures that describe a list of numbers, computed in decimals."""

import decimal
import statistics
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from interlock.tools.model import Example, Tool, schema

__all__ = ["TOOL"]

_CONTEXT = decimal.Context(prec=50)
_NUMBER = {"type": "number"}
_NULLABLE = {"type": ["number", "null"]}


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    with decimal.localcontext(_CONTEXT):
        values = sorted(Decimal(repr(one)) for one in arguments["values"])
        count = len(values)
        total = sum(values, Decimal(0))
        mean = total / count
        spread = sum(((one - mean) ** 2 for one in values), Decimal(0))
        percentiles = {
            str(wanted): _number(_percentile(values, Decimal(repr(wanted))))
            for wanted in arguments.get("percentiles", [])
        }
        return {
            "count": count,
            "sum": _number(total),
            "mean": _number(mean),
            "median": _number(statistics.median(values)),
            "min": _number(values[0]),
            "max": _number(values[-1]),
            "variance": _number(spread / (count - 1)) if count > 1 else None,
            "stdev": _number((spread / (count - 1)).sqrt()) if count > 1 else None,
            "percentiles": percentiles,
        }


def _percentile(values: list[Decimal], wanted: Decimal) -> Decimal:
    """Linear interpolation between the closest ranks."""
    place = wanted / 100 * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


TOOL = Tool(
    name="math_statistics",
    title="Statistics",
    description="Count, sum, mean, median, minimum, maximum, sample variance, standard deviation "
    "and percentiles of a list of numbers.",
    category="math",
    input_schema=schema(
        ("values",),
        values={
            "type": "array",
            "items": {"type": "number", "minimum": -1e100, "maximum": 1e100},
            "minItems": 1,
            "maxItems": 10_000,
        },
        percentiles={
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 100},
            "maxItems": 100,
        },
    ),
    output_schema=schema(
        count={"type": "integer"},
        sum=_NUMBER,
        mean=_NUMBER,
        median=_NUMBER,
        min=_NUMBER,
        max=_NUMBER,
        variance=_NULLABLE,
        stdev=_NULLABLE,
        percentiles={"type": "object", "additionalProperties": _NUMBER},
    ),
    examples=(
        Example(
            arguments={"values": [1, 2, 3, 4], "percentiles": [25, 90]},
            output={
                "count": 4,
                "sum": 10,
                "mean": 2.5,
                "median": 2.5,
                "min": 1,
                "max": 4,
                "variance": 1.6666666666666667,
                "stdev": 1.2909944487358056,
                "percentiles": {"25": 1.75, "90": 3.7},
            },
        ),
        Example(
            arguments={"values": [0.1, 0.2]},
            output={
                "count": 2,
                "sum": 0.3,
                "mean": 0.15,
                "median": 0.15,
                "min": 0.1,
                "max": 0.2,
                "variance": 0.005,
                "stdev": 0.07071067811865475,
                "percentiles": {},
            },
        ),
    ),
    run=_run,
)
