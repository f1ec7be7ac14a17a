"""Commands on limit profiles and assignments: checked, audited, one transaction each.

Source: conversations.md sections 15.2 and 15.3.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.identity.audit import AuditLog
from interlock.identity.model import Actor
from interlock.identity.naming import is_storable
from interlock.identity.repository import IdentityRepository
from interlock.kernel.clock import Clock
from interlock.kernel.ids import new_uuid
from interlock.limits.algorithms import Algorithm
from interlock.limits.errors import (
    AssignmentNotFoundError,
    InvalidProfileError,
    ProfileInUseError,
    ProfileNameTakenError,
    ProfileNotFoundError,
)
from interlock.limits.matching import clean_method, clean_path
from interlock.limits.model import POSTING, Assignment, Profile, limit_of
from interlock.limits.repository import LimitRepository
from interlock.storage.engine import Database

__all__ = ["KEEP", "LimitProfiles"]

_NAME_CHARS: Final = 200
_DESCRIPTION_CHARS: Final = 2000
KEEP: Final = object()
"""The description stays as it is."""
_POSTING_PARAMS: Final = {"requests_per_second": 5, "burst": 10}
_LOCK: Final = "limit profiles"


class LimitProfiles:
    """Profiles, and the routes they are assigned to."""

    def __init__(
        self, database: Database, audit: AuditLog, clock: Clock, *, changed: Callable[[], None]
    ) -> None:
        """`changed` is called after every change, so that it holds for the next request."""
        self._database = database
        self._audit = audit
        self._clock = clock
        self._changed = changed

    async def first_start(self) -> None:
        """Makes the built-in profile of posting, if it is not there yet."""
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, _LOCK)
            repository = LimitRepository(connection)
            if await repository.named(POSTING) is None:
                now = self._now()
                await repository.add_profile(
                    Profile(
                        id=new_uuid(),
                        name=POSTING,
                        algorithm="gcra",
                        params=_POSTING_PARAMS,
                        description="posting messages, per person and conversation",
                        built_in=True,
                        created_at=now,
                        updated_at=now,
                    )
                )

    async def profiles(self) -> Sequence[Profile]:
        """All, by name."""
        async with self._database.read() as connection:
            return await LimitRepository(connection).profiles()

    async def assignments(self) -> Sequence[Assignment]:
        """All, by method and pattern."""
        async with self._database.read() as connection:
            return await LimitRepository(connection).assignments()

    async def create(
        self,
        actor: Actor,
        *,
        name: str,
        algorithm: str = "gcra",
        params: Mapping[str, Any],
        description: str | None = None,
    ) -> Profile:
        """Makes a profile.

        Raises:
            InvalidProfileError: no name, no such algorithm, parameters that are no limit.
            ProfileNameTakenError: the name is in use.
        """
        name = _name(name)
        kind = _algorithm(algorithm, params)
        now = self._now()
        profile = Profile(
            id=new_uuid(),
            name=name,
            algorithm=kind,
            params=dict(params),
            description=_description(description),
            created_at=now,
            updated_at=now,
        )
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, _LOCK)
            repository = LimitRepository(connection)
            if await repository.named(name) is not None:
                raise ProfileNameTakenError(name)
            await repository.add_profile(profile)
            await self._note(connection, actor, "limit.create", profile.id, None, asdict(profile))
        self._changed()
        return profile

    async def change(
        self,
        actor: Actor,
        profile_id: str,
        *,
        name: str | None = None,
        algorithm: str | None = None,
        params: Mapping[str, Any] | None = None,
        description: object = KEEP,
    ) -> Profile:
        """Changes what is given; `description` None or empty clears it.

        Raises:
            ProfileNotFoundError, InvalidProfileError, ProfileNameTakenError,
            ProfileInUseError: the name of a built-in profile stays.
        """
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, _LOCK)
            repository = LimitRepository(connection)
            old = await repository.profile(profile_id)
            if old is None:
                raise ProfileNotFoundError(profile_id)
            given = old.params if params is None else dict(params)
            new = replace(
                old,
                name=old.name if name is None else _name(name),
                algorithm=_algorithm(algorithm or old.algorithm, given),
                params=given,
                updated_at=self._now(),
            )
            if description is not KEEP:
                new = replace(new, description=_description(str(description or "")))
            if new.name != old.name:
                if old.built_in:
                    raise ProfileInUseError(old.name, built_in=True)
                if await repository.named(new.name) is not None:
                    raise ProfileNameTakenError(new.name)
            await repository.change_profile(new)
            await self._note(
                connection, actor, "limit.change", profile_id, asdict(old), asdict(new)
            )
        self._changed()
        return new

    async def delete(self, actor: Actor, profile_id: str) -> None:
        """Removes a profile.

        Raises:
            ProfileNotFoundError: there is none.
            ProfileInUseError: it is assigned, or built in.
        """
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, _LOCK)
            repository = LimitRepository(connection)
            old = await repository.profile(profile_id)
            if old is None:
                raise ProfileNotFoundError(profile_id)
            if old.built_in or await repository.uses(profile_id):
                raise ProfileInUseError(old.name, built_in=old.built_in)
            await repository.delete_profile(profile_id)
            await self._note(connection, actor, "limit.delete", profile_id, asdict(old), None)
        self._changed()

    async def assign(self, actor: Actor, *, profile_id: str, method: str, path: str) -> Assignment:
        """Puts a profile on a route; one that has another profile moves to this one.

        Raises:
            InvalidAssignmentError: no such method, no path.
            ProfileNotFoundError: there is none.
        """
        method, path = clean_method(method), clean_path(path)
        async with self._database.transaction() as connection:
            await self._database.exclusive(connection, _LOCK)
            repository = LimitRepository(connection)
            if await repository.profile(profile_id) is None:
                raise ProfileNotFoundError(profile_id)
            old = await repository.at(method, path)
            now = self._now()
            if old is None:
                values = {
                    "id": new_uuid(),
                    "profile_id": profile_id,
                    "method": method,
                    "path_pattern": path,
                    "created_at": now,
                    "updated_at": now,
                }
                await repository.add_assignment(values)
            else:
                await repository.move(old.id, profile_id, now=now)
            new = await repository.at(method, path)
            assert new is not None  # noqa: S101 - written above
            before = None if old is None else asdict(old)
            await self._note(connection, actor, "limit.assign", new.id, before, asdict(new))
        self._changed()
        return new

    async def unassign(self, actor: Actor, assignment_id: str) -> None:
        """Takes a profile off a route. Raises AssignmentNotFoundError."""
        async with self._database.transaction() as connection:
            repository = LimitRepository(connection)
            old = await repository.assignment(assignment_id)
            if old is None:
                raise AssignmentNotFoundError(assignment_id)
            await repository.delete_assignment(assignment_id)
            await self._note(connection, actor, "limit.unassign", old.id, asdict(old), None)
        self._changed()

    async def _note(  # noqa: PLR0917 - the parts of an audit entry
        self,
        connection: AsyncConnection,
        actor: Actor,
        action: str,
        target: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        await self._audit.append(
            IdentityRepository(connection), actor, action, target, before=before, after=after
        )

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _name(name: str) -> str:
    cleaned = name.strip()
    if not cleaned or len(cleaned) > _NAME_CHARS or not cleaned.isprintable():
        # It is told in a header and in metrics.
        raise InvalidProfileError("name must have 1 to 200 printable characters", field="name")
    return cleaned


def _description(text: str | None) -> str | None:
    if text and (len(text) > _DESCRIPTION_CHARS or not is_storable(text)):
        raise InvalidProfileError(
            "description must have at most 2000 characters and no NUL", field="description"
        )
    return text or None


def _algorithm(algorithm: str, params: Mapping[str, Any]) -> Algorithm:
    limit_of(algorithm, params)
    kinds: dict[str, Algorithm] = {
        "gcra": "gcra",
        "token_bucket": "token_bucket",
        "fixed_window": "fixed_window",
    }
    return kinds[algorithm]
