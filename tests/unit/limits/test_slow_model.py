"""The arithmetic of limits against a slow, obvious model, and the script of Redis against both.

The model keeps the whole history and counts with fractions. Instants are multiples of 1/64 s,
which binary numbers hold exactly: both must agree in every verdict, not about.
"""

import math
import uuid
from collections.abc import Iterator
from fractions import Fraction

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.scratch_redis import REDIS_URL

from interlock.limits.algorithms import EMPTY, Algorithm, Limit, Verdict, spend, take
from interlock.limits.counters import _KINDS, _SCRIPT

_TICK = Fraction(1, 64)
_BEGIN = 1_760_000_000


class Model:
    """One limit; remembers every use there ever was."""

    def __init__(self, algorithm: str, amount: int, period: Fraction) -> None:
        self.algorithm, self.amount, self.period = algorithm, amount, period
        self.used: list[tuple[Fraction, int]] = []

    def free(self, now: Fraction) -> Fraction:
        """Units that are there."""
        if self.algorithm in {"gcra", "token_bucket"}:
            level, before = Fraction(self.amount), Fraction(_BEGIN)
            for at, units in self.used:
                level = min(Fraction(self.amount), level + (at - before) / self.period) - units
                before = at
            return min(Fraction(self.amount), level + (now - before) / self.period)
        start = math.floor(now / self.period) * self.period
        counted = Fraction(sum(units for at, units in self.used if at >= start))
        if self.algorithm == "sliding_window":
            former = sum(units for at, units in self.used if start - self.period <= at < start)
            counted += former * (start + self.period - now) / self.period
        return self.amount - counted

    def take(self, units: int, now: Fraction) -> bool:
        """Whether a use is admitted: more than the limit needs all of it."""
        good = self.free(now) >= min(units, self.amount)
        if good:
            self.used.append((now, units))
        return good

    def spend(self, units: int, now: Fraction) -> None:
        """A use that is not asked for."""
        self.used.append((now, units))

    def remaining(self, now: Fraction) -> int:
        """Whole units."""
        return max(0, math.floor(self.free(now)))


_STEPS = st.lists(
    st.tuples(st.integers(0, 640), st.integers(1, 8), st.sampled_from(["take", "take", "spend"])),
    min_size=1,
    max_size=40,
)
_ALGORITHMS = st.sampled_from(["gcra", "token_bucket", "fixed_window", "sliding_window"])


@settings(max_examples=400, deadline=None)
@given(algorithm=_ALGORITHMS, amount=st.integers(1, 12), ticks=st.integers(1, 320), steps=_STEPS)
def test_every_verdict_is_the_one_of_the_slow_model(
    algorithm: Algorithm, amount: int, ticks: int, steps: list[tuple[int, int, str]]
) -> None:
    period = ticks * _TICK
    limit = Limit(algorithm=algorithm, amount=amount, period_s=float(period))
    model, state, now = Model(algorithm, amount, period), EMPTY, Fraction(_BEGIN)
    for wait, units, what in steps:
        now += wait * _TICK
        if what == "spend":
            model.spend(units, now)
            state = spend(limit, state, units, now=float(now))
            continue
        state, verdict = take(limit, state, units, now=float(now))
        assert verdict.allowed == model.take(units, now)
        assert verdict.remaining == (model.remaining(now) if verdict.allowed else 0)
        if not verdict.allowed:
            _comes_back(model, verdict, min(units, amount), now)


def _comes_back(model: Model, verdict: Verdict, units: int, now: Fraction) -> None:
    """After the told wait there is enough, and not long before it.

    In a sliding window the wait may be too long when a count comes into sight again at the edge
    of a window, never too short.
    """
    slack = Fraction(1, 10_000)
    later = now + Fraction(verdict.retry_after_s) + slack
    assert model.free(later) >= units
    early = now + Fraction(verdict.retry_after_s) - slack
    if model.algorithm != "sliding_window" and early > now:
        assert model.free(early) < units


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(algorithm=_ALGORITHMS, amount=st.integers(1, 12), ticks=st.integers(1, 320), steps=_STEPS)
def test_the_script_of_redis_says_the_same_at_the_same_instants(
    client: redis.Redis,
    algorithm: Algorithm,
    amount: int,
    ticks: int,
    steps: list[tuple[int, int, str]],
) -> None:
    clock = "{ARGV[6], ARGV[7]}"
    text = _SCRIPT.replace("redis.call('TIME')", clock)
    # What is forgotten when it is idle goes by the clock of Redis, which is another one.
    text = text.replace("math.ceil(ttl * 1000) + 1000", "600000")
    script = client.register_script(text)
    key = f"test:{uuid.uuid4()}"
    limit = Limit(algorithm=algorithm, amount=amount, period_s=float(ticks * _TICK))
    state, now = EMPTY, Fraction(_BEGIN)
    try:
        for wait, units, what in steps:
            now += wait * _TICK
            micros = round((now - math.floor(now)) * 1_000_000)
            at = math.floor(now) + micros / 1_000_000
            given_ = [
                _KINDS[algorithm],
                repr(float(amount)),
                repr(limit.period_s),
                repr(float(units)),
            ]
            told = script(keys=[key], args=[*given_, what, math.floor(now), micros])
            waits, left, reset = (float(one) for one in told)
            if what == "spend":
                state = spend(limit, state, units, now=at)
                continue
            state, verdict = take(limit, state, units, now=at)
            assert (waits < 0) == verdict.allowed
            if verdict.allowed:
                assert int(left + 1e-9) == verdict.remaining
            else:
                assert waits == pytest.approx(verdict.retry_after_s, abs=1e-5)
            assert reset == pytest.approx(verdict.reset_s, abs=1e-5)
    finally:
        client.delete(key)


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    """Redis, if it is there."""
    with redis.from_url(REDIS_URL) as found:
        try:
            found.ping()
        except (redis.RedisError, OSError) as error:
            pytest.skip(f"Redis is not reachable: {error}")
        yield found
