"""The arithmetic of rate limits: one decision is state in, state and verdict out.

Pure: no clock, no storage. `now` is seconds; state is a pair of numbers, so that the same
arithmetic runs here and, statement for statement, in the script that Redis runs (`redis`).

- `gcra` and `token_bucket` are the same thing told in two ways: capacity units that flow
  back at a steady rate. State: `(tat, 0)`, the instant when all units are back.
- `fixed_window` counts in windows aligned to the epoch. State: `(window start, count)`.
- `sliding_window` weighs the window before by how much of it is still in sight. State:
  `(window start, count, count before)`.

Source: conversations.md section 15.4.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, assert_never

__all__ = ["EMPTY", "Algorithm", "Limit", "State", "Verdict", "spend", "take"]

Algorithm = Literal["gcra", "token_bucket", "fixed_window", "sliding_window"]
State = tuple[float, float, float]
EMPTY: State = (0.0, 0.0, 0.0)
"""Of a bucket nobody has used."""
_SLACK_S: Final = 1e-6
"""Instants since the epoch are no more exact than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much, and how fast it comes back."""

    algorithm: Algorithm
    amount: float
    """Units an idle caller may use at once: burst, capacity, or what a window admits."""
    period_s: float
    """Buckets: seconds until one unit is back. Windows: their length."""

    @property
    def full_after_s(self) -> float:
        """An idle bucket of this age is as good as a new one."""
        match self.algorithm:
            case "gcra" | "token_bucket":
                return self.amount * self.period_s
            case "fixed_window":
                return self.period_s
            case "sliding_window":
                return 2 * self.period_s
            case _:
                assert_never(self.algorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a use is admitted, and what is left."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: float
    """Seconds until everything is back, or the window ends."""
    retry_after_s: float = 0.0
    """Of a refused one: when it could be admitted."""


def take(limit: Limit, state: State, amount: float, *, now: float) -> tuple[State, Verdict]:
    """Uses `amount` units if they are there; a refused use changes nothing.

    More than the whole limit is admitted by a full bucket, which then is in debt: otherwise
    no wait would ever be enough.
    """
    match limit.algorithm:
        case "gcra" | "token_bucket":
            return _bucket(limit, state, amount, now)
        case "fixed_window":
            return _window(limit, state, amount, now, sliding=False)
        case "sliding_window":
            return _window(limit, state, amount, now, sliding=True)
        case _:
            assert_never(limit.algorithm)


def spend(limit: Limit, state: State, amount: float, *, now: float) -> State:
    """Uses `amount` whatever is there: what something cost is known only afterwards."""
    if limit.algorithm in {"gcra", "token_bucket"}:
        return (max(state[0], now) + amount * limit.period_s, 0.0, 0.0)
    start, count, before = _turned(limit, state, now)
    return (start, count + amount, before)


def _bucket(limit: Limit, state: State, amount: float, now: float) -> tuple[State, Verdict]:
    span = limit.amount * limit.period_s
    tat = max(state[0], now)
    wanted = min(amount, limit.amount) * limit.period_s
    wait = tat + wanted - span - now
    if wait > _SLACK_S:
        left = max(0.0, span - (tat - now)) / limit.period_s
        return state, _verdict(limit, left, tat - now, wait)
    tat += amount * limit.period_s
    left = max(0.0, span - (tat - now)) / limit.period_s
    return (tat, 0.0, 0.0), _verdict(limit, left, tat - now, None)


def _window(
    limit: Limit, state: State, amount: float, now: float, *, sliding: bool
) -> tuple[State, Verdict]:
    start, count, before = _turned(limit, state, now)
    end = start + limit.period_s
    used = count + (before * (end - now) / limit.period_s if sliding else 0.0)
    if used + min(amount, limit.amount) > limit.amount + 1e-9:
        wait = end - now
        least = min(amount, limit.amount)
        over = used + least - limit.amount
        if sliding and before > 0 and over <= before * (end - now) / limit.period_s:
            wait = over * limit.period_s / before
        elif sliding and count > limit.amount - least:
            wait += limit.period_s * (1 - (limit.amount - least) / count)
        return state, _verdict(limit, max(0.0, limit.amount - used), end - now, wait)
    left = limit.amount - used - amount
    return (start, count + amount, before), _verdict(limit, max(0.0, left), end - now, None)


def _turned(limit: Limit, state: State, now: float) -> State:
    """The state in the window of `now`."""
    start = math.floor(now / limit.period_s) * limit.period_s
    if state[0] == start:
        return state
    return (start, 0.0, state[1] if state[0] == start - limit.period_s else 0.0)


def _verdict(limit: Limit, left: float, reset_s: float, wait_s: float | None) -> Verdict:
    return Verdict(
        allowed=wait_s is None,
        limit=int(limit.amount),
        remaining=int(left + 1e-9) if wait_s is None else 0,
        reset_s=max(0.0, reset_s),
        retry_after_s=0.0 if wait_s is None else max(0.0, wait_s),
    )
