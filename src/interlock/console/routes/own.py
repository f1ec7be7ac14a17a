"""What people change about themselves: name, password, sessions. Source: console.md, 5.11."""

from starlette.responses import Response

from interlock.console.page import Call, Page
from interlock.console.routes.settings import profile, render_tab, security
from interlock.identity.errors import InvalidIdentityError, SessionNotFoundError
from interlock.identity.login.errors import InvalidCredentialsError

__all__ = ["PAGES"]

_HERE = "/console/settings/security"


async def rename(call: Call) -> Response:
    """Changes the name one is shown by."""
    try:
        await call.services.people.set_display_name(
            call.viewer.user_id, call.field("display_name"), call.viewer.actor
        )
    except InvalidIdentityError as error:
        values = {**await profile(call), "problem": error}
        return render_tab(call, "profile", values, status=400)
    return call.redirect("/console/settings/profile")


async def password(call: Call) -> Response:
    """Changes one's password and ends one's other sessions."""
    try:
        if call.form.get("new_password", "") != call.form.get("again", ""):
            raise InvalidIdentityError("the two new passwords differ", param="again")
        await call.services.people.change_password(
            call.viewer.user_id,
            call.form.get("password", ""),
            call.form.get("new_password", ""),
            session_id=await call.services.own_session(call.request) or "",
            actor=call.viewer.actor,
        )
    except InvalidCredentialsError:
        wrong = InvalidIdentityError("this is not your password", param="password")
        return render_tab(call, "security", {**await security(call), "problem": wrong}, status=400)
    except InvalidIdentityError as error:
        return render_tab(call, "security", {**await security(call), "problem": error}, status=400)
    return call.redirect(f"{_HERE}?done=password")


async def sign_out(call: Call) -> Response:
    """Ends one of one's sessions, or all the others."""
    people, viewer = call.services.people, call.viewer
    wanted = call.field("session")[:64]
    own = await call.services.own_session(call.request)
    for session in await people.sessions_of(viewer.user_id):
        if session.id == wanted or (not wanted and session.id != own):
            try:
                await people.revoke_session(viewer.user_id, session.id, viewer.actor)
            except SessionNotFoundError:  # ended a moment ago
                continue
    return call.redirect(f"{_HERE}?done=sessions")


PAGES = (
    Page(path="/console/settings/profile", handler=rename, methods=("POST",)),
    Page(path="/console/settings/security/password", handler=password, methods=("POST",)),
    Page(path="/console/settings/security/sign-out", handler=sign_out, methods=("POST",)),
)
