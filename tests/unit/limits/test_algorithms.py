"""The arithmetic of rate limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.limits.algorithms import EMPTY, Algorithm, Limit, spend, take

_WINDOW = Limit(algorithm="fixed_window", amount=3, period_s=60.0)
_GCRA = Limit(algorithm="gcra", amount=2, period_s=0.5)
_SLIDING = Limit(algorithm="sliding_window", amount=10, period_s=60.0)


def test_an_idle_caller_may_use_the_whole_burst_at_once() -> None:
    state, first = take(_GCRA, EMPTY, 1, now=100.0)
    state, second = take(_GCRA, state, 1, now=100.0)
    _, third = take(_GCRA, state, 1, now=100.0)

    assert [one.allowed for one in (first, second, third)] == [True, True, False]
    assert [one.remaining for one in (first, second, third)] == [1, 0, 0]
    assert third.retry_after_s == pytest.approx(0.5)
    assert third.reset_s == pytest.approx(1.0)


def test_units_flow_back_one_by_one() -> None:
    state, _ = take(_GCRA, EMPTY, 2, now=100.0)

    assert not take(_GCRA, state, 1, now=100.4)[1].allowed
    state, later = take(_GCRA, state, 1, now=100.5)
    assert later.allowed
    assert not take(_GCRA, state, 1, now=100.6)[1].allowed


def test_a_refused_use_changes_nothing() -> None:
    state, _ = take(_GCRA, EMPTY, 2, now=100.0)

    assert take(_GCRA, state, 1, now=100.0)[0] == state


def test_a_debt_is_paid_by_waiting() -> None:
    state = spend(_GCRA, EMPTY, 6, now=100.0)

    assert take(_GCRA, state, 1, now=102.0)[1].retry_after_s == pytest.approx(0.5)
    assert take(_GCRA, state, 1, now=102.5)[1].allowed


def test_more_than_the_whole_limit_waits_for_a_full_bucket() -> None:
    state, verdict = take(_GCRA, EMPTY, 5, now=100.0)

    assert verdict.allowed
    assert take(_GCRA, state, 1, now=101.0)[1].retry_after_s == pytest.approx(1.0)


def test_a_window_ends_where_the_clock_says() -> None:
    state, verdict = take(_WINDOW, EMPTY, 3, now=110.0)
    _, refused = take(_WINDOW, state, 1, now=119.0)
    _, later = take(_WINDOW, state, 1, now=120.0)

    assert (verdict.remaining, verdict.reset_s) == (0, 10.0)
    assert (refused.allowed, refused.retry_after_s) == (False, 1.0)
    assert (later.allowed, later.remaining) == (True, 2)


def test_a_sliding_window_does_not_forget_at_its_edge() -> None:
    state, _ = take(_SLIDING, EMPTY, 10, now=119.0)

    _, at_the_edge = take(_SLIDING, state, 1, now=120.0)
    _, later = take(_SLIDING, state, 1, now=127.0)

    assert not at_the_edge.allowed
    assert at_the_edge.retry_after_s == pytest.approx(6.0)
    assert later.allowed


@given(
    algorithm=st.sampled_from(["gcra", "token_bucket", "fixed_window", "sliding_window"]),
    amount=st.integers(1, 20),
    period=st.floats(0.01, 100.0),
    steps=st.lists(st.tuples(st.floats(0.0, 50.0), st.integers(1, 5)), max_size=60),
)
def test_nobody_gets_more_than_a_full_limit_and_what_flowed_back(
    algorithm: Algorithm, amount: int, period: float, steps: list[tuple[float, int]]
) -> None:
    limit = Limit(algorithm=algorithm, amount=amount, period_s=period)
    state, now, used = EMPTY, 1000.0, 0.0
    for wait, wanted in steps:
        now += wait
        if wanted > amount:
            continue
        state, verdict = take(limit, state, wanted, now=now)
        used += wanted if verdict.allowed else 0
        assert 0 <= verdict.remaining <= amount
        assert verdict.allowed or verdict.retry_after_s > 0
    elapsed = now - 1000.0
    if algorithm in {"gcra", "token_bucket"}:
        assert used <= amount + (elapsed + 1e-3) / period
    else:
        assert used <= amount * (2 + elapsed / period) + 1e-6


@given(
    algorithm=st.sampled_from(["gcra", "fixed_window", "sliding_window"]),
    amount=st.integers(1, 20),
    period=st.floats(0.01, 100.0),
    uses=st.integers(1, 60),
)
def test_whoever_waits_as_told_is_admitted(
    algorithm: Algorithm, amount: int, period: float, uses: int
) -> None:
    limit = Limit(algorithm=algorithm, amount=amount, period_s=period)
    state, now = EMPTY, 1234.5
    for _ in range(uses):
        state, verdict = take(limit, state, 1, now=now)
        if not verdict.allowed:
            now += verdict.retry_after_s + 1e-5
            state, verdict = take(limit, state, 1, now=now)
        assert verdict.allowed
