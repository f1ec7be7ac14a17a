"""Who is near a limit, or over it: what a person is shown who asks why somebody is stopped.

Only buckets that are more than half used are noted, and every refusal; a request that is far
from its limit costs nothing here. Notes are kept ten minutes, at most a few hundred. With
Redis every process writes its own notes there every few seconds, so that each of them can
show those of all; what was noted by a process that ended goes with the ten minutes.

Nothing is decided by what is noted here: the counters decide.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import redis.asyncio as redis
from redis.exceptions import RedisError

from interlock.kernel.clock import Clock
from interlock.kernel.ids import new_id
from interlock.limits.algorithms import Limit

__all__ = ["KEPT_S", "Sighting", "Sightings"]

KEPT_S: Final = 600.0
_CAPACITY: Final = 300
_log = logging.getLogger("interlock.limits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One bucket that was seen more than half used."""

    bucket: str
    """Its name with the counters."""
    place: str
    """Id of the assignment, or the name of what is built in, or `key`."""
    profile: str
    who: str
    """`user:<id>`, `ip:<network>`, `session:<id>`, `conversation:<id>`, `key:<id>`, `all`."""
    limit: Limit
    at: float
    """When it was seen last."""
    refusals: int = 0
    refused_at: float | None = None
    until: float | None = None
    """When the last refused request could be admitted."""

    def limited(self, now: float) -> bool:
        """Whether it is stopped at this moment, as far as is known."""
        return self.until is not None and self.until > now


class Sightings:
    """Notes of this process, and with Redis those of all."""

    def __init__(
        self, clock: Clock, client: redis.Redis | None = None, *, prefix: str = "interlock:seen:"
    ) -> None:
        """`client` must not decode answers."""
        self._clock = clock
        self._client = client
        self._index = f"{prefix}index"
        self._mine = f"{prefix}{new_id('proc')}"
        self._notes: OrderedDict[str, Sighting] = OrderedDict()
        self._fresh = False

    def note(
        self,
        bucket: str,
        *,
        place: str,
        profile: str,
        who: str,
        limit: Limit,
        wait_s: float | None,
    ) -> None:
        """Notes a bucket that is more than half used; `wait_s` when it refused."""
        now = self._now()
        old = self._notes.get(bucket)
        refused = wait_s is not None
        self._notes[bucket] = Sighting(
            bucket=bucket,
            place=place,
            profile=profile,
            who=who,
            limit=limit,
            at=now,
            refusals=(old.refusals if old else 0) + refused,
            refused_at=now if refused else (old.refused_at if old else None),
            until=now + wait_s if wait_s is not None else (old.until if old else None),
        )
        self._notes.move_to_end(bucket)
        if len(self._notes) > _CAPACITY:
            self._notes.popitem(last=False)
        self._fresh = True

    async def recent(self) -> list[Sighting]:
        """Notes of the last ten minutes; who is stopped for longest comes first."""
        oldest = self._now() - KEPT_S
        found = _merged([*self._notes.values(), *await self._others()])
        return sorted(
            (one for one in found if one.at >= oldest),
            key=lambda one: (-(one.until or 0.0), -one.at, one.bucket),
        )

    async def share(self) -> None:
        """Writes what is new to Redis; does nothing without it. Never raises."""
        if self._client is None or not self._fresh:
            return
        self._fresh = False
        now = self._now()
        for name in [name for name, one in self._notes.items() if one.at < now - KEPT_S]:
            del self._notes[name]
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.set(self._mine, msgspec.json.encode(list(self._notes.values())))
                pipe.expire(self._mine, int(KEPT_S))
                pipe.zadd(self._index, {self._mine: now})
                pipe.zremrangebyscore(self._index, "-inf", now - KEPT_S)
                pipe.expire(self._index, int(KEPT_S))
                await pipe.execute()
        except (RedisError, OSError):
            self._fresh = True
            _log.warning("who is near a limit could not be told to other processes")

    async def _others(self) -> list[Sighting]:
        if self._client is None:
            return []
        await self.share()
        try:
            names = await self._client.zrangebyscore(self._index, self._now() - KEPT_S, "+inf")
            kept = [
                name for name in names if isinstance(name, bytes) and name != self._mine.encode()
            ]
            held = await self._client.mget(kept) if kept else []
        except (RedisError, OSError):
            return []
        return [
            one
            for document in held
            if document
            for one in msgspec.json.decode(document, type=list[Sighting])
        ]

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _merged(found: Iterable[Sighting]) -> list[Sighting]:
    """One note a bucket: refusals added up, the newest of the rest."""
    by_bucket: dict[str, Sighting] = {}
    for one in found:
        other = by_bucket.get(one.bucket)
        if other is None:
            by_bucket[one.bucket] = one
            continue
        newer = max(one, other, key=lambda each: each.at)
        refused = max(one, other, key=lambda each: (each.refused_at or 0.0, each.until or 0.0))
        by_bucket[one.bucket] = replace(
            newer,
            refusals=one.refusals + other.refusals,
            refused_at=refused.refused_at,
            until=refused.until,
        )
    return list(by_bucket.values())
