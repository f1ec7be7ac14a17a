"""Converts between units of one quantity, by exact factors."""

import decimal
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from interlock.tools.model import Example, Tool, ToolFailure, schema

__all__ = ["TOOL"]

_F = Fraction
_FACTORS: Final[Mapping[str, Mapping[str, Fraction]]] = {
    "length": {
        "nm": _F(1, 10**9), "um": _F(1, 10**6), "mm": _F(1, 1000), "cm": _F(1, 100), "m": _F(1),
        "km": _F(1000), "in": _F("0.0254"), "ft": _F("0.3048"), "yd": _F("0.9144"),
        "mi": _F("1609.344"), "nmi": _F(1852),
    },
    "mass": {
        "mg": _F(1, 10**6), "g": _F(1, 1000), "kg": _F(1), "t": _F(1000),
        "oz": _F("0.028349523125"), "lb": _F("0.45359237"), "st": _F("6.35029318"),
    },
    "volume": {
        "ml": _F(1, 1000), "cl": _F(1, 100), "dl": _F(1, 10), "l": _F(1), "m3": _F(1000),
        "tsp": _F("0.00492892159375"), "tbsp": _F("0.01478676478125"),
        "fl_oz": _F("0.0295735295625"), "cup": _F("0.2365882365"), "pt": _F("0.473176473"),
        "qt": _F("0.946352946"), "gal": _F("3.785411784"),
    },
    "area": {
        "mm2": _F(1, 10**6), "cm2": _F(1, 10**4), "m2": _F(1), "ha": _F(10**4), "km2": _F(10**6),
        "in2": _F("0.00064516"), "ft2": _F("0.09290304"), "acre": _F("4046.8564224"),
        "mi2": _F("2589988.110336"),
    },
    "speed": {
        "m/s": _F(1), "km/h": _F(5, 18), "mph": _F("0.44704"), "kn": _F(1852, 3600),
        "ft/s": _F("0.3048"),
    },
    "time": {
        "ns": _F(1, 10**9), "us": _F(1, 10**6), "ms": _F(1, 1000), "s": _F(1), "min": _F(60),
        "h": _F(3600), "d": _F(86400), "wk": _F(604800),
    },
    "data": {
        "bit": _F(1, 8), "B": _F(1), "kB": _F(10**3), "MB": _F(10**6), "GB": _F(10**9),
        "TB": _F(10**12), "KiB": _F(2**10), "MiB": _F(2**20), "GiB": _F(2**30), "TiB": _F(2**40),
    },
    "pressure": {
        "Pa": _F(1), "hPa": _F(100), "kPa": _F(1000), "bar": _F(10**5), "atm": _F(101325),
        "psi": _F("6894.757293168"), "mmHg": _F("133.322387415"),
    },
    "energy": {
        "J": _F(1), "kJ": _F(1000), "cal": _F("4.184"), "kcal": _F(4184), "Wh": _F(3600),
        "kWh": _F(3_600_000), "BTU": _F("1055.05585262"),
    },
    "power": {"W": _F(1), "kW": _F(1000), "MW": _F(10**6), "hp": _F("745.69987158227022")},
}  # fmt: skip
"""Quantity -> unit -> size in the quantity's base unit."""
_TEMPERATURES: Final[Mapping[str, tuple[Fraction, Fraction]]] = {
    "K": (_F(1), _F(0)),
    "C": (_F(1), _F("273.15")),
    "F": (_F(5, 9), _F("459.67") * _F(5, 9)),
}
"""Unit -> (factor, offset) to kelvin."""
_UNITS: Final = {unit: name for name, units in _FACTORS.items() for unit in units}
_CONTEXT: Final = decimal.Context(prec=28)


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    value, source, target = _F(repr(arguments["value"])), arguments["from"], arguments["to"]
    if source in _TEMPERATURES and target in _TEMPERATURES:
        factor, offset = _TEMPERATURES[source]
        kelvin = value * factor + offset
        if kelvin < 0:
            raise ToolFailure("domain_error", "the temperature is below absolute zero")
        factor, offset = _TEMPERATURES[target]
        return _answer((kelvin - offset) / factor, target, "temperature")
    for unit in (source, target):
        if unit not in _UNITS and unit not in _TEMPERATURES:
            raise ToolFailure("unknown_unit", f"unit `{unit}` is not known")
    quantity = _UNITS.get(source, "temperature")
    if quantity != _UNITS.get(target, "temperature"):
        raise ToolFailure("incompatible_units", f"`{source}` and `{target}` measure other things")
    units = _FACTORS[quantity]
    return _answer(value * units[source] / units[target], target, quantity)


def _answer(value: Fraction, unit: str, quantity: str) -> dict[str, Any]:
    number = _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))
    text = format(number.normalize(_CONTEXT), "f") if number else "0"
    return {"value": text, "unit": unit, "quantity": quantity}


TOOL = Tool(
    name="unit_convert",
    title="Unit converter",
    description="Convert a value between units of length, mass, volume, area, speed, time, data, "
    "pressure, energy, power or temperature (C, F, K).",
    category="math",
    input_schema={
        **schema(
            value={"type": "number", "minimum": -1e30, "maximum": 1e30},
            **{
                "from": {"type": "string", "minLength": 1, "maxLength": 10},
                "to": {"type": "string", "minLength": 1, "maxLength": 10},
            },
        )
    },
    output_schema=schema(
        value={"type": "string"}, unit={"type": "string"}, quantity={"type": "string"}
    ),
    examples=(
        Example(
            arguments={"value": 1, "from": "mi", "to": "km"},
            output={"value": "1.609344", "unit": "km", "quantity": "length"},
        ),
        Example(
            arguments={"value": 98.6, "from": "F", "to": "C"},
            output={"value": "37", "unit": "C", "quantity": "temperature"},
        ),
        Example(
            arguments={"value": 1, "from": "GiB", "to": "MB"},
            output={"value": "1073.741824", "unit": "MB", "quantity": "data"},
        ),
    ),
    run=_run,
)
