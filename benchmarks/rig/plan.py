"""What a run does: rows, workloads, how long, how often. Pure data and arithmetic."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.rig.gateways.registry import OURS, PLAIN, ROW_NAMES
from benchmarks.rig.workloads import LOAD_WORKLOADS, WORKLOADS

__all__ = ["FULL", "PROFILES", "QUICK", "Plan", "PlanError", "narrowed"]

MAIN_CONCURRENCY = 32
LEVELS = (1, MAIN_CONCURRENCY, 128)
SOAK = "soak"
POLICY = "policy"
PARTS = (*WORKLOADS, SOAK, POLICY)
"""Everything `--only` may name besides rows."""


class PlanError(ValueError):
    """A name that is neither a row nor a workload, or a number out of range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    profile: Literal["quick", "full"]
    duration_s: int
    """Seconds of one run of wrk."""
    main_reps: int
    """Repetitions at the main concurrency, where the goals are judged."""
    side_reps: int
    """Repetitions at the others."""
    concurrency: tuple[int, ...] = LEVELS
    rows: tuple[str, ...] = ROW_NAMES
    parts: tuple[str, ...] = PARTS
    paced_streams: int
    """Streams on each connection of the paced probe."""
    paced_reps: int
    held_streams: int = 500
    soak_requests: int = 200_000
    soak_limit_s: int

    @property
    def complete(self) -> bool:
        """Whether nothing was left out, so that the outcome may replace the last one."""
        return (
            set(self.rows) == set(ROW_NAMES)
            and set(self.parts) == set(PARTS)
            and set(LEVELS) <= set(self.concurrency)
        )

    def cells(self) -> list[tuple[str, int, int]]:
        """(workload, concurrency, repetitions) of every load cell, in order."""
        return [
            (work.name, level, self._reps(work.name, level))
            for work in LOAD_WORKLOADS
            if work.name in self.parts
            for level in self.concurrency
            if self._reps(work.name, level)
        ]

    def _reps(self, workload: str, level: int) -> int:
        if level == MAIN_CONCURRENCY:
            return self.main_reps if workload not in _SIDE_SHOWS else self.side_reps
        wide = self.profile == "full" or workload == "json" or (workload, level) == ("stream", 1)
        return self.side_reps if wide else 0

    def seconds(self) -> float:
        """Rough length of the run, for the progress bar."""
        servers = 8.0 * len(self.rows) if set(self.rows) - {"direct"} else 0.0
        load = sum(
            reps * len(self._rows_of(work)) * (self.duration_s + 0.6)
            for work, _level, reps in self.cells()
        )
        warm_up = 1.2 * sum(len(self._rows_of(work)) for work in {c[0] for c in self.cells()})
        return servers + load + warm_up + self._probes_s()

    def _probes_s(self) -> float:
        total = 0.0
        if "paced" in self.parts:
            total += len(self.rows) * self.paced_reps * 2 * (self.paced_streams + 2) * 0.22
        if "memory" in self.parts:
            total += 6.0 * len(self.rows)
        if SOAK in self.parts and OURS in self.rows:
            total += min(self.soak_limit_s, self.soak_requests / 4000)
        return total + (20.0 if POLICY in self.parts else 0.0)

    def _rows_of(self, workload: str) -> list[str]:
        if WORKLOADS[workload].dialect == "chat":
            return list(self.rows)
        return [row for row in self.rows if row in (OURS, PLAIN, "litellm")]


_SIDE_SHOWS = ("tool-json", "tool-stream")
"""Workloads that no goal is about."""

QUICK = Plan(
    profile="quick",
    duration_s=3,
    main_reps=3,
    side_reps=1,
    paced_streams=8,
    paced_reps=2,
    soak_limit_s=100,
)
FULL = Plan(
    profile="full",
    duration_s=8,
    main_reps=5,
    side_reps=3,
    paced_streams=20,
    paced_reps=3,
    soak_limit_s=400,
)
PROFILES = {"quick": QUICK, "full": FULL}


def narrowed(
    plan: Plan,
    *,
    only: Iterable[str] = (),
    duration_s: int | None = None,
    reps: int | None = None,
    concurrency: Iterable[int] = (),
) -> Plan:
    """`plan` with the caller's wishes.

    `only` may mix rows and workloads: naming rows restricts the rows, naming
    workloads restricts the workloads. `direct` stays: latencies count from it.

    Raises:
        PlanError: an unknown name or a number that makes no sense.
    """
    names = [name for given in only for name in given.split(",") if name]
    if unknown := [name for name in names if name not in ROW_NAMES and name not in PARTS]:
        known = ", ".join((*ROW_NAMES, *PARTS))
        raise PlanError(f"`{unknown[0]}` is neither a gateway nor a workload; known: {known}")
    rows = tuple(r for r in ROW_NAMES if r in names)
    parts = tuple(part for part in PARTS if part in names)
    levels = tuple(concurrency)
    if any(not 1 <= level <= 1024 for level in levels):
        raise PlanError("concurrency is between 1 and 1024")
    if duration_s is not None and not 1 <= duration_s <= 120:
        raise PlanError("duration is between 1 and 120 seconds")
    if reps is not None and not 1 <= reps <= 50:
        raise PlanError("reps is between 1 and 50")
    if rows and "direct" not in rows:
        rows = (*rows, "direct")
    return replace(
        plan,
        rows=rows or plan.rows,
        parts=parts or plan.parts,
        duration_s=duration_s or plan.duration_s,
        main_reps=reps or plan.main_reps,
        side_reps=reps or plan.side_reps,
        concurrency=levels or plan.concurrency,
    )
