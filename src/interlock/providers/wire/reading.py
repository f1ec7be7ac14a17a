"""Typed access to decoded JSON: every wrong type is an error that names its path.

`null` counts as absent everywhere: clients and providers use both. Untrusted values are
compared with tuples, never looked up in sets: they may be unhashable.
"""

from typing import Any

import msgspec

from interlock.providers.wire.errors import (
    InvalidRequestError,
    MalformedAnswerError,
    UntranslatableError,
)
from interlock.providers.wire.halves import has_halves, read_mended

__all__ = [
    "JSON_ERRORS",
    "Losses",
    "Tree",
    "answer_tree",
    "boolean",
    "integer",
    "invalid",
    "items",
    "mapping",
    "need_items",
    "need_text",
    "number",
    "object_text",
    "text",
    "untranslatable",
]

Tree = dict[str, Any]

JSON_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding bytes as JSON can raise."""


class Losses:
    """Names of members that could not be carried, each once, in order of discovery."""

    __slots__ = ("names",)

    def __init__(self, names: list[str] | None = None) -> None:
        self.names = dict.fromkeys(names or ())

    def add(self, name: str) -> None:
        """Records `name`."""
        self.names[name] = None

    def list(self) -> list[str]:
        """All names so far."""
        return list(self.names)


def invalid(at: str, expected: str) -> InvalidRequestError:
    """The error for a member at path `at` that is not `expected`."""
    return InvalidRequestError(f"`{at}` must be {expected}", param=at)


def untranslatable(at: str, what: str) -> UntranslatableError:
    """The error for a member at path `at` that another format has no word for."""
    return UntranslatableError(f"{what} cannot be sent to this upstream", param=at)


def text(tree: Tree, key: str, at: str) -> str | None:
    """A string member, or None."""
    value = tree.get(key)
    if value is None or isinstance(value, str):
        return value
    raise invalid(f"{at}{key}", "a string")


def need_text(tree: Tree, key: str, at: str) -> str:
    """A string member that must be there."""
    value = tree.get(key)
    if isinstance(value, str):
        return value
    raise invalid(f"{at}{key}", "a string")


def integer(tree: Tree, key: str, at: str = "", *, least: int | None = None) -> int | None:
    """An integer member (a whole float counts), at least `least`, or None."""
    value = tree.get(key)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"{at}{key}", "an integer")
    if least is not None and value < least:
        raise invalid(f"{at}{key}", f"at least {least}")
    return value


def number(tree: Tree, key: str, at: str = "") -> float | None:
    """A number member, or None."""
    value = tree.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"{at}{key}", "a number")
    return value


def boolean(tree: Tree, key: str, at: str = "") -> bool | None:
    """A boolean member, or None."""
    value = tree.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise invalid(f"{at}{key}", "a boolean")


def mapping(value: object, at: str) -> Tree:
    """`value` as an object."""
    if isinstance(value, dict):
        return value
    raise invalid(at or "body", "an object")


def items(tree: Tree, key: str, at: str = "") -> list[Any]:
    """An array member; absent is empty."""
    value = tree.get(key)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise invalid(f"{at}{key}", "an array")


def need_items(tree: Tree, key: str, at: str = "") -> list[Any]:
    """An array member that must be there."""
    value = tree.get(key)
    if isinstance(value, list):
        return value
    raise invalid(f"{at}{key}", "an array")


def object_text(arguments: str) -> Tree | None:
    """Arguments (JSON text) as an object, None when they are not one; empty text is {}."""
    if not arguments.strip():
        return {}
    try:
        value = msgspec.json.decode(arguments)
    except JSON_ERRORS:
        return None
    return value if isinstance(value, dict) else None


def _mended(body: bytes, error: Exception) -> object:
    """A body the fast reader refused, if only for halves of characters."""
    if has_halves(body):
        try:
            return read_mended(body)
        except (ValueError, RecursionError):
            pass
    raise MalformedAnswerError("the upstream's answer is not JSON") from error


def answer_tree(body: bytes) -> Tree:
    """An upstream's body as an object. Raises `MalformedAnswerError`."""
    try:
        tree = msgspec.json.decode(body)
    except JSON_ERRORS as error:
        tree = _mended(body, error)
    if not isinstance(tree, dict):
        raise MalformedAnswerError("the upstream's answer is not an object")
    return tree
