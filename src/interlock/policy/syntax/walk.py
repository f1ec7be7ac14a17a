"""Every node of a tree, parents before children."""

from collections.abc import Iterator
from dataclasses import fields

from interlock.policy.syntax.nodes import Node

__all__ = ["walk"]


def walk(node: Node) -> Iterator[Node]:
    """The node itself and everything below it, in source order."""
    yield node
    for item in fields(node):
        yield from _below(getattr(node, item.name))


def _below(value: object) -> Iterator[Node]:
    if isinstance(value, Node):
        yield from walk(value)
    elif isinstance(value, tuple):
        for part in value:
            yield from _below(part)
