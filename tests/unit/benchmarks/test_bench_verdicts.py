"""Ratios, goals and tables made of a run's figures."""

import json

import pytest
from benchmarks.rig.engine import read_report
from benchmarks.rig.goals import judge
from benchmarks.rig.ratios import added_latency_ms, cpu_ratio, rps_ratio
from benchmarks.rig.report import as_markdown
from benchmarks.rig.results import LoadRun, MemoryRun, PolicyEngine, Results, RowInfo, Soak

MACHINE = {
    "date": "2026-01-02 03:04 UTC",
    "cpu": "test",
    "cores": 2,
    "memory_gib": 1.0,
    "system": "Linux",
    "kernel": "6",
    "python": "3.11",
}
SETTINGS = {
    "duration_s": 3,
    "repetitions": 3,
    "repetitions_elsewhere": 1,
    "concurrency": [1, 32],
    "gateway_core": 0,
    "load_core": 1,
}


def make_run(row: str, repetition: int, rps: float, **changes: object) -> LoadRun:
    base: dict[str, object] = {
        "row": row,
        "workload": "json",
        "concurrency": 32,
        "repetition": repetition,
        "requests": int(rps * 3),
        "rps": rps,
        "p50_us": 1000,
        "p90_us": 1500,
        "p99_us": 2000,
        "failed": 0,
        "cpu_us": 150.0,
        "rss_kib": 100_000,
        "foreign": 0.0,
    }
    return LoadRun(**(base | changes))  # type: ignore[arg-type]


def make_results(*runs: LoadRun) -> Results:
    rows = [
        RowInfo(name=name, title=name.title(), version="1")
        for name in ("interlock", "envoy", "direct")
    ]
    results = Results(profile="quick", machine=MACHINE, settings=SETTINGS, rows=rows)
    results.load += runs
    return results


def state_of(results: Results, text: str) -> str:
    return next(o.state for o in judge(results) if text in f"{o.goal.group}: {o.goal.text}")


def test_a_ratio_pairs_runs_of_the_same_repetition() -> None:
    # The machine was three times slower during the second repetition, for both.
    results = make_results(
        make_run("interlock", 0, 900),
        make_run("envoy", 0, 1000),
        make_run("interlock", 1, 300),
        make_run("envoy", 1, 333),
        make_run("interlock", 2, 5000),
    )

    assert rps_ratio(results, "interlock", "envoy", "json", 32) == pytest.approx(0.9, abs=0.01)


def test_a_disturbed_run_counts_only_where_there_is_no_quieter_one() -> None:
    results = make_results(
        make_run("interlock", 0, 300, foreign=0.6),
        make_run("envoy", 0, 1000),
        make_run("interlock", 1, 800),
        make_run("envoy", 1, 1000),
    )

    assert rps_ratio(results, "interlock", "envoy", "json", 32) == 0.8
    del results.load[2:]
    assert rps_ratio(results, "interlock", "envoy", "json", 32) == 0.3


def test_of_disturbed_pairs_those_disturbed_alike_count() -> None:
    results = make_results(
        make_run("interlock", 0, 900, foreign=0.05),
        make_run("envoy", 0, 300, foreign=0.7),
        make_run("interlock", 1, 400, foreign=0.5),
        make_run("envoy", 1, 500, foreign=0.5),
    )

    assert rps_ratio(results, "interlock", "envoy", "json", 32) == 0.8


def test_a_cell_without_a_common_repetition_has_no_ratio() -> None:
    results = make_results(make_run("interlock", 0, 900), make_run("envoy", 1, 1000))

    assert rps_ratio(results, "interlock", "envoy", "json", 32) is None


def test_a_run_without_answers_does_not_count() -> None:
    results = make_results(make_run("interlock", 0, 900), make_run("envoy", 0, 0))

    assert rps_ratio(results, "interlock", "envoy", "json", 32) is None


def test_the_cpu_ratio_says_how_many_times_less_we_take() -> None:
    results = make_results(
        make_run("interlock", 0, 900, cpu_us=100.0), make_run("envoy", 0, 900, cpu_us=250.0)
    )

    assert cpu_ratio(results, "interlock", "envoy", "json", 32) == 2.5


def test_added_latency_of_a_translation_counts_from_the_plain_answer() -> None:
    results = make_results(
        make_run("interlock", 0, 900, workload="translated-json", p50_us=1400, p99_us=5000),
        make_run("direct", 0, 9000, p50_us=400, p99_us=2000),
    )

    assert added_latency_ms(results, "interlock", "translated-json", 32) == (1.0, 3.0)


def test_goals_are_hit_missed_or_not_measured() -> None:
    results = make_results(make_run("interlock", 0, 400), make_run("envoy", 0, 1000))

    assert state_of(results, "CPU per request") == "hit"
    assert state_of(results, "everything on: requests/s against Envoy") == "missed"
    assert state_of(results, "memory per open stream") == "not measured"


def test_a_goal_about_policy_is_void_when_the_policy_was_not_in_force() -> None:
    results = make_results(make_run("interlock", 0, 900), make_run("envoy", 0, 1000))
    results.policy_problem = "a denied tool call was let through"

    assert state_of(results, "CPU per request") == "void"
    assert "a denied tool call was let through" in as_markdown(results)


def test_memory_per_stream_is_the_growth_divided_by_the_streams() -> None:
    results = make_results()
    results.memory.append(
        MemoryRun(
            row="interlock", opened=500, failed=0, before_kib=1000, during_kib=41_000, after_kib=0
        )
    )

    assert results.memory[0].per_stream_kib == 80
    assert state_of(results, "memory per open stream") == "missed"


def test_a_soak_cut_short_proves_nothing() -> None:
    results = make_results()
    points = tuple((n * 1000, 100_000) for n in range(1, 51))
    results.soak = Soak(row="interlock", wanted=200_000, seconds=1.0, failed=0, points=points)

    assert state_of(results, "memory growth") == "not measured"


@pytest.mark.parametrize(("last_kib", "state"), [(100_000, "hit"), (140_000, "missed")])
def test_a_soak_compares_the_end_with_the_first_quarter(last_kib: int, state: str) -> None:
    results = make_results()
    step = (last_kib - 100_000) // 20
    points = tuple((n * 10_000, 100_000 + n * step) for n in range(1, 21))
    results.soak = Soak(row="interlock", wanted=200_000, seconds=1.0, failed=0, points=points)

    assert state_of(results, "memory growth") == state


def test_the_report_names_machine_versions_ratios_and_absentees() -> None:
    results = make_results(make_run("interlock", 0, 900), make_run("envoy", 0, 1000))
    results.rows.append(
        RowInfo(name="litellm", title="LiteLLM", version="", problem="not installed")
    )
    text = as_markdown(results)

    assert "2 cores" in text
    assert "| Envoy | 0.900x (1.00x) |" in text
    assert "LiteLLM was not measured: not installed" in text
    assert "| Envoy | 1 | - |" in text


def test_raw_results_are_json_with_a_schema_number() -> None:
    raw = json.loads(make_results(make_run("interlock", 0, 900)).to_json(goals=[]))

    assert (raw["schema"], raw["load"][0]["rps"], raw["goals"]) == (1, 900, [])


def test_the_policy_engine_report_may_be_partial_but_not_garbled() -> None:
    assert read_report('{"decision_us": 4, "other": 1}') == PolicyEngine(decision_us=4.0)
    assert read_report("Traceback") is None
    assert read_report("[]") is None
