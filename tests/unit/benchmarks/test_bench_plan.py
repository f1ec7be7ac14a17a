"""What a benchmark run is told to do."""

import pytest
from benchmarks.rig.plan import FULL, PARTS, QUICK, PlanError, narrowed
from benchmarks.rig.workloads import WORKLOADS


def test_naming_a_gateway_keeps_every_workload_and_the_direct_row() -> None:
    plan = narrowed(QUICK, only=["interlock,envoy"])

    assert plan.rows == ("interlock", "envoy", "direct")
    assert plan.parts == PARTS
    assert not plan.complete


def test_naming_a_workload_keeps_every_gateway() -> None:
    plan = narrowed(QUICK, only=["json"])

    assert plan.rows == QUICK.rows
    assert {name for name, _level, _reps in plan.cells()} == {"json"}


def test_a_name_that_is_nothing_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PlanError, match=r"`jsno` is neither .* litellm"):
        narrowed(QUICK, only=["jsno"])


@pytest.mark.parametrize(
    "wish", [{"duration_s": 0}, {"duration_s": 999}, {"reps": 0}, {"concurrency": [0]}]
)
def test_a_number_out_of_range_is_refused(wish: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        narrowed(QUICK, **wish)  # type: ignore[arg-type]


def test_the_main_concurrency_is_repeated_most() -> None:
    reps = {(name, level): reps for name, level, reps in QUICK.cells()}

    assert reps["json", 32] > reps["json", 1] == reps["json", 128]


def test_both_profiles_cover_every_workload_at_the_main_concurrency() -> None:
    for plan in (QUICK, FULL):
        covered = {name for name, level, _reps in plan.cells() if level == 32}
        assert covered == set(WORKLOADS) - {"paced", "memory"}
        assert plan.complete


def test_the_quick_profile_fits_in_twelve_minutes() -> None:
    assert QUICK.seconds() < 12 * 60


def test_a_run_that_leaves_a_level_out_does_not_replace_the_results() -> None:
    assert not narrowed(QUICK, concurrency=[32]).complete
    assert narrowed(QUICK, duration_s=1, reps=1).complete
