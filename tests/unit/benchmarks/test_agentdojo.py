"""The security benchmark measures what it says; skipped where its package is not installed."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from benchmarks.agentdojo.curve import generic_steps, suite_steps
from benchmarks.agentdojo.defences import ROWS, player, policy_text, shipped_policies
from benchmarks.agentdojo.inprocess import compiled
from benchmarks.agentdojo.install import LOCK, locked_version
from benchmarks.agentdojo.latency import latency
from benchmarks.agentdojo.overhttp import Gateway
from benchmarks.agentdojo.report import render, table
from benchmarks.agentdojo.scenario import Pair, Run, pairs, play
from benchmarks.agentdojo.suites import available, load_suites

HERE = Path(__file__).parents[3] / "benchmarks" / "agentdojo"
installed = pytest.mark.skipif(not available(), reason="make bench-security-install")


@pytest.fixture(scope="module")
def suites() -> dict[str, Any]:
    return load_suites()


@installed
@pytest.mark.filterwarnings("ignore")
def test_there_are_as_many_tasks_and_pairs_as_reported(suites: dict[str, Any]) -> None:
    chosen = list(pairs(list(suites.values()), attacks=True))

    assert len(list(pairs(list(suites.values()), attacks=False))) == 97
    assert (len([pair for pair in chosen if pair.scripted]), len(chosen)) == (609, 929)


@installed
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", range(6, 14))
def test_written_ground_truth_succeeds_where_nothing_decides(
    suites: dict[str, Any], number: int
) -> None:
    pair = Pair(suites["workspace"], "user_task_1", f"injection_task_{number}")

    outcome = play(Run(pair), lambda _: None, lambda _call, _text: None)

    assert outcome.reached
    assert outcome.attacked


@installed
@pytest.mark.filterwarnings("ignore")
def test_gateway_and_engine_decide_alike(suites: dict[str, Any]) -> None:
    row = next(row for row in ROWS if row.name == "single")
    here = player(row, None)
    chosen = list(pairs(list(suites.values()), attacks=True))[::60]

    with Gateway() as gateway:
        through = player(row, gateway)
        for pair in chosen:
            one, other = through(pair), here(pair)
            assert [(item.call, item.allowed) for item in one.attempts] == [
                (item.call, item.allowed) for item in other.attempts
            ]
            assert (one.useful, one.attacked) == (other.useful, other.attacked)


@installed
@pytest.mark.filterwarnings("ignore")
def test_time_is_taken_of_the_same_calls_either_way(suites: dict[str, Any]) -> None:
    with Gateway() as gateway:
        found = latency([suites["banking"]], gateway)

    assert found["tasks"] == 16
    assert found["unlike"] == []
    assert found["wall_ms"]["dual"]["median"] > 0
    assert found["cpu_ms"]["single"]["median"] > 0


def _pins(path: Path) -> dict[str, str]:
    found = re.findall(r"^([a-z0-9-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def test_the_lock_is_that_of_the_extra_and_has_the_libraries_of_the_server_as_they_run() -> None:
    project = tomllib.loads((LOCK.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    pins, run = _pins(LOCK), _pins(LOCK.with_name("run.txt"))

    extra = project["project"]["optional-dependencies"]["bench-security"]
    assert extra == [f"agentdojo=={locked_version()}"]
    assert {name: pins[name] for name in pins.keys() & run.keys()} == {
        name: run[name] for name in pins.keys() & run.keys()
    }


def test_the_lock_has_a_hash_for_every_package_and_names_no_index() -> None:
    text = LOCK.read_text(encoding="utf-8")

    for entry in re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE):
        assert not entry or "--hash=sha256:" in entry, entry
    assert "://" not in text


def test_grown_policies_compile_and_end_as_shipped() -> None:
    for name in ("workspace", "slack"):
        steps = list(suite_steps(name))
        for _, text in steps:
            compiled(text)
        assert len(steps) > 5
    generic = list(generic_steps())
    for _, text in generic:
        compiled(text)
    assert generic[-2][1] == policy_text("shipped:users-words")


def test_generic_policies_name_no_tool_of_a_suite() -> None:
    for name in set(shipped_policies().values()):
        if name.startswith("shipped:"):
            text = policy_text(name)
            for word in ("hotel", "restaurant", "bank", "transaction", "travel", "flight"):
                assert word not in text


def test_the_report_is_what_its_records_say() -> None:
    kept = {
        path.stem: json.loads(path.read_text())
        for path in sorted((HERE / "results").glob("*.json"))
    }

    assert (HERE / "RESULTS.md").read_text(encoding="utf-8") == render(kept)
    assert "single-llm" in table(kept)
