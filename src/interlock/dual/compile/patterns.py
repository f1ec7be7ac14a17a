"""`match` statements: a pattern becomes data that one instruction tries against the subject."""

import ast
from typing import Any

from interlock.dual.compile.builder import Builder
from interlock.dual.compile.expressions import emit_expression
from interlock.dual.values import Value

__all__ = ["emit_pattern"]

Pattern = tuple[Any, ...]
"""`("value", i)`, `("is", Value)`, `("any", capture | None)`, `("sequence", parts, star)`,
`("mapping", ((i, part), ...), rest)`, `("class", i, positional, keywords)`, `("or", parts)`,
`("as", part, capture)`; `i` numbers values evaluated before, captures are names."""


class _Values:
    """Expressions inside a pattern, evaluated before it is tried."""

    def __init__(self) -> None:
        self.nodes: list[ast.expr] = []

    def add(self, node: ast.expr) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1


def emit_pattern(b: Builder, node: ast.pattern) -> list[str]:
    """Tries a pattern against the subject on top of the stack, which stays.

    Pushes the captured values and then whether it matched (captures are None if not).

    Returns:
        The captured names, in the order their values were pushed.
    """
    values = _Values()
    captures: list[str] = []
    pattern = _pattern(b, node, values, captures)
    for expression in values.nodes:
        emit_expression(b, expression)
    b.emit("MATCH", (pattern, len(values.nodes), tuple(captures)), node)
    return captures


def _capture(name: str | None, captures: list[str]) -> str | None:
    if name is not None and name not in captures:
        captures.append(name)
    return name


def _pattern(b: Builder, node: ast.pattern, values: _Values, captures: list[str]) -> Pattern:
    match node:
        case ast.MatchValue():
            return ("value", values.add(node.value))
        case ast.MatchSingleton():
            return ("is", Value(node.value))
        case ast.MatchAs(pattern=None):
            return ("any", _capture(node.name, captures))
        case ast.MatchAs(pattern=inner):
            part = _pattern(b, inner, values, captures)
            return ("as", part, _capture(node.name, captures))
        case ast.MatchOr():
            return ("or", tuple([_pattern(b, p, values, captures) for p in node.patterns]))
        case ast.MatchSequence():
            return _sequence(b, node, values, captures)
        case ast.MatchMapping():
            parts = tuple(
                [
                    (values.add(key), _pattern(b, part, values, captures))
                    for key, part in zip(node.keys, node.patterns, strict=True)
                ]
            )
            return ("mapping", parts, _capture(node.rest, captures))
        case ast.MatchClass():
            cls = values.add(node.cls)
            positional = tuple([_pattern(b, p, values, captures) for p in node.patterns])
            words = tuple(
                [
                    (name, _pattern(b, p, values, captures))
                    for name, p in zip(node.kwd_attrs, node.kwd_patterns, strict=True)
                ]
            )
            return ("class", cls, positional, words)
    raise b.unsupported(node, "this pattern is")


def _sequence(b: Builder, node: ast.MatchSequence, values: _Values, captures: list[str]) -> Pattern:
    parts: list[Pattern] = []
    star = -1
    for position, part in enumerate(node.patterns):
        if isinstance(part, ast.MatchStar):
            star = position
            parts.append(("any", _capture(part.name, captures)))
        else:
            parts.append(_pattern(b, part, values, captures))
    return ("sequence", tuple(parts), star)
