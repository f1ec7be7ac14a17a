"""Limits on requests by route: who asks, which profile holds, one decision per request.

Profiles and assignments are read once and again after a change here, or every few seconds
for what another process changed; a request with nothing new reads nothing.

Source: conversations.md sections 15.4 and 15.5.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.limits.algorithms import Limit
from interlock.limits.counters import Counters
from interlock.limits.errors import Ruled, TooManyRequestsError
from interlock.limits.matching import Matcher
from interlock.limits.metrics import LimitMetrics
from interlock.limits.model import POSTING, Profile, Scope, limit_of, scope_of
from interlock.limits.repository import LimitRepository
from interlock.storage.engine import Database

__all__ = ["Asker", "RouteLimits", "RouteSettings", "Ruled"]

_log = logging.getLogger("interlock.limits")
_REFRESH_S: Final = 5.0
_ADMIN: Final = "/api/admin/limits/"
_LIMITED: Final = ("/api/", "/v1/")
_ADMIN_FLOOR: Final = Limit(algorithm="gcra", amount=10, period_s=1.0)
_POSTING: Final = Limit(algorithm="gcra", amount=10, period_s=0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """What holds where nothing is assigned."""

    enabled: bool = True
    login_per_minute: int = 10
    """Attempts per address."""
    default_rps: float = 50.0
    burst: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who makes a request, as far as it is known."""

    address: str
    user_id: str | None = None
    session_id: str | None = None
    conversation_id: str | None = None


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
    ) -> None:
        self._metrics = metrics
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
        if not self._settings.enabled or method == "OPTIONS":
            return None
        known = self._known or await self._read()
        found = known.matcher.find(method, path)
        if found is not None:
            profile, limit, scope = known.profiles[found.profile_id]
            place, name = found.id, profile.name
        elif (method, path) == ("POST", "/api/auth/login"):
            limit, scope, place, name = self._login, "ip", "auth_login", "auth_login"
        elif path.startswith(_LIMITED):
            limit, scope, place, name = self._default, "user_or_ip", "default", "default"
        else:
            return None
        bucket = f"{place}\0{_terms(limit)}\0{_bucket_of(scope, asker)}"
        verdict = await self._counters.take(bucket, limit)
        if not verdict.allowed and path.startswith(_ADMIN):
            # Nobody may lock himself out of the place where limits are mended.
            floor = await self._counters.take(f"admin\0{asker.user_id}", _ADMIN_FLOOR)
            if floor.allowed:
                verdict = floor
        return self._told(Ruled(profile=name, verdict=verdict))

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
        bucket = f"{POSTING}\0{_terms(limit)}\0{user_id}\0{conversation_id}"
        verdict = await self._counters.take(bucket, limit)
        ruled = self._told(Ruled(profile=POSTING, verdict=verdict))
        if not verdict.allowed:
            raise TooManyRequestsError(ruled)

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


def _terms(limit: Limit) -> str:
    """Part of a bucket's name: under a changed limit everybody begins anew."""
    return f"{limit.algorithm} {limit.amount!r} {limit.period_s!r}"


def _bucket_of(scope: Scope, asker: Asker) -> str:
    """Names whose use is counted; who is not known falls back to the address."""
    address = f"ip:{asker.address}"
    match scope:
        case "global":
            return "all"
        case "ip":
            return address
        case "session":
            return f"session:{asker.session_id}" if asker.session_id else address
        case "conversation" if asker.conversation_id:
            return f"conversation:{asker.conversation_id}"
        case _:
            return f"user:{asker.user_id}" if asker.user_id else address
