"""What natives share: arguments, host scalars in and out, room and work, errors of the host.

A host function may be used on scalars only, after its work and the size of its outcome have been
charged. Where a program passes something else, the host function is given an empty stand-in of
the same type, so that it refuses it in Python's own words.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from interlock.dual.errors import Raise
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.native import Env
from interlock.dual.ops.iterate import iterate, length
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import (
    NONE,
    SCALARS,
    DictObj,
    ExcObj,
    ListObj,
    SetObj,
    TupleObj,
    Value,
)

__all__ = [
    "HOST_ERRORS",
    "Args",
    "Kwargs",
    "at",
    "bind",
    "call_host",
    "drain",
    "fail",
    "fail_key",
    "host",
    "index_of",
    "integer",
    "joined",
    "lift",
    "list_of",
    "optional",
    "plain_args",
    "room",
    "text_of",
    "tuple_of",
    "work_on",
]

Args = Sequence[Value]
Kwargs = Mapping[str, Value]

HOST_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, AssertionError)
"""What host functions raise over bad arguments, and programs may see."""

_SMALL_CHARS = 64
_CHARS_PER_STEP = 2048


def fail(type_name_: str, message: str, mark: Mark | None = None) -> NoReturn:
    """Raises an exception of the program."""
    raise Raise(type_name_, message, mark)


def fail_key(key: Value, mark: Mark | None = None, shown: str | None = None) -> NoReturn:
    """Raises the KeyError of a missing key, which carries the key itself."""
    raise Raise("KeyError", shown or "", mark, exc=ExcObj("KeyError", [key]))


def room(env: Env, chars: int, *like: str | bytes) -> None:
    """Charges memory and work for a text about to be built of texts like the given ones."""
    if chars <= _SMALL_CHARS:
        return
    wide = any(isinstance(text, str) and not text.isascii() for text in like)
    env.meter.memory(chars * 4 if wide else chars)
    if chars > _CHARS_PER_STEP:
        env.meter.work(chars // _CHARS_PER_STEP)


def work_on(env: Env, size: int, per_step: int = _CHARS_PER_STEP) -> None:
    """Charges work over so many characters or elements."""
    if size > per_step:
        env.meter.work(size // per_step)


def joined(env: Env, values: Iterable[Value]) -> Mark:
    """The join of the deep marks of some values."""
    mark = NEUTRAL
    for value in values:
        found = env.deep(value)
        if found is not mark:
            mark = env.marks.join(mark, found)
    return mark


def at(env: Env, value: Value, mark: Mark) -> Value:
    """The value, derived from `mark` too."""
    found = env.marks.join(value.mark, mark)
    return value if found is value.mark else Value(value.data, found)


# arguments


def bind(
    name: str, args: Args, kwargs: Kwargs, names: Sequence[str], required: int = 0
) -> list[Value | None]:
    """The arguments by position of their names; missing optional ones are None.

    Raises:
        Raise: TypeError, as Python words it.
    """
    if not kwargs and len(args) == len(names):
        return list(args)
    if len(args) > len(names):
        least = "at most" if required < len(names) else "exactly"
        plural = "" if len(names) == 1 else "s"
        fail(
            "TypeError",
            f"{name}() takes {least} {len(names)} argument{plural} ({len(args)} given)",
        )
    found: list[Value | None] = [*args, *([None] * (len(names) - len(args)))]
    for key, value in kwargs.items():
        if key not in names:
            fail("TypeError", f"{name}() got an unexpected keyword argument '{key}'")
        position = names.index(key)
        if found[position] is not None:
            fail("TypeError", f"{name}() got multiple values for argument '{key}'")
        found[position] = value
    for position in range(required):
        if found[position] is None:
            fail(
                "TypeError",
                f"{name}() missing required argument '{names[position]}' (pos {position + 1})",
            )
    return found


def optional(value: Value | None, default: Value = NONE) -> Value:
    """The argument, or what stands for one not given."""
    return default if value is None else value


def plain_args(name: str, args: Args, kwargs: Kwargs, least: int, most: int) -> None:
    """Checks the number of positional arguments of a function that takes no others.

    Raises:
        Raise: TypeError.
    """
    if kwargs:
        fail("TypeError", f"{name}() takes no keyword arguments")
    count = len(args)
    if least <= count <= most:
        return
    if least == most:
        wanted = "no arguments" if not least else "exactly one argument"
        if least > 1:
            fail("TypeError", f"{name} expected {least} arguments, got {count}")
        fail("TypeError", f"{name}() takes {wanted} ({count} given)")
    word, bound = ("at least", least) if count < least else ("at most", most)
    plural = "" if bound == 1 else "s"
    fail("TypeError", f"{name} expected {word} {bound} argument{plural}, got {count}")


def index_of(value: Value, what: str | None = None) -> int:
    """An integer argument that is an index or a count.

    Raises:
        Raise: TypeError.
    """
    data = enum_data(value.data)
    if isinstance(data, int):
        return int(data)
    kind = shown_type(data)
    fail("TypeError", what or f"'{kind}' object cannot be interpreted as an integer")


def integer(value: Value | None, default: int) -> int:
    """`index_of` of an argument that may be missing or None."""
    return default if value is None or value.data is None else index_of(value)


def text_of(value: Value, message: str) -> str:
    """A string argument.

    Raises:
        Raise: TypeError; `{}` in the message is replaced by the type's name.
    """
    data = enum_data(value.data)
    if isinstance(data, str):
        return data
    fail("TypeError", message.replace("{}", shown_type(value.data)))


# host scalars


class _StandIn:
    """Passed to a host function in place of an object that has no scalar form."""


def host(value: Value) -> Any:  # noqa: ANN401 - any scalar, or a stand-in
    """The host's form of a scalar or a tuple of scalars, a stand-in of anything else."""
    data = enum_data(value.data)
    if type(data) in SCALARS:
        return data
    if isinstance(data, TupleObj):
        return tuple(host(item) for item in data.items[:1000])
    if isinstance(data, ListObj):
        return []
    if isinstance(data, DictObj):
        return {}
    if isinstance(data, SetObj):
        return frozenset() if data.frozen else set()
    return type(shown_type(value.data), (_StandIn,), {})()


def call_host(
    function: Callable[..., Any], args: Iterable[Any], kwargs: Mapping[str, Any] | None = None
) -> Any:  # noqa: ANN401 - what the host function returns
    """Calls a host function on host scalars.

    Raises:
        Raise: what it raised.
    """
    try:
        return function(*args, **(kwargs or {}))
    except HOST_ERRORS as error:
        raise Raise(_raised_name(error), str(error)) from None


def _raised_name(error: Exception) -> str:
    name = type(error).__name__
    return "ValueError" if isinstance(error, ValueError) and "Unicode" not in name else name


def lift(data: Any, mark: Mark = NEUTRAL) -> Value:  # noqa: ANN401 - from the host
    """The value of a host scalar, or of a small tuple, list, set or dict of such."""
    kind = type(data)
    if kind in SCALARS:
        return Value(data, mark)
    if kind is tuple:
        return Value(TupleObj(tuple(lift(item, mark) for item in data)), mark)
    if kind is list:
        return Value(ListObj([lift(item, mark) for item in data]), mark)
    if kind is dict:
        return Value(
            DictObj({key: (lift(key, mark), lift(item, mark)) for key, item in data.items()}), mark
        )
    return _lift_subclass(data, mark)


def _lift_subclass(data: Any, mark: Mark) -> Value:  # noqa: ANN401 - from the host
    """A host function may return a subclass (an `IntFlag`): only its plain form leaves."""
    for kind in (bool, int, float, str):
        if isinstance(data, kind):
            return Value(kind(data), mark)
    message = f"no value for {type(data).__name__}"
    raise AssertionError(message)


# containers


def list_of(env: Env, items: list[Value], mark: Mark = NEUTRAL) -> Value:
    """A new list."""
    env.meter.elements(len(items))
    return Value(ListObj(items), mark)


def tuple_of(items: Iterable[Value], mark: Mark = NEUTRAL) -> Value:
    """A new tuple of a few elements."""
    return Value(TupleObj(tuple(items)), mark)


def drain(env: Env, value: Value) -> list[Value]:
    """All elements of an iterable as they leave it, charged as those of a new list.

    Raises:
        Raise: TypeError, it is none.
    """
    size = length(value.data)
    if size is not None:
        # Known before: an enormous range or string is refused without being walked.
        env.meter.elements(size)
        return list(iterate(env, value))
    found: list[Value] = []
    for element in iterate(env, value):
        found.append(element)
        if not len(found) & 63:
            env.meter.elements(64)
    env.meter.elements(len(found) & 63)
    return found
