"""Users: who there is, what they hold, where they are signed in. Source: console.md, 5.8."""

from typing import Any

from starlette.responses import Response

from interlock.console.devices import device_of
from interlock.console.errors import NothingHereError
from interlock.console.page import Call, Page
from interlock.identity.model import GLOBAL_ROLES
from interlock.identity.naming import name_key
from interlock.identity.roster import RosterRow

__all__ = ["PAGES", "ROLE_WORDS", "person", "state_of"]

ROLE_WORDS = {
    "admin": "Administrator",
    "member": "Member",
    "read_only": "Read only",
}
_FRAGMENTS = {"pane": "user_pane.html"}
_PAGE = 50
_ENTRIES = 10


async def listed(call: Call) -> Response:
    """Everybody, by user name."""
    find, role = call.query("q")[:100], call.query("role")
    role = role if role in {*GLOBAL_ROLES, "disabled"} else ""
    values: dict[str, Any] = {"row": None, "roles": ROLE_WORDS}
    if peek := call.query("peek"):
        values = await _detail(call, await person(call, peek), back=True)
        if call.fragment == "pane":
            return call.render("user_pane.html", **values)
    rows = await call.services.roster.page(
        find, limit=_PAGE + 1, after=call.query("after")[:200] or None, role=role or None
    )
    following = name_key(rows[_PAGE - 1].user.username) if len(rows) > _PAGE else None
    return call.render(
        "users.html",
        fragments=_FRAGMENTS,
        rows=rows[:_PAGE],
        following=following,
        counts=await call.services.roster.counts(),
        find=find,
        role=role,
        peek=peek,
        state_of=state_of,
        **values,
    )


async def alone(call: Call) -> Response:
    """One person on a page of his own."""
    row = await person(call, call.path("id"))
    return call.render("user.html", fragments=_FRAGMENTS, **await _detail(call, row, back=False))


async def person(call: Call, user_id: str) -> RosterRow:
    """The person with this id. Raises NothingHereError."""
    row = await call.services.roster.one(user_id[:64])
    if row is None:
        raise NothingHereError(user_id)
    return row


def state_of(row: RosterRow) -> str:
    """`enabled`, `invited` (cannot sign in yet) or `disabled`."""
    if row.user.disabled_at is not None:
        return "disabled"
    return "enabled" if row.has_password or row.last_seen_at else "invited"


async def _detail(call: Call, row: RosterRow, *, back: bool) -> dict[str, Any]:
    services, user = call.services, row.user
    keys = await services.admin.keys()
    return {
        "row": row,
        "back": back,
        "roles": ROLE_WORDS,
        "state": state_of(row),
        "accounts": await services.admin.accounts_of(user.id),
        "sessions": [
            (session, device_of(session.origin.user_agent))
            for session in await services.people.sessions_of(user.id)
        ],
        "keys": [key for key in keys if key.user_id == user.id],
        "entries": await services.audit.entries(limit=_ENTRIES, target=user.id),
        "own_session": await services.own_session(call.request),
    }


PAGES = (
    Page(path="/console/users", handler=listed, right="admin"),
    Page(path="/console/users/{id}", handler=alone, right="admin"),
)
