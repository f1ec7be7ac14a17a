"""All queries on login sessions. Each takes the connection of the caller's transaction."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.identity.login.model import LoginSession, Origin
from interlock.identity.model import User
from interlock.identity.repository import user_of
from interlock.identity.tables import login_sessions, users

__all__ = ["LoginRepository", "SessionRow"]

_table = login_sessions.c


class SessionRow(NamedTuple):
    """A stored session with what only the service may know of it."""

    session: LoginSession
    user: User
    previous_csrf_hash: str | None
    successor: str | None
    replaced_at: float | None
    revoked_at: float | None


class LoginRepository:
    """Login sessions, on one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def by_hash(self, token_hash: str, *, lock: bool = False) -> SessionRow | None:
        """The session of a token. Index: `uq_login_sessions_token_hash`.

        With `lock` others wait until the transaction ends before they lock it too.
        """
        query = (
            select(login_sessions, *_USER)
            .join(users, users.c.id == _table.user_id)
            .where(_table.token_hash == token_hash)
        )
        if lock:
            query = query.with_for_update(of=login_sessions)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _session_row(row)

    async def alive(self, session_id: str, *, now: float) -> bool:
        """Whether what began as this session still goes on, rotated or not."""
        query = (
            select(_table.id)
            .join(users, users.c.id == _table.user_id)
            .where(
                _table.id == session_id,
                _table.revoked_at.is_(None),
                _table.absolute_expires_at > now,
                users.c.disabled_at.is_(None),
            )
        )
        return (await self._connection.execute(query)).first() is not None

    async def family_of(self, user_id: str, session_id: str) -> str | None:
        """The family of a session of a user; None: the user has no such session."""
        query = select(_table.family).where(
            _table.user_id == user_id, _table.id == session_id, _table.revoked_at.is_(None)
        )
        found: str | None = (await self._connection.execute(query)).scalar_one_or_none()
        return found

    async def of_user(self, user_id: str, *, now: float) -> list[LoginSession]:
        """Live sessions of a user, newest first; of each log-in the current one.

        Index: `ix_login_sessions_user_id`.
        """
        query = (
            select(login_sessions)
            .where(
                _table.user_id == user_id,
                _table.revoked_at.is_(None),
                _table.replaced_at.is_(None),
                _table.expires_at > now,
            )
            .order_by(_table.issued_at.desc(), _table.id)
        )
        return [_session(row) for row in (await self._connection.execute(query)).all()]

    async def count_by_role(self, *, now: float) -> dict[str, int]:
        """Live sessions by global role; of each log-in the current one."""
        query = (
            select(users.c.global_role, func.count())
            .select_from(login_sessions.join(users, users.c.id == _table.user_id))
            .where(
                _table.revoked_at.is_(None),
                _table.replaced_at.is_(None),
                _table.expires_at > now,
                users.c.disabled_at.is_(None),
            )
            .group_by(users.c.global_role)
        )
        rows = (await self._connection.execute(query)).all()
        return {str(role): int(count) for role, count in rows}

    async def add(self, values: Mapping[str, Any]) -> None:
        """Stores a new session; `values` are columns."""
        await self._connection.execute(login_sessions.insert().values(**values))

    async def change(self, session_id: str, **values: Any) -> None:  # noqa: ANN401 - columns
        """Changes columns of a session."""
        await self._connection.execute(
            update(login_sessions).where(_table.id == session_id).values(**values)
        )

    async def slide(
        self, session_id: str, *, now: float, expires_at: float, unseen_s: float
    ) -> None:
        """Moves the window of a session on, unless that was done less than `unseen_s` ago."""
        await self._connection.execute(
            update(login_sessions)
            .where(_table.id == session_id, _table.last_seen_at <= now - unseen_s)
            .values(last_seen_at=now, expires_at=expires_at)
        )

    async def revoke_family(self, family: str, *, at: float) -> None:
        """Ends a session and all that came before it. Index: `ix_login_sessions_family`."""
        await self._connection.execute(
            update(login_sessions)
            .where(_table.family == family, _table.revoked_at.is_(None))
            .values(revoked_at=at)
        )

    async def revoke_user(self, user_id: str, *, at: float, but_family: str | None = None) -> None:
        """Ends all sessions of a user, but one. Index: `ix_login_sessions_user_id`."""
        statement = update(login_sessions).where(
            _table.user_id == user_id, _table.revoked_at.is_(None)
        )
        if but_family is not None:
            statement = statement.where(_table.family != but_family)
        await self._connection.execute(statement.values(revoked_at=at))

    async def flag_user(self, user_id: str) -> None:
        """Has the sessions of a user rotate with their next request."""
        await self._connection.execute(
            update(login_sessions)
            .where(
                _table.user_id == user_id,
                _table.revoked_at.is_(None),
                _table.replaced_at.is_(None),
            )
            .values(flagged=True)
        )

    async def purge(self, *, before: float) -> None:
        """Removes sessions that ended before then.

        Index: `ix_login_sessions_absolute_expires_at`.
        """
        await self._connection.execute(
            delete(login_sessions).where(_table.absolute_expires_at < before)
        )


_USER = tuple(
    column.label(f"person_{column.name}") for column in users.c if column.name != "password_hash"
)


class _UserColumns:
    """The columns of the user within a joined row, under their own names."""

    def __init__(self, row: Row[Any]) -> None:
        self._row = row

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a column
        return getattr(self._row, f"person_{name}")


def _session(row: Row[Any]) -> LoginSession:
    return LoginSession(
        id=row.id,
        family=row.family,
        user_id=row.user_id,
        issued_at=row.issued_at,
        signed_in_at=row.signed_in_at,
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
        absolute_expires_at=row.absolute_expires_at,
        flagged=row.flagged,
        origin=Origin(address=row.address, user_agent=row.user_agent, fingerprint=row.fingerprint),
    )


def _session_row(row: Row[Any]) -> SessionRow:
    return SessionRow(
        session=_session(row),
        user=user_of(_UserColumns(row)),  # type: ignore[arg-type] # reads like a row
        previous_csrf_hash=row.previous_csrf_hash,
        successor=row.successor,
        replaced_at=row.replaced_at,
        revoked_at=row.revoked_at,
    )
