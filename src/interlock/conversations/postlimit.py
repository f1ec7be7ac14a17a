"""How fast one person may post in one conversation: 5 a second, 10 at once.

`MemoryPostingLimit` counts in this process with fixed numbers; `ProfilePostingLimit` wherever
limits are counted, with the numbers of its profile. Source: conversations.md, 15.5.
"""

from collections import OrderedDict

from interlock.conversations.errors import PostingTooFastError
from interlock.kernel.clock import Clock
from interlock.limits.bucket import Bucket
from interlock.limits.routes import RouteLimits

__all__ = ["MemoryPostingLimit", "ProfilePostingLimit"]

_PER_SECOND, _BURST = 5.0, 10.0
_KEPT = 20_000


class MemoryPostingLimit:
    """One bucket per person and conversation; the ones used longest ago are forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    async def admit(self, user_id: str, conversation_id: str) -> None:
        """Counts one message. Raises PostingTooFastError."""
        now = self._clock.monotonic()
        key = (user_id, conversation_id)
        bucket = self._buckets.get(key)
        if bucket is None:
            # A bucket fills up in a minute: 300 of its units are one minute of posts, and all
            # but ten posts' worth are spent at the start.
            bucket = self._buckets[key] = Bucket(_PER_SECOND * 60.0, now=now)
            if len(self._buckets) > _KEPT:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        bucket.spend(max(0.0, bucket.level(now) - _BURST), now=now)
        wait_s = bucket.take(1.0, now=now)
        if wait_s > 0:
            raise PostingTooFastError(wait_s)


class ProfilePostingLimit:
    """The limit of the built-in profile `conversation.post`, as administrators set it."""

    def __init__(self, limits: RouteLimits) -> None:
        self._limits = limits

    async def admit(self, user_id: str, conversation_id: str) -> None:
        """Counts one message. Raises TooManyRequestsError."""
        await self._limits.post(user_id, conversation_id)
