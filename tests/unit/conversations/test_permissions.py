"""The table of who may do what, against the table as published."""

import pytest

from interlock.conversations.model import MemberRole
from interlock.conversations.permissions import Action, may, may_change_role

ROLES: tuple[MemberRole, ...] = ("owner", "admin", "member", "viewer")
TABLE = {
    Action.READ: "yyyy",
    Action.POST: "yyyn",
    Action.CHANGE_OWN: "yyyn",
    Action.CHANGE_OTHERS: "yynn",
    Action.CANCEL_OWN: "yyyn",
    Action.CANCEL_OTHERS: "yynn",
    Action.POST_SYSTEM: "yynn",
    Action.MANAGE: "yynn",
    Action.DELETE: "ynnn",
}


@pytest.mark.parametrize("action", list(Action))
def test_every_role_may_what_the_table_says(action: Action) -> None:
    assert "".join("y" if may(role, action) else "n" for role in ROLES) == TABLE[action]


@pytest.mark.parametrize("role", ROLES)
def test_a_read_only_person_only_reads_whatever_their_role(role: MemberRole) -> None:
    assert [action for action in Action if may(role, action, read_only=True)] == [Action.READ]


def test_only_an_owner_touches_owners() -> None:
    assert may_change_role("owner", before="owner", after="member")
    assert may_change_role("owner", before=None, after="owner")
    assert not may_change_role("admin", before="owner", after="member")
    assert not may_change_role("admin", before="member", after="owner")
    assert not may_change_role("admin", before="owner", after=None)
    assert may_change_role("admin", before=None, after="admin")
    assert may_change_role("admin", before="admin", after=None)
    assert not may_change_role("member", before=None, after="viewer")
    assert not may_change_role("viewer", before=None, after="viewer")
