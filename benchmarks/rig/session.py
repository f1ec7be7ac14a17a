"""One run of the bench: start everybody, freeze them, thaw one at a time, measure.

All gateways live through the whole run and the rotation goes cell by cell, so
two rows of a cell are measured seconds apart and share the machine's mood.
Whoever is not being measured is stopped by SIGSTOP and uses no processor.
"""

import os
import time
from statistics import median

from benchmarks.rig.engine import measure_policy_engine
from benchmarks.rig.gateways.base import Gateway, GatewayUnavailableError
from benchmarks.rig.gateways.interlock import Interlock, policy_bites
from benchmarks.rig.gateways.registry import OURS, Row
from benchmarks.rig.load import WrongAnswerError, prove
from benchmarks.rig.machine import Cores, describe, raise_file_limit
from benchmarks.rig.measure import (
    SOAK_MIX,
    measure_cell,
    measure_memory,
    measure_paced_streams,
    measure_soak,
)
from benchmarks.rig.plan import POLICY, SOAK, Plan
from benchmarks.rig.progress import Progress
from benchmarks.rig.results import Results, RowInfo
from benchmarks.rig.stage import Session
from benchmarks.rig.upstream import start_upstream
from benchmarks.rig.workloads import WORKLOADS

__all__ = ["run"]

IDLE_S = 2.0
"""Rest before idle memory is read."""
NOISY = 0.10
NO_FUNCTION = "no such function"


def run(plan: Plan, rows: list[Row], cores: Cores, progress: Progress) -> Results:
    """Carry out the plan. Every process started is stopped again, whatever happens.

    Raises:
        UpstreamUnavailableError: there is nothing to measure against.
    """
    began = time.monotonic()
    raise_file_limit()
    os.sched_setaffinity(0, {cores.load})
    results = Results(
        profile=plan.profile,
        machine=describe(),
        settings={
            "duration_s": plan.duration_s,
            "repetitions": plan.main_reps,
            "repetitions_elsewhere": plan.side_reps,
            "concurrency": list(plan.concurrency),
            "gateway_core": cores.gateway,
            "load_core": cores.load,
        },
    )
    session = Session(plan, cores, progress, results, rows)
    upstream = start_upstream(cores.load if cores.separate else None)
    try:
        _start_all(session)
        _prove_all(session)
        if "memory" in plan.parts:
            measure_memory(session)
        for workload, concurrency, reps in plan.cells():
            measure_cell(session, WORKLOADS[workload], concurrency, reps)
        if "paced" in plan.parts:
            measure_paced_streams(session)
        if SOAK in plan.parts:
            measure_soak(session)
    finally:
        for server in session.servers.values():
            server.stop()
        upstream.stop()
    if POLICY in plan.parts:
        progress.step("policy engine", 20.0)
        results.policy_engine = measure_policy_engine(cores.gateway if cores.separate else None)
    _close(session, began)
    return results


def _start_all(session: Session) -> None:
    core = session.cores.gateway if session.cores.separate else None
    idle: dict[str, int] = {}
    problems: dict[str, str] = {}
    gateways: dict[str, Gateway] = {row.gateway.name: row.gateway for row in session.rows}
    for gateway in gateways.values():
        session.progress.step(f"start {gateway.name}", 8.0)
        try:
            server = gateway.start(core)
        except (GatewayUnavailableError, OSError) as error:
            problems[gateway.name] = str(error)
            session.progress.say(f"{gateway.title} is left out: {error}")
            continue
        if server is not None:
            session.servers[gateway.name] = server
            time.sleep(IDLE_S)
            idle[gateway.name] = server.rss_kib()
            server.freeze()
    for row in session.rows:
        session.results.rows.append(
            RowInfo(
                name=row.name,
                title=row.title,
                version=row.gateway.version(),
                problem=problems.get(row.gateway.name, ""),
                refused=session.refused.setdefault(row.name, {}),
                idle_rss_kib=idle.get(row.gateway.name, 0),
            )
        )
    session.rows = [row for row in session.rows if row.gateway.name not in problems]


def _prove_all(session: Session) -> None:
    """One right answer per row and workload before anything is timed."""
    needed = set(session.plan.parts) & set(WORKLOADS)
    if SOAK in session.plan.parts:
        needed |= set(SOAK_MIX)
    for row in session.rows:
        session.progress.step(f"check {row.name}", 0.5)
        with session.awake(row):
            for workload in (WORKLOADS[name] for name in sorted(needed)):
                target = row.target(workload)
                if target is None:
                    session.refuse(row, workload, NO_FUNCTION)
                    continue
                try:
                    prove(workload, target)
                except WrongAnswerError as error:
                    session.refuse(row, workload, str(error))
                    session.progress.say(f"{row.name} fails {workload.name}: {error}")
            if row.name == OURS and isinstance(row.gateway, Interlock):
                session.results.policy_problem = policy_bites(row.gateway)
                if session.results.policy_problem:
                    session.progress.say(f"policy check: {session.results.policy_problem}")


def _close(session: Session, began: float) -> None:
    results = session.results
    results.seconds = round(time.monotonic() - began, 1)
    if results.load:
        foreign = median([run.foreign for run in results.load if run.row != "direct"] or [0.0])
        results.machine["foreign_load"] = round(foreign, 3)
        if foreign > NOISY:
            results.notes.append(
                f"Other programs used {foreign:.0%} of the gateway's core in the median run: "
                "read the figures as provisional."
            )
    if not session.cores.separate:
        results.notes.append("One core only: gateway, upstream and load shared it.")
    results.notes += [
        f"{run.row} {run.workload} c={run.concurrency}: {run.failed} of {run.requests} requests "
        "failed."
        for run in results.load
        if run.failed > run.requests / 100
    ]
    results.notes += [
        f"{row.name} has no figure for {workload}: {reason}"
        for row in session.rows
        for workload, reason in session.refused[row.name].items()
        if reason != NO_FUNCTION
    ]
