"""Comparing a stored conversation with the one a caller sends (7.5).

Clients resend the whole conversation, or only what is new. Assistant messages are compared
by their tool calls alone: what clients keep of our text differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from interlock.dual.turn.model import Message

__all__ = ["Comparison", "compare", "unsure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How an incoming conversation relates to the stored one."""

    kind: Literal["continues", "new_only", "diverged"]
    """`continues`: the stored one, or its end, and more. `new_only`: nothing of it."""
    common: int
    """Stored messages up to the last common point; all of them unless it diverged."""
    new_from: int
    """Index of the first incoming message that is not in the stored conversation."""


def compare(stored: Sequence[Message], incoming: Sequence[Message]) -> Comparison:
    """Finds where the new messages begin, and whether the rest is what was stored.

    System and developer messages say how to answer, not what was said: a changed one is no
    divergence. A caller that sends only the end of the conversation continues it.
    """
    old = [message for message in stored if not _is_frame(message)]
    new = [(index, message) for index, message in enumerate(incoming) if not _is_frame(message)]
    length = len(stored)
    common = 0
    while common < min(len(old), len(new)) and _same(old[common], new[common][1]):
        common += 1
    if common == len(old):
        return Comparison(kind="continues", common=length, new_from=_at(new, common, incoming))
    tail = _tail(old, [message for _, message in new])
    if tail:
        return Comparison(kind="continues", common=length, new_from=_at(new, tail, incoming))
    if _only_new(old, [message for _, message in new], common):
        return Comparison(kind="new_only", common=length, new_from=0)
    place = _stored_index(stored, common)
    return Comparison(kind="diverged", common=place, new_from=_at(new, common, incoming))


def unsure(messages: Sequence[Message]) -> tuple[Message, ...]:
    """A history the caller brings, with what may hold untrusted text marked as such (7.5).

    Nothing is known of where its assistant messages come from, so everything an assistant said
    or called after the first tool result counts as derived from it.
    """
    tainted = False
    marked: list[Message] = []
    for message in messages:
        if message.role == "tool":
            tainted = True
        if message.role == "assistant" and tainted:
            message = _derived(message)  # noqa: PLW2901 - the marked copy takes its place
        marked.append(message)
    return tuple(marked)


def _derived(message: Message) -> Message:
    calls = tuple(replace(call, derived=True) for call in message.calls)
    return replace(message, derived=True, calls=calls)


def _is_frame(message: Message) -> bool:
    return message.role in {"system", "developer"}


def _same(a: Message, b: Message) -> bool:
    if a.role != b.role:
        return False
    if a.role == "assistant":
        return [call.id for call in a.calls] == [call.id for call in b.calls]
    if a.role == "tool":
        return a.call_id == b.call_id
    return a.text.split() == b.text.split()


def _tail(old: Sequence[Message], new: Sequence[Message]) -> int:
    """How many first incoming messages are the last stored ones, in the longest such way.

    One that a client may have said twice is no proof: there must be a call id, or an
    assistant message among several.
    """
    for size in range(min(len(old), len(new)), 0, -1):
        if all(_same(a, b) for a, b in zip(old[-size:], new[:size], strict=True)):
            named = any(message.call_id or message.calls for message in new[:size])
            if named or (size > 1 and any(m.role == "assistant" for m in new[:size])):
                return size
    return 0


def _only_new(old: Sequence[Message], new: Sequence[Message], common: int) -> bool:
    if any(message.role == "assistant" for message in new):
        return False
    known = {message.call_id for message in old if message.call_id}
    if any(message.call_id in known for message in new if message.call_id):
        return False
    return common == 0 or len(new) == 1


def _at(new: Sequence[tuple[int, Message]], count: int, incoming: Sequence[Message]) -> int:
    """Index in `incoming` behind the first `count` messages that are no frame."""
    return len(incoming) if count >= len(new) else new[count][0]


def _stored_index(stored: Sequence[Message], count: int) -> int:
    """Index in `stored` behind the first `count` messages that are no frame."""
    seen = 0
    for index, message in enumerate(stored):
        if not _is_frame(message):
            if seen == count:
                return index
            seen += 1
    return len(stored)
