"""A provider's keys: which one to use next, and which one is resting.

Pure apart from the random number passed in. A key rests after a 429 (for as long as
the upstream said) and after it was refused; among the others those with more head-room
(`*-ratelimit-remaining-*` headers) are chosen more often.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from interlock.providers.http import header_lines
from interlock.providers.ratelimit import headroom

__all__ = ["KeyPool", "KeyState"]

_REFUSED_S = 60.0
_FIRST_REST_S = 1.0
_MAX_REST_S = 60.0


class KeyState:
    """One key, ready to be written: its header line, and how it is doing."""

    __slots__ = (
        "_strikes",
        "headroom",
        "line",
        "name",
        "refused",
        "rests_until",
        "secret",
        "weight",
    )

    def __init__(self, name: str, secret: str, header: str, weight: float = 1.0) -> None:
        self.name = name
        self.secret = secret
        value = f"Bearer {secret}" if header == "authorization" else secret
        self.line = header_lines([(header, value)]) if secret else b""
        self.weight = weight
        self.rests_until = 0.0
        self.headroom = 1.0
        """Share of the current limit that is left, 0..1."""
        self.refused = False
        self._strikes = 0

    def __repr__(self) -> str:
        return f"KeyState({self.name!r})"

    def rest(self, now: float, wait_s: float | None) -> float:
        """A 429: rests as told, else for a second, doubled each time in a row.

        Several at once (requests that were under way together) count as one.
        """
        if now >= self.rests_until:
            self._strikes = min(self._strikes + 1, 10)
        if wait_s is None:
            wait_s = min(_FIRST_REST_S * 2.0 ** max(self._strikes - 1, 0), _MAX_REST_S)
        self.rests_until = max(self.rests_until, now + wait_s)
        return wait_s

    def refuse(self, now: float) -> None:
        """A 401 or 402: rests for a minute, in case someone repairs it."""
        self.refused = True
        self.rests_until = max(self.rests_until, now + _REFUSED_S)

    def served(self) -> None:
        """It worked."""
        self._strikes = 0
        self.refused = False

    def observe(self, headers: Mapping[str, str], *, now: float, wall: datetime) -> None:
        """Takes the head-room from an answer's headers."""
        seen = headroom(headers, wall)
        if seen is None:
            return
        self.headroom = seen.share
        if seen.share <= 0.0 and seen.reset_s is not None:
            self.rests_until = max(self.rests_until, now + seen.reset_s)
            self.headroom = 1.0


class KeyPool:
    """The keys of one provider, at least one; a server without keys has one empty key."""

    __slots__ = ("keys", "several")

    def __init__(self, keys: Sequence[KeyState]) -> None:
        self.keys = tuple(keys)
        self.several = len(self.keys) > 1

    def pick(self, now: float, draw: float, *, only: str | None = None) -> KeyState | None:
        """A key that is not resting, `draw` (0..1) deciding; None: all rest.

        `only`: the name of the single key that may be used.
        """
        if not self.several:
            key = self.keys[0]
            return key if key.rests_until <= now and only in (None, key.name) else None
        ready = [
            key
            for key in self.keys
            if key.rests_until <= now and (only is None or key.name == only)
        ]
        if not ready:
            return None
        weights = [key.weight * max(key.headroom, 0.01) for key in ready]
        point = draw * sum(weights)
        for key, weight in zip(ready, weights, strict=True):
            point -= weight
            if point < 0:
                return key
        return ready[-1]

    def wait_s(self, now: float, *, only: str | None = None) -> float:
        """Seconds until the first key is ready again."""
        rests = [k.rests_until for k in self.keys if only is None or k.name == only]
        return max(min(rests, default=now) - now, 0.0)
