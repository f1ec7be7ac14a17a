import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.limits.bucket import Bucket


def test_a_full_bucket_gives_its_capacity_and_then_nothing() -> None:
    bucket = Bucket(3, now=0.0)

    assert [bucket.take(1, now=0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 20.0]


def test_a_refused_take_spends_nothing() -> None:
    bucket = Bucket(60, now=0.0)
    bucket.spend(60, now=0.0)

    assert bucket.take(2, now=1.0) == 1.0
    assert bucket.take(2, now=2.0) == 0.0


def test_debt_is_paid_off_by_waiting() -> None:
    bucket = Bucket(60, now=0.0)
    bucket.spend(180, now=0.0)

    assert bucket.take(1, now=60.0) == 61.0
    assert bucket.take(1, now=121.0) == 0.0


def test_more_than_the_capacity_waits_for_a_full_bucket_only() -> None:
    bucket = Bucket(60, now=0.0)

    assert bucket.take(600, now=0.0) == 0.0
    assert bucket.level(0.0) == -540.0


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    bucket = Bucket(60, now=100.0)
    bucket.spend(60, now=100.0)

    assert bucket.level(50.0) == 0.0


def test_a_resized_bucket_keeps_what_was_spent() -> None:
    bucket = Bucket(10, now=0.0)
    bucket.spend(8, now=0.0)
    bucket.resize(20, now=0.0)

    assert bucket.level(0.0) == 12.0


@pytest.mark.parametrize("capacity", [0, -1, float("nan")])
def test_a_bucket_without_room_is_refused(capacity: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        Bucket(capacity, now=0.0)


@given(
    st.integers(1, 1000),
    st.lists(st.tuples(st.floats(-10, 100), st.integers(0, 50), st.booleans())),
)
def test_the_level_never_exceeds_the_capacity_and_waits_are_enough(
    capacity: int, steps: list[tuple[float, int, bool]]
) -> None:
    bucket, now = Bucket(capacity, now=0.0), 0.0
    for passed, amount, forced in steps:
        now += passed
        if forced:
            bucket.spend(amount, now=now)
        else:
            wait_s = bucket.take(amount, now=now)
            assert wait_s >= 0
            if wait_s:
                assert bucket.level(max(now, bucket._at) + wait_s) == pytest.approx(
                    min(amount, capacity), abs=1e-6
                )
        assert bucket.level(now) <= capacity
