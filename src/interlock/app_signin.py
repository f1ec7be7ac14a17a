"""The cookie sessions of the server, as the console uses them. Part of the composition root.

The same sessions and cookies as the chat API's: who signed in there is signed in here. The
cookies are written by `web.credentials.CookieWriter`, which wraps the console.

Source: conversations.md sections 3.1 to 3.6, console.md section 10.
"""

from starlette.requests import Request
from starlette.responses import Response

from interlock.console.viewer import Granted, Viewer
from interlock.identity.admin import IdentityAdmin
from interlock.identity.login.model import Resolved
from interlock.identity.model import Role
from interlock.identity.people import People
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.web.credentials import Credentials

__all__ = ["CookieSignIn"]


class CookieSignIn:
    """`console.SignIn` over login sessions."""

    def __init__(self, credentials: Credentials, people: People, admin: IdentityAdmin) -> None:
        self._credentials = credentials
        self._sessions = credentials.sessions
        self._people = people
        self._admin = admin

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
        origin = self._credentials.origin(request)
        self._credentials.hand_out(
            request, await self._sessions.login(identifier, password, origin)
        )
        return _written

    async def logout(self, request: Request) -> Granted:
        """Ends the session of this browser."""
        token = self._credentials.token(request)
        if token:
            try:
                await self._sessions.revoke(token)
            except InterlockError as error:
                if error.error_kind is ErrorKind.UNAVAILABLE:
                    raise
        self._credentials.take_back(request)
        return _written

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
        return self._credentials.csrf_ok(request, token)

    async def needs_setup(self) -> bool:
        """Whether there is no person yet."""
        return not await self._people.is_set_up()

    async def setup(self, request: Request, name: str, email: str, password: str) -> Granted:
        """Makes the first administrator. Raises InterlockError: there is one, or a bad value."""
        user = await self._people.setup(name, email, password)
        origin = self._credentials.origin(request)
        self._credentials.hand_out(request, await self._sessions.issue(user.id, origin))
        return _written

    async def _resolved(self, request: Request) -> Resolved | None:
        if self._credentials.token(request) is None:
            return None
        try:
            return await self._credentials.resolved(request)
        except InterlockError as error:
            if error.error_kind in {ErrorKind.UNAVAILABLE, ErrorKind.INTERNAL}:
                raise
            return None


def _written(answer: Response) -> None:
    """The cookies are noted with the request; `CookieWriter` puts them onto the answer."""
    del answer
