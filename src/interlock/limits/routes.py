"""Limits on requests by route: who asks, which profile holds, one decision per request.

Profiles and assignments are read once and again after a change here, or every few seconds
for what another process changed; a request with nothing new reads nothing.

Source: conversations.md sections 15.4 and 15.5.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.limits.algorithms import Limit, Verdict
from interlock.limits.counters import Counters
from interlock.limits.errors import Ruled, TooManyRequestsError
from interlock.limits.matching import Matcher
from interlock.limits.metrics import LimitMetrics
from interlock.limits.model import POSTING, Profile, Scope, limit_of, scope_of
from interlock.limits.repository import LimitRepository
from interlock.limits.ruling import Asker, Peeked, RouteSettings, Rule, terms, who_of
from interlock.limits.sightings import Sightings
from interlock.storage.engine import Database

__all__ = ["Asker", "Peeked", "RouteLimits", "RouteSettings", "Ruled"]

_log = logging.getLogger("interlock.limits")
_REFRESH_S: Final = 5.0
_ADMIN: Final = "/api/admin/limits/"
_LIMITED: Final = ("/api/", "/v1/")
_ADMIN_FLOOR: Final = Limit(algorithm="gcra", amount=10, period_s=1.0)
_POSTING: Final = Limit(algorithm="gcra", amount=10, period_s=0.2)


@dataclass(frozen=True, slots=True)
class _Known:
    matcher: Matcher
    profiles: Mapping[str, tuple[Profile, Limit, Scope]]
    by_name: Mapping[str, Profile]


class RouteLimits:
    """Decides requests; `run` keeps it up to date."""

    def __init__(
        self,
        database: Database,
        counters: Counters,
        clock: Clock,
        settings: RouteSettings,
        metrics: LimitMetrics | None = None,
        *,
        sightings: Sightings | None = None,
    ) -> None:
        self._metrics = metrics
        self._sightings = sightings
        self._database = database
        self._counters = counters
        self._clock = clock
        self._settings = settings
        self._default = Limit(
            algorithm="gcra", amount=settings.burst, period_s=1 / settings.default_rps
        )
        self._login = Limit(
            algorithm="fixed_window", amount=settings.login_per_minute, period_s=60.0
        )
        self._known: _Known | None = None
        self._changes = 0
        self._stale = asyncio.Event()

    def changed(self) -> None:
        """The next request reads profiles and assignments anew."""
        self._changes += 1
        self._known = None
        self._stale.set()

    async def run(self) -> None:
        """Notices what other processes change. Runs until it is cancelled."""
        while True:
            self._stale.clear()
            try:
                async with asyncio.timeout(_REFRESH_S):
                    await self._stale.wait()
            except TimeoutError:
                if self._sightings is not None:
                    await self._sightings.share()
                try:
                    await self._read()
                except InterlockError as exc:
                    _log.warning("limit profiles were not read: %s", exc.message)

    async def check(self, method: str, path: str, asker: Asker) -> Ruled | None:
        """Counts a request; None when it is not limited.

        Outside of the APIs only what is assigned is limited.

        Raises:
            StoreUnavailable, CountersUnavailable: nobody can say.
        """
        rule = await self._rule(method, path)
        if rule is None:
            return None
        bucket = rule.bucket(asker)
        verdict = await self._counters.take(bucket, rule.limit)
        self._seen(bucket, rule.place, rule.profile, who_of(rule.scope, asker), rule.limit, verdict)
        if not verdict.allowed and path.startswith(_ADMIN):
            # Nobody may lock himself out of the place where limits are mended.
            floor = await self._counters.take(f"admin\0{asker.user_id}", _ADMIN_FLOOR)
            if floor.allowed:
                verdict = floor
        return self._told(Ruled(profile=rule.profile, verdict=verdict))

    async def peek(self, method: str, path: str, asker: Asker) -> Peeked | None:
        """What `check` would say; counts nothing.

        Raises:
            StoreUnavailable, CountersUnavailable: nobody can say.
        """
        rule = await self._rule(method, path)
        if rule is None:
            return None
        return Peeked(
            place=rule.place,
            profile=rule.profile,
            limit=rule.limit,
            scope=rule.scope,
            verdict=await self._counters.look(rule.bucket(asker), rule.limit),
        )

    def built_in(self) -> Sequence[tuple[str, str, Limit, Scope]]:
        """What holds where nothing is assigned: method, path, limit, scope."""
        return (
            ("POST", "/api/auth/login", self._login, "ip"),
            ("*", "/api/*", self._default, "user_or_ip"),
            ("*", "/v1/*", self._default, "user_or_ip"),
        )

    @property
    def enabled(self) -> bool:
        """Whether requests are limited at all."""
        return self._settings.enabled

    async def post(self, user_id: str, conversation_id: str) -> None:
        """Counts a message a person posts (15.5).

        Raises:
            TooManyRequestsError: too many of this person in this conversation.
            StoreUnavailable, CountersUnavailable: nobody can say.
        """
        if not self._settings.enabled:
            return
        known = self._known or await self._read()
        profile = known.by_name.get(POSTING)
        limit = _POSTING if profile is None else known.profiles[profile.id][1]
        bucket = f"{POSTING}\0{terms(limit)}\0{user_id}\0{conversation_id}"
        verdict = await self._counters.take(bucket, limit)
        self._seen(bucket, POSTING, POSTING, f"user:{user_id}", limit, verdict)
        ruled = self._told(Ruled(profile=POSTING, verdict=verdict))
        if not verdict.allowed:
            raise TooManyRequestsError(ruled)

    async def _rule(self, method: str, path: str) -> Rule | None:
        if not self._settings.enabled or method == "OPTIONS":
            return None
        known = self._known or await self._read()
        found = known.matcher.find(method, path)
        if found is not None:
            profile, limit, scope = known.profiles[found.profile_id]
            return Rule(place=found.id, profile=profile.name, limit=limit, scope=scope)
        if (method, path) == ("POST", "/api/auth/login"):
            return Rule(place="auth_login", profile="auth_login", limit=self._login, scope="ip")
        if path.startswith(_LIMITED):
            return Rule(place="default", profile="default", limit=self._default, scope="user_or_ip")
        return None

    def _seen(  # noqa: PLR0917 - the parts of a note
        self, bucket: str, place: str, profile: str, who: str, limit: Limit, verdict: Verdict
    ) -> None:
        near = 2 * verdict.remaining < limit.amount
        if self._sightings is not None and (near or not verdict.allowed):
            self._sightings.note(
                bucket,
                place=place,
                profile=profile,
                who=who,
                limit=limit,
                wait_s=None if verdict.allowed else verdict.retry_after_s,
            )

    def _told(self, ruled: Ruled) -> Ruled:
        if self._metrics is not None:
            self._metrics.ruled(ruled)
        return ruled

    async def _read(self) -> _Known:
        changes = self._changes
        async with self._database.read() as connection:
            repository = LimitRepository(connection)
            profiles = await repository.profiles()
            assignments = await repository.assignments()
        known = _Known(
            matcher=Matcher(assignments),
            profiles={
                one.id: (one, limit_of(one.algorithm, one.params), scope_of(one.params))
                for one in profiles
            },
            by_name={one.name: one for one in profiles},
        )
        if self._metrics is not None:
            self._metrics.known(profiles=len(profiles), assignments=len(assignments))
        if changes == self._changes:  # else it may be what was before the change
            self._known = known
        return known
