"""Signing in and out, the first administrator, and the page before an outside address."""

from urllib.parse import urlsplit

from starlette.responses import Response

from interlock.console.page import Call, Page, local_path
from interlock.console.text import host_problem
from interlock.kernel.errors import InterlockError

__all__ = ["PAGES"]


async def login(call: Call) -> Response:
    """The form."""
    if call.viewer_or_none is not None:
        return call.redirect(local_path(call.query("next")))
    if await call.services.sign_in.needs_setup():
        return call.redirect("/console/setup")
    return call.render(
        "login.html",
        next=local_path(call.query("next")),
        problem=None,
        identifier="",
        out=call.query("out"),
    )


async def do_login(call: Call) -> Response:
    """Signs in, or says why not without saying what was wrong."""
    there = local_path(call.field("next"))
    identifier = call.field("identifier")
    try:
        granted = await call.services.sign_in.login(
            call.request, identifier, call.form.get("password", "")
        )
    except InterlockError as error:
        return call.render(
            "login.html", status=401, next=there, problem=error, identifier=identifier, out=""
        )
    answer = call.redirect(there)
    granted(answer)
    return answer


async def logout(call: Call) -> Response:
    """Ends the session."""
    granted = await call.services.sign_in.logout(call.request)
    answer = call.redirect("/console/login?out=1")
    granted(answer)
    return answer


async def setup(call: Call) -> Response:
    """The form of the first administrator."""
    if not await call.services.sign_in.needs_setup():
        return call.redirect("/console/login")
    return call.render("setup.html", problem=None, name="", email="")


async def do_setup(call: Call) -> Response:
    """Makes the first administrator; exactly one request wins."""
    name, email = call.field("name"), call.field("email")
    try:
        granted = await call.services.sign_in.setup(
            call.request, name, email, call.form.get("password", "")
        )
    except InterlockError as error:
        return call.render("setup.html", status=400, problem=error, name=name, email=email)
    answer = call.redirect("/console")
    granted(answer)
    return answer


async def leaving(call: Call) -> Response:
    """Shows the whole address before a browser goes there."""
    target = call.query("to")
    try:
        good = urlsplit(target).scheme in {"http", "https", "mailto"}
    except ValueError:
        good = False
    return call.render("leaving.html", target=target, good=good, problem=host_problem(target))


PAGES = (
    Page(path="/console/login", handler=login, right="public"),
    Page(path="/console/login", handler=do_login, methods=("POST",), right="public"),
    Page(path="/console/logout", handler=logout, methods=("POST",)),
    Page(path="/console/setup", handler=setup, right="public"),
    Page(path="/console/setup", handler=do_setup, methods=("POST",), right="public"),
    Page(path="/console/leaving", handler=leaving),
)
