"""People of the server as members of conversations see them: read from the tables of identity."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.model import Person
from interlock.identity.tables import users

__all__ = ["PeopleDirectory"]

_COLUMNS = (
    users.c.id,
    users.c.username,
    users.c.display_name,
    users.c.email,
    users.c.global_role,
)


class PeopleDirectory:
    """Enabled people only: who was switched off is nobody to write to."""

    async def people(
        self, connection: AsyncConnection, user_ids: Collection[str]
    ) -> Mapping[str, Person]:
        """Those of the ids that are enabled people."""
        query = select(*_COLUMNS).where(users.c.id.in_(user_ids), users.c.disabled_at.is_(None))
        return {row.id: _person(row) for row in (await connection.execute(query)).all()}

    async def named(
        self, connection: AsyncConnection, usernames: Collection[str]
    ) -> Mapping[str, Person]:
        """Enabled people by lower-case username. Index: `uq_users_username_key`."""
        query = select(*_COLUMNS, users.c.username_key).where(
            users.c.username_key.in_(usernames), users.c.disabled_at.is_(None)
        )
        rows = (await connection.execute(query)).all()
        return {row.username_key: _person(row) for row in rows}

    async def search(
        self,
        connection: AsyncConnection,
        words: str,
        *,
        among: Collection[str] | None,
        limit: int,
    ) -> list[Person]:
        """Enabled people whose username or name contains `words`, sorted by username."""
        query = (
            select(*_COLUMNS)
            .where(
                users.c.disabled_at.is_(None),
                or_(
                    users.c.username_key.contains(words, autoescape=True),
                    users.c.display_name.icontains(words, autoescape=True),
                ),
            )
            .order_by(users.c.username_key)
            .limit(limit)
        )
        if among is not None:
            query = query.where(users.c.id.in_(among))
        return [_person(row) for row in (await connection.execute(query)).all()]


def _person(row: Any) -> Person:  # noqa: ANN401 - a row of one of the selections above
    return Person(
        id=row.id,
        username=row.username,
        display_name=row.display_name,
        email=row.email,
        read_only=row.global_role == "read_only",
    )
