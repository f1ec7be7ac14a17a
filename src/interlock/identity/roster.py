"""People in lists: who there is, when they were seen last, what they hold. Reads alone.

One query a list, however many rows it has.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from interlock.identity.model import User
from interlock.identity.naming import is_storable, name_key
from interlock.identity.repository import user_of
from interlock.identity.tables import gateway_keys, login_sessions, users
from interlock.kernel.clock import Clock
from interlock.storage.engine import Database

__all__ = ["Roster", "RosterRow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterRow:
    """A person and what belongs to him."""

    user: User
    last_seen_at: float | None
    """When a log-in session was used last; None: no session is kept any more."""
    sessions: int
    """Live ones."""
    keys: int
    """Neither revoked nor expired."""
    has_password: bool
    """Else nobody can sign in as this person with one."""


class Roster:
    """The people of a server, page by page."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def page(
        self, query: str = "", *, limit: int = 50, after: str | None = None, role: str | None = None
    ) -> list[RosterRow]:
        """People by user name whose names or addresses contain `query`.

        `after` continues behind the key of a user name (`naming.name_key`). `role` is a
        global role or `disabled`. Index: `uq_users_username_key`.
        """
        if not is_storable(query + (after or "") + (role or "")):
            return []
        statement = self._rows().order_by(users.c.username_key).limit(max(1, min(limit, 200)))
        if after is not None:
            statement = statement.where(users.c.username_key > after)
        if query:
            part = name_key(query)
            statement = statement.where(
                or_(
                    users.c.username_key.contains(part, autoescape=True),
                    users.c.email.contains(part, autoescape=True),
                    func.lower(users.c.display_name).contains(part, autoescape=True),
                )
            )
        if role == "disabled":
            statement = statement.where(users.c.disabled_at.is_not(None))
        elif role:
            statement = statement.where(users.c.global_role == role)
        return await self._read(statement)

    async def one(self, user_id: str) -> RosterRow | None:
        """A person by id."""
        if not is_storable(user_id):
            return None
        found = await self._read(self._rows().where(users.c.id == user_id))
        return found[0] if found else None

    async def counts(self) -> Mapping[str, int]:
        """How many people: `all`, `disabled`, and by global role those who are not."""
        query = select(
            users.c.global_role, users.c.disabled_at.is_not(None), func.count()
        ).group_by(users.c.global_role, users.c.disabled_at.is_not(None))
        found: dict[str, int] = {"all": 0, "disabled": 0}
        async with self._database.read() as connection:
            for role, off, count in (await connection.execute(query)).all():
                found["all"] += count
                name = "disabled" if off else role
                found[name] = found.get(name, 0) + count
        return found

    async def names(self, user_ids: Collection[str]) -> Mapping[str, User]:
        """Those of the ids that are people."""
        wanted = [one for one in user_ids if is_storable(one)]
        if not wanted:
            return {}
        async with self._database.read() as connection:
            rows = (await connection.execute(select(users).where(users.c.id.in_(wanted)))).all()
        return {row.id: user_of(row) for row in rows}

    def _rows(self) -> Select[tuple[object, ...]]:
        now = self._clock.now().timestamp()
        mine = login_sessions.c.user_id == users.c.id
        seen = select(func.max(login_sessions.c.last_seen_at)).where(mine).scalar_subquery()
        live: ColumnElement[bool] = and_(
            mine,
            login_sessions.c.revoked_at.is_(None),
            login_sessions.c.replaced_at.is_(None),
            login_sessions.c.expires_at > now,
        )
        sessions = select(func.count()).select_from(login_sessions).where(live).scalar_subquery()
        good = and_(
            gateway_keys.c.user_id == users.c.id,
            gateway_keys.c.revoked_at.is_(None),
            or_(gateway_keys.c.expires_at.is_(None), gateway_keys.c.expires_at > now),
        )
        keys = select(func.count()).select_from(gateway_keys).where(good).scalar_subquery()
        return select(
            users,
            seen.label("seen"),
            sessions.label("live"),
            keys.label("held"),
        )

    async def _read(self, statement: Select[tuple[object, ...]]) -> list[RosterRow]:
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            RosterRow(
                user=user_of(row),
                last_seen_at=row.seen,
                sessions=row.live,
                keys=row.held,
                has_password=row.password_hash is not None,
            )
            for row in rows
        ]
