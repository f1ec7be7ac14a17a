"""Methods of `str`."""

from collections.abc import Callable, Hashable, Mapping
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
    integer,
    joined,
    lift,
    optional,
    plain_args,
    room,
    work_on,
)
from interlock.dual.lib.byte_strings import codec_arguments
from interlock.dual.lib.text_format import format_template
from interlock.dual.native import Env, Native, NativeFn
from interlock.dual.ops.compare import key_of_data
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import Data, DictObj, ListObj, Value

__all__ = ["NATIVES"]


def _self(args: Args, method: str) -> str:
    data = enum_data(args[0].data) if args else None
    if not isinstance(data, str):
        kind = shown_type(args[0].data) if args else "nothing"
        fail("TypeError", f"descriptor '{method}' for 'str' objects doesn't apply to a '{kind}'")
    return data


def _delegated(method: str, growth: int, doc: str) -> NativeFn:
    """A method whose outcome is at most `growth` times as long as its text."""
    function: Callable[..., Any] = getattr(str, method)

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        text = _self(args, method)
        if len(text) > 64:
            work_on(env, len(text), 1024)
            if growth:
                room(env, len(text) * growth, text)
        found = call_host(
            function,
            (text, *(host(arg) for arg in args[1:])),
            {name: host(value) for name, value in kwargs.items()},
        )
        return lift(found)

    native.__doc__ = doc
    return native


_DELEGATED: Mapping[str, tuple[int, str]] = {
    "capitalize": (3, "With the first character upper case and the rest lower case."),
    "casefold": (3, "For comparing without regard to case."),
    "count": (0, "How often a text occurs, without overlaps."),
    "endswith": (0, "Whether it ends with a text, or one of a tuple of texts."),
    "find": (0, "Where a text occurs first; -1: nowhere."),
    "index": (0, "Where a text occurs first; ValueError: nowhere."),
    "isalnum": (0, "Whether all characters are letters or digits, and there is one."),
    "isalpha": (0, "Whether all characters are letters, and there is one."),
    "isascii": (0, "Whether all characters are ASCII."),
    "isdecimal": (0, "Whether all characters are decimal digits, and there is one."),
    "isdigit": (0, "Whether all characters are digits, and there is one."),
    "isidentifier": (0, "Whether it is a valid identifier."),
    "islower": (0, "Whether all cased characters are lower case, and there is one."),
    "isnumeric": (0, "Whether all characters are numeric, and there is one."),
    "isprintable": (0, "Whether all characters are printable."),
    "isspace": (0, "Whether all characters are whitespace, and there is one."),
    "istitle": (0, "Whether it is title-cased."),
    "isupper": (0, "Whether all cased characters are upper case, and there is one."),
    "lower": (3, "In lower case."),
    "lstrip": (1, "Without leading whitespace, or characters of a set."),
    "partition": (1, "What is before the first separator, the separator, and what is after."),
    "removeprefix": (1, "Without a prefix, if it has it."),
    "removesuffix": (1, "Without a suffix, if it has it."),
    "rfind": (0, "Where a text occurs last; -1: nowhere."),
    "rindex": (0, "Where a text occurs last; ValueError: nowhere."),
    "rpartition": (1, "What is before the last separator, the separator, and what is after."),
    "rstrip": (1, "Without trailing whitespace, or characters of a set."),
    "startswith": (0, "Whether it starts with a text, or one of a tuple of texts."),
    "strip": (1, "Without whitespace, or characters of a set, at both ends."),
    "swapcase": (3, "With upper and lower case exchanged."),
    "title": (3, "With every word capitalised."),
    "upper": (3, "In upper case."),
}


def _padded(method: str, doc: str) -> NativeFn:
    function: Callable[..., Any] = getattr(str, method)

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        text = _self(args, method)
        plain_args(method, args[1:], kwargs, 1, 1 if method == "zfill" else 2)
        width = index_of(args[1])
        fill = args[2].data if len(args) > 2 else ""
        room(env, max(width, len(text)), text, fill if isinstance(fill, str) else "")
        return lift(call_host(function, (text, *(host(arg) for arg in args[1:]))))

    native.__doc__ = doc
    return native


def _encode(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """As bytes of an encoding: UTF-8, UTF-16, UTF-32, ASCII, Latin-1 or CP1252."""
    text = _self(args, "encode")
    encoding, errors = bind("encode", args[1:], kwargs, ("encoding", "errors"))
    name, handler = codec_arguments(encoding, errors)
    room(env, len(text) * (12 if handler == "backslashreplace" else 4) + 4)
    return Value(call_host(str.encode, (text, name, handler)))


def _expandtabs(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """With tabs replaced by spaces."""
    text = _self(args, "expandtabs")
    (size,) = bind("expandtabs", args[1:], kwargs, ("tabsize",))
    width = integer(size, 8)
    room(env, len(text) + text.count("\t") * max(width, 0), text)
    return Value(call_host(str.expandtabs, (text, width)))


def _replace(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """With a text replaced by another, everywhere or the first `count` times."""
    text = _self(args, "replace")
    plain_args("replace", args[1:], kwargs, 2, 3)
    old, new = host(args[1]), host(args[2])
    count = index_of(args[3]) if len(args) > 3 else -1
    if isinstance(old, str) and isinstance(new, str):
        work_on(env, len(text), 1024)
        times = text.count(old) if old else len(text) + 1
        times = times if count < 0 else min(times, count)
        room(env, len(text) + max(0, len(new) - len(old)) * times, text, new)
    return Value(call_host(str.replace, (text, old, new, count)))


def _split(method: str, doc: str) -> NativeFn:
    function: Callable[..., Any] = getattr(str, method)

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        text = _self(args, method)
        sep, times = bind(method, args[1:], kwargs, ("sep", "maxsplit"))
        separator, limit = host(optional(sep)), integer(times, -1)
        _parts_room(env, text, separator if isinstance(separator, str) else None, limit)
        parts = call_host(function, (text, separator, limit))
        if not separator:
            env.meter.elements(len(parts))
        return _parts(env, parts, args, kwargs)

    native.__doc__ = doc
    return native


def _parts_room(env: Env, text: str, separator: str | None, limit: int) -> None:
    work_on(env, len(text), 512)
    most = text.count(separator) + 1 if separator else len(text) // 2 + 1
    if limit >= 0:
        most = min(most, limit + 1)
    if separator:
        env.meter.elements(most)
    elif most > 64:
        env.meter.memory(most * 56)
    room(env, len(text), text)


def _parts(env: Env, parts: list[str], args: Args, kwargs: Kwargs) -> Value:
    """A list of parts, each derived from the text and the separator."""
    mark = joined(env, (*args, *kwargs.values()))
    work_on(env, len(parts), 16)
    return Value(ListObj([Value(part, mark) for part in parts]), mark)


def _splitlines(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Its lines."""
    text = _self(args, "splitlines")
    (keep,) = bind("splitlines", args[1:], kwargs, ("keepends",))
    work_on(env, len(text), 512)
    env.meter.memory(len(text) * (4 if not text.isascii() else 1))
    most = text.count("\n") + text.count("\r")
    if most > 64:
        env.meter.memory(most * 56)
    env.meter.elements(most + 1)
    parts = call_host(str.splitlines, (text, bool(host(optional(keep, Value(False))))))
    return _parts(env, parts, args, kwargs)


def _join(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The texts of an iterable with this one between them."""
    separator = _self(args, "join")
    plain_args("join", args[1:], kwargs, 1, 1)
    try:
        elements = drain(env, args[1])
    except Raise as error:
        if error.type_name == "TypeError" and error.message.endswith("is not iterable"):
            fail("TypeError", "can only join an iterable", error.mark)
        raise
    texts: list[str] = []
    mark = env.marks.join(env.deep(args[0]), env.deep(args[1]))
    size, wide = 0, not separator.isascii()
    for position, element in enumerate(elements):
        data = enum_data(element.data)
        if not isinstance(data, str):
            kind = shown_type(data)
            fail("TypeError", f"sequence item {position}: expected str instance, {kind} found")
        size += len(data) + len(separator)
        wide = wide or not data.isascii()
        mark = env.marks.join(mark, element.mark)
        texts.append(data)
    room(env, size, "é" if wide else "")
    work_on(env, len(texts), 16)
    return Value(separator.join(texts), mark)


def _format(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """With replacement fields `{...}` filled from the arguments; fields reach data only."""
    return Value(format_template(env, _self(args, "format"), args[1:], kwargs.get))


def _format_map(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """With replacement fields filled from a dict."""
    template = _self(args, "format_map")
    plain_args("format_map", args[1:], kwargs, 1, 1)
    mapping = args[1].data
    if not isinstance(mapping, DictObj):
        fail("TypeError", f"'{shown_type(mapping)}' object is not a mapping")

    def lookup(name: str) -> Value | None:
        entry = mapping.entries.get(key_of_data(env, name))
        return None if entry is None else entry[1]

    return Value(format_template(env, template, (), lookup))


def _maketrans(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A table for `translate`: from a dict, or from two or three texts."""
    plain_args("maketrans", args, kwargs, 1, 3)
    if len(args) == 1:
        source = args[0].data
        if not isinstance(source, DictObj):
            fail("TypeError", "if you give only one argument to maketrans it must be a dict")
        env.meter.elements(len(source.entries))
        made: dict[Hashable, tuple[Value, Value]] = {}
        for key, item in source.entries.values():
            code = _code_of(key.data)
            made[code] = (Value(code, key.mark), item)
        return Value(DictObj(made))
    texts = [host(arg) for arg in args]
    env.meter.elements(sum(len(text) for text in texts if isinstance(text, str)))
    return lift(call_host(str.maketrans, texts), joined(env, args))


def _code_of(data: Data) -> int:
    if isinstance(data, str):
        if len(data) != 1:
            fail("ValueError", "string keys in translate table must be of length 1")
        return ord(data)
    if not isinstance(data, int):
        fail("TypeError", "keys in translate table must be strings or integers")
    return int(data)


def _translate(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """With every character replaced by what a table says."""
    text = _self(args, "translate")
    plain_args("translate", args[1:], kwargs, 1, 1)
    table = args[1].data
    if not isinstance(table, DictObj):
        fail("TypeError", f"'{shown_type(table)}' object is not a translate table")
    work_on(env, len(text), 32)
    entries, parts, size = table.entries, [], 0
    for char in text:
        entry = entries.get(ord(char))
        part = char if entry is None else _translated(entry[1])
        size += len(part)
        if size > 1024:
            room(env, size, "é")
            size = 0
        parts.append(part)
    return Value("".join(parts))


def _translated(value: Value) -> str:
    data = value.data
    if data is None:
        return ""
    if isinstance(data, str):
        return data
    if isinstance(data, int):
        if not 0 <= data < 0x110000:
            fail("ValueError", "character mapping must be in range(0x110000)")
        return chr(data)
    raise Raise("TypeError", "character mapping must return integer, None or str")


NATIVES: dict[str, Native] = {
    **{
        f"str.{name}": Native(fn=_delegated(name, growth, doc))
        for name, (growth, doc) in _DELEGATED.items()
    },
    "str.center": Native(fn=_padded("center", "Centred in a width.")),
    "str.encode": Native(fn=_encode),
    "str.expandtabs": Native(fn=_expandtabs),
    "str.format": Native(fn=_format),
    "str.format_map": Native(fn=_format_map),
    "str.join": Native(fn=_join, marks="own"),
    "str.ljust": Native(fn=_padded("ljust", "At the left of a width.")),
    "str.maketrans": Native(fn=_maketrans),
    "str.replace": Native(fn=_replace),
    "str.rjust": Native(fn=_padded("rjust", "At the right of a width.")),
    "str.rsplit": Native(
        fn=_split("rsplit", "Its parts between separators, split from the right."), marks="own"
    ),
    "str.split": Native(fn=_split("split", "Its parts between separators."), marks="own"),
    "str.splitlines": Native(fn=_splitlines, marks="own"),
    "str.translate": Native(fn=_translate),
    "str.zfill": Native(fn=_padded("zfill", "With zeros in front, to a width.")),
}
