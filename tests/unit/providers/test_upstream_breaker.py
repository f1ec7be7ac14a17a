"""The circuit breaker."""

from hypothesis import given
from hypothesis import strategies as st

from interlock.providers.breaker import Breaker
from interlock.providers.settings import BreakerSettings


def breaker(**settings: float) -> Breaker:
    return Breaker(BreakerSettings(**{"failures": 3, "open_s": 10, "max_open_s": 30, **settings}))


def fail(subject: Breaker, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        assert subject.enter(now)
        subject.failed(now)


def test_consecutive_failures_open_it() -> None:
    subject = breaker()
    fail(subject, 3)

    assert (subject.enter(9.9), subject.wait_s(4.0)) == (False, 6.0)


def test_a_success_between_keeps_it_closed() -> None:
    subject = breaker()
    fail(subject, 2)
    subject.succeeded(0.0)
    fail(subject, 2)

    assert subject.enter(0.0)


def test_a_high_share_of_failures_opens_it() -> None:
    subject = breaker(failures=100, minimum=10, rate=0.5)
    for _ in range(5):
        subject.succeeded(0.0)
        subject.failed(0.0)

    assert not subject.enter(0.0)


def test_old_failures_are_forgotten_with_their_window() -> None:
    subject = breaker(failures=100, minimum=10, rate=0.5, window_s=30)
    for _ in range(4):
        subject.succeeded(0.0)
        subject.failed(0.0)
    subject.succeeded(31.0)
    subject.failed(31.0)

    assert subject.enter(31.0)


def test_one_probe_is_let_through_and_closes_it() -> None:
    subject = breaker()
    fail(subject, 3)

    assert [subject.enter(10.0) for _ in range(3)] == [True, False, False]
    subject.succeeded(10.5)
    assert [subject.enter(10.5) for _ in range(3)] == [True, True, True]


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_a_limit() -> None:
    subject = breaker()
    fail(subject, 3)
    now, pauses = 10.0, []
    for _ in range(3):
        assert subject.enter(now)
        subject.failed(now)
        pauses.append(subject.wait_s(now))
        now += pauses[-1]

    assert pauses == [20.0, 30.0, 30.0]


def test_an_abandoned_probe_may_be_made_again() -> None:
    subject = breaker()
    fail(subject, 3)
    assert subject.enter(10.0)
    subject.abandoned()

    assert subject.enter(10.0)


def test_late_failures_of_earlier_requests_do_not_prolong_the_pause() -> None:
    subject = breaker()
    fail(subject, 3)
    subject.failed(5.0)

    assert subject.wait_s(5.0) == 5.0


@given(st.lists(st.tuples(st.sampled_from("esfa"), st.floats(0, 50)), max_size=60))
def test_it_always_opens_up_again(steps: list[tuple[str, float]]) -> None:
    subject = breaker()
    now = 0.0
    for step, passed in steps:
        now += passed
        match step:
            case "e":
                subject.enter(now)
            case "s":
                subject.succeeded(now)
            case "f":
                subject.failed(now)
            case _:
                subject.abandoned()
    subject.abandoned()

    assert subject.enter(now + 30.0)
