"""Who answers a message: rules over the conversation's mode, its mentions and its parent.

Pure. Source: conversations.md, 12.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from interlock.conversations.model import AssistantMode

__all__ = ["Answerers", "Parent", "who_answers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """Who wrote the message that is answered to."""

    kind: Literal["agent", "self", "other", "none"]
    """`self`: whoever writes now; `other`: another person; `none`: a root, or a notice."""
    agent_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerers:
    """Agents that reply to one message, in the order they were named."""

    agents: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Agents above the limit per message."""


_NONE = Parent(kind="none")


def who_answers(
    mode: AssistantMode,
    *,
    agents: Sequence[str] = (),
    people: bool = False,
    parent: Parent = _NONE,
    default: str | None,
    limit: int,
) -> Answerers:
    """The agents that answer a `user` message.

    `agents` are the ids of the agents it mentions, in order; `people` says whether it mentions
    a human (or `@all`). `default` is the conversation's own agent, None when there is none.
    """
    chosen = _chosen(mode, tuple(dict.fromkeys(agents)), people, parent, default)
    return Answerers(agents=chosen[:limit], left_out=chosen[limit:])


def _chosen(
    mode: AssistantMode,
    agents: tuple[str, ...],
    people: bool,
    parent: Parent,
    default: str | None,
) -> tuple[str, ...]:
    own = () if default is None else (default,)
    match mode:
        case "off":
            return ()
        case "mention":
            return agents
        case "always":
            return agents or own
        case "auto":
            return agents or _unaddressed(people, parent, own)
        case _:
            assert_never(mode)


def _unaddressed(people: bool, parent: Parent, own: tuple[str, ...]) -> tuple[str, ...]:
    """Rules 2 to 5 of `auto`: the message names no agent."""
    if people or parent.kind == "other":
        return ()
    if parent.kind == "agent" and parent.agent_id is not None:
        return (parent.agent_id,)
    return own
