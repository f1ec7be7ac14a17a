"""Module `statistics`, by the host's functions on lists of numbers."""

import statistics
from collections.abc import Callable, Mapping
from typing import Any

from interlock.dual.errors import Raise
from interlock.dual.lib.access import HOST_ERRORS, Args, Kwargs, drain, fail, lift
from interlock.dual.native import Env, Native
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import SCALARS, Value

__all__ = ["NATIVES"]

_FUNCTIONS: Mapping[str, str] = {
    "correlation": "Pearson's correlation of two lists of numbers.",
    "covariance": "Covariance of two lists of numbers.",
    "fmean": "Arithmetic mean, as a float.",
    "geometric_mean": "Geometric mean.",
    "harmonic_mean": "Harmonic mean.",
    "mean": "Arithmetic mean.",
    "median": "The middle number, or the mean of the middle two.",
    "median_grouped": "Median of grouped numbers.",
    "median_high": "The middle number, or the greater of the middle two.",
    "median_low": "The middle number, or the smaller of the middle two.",
    "mode": "The most frequent value, the first of them.",
    "multimode": "All most frequent values.",
    "pstdev": "Standard deviation of a whole population.",
    "pvariance": "Variance of a whole population.",
    "quantiles": "The cut points between `n` groups of equal size.",
    "stdev": "Standard deviation of a sample.",
    "variance": "Variance of a sample.",
}
_ANY_DATA = frozenset(("mode", "multimode"))
_PER_NUMBER = 4
"""Steps for each number: the host sums in exact fractions."""


def _delegated(name: str, doc: str) -> Native:
    function: Callable[..., Any] = getattr(statistics, name)

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        given = [_argument(env, name, arg) for arg in args]
        named = {key: _argument(env, name, value) for key, value in kwargs.items()}
        groups = named.get("n")
        if isinstance(groups, int):
            env.meter.elements(groups)
            env.meter.work(max(groups, 0))
        try:
            return lift(function(*given, **named))
        except statistics.StatisticsError as error:
            raise Raise("StatisticsError", str(error)) from None
        except HOST_ERRORS as error:
            raise Raise(type(error).__name__, str(error)) from None

    native.__doc__ = doc
    return Native(fn=native)


def _argument(env: Env, name: str, value: Value) -> Any:  # noqa: ANN401 - numbers, or one
    data = value.data
    if type(data) in SCALARS and not (isinstance(data, str) and name in _ANY_DATA):
        return data
    return _numbers(env, name, value)


def _numbers(env: Env, name: str, value: Value) -> list[Any]:
    elements = drain(env, value)
    env.meter.work(len(elements) * _PER_NUMBER)
    found = []
    for element in elements:
        data = enum_data(element.data)
        allowed = type(data) in SCALARS if name in _ANY_DATA else isinstance(data, (int, float))
        if not allowed:
            fail("TypeError", f"can't convert type '{shown_type(data)}' to numerator/denominator")
        found.append(data)
    return found


NATIVES: dict[str, Native] = {
    f"statistics.{name}": _delegated(name, doc) for name, doc in _FUNCTIONS.items()
}
