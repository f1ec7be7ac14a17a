"""The cookie sessions of the server, as the console uses them. Part of the composition root.

The same sessions and cookies as the chat API's: who signed in there is signed in here.

Source: conversations.md sections 3.1 to 3.6, console.md section 10.
"""

import hmac
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from interlock.console.viewer import Granted, Viewer
from interlock.identity.admin import IdentityAdmin
from interlock.identity.errors import InvalidIdentityError
from interlock.identity.login.model import Issued, Origin, Resolved
from interlock.identity.login.service import LoginSessions
from interlock.identity.model import Role
from interlock.identity.people import People
from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["CookieSignIn"]


class CookieSignIn:
    """`console.SignIn` over login sessions."""

    def __init__(
        self,
        sessions: LoginSessions,
        people: People,
        admin: IdentityAdmin,
        *,
        secure: Callable[[Request], bool] = lambda request: request.url.scheme == "https",
    ) -> None:
        """`secure` says whether a request's cookies are for encrypted connections alone."""
        self._sessions = sessions
        self._people = people
        self._admin = admin
        self._secure = secure

    async def viewer(self, request: Request) -> Viewer | None:
        """The person behind the cookies; None: nobody, or a session that ended."""
        found = await self._resolved(request)
        if found is None:
            return None
        accounts = await self._admin.accounts_of(found.user.id)
        if not accounts:
            return None
        account, role = accounts[0]
        user = found.user
        shown: Role | str = "viewer" if user.global_role == "read_only" else role
        return Viewer(
            user_id=user.id,
            account_id=account.id,
            name=user.display_name or user.username,
            email=user.email,
            admin=user.global_role == "admin",
            role=shown,
            csrf=found.csrf,
            signed_in_at=found.session.signed_in_at,
        )

    async def login(self, request: Request, identifier: str, password: str) -> Granted:
        """A new session. Raises InterlockError when refused."""
        return self._granted(
            request, await self._sessions.login(identifier, password, _origin(request))
        )

    async def logout(self, request: Request) -> Granted:
        """Ends the session of this browser."""
        token = request.cookies.get(self._sessions.settings.session_cookie_name)
        if token:
            try:
                await self._sessions.revoke(token)
            except InterlockError as error:
                if error.error_kind is ErrorKind.UNAVAILABLE:
                    raise
        return self._taken

    async def confirm(self, request: Request, password: str) -> bool:
        """Whether it is the person's password; a right one counts as a recent sign-in."""
        found = await self._resolved(request)
        if found is None:
            return False
        try:
            await self._sessions.confirm(found, password)
        except InterlockError as error:
            if error.error_kind is not ErrorKind.UNAUTHENTICATED:
                raise
            return False
        return True

    def csrf_ok(self, request: Request, viewer: Viewer | None, token: str) -> bool:
        """Whether form and cookie carry the value of the session; constant time."""
        if viewer is None:  # signing in: the origin check is all there can be
            return True
        cookie = request.cookies.get(self._sessions.settings.csrf_cookie_name, "")
        return hmac.compare_digest(token.encode(), viewer.csrf.encode()) and hmac.compare_digest(
            cookie.encode(), viewer.csrf.encode()
        )

    async def needs_setup(self) -> bool:
        """Whether there is no person yet."""
        return not await self._people.is_set_up()

    async def setup(self, request: Request, name: str, email: str, password: str) -> Granted:
        """Makes the first administrator. Raises InterlockError: there is one, or a bad value."""
        user = await self._people.setup(name, email, password)
        return self._granted(request, await self._sessions.issue(user.id, _origin(request)))

    async def _resolved(self, request: Request) -> Resolved | None:
        token = request.cookies.get(self._sessions.settings.session_cookie_name)
        if not token:
            return None
        try:
            return await self._sessions.resolve(token, _origin(request))
        except InvalidIdentityError:
            return None
        except InterlockError as error:
            if error.error_kind in {ErrorKind.UNAVAILABLE, ErrorKind.INTERNAL}:
                raise
            return None

    def _granted(self, request: Request, issued: Issued) -> Granted:
        settings, secure = self._sessions.settings, self._secure(request)
        age_s = int(issued.session.expires_at - issued.session.issued_at)

        def write(answer: Response) -> None:
            answer.set_cookie(
                settings.session_cookie_name,
                issued.token,
                max_age=age_s,
                path="/",
                secure=secure,
                httponly=True,
                samesite="lax",
            )
            answer.set_cookie(
                settings.csrf_cookie_name,
                issued.csrf,
                max_age=age_s,
                path="/",
                secure=secure,
                samesite="strict",
            )

        return write

    def _taken(self, answer: Response) -> None:
        settings = self._sessions.settings
        answer.delete_cookie(settings.session_cookie_name, path="/", httponly=True, samesite="lax")
        answer.delete_cookie(settings.csrf_cookie_name, path="/", samesite="strict")


def _origin(request: Request) -> Origin:
    return Origin(
        address=request.client.host if request.client is not None else "",
        user_agent=request.headers.get("user-agent", ""),
        fingerprint=request.headers.get("x-client-fingerprint", ""),
    )
