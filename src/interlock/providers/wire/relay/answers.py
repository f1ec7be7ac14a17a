"""What the three whole answers share: the fast proof that nothing is called, and errors.

An answer that calls no tool and needs no change goes out as it came, so the frequent
case must be proved cheaply. `clear` is that proof: no marker of a call occurs anywhere
in the body and no escape could spell one. Text that merely contains a marker costs a
full parse, nothing else; so does an upstream that names members twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.providers.wire.errors import MalformedAnswerError
from interlock.providers.wire.model import StopReason, ToolCall, Usage
from interlock.providers.wire.relay.exact import (
    JSON_ERRORS,
    DuplicateMemberError,
    loads,
    loads_any,
    text_of,
)

__all__ = [
    "Tree",
    "Verdicts",
    "array",
    "clear",
    "mapping",
    "mentions",
    "open_tree",
    "reject_error",
]

Tree = dict[str, Any]


class Verdicts:
    """How a whole answer is to change. Calls nobody decided are treated as denied."""

    __slots__ = ("arguments", "denied", "ids", "stop", "text", "usage")

    def __init__(
        self,
        ids: Mapping[str, str],
        *,
        denied: frozenset[str],
        arguments: Mapping[str, str] | None,
        text: str | None,
        usage: Usage | None,
        stop: StopReason | None,
    ) -> None:
        self.ids = ids
        self.denied = denied
        self.arguments = arguments or {}
        self.text = text
        self.usage = usage
        self.stop = stop

    def our_id(self, call: ToolCall) -> str | None:
        """The id for the client; None: the call does not leave."""
        return None if call.id in self.denied else self.ids.get(call.id)

    def changes(self, calls: Sequence[ToolCall], stop: StopReason, usage: Usage | None) -> bool:
        """Whether anything at all differs from what the upstream said."""
        return bool(
            calls
            or self.text
            or (self.stop is not None and self.stop is not stop)
            or (self.usage is not None and self.usage != usage)
        )


def clear(body: bytes, markers: Sequence[bytes]) -> bool:
    r"""Whether no member name or value in `body` can contain a marker.

    ASCII characters have an escaped spelling only as `\u00xx`.
    """
    if b"\\" in body and b"\\u00" in body:
        return False
    for marker in markers:  # noqa: SIM110 - twice as fast as `any` over a generator
        if marker in body:
            return False
    return True


def mentions(body: bytes, markers: Sequence[bytes]) -> int | None:
    """How often the markers occur in `body`; None when an escape could spell one."""
    return (
        None
        if b"\\" in body and b"\\u00" in body
        else sum([body.count(marker) for marker in markers])
    )


def open_tree(body: bytes) -> tuple[Tree, bool]:
    """A whole answer opened, and whether its bytes may go out as they are.

    They may not when it names a member twice: the client might read the other one.
    """
    faithful = True
    try:
        try:
            tree = loads(body)
        except DuplicateMemberError:
            tree = loads_any(body)
            faithful = False
    except JSON_ERRORS as error:
        raise MalformedAnswerError("the upstream's answer is not valid JSON") from error
    if not isinstance(tree, dict):
        raise MalformedAnswerError("the upstream's answer is not an object")
    return tree, faithful


def reject_error(tree: Mapping[str, Any], missing: str) -> MalformedAnswerError:
    """The error for an answer without member `missing`: often an error with status 200."""
    error = tree.get("error")
    message = text_of(error.get("message") if isinstance(error, dict) else error)
    if message:
        return MalformedAnswerError(f"the upstream answered an error: {message[:500]}")
    return MalformedAnswerError(f"the upstream's answer has no `{missing}`")


def mapping(tree: Mapping[str, Any], name: str) -> Tree:
    """An object member; empty when absent or null."""
    value = tree.get(name)
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise MalformedAnswerError(f"the upstream's `{name}` is not an object")


def array(tree: Mapping[str, Any], name: str) -> list[Any]:
    """An array of objects; empty when absent or null."""
    value = tree.get(name)
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(element, dict) for element in value):
        return value
    raise MalformedAnswerError(f"the upstream's `{name}` is not an array of objects")
