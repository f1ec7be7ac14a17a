"""Login sessions: begin, use, rotate, end.

A token is shown with every request and found by its hash. Using a session moves its idle
window on, written at most once a minute. Rotation makes a new row with a new token; the
former token goes on to work for the grace period, as the session that replaced it, and a
refresh with it gives the same new token: parallel requests and a second tab all end up
with one session.

Source: conversations.md section 3.
"""

import dataclasses
import hmac
from collections.abc import Mapping
from typing import Final, NamedTuple

import structlog

from interlock.identity import passwords
from interlock.identity.audit import AuditLog
from interlock.identity.context import Context
from interlock.identity.errors import AccountDisabledError
from interlock.identity.login.attempts import Attempts, MemoryAttempts
from interlock.identity.login.errors import (
    InvalidCredentialsError,
    InvalidSessionError,
    SessionExpiredError,
    SignInAgainError,
    SuspiciousSessionError,
)
from interlock.identity.login.metrics import LoginMetrics, LoginResult, RotationReason
from interlock.identity.login.model import Issued, LoginSession, Origin, Resolved
from interlock.identity.login.repository import LoginRepository, SessionRow
from interlock.identity.login.settings import AuthSettings, SessionSettings
from interlock.identity.login.throttle import Throttle
from interlock.identity.login.tokens import (
    csrf_hash,
    csrf_of,
    masked,
    new_login_token,
    stored_hash,
    unmasked,
)
from interlock.identity.model import Actor, User
from interlock.identity.naming import is_storable
from interlock.identity.repository import IdentityRepository
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.kernel.ids import new_uuid
from interlock.storage.engine import Database

__all__ = ["LoginSessions"]

_log = structlog.get_logger(__name__)
_WRITE_EVERY_S: Final = 60.0
_CHAIN: Final = 16
"""Rotations followed from one former token; more within one grace period are nobody's use."""
_KEPT_S: Final = 86_400.0
_RESULTS: Final[Mapping[type[InterlockError], LoginResult]] = {
    InvalidCredentialsError: "invalid_credentials",
    AccountDisabledError: "disabled",
}
_ADDRESS, _USER_AGENT, _FINGERPRINT = 64, 300, 128


class _Found(NamedTuple):
    """The session a token stands for now."""

    row: SessionRow
    token: str
    """Of `row`; another than the one shown when that was replaced."""
    replaced: bool


class LoginSessions:
    """The login sessions of all people. One instance per process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        settings: SessionSettings | None = None,
        auth: AuthSettings | None = None,
        attempts: Attempts | None = None,
        attempts_per_minute: int = 10,
        metrics: LoginMetrics | None = None,
    ) -> None:
        """`attempts_per_minute` is how often one address may try to sign in."""
        self._metrics = metrics
        self._database = database
        self._clock = clock
        self._audit = AuditLog(database, clock)
        self.settings = settings or SessionSettings()
        self.auth = auth or AuthSettings()
        self._throttle = Throttle(
            attempts or MemoryAttempts(clock), self.auth, per_minute=attempts_per_minute
        )

    # --- begin -------------------------------------------------------------------------

    async def login(self, identifier: str, password: str, origin: Origin) -> Issued:
        """Begins a session for who shows a user name or e-mail address and the password.

        Raises:
            InvalidCredentialsError: no such person or another password; takes equally long.
            AccountDisabledError: right, but the person is disabled.
            LoginThrottledError: too many attempts from this address or on this account.
            HashingBusyError: too many people are signing in.
        """
        try:
            issued = await self._login(identifier, password, origin)
        except InterlockError as error:
            self._tried(_RESULTS.get(type(error), "error"))
            raise
        self._tried("success")
        return issued

    async def _login(self, identifier: str, password: str, origin: Origin) -> Issued:
        await self._throttle.address(origin.address)
        async with self._database.read() as connection:
            repository = IdentityRepository(connection)
            user = await repository.user(identifier.strip())
            stored = None if user is None else await repository.password_hash(user.id)
        account = identifier if user is None else user.id
        await self._throttle.account(account)
        if not await passwords.verify_password(password, stored) or user is None:
            raise InvalidCredentialsError
        await self._throttle.forget(account)
        return await self.issue(user.id, origin, password_hash=stored)

    async def issue(
        self, user_id: str, origin: Origin, *, password_hash: str | None = None
    ) -> Issued:
        """Begins a session for a person known by other means.

        With `password_hash` only if that is still the stored one. Ends the oldest session
        when there are too many.

        Raises:
            InvalidCredentialsError: no such person, or another password by now.
            AccountDisabledError: the person is disabled.
        """
        now = self._now()
        token = new_login_token()
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, f"login {user_id}")
            identities, sessions = IdentityRepository(connection), LoginRepository(connection)
            user = await identities.user_by_id(user_id)
            if user is None:
                raise InvalidCredentialsError
            if user.disabled_at is not None:
                raise AccountDisabledError
            if password_hash not in {None, await identities.password_hash(user_id)}:
                raise InvalidCredentialsError
            limit = self.settings.max_sessions_per_user
            if limit:
                for old in (await sessions.of_user(user_id, now=now))[limit - 1 :]:
                    await sessions.revoke_family(old.family, at=now)
            session = self._new_session(user_id, origin, now)
            await self._store(sessions, session, token)
            await self._note(identities, user, "session.login", session)
        self._rotated("login")
        return Issued(token=token, csrf=csrf_of(token), session=session, user=user, rotated=True)

    # --- use ---------------------------------------------------------------------------

    async def resolve(self, token: str, origin: Origin, *, slide: bool = True) -> Resolved:
        """The session of a token; moves its idle window on.

        Raises:
            InvalidSessionError: unknown, revoked, or replaced longer ago than the grace period.
            SessionExpiredError: its idle or absolute window is over.
            SuspiciousSessionError: used from elsewhere, and that is checked.
            AccountDisabledError: the person is disabled.
        """
        now = self._now()
        async with self._database.read() as connection:
            found = await self._current(LoginRepository(connection), token, now)
        session = found.row.session
        if self.auth.suspicious_check and session.origin != _bounded(origin):
            _log.warning("session_suspicious", session_id=session.id, user_id=session.user_id)
            raise SuspiciousSessionError
        resend = False
        if slide and now - session.last_seen_at >= self._write_every_s:
            expires_at = self._expiry(session, now)
            resend = (
                not found.replaced
                and session.expires_at - now < self.settings.idle_seconds / 2
                and expires_at > session.expires_at
            )
            async with self._database.transaction() as connection:
                await LoginRepository(connection).slide(
                    session.id, now=now, expires_at=expires_at, unseen_s=self._write_every_s
                )
            session = dataclasses.replace(session, last_seen_at=now, expires_at=expires_at)
        return Resolved(
            session=session,
            user=found.row.user,
            csrf=csrf_of(token),
            also_csrf=self._neighbours(found, now),
            resend=resend,
            flagged=session.flagged,
            replaced=found.replaced,
        )

    async def alive(self, session_id: str) -> bool:
        """Whether a session goes on, rotated or not; for streams that are held open."""
        async with self._database.read() as connection:
            return await LoginRepository(connection).alive(session_id, now=self._now())

    def csrf_ok(self, resolved: Resolved, header: str | None, cookie: str | None) -> bool:
        """Whether both are there, equal, and belong to the session. In constant time."""
        if not header or not cookie:
            return False
        shown, kept = header.encode(), cookie.encode()
        same = hmac.compare_digest(shown, kept)
        bound = hmac.compare_digest(shown, resolved.csrf.encode())
        digest = csrf_hash(header)
        for other in resolved.also_csrf:
            bound |= hmac.compare_digest(digest, other)
        return same and bound

    async def confirm(self, resolved: Resolved, password: str) -> None:
        """Notes that the password was shown again: a recent sign-in.

        Raises:
            InvalidCredentialsError: another password.
            LoginThrottledError: too many attempts.
        """
        user_id = resolved.user.id
        await self._throttle.account(user_id)
        async with self._database.read() as connection:
            stored = await IdentityRepository(connection).password_hash(user_id)
        if not await passwords.verify_password(password, stored):
            raise InvalidCredentialsError
        await self._throttle.forget(user_id)
        async with self._database.transaction() as connection:
            await LoginRepository(connection).change(resolved.session.id, signed_in_at=self._now())

    def require_recent(self, context: Context) -> None:
        """Refuses who has not shown a password or an identity provider lately.

        Raises:
            SignInAgainError: it is longer ago than `auth.recent_seconds`, or never was.
        """
        at = context.signed_in_at
        if at is None or self._now() - at > self.auth.recent_seconds:
            raise SignInAgainError

    # --- rotate and end ----------------------------------------------------------------

    async def refresh(
        self, token: str, origin: Origin, *, reason: RotationReason = "refresh"
    ) -> Issued:
        """Rotates a session: new token, new CSRF value, new id, the same absolute end.

        Who refreshes with a token that was replaced a moment ago gets the same new one.

        Raises:
            As `resolve`, but a change of place is accepted and noted.
        """
        now = self._now()
        async with self._database.transaction() as connection:
            sessions = LoginRepository(connection)
            found = await self._current(sessions, token, now, lock=True)
            session, user = found.row.session, found.row.user
            if found.replaced:
                await sessions.change(session.id, **_columns(_bounded(origin)))
                return Issued(
                    token=found.token,
                    csrf=csrf_of(found.token),
                    session=session,
                    user=user,
                    rotated=True,
                )
            following = new_login_token()
            fresh = dataclasses.replace(
                session,
                id=new_uuid(),
                issued_at=now,
                last_seen_at=now,
                expires_at=self._expiry(session, now),
                flagged=False,
                origin=_bounded(origin),
            )
            await self._store(sessions, fresh, following, csrf_before=csrf_of(token))
            await sessions.change(session.id, replaced_at=now, successor=masked(following, token))
            await self._note(IdentityRepository(connection), user, "session.refresh", fresh)
        self._rotated(reason)
        return Issued(
            token=following, csrf=csrf_of(following), session=fresh, user=user, rotated=True
        )

    async def revoke(self, token: str) -> LoginSession:
        """Ends the session of a token, with all that was rotated into it.

        Raises:
            InvalidSessionError, SessionExpiredError, AccountDisabledError: there is none.
        """
        now = self._now()
        async with self._database.transaction() as connection:
            sessions = LoginRepository(connection)
            found = await self._current(sessions, token, now, lock=True)
            await sessions.revoke_family(found.row.session.family, at=now)
            await self._note(
                IdentityRepository(connection), found.row.user, "session.logout", found.row.session
            )
        return found.row.session

    async def revoke_all(self, user_id: str, except_session: str | None = None) -> None:
        """Ends all sessions of a person; `except_session` is the id of one that goes on."""
        async with self._database.transaction() as connection:
            sessions = LoginRepository(connection)
            kept = (
                None
                if except_session is None
                else await sessions.family_of(user_id, except_session)
            )
            await sessions.revoke_user(user_id, at=self._now(), but_family=kept)
            identities = IdentityRepository(connection)
            user = await identities.user_by_id(user_id)
            if user is not None:
                await self._audit.append(
                    identities,
                    Actor(name=user.email, surface="server"),
                    "session.revoke_all",
                    user_id,
                    after={"kept": except_session},
                )

    async def flag(self, user_id: str) -> None:
        """Has the sessions of a person rotate with their next request."""
        async with self._database.transaction() as connection:
            await LoginRepository(connection).flag_user(user_id)

    async def measure(self) -> None:
        """Tells the metrics how many sessions go on."""
        if self._metrics is None:
            return
        async with self._database.read() as connection:
            self._metrics.active(await LoginRepository(connection).count_by_role(now=self._now()))

    async def purge(self) -> None:
        """Removes what is of no use any more."""
        async with self._database.transaction() as connection:
            await LoginRepository(connection).purge(before=self._now() - _KEPT_S)

    # --- helpers -----------------------------------------------------------------------

    def _tried(self, result: LoginResult) -> None:
        if self._metrics is not None:
            self._metrics.login(result)

    def _rotated(self, reason: RotationReason) -> None:
        if self._metrics is not None:
            self._metrics.rotation(reason)

    async def _note(
        self, repository: IdentityRepository, user: User, action: str, session: LoginSession
    ) -> None:
        """Says in the audit log, within the same transaction, what became of a session."""
        await self._audit.append(
            repository,
            Actor(name=user.email, surface="server"),
            action,
            user.id,
            after={"session": session.id, "address": session.origin.address},
        )

    async def _current(
        self, sessions: LoginRepository, token: str, now: float, *, lock: bool = False
    ) -> _Found:
        shown = token
        for _ in range(_CHAIN):
            hashed = stored_hash(token)
            row = None if hashed is None else await sessions.by_hash(hashed, lock=lock)
            if row is None:
                raise InvalidSessionError
            if row.user.disabled_at is not None:
                raise AccountDisabledError
            if row.revoked_at is not None:
                raise InvalidSessionError
            if row.replaced_at is None or row.successor is None:
                if now >= row.session.expires_at:
                    raise SessionExpiredError
                return _Found(row, token, token != shown)
            if now > row.replaced_at + self.settings.rotation_grace_seconds:
                _log.warning(
                    "session_reused", session_id=row.session.id, user_id=row.session.user_id
                )
                raise InvalidSessionError
            token = unmasked(row.successor, token)
        raise InvalidSessionError

    def _neighbours(self, found: _Found, now: float) -> frozenset[str]:
        """CSRF values of the token before or after, as hashes, while both tokens work."""
        if found.replaced:
            return frozenset({csrf_hash(csrf_of(found.token))})
        before = found.row.previous_csrf_hash
        grace = self.settings.rotation_grace_seconds
        if before is None or now > found.row.session.issued_at + grace:
            return frozenset()
        return frozenset({before})

    def _new_session(self, user_id: str, origin: Origin, now: float) -> LoginSession:
        identifier = new_uuid()
        end = now + self.settings.absolute_seconds
        return LoginSession(
            id=identifier,
            family=identifier,
            user_id=user_id,
            issued_at=now,
            signed_in_at=now,
            last_seen_at=now,
            expires_at=min(now + self.settings.idle_seconds, end),
            absolute_expires_at=end,
            flagged=False,
            origin=_bounded(origin),
        )

    async def _store(
        self,
        sessions: LoginRepository,
        session: LoginSession,
        token: str,
        *,
        csrf_before: str | None = None,
    ) -> None:
        await sessions.add(
            {
                "id": session.id,
                "family": session.family,
                "user_id": session.user_id,
                "token_hash": stored_hash(token),
                "previous_csrf_hash": None if csrf_before is None else csrf_hash(csrf_before),
                "issued_at": session.issued_at,
                "signed_in_at": session.signed_in_at,
                "last_seen_at": session.last_seen_at,
                "expires_at": session.expires_at,
                "absolute_expires_at": session.absolute_expires_at,
                "flagged": session.flagged,
                **_columns(session.origin),
            }
        )

    def _expiry(self, session: LoginSession, now: float) -> float:
        return min(now + self.settings.idle_seconds, session.absolute_expires_at)

    @property
    def _write_every_s(self) -> float:
        return min(_WRITE_EVERY_S, self.settings.idle_seconds / 4)

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _bounded(origin: Origin) -> Origin:
    """The origin as it is stored and compared."""
    return Origin(
        address=_text(origin.address, _ADDRESS),
        user_agent=_text(origin.user_agent, _USER_AGENT),
        fingerprint=_text(origin.fingerprint, _FINGERPRINT),
    )


def _text(value: str, length: int) -> str:
    return value[:length] if is_storable(value) else ""


def _columns(origin: Origin) -> dict[str, str]:
    return {
        "address": origin.address,
        "user_agent": origin.user_agent,
        "fingerprint": origin.fingerprint,
    }
