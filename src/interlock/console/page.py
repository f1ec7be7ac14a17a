"""One request for a page: who asks, what with, and how it is answered."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from interlock.console.errors import MissingRightError, RecentSignInError
from interlock.console.headers import HEADERS
from interlock.console.look import COOKIE, Look
from interlock.console.nav import NAV
from interlock.console.services import Services
from interlock.console.templating import ENVIRONMENT
from interlock.console.viewer import RECENT_S, Viewer

__all__ = ["PASSWORD_FIELD", "Call", "Handler", "Page", "Right", "local_path"]

PASSWORD_FIELD = "confirm_password"  # noqa: S105 - the name of a field
Right = Literal["public", "member", "admin"]
_FRAGMENT = "accept-fragment"


@dataclass(slots=True, kw_only=True)
class Call:
    """A request, checked: session, right, CSRF token and origin."""

    request: Request
    services: Services
    request_id: str
    viewer_or_none: Viewer | None = None
    form: Mapping[str, str] = field(default_factory=dict)
    """Fields of the body, the last of a name; empty for GET."""
    waiting: int = 0
    """Approvals that wait for the person."""

    @property
    def viewer(self) -> Viewer:
        """The person; a public page must ask `viewer_or_none`."""
        if self.viewer_or_none is None:
            raise MissingRightError("signed in")
        return self.viewer_or_none

    @property
    def fragment(self) -> str | None:
        """Name of the part that is asked for alone."""
        return self.request.headers.get(_FRAGMENT)

    def query(self, name: str, default: str = "") -> str:
        """A member of the query, stripped."""
        return str(self.request.query_params.get(name, default)).strip()

    def path(self, name: str) -> str:
        """A member of the path."""
        return str(self.request.path_params[name])

    def field(self, name: str, default: str = "") -> str:
        """A field of the form, stripped."""
        return self.form.get(name, default).strip()

    @property
    def look(self) -> Look:
        """How the person wants it to look."""
        return Look.of(self.request.cookies.get(COOKIE))

    @property
    def base_url(self) -> str:
        """Scheme, host and port the browser used: for snippets."""
        return str(self.request.base_url).removesuffix("/").removesuffix("/console")

    def need_admin(self, right: str = "server administrator") -> None:
        """Raises MissingRightError for everybody else."""
        if not self.viewer.admin:
            raise MissingRightError(right)

    async def need_recent(self, what: str, effect: str) -> None:
        """Asks for the password again unless it was shown in the last ten minutes.

        `what` is the verb of the button, `effect` says in words and numbers what happens.
        The answer is a page that sends the same form again, with the password.

        Raises:
            RecentSignInError: it must be shown, or was wrong.
        """
        if self.services.now() - self.viewer.signed_in_at <= RECENT_S:
            return
        password = self.form.get(PASSWORD_FIELD)
        if password is not None and await self.services.sign_in.confirm(self.request, password):
            return
        raise RecentSignInError(what, effect, wrong=password is not None)

    def render(
        self,
        template: str,
        *,
        status: int = 200,
        fragments: Mapping[str, str] | None = None,
        **values: Any,  # noqa: ANN401 - templates take anything
    ) -> Response:
        """A page, or the part of it that was asked for."""
        name = (fragments or {}).get(self.fragment or "", template)
        viewer = self.viewer_or_none
        made = ENVIRONMENT.get_template(name).render(
            viewer=viewer,
            csrf="" if viewer is None else viewer.csrf,
            look=self.look,
            nav=NAV,
            here=self.request.url.path,
            now=self.services.now(),
            base_url=self.base_url,
            request_id=self.request_id,
            waiting=self.waiting,
            demo_only=_demo_only(self.services) if viewer is not None else False,
            **values,
        )
        return HTMLResponse(
            made,
            status_code=status,
            headers={**HEADERS, "cache-control": "no-store", "vary": "Accept-Fragment, Cookie"},
        )

    def redirect(self, path: str) -> Response:
        """Goes on to a path under `/console` (303)."""
        return RedirectResponse(
            local_path(path), status_code=303, headers={**HEADERS, "cache-control": "no-store"}
        )


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A route: its path below the host, who may come, and what answers."""

    path: str
    handler: Handler
    methods: tuple[str, ...] = ("GET",)
    right: Right = "member"


def local_path(wanted: str) -> str:
    """The path if it lies under `/console`, else the start page: no way out by `next`."""
    plain = wanted.split("?", 1)[0].split("#", 1)[0]
    good = (plain == "/console" or plain.startswith("/console/")) and not any(
        bad in wanted for bad in ("\\", "//", "\r", "\n", "\t", "/..", "@")
    )
    return quote(wanted, safe="/?&=%#:,*+-._~;") if good else "/console"


def _demo_only(services: Services) -> bool:
    ready = [row.name for row in services.providers() if row.state == "ready"]
    return ready == ["demo"]
