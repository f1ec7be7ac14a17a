"""What limits of requests count. Names are published: conversations.md section 18.

Labels hold names of profiles, never ids, addresses or paths.
"""

from collections.abc import Callable

from interlock.limits.errors import Ruled
from interlock.telemetry.metrics import Counter, Gauge, Histogram

__all__ = ["LimitMetrics"]


class LimitMetrics:
    """Requests admitted and refused by profile, and how many profiles there are."""

    def __init__(self, register: Callable[[Counter | Gauge | Histogram], None]) -> None:
        self._requests = Counter(
            "http_rate_limit_requests",
            "Requests by the limit that held and its result (allowed, denied).",
            ("profile", "result"),
        )
        self._remaining = Gauge(
            "http_rate_limit_remaining", "What the last request of a profile left.", ("profile",)
        )
        self._reset = Gauge(
            "http_rate_limit_reset_seconds",
            "Until the bucket of the last request of a profile is full again.",
            ("profile",),
        )
        self._profiles = Gauge("rustygpt_limits_profiles", "Profiles of limits.")
        self._assignments = Gauge("rustygpt_limits_assignments", "Routes with a profile.")
        for one in (
            self._requests,
            self._remaining,
            self._reset,
            self._profiles,
            self._assignments,
        ):
            register(one)

    def ruled(self, ruled: Ruled) -> None:
        """Counts one decision."""
        result = "allowed" if ruled.verdict.allowed else "denied"
        self._requests.child(ruled.profile, result).inc()
        self._remaining.child(ruled.profile).value = ruled.verdict.remaining
        self._reset.child(ruled.profile).value = ruled.verdict.reset_s

    def known(self, *, profiles: int, assignments: int) -> None:
        """Notes how many there are."""
        self._profiles.child().value = profiles
        self._assignments.child().value = assignments
