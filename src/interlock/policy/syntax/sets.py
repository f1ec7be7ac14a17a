"""Parses set expressions and label operands."""

from collections.abc import Callable
from typing import Literal

from interlock.policy.syntax.cursor import Cursor
from interlock.policy.syntax.domains import parse_element
from interlock.policy.syntax.nodes import (
    Element,
    ElementOps,
    FieldName,
    Meta,
    SetExpr,
    SetLiteral,
    SetOp,
    SetRef,
)

__all__ = ["CALLER_FIELDS", "FIELDS", "at_operand", "parse_field", "parse_operand", "parse_set"]

FIELDS = ("tags", "producers", "consumers")
CALLER_FIELDS = ("user", "key", "account", "groups", "roles", "surface")
_FIELD_HELP = "the fields are `tags`, `producers` and `consumers`"


def parse_set(cursor: Cursor) -> SetExpr:
    """A whole set expression."""
    return _chain(cursor, _minus, "xor", "^", "xor")


def _minus(cursor: Cursor) -> SetExpr:
    return _chain(cursor, _intersect, "minus", "-", "minus")


def _intersect(cursor: Cursor) -> SetExpr:
    return _chain(cursor, _union, "intersect", "&", "intersect")


def _union(cursor: Cursor) -> SetExpr:
    return _chain(cursor, _element_ops, "union", "|", "union")


def _chain(
    cursor: Cursor,
    operand: Callable[[Cursor], SetExpr],
    op: Literal["union", "intersect", "minus", "xor"],
    symbol: str,
    word: str,
) -> SetExpr:
    start = cursor.token
    first = operand(cursor)
    if not (cursor.at_op(symbol) or cursor.at_word(word)):
        return first
    items = [first]
    while cursor.accept_op(symbol) or cursor.accept_word(word):
        items.append(operand(cursor))
    return SetOp(op, tuple(items), span=cursor.span_from(start))


def _element_ops(cursor: Cursor) -> SetExpr:
    start = cursor.token
    base = _atom(cursor)
    steps: list[tuple[bool, Element]] = []
    while cursor.at_word("with", "without"):
        adds = cursor.advance().text == "with"
        steps.append((adds, parse_element(cursor)))
    if not steps:
        return base
    return ElementOps(base, tuple(steps), span=cursor.span_from(start))


def _atom(cursor: Cursor) -> SetExpr:
    start = cursor.token
    if cursor.accept_op("("):
        with cursor.nested():
            inner = parse_set(cursor)
        cursor.expect_op(")", "to close the bracket")
        return inner
    if cursor.at_op("{"):
        return _literal(cursor)
    if at_operand(cursor):
        return parse_operand(cursor)
    if start.kind == "ident":
        cursor.advance()
        if cursor.at_op("."):
            cursor.advance()
            advice = _FIELD_HELP
            if cursor.at_word("value"):
                advice = "`.value` stands on the left of `in` or at `==`, a set has no values"
            cursor.fail(f"expected a label field after `.`, found {cursor.found()}", advice)
        return SetRef(start.text, span=start.span)
    literal = start.kind in {"string", "number", "regex", "wildcard", "datetime"}
    help_text = "put the element in braces: `{...}`" if literal else None
    return cursor.fail(f"expected a set, found {cursor.found()}", help_text)


def _literal(cursor: Cursor) -> SetLiteral:
    start = cursor.advance()
    elements: list[Element] = []
    if not cursor.at_op("}"):
        elements.append(parse_element(cursor))
        while cursor.at_op(","):
            comma = cursor.advance()
            if cursor.at_op("}"):
                cursor.fail("a set does not end with a comma", "remove the comma", at=comma)
            elements.append(parse_element(cursor))
    cursor.expect_op("}", "or `,` in a set")
    return SetLiteral(tuple(elements), span=cursor.span_from(start))


def at_operand(cursor: Cursor) -> bool:
    """Whether a label operand starts here."""
    token = cursor.token
    if token.kind == "op":
        return token.text == "@"
    if token.kind != "ident":
        return False
    after = cursor.peek()
    if after.kind == "op" and after.text == ".":
        return cursor.peek(2).text in FIELDS
    return token.text in {"union", "intersect"} and after.kind == "ident" and after.text == "of"


def parse_operand(cursor: Cursor) -> Meta:
    """A label operand; the caller has asked `at_operand`."""
    start = cursor.token
    if cursor.accept_op("@"):
        return _at_operand(cursor)
    if cursor.peek().text == "of":
        cursor.advance()
        cursor.advance()
        field = parse_field(cursor)
        cursor.expect_word("from", "after the field")
        cursor.expect_word("args", "after `from`")
        return Meta("args", field, start.text, span=cursor.span_from(start))
    cursor.advance()
    cursor.advance()
    return Meta("argument", parse_field(cursor), start.text, span=cursor.span_from(start))


def _at_operand(cursor: Cursor) -> Meta:
    at = cursor.peek(-1)
    word = cursor.expect_kind("ident", "a word after `@`", _FIELD_HELP).text
    if word in FIELDS:
        return Meta("bare", word, span=cursor.span_from(at))
    if word in {"result", "session"}:
        cursor.expect_op(".", f"after `@{word}`")
        scope: Literal["result", "session"] = "result" if word == "result" else "session"
        return Meta(scope, parse_field(cursor), span=cursor.span_from(at))
    if word == "args":
        return _args(cursor)
    if word == "caller":
        cursor.expect_op(".", "after `@caller`")
        if not cursor.at_word(*CALLER_FIELDS):
            names = ", ".join(f"`{name}`" for name in CALLER_FIELDS)
            cursor.fail(f"unknown caller field {cursor.found()}", f"the fields are {names}")
        field = cursor.advance().text
        return Meta("caller", field, span=cursor.span_from(at))
    names = "`@result`, `@session`, `@args`, `@caller` or a label field"
    return cursor.fail(f"unknown operand `@{word}`", f"write {names}", at=cursor.peek(-1))


def _args(cursor: Cursor) -> Meta:
    at = cursor.peek(-2)
    cursor.expect_op(".", "after `@args`")
    field = parse_field(cursor)
    how = "union"
    if cursor.accept_op("."):
        if not cursor.at_word("union", "intersect"):
            cursor.fail(f"expected `union` or `intersect`, found {cursor.found()}")
        how = cursor.advance().text
    return Meta("args", field, how, span=cursor.span_from(at))


def parse_field(cursor: Cursor) -> FieldName:
    """One of the three label fields."""
    if not cursor.at_word(*FIELDS):
        cursor.fail(f"expected a label field, found {cursor.found()}", _FIELD_HELP)
    match cursor.advance().text:
        case "tags":
            return "tags"
        case "producers":
            return "producers"
        case _:
            return "consumers"
