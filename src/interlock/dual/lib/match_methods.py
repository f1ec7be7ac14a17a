"""Methods of `re.Match`."""

from collections.abc import Callable

from interlock.dual.errors import Raise
from interlock.dual.lib.access import (
    Args,
    Kwargs,
    bind,
    fail,
    optional,
    plain_args,
    room,
)
from interlock.dual.lib.regex_template import TemplateError, parse_template
from interlock.dual.native import Env, Native
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import NONE, DictObj, MatchObj, TupleObj, Value

__all__ = ["NATIVES", "group_text"]


def _match(args: Args) -> MatchObj:
    data = args[0].data if args else None
    if isinstance(data, MatchObj):
        return data
    raise Raise("TypeError", f"descriptor of 're.Match' doesn't apply to a '{shown_type(data)}'")


def _number(match: MatchObj, group: Value) -> int:
    data = enum_data(group.data)
    if isinstance(data, str) and data in match.names:
        return match.names[data]
    if isinstance(data, int) and 0 <= data < len(match.spans):
        return int(data)
    raise Raise("IndexError", "no such group")


def group_text(match: MatchObj, group: Value) -> Value:
    """`match[group]`.

    Raises:
        Raise: IndexError, no such group.
    """
    return _text(match, _number(match, group), NONE)


def _text(match: MatchObj, number: int, default: Value) -> Value:
    low, high = match.spans[number]
    return default if low < 0 else Value(match.text[low:high])


def _group(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The text of a group; of several, as a tuple; of the whole match."""
    match = _match(args)
    if kwargs:
        fail("TypeError", "group() takes no keyword arguments")
    wanted = args[1:] or (Value(0),)
    room(env, sum(high - low for low, high in match.spans), match.text)
    texts = [group_text(match, group) for group in wanted]
    return texts[0] if len(texts) == 1 else Value(TupleObj(tuple(texts)))


def _groups(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The texts of all groups."""
    match = _match(args)
    (default,) = bind("groups", args[1:], kwargs, ("default",))
    env.meter.elements(len(match.spans))
    texts = [_text(match, number, optional(default)) for number in range(1, len(match.spans))]
    return Value(TupleObj(tuple(texts)))


def _group_dict(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The texts of all named groups by name."""
    match = _match(args)
    (default,) = bind("groupdict", args[1:], kwargs, ("default",))
    env.meter.elements(2 * len(match.names))
    return Value(
        DictObj(
            {
                name: (Value(name), _text(match, number, optional(default)))
                for name, number in match.names.items()
            }
        )
    )


def _position(method: str, of: Callable[[tuple[int, int]], Value], doc: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        match = _match(args)
        plain_args(method, args[1:], kwargs, 0, 1)
        number = _number(match, args[1]) if len(args) > 1 else 0
        return of(match.spans[number])

    native.__doc__ = doc
    return Native(fn=native)


def _span(span: tuple[int, int]) -> Value:
    return Value(TupleObj((Value(span[0]), Value(span[1]))))


def _expand(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A template with group references filled in."""
    match = _match(args)
    (template,) = bind("expand", args[1:], kwargs, ("template",), required=1)
    text = optional(template).data
    if not isinstance(text, str):
        fail("TypeError", f"expected str instance, {shown_type(text)} found")
    longest = max(high - low for low, high in match.spans)
    room(env, len(text) + text.count("\\") * longest, text, match.text)
    try:
        parsed = parse_template(text, len(match.spans) - 1, match.names)
    except TemplateError as error:
        raise Raise(error.type_name, str(error)) from None
    return Value(parsed.expand(match.text, match.spans))


def _property(of: Callable[[MatchObj], Value], doc: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        return of(_match(args))

    native.__doc__ = doc
    return Native(fn=native, is_property=True)


def _last_group(match: MatchObj) -> Value:
    number = _last_index(match).data
    for name, position in match.names.items():
        if position == number:
            return Value(name)
    return NONE


def _last_index(match: MatchObj) -> Value:
    """The group that closed last: of those that took part, the one that ends last."""
    best, end = None, -1
    for number in range(1, len(match.spans)):
        low, high = match.spans[number]
        if low >= 0 and high > end:
            best, end = number, high
    return Value(best)


NATIVES: dict[str, Native] = {
    "re.Match.end": _position("end", lambda span: Value(span[1]), "Where a group ends."),
    "re.Match.expand": Native(fn=_expand),
    "re.Match.group": Native(fn=_group),
    "re.Match.groupdict": Native(fn=_group_dict),
    "re.Match.groups": Native(fn=_groups),
    "re.Match.lastgroup": _property(_last_group, "The name of the last group that took part."),
    "re.Match.lastindex": _property(_last_index, "The number of the last group that took part."),
    "re.Match.re": _property(lambda match: Value(match.pattern), "The pattern."),
    "re.Match.span": _position("span", _span, "Where a group starts and ends."),
    "re.Match.start": _position("start", lambda span: Value(span[0]), "Where a group starts."),
    "re.Match.string": _property(lambda match: Value(match.text), "The text searched."),
}
