"""Which argument values an element of a set matches (11.5).

`Pattern` is an element that is more than one label. A value is a JSON value or
a `datetime`; None is an absent one and matches nothing, a mapping matches
nothing, a list matches when it has elements and every one of them matches.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from interlock.policy.evaluate.patterns import regex_matcher, wildcard_matcher
from interlock.policy.syntax import nodes as n

__all__ = [
    "Pattern",
    "Test",
    "each",
    "instant",
    "pattern_of",
    "range_problem",
    "scalar_equal",
    "values_equal",
]

Test = Callable[[object], bool]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_ISO_CHARS = 40
_LISTS = (list, tuple, set, frozenset)
_ALL_STRINGS = frozenset({".*", "^.*$", "^.*", ".*$"})


@dataclass(frozen=True, slots=True)
class Pattern:
    """A set element that describes values instead of being one."""

    test: Test
    """For one value that is not a list."""
    language: frozenset[str] | None = None
    """The strings it matches, when they are finitely many and known."""
    endless: bool = False
    """It certainly matches infinitely many strings."""
    universal: bool = False
    """It certainly matches every string."""


def each(value: object, test: Test) -> bool:
    """`test` for one value; for a list, whether it has elements and all of them pass."""
    if isinstance(value, _LISTS):
        return bool(value) and all(each(item, test) for item in value)
    if value is None or isinstance(value, Mapping):
        return False
    return test(value)


def scalar_equal(left: object, right: object) -> bool:
    """Equality of two single values: texts, numbers, booleans, instants, each among its own."""
    if isinstance(left, str):
        if isinstance(right, str):
            return left == right
    elif isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool) and left is right
    elif isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if isinstance(left, datetime) or isinstance(right, datetime):
        at = instant(left)
        return at is not None and at == instant(right)
    return False


def values_equal(left: object, right: object) -> bool:
    """`v == w`: lists element by element; a list and a single value when all elements equal it."""
    if isinstance(left, _LISTS) and isinstance(right, _LISTS):
        ordered = isinstance(left, list | tuple) and isinstance(right, list | tuple)
        if not ordered or len(left) != len(right):
            return not ordered and left == right
        return all(values_equal(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(right, _LISTS):
        left, right = right, left
    if right is None or isinstance(right, Mapping):
        return False
    return each(left, lambda item: scalar_equal(item, right))


def instant(value: object) -> int | float | None:
    """Microseconds since the epoch of a datetime, an ISO 8601 string or epoch seconds.

    None for everything else. Times without an offset are UTC.
    """
    if isinstance(value, str):
        if len(value) > _MAX_ISO_CHARS:
            return None
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return (aware - _EPOCH) // _MICROSECOND
    if isinstance(value, int | float) and not isinstance(value, bool):
        return None if value != value else value * 1_000_000  # noqa: PLR0124 - NaN
    return None


def pattern_of(element: n.Element) -> Pattern | None:
    """The pattern an element is, or None for a plain string.

    Raises:
        PatternError: a bad regular expression; the checker has refused it before.
        ValueError: a bad datetime, likewise.
    """
    match element:
        case n.StringElement():
            return None
        case n.RegexElement(text):
            return _text_pattern("matching", text, None)
        case n.WildcardElement(text):
            return _text_pattern("like", text, None)
        case n.NumberElement(value):
            return Pattern(lambda v: _is_number(v) and v == value, frozenset())
        case n.BoolDomain(wanted):
            return Pattern(lambda v: v is wanted, frozenset())
        case n.NumberDomain(kind, within):
            return Pattern(_number_test(kind, within), frozenset())
        case n.StrDomain(kind, text, length):
            return _text_pattern(kind, text, length)
        case n.TimeExact(_, value):
            at = _required_instant(value)
            return Pattern(lambda v: instant(v) == at)
        case n.TimeDomain():
            return Pattern(_time_test(element))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number_test(kind: str, within: n.Range) -> Test:
    inside = _range_test(within.low, within.high, within.low_open, within.high_open)
    if kind == "int":
        return lambda v: isinstance(v, int) and not isinstance(v, bool) and inside(v)
    return lambda v: isinstance(v, int | float) and not isinstance(v, bool) and inside(v)


def _range_test(
    low: int | float | None, high: int | float | None, low_open: bool, high_open: bool
) -> Callable[[int | float], bool]:
    bottom = float("-inf") if low is None else low
    top = float("inf") if high is None else high
    if low_open:
        if high_open:
            return lambda v: bottom < v < top
        return lambda v: bottom < v <= top
    if high_open:
        return lambda v: bottom <= v < top
    return lambda v: bottom <= v <= top


def _text_pattern(kind: str, text: str, length: n.Range | None) -> Pattern:
    if kind == "exact":
        return _exact(text, length)
    matches = regex_matcher(text) if kind == "matching" else wildcard_matcher(text)
    stars = kind == "like" and set(text) == {"*"}
    if length is None:
        universal = stars or (kind == "matching" and text in _ALL_STRINGS)
        if kind == "like" and "*" not in text and "?" not in text:
            return _exact(text, None)
        endless = universal or (kind == "like" and "*" in text)
        return Pattern(lambda v: isinstance(v, str) and matches(v), None, endless, universal)
    fits = _range_test(length.low, length.high, length.low_open, length.high_open)
    return Pattern(lambda v: isinstance(v, str) and fits(len(v)) and matches(v))


def _exact(text: str, length: n.Range | None) -> Pattern:
    if length is not None:
        fits = _range_test(length.low, length.high, length.low_open, length.high_open)
        if not fits(len(text)):
            return Pattern(lambda _: False, frozenset())
    return Pattern(lambda v: isinstance(v, str) and v == text, frozenset((text,)))


def _required_instant(value: object) -> int | float:
    at = instant(value)
    if at is None:
        msg = f"`{value}` is not a date or time"
        raise ValueError(msg)
    return at


def _time_test(domain: n.TimeDomain) -> Test:
    low = None if domain.low is None else _required_instant(domain.low)
    high = None if domain.high is None else _required_instant(domain.high)
    inside = _range_test(low, high, domain.low_open, domain.high_open)

    def test(value: object) -> bool:
        at = instant(value)
        return at is not None and inside(at)

    return test


def range_problem(domain: n.Element) -> str | None:
    """Why no value can ever match the element, or None.

    Raises:
        ValueError: a bound is no date or time.
    """
    match domain:
        case n.NumberDomain("int", within):
            return None if _holds_integer(within) else "no integer is in this range"
        case n.NumberDomain(_, within):
            return _empty(within.low, within.high, within.low_open or within.high_open)
        case n.StrDomain(_, _, length) if length is not None:
            return None if _holds_integer(length, least=0) else "no length is in this range"
        case n.TimeDomain(low, high, low_open, high_open):
            bounds = [None if bound is None else _required_instant(bound) for bound in (low, high)]
            return _empty(bounds[0], bounds[1], low_open or high_open)
        case _:
            return None


def _empty(low: int | float | None, high: int | float | None, is_open: bool) -> str | None:
    if low is None or high is None or low < high or (low == high and not is_open):
        return None
    return "this range is empty"


def _holds_integer(within: n.Range, least: int | None = None) -> bool:
    infinity = float("inf")
    low = -infinity if within.low is None else within.low
    high = infinity if within.high is None else within.high
    if least is not None and (low < least):
        low, low_open = least, False
    else:
        low_open = within.low_open
    if low == infinity or high == -infinity:
        return False
    if low == -infinity or high == infinity:
        return True
    first = int(low // 1) + (1 if low_open or low % 1 else 0)
    last = int(-(-high // 1)) - (1 if within.high_open or high % 1 else 0)
    return first <= last
