"""Parses value domains, ranges, numbers and set elements."""

from interlock.policy.syntax.cursor import Cursor
from interlock.policy.syntax.nodes import (
    BoolDomain,
    Domain,
    Element,
    NumberDomain,
    NumberElement,
    Range,
    RegexElement,
    StrDomain,
    StringElement,
    TimeDomain,
    TimeExact,
    WildcardElement,
)

__all__ = ["at_domain", "at_number", "parse_domain", "parse_element", "parse_number"]

_RANGE_OPS = frozenset({"..", "<..", "..<", "<..<"})
_SPAN_HELP = "a range is `1..5`, `1<..5`, `1..<5`, `1<..<5`, `1..` or `..5`"


def at_number(cursor: Cursor) -> bool:
    """Whether the current token is a number or `inf`."""
    return cursor.token.kind == "number" or cursor.at_word("inf")


def parse_number(cursor: Cursor) -> int | float:
    """A number; the caller has checked that one is there."""
    text = cursor.advance().text
    return float(text) if "." in text or "inf" in text else int(text)


def at_domain(cursor: Cursor) -> bool:
    """Whether a domain starts here; `int`, `str` and so on may also be names."""
    if cursor.token.kind != "ident":
        return False
    after = cursor.peek()
    match cursor.token.text:
        case "bool":
            return after.kind == "ident" and after.text in {"true", "false"}
        case "int" | "float":
            return after.kind == "number" or after.text in _RANGE_OPS or after.text == "inf"
        case "str":
            return after.kind in {"string", "regex", "wildcard"} or (
                after.kind == "ident" and after.text in {"matching", "like"}
            )
        case "datetime":
            return (
                after.kind in {"string", "datetime", "number"}
                or after.text in _RANGE_OPS
                or after.text == "inf"
            )
        case _:
            return False


def parse_element(cursor: Cursor) -> Element:
    """One element of a set literal, or the operand of `with`/`without`."""
    token = cursor.token
    if token.kind == "string":
        cursor.advance()
        return StringElement(token.text, span=token.span)
    if token.kind == "regex":
        cursor.advance()
        return RegexElement(token.text, span=token.span)
    if token.kind == "wildcard":
        cursor.advance()
        return WildcardElement(token.text, span=token.span)
    if at_number(cursor):
        return NumberElement(parse_number(cursor), span=token.span)
    if at_domain(cursor):
        return parse_domain(cursor)
    advice = None
    if token.kind == "datetime":
        advice = f'write `datetime d"{token.text}"`'
    elif cursor.at_word("true", "false"):
        advice = f"write `bool {token.text}`"
    elif cursor.at_word("bool", "int", "float", "str", "datetime"):
        advice = f"say which values, for example {_EXAMPLES[token.text]}"
    return cursor.fail(f"expected an element of a set, found {cursor.found()}", advice)


_EXAMPLES = {
    "bool": "`bool true`",
    "int": "`int 1..5`",
    "float": "`float 0.0..1.0`",
    "str": '`str matching r".*"`',
    "datetime": '`datetime d"2026-01-01"..`',
}


def parse_domain(cursor: Cursor) -> Domain:
    """A domain; the caller has asked `at_domain`."""
    start = cursor.advance()
    match start.text:
        case "bool":
            value = cursor.advance().text == "true"
            return BoolDomain(value, span=cursor.span_from(start))
        case "int" | "float":
            within = _parse_range(cursor)
            span = cursor.span_from(start)
            return NumberDomain("int" if start.text == "int" else "float", within, span=span)
        case "str":
            return _parse_str(cursor)
        case _:
            return _parse_time(cursor)


def _parse_str(cursor: Cursor) -> StrDomain:
    start = cursor.token
    domain: StrDomain
    if cursor.accept_word("matching"):
        text = cursor.expect_kind("regex", "a regex string after `matching`").text
        domain = StrDomain("matching", text)
    elif cursor.accept_word("like"):
        text = cursor.expect_kind("wildcard", "a wildcard string after `like`").text
        domain = StrDomain("like", text)
    elif start.kind == "string":
        domain = StrDomain("exact", cursor.advance().text)
    else:
        word = "matching" if start.kind == "regex" else "like"
        cursor.fail(f"expected `{word}` before {cursor.found()}", f"write `str {word} ...`")
    length = None
    if cursor.accept_word("length"):
        length = _parse_range(cursor)
    return StrDomain(domain.kind, domain.text, length, span=cursor.span_from(start))


def _parse_range(cursor: Cursor) -> Range:
    start = cursor.token
    low = parse_number(cursor) if at_number(cursor) else None
    op = _range_op(cursor)
    if op is None:
        if low is None:
            cursor.fail(f"expected a range, found {cursor.found()}", _SPAN_HELP)
        return Range(low, low, span=cursor.span_from(start))
    high = parse_number(cursor) if at_number(cursor) else None
    _check_ends(cursor, op, low is not None, high is not None)
    low_open, high_open = op.startswith("<"), op.endswith("<")
    return Range(low, high, low_open, high_open, span=cursor.span_from(start))


def _range_op(cursor: Cursor) -> str | None:
    if cursor.token.kind == "op" and cursor.token.text in _RANGE_OPS:
        return cursor.advance().text
    return None


def _check_ends(cursor: Cursor, op: str, has_low: bool, has_high: bool) -> None:
    if not has_low and not has_high:
        cursor.fail("a range needs at least one bound", _SPAN_HELP)
    if op.startswith("<") and not has_low:
        cursor.fail(f"`{op}` needs a lower bound", _SPAN_HELP)
    if op.endswith("<") and not has_high:
        cursor.fail(f"`{op}` needs an upper bound", _SPAN_HELP)


def _parse_time(cursor: Cursor) -> TimeDomain | TimeExact:
    start = cursor.token
    if start.kind == "string":
        cursor.advance()
        return TimeExact("string", start.text, span=start.span)
    if at_number(cursor):
        value = parse_number(cursor)
        if cursor.token.kind == "op" and cursor.token.text in _RANGE_OPS:
            cursor.fail(
                "a datetime range cannot stand between epoch numbers",
                'write the bounds as `d"..."` strings',
            )
        return TimeExact("epoch", value, span=start.span)
    low = cursor.advance().text if start.kind == "datetime" else None
    op = _range_op(cursor)
    if op is None:
        # INVARIANT: `at_domain` saw a bound or a range operator, so there is a bound.
        return TimeExact("datetime", str(low), span=start.span)
    if at_number(cursor) or cursor.token.kind == "string":
        cursor.fail(
            f"a datetime range is bounded by datetime strings, found {cursor.found()}",
            'write the bound as `d"..."`',
        )
    high = cursor.advance().text if cursor.token.kind == "datetime" else None
    _check_ends(cursor, op, low is not None, high is not None)
    low_open, high_open = op.startswith("<"), op.endswith("<")
    return TimeDomain(low, high, low_open, high_open, span=cursor.span_from(start))
