"""One run of the bench: start everybody, freeze them, thaw one at a time, measure.

All gateways live through the whole run and the rotation goes cell by cell, so
two rows of a cell are measured seconds apart and share the machine's mood.
Whoever is not being measured is stopped by SIGSTOP and uses no processor.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from benchmarks.rig.engine import measure_policy_engine
from benchmarks.rig.gateways.base import Gateway, GatewayUnavailableError
from benchmarks.rig.gateways.interlock import Interlock, policy_bites
from benchmarks.rig.gateways.registry import OURS, PLAIN, Row
from benchmarks.rig.load import LoadError, WrongAnswerError, prove, run_wrk
from benchmarks.rig.machine import CoreClock, Cores, describe, raise_file_limit
from benchmarks.rig.plan import POLICY, SOAK, Plan
from benchmarks.rig.process import TICKS_PER_SECOND, Server
from benchmarks.rig.progress import Progress
from benchmarks.rig.results import LoadRun, MemoryRun, PacedRun, Results, RowInfo, Soak
from benchmarks.rig.streams import HeldStreams, StreamProbeError, measure_paced
from benchmarks.rig.upstream import start_upstream
from benchmarks.rig.workloads import PACED, STALLED, WORKLOADS, Target, Workload

__all__ = ["run"]

IDLE_S = 2.0
"""Rest before idle memory is read."""
PACED_LIMIT_S = 8.0
HOLD_LIMIT_S = 12.0
SOAK_SLICE_S = 3
SOAK_MIX = ("json", "json", "stream", "json", "translated-json", "json", "tool-json")
"""Workloads of successive slices: every path that could keep something."""
NOISY = 0.10
SLOW_RPS = 60
SLOW_DURATION_S = 6
"""Whoever answers fewer than `SLOW_RPS` runs at least this long, so that enough answers count."""
SETTLE_LIMIT_S = 3.0
NO_FUNCTION = "no such function"


@dataclass(slots=True)
class _Session:
    plan: Plan
    cores: Cores
    progress: Progress
    results: Results
    rows: list[Row]
    servers: dict[str, Server] = field(default_factory=dict)
    """Running processes by gateway name; `direct` has none."""
    refused: dict[str, dict[str, str]] = field(default_factory=dict)
    """Row -> workload -> reason."""
    warm: dict[str, dict[str, float]] = field(default_factory=dict)
    """Workload -> row -> requests per second of the warm-up."""

    @contextmanager
    def awake(self, row: Row) -> Iterator[Server | None]:
        """Only this row's process runs inside the block."""
        server = self.servers.get(row.gateway.name)
        if server is not None:
            server.thaw()
        try:
            yield server
        finally:
            if server is not None:
                server.freeze()

    def target(self, row: Row, workload: Workload) -> Target | None:
        """Where to send it, unless the row was found not to do it right."""
        if workload.name in self.refused.setdefault(row.name, {}):
            return None
        return row.target(workload)

    def refuse(self, row: Row, workload: Workload, reason: str) -> None:
        self.refused.setdefault(row.name, {})[workload.name] = reason


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
    session = _Session(plan, cores, progress, results, rows)
    upstream = start_upstream(cores.load if cores.separate else None)
    try:
        _start_all(session)
        _prove_all(session)
        if "memory" in plan.parts:
            _memory(session)
        for workload, concurrency, reps in plan.cells():
            _cell(session, WORKLOADS[workload], concurrency, reps)
        if "paced" in plan.parts:
            _paced(session)
        if SOAK in plan.parts:
            _soak(session)
    finally:
        for server in session.servers.values():
            server.stop()
        upstream.stop()
    if POLICY in plan.parts:
        progress.step("policy engine", 20.0)
        results.policy_engine = measure_policy_engine(cores.gateway if cores.separate else None)
    _close(session, began)
    return results


def _start_all(session: _Session) -> None:
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


def _prove_all(session: _Session) -> None:
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


def _memory(session: _Session) -> None:
    count = session.plan.held_streams
    for row in session.rows:
        session.progress.step(f"memory of open streams: {row.name}", 6.0)
        target = session.target(row, STALLED)
        with session.awake(row) as server:
            if server is None or target is None or row.name == PLAIN:
                continue
            before = server.rss_kib()
            with HeldStreams(STALLED, target, count=count, limit_s=HOLD_LIMIT_S) as held:
                time.sleep(0.5)
                during = server.rss_kib()
            time.sleep(1.0)
            session.results.memory.append(
                MemoryRun(
                    row=row.name,
                    opened=held.opened,
                    failed=held.failed,
                    before_kib=before,
                    during_kib=during,
                    after_kib=server.rss_kib(),
                )
            )


def _cell(session: _Session, workload: Workload, concurrency: int, reps: int) -> None:
    warm: dict[str, float] = session.warm.setdefault(workload.name, {})
    for repetition in range(reps):
        for row in session.rows:
            target = session.target(row, workload)
            if target is None:
                continue
            session.progress.step(
                f"{workload.name} c={concurrency} {repetition + 1}/{reps}: {row.name}",
                session.plan.duration_s + 0.6,
            )
            with session.awake(row) as server:
                try:
                    if row.name not in warm:
                        warmed = run_wrk(workload, target, concurrency=8, seconds=1)
                        warm[row.name] = warmed.rps
                    _settle(server)
                    seconds = session.plan.duration_s
                    if warm[row.name] < SLOW_RPS:
                        seconds = max(seconds, SLOW_DURATION_S)
                    sample = _load_once(
                        session, row, workload, target, server, concurrency, repetition, seconds
                    )
                    session.results.load.append(sample)
                except LoadError as error:
                    session.refuse(row, workload, str(error))
                    session.progress.say(f"{row.name} {workload.name}: {error}")


def _settle(server: Server | None) -> None:
    """Wait until the process is at rest: a slow gateway still works off requests cut short."""
    deadline = time.monotonic() + SETTLE_LIMIT_S
    while server is not None and time.monotonic() < deadline:
        before = server.cpu_ticks()
        time.sleep(0.1)
        if server.cpu_ticks() - before <= 1:
            return


def _load_once(
    session: _Session,
    row: Row,
    workload: Workload,
    target: Target,
    server: Server | None,
    concurrency: int,
    repetition: int,
    seconds: int,
) -> LoadRun:
    clock = CoreClock(session.cores.gateway)
    began, busy = time.monotonic(), clock.busy()
    ticks = server.cpu_ticks() if server else 0
    sample = run_wrk(workload, target, concurrency=concurrency, seconds=seconds)
    used = (server.cpu_ticks() if server else 0) - ticks
    spent = (time.monotonic() - began) * TICKS_PER_SECOND
    alone = server is None or not session.cores.separate
    foreign = 0.0 if alone else max(clock.busy() - busy - used, 0) / spent
    return LoadRun(
        row=row.name,
        workload=workload.name,
        concurrency=concurrency,
        repetition=repetition,
        requests=sample.requests,
        rps=round(sample.rps, 1),
        p50_us=sample.p50_us,
        p90_us=sample.p90_us,
        p99_us=sample.p99_us,
        failed=sample.failed,
        cpu_us=round(used / TICKS_PER_SECOND * 1e6 / max(sample.requests, 1), 2),
        rss_kib=server.rss_kib() if server else 0,
        foreign=round(foreign, 3),
    )


def _paced(session: _Session) -> None:
    plan = session.plan
    for concurrency in (1, 32):
        for repetition in range(plan.paced_reps):
            for row in session.rows:
                session.progress.step(
                    f"paced streams c={concurrency}: {row.name}", (plan.paced_streams + 2) * 0.22
                )
                target = session.target(row, PACED)
                if target is None:
                    continue
                with session.awake(row):
                    try:
                        sample = measure_paced(
                            PACED,
                            target,
                            concurrency=concurrency,
                            streams=plan.paced_streams,
                            limit_s=PACED_LIMIT_S,
                        )
                    except StreamProbeError as error:
                        session.refuse(row, PACED, str(error))
                        continue
                session.results.paced.append(
                    PacedRun(
                        row=row.name,
                        concurrency=concurrency,
                        repetition=repetition,
                        streams=sample.streams,
                        ttft_p50_ms=round(sample.ttft_p50_ms, 3),
                        ttft_p99_ms=round(sample.ttft_p99_ms, 3),
                        total_p50_ms=round(sample.total_p50_ms, 3),
                        broken=sample.broken,
                    )
                )


def _soak(session: _Session) -> None:
    """Slices of load until the wanted count or the time limit, memory read after each."""
    row = next((row for row in session.rows if row.name == OURS), None)
    if row is None:
        return
    plan, points, failed, done, number = session.plan, [], 0, 0, 0
    began = time.monotonic()
    mix = [
        (work, target)
        for work in (WORKLOADS[name] for name in SOAK_MIX)
        if (target := session.target(row, work))
    ]
    with session.awake(row) as server:
        while mix and server and done < plan.soak_requests:
            if time.monotonic() - began > plan.soak_limit_s:
                break
            session.progress.step(f"soak: {done:,} of {plan.soak_requests:,} requests", 3.0)
            workload, target = mix[number % len(mix)]
            try:
                sample = run_wrk(workload, target, concurrency=32, seconds=SOAK_SLICE_S)
            except LoadError as error:
                session.progress.say(f"soak ended: {error}")
                break
            done, failed, number = done + sample.requests, failed + sample.failed, number + 1
            points.append((done, server.rss_kib()))
    session.results.soak = Soak(
        row=row.name,
        wanted=plan.soak_requests,
        seconds=round(time.monotonic() - began, 1),
        failed=failed,
        points=tuple(points),
    )


def _close(session: _Session, began: float) -> None:
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
