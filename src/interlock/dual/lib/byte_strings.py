"""Methods of `bytes`, and the encodings there are."""

from collections.abc import Callable, Mapping
from typing import Any

from interlock.dual.lib.access import (
    Args,
    Kwargs,
    bind,
    call_host,
    drain,
    fail,
    host,
    index_of,
    integer,
    joined,
    lift,
    list_of,
    optional,
    plain_args,
    room,
    work_on,
)
from interlock.dual.native import Env, Native, NativeFn
from interlock.dual.ops.types import shown_type
from interlock.dual.values import Value

__all__ = ["NATIVES", "codec_arguments"]

_ENCODINGS = frozenset(
    (
        *("ascii", "usascii", "latin1", "iso88591", "cp1252", "windows1252"),
        *("utf8", "utf8sig", "utf16", "utf16be", "utf16le", "utf32", "utf32be", "utf32le"),
    )
)
"""Codecs that take time linear in the text; others (`idna`, `punycode`) are not offered."""
_HANDLERS = frozenset(
    ("strict", "ignore", "replace", "backslashreplace", "surrogateescape", "surrogatepass")
)


def codec_arguments(encoding: Value | None, errors: Value | None) -> tuple[str, str]:
    """The name of a codec and of an error handler.

    Raises:
        Raise: LookupError, one that is not offered.
    """
    name, handler = "utf-8", "strict"
    if encoding is not None:
        if not isinstance(encoding.data, str):
            kind = shown_type(encoding.data)
            fail("TypeError", f"encode() argument 'encoding' must be str, not {kind}")
        name = encoding.data
    if errors is not None:
        if not isinstance(errors.data, str):
            kind = shown_type(errors.data)
            fail("TypeError", f"encode() argument 'errors' must be str, not {kind}")
        handler = errors.data
    if name.lower().replace("-", "").replace("_", "") not in _ENCODINGS:
        fail("LookupError", f"unknown encoding: {name[:100]}")
    if handler not in _HANDLERS:
        fail("LookupError", f"unknown error handler name '{handler[:100]}'")
    return name, handler


def _self(args: Args, method: str) -> bytes:
    data = args[0].data if args else None
    if not isinstance(data, bytes):
        kind = shown_type(data)
        fail("TypeError", f"descriptor '{method}' for 'bytes' objects doesn't apply to a '{kind}'")
    return data


def _delegated(method: str, growth: int, doc: str) -> NativeFn:
    function: Callable[..., Any] = getattr(bytes, method)

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        data = _self(args, method)
        work_on(env, len(data), 1024)
        if growth:
            room(env, len(data) * growth)
        found = call_host(
            function,
            (data, *(host(arg) for arg in args[1:])),
            {name: host(value) for name, value in kwargs.items()},
        )
        return lift(found)

    native.__doc__ = doc
    return native


_DELEGATED: Mapping[str, tuple[int, str]] = {
    "count": (0, "How often bytes occur, without overlaps."),
    "endswith": (0, "Whether it ends with bytes, or one of a tuple of bytes."),
    "find": (0, "Where bytes occur first; -1: nowhere."),
    "hex": (3, "As hexadecimal digits."),
    "index": (0, "Where bytes occur first; ValueError: nowhere."),
    "isalnum": (0, "Whether all are ASCII letters or digits, and there is one."),
    "isalpha": (0, "Whether all are ASCII letters, and there is one."),
    "isdigit": (0, "Whether all are ASCII digits, and there is one."),
    "lower": (1, "With ASCII letters in lower case."),
    "lstrip": (1, "Without leading whitespace, or bytes of a set."),
    "removeprefix": (1, "Without a prefix, if it has it."),
    "removesuffix": (1, "Without a suffix, if it has it."),
    "rfind": (0, "Where bytes occur last; -1: nowhere."),
    "rstrip": (1, "Without trailing whitespace, or bytes of a set."),
    "startswith": (0, "Whether it starts with bytes, or one of a tuple of bytes."),
    "strip": (1, "Without whitespace, or bytes of a set, at both ends."),
    "upper": (1, "With ASCII letters in upper case."),
}


def _decode(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """As text of an encoding: UTF-8, UTF-16, UTF-32, ASCII, Latin-1 or CP1252."""
    data = _self(args, "decode")
    encoding, errors = bind("decode", args[1:], kwargs, ("encoding", "errors"))
    name, handler = codec_arguments(encoding, errors)
    room(env, len(data) * 4)
    return Value(call_host(bytes.decode, (data, name, handler)))


def _fromhex(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """From hexadecimal digits."""
    plain_args("fromhex", args, kwargs, 1, 1)
    text = host(args[0])
    room(env, len(text) if isinstance(text, str) else 0)
    return Value(call_host(bytes.fromhex, (text,)))


def _replace(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """With bytes replaced by others, everywhere or the first `count` times."""
    data = _self(args, "replace")
    plain_args("replace", args[1:], kwargs, 2, 3)
    old, new = host(args[1]), host(args[2])
    count = index_of(args[3]) if len(args) > 3 else -1
    if isinstance(old, bytes) and isinstance(new, bytes):
        times = data.count(old) if old else len(data) + 1
        times = times if count < 0 else min(times, count)
        room(env, len(data) + max(0, len(new) - len(old)) * times)
    return Value(call_host(bytes.replace, (data, old, new, count)))


def _split(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Its parts between separators."""
    data = _self(args, "split")
    sep, times = bind("split", args[1:], kwargs, ("sep", "maxsplit"))
    separator, limit = host(optional(sep)), integer(times, -1)
    most = data.count(separator) if isinstance(separator, bytes) and separator else len(data) // 2
    env.meter.memory(len(data) + most * 48 if most > 64 else 0)
    parts = call_host(bytes.split, (data, separator, limit))
    mark = joined(env, (*args, *kwargs.values()))
    return list_of(env, [Value(part, mark) for part in parts], mark)


def _join(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The bytes of an iterable with these between them."""
    separator = _self(args, "join")
    plain_args("join", args[1:], kwargs, 1, 1)
    parts: list[bytes] = []
    mark, size = env.marks.join(env.deep(args[0]), env.deep(args[1])), 0
    for position, element in enumerate(drain(env, args[1])):
        data = element.data
        if not isinstance(data, bytes):
            kind = shown_type(data)
            fail(
                "TypeError",
                f"sequence item {position}: expected a bytes-like object, {kind} found",
            )
        size += len(data) + len(separator)
        mark = env.marks.join(mark, element.mark)
        parts.append(data)
    room(env, size)
    return Value(separator.join(parts), mark)


NATIVES: dict[str, Native] = {
    **{
        f"bytes.{name}": Native(fn=_delegated(name, growth, doc))
        for name, (growth, doc) in _DELEGATED.items()
    },
    "bytes.decode": Native(fn=_decode),
    "bytes.fromhex": Native(fn=_fromhex),
    "bytes.join": Native(fn=_join, marks="own"),
    "bytes.replace": Native(fn=_replace),
    "bytes.split": Native(fn=_split, marks="own"),
}
