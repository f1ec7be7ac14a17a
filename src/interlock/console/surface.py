"""The ASGI application under `/console`: sessions, rights, forged requests, errors, headers."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import quote, urlsplit

from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from interlock.console.assets import ASSETS
from interlock.console.errors import (
    ForgedRequestError,
    MissingRightError,
    NothingHereError,
    RecentSignInError,
    status_of,
)
from interlock.console.headers import HEADERS
from interlock.console.page import PASSWORD_FIELD, Call, Page
from interlock.console.registry import PAGES
from interlock.console.services import Services
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.kernel.ids import new_id

__all__ = ["Console"]

_log = logging.getLogger("interlock.console")
_BODY_BYTES = 4 << 20
_SAFE = {"GET", "HEAD"}
_SECRET = (
    PASSWORD_FIELD, "csrf", "password", "new_password", "again", "secret", "provider_key",
)  # fmt: skip
"""Fields that are not sent back to the browser when a form is sent again."""


class Console:
    """Serves every page of `registry.PAGES`."""

    def __init__(self, services: Services, pages: Sequence[Page] = PAGES) -> None:
        self._services = services
        routes = [Route("/console/assets/{digest}/{name}", ASSETS.serve, methods=["GET"])]
        by_path: dict[str, list[Page]] = {}
        for page in pages:
            by_path.setdefault(page.path, []).append(page)
        routes += [
            Route(path, self._endpoint(found), methods=["GET", "POST"])
            for path, found in by_path.items()
        ]
        self._router = Router(routes, default=self._unknown, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request below `/console`."""
        await self._router(scope, receive, send)

    def _endpoint(self, pages: Sequence[Page]) -> Callable[[Request], Awaitable[Response]]:
        by_method = {method: page for page in pages for method in page.methods}

        async def answer(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            page = by_method.get(method)
            if page is None:
                allowed = ", ".join(sorted(by_method))
                return PlainTextResponse(
                    "method not allowed\n", 405, headers={**HEADERS, "allow": allowed}
                )
            return await self._answer(request, page)

        return answer

    async def _answer(self, request: Request, page: Page) -> Response:
        call = Call(request=request, services=self._services, request_id=new_id("req"))
        try:
            call.viewer_or_none = await self._services.sign_in.viewer(request)
            if call.viewer_or_none is None and page.right != "public":
                return self._sign_in_first(call)
            if request.method not in _SAFE:
                call.form = await _form(request)
                self._check_origin(call)
            await self._count_waiting(call)
            if page.right == "admin" and not call.viewer.admin:
                raise MissingRightError("server administrator")
            return await page.handler(call)
        except RecentSignInError as error:
            return self._confirm(call, error)
        except InterlockError as error:
            return self._failed(call, error)
        except ClientDisconnect:
            return PlainTextResponse("", 400, headers=HEADERS)
        except Exception:
            _log.exception("a page of the console failed: %s", call.request_id)
            return call.render("error.html", status=500, title="This page failed", error=None)

    async def _count_waiting(self, call: Call) -> None:
        """The number beside *Approvals*; pages alone need it, parts do not."""
        viewer = call.viewer_or_none
        if viewer is None or call.fragment is not None or not viewer.may_decide:
            return
        found = await self._services.approvals.listed(
            state="pending", account_id=viewer.scope, limit=100
        )
        call.waiting = len(found)

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        page = Page(path="", handler=_nothing, methods=("GET", "POST"))
        await (await self._answer(request, page))(scope, receive, send)

    def _check_origin(self, call: Call) -> None:
        request = call.request
        token = request.headers.get("x-csrf-token") or call.form.get("csrf", "")
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "same-origin")
        host = request.headers.get("host", "")
        same = origin is None or origin in self._services.origins or urlsplit(origin).netloc == host
        # Our own forms say `null`, because of `Referrer-Policy: no-referrer`.
        same = same or (origin == "null" and request.headers.get("sec-fetch-site") == "same-origin")
        good = self._services.sign_in.csrf_ok(request, call.viewer_or_none, token)
        if not (same and good) or site not in {"same-origin", "none"}:
            raise ForgedRequestError

    def _sign_in_first(self, call: Call) -> Response:
        if call.fragment is not None or call.request.method not in _SAFE:
            return call.render("login_again.html", status=401)
        url = call.request.url
        there = url.path + (f"?{url.query}" if url.query else "")
        return call.redirect(f"/console/login?next={quote(there, safe='/')}")

    def _confirm(self, call: Call, error: RecentSignInError) -> Response:
        kept = [(name, value) for name, value in call.form.items() if name not in _SECRET]
        return call.render(
            "confirm.html",
            status=403,
            what=error.what,
            effect=error.effect,
            wrong=error.wrong,
            action=call.request.url.path,
            fields=kept,
            asked=[name for name in call.form if name in {"secret", "provider_key"}],
        )

    def _failed(self, call: Call, error: InterlockError) -> Response:
        status = status_of(error)
        if isinstance(error, MissingRightError):
            return call.render("no_right.html", status=403, right=error.right, hint=error.hint)
        if error.error_kind is ErrorKind.NOT_FOUND:
            return call.render("missing.html", status=404)
        if status >= 500:
            _log.warning("a page of the console failed: %s: %s", call.request_id, error.message)
        return call.render(
            "error.html", status=status, title=_TITLES.get(status, "That did not work"), error=error
        )


_TITLES = {403: "Not allowed", 409: "Somebody was faster", 503: "The store does not answer"}


async def _nothing(call: Call) -> Response:
    raise NothingHereError(call.request.url.path)


async def _form(request: Request) -> dict[str, str]:
    """Fields of an HTML form; files as text; bounded."""
    if int(request.headers.get("content-length") or 0) > _BODY_BYTES:
        raise _TooLargeError
    async with request.form(max_files=4, max_fields=500, max_part_size=_BODY_BYTES) as form:
        found: dict[str, str] = {}
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                found[name] = (await value.read(_BODY_BYTES)).decode("utf-8", "replace")
            else:
                found[name] = value
        return found


class _TooLargeError(InterlockError):
    """Raised for a form nobody fills in by hand."""

    kind = ErrorKind.TOO_LARGE
    code = "form_too_large"

    def __init__(self) -> None:
        super().__init__("the form is larger than 4 MiB")
