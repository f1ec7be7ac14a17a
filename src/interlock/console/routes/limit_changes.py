"""Making and changing limits: every change names its effect and needs a recent sign-in."""

from starlette.responses import Response

from interlock.console.limit_words import ALGORITHMS, SCOPES, given_of, in_words, params_of
from interlock.console.page import Call, Page
from interlock.console.routes.limits import found_profile
from interlock.console.words import plural
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.limits.model import METHODS, limit_of

__all__ = ["PAGES"]

_METHODS = tuple(sorted(METHODS - {"OPTIONS"}))
_REFUSED = {ErrorKind.INVALID, ErrorKind.UNPROCESSABLE, ErrorKind.CONFLICT}
_FIRST = {"algorithm": "gcra", "requests_per_second": "10", "burst": "20"}


async def new(call: Call) -> Response:
    """The form of a new profile."""
    return _form(call, problem=None, given=_FIRST)


async def create(call: Call) -> Response:
    """Makes a profile; it holds nowhere yet."""
    try:
        params = params_of(call.form)
        words = in_words(limit_of(call.field("algorithm", "gcra"), params))
        await call.need_recent(
            "Create profile", f"This makes the limit of {words}. It holds nowhere until assigned."
        )
        made = await call.services.limits.profiles.create(
            call.viewer.actor,
            name=call.field("name"),
            algorithm=call.field("algorithm", "gcra"),
            params=params,
            description=call.field("description") or None,
        )
    except InterlockError as error:
        if error.error_kind not in _REFUSED:
            raise
        return _form(call, problem=error, given=dict(call.form))
    return call.redirect(f"/console/limits/profiles/{made.id}")


async def change(call: Call) -> Response:
    """Changes what a profile says; everybody under it begins anew."""
    row = await found_profile(call, call.path("id"))
    try:
        algorithm, params = call.field("algorithm", "gcra"), params_of(call.form)
        words = in_words(limit_of(algorithm, params))
        await call.need_recent(
            "Save profile",
            f"{row.profile.name} changes from {in_words(row.limit)} to {words}. It holds on "
            f"{plural(len(row.routes), 'route')}; counts begin anew.",
        )
        name = call.field("name")
        await call.services.limits.profiles.change(
            call.viewer.actor,
            row.profile.id,
            name=name if name and not row.profile.built_in else None,
            algorithm=algorithm,
            params=params,
            description=call.field("description"),
        )
    except InterlockError as error:
        if error.error_kind not in _REFUSED:
            raise
        return call.render(
            "limit_profile.html",
            status=400,
            row=row,
            given={**given_of(row.profile, row.limit, row.scope), **call.form},
            problem=error,
            words=in_words(row.limit),
            algorithms=ALGORITHMS,
            scopes=SCOPES,
            methods=_METHODS,
        )
    return call.redirect(f"/console/limits/profiles/{row.profile.id}")


async def delete(call: Call) -> Response:
    """Removes a profile that holds nowhere."""
    row = await found_profile(call, call.path("id"))
    await call.need_recent("Delete profile", f"This removes the limit `{row.profile.name}`.")
    await call.services.limits.profiles.delete(call.viewer.actor, row.profile.id)
    return call.redirect("/console/limits")


async def assign(call: Call) -> Response:
    """Puts a profile on a route."""
    row = await found_profile(call, call.path("id"))
    method, path = call.field("method", "GET"), call.field("path")
    await call.need_recent(
        "Assign profile",
        f"{method} {path[:100]} is limited to {in_words(row.limit)}, {SCOPES[row.scope]}. "
        "What held there before holds no more.",
    )
    try:
        await call.services.limits.profiles.assign(
            call.viewer.actor, profile_id=row.profile.id, method=method, path=path
        )
    except InterlockError as error:
        if error.error_kind not in _REFUSED:
            raise
        return call.render(
            "limit_profile.html",
            status=400,
            row=row,
            given={**given_of(row.profile, row.limit, row.scope), "method": method, "path": path},
            problem=error,
            words=in_words(row.limit),
            algorithms=ALGORITHMS,
            scopes=SCOPES,
            methods=_METHODS,
        )
    return call.redirect(f"/console/limits/profiles/{row.profile.id}")


async def unassign(call: Call) -> Response:
    """Takes a profile off a route; what is set for the server holds there then."""
    row = await found_profile(call, call.path("id"))
    place = call.field("assignment")
    route = next((one for one in row.routes if one.place == place), None)
    where = f"{route.method} {route.path}" if route else "the route"
    await call.need_recent(
        "Remove limit", f"{in_words(row.limit)} holds no more on {where}: the default does."
    )
    await call.services.limits.profiles.unassign(call.viewer.actor, place[:64])
    return call.redirect(f"/console/limits/profiles/{row.profile.id}")


def _form(call: Call, *, problem: InterlockError | None, given: dict[str, str]) -> Response:
    return call.render(
        "limit_new.html",
        status=200 if problem is None else 400,
        problem=problem,
        given=given,
        algorithms=ALGORITHMS,
        scopes=SCOPES,
        row=None,
    )


_ONE = "/console/limits/profiles/{id}"
PAGES = (
    Page(path="/console/limits/new", handler=new, right="admin"),
    Page(path="/console/limits/new", handler=create, methods=("POST",), right="admin"),
    Page(path=_ONE, handler=change, methods=("POST",), right="admin"),
    Page(path=f"{_ONE}/delete", handler=delete, methods=("POST",), right="admin"),
    Page(path=f"{_ONE}/assign", handler=assign, methods=("POST",), right="admin"),
    Page(path=f"{_ONE}/unassign", handler=unassign, methods=("POST",), right="admin"),
)
