"""Who may do what in a conversation, as one table. Pure. Source: conversations.md, 7.3."""

from enum import StrEnum

from interlock.conversations.model import MemberRole

__all__ = ["Action", "may", "may_change_role"]


class Action(StrEnum):
    """Something a member does."""

    READ = "read"
    """Read, stream, mark read, presence."""
    POST = "post"
    """Post, reply, type, use tools, trigger agents."""
    CHANGE_OWN = "change_own"
    """Edit, delete or restore one's own message."""
    CHANGE_OTHERS = "change_others"
    CANCEL_OWN = "cancel_own"
    """Stop a generation one asked for."""
    CANCEL_OTHERS = "cancel_others"
    POST_SYSTEM = "post_system"
    MANAGE = "manage"
    """Participants, invites, settings."""
    DELETE = "delete"


_MEMBER = frozenset({Action.READ, Action.POST, Action.CHANGE_OWN, Action.CANCEL_OWN})
_ADMIN = _MEMBER | {
    Action.CHANGE_OTHERS,
    Action.CANCEL_OTHERS,
    Action.POST_SYSTEM,
    Action.MANAGE,
}
_ALLOWED: dict[MemberRole, frozenset[Action]] = {
    "owner": _ADMIN | {Action.DELETE},
    "admin": _ADMIN,
    "member": _MEMBER,
    "viewer": frozenset({Action.READ}),
}


def may(role: MemberRole, action: Action, *, read_only: bool = False) -> bool:
    """Whether a member of this role may; `read_only` is the person's role on the server."""
    if read_only and action is not Action.READ:
        return False
    return action in _ALLOWED[role]


def may_change_role(
    actor: MemberRole, *, before: MemberRole | None, after: MemberRole | None
) -> bool:
    """Whether `actor` may make a member of role `before` one of role `after`.

    None stands for "no member". Only an owner gives or takes away `owner`.
    """
    if actor == "owner":
        return True
    return actor == "admin" and "owner" not in (before, after)
