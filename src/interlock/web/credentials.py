"""From the credential of a request to its `Context`, for every surface people use.

A bearer key wins over a cookie. Cookies bring two checks with them: the CSRF value bound
to the session, and the origin of the page that asks. What a request changes about cookies
is noted in its `state` and written by `CookieWriter`, also onto answers that tell an error.

Source: conversations.md sections 3.1 to 3.8.
"""

import dataclasses
import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.identity.callers import Callers, key_of
from interlock.identity.context import Context, Surface
from interlock.identity.keys import KeyService
from interlock.identity.login.errors import SuspiciousSessionError
from interlock.identity.login.model import Issued, LoginSession, Origin, Resolved
from interlock.identity.login.service import LoginSessions
from interlock.identity.model import KeyInfo
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.web.settings import SecuritySettings

__all__ = [
    "CookieWriter",
    "Credentials",
    "CsrfFailedError",
    "NoSessionError",
    "OriginForbiddenError",
]

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_STATE: Final = "login"
_COOKIES: Final = "set_cookies"
_ROTATED: Final = "session_rotated"
_CHALLENGE: Final = "challenge"
_PAST: Final = "Thu, 01 Jan 1970 00:00:00 GMT"
_PORTS: Final = {"http": 80, "https": 443}


class NoSessionError(InterlockError):
    """Raised when a session is needed and none was sent."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAUTHENTICATED
    code: ClassVar[str] = "unauthorized"

    def __init__(self) -> None:
        super().__init__("there is no session", hint="sign in")


class BadBearerError(InterlockError):
    """Raised when the bearer key is not valid; a cookie beside it does not rescue it."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAUTHENTICATED
    code: ClassVar[str] = "unauthorized"

    def __init__(self) -> None:
        super().__init__("the key is not valid")


class CsrfFailedError(InterlockError):
    """Raised when the CSRF header or cookie is missing, or does not belong to the session."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "csrf_failed"

    def __init__(self) -> None:
        super().__init__("the request does not carry the CSRF value of its session")


class OriginForbiddenError(InterlockError):
    """Raised when the page that asks is of another origin."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "origin_forbidden"

    def __init__(self) -> None:
        super().__init__("requests from this origin are not accepted")


class Credentials:
    """Reads credentials of requests and writes those of sessions. One per process."""

    def __init__(
        self,
        sessions: LoginSessions,
        callers: Callers,
        keys: KeyService,
        *,
        security: SecuritySettings | None = None,
        public_base_url: str | None = None,
        allowed_origins: Iterable[str] = (),
        trusted_proxies: Iterable[str] = (),
    ) -> None:
        self.sessions = sessions
        self._callers = callers
        self._keys = keys
        self._security = security or SecuritySettings()
        self._csrf_cookie = self._security.csrf.cookie_name
        self._session_cookie = sessions.settings.session_cookie_name
        given = sessions.settings.csrf_cookie_name
        if given != type(sessions.settings).model_fields["csrf_cookie_name"].default:
            self._csrf_cookie = given
        self._allowed = {_origin(one) for one in allowed_origins if one != "*"}
        if public_base_url is not None:
            self._allowed.add(_origin(public_base_url))
        self._allowed.discard(None)
        self._proxies = [ipaddress.ip_network(one, strict=False) for one in trusted_proxies]
        secure = self._security.cookie.secure
        https = (public_base_url or "").startswith("https:")
        self._secure = https if secure == "auto" else secure == "true"

    # --- who asks ----------------------------------------------------------------------

    async def context(
        self,
        request: Request,
        *,
        surface: Surface,
        account_id: str | None = None,
        slide: bool = True,
    ) -> Context:
        """The caller. Checks no origin and no CSRF value: `guard` does.

        Raises:
            NoSessionError, BadBearerError: no credential, or a key that is not valid.
            InvalidSessionError, SessionExpiredError, SuspiciousSessionError,
                AccountDisabledError: see `LoginSessions.resolve`.
        """
        ids = {
            "request_id": str(request.scope.get("state", {}).get("request_id", "")),
            "trace_id": str(request.scope.get("state", {}).get("trace_id", "")),
        }
        bearer = self.bearer(request)
        if bearer is not None:
            try:
                key = await self._keys.lookup(bearer)
            except InterlockError as error:
                if error.error_kind is not ErrorKind.UNAUTHENTICATED:
                    raise
                request.state.challenge = "Bearer"
                raise BadBearerError from None
            return await self._callers.of_key(key, surface, **ids)
        resolved = await self.resolved(request, slide=slide)
        return await self._callers.of_session(resolved, surface, account_id=account_id, **ids)

    async def key(self, request: Request, context: Context) -> KeyInfo:
        """With whose rights a request calls models: its key, or a stand-in for the person.

        A key keeps what it is bound to: its policies, limits and credentials.

        Raises:
            BadBearerError: the key was revoked a moment ago.
        """
        bearer = self.bearer(request)
        if bearer is None:
            return key_of(context)
        try:
            found = await self._keys.lookup(bearer)
        except InterlockError as error:
            if error.error_kind is not ErrorKind.UNAUTHENTICATED:
                raise
            raise BadBearerError from None
        return dataclasses.replace(found, surface="chat")

    async def resolved(self, request: Request, *, slide: bool = True) -> Resolved:
        """The login session of the cookie; rotates a flagged one. Raises as `context`."""
        token = self.token(request)
        if token is None:
            raise NoSessionError
        origin = self.origin(request)
        try:
            found = await self.sessions.resolve(token, origin, slide=slide)
        except SuspiciousSessionError:
            request.state.challenge = "refresh"
            raise
        setattr(request.state, _STATE, found)
        if found.flagged:
            # Only a request that may change something is allowed to bring the rotation about.
            self.guard_cookie(request, found)
            issued = await self.sessions.refresh(token, origin, reason="flagged")
            self.hand_out(request, issued)
            return dataclasses.replace(found, session=issued.session)
        elif found.resend:
            self._note(request, token, found.csrf, found.session)
        return found

    async def still_valid(self, context: Context) -> bool:
        """Whether the session behind an open stream goes on."""
        if context.credential != "cookie":
            return True
        return await self.sessions.alive(context.credential_id)

    def token(self, request: Request) -> str | None:
        """The session token of the cookie."""
        return request.cookies.get(self._session_cookie) or None

    @staticmethod
    def bearer(request: Request) -> str | None:
        """The key of `Authorization: Bearer`; empty for another scheme; None: no such header."""
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, rest = header.strip().partition(" ")
        return rest.strip() if scheme.lower() == "bearer" else ""

    # --- checks ------------------------------------------------------------------------

    def guard(self, request: Request) -> None:
        """Origin and CSRF checks of a request whose `context` is known.

        Raises:
            OriginForbiddenError, CsrfFailedError.
        """
        found: Resolved | None = getattr(request.state, _STATE, None)
        if found is not None:
            self.guard_cookie(request, found)

    def guard_cookie(self, request: Request, found: Resolved) -> None:
        """As `guard`, for this session."""
        if request.method in _SAFE:
            return
        self.check_origin(request)
        self.check_csrf(request, found)

    def check_csrf(self, request: Request, found: Resolved) -> None:
        """Raises CsrfFailedError unless header and cookie are the value of the session."""
        if not self._security.csrf.enabled:
            return
        header = request.headers.get(self._security.csrf.header_name)
        if not self.sessions.csrf_ok(found, header, request.cookies.get(self._csrf_cookie)):
            raise CsrfFailedError

    def csrf_ok(self, request: Request, given: str) -> bool:
        """Whether a form's value and the cookie are those of the session resolved before."""
        found: Resolved | None = getattr(request.state, _STATE, None)
        cookie = request.cookies.get(self._csrf_cookie)
        return found is not None and self.sessions.csrf_ok(found, given, cookie)

    def check_origin(self, request: Request) -> None:
        """Raises OriginForbiddenError for an unsafe request of another origin's page."""
        if request.method in _SAFE:
            return
        given = request.headers.getlist("origin")
        site = request.headers.get("sec-fetch-site", "").lower()
        if given == ["null"] and site == "same-origin":
            return  # a page that sends no referrer has no origin; only browsers write this header
        if given:
            origin = _origin(given[0]) if len(given) == 1 else None
            own = _origin(f"{origin.split(':')[0]}://{_host(request)}") if origin else None
            if origin is None or (origin != own and origin not in self._allowed):
                raise OriginForbiddenError
        elif site == "cross-site":
            raise OriginForbiddenError

    def origin(self, request: Request) -> Origin:
        """Where the request came from; forwarded addresses only from trusted proxies."""
        return Origin(
            address=self.address(request),
            user_agent=request.headers.get("user-agent", ""),
            fingerprint=request.headers.get("x-client-fingerprint", ""),
        )

    def address(self, request: Request) -> str:
        """The client's address: the last hop that no trusted proxy made."""
        peer = request.client.host if request.client is not None else ""
        if not self._trusted(peer):
            return peer
        hops = [
            hop.strip()
            for line in request.headers.getlist("x-forwarded-for")
            for hop in line.split(",")
        ]
        for hop in reversed(hops):
            if not _is_address(hop):
                return peer
            if not self._trusted(hop):
                return hop
        real = request.headers.get("x-real-ip", "").strip()
        return real if not hops and _is_address(real) else (hops[0] if hops else peer)

    # --- cookies -----------------------------------------------------------------------

    def hand_out(self, request: Request, issued: Issued) -> None:
        """Has the answer set both cookies and say that the session was rotated."""
        self._note(request, issued.token, issued.csrf, issued.session)
        setattr(request.state, _ROTATED, True)

    def take_back(self, request: Request) -> None:
        """Has the answer clear both cookies."""
        setattr(
            request.state,
            _COOKIES,
            [
                self._cookie(self._session_cookie, "", None, session=True),
                self._cookie(self._csrf_cookie, "", None, session=False),
            ],
        )

    def _note(self, request: Request, token: str, csrf: str, session: LoginSession) -> None:
        setattr(
            request.state,
            _COOKIES,
            [
                self._cookie(self._session_cookie, token, session, session=True),
                self._cookie(self._csrf_cookie, csrf, session, session=False),
            ],
        )

    def _cookie(self, name: str, value: str, kept: LoginSession | None, *, session: bool) -> str:
        settings = self._security.cookie
        parts = [f"{name}={value}", "Path=/"]
        if settings.domain is not None:
            parts.append(f"Domain={settings.domain}")
        if kept is None:
            parts += ["Max-Age=0", f"Expires={_PAST}"]
        else:
            end = datetime.fromtimestamp(kept.expires_at, UTC)
            left_s = int(kept.expires_at - max(kept.last_seen_at, kept.issued_at))
            parts += [f"Max-Age={left_s}", f"Expires={format_datetime(end, usegmt=True)}"]
        if session:
            parts.append("HttpOnly")
        parts.append(f"SameSite={settings.same_site.capitalize() if session else 'Strict'}")
        if self._secure or (session and settings.same_site == "none"):
            parts.append("Secure")
        return "; ".join(parts)

    def _trusted(self, address: str) -> bool:
        if not self._proxies or not _is_address(address):
            return False
        found = ipaddress.ip_address(address)
        return any(found in network for network in self._proxies)


class CookieWriter:
    """Writes onto every answer what its request changed about cookies. Wraps an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for line in state.get(_COOKIES, ()):
                    headers.append("Set-Cookie", line)
                if state.get(_COOKIES):
                    headers["Cache-Control"] = "no-store"
                if state.get(_ROTATED):
                    headers["X-Session-Rotated"] = "1"
                if message["status"] == 401:
                    headers["WWW-Authenticate"] = state.get(_CHALLENGE, "session")
            await send(message)

        await self._app(scope, receive, answer)


def _origin(text: str) -> str | None:
    """Scheme, host and port in the one form they are compared in; None: no web origin."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
        return None
    return f"{parts.scheme}://{parts.hostname.lower()}:{port or _PORTS[parts.scheme]}"


def _host(request: Request) -> str:
    hosts = request.headers.getlist("host")
    return hosts[0] if len(hosts) == 1 else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
