"""Parses conditions."""

from typing import Literal

from interlock.policy.syntax.cursor import Cursor
from interlock.policy.syntax.domains import at_number, parse_number
from interlock.policy.syntax.nodes import (
    And,
    BoolConst,
    Literal_,
    Meta,
    Not,
    Or,
    Predicate,
    PredicateRef,
    SetCompare,
    SetIs,
    SetLiteral,
    Span,
    StrDomain,
    Value,
    ValueEquals,
    ValueIn,
    ValueOf,
)
from interlock.policy.syntax.sets import at_operand, parse_operand, parse_set

__all__ = ["parse_predicate"]

_ENDS = frozenset({";", ")", "{", "}"})
_VALUE_HELP = 'compare a value with `in {...}` or `== "..."`'


def parse_predicate(cursor: Cursor) -> Predicate:
    """A whole condition."""
    start = cursor.token
    items = [_and(cursor)]
    while cursor.accept_word("or"):
        items.append(_and(cursor))
    return items[0] if len(items) == 1 else Or(tuple(items), span=cursor.span_from(start))


def _and(cursor: Cursor) -> Predicate:
    start = cursor.token
    items = [_not(cursor)]
    while cursor.accept_word("and"):
        items.append(_not(cursor))
    return items[0] if len(items) == 1 else And(tuple(items), span=cursor.span_from(start))


def _not(cursor: Cursor) -> Predicate:
    start = cursor.token
    if cursor.at_word("not"):
        after = cursor.peek()
        is_name = after.kind == "end" or (after.kind == "op" and after.text in {".", *_ENDS})
        if not is_name:
            cursor.advance()
            with cursor.nested():
                item = _not(cursor)
            return Not(item, span=cursor.span_from(start))
    if cursor.accept_op("("):
        with cursor.nested():
            inner = parse_predicate(cursor)
        cursor.expect_op(")", "to close the bracket")
        return inner
    return _comparison(cursor)


def _comparison(cursor: Cursor) -> Predicate:
    start = cursor.token
    if cursor.at_op("@") and cursor.peek().text in {"result", "session"}:
        if cursor.peek(2).text == "." and cursor.peek(3).text == "value":
            return _value_comparison(cursor)
        return _set_comparison(cursor, parse_operand(cursor))
    if at_operand(cursor):
        return _set_comparison(cursor, parse_operand(cursor))
    if start.kind == "ident":
        return _named(cursor)
    if start.kind in {"string", "datetime", "number"}:
        return _value_comparison(cursor)
    advice = None
    if start.kind in {"regex", "wildcard"}:
        advice = 'a pattern stands in a set: `to.value in {str matching r"..."}`'
    elif cursor.at_op("{"):
        advice = "the left side is one operand: `x.tags overlaps {...}`"
    return cursor.fail(f"expected a condition, found {cursor.found()}", advice)


def _named(cursor: Cursor) -> Predicate:
    start, after = cursor.token, cursor.peek()
    compared = after.text in {"in", "=="} and after.kind in {"ident", "op"}
    if after.kind == "op" and after.text == ".":
        return _value_comparison(cursor)
    if start.text == "inf" and compared:
        return _value_comparison(cursor)
    if start.text in {"true", "false"}:
        if compared:
            return _value_comparison(cursor)
        cursor.advance()
        return BoolConst(start.text == "true", span=start.span)
    cursor.advance()
    if cursor.at_word("in", "overlaps", "subset", "superset", "is") or cursor.at_op("=="):
        cursor.fail(
            f"`{start.text}` is not a value or a label set",
            f"write `{start.text}.value` or `{start.text}.tags`",
            at=start,
        )
    if cursor.at_op("-") or cursor.at_op("->"):
        cursor.fail(
            f"unexpected `{cursor.token.text}` after `{start.text}`",
            "names have letters, digits and `_` only; an argument with a dash cannot be named",
        )
    return PredicateRef(start.text, span=start.span)


def _set_comparison(cursor: Cursor, left: Meta) -> Predicate:
    start = cursor.token
    token = cursor.advance()
    if token.kind == "ident" and token.text == "overlaps":
        right = parse_set(cursor)
        return SetCompare("overlaps", left, right, span=_joined(left, cursor))
    if token.kind == "ident" and token.text in {"subset", "superset"}:
        cursor.expect_word("of", f"after `{token.text}`")
        right = parse_set(cursor)
        op: Literal["subset", "superset"] = "subset" if token.text == "subset" else "superset"
        return SetCompare(op, left, right, span=_joined(left, cursor))
    if token.kind == "op" and token.text == "==":
        right = parse_set(cursor)
        return SetCompare("equals", left, right, span=_joined(left, cursor))
    if token.kind == "ident" and token.text == "is":
        if not cursor.at_word("empty", "universal"):
            cursor.fail(f"expected `empty` or `universal` after `is`, found {cursor.found()}")
        empty = cursor.advance().text == "empty"
        return SetIs("empty" if empty else "universal", left, span=_joined(left, cursor))
    advice = "compare labels with `overlaps`, `subset of`, `superset of`, `==` or `is empty`"
    if token.kind == "ident" and token.text == "in":
        advice = 'write `overlaps {...}`, or `"label" in x.tags` for one label'
    return cursor.fail("expected a comparison of labels", advice, at=start)


def _joined(left: Meta, cursor: Cursor) -> Span:
    last = cursor.peek(-1).span
    return left.span._replace(end=last.end)


def _value_comparison(cursor: Cursor) -> Predicate:
    start = cursor.token
    left = _value(cursor)
    if cursor.accept_word("in"):
        within = parse_set(cursor)
        return ValueIn(left, within, span=cursor.span_from(start))
    if cursor.accept_op("=="):
        is_value = cursor.at_op("@") and cursor.peek(3).text == "value"
        if cursor.at_op("{") or (at_operand(cursor) and not is_value):
            cursor.fail("a value is compared with a value here", "use `in` for a set")
        right = _value(cursor)
        return ValueEquals(left, right, span=cursor.span_from(start))
    pattern = cursor.token
    if cursor.at_word("matching", "like") and isinstance(left, ValueOf):
        matching = cursor.advance().text == "matching"
        text = cursor.expect_kind(
            "regex" if matching else "wildcard", f"a pattern after `{pattern.text}`"
        ).text
        span = cursor.span_from(pattern)
        domain = StrDomain("matching" if matching else "like", text, span=span)
        within = SetLiteral((domain,), span=span)
        return ValueIn(left, within, span=cursor.span_from(start))
    return cursor.fail(f"expected `in` or `==` after a value, found {cursor.found()}", _VALUE_HELP)


def _value(cursor: Cursor) -> Value:
    start = cursor.token
    if start.kind == "string":
        return Literal_("string", cursor.advance().text, span=start.span)
    if start.kind == "datetime":
        return Literal_("datetime", cursor.advance().text, span=start.span)
    if cursor.at_op("@"):
        return _special_value(cursor)
    dotted = start.kind == "ident" and cursor.peek().kind == "op" and cursor.peek().text == "."
    if not dotted:
        if at_number(cursor):
            return Literal_("number", parse_number(cursor), span=start.span)
        if cursor.at_word("true", "false"):
            return Literal_("bool", cursor.advance().text == "true", span=start.span)
        cursor.fail(
            f"expected a value, found {cursor.found()}", "for example `to.value` or a string"
        )
    cursor.advance()
    cursor.advance()
    if not cursor.at_word("value"):
        cursor.fail(f"expected `value`, `tags`, `producers` or `consumers`, found {cursor.found()}")
    cursor.advance()
    return ValueOf("argument", start.text, span=cursor.span_from(start))


def _special_value(cursor: Cursor) -> Value:
    start = cursor.advance()
    if not cursor.at_word("result", "session"):
        cursor.fail(f"expected `result` or `session` after `@`, found {cursor.found()}")
    scope = "result" if cursor.advance().text == "result" else "session"
    cursor.expect_op(".", f"after `@{scope}`")
    cursor.expect_word("value", f"after `@{scope}.`")
    return ValueOf("result" if scope == "result" else "session", span=cursor.span_from(start))
