from datetime import UTC, datetime, timedelta

import pytest

from interlock.identity.model import KeyInfo, KeyLimits
from interlock.kernel.errors import ErrorKind
from interlock.limits.errors import RateLimitedError
from interlock.limits.service import MemoryLimits
from interlock.limits.settings import LimitSettings

pytestmark = pytest.mark.anyio


class FrozenClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.at += timedelta(seconds=seconds)


def make_key(name: str = "key_1", **limits: float) -> KeyInfo:
    return KeyInfo(
        id=name,
        account_id="acc",
        user_id="user",
        user_email="a@example.com",
        label="test",
        limits=KeyLimits(**limits),  # type: ignore[arg-type] # numbers of the right kind
    )


def test_a_key_without_limits_is_never_held() -> None:
    limits = MemoryLimits(FrozenClock())

    assert {limits.admit(make_key()) for _ in range(10_000)} == {None}


def test_requests_beyond_the_limit_are_told_when_to_come_back() -> None:
    clock = FrozenClock()
    limits = MemoryLimits(clock)
    key = make_key(requests_per_minute=2)
    limits.admit(key)
    limits.admit(key)

    with pytest.raises(RateLimitedError) as caught:
        limits.admit(key)

    assert caught.value.error_kind is ErrorKind.RATE_LIMITED
    assert caught.value.error_code == "rate_limit_exceeded"
    assert caught.value.retry_after_s == 30.0
    clock.advance(30)
    assert limits.admit(key) is None


def test_keys_do_not_share_their_limits() -> None:
    limits = MemoryLimits(FrozenClock())
    limits.admit(make_key("a", requests_per_minute=1))

    assert limits.admit(make_key("b", requests_per_minute=1)) is None


def test_tokens_used_by_one_request_hold_the_next_one() -> None:
    clock = FrozenClock()
    limits = MemoryLimits(clock)
    key = make_key(tokens_per_minute=600)
    limits.admit(key)
    limits.spent(key.id, tokens=1200)

    with pytest.raises(RateLimitedError, match="600 tokens") as caught:
        limits.admit(key)

    assert caught.value.retry_after_s == pytest.approx(60.1)
    clock.advance(61)
    assert limits.admit(key) is None


def test_a_request_held_for_its_tokens_is_not_counted_as_a_request() -> None:
    clock = FrozenClock()
    limits = MemoryLimits(clock)
    key = make_key(tokens_per_minute=60, requests_per_minute=2)
    limits.admit(key)
    limits.spent(key.id, tokens=61)
    for _ in range(5):
        with pytest.raises(RateLimitedError, match="tokens"):
            limits.admit(key)
    clock.advance(3)

    assert limits.admit(key) is None


def test_defaults_hold_for_keys_that_set_nothing_and_a_key_overrides_them() -> None:
    limits = MemoryLimits(FrozenClock(), LimitSettings(requests_per_minute=1))
    own = make_key("own", requests_per_minute=3)
    limits.admit(make_key())
    for _ in range(3):
        limits.admit(own)

    with pytest.raises(RateLimitedError):
        limits.admit(make_key())
    with pytest.raises(RateLimitedError):
        limits.admit(own)


async def test_a_key_is_told_what_is_left_without_using_it_and_refusals_are_noted() -> None:
    refused: list[tuple[str, str, float, float]] = []
    limits = MemoryLimits(
        FrozenClock(),
        LimitSettings(tokens_per_minute=100),
        refused=lambda key, what, limit, wait_s: refused.append((key.id, what, limit, wait_s)),
    )
    key = make_key(requests_per_minute=2)
    before = await limits.standing(key.id, key.limits)
    assert (before.requests_left, before.tokens_left) == (2.0, 100.0)
    limits.admit(key)
    for _ in range(3):
        after = await limits.standing(key.id, key.limits)
        assert (after.requests_left, after.monthly_cost) == (1.0, None)
    limits.admit(key)
    with pytest.raises(RateLimitedError):
        limits.admit(key)
    assert refused == [("key_1", "requests", 2, 30.0)]
