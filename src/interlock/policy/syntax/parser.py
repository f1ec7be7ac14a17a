"""Parses declarations, rules and updates: the whole of a policy text."""

from functools import lru_cache

from interlock.policy.errors import PolicyError
from interlock.policy.syntax.cursor import Cursor
from interlock.policy.syntax.domains import at_domain, parse_domain
from interlock.policy.syntax.lexer import Token
from interlock.policy.syntax.nodes import (
    Alias,
    AssignOp,
    CheckRule,
    Conditional,
    Declaration,
    FieldName,
    Let,
    LetValue,
    Member,
    PredicateRef,
    Priority,
    Program,
    Shorthand,
    Statement,
    Target,
    ToolDecl,
    ToolId,
    Update,
    UpdateBlock,
    Where,
)
from interlock.policy.syntax.predicates import parse_predicate
from interlock.policy.syntax.sets import FIELDS, parse_field, parse_set

__all__ = ["parse"]

_LEVELS = {"must": "hard", "hard": "hard", "should": "soft", "soft": "soft"}
_ASSIGN: dict[str, AssignOp] = {"=": "=", "|=": "|=", "&=": "&=", "-=": "-=", "^=": "^="}
_MEMBER_HELP = "a tool has `priority`, check rules, `result {}` and `session before|after {}`"


@lru_cache(maxsize=256)
def parse(text: str, source: str = "policy") -> Program:
    """The syntax tree of a policy text.

    Raises:
        PolicyError: the text is not in the language; the error names the place.
    """
    cursor = Cursor(text, source)
    start = cursor.token
    declarations: list[Declaration] = []
    while cursor.token.kind != "end":
        declarations.append(_declaration(cursor))
    return Program(tuple(declarations), span=cursor.span_from(start))


def _declaration(cursor: Cursor) -> Declaration:
    doc = cursor.take_doc()
    if cursor.at_word("let"):
        return _let(cursor, doc)
    if cursor.at_word("tool"):
        return _tool(cursor, doc)
    return cursor.fail(f"expected `tool` or `let`, found {cursor.found()}")


def _let(cursor: Cursor, doc: str | None) -> Let:
    start = cursor.advance()
    name = cursor.expect_kind("ident", "a name after `let`")
    if name.text in {"true", "false"}:
        cursor.fail(f"`{name.text}` cannot be given another meaning", at=name)
    cursor.expect_op("=", f"after `let {name.text}`")
    value = _let_value(cursor)
    cursor.expect_op(";", "after the value of a `let`")
    return Let(name.text, value, doc, span=cursor.span_from(start))


def _let_value(cursor: Cursor) -> LetValue:
    """Tries a condition, then a set; the reading that got further names the error."""
    token = cursor.token
    if at_domain(cursor):
        return parse_domain(cursor)
    bare = token.kind in {"string", "number", "datetime", "regex", "wildcard"}
    if bare and cursor.peek().text == ";" and cursor.peek().kind == "op":
        cursor.fail("a bare literal cannot be bound to a name", "bind a set: `{...}`")
    position = cursor.position
    try:
        predicate = parse_predicate(cursor)
        if cursor.at_op(";"):
            if isinstance(predicate, PredicateRef):
                return Alias(predicate.name, span=predicate.span)
            return predicate
        cursor.fail(f"expected `;` after the value of a `let`, found {cursor.found()}")
    except PolicyError as error:
        as_predicate = error
        cursor.rewind(position)
    try:
        value = parse_set(cursor)
        if cursor.at_op(";"):
            return value
        cursor.fail(f"expected `;` after the value of a `let`, found {cursor.found()}")
    except PolicyError as as_set:
        further = (as_set.line, as_set.column) > (as_predicate.line, as_predicate.column)
        raise (as_set if further else as_predicate) from None


def _tool(cursor: Cursor, doc: str | None) -> ToolDecl | Shorthand:
    start = cursor.advance()
    tool_id = _tool_id(cursor)
    if cursor.accept_op("{"):
        members: list[Member] = []
        while not cursor.at_op("}"):
            members.append(_member(cursor))
        cursor.advance()
        return ToolDecl(tool_id, tuple(members), doc, span=cursor.span_from(start))
    return _shorthand(cursor, start, tool_id, doc)


def _tool_id(cursor: Cursor) -> ToolId:
    token = cursor.token
    if token.kind not in {"string", "regex"}:
        advice = None
        if token.kind == "wildcard":
            advice = 'wildcards are no tool ids; write a regex, for example `tool r"send_.*"`'
        cursor.fail(f"expected a tool id, found {cursor.found()}", advice)
    cursor.advance()
    return ToolId(token.text, token.kind == "regex", span=token.span)


def _member(cursor: Cursor) -> Member:
    doc = cursor.take_doc()
    start = cursor.token
    if cursor.accept_word("priority"):
        value = _integer(cursor, "after `priority`")
        cursor.expect_op(";", "after the priority")
        return Priority(value, doc, span=cursor.span_from(start))
    if cursor.at_word(*_LEVELS):
        return _check_rule(cursor, doc)
    if cursor.accept_word("result"):
        return _block(cursor, start, "result", doc)
    if cursor.accept_word("session"):
        if not cursor.at_word("before", "after"):
            cursor.fail(
                f"expected `before` or `after` after `session`, found {cursor.found()}",
                "`session before` runs on every attempt, `session after` when the result is back",
            )
        where: Where = "before" if cursor.advance().text == "before" else "after"
        return _block(cursor, start, where, doc)
    return cursor.fail(f"expected a rule or a block, found {cursor.found()}", _MEMBER_HELP)


def _integer(cursor: Cursor, where: str) -> int:
    token = cursor.token
    if token.kind != "number" or "." in token.text or "inf" in token.text:
        cursor.fail(f"expected an integer {where}, found {cursor.found()}")
    return int(cursor.advance().text)


def _check_rule(cursor: Cursor, doc: str | None) -> CheckRule:
    start = cursor.advance()
    if not cursor.at_word("allow", "deny"):
        cursor.fail(f"expected `allow` or `deny` after `{start.text}`, found {cursor.found()}")
    outcome = cursor.advance()
    condition = None
    if cursor.accept_word("when"):
        condition = parse_predicate(cursor)
    elif not cursor.accept_word("always"):
        cursor.fail(
            f"expected `when` or `always` after `{outcome.text}`, found {cursor.found()}",
            f"write `{start.text} {outcome.text} always;` to mean every call",
        )
    cursor.expect_op(";", "after the rule")
    return CheckRule(
        "hard" if _LEVELS[start.text] == "hard" else "soft",
        "allow" if outcome.text == "allow" else "deny",
        condition,
        doc,
        span=cursor.span_from(start),
    )


def _block(cursor: Cursor, start: Token, where: Where, doc: str | None) -> UpdateBlock:
    cursor.expect_op("{", "to open the block")
    statements: list[Statement] = []
    while not cursor.at_op("}"):
        statements.append(_statement(cursor))
    cursor.advance()
    return UpdateBlock(where, tuple(statements), doc, span=cursor.span_from(start))


def _statement(cursor: Cursor) -> Statement:
    doc = cursor.take_doc()
    start = cursor.token
    if not _at_when(cursor):
        return _update(cursor, doc)
    cursor.advance()
    condition = parse_predicate(cursor)
    cursor.expect_op("{", "after the condition")
    updates: list[Update] = []
    while not cursor.at_op("}"):
        if _at_when(cursor):
            cursor.fail("`when` does not nest", "join the two conditions with `and`")
        updates.append(_update(cursor, cursor.take_doc()))
    cursor.advance()
    return Conditional(condition, tuple(updates), doc, span=cursor.span_from(start))


def _at_when(cursor: Cursor) -> bool:
    if not cursor.at_word("when"):
        return False
    after = cursor.peek()
    return not (after.kind == "op" and after.text == ".")


def _update(cursor: Cursor, doc: str | None) -> Update:
    start = cursor.token
    target = _target(cursor)
    op = _assign(cursor)
    value = parse_set(cursor)
    cursor.expect_op(";", "after the update")
    return Update(target, op, value, doc, span=cursor.span_from(start))


def _assign(cursor: Cursor) -> AssignOp:
    op = _ASSIGN.get(cursor.token.text) if cursor.token.kind == "op" else None
    if op is None:
        cursor.fail(
            f"expected an assignment, found {cursor.found()}",
            "write one of `=`, `|=`, `&=`, `-=`, `^=`",
        )
    cursor.advance()
    return op


def _target(cursor: Cursor) -> Target:
    start = cursor.token
    if cursor.accept_op("@"):
        if cursor.at_word(*FIELDS):
            return Target("bare", parse_field(cursor), span=cursor.span_from(start))
        if not cursor.at_word("result", "session"):
            cursor.fail(
                f"`@{cursor.token.text}` cannot be assigned to",
                "assign to `@tags`, `@result.tags`, `@session.tags` or `NAME.tags`",
            )
        scope = cursor.advance().text
        cursor.expect_op(".", f"after `@{scope}`")
        field = parse_field(cursor)
        return Target(
            "result" if scope == "result" else "session", field, span=cursor.span_from(start)
        )
    name = cursor.expect_kind("ident", "an update such as `@tags |= {...}`")
    cursor.expect_op(".", f"after `{name.text}`")
    field = parse_field(cursor)
    return Target("argument", field, name.text, span=cursor.span_from(start))


def _shorthand(cursor: Cursor, start: Token, tool_id: ToolId, doc: str | None) -> Shorthand:
    priority = None
    if cursor.accept_op("["):
        priority = _integer(cursor, "in the brackets")
        cursor.expect_op("]", "after the priority")
        cursor.expect_op("->", "after the priority")
    elif not cursor.accept_op("->"):
        cursor.fail(f"expected `{{` or `->` after the tool id, found {cursor.found()}")
    where: Where = "result"
    if cursor.accept_word("session"):
        where = "after"
        if cursor.at_word("before", "after"):
            where = "before" if cursor.advance().text == "before" else "after"
    else:
        cursor.accept_word("result")
    field = _shorthand_field(cursor)
    op = _assign(cursor)
    value = parse_set(cursor)
    condition = parse_predicate(cursor) if cursor.accept_word("when") else None
    cursor.expect_op(";", "after the declaration")
    span = cursor.span_from(start)
    return Shorthand(tool_id, priority, where, field, op, value, condition, doc, span=span)


def _shorthand_field(cursor: Cursor) -> FieldName:
    cursor.expect_op("@", "and a label field")
    if cursor.at_word("session", "result"):
        word = cursor.token.text
        cursor.fail(
            f"expected a label field, found `{word}`", f"write `-> {word} @tags |= {{...}}`"
        )
    return parse_field(cursor)
