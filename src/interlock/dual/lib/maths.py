"""Module `math`: host arithmetic on numbers, bounded where results can be large."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from interlock.dual.errors import Raise
from interlock.dual.lib.access import (
    Args,
    Kwargs,
    bind,
    call_host,
    drain,
    fail,
    host,
    index_of,
    lift,
    optional,
    plain_args,
)
from interlock.dual.native import Env, Native
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import TupleObj, Value

__all__ = ["CONSTANTS", "NATIVES"]

CONSTANTS: Mapping[str, float] = {
    "math.e": math.e,
    "math.inf": math.inf,
    "math.nan": math.nan,
    "math.pi": math.pi,
    "math.tau": math.tau,
}

_FUNCTIONS: Mapping[str, tuple[int, int, str]] = {
    "acos": (1, 1, "Arc cosine, in radians."),
    "acosh": (1, 1, "Inverse hyperbolic cosine."),
    "asin": (1, 1, "Arc sine, in radians."),
    "asinh": (1, 1, "Inverse hyperbolic sine."),
    "atan": (1, 1, "Arc tangent, in radians."),
    "atan2": (2, 2, "The angle of a point (y, x), in radians."),
    "atanh": (1, 1, "Inverse hyperbolic tangent."),
    "cbrt": (1, 1, "Cube root."),
    "ceil": (1, 1, "The smallest integer not below a number."),
    "copysign": (2, 2, "The first number with the sign of the second."),
    "cos": (1, 1, "Cosine of an angle in radians."),
    "cosh": (1, 1, "Hyperbolic cosine."),
    "degrees": (1, 1, "An angle in degrees, from radians."),
    "erf": (1, 1, "Error function."),
    "erfc": (1, 1, "Complementary error function."),
    "exp": (1, 1, "e to the power of a number."),
    "exp2": (1, 1, "2 to the power of a number."),
    "expm1": (1, 1, "e to the power of a number, less 1."),
    "fabs": (1, 1, "Absolute value, as a float."),
    "floor": (1, 1, "The greatest integer not above a number."),
    "fmod": (2, 2, "Remainder with the sign of the first number."),
    "frexp": (1, 1, "Mantissa and exponent."),
    "gamma": (1, 1, "Gamma function."),
    "isfinite": (1, 1, "Whether a number is neither infinite nor NaN."),
    "isinf": (1, 1, "Whether a number is infinite."),
    "isnan": (1, 1, "Whether a number is NaN."),
    "isqrt": (1, 1, "The integer part of the square root of an integer."),
    "ldexp": (2, 2, "A number times 2 to the power of an integer."),
    "lgamma": (1, 1, "Logarithm of the absolute value of the gamma function."),
    "log": (1, 2, "Natural logarithm, or that to a base."),
    "log10": (1, 1, "Logarithm to base 10."),
    "log1p": (1, 1, "Natural logarithm of 1 and a number."),
    "log2": (1, 1, "Logarithm to base 2."),
    "modf": (1, 1, "Fraction and integer part, both floats."),
    "nextafter": (2, 2, "The next float towards another."),
    "pow": (2, 2, "A power, as a float."),
    "radians": (1, 1, "An angle in radians, from degrees."),
    "remainder": (2, 2, "Remainder of the nearest quotient."),
    "sin": (1, 1, "Sine of an angle in radians."),
    "sinh": (1, 1, "Hyperbolic sine."),
    "sqrt": (1, 1, "Square root."),
    "tan": (1, 1, "Tangent of an angle in radians."),
    "tanh": (1, 1, "Hyperbolic tangent."),
    "trunc": (1, 1, "The integer part of a number."),
    "ulp": (1, 1, "The weight of the last binary digit of a float."),
}


def _delegated(name: str, least: int, most: int, doc: str) -> Native:
    function: Callable[..., Any] = getattr(math, name)

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        plain_args(f"math.{name}", args, kwargs, least, most)
        found = call_host(function, [host(arg) for arg in args])
        if isinstance(found, tuple):
            return Value(TupleObj(tuple(lift(item) for item in found)))
        return lift(found)

    native.__doc__ = doc
    return Native(fn=native)


def _factorial(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The product of all integers up to `n`."""
    plain_args("math.factorial", args, kwargs, 1, 1)
    n = index_of(args[0])
    if n > 1:
        env.meter.integer(int(math.lgamma(min(n, 10**9) + 1) / math.log(2)))
    return Value(call_host(math.factorial, (n,)))


def _choices(name: str, doc: str) -> Native:
    function: Callable[..., Any] = getattr(math, name)

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        plain_args(f"math.{name}", args, kwargs, 1 if name == "perm" else 2, 2)
        n = index_of(args[0])
        k = index_of(args[1]) if len(args) > 1 and args[1].data is not None else None
        if n >= 0:
            # Each factor has the bits of n at most.
            factors = n if k is None else max(0, k)
            if name == "comb" and k is not None:
                factors = max(0, min(k, n - k))
            env.meter.integer(factors * n.bit_length() if k is None or k <= n else 0)
            env.meter.work(factors >> 3)
        return Value(call_host(function, (n, k) if k is not None else (n,)))

    native.__doc__ = doc
    return Native(fn=native)


def _many(name: str, doc: str) -> Native:
    function: Callable[..., Any] = getattr(math, name)

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        if kwargs:
            fail("TypeError", f"math.{name}() takes no keyword arguments")
        numbers = [index_of(arg) for arg in args]
        if name == "lcm":
            env.meter.integer(sum(number.bit_length() for number in numbers))
        env.meter.work(len(numbers))
        return Value(call_host(function, numbers))

    native.__doc__ = doc
    return Native(fn=native)


def _hypot(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The length of a vector given by its coordinates."""
    plain_args("math.hypot", args, kwargs, 0, 100)
    return Value(call_host(math.hypot, [host(arg) for arg in args]))


def _numbers(env: Env, value: Value) -> list[Any]:
    """The numbers of an iterable.

    Raises:
        Raise: TypeError, one of them is none.
    """
    found = []
    for element in drain(env, value):
        data = enum_data(element.data)
        if not isinstance(data, (int, float)):
            fail("TypeError", f"must be real number, not {shown_type(data)}")
        found.append(data)
    return found


def _fsum(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The sum of an iterable's numbers, without intermediate rounding."""
    plain_args("math.fsum", args, kwargs, 1, 1)
    return Value(call_host(math.fsum, (_numbers(env, args[0]),)))


def _prod(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The product of an iterable's numbers."""
    source, start = bind("prod", args, kwargs, ("iterable", "start"), required=1)
    product: Any = host(optional(start, Value(1)))
    if not isinstance(product, (int, float)):
        raise Raise("TypeError", "prod() can only multiply numbers here")
    for number in _numbers(env, optional(source)):
        if isinstance(product, int) and isinstance(number, int):
            env.meter.integer(product.bit_length() + number.bit_length())
        product = call_host(_times, (product, number))
    return Value(product)


def _times(a: float, b: float) -> float:
    return a * b


def _dist(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The distance of two points."""
    plain_args("math.dist", args, kwargs, 2, 2)
    return Value(call_host(math.dist, [_numbers(env, arg) for arg in args]))


def _isclose(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Whether two numbers are close to each other."""
    given = {name: host(value) for name, value in kwargs.items()}
    return Value(call_host(math.isclose, [host(arg) for arg in args], given))


NATIVES: dict[str, Native] = {
    **{
        f"math.{name}": _delegated(name, least, most, doc)
        for name, (least, most, doc) in _FUNCTIONS.items()
    },
    "math.comb": _choices("comb", "How many selections of `k` out of `n` there are."),
    "math.dist": Native(fn=_dist),
    "math.factorial": Native(fn=_factorial),
    "math.fsum": Native(fn=_fsum),
    "math.gcd": _many("gcd", "The greatest common divisor."),
    "math.hypot": Native(fn=_hypot),
    "math.isclose": Native(fn=_isclose),
    "math.lcm": _many("lcm", "The least common multiple."),
    "math.perm": _choices("perm", "How many arrangements of `k` out of `n` there are."),
    "math.prod": Native(fn=_prod),
}
