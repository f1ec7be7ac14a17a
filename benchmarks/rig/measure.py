"""The measurements: load cells, paced streams, open streams, the soak.

Each thaws one row's process, measures, freezes it again, and adds what it found
to the session's results.
"""

import time

from benchmarks.rig.gateways.registry import OURS, PLAIN, Row
from benchmarks.rig.load import LoadError, run_wrk
from benchmarks.rig.process import TICKS_PER_SECOND, Server
from benchmarks.rig.results import LoadRun, MemoryRun, PacedRun, Soak
from benchmarks.rig.stage import Meter, Session
from benchmarks.rig.streams import HeldStreams, StreamProbeError, measure_paced
from benchmarks.rig.workloads import PACED, STALLED, WORKLOADS, Target, Workload

__all__ = ["SOAK_MIX", "measure_cell", "measure_memory", "measure_paced_streams", "measure_soak"]

SLOW_RPS = 60
SLOW_DURATION_S = 6
"""Whoever answers fewer than `SLOW_RPS` runs at least this long, so that enough answers count."""
SETTLE_LIMIT_S = 3.0
PACED_LIMIT_S = 8.0
HOLD_LIMIT_S = 12.0
SOAK_SLICE_S = 3
SOAK_MIX = ("json", "json", "stream", "json", "translated-json", "json", "tool-json")
"""Workloads of successive slices: every path that could keep something."""


def measure_memory(session: Session) -> None:
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


def measure_cell(session: Session, workload: Workload, concurrency: int, reps: int) -> None:
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
    session: Session,
    row: Row,
    workload: Workload,
    target: Target,
    server: Server | None,
    concurrency: int,
    repetition: int,
    seconds: int,
) -> LoadRun:
    meter = Meter(session.cores, server)
    sample = run_wrk(workload, target, concurrency=concurrency, seconds=seconds)
    used, foreign = meter.read()
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
        foreign=foreign,
    )


def measure_paced_streams(session: Session) -> None:
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
                with session.awake(row) as server:
                    _settle(server)
                    meter = Meter(session.cores, server)
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
                    _used, foreign = meter.read()
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
                        foreign=foreign,
                    )
                )


def measure_soak(session: Session) -> None:
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
