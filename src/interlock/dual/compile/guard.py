"""Parsing with a bounded parser: sizes and depth are checked, every failure is a `ProgramError`.

Python's own parser does the syntax (`ast.parse`, which runs nothing). What it cannot stand - deep
nesting, huge literals, NUL bytes - is refused before or caught here.
"""

import ast
import io
import tokenize
import warnings

from interlock.dual.errors import ProgramError
from interlock.dual.limits import Limits

__all__ = ["parse", "repaired"]

_SKIPPED = frozenset({tokenize.NL, tokenize.COMMENT})


def parse(source: str, limits: Limits) -> ast.Module:
    """The syntax tree of a program.

    Raises:
        ProgramError: it is too large or too deep, or not Python.
    """
    try:
        size = len(source.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ProgramError("syntax", "the program is not valid Unicode") from error
    if size > limits.source_bytes:
        raise ProgramError("too_large", f"the program is larger than {limits.source_bytes} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except SyntaxError as error:
        message = (error.msg or "invalid syntax").partition("(<unknown>")[0].strip()
        raise ProgramError(
            "syntax", message, line=error.lineno or 0, column=error.offset or 0
        ) from None
    except ValueError as error:
        raise ProgramError("syntax", str(error) or "invalid text") from None
    except (RecursionError, MemoryError):
        raise ProgramError("too_large", "the program is nested too deeply") from None
    _check(tree, limits)
    return tree


def _check(tree: ast.Module, limits: Limits) -> None:
    """Bounds depth and literals without recursion."""
    stack: list[tuple[ast.AST, int]] = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > limits.syntax_depth:
            raise ProgramError(
                "too_large", "the program is nested too deeply", line=getattr(node, "lineno", 0)
            )
        if isinstance(node, ast.Constant):
            _check_literal(node, limits)
        for child in ast.iter_child_nodes(node):
            stack.append((child, depth + (0 if _is_chain(node, child) else 1)))


def _is_chain(node: ast.AST, child: ast.AST) -> bool:
    """Long chains the compiler takes in a loop: `a + b + c + ...` and `elif`."""
    if isinstance(node, ast.BinOp):
        return child is node.left and isinstance(child, ast.BinOp)
    return isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)


def _check_literal(node: ast.Constant, limits: Limits) -> None:
    value = node.value
    if isinstance(value, str | bytes):
        if len(value) > limits.literal_bytes:
            raise ProgramError(
                "too_large",
                f"a literal is longer than {limits.literal_bytes} characters",
                line=node.lineno,
            )
    elif isinstance(value, complex):
        raise ProgramError("unsupported", "complex numbers are not available", line=node.lineno)
    elif isinstance(value, int) and value.bit_length() > limits.integer_bits:
        raise ProgramError(
            "too_large",
            f"an integer has more than {limits.integer_bits} bits",
            line=node.lineno,
        )


def repaired(source: str) -> str:
    """The program with `pass` put into suites that are empty.

    The LangGraph compiler writes `if next_node == "end":` with nothing below. Lines keep their
    numbers. A text that cannot even be split into tokens is returned as it is.

    Source: gateway.md 13.
    """
    lines = source.splitlines(keepends=True)
    try:
        gaps = _empty_suites(source)
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
        return source
    for row, column in gaps:
        line = lines[row - 1]
        lines[row - 1] = f"{line[:column]} pass{line[column:]}"
    return "".join(lines)


def _empty_suites(source: str) -> list[tuple[int, int]]:
    """Where a colon ends a logical line and no deeper line follows: row from 1, column from 0.

    Reads tokens line by line so that the dedent after an empty suite, which the tokenizer
    of the language accepts, is seen before the parser refuses it.
    """
    found: list[tuple[int, int]] = []
    last: tokenize.TokenInfo | None = None
    header: tokenize.TokenInfo | None = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _SKIPPED:
            continue
        if header is not None:
            if token.type != tokenize.INDENT:
                found.append(header.end)
            header = None
        if token.type == tokenize.NEWLINE:
            if last is not None and last.type == tokenize.OP and last.string == ":":
                header = last
            last = None
            continue
        last = token
    return found
