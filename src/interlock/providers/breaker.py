"""A circuit breaker: a deployment that keeps failing is left alone for a while.

Pure: instants come from the caller. Closed, it counts; open, it refuses until its
pause is over; then it lets one probe through (half-open), which closes it or opens it
for twice as long.

Failures are what the upstream did to us (unreachable, time-out, 5xx, cut, nonsense).
A rate limit or a refused request is not one: the upstream is alive.
"""

from interlock.providers.settings import BreakerSettings

__all__ = ["Breaker"]


class Breaker:
    """State of one deployment."""

    __slots__ = (
        "_consecutive",
        "_failed",
        "_opened_until",
        "_pause_s",
        "_probing",
        "_settings",
        "_total",
        "_window_ends",
    )

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._consecutive = 0
        self._total = 0
        self._failed = 0
        self._window_ends = 0.0
        self._opened_until = 0.0
        self._pause_s = 0.0
        """0 while closed."""
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether requests pass freely."""
        return self._pause_s == 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until a request would be let through; 0: now."""
        if self._pause_s == 0.0:
            return 0.0
        if now < self._opened_until:
            return self._opened_until - now
        return self._pause_s if self._probing else 0.0

    def enter(self, now: float) -> bool:
        """Whether a request may go; each one that went reports back exactly once."""
        if self._pause_s == 0.0:
            return True
        if now < self._opened_until or self._probing:
            return False
        self._probing = True
        return True

    def succeeded(self, now: float) -> None:
        """The upstream answered."""
        self._consecutive = 0
        if self._pause_s != 0.0:
            self._pause_s = 0.0
            self._probing = False
            self._total = self._failed = 0
        self._count(now)

    def failed(self, now: float) -> None:
        """The upstream failed."""
        settings = self._settings
        if self._pause_s != 0.0:
            if self._probing:
                self._probing = False
                self._open(now, min(self._pause_s * 2, settings.max_open_s))
            return
        self._consecutive += 1
        self._count(now)
        self._failed += 1
        enough = self._total >= settings.minimum and self._failed >= settings.rate * self._total
        if self._consecutive >= settings.failures or enough:
            self._open(now, settings.open_s)

    def abandoned(self) -> None:
        """The request ended without a verdict (our caller went away): a probe may be retried."""
        self._probing = False

    def _count(self, now: float) -> None:
        if now >= self._window_ends:
            self._window_ends = now + self._settings.window_s
            self._total = self._failed = 0
        self._total += 1

    def _open(self, now: float, pause_s: float) -> None:
        self._pause_s = pause_s
        self._opened_until = now + pause_s
        self._consecutive = 0
