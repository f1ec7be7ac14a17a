"""What an administrator sees of limits: where they hold, who is near one, what one would say.

Reads alone; profiles and assignments are changed through `profiles`. Nothing here counts a
request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from interlock.identity.model import KeyInfo, KeyLimits
from interlock.limits.algorithms import Limit
from interlock.limits.counters import Counters
from interlock.limits.model import POSTING, Profile, Scope, limit_of, scope_of
from interlock.limits.profiles import LimitProfiles
from interlock.limits.routes import Asker, Peeked, RouteLimits
from interlock.limits.service import KeyStanding, Limits
from interlock.limits.sightings import Sighting, Sightings

__all__ = ["Fill", "LimitDesk", "ProfileRow", "RouteRow", "note_keys"]

_LOOKED_AT: Final = 40
"""Buckets that are asked how full they are for one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """How much of a bucket is used now."""

    sighting: Sighting
    used: float
    amount: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRow:
    """A limit and where it holds."""

    place: str
    """Id of the assignment; else the name of what is built in."""
    method: str
    path: str
    profile: str
    profile_id: str | None
    """None: set in the settings of the server."""
    limit: Limit
    scope: Scope
    kind: Literal["assigned", "posting", "server"]
    fullest: Fill | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRow:
    """A profile, what it says and where it is used."""

    profile: Profile
    limit: Limit
    scope: Scope
    routes: tuple[RouteRow, ...] = field(default=())


class LimitDesk:
    """The limits of a server, to be looked at."""

    def __init__(
        self,
        routes: RouteLimits,
        profiles: LimitProfiles,
        counters: Counters,
        sightings: Sightings,
        keys: Limits,
    ) -> None:
        self.profiles = profiles
        self._routes = routes
        self._counters = counters
        self._sightings = sightings
        self._keys = keys

    @property
    def enabled(self) -> bool:
        """Whether requests of people are limited at all."""
        return self._routes.enabled

    async def overview(self) -> tuple[list[ProfileRow], list[RouteRow]]:
        """Profiles by name; routes, the most specific kind first, with their fullest bucket.

        Raises CountersUnavailable.
        """
        fullest: dict[str, Fill] = {}
        for fill in await self.fills():
            kept = fullest.get(fill.sighting.place)
            if kept is None or fill.used / fill.amount > kept.used / kept.amount:
                fullest[fill.sighting.place] = fill
        stored = await self.profiles.profiles()
        by_id = {one.id: one for one in stored}
        routes = [
            _row(one.id, one.method, one.path_pattern, by_id[one.profile_id], "assigned", fullest)
            for one in await self.profiles.assignments()
            if one.profile_id in by_id
        ]
        for one in stored:
            if one.name == POSTING:
                routes.append(_row(POSTING, "POST", "messages", one, "posting", fullest))
        for method, path, limit, scope in self._routes.built_in():
            name = "auth_login" if method == "POST" else "default"
            routes.append(
                RouteRow(
                    place=name,
                    method=method,
                    path=path,
                    profile=name,
                    profile_id=None,
                    limit=limit,
                    scope=scope,
                    kind="server",
                    fullest=fullest.get(name),
                )
            )
        rows = [
            ProfileRow(
                profile=one,
                limit=limit_of(one.algorithm, one.params),
                scope=scope_of(one.params),
                routes=tuple(row for row in routes if row.profile_id == one.id),
            )
            for one in stored
        ]
        return rows, routes

    async def fills(self) -> list[Fill]:
        """The buckets of requests that were near their limit lately, as full as they are now.

        Raises CountersUnavailable.
        """
        found = [one for one in await self._sightings.recent() if one.place != "key"]
        made = []
        for one in found[:_LOOKED_AT]:
            verdict = await self._counters.look(one.bucket, one.limit)
            left = verdict.remaining + 1.0 if verdict.allowed else 0.0
            amount = one.limit.amount
            made.append(Fill(sighting=one, used=max(0.0, amount - left), amount=amount))
        return made

    async def limited(self) -> list[Sighting]:
        """Who was refused in the last ten minutes; who still is comes first."""
        return [one for one in await self._sightings.recent() if one.refusals]

    async def peek(self, method: str, path: str, asker: Asker) -> Peeked | None:
        """What a request would be told; None: no limit of requests holds.

        Raises CountersUnavailable.
        """
        return await self._routes.peek(method, path, asker)

    async def standing(self, key_id: str, limits: KeyLimits) -> KeyStanding:
        """What a key has left this minute. Raises CountersUnavailable."""
        return await self._keys.standing(key_id, limits)


def note_keys(sightings: Sightings, key: KeyInfo, what: str, limit: float, wait_s: float) -> None:
    """Notes that a key was refused; `what` is `requests`, `tokens` or `cost`."""
    sightings.note(
        f"key {what} {key.id}",
        place="key",
        profile=what,
        who=f"key:{key.id}",
        limit=Limit(algorithm="token_bucket", amount=limit, period_s=60.0 / limit),
        wait_s=wait_s,
    )


def _row(  # noqa: PLR0917 - the parts of a row
    place: str,
    method: str,
    path: str,
    profile: Profile,
    kind: Literal["assigned", "posting"],
    fullest: Mapping[str, Fill],
) -> RouteRow:
    return RouteRow(
        place=place,
        method=method,
        path=path,
        profile=profile.name,
        profile_id=profile.id,
        limit=limit_of(profile.algorithm, profile.params),
        scope=scope_of(profile.params),
        kind=kind,
        fullest=fullest.get(place),
    )
