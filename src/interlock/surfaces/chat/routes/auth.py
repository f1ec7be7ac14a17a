"""Set up, sign in, stay signed in, sign out; one's own sessions and password.

Source: conversations.md sections 5 and 6.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from interlock.identity.login.errors import LoginThrottledError
from interlock.identity.login.model import LoginSession
from interlock.identity.model import Actor, User
from interlock.identity.people import People
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.surfaces.chat.auth import CheckedCallers
from interlock.surfaces.chat.parts import ERRORS
from interlock.web.credentials import Credentials, NoSessionError

__all__ = ["auth_router"]

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=320)]
Secret = Annotated[str, Field(min_length=1, max_length=1024, repr=False)]
Id = Annotated[str, Path(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]


class _In(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class SetupIn(_In):
    """Who becomes the first administrator."""

    username: Text
    email: Text
    password: Secret


class LoginIn(_In):
    """`email` may also be a user name."""

    email: Text
    password: Secret


class PasswordIn(_In):
    """The password there is, and the one there shall be."""

    current_password: Secret
    new_password: Secret


class SetupOut(BaseModel):
    """Whether there is a user."""

    is_setup: bool


class UserOut(BaseModel):
    """A person as clients see one."""

    id: str
    email: str
    username: str
    display_name: str
    roles: list[str]

    @classmethod
    def of(cls, user: User) -> "UserOut":
        """Of a stored person; administrators are members as well."""
        roles: list[str] = ["admin", "member"] if user.is_admin else [user.global_role]
        return cls(
            id=user.id,
            email=user.email,
            username=user.username,
            display_name=user.display_name,
            roles=roles,
        )


class SessionOut(BaseModel):
    """A session as its client sees it; instants are RFC 3339 in UTC."""

    id: str
    issued_at: str
    expires_at: str
    absolute_expires_at: str

    @classmethod
    def of(cls, session: LoginSession) -> "SessionOut":
        """Of a stored session."""
        return cls(
            id=session.id,
            issued_at=_instant(session.issued_at),
            expires_at=_instant(session.expires_at),
            absolute_expires_at=_instant(session.absolute_expires_at),
        )


class MeOut(BaseModel):
    """Who is signed in."""

    user: UserOut
    session: SessionOut | None = None


class LoginOut(MeOut):
    """Who signed in, and the value unsafe requests must carry."""

    csrf_token: str


class OwnSessionOut(SessionOut):
    """One of one's own sessions."""

    current: bool
    last_seen_at: str
    user_agent: str
    ip: str


class SessionsOut(BaseModel):
    """One's own sessions."""

    sessions: list[OwnSessionOut]


class OkOut(BaseModel):
    """It was done."""

    ok: bool = True


def auth_router(people: People, credentials: Credentials) -> APIRouter:
    """The routes."""
    router = APIRouter(responses=ERRORS, tags=["auth"])
    _setup_routes(router, people, credentials)
    _session_routes(router, people, credentials)
    _account_routes(router, people, credentials)
    return router


def _setup_routes(router: APIRouter, people: People, credentials: Credentials) -> None:
    @router.get("/api/setup")
    async def read_setup() -> SetupOut:
        """Whether the server has a user."""
        return SetupOut(is_setup=await people.is_set_up())

    @router.post("/api/setup")
    async def set_up(request: Request, body: SetupIn) -> Response:
        """Makes the first user, an administrator."""
        credentials.check_origin(request)
        await people.setup(body.username, body.email, body.password)
        return Response(headers={"Cache-Control": "no-store"})


def _session_routes(router: APIRouter, people: People, credentials: Credentials) -> None:
    sessions, callers = credentials.sessions, CheckedCallers(credentials)

    @router.post("/api/auth/login")
    async def login(request: Request, body: LoginIn) -> LoginOut:
        """Begins a session; one that the browser had ends."""
        credentials.check_origin(request)
        issued = await sessions.login(body.email, body.password, credentials.origin(request))
        await _end_former(request, credentials)
        credentials.hand_out(request, issued)
        return LoginOut(
            user=UserOut.of(issued.user),
            session=SessionOut.of(issued.session),
            csrf_token=issued.csrf,
        )

    @router.post("/api/auth/refresh")
    async def refresh(request: Request) -> LoginOut:
        """Rotates the session of the cookie."""
        credentials.check_origin(request)
        token = _token(request, credentials)
        try:
            issued = await sessions.refresh(token, credentials.origin(request))
        except InterlockError as error:
            _clear_if_gone(request, credentials, error)
            raise
        credentials.hand_out(request, issued)
        return LoginOut(
            user=UserOut.of(issued.user),
            session=SessionOut.of(issued.session),
            csrf_token=issued.csrf,
        )

    @router.post("/api/auth/logout")
    async def logout(request: Request) -> OkOut:
        """Ends the session of the cookie."""
        credentials.check_origin(request)
        credentials.take_back(request)
        await sessions.revoke(_token(request, credentials))
        return OkOut()

    @router.get("/api/auth/me", response_model_exclude_none=True)
    async def me(request: Request) -> MeOut:
        """Who asks."""
        context = await callers.context(request)
        if context.credential != "cookie" or context.user_id is None:
            if context.user_id is None:
                raise NoSessionError
            return MeOut(user=UserOut.of(await people.get(context.user_id)))
        found = request.state.login
        return MeOut(user=UserOut.of(found.user), session=SessionOut.of(found.session))


def _account_routes(router: APIRouter, people: People, credentials: Credentials) -> None:
    callers = CheckedCallers(credentials)

    @router.get("/api/account/sessions")
    async def list_sessions(request: Request) -> SessionsOut:
        """One's own sessions, newest first."""
        context = await callers.context(request)
        found = await people.sessions_of(context.user_id or "")
        return SessionsOut(
            sessions=[_own(one, current=one.id == context.credential_id) for one in found]
        )

    @router.delete("/api/account/sessions/{session_id}", status_code=204)
    async def end_session(request: Request, session_id: Id) -> None:
        """Ends one of one's own sessions."""
        context = await callers.context(request)
        await people.revoke_session(context.user_id or "", session_id.lower(), context.actor)

    @router.post("/api/account/password", status_code=204)
    async def change_password(request: Request, body: PasswordIn) -> None:
        """Replaces one's password; one's other sessions end."""
        found = await credentials.resolved(request)
        credentials.guard(request)
        # The throttle of the log-in counts here too: a stolen session is no way around it.
        await credentials.sessions.confirm(found, body.current_password)
        await people.set_password(
            found.user.id,
            body.new_password,
            Actor(name=found.user.email, surface="chat"),
            except_session=found.session.id,
        )


async def _end_former(request: Request, credentials: Credentials) -> None:
    """Ends the session whose cookie came along with a log-in: it would be left behind."""
    token = credentials.token(request)
    if token is None:
        return
    try:
        await credentials.sessions.revoke(token)
    except InterlockError as error:
        if error.error_kind is ErrorKind.UNAVAILABLE:
            raise


def _token(request: Request, credentials: Credentials) -> str:
    token = credentials.token(request)
    if token is None:
        credentials.take_back(request)
        raise NoSessionError
    return token


def _clear_if_gone(request: Request, credentials: Credentials, error: InterlockError) -> None:
    if error.error_kind is ErrorKind.UNAUTHENTICATED and not isinstance(error, LoginThrottledError):
        credentials.take_back(request)


def _own(session: LoginSession, *, current: bool) -> OwnSessionOut:
    shown: dict[str, Any] = SessionOut.of(session).model_dump()
    return OwnSessionOut(
        **shown,
        current=current,
        last_seen_at=_instant(session.last_seen_at),
        user_agent=session.origin.user_agent,
        ip=session.origin.address,
    )


def _instant(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
