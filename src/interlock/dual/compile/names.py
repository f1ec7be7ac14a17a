"""Which identifiers a program may use, and why others may not.

No name that begins with two underscores exists in the language, so nothing written with one can
be a way to the host. Source: gateway.md 10.4 ("No dunder access").
"""

import ast
from collections.abc import Iterator

from interlock.dual.errors import ProgramError

__all__ = ["REFUSED", "check_identifiers"]

REFUSED = frozenset(
    {
        "breakpoint",
        "classmethod",
        "compile",
        "delattr",
        "dir",
        "eval",
        "exec",
        "globals",
        "help",
        "input",
        "locals",
        "memoryview",
        "object",
        "open",
        "property",
        "setattr",
        "staticmethod",
        "super",
        "vars",
    }
)
"""Built-ins of Python that the language has not; named for a clearer message."""

_UNDERSCORED = frozenset({"_asdict", "_fields", "_make", "_replace"})
"""Attributes of named tuples, the only ones that begin with an underscore."""
_ALLOWED = frozenset({"__name__", "__future__"})
_FIELDS = ("id", "attr", "arg", "name", "asname", "module", "rest")


def check_identifiers(tree: ast.AST, *, trusted: bool = False) -> None:
    """Refuses reserved identifiers anywhere in the tree.

    `trusted` is for the prelude, whose own helpers begin with one underscore.

    Raises:
        ProgramError: the first one found.
    """
    for node in ast.walk(tree):
        for name in _identifiers(node):
            hidden = isinstance(node, ast.Attribute) and name.startswith("_")
            if name.startswith("__") and not (
                name in _ALLOWED and isinstance(node, ast.Name | ast.ImportFrom)
            ):
                _refuse(node, f"`{name}` is not available: names with two underscores are reserved")
            if hidden and name not in _UNDERSCORED and not trusted:
                _refuse(node, f"attribute `{name}` is private and not available")


def _identifiers(node: ast.AST) -> Iterator[str]:
    for field in _FIELDS:
        name = getattr(node, field, None)
        if isinstance(name, str):
            yield name
    for name in getattr(node, "names", ()):
        if isinstance(name, str):
            yield name
    yield from getattr(node, "kwd_attrs", ())


def _refuse(node: ast.AST, message: str) -> None:
    raise ProgramError(
        "unsupported",
        message,
        line=getattr(node, "lineno", 0),
        column=getattr(node, "col_offset", -1) + 1,
    )
