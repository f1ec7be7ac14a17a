"""Paths of messages: labels that sort a thread depth-first, siblings in creation order.

A label is `m` and the 32 hex digits of a message id; a path joins the labels from the root
down with dots. Sorting needs time-ordered ids (UUIDv7). Pure.
"""

import re

__all__ = ["child_path", "depth", "label", "valid_path"]

_PATH = re.compile(r"m[0-9a-f]{32}(?:\.m[0-9a-f]{32})*\Z")


def label(message_id: str) -> str:
    """The label of a message id in its hyphenated form."""
    return "m" + message_id.replace("-", "")


def child_path(parent: str | None, message_id: str) -> str:
    """The path of a message below `parent` (a path), or of a root."""
    return label(message_id) if parent is None else f"{parent}.{label(message_id)}"


def depth(path: str) -> int:
    """1 for a root, one more per level."""
    return path.count(".") + 1


def valid_path(text: str) -> bool:
    """Whether the text is a path as this module writes them."""
    return _PATH.match(text) is not None
