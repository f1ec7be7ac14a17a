"""All queries on limit profiles and assignments, on the caller's connection."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.limits.algorithms import Algorithm
from interlock.limits.model import Assignment, Profile
from interlock.limits.tables import limit_assignments, limit_profiles

__all__ = ["LimitRepository"]


class LimitRepository:
    """Profiles and assignments."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def profiles(self) -> Sequence[Profile]:
        """All, by name."""
        rows = await self._connection.execute(
            select(limit_profiles).order_by(limit_profiles.c.name, limit_profiles.c.id)
        )
        return [_profile(row) for row in rows]

    async def profile(self, profile_id: str) -> Profile | None:
        """One by id."""
        return await self._one(select(limit_profiles).where(limit_profiles.c.id == profile_id))

    async def named(self, name: str) -> Profile | None:
        """One by its exact name."""
        return await self._one(select(limit_profiles).where(limit_profiles.c.name == name))

    async def add_profile(self, profile: Profile) -> None:
        """Stores a new one."""
        await self._connection.execute(insert(limit_profiles).values(**_profile_row(profile)))

    async def change_profile(self, profile: Profile) -> None:
        """Stores a changed one."""
        await self._connection.execute(
            update(limit_profiles)
            .where(limit_profiles.c.id == profile.id)
            .values(**_profile_row(profile))
        )

    async def delete_profile(self, profile_id: str) -> None:
        """Removes one that is assigned nowhere."""
        await self._connection.execute(
            delete(limit_profiles).where(limit_profiles.c.id == profile_id)
        )

    async def uses(self, profile_id: str) -> int:
        """How many assignments a profile has."""
        query = (
            select(func.count())
            .select_from(limit_assignments)
            .where(limit_assignments.c.profile_id == profile_id)
        )
        return int((await self._connection.execute(query)).scalar_one())

    async def assignments(self) -> Sequence[Assignment]:
        """All, by method and pattern."""
        columns = limit_assignments.c
        rows = await self._connection.execute(
            _joined().order_by(columns.method, columns.path_pattern, columns.id)
        )
        return [_assignment(row) for row in rows]

    async def assignment(self, assignment_id: str) -> Assignment | None:
        """One by id."""
        query = _joined().where(limit_assignments.c.id == assignment_id)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _assignment(row)

    async def at(self, method: str, path: str) -> Assignment | None:
        """The one on exactly this method and pattern."""
        columns = limit_assignments.c
        query = _joined().where(columns.method == method, columns.path_pattern == path)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _assignment(row)

    async def add_assignment(self, values: Mapping[str, Any]) -> None:
        """Stores a new one."""
        await self._connection.execute(insert(limit_assignments).values(**values))

    async def move(self, assignment_id: str, profile_id: str, *, now: float) -> None:
        """Gives a route another profile."""
        await self._connection.execute(
            update(limit_assignments)
            .where(limit_assignments.c.id == assignment_id)
            .values(profile_id=profile_id, updated_at=now)
        )

    async def delete_assignment(self, assignment_id: str) -> None:
        """Removes one."""
        await self._connection.execute(
            delete(limit_assignments).where(limit_assignments.c.id == assignment_id)
        )

    async def _one(self, query: Select[Any]) -> Profile | None:
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _profile(row)


def _joined() -> Select[Any]:
    return select(limit_assignments, limit_profiles.c.name.label("profile_name")).join(
        limit_profiles, limit_profiles.c.id == limit_assignments.c.profile_id
    )


def _profile(row: Row[Any]) -> Profile:
    return Profile(
        id=row.id,
        name=row.name,
        algorithm=msgspec.convert(row.algorithm, Algorithm),
        params=msgspec.json.decode(row.params, type=dict[str, Any]),
        description=row.description,
        built_in=row.built_in,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _profile_row(profile: Profile) -> dict[str, Any]:
    return {
        "id": profile.id,
        "name": profile.name,
        "algorithm": profile.algorithm,
        "params": msgspec.json.encode(dict(profile.params)).decode(),
        "description": profile.description,
        "built_in": profile.built_in,
        "created_at": profile.created_at,
        "updated_at": profile.updated_at,
    }


def _assignment(row: Row[Any]) -> Assignment:
    return Assignment(
        id=row.id,
        profile_id=row.profile_id,
        profile_name=row.profile_name,
        method=row.method,
        path_pattern=row.path_pattern,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
