"""Making and changing people: each change says in numbers what it does.

Needs a recent sign-in. The last administrator cannot be taken away: the service refuses.
"""

from starlette.responses import Response

from interlock.console.page import Call, Page
from interlock.console.routes.users import ROLE_WORDS, person
from interlock.console.words import plural
from interlock.identity.errors import InvalidIdentityError
from interlock.identity.invites import LIFETIME_S, InvitationError
from interlock.identity.model import GLOBAL_ROLES
from interlock.identity.roster import RosterRow
from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["PAGES"]

_REFUSED = {ErrorKind.INVALID, ErrorKind.UNPROCESSABLE, ErrorKind.CONFLICT}


async def new(call: Call) -> Response:
    """The form."""
    return _form(call, None)


async def create(call: Call) -> Response:
    """Makes a person and shows the link by which the person chooses a password."""
    email = call.field("email")
    role = call.field("global_role", "member")
    try:
        if role not in GLOBAL_ROLES:
            raise InvalidIdentityError("there is no such role", param="global_role")
        await call.need_recent(
            "Create user",
            f"This makes {email[:120]} a person of this server, as {ROLE_WORDS[role].lower()}.",
        )
        user = await call.services.people.create_user(
            email,
            call.viewer.actor,
            username=call.field("username") or None,
            display_name=call.field("display_name"),
            global_role=role,
        )
    except InterlockError as error:
        if error.error_kind not in _REFUSED:
            raise
        return _form(call, error)
    return await _link(call, await person(call, user.id))


async def invite(call: Call) -> Response:
    """Shows a link by which the person chooses a password."""
    row = await person(call, call.path("id"))
    await call.need_recent(
        "Make link",
        f"Whoever opens the link can choose a password for {row.user.username} and sign in as "
        f"this person. Choosing one ends {plural(row.sessions, 'session')}.",
    )
    return await _link(call, row)


async def set_role(call: Call) -> Response:
    """Changes what the person may do on the server."""
    row = await person(call, call.path("id"))
    role = call.field("global_role")
    if role not in GLOBAL_ROLES:
        raise InvalidIdentityError("there is no such role", param="global_role")
    await call.need_recent(
        "Change role",
        f"{row.user.username} is {ROLE_WORDS[row.user.global_role].lower()} and becomes "
        f"{ROLE_WORDS[role].lower()}, with the next request of {plural(row.sessions, 'session')}.",
    )
    await call.services.people.set_global_role(row.user.id, role, call.viewer.actor)
    return call.redirect(f"/console/users/{row.user.id}")


async def disable(call: Call) -> Response:
    """Shuts the person out."""
    row = await person(call, call.path("id"))
    await call.need_recent("Disable user", f"{row.user.username} {_loses(row)}.")
    await call.services.people.disable(row.user.id, call.viewer.actor)
    return call.redirect(f"/console/users/{row.user.id}")


async def enable(call: Call) -> Response:
    """Lets the person in again."""
    row = await person(call, call.path("id"))
    await call.need_recent(
        "Enable user",
        f"{row.user.username} can sign in again, and {plural(row.keys, 'key')} can be used again.",
    )
    await call.services.people.enable(row.user.id, call.viewer.actor)
    return call.redirect(f"/console/users/{row.user.id}")


async def remove(call: Call) -> Response:
    """Removes the person for good."""
    row = await person(call, call.path("id"))
    await call.need_recent(
        "Remove user",
        f"{row.user.username} {_loses(row)}, for good; the personal account goes with it. "
        "What was recorded about calls keeps the id.",
    )
    await call.services.people.remove(row.user.id, call.viewer.actor)
    return call.redirect("/console/users")


async def sign_out(call: Call) -> Response:
    """Ends one session of the person, or all of them."""
    row = await person(call, call.path("id"))
    session = call.field("session")[:64]
    if session:
        await call.services.people.revoke_session(row.user.id, session, call.viewer.actor)
    else:
        await call.services.people.sign_out_everywhere(row.user.id, call.viewer.actor)
    return call.redirect(f"/console/users/{row.user.id}")


def _loses(row: RosterRow) -> str:
    return (
        f"is signed out of {plural(row.sessions, 'session')} and "
        f"{plural(row.keys, 'key stops', 'keys stop')} working"
    )


async def _link(call: Call, row: RosterRow) -> Response:
    token = await call.services.invites.make(row.user.id, call.viewer.actor)
    return call.render(
        "user_link.html",
        row=row,
        link=f"{call.base_url}/console/invite/{token}",
        days=round(LIFETIME_S / 86_400),
    )


def _form(call: Call, problem: InterlockError | None) -> Response:
    return call.render(
        "user_new.html",
        status=200 if problem is None else 400,
        problem=problem,
        given=dict(call.form),
        roles=ROLE_WORDS,
    )


async def invitation(call: Call) -> Response:
    """The page of a link: choose a password."""
    try:
        user = await call.services.invites.whose(call.path("token"))
    except InvitationError as error:
        return call.render("invite.html", status=404, person=None, problem=error)
    return call.render("invite.html", person=user, problem=None)


async def accept(call: Call) -> Response:
    """Keeps the password; the person signs in with it."""
    user = None
    try:
        user = await call.services.invites.whose(call.path("token"))
        if call.form.get("password", "") != call.form.get("again", ""):
            raise InvalidIdentityError("the two passwords differ", param="again")
        await call.services.invites.redeem(call.path("token"), call.form.get("password", ""))
    except InvitationError as error:
        return call.render("invite.html", status=404, person=None, problem=error)
    except InvalidIdentityError as error:
        return call.render("invite.html", status=400, person=user, problem=error)
    return call.redirect("/console/login?out=2")


_ONE = "/console/users/{id}"
PAGES = (
    Page(path="/console/users/new", handler=new, right="admin"),
    Page(path="/console/users/new", handler=create, methods=("POST",), right="admin"),
    Page(path=f"{_ONE}/invite", handler=invite, methods=("POST",), right="admin"),
    Page(path=f"{_ONE}/role", handler=set_role, methods=("POST",), right="admin"),
    Page(path=f"{_ONE}/disable", handler=disable, methods=("POST",), right="admin"),
    Page(path=f"{_ONE}/enable", handler=enable, methods=("POST",), right="admin"),
    Page(path=f"{_ONE}/remove", handler=remove, methods=("POST",), right="admin"),
    Page(path=f"{_ONE}/sign-out", handler=sign_out, methods=("POST",), right="admin"),
    Page(path="/console/invite/{token}", handler=invitation, right="public"),
    Page(path="/console/invite/{token}", handler=accept, methods=("POST",), right="public"),
)
