"""Wires the limits of requests: where they are counted, who may change them, what is told.

Part of the composition root. In memory by default; with `store.redis_url` all processes of a
store count together.
"""

from dataclasses import dataclass

import redis.asyncio as redis
from starlette.types import ASGIApp

from interlock.app_settings import AppSettings
from interlock.app_store import Store, redis_client
from interlock.conversations.postlimit import ProfilePostingLimit
from interlock.kernel.clock import Clock
from interlock.limits.counters import Counters, MemoryCounters, RedisCounters
from interlock.limits.desk import LimitDesk
from interlock.limits.metrics import LimitMetrics
from interlock.limits.profiles import LimitProfiles
from interlock.limits.routes import RouteLimits, RouteSettings
from interlock.limits.service import Limits
from interlock.limits.sightings import Sightings
from interlock.surfaces.chat.limiting import Limiter
from interlock.surfaces.chat.metrics import ProbeMetrics
from interlock.surfaces.chat.openai_errors import refusal
from interlock.telemetry.metrics import GatewayMetrics
from interlock.web.asking import Askers
from interlock.web.credentials import CookieWriter, Credentials

__all__ = ["LimitParts", "build_limits"]


@dataclass(slots=True, kw_only=True)
class LimitParts:
    """Limits of requests, built and not yet started."""

    routes: RouteLimits
    """Run `routes.run()` in a task group as long as requests are served."""
    profiles: LimitProfiles
    desk: LimitDesk
    posting: ProfilePostingLimit
    probes: ProbeMetrics
    clock: Clock
    client: redis.Redis | None

    async def first_start(self) -> None:
        """Makes what is built in."""
        await self.profiles.first_start()

    def around(self, app: ASGIApp, credentials: Credentials, store: Store) -> ASGIApp:
        """The chat API behind its limits; cookies are written onto refusals as well."""
        askers = Askers(credentials, store.keys, self.clock)
        return CookieWriter(Limiter(app, self.routes, askers, refusal=refusal))

    async def close(self) -> None:
        """Lets go of Redis."""
        if self.client is not None:
            await self.client.aclose()


def build_limits(
    store: Store, metrics: GatewayMetrics, clock: Clock, *, keys: Limits, sightings: Sightings
) -> LimitParts:
    """The limits of a server; nothing is opened yet. `keys` are the limits of keys."""
    settings: AppSettings = store.settings
    client = redis_client(settings)
    counters: Counters = MemoryCounters(clock)
    if client is not None:
        counters = RedisCounters(client, prefix=f"{settings.store.redis_prefix}:limit:")
    given = settings.rate_limits
    routes = RouteLimits(
        store.database,
        counters,
        clock,
        RouteSettings(
            enabled=settings.limits.enabled,
            login_per_minute=given.auth_login_per_ip_per_min,
            default_rps=given.default_rps,
            burst=given.burst,
        ),
        LimitMetrics(metrics.register),
        sightings=sightings,
    )
    profiles = LimitProfiles(store.database, store.audit, clock, changed=routes.changed)
    return LimitParts(
        routes=routes,
        profiles=profiles,
        desk=LimitDesk(routes, profiles, counters, sightings, keys),
        posting=ProfilePostingLimit(routes),
        probes=ProbeMetrics(metrics.register),
        clock=clock,
        client=client,
    )
