"""Methods and attributes of `int`, `bool` and `float`."""

from collections.abc import Callable
from typing import Any

from interlock.dual.lib.access import (
    Args,
    Kwargs,
    bind,
    call_host,
    fail,
    host,
    index_of,
    lift,
    optional,
)
from interlock.dual.native import Env, Native
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import Value

__all__ = ["NATIVES"]

_Host = Callable[..., Any]


def _delegated(kind: type, method: str, doc: str) -> Native:
    function: _Host = getattr(kind, method)

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        receiver = enum_data(args[0].data) if args else None
        if not isinstance(receiver, kind):
            found = shown_type(receiver)
            fail(
                "TypeError",
                f"descriptor '{method}' for '{kind.__name__}' objects "
                f"doesn't apply to a '{found}' object",
            )
        given = (receiver, *(host(arg) for arg in args[1:]))
        return lift(call_host(function, given, {k: host(v) for k, v in kwargs.items()}))

    native.__doc__ = doc
    return Native(fn=native)


def _part(of: _Host, doc: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        return lift(call_host(of, (host(args[0]),)))

    native.__doc__ = doc
    return Native(fn=native, is_property=True)


def _to_bytes(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """As bytes of a length and byte order."""
    length, order, signed = bind("to_bytes", args[1:], kwargs, ("length", "byteorder", "signed"))
    receiver = enum_data(args[0].data) if args else None
    if not isinstance(receiver, int):
        found = shown_type(receiver)
        fail("TypeError", f"descriptor 'to_bytes' for 'int' doesn't apply to a '{found}' object")
    size = 1 if length is None else index_of(length)
    env.meter.memory(max(size, 0))
    given: dict[str, Any] = {"signed": bool(host(signed))} if signed is not None else {}
    big = "big" if order is None else host(order)
    return Value(call_host(int.to_bytes, (receiver, size, big), given))


def _from_bytes(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The integer that bytes represent."""
    data, order, signed = bind(
        "from_bytes", args, kwargs, ("bytes", "byteorder", "signed"), required=1
    )
    raw = host(data) if data is not None else b""
    env.meter.integer(len(raw) * 8 if isinstance(raw, bytes) else 0)
    given: dict[str, Any] = {"signed": bool(host(signed))} if signed is not None else {}
    big = "big" if order is None else host(order)
    return Value(call_host(int.from_bytes, (raw, big), given))


def _is_integer(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """True: every integer is one."""
    return Value(True)


def _from_hex(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """From hexadecimal digits and an exponent."""
    (text,) = bind("fromhex", args, kwargs, ("string",), required=1)
    return Value(call_host(float.fromhex, (host(optional(text)),)))


_REAL = "The number itself."
_IMAG = "0: no number here has an imaginary part."

_INT: dict[str, Native] = {
    "as_integer_ratio": _delegated(int, "as_integer_ratio", "Itself and 1."),
    "bit_count": _delegated(int, "bit_count", "How many ones its absolute value has in binary."),
    "bit_length": _delegated(int, "bit_length", "How many binary digits it takes."),
    "conjugate": _delegated(int, "conjugate", _REAL),
    "denominator": _part(lambda n: 1, "1."),
    "from_bytes": Native(fn=_from_bytes),
    "imag": _part(lambda n: 0, _IMAG),
    "is_integer": Native(fn=_is_integer),
    "numerator": _part(int, _REAL),
    "real": _part(int, _REAL),
    "to_bytes": Native(fn=_to_bytes),
}

NATIVES: dict[str, Native] = {
    **{f"int.{name}": native for name, native in _INT.items()},
    **{f"bool.{name}": native for name, native in _INT.items()},
    "float.as_integer_ratio": _delegated(
        float, "as_integer_ratio", "Two integers whose ratio it is exactly."
    ),
    "float.conjugate": _delegated(float, "conjugate", _REAL),
    "float.fromhex": Native(fn=_from_hex),
    "float.hex": _delegated(float, "hex", "As hexadecimal digits and an exponent."),
    "float.imag": _part(lambda n: 0.0, _IMAG),
    "float.is_integer": _delegated(float, "is_integer", "Whether it has no fraction."),
    "float.real": _part(float, _REAL),
}
