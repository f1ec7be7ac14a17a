"""What a run found out, as data: written to JSON, read by `ratios`, `goals` and `report`."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["LoadRun", "MemoryRun", "PacedRun", "PolicyEngine", "Results", "RowInfo", "Soak"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowInfo:
    """One gateway in one way of being used."""

    name: str
    title: str
    version: str
    problem: str = ""
    """Why it is missing from the tables; empty when it was measured."""
    refused: dict[str, str] = field(default_factory=dict)
    """Workload -> why this row does not have it."""
    idle_rss_kib: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRun:
    """One run of wrk against one row."""

    row: str
    workload: str
    concurrency: int
    repetition: int
    requests: int
    rps: float
    p50_us: int
    p90_us: int
    p99_us: int
    failed: int
    cpu_us: float
    """CPU time of the gateway's process tree per request."""
    rss_kib: int
    foreign: float
    """Share of the gateway's core that other programs used meanwhile, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedRun:
    """Paced streams through one row; milliseconds."""

    row: str
    concurrency: int
    repetition: int
    streams: int
    ttft_p50_ms: float
    ttft_p99_ms: float
    total_p50_ms: float
    broken: int
    foreign: float = 0.0
    """Share of the gateway's core that other programs used meanwhile, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRun:
    """Streams held open through one row."""

    row: str
    opened: int
    failed: int
    before_kib: int
    during_kib: int
    after_kib: int

    @property
    def per_stream_kib(self) -> float:
        """Growth of resident memory per stream; the first use of code counts too."""
        return (self.during_kib - self.before_kib) / self.opened if self.opened else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """Many requests through one row: (requests so far, resident KiB) after each slice."""

    row: str
    wanted: int
    seconds: float
    failed: int
    points: tuple[tuple[int, int], ...]

    @property
    def requests(self) -> int:
        return self.points[-1][0] if self.points else 0

    @property
    def settled_kib(self) -> int:
        """Highest memory within the first quarter: by then every path has been used."""
        early = [kib for done, kib in self.points if done <= self.requests / 4]
        return max(early) if early else (self.points[0][1] if self.points else 0)

    @property
    def final_kib(self) -> int:
        """Median memory within the last quarter."""
        late = sorted(kib for done, kib in self.points if done >= self.requests * 3 / 4)
        return late[len(late) // 2] if late else 0

    @property
    def growth_bytes_per_request(self) -> float:
        """How much of each request stayed, once settled."""
        return (self.final_kib - self.settled_kib) * 1024 / max(self.requests * 3 / 4, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyEngine:
    """Figures of `policy_engine.py`; None where it did not say."""

    decision_us: float | None = None
    """Median decision under 50 rules."""
    compile_ms: float | None = None
    """Compilation of 50 rules."""
    growth: float | None = None
    """Decision time under 500 rules over 500 tools, as a multiple of the one under 50."""


@dataclass(slots=True, kw_only=True)
class Results:
    """Everything of one run."""

    profile: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    rows: list[RowInfo] = field(default_factory=list)
    load: list[LoadRun] = field(default_factory=list)
    paced: list[PacedRun] = field(default_factory=list)
    memory: list[MemoryRun] = field(default_factory=list)
    soak: Soak | None = None
    policy_engine: PolicyEngine | None = None
    policy_problem: str = ""
    """Why the measured policy was not in force; empty when it was."""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def row(self, name: str) -> RowInfo | None:
        return next((row for row in self.rows if row.name == name), None)

    def runs(self, row: str, workload: str, concurrency: int) -> list[LoadRun]:
        """Valid runs of one cell, by repetition."""
        return [
            run
            for run in self.load
            if (run.row, run.workload, run.concurrency) == (row, workload, concurrency)
            and run.requests
        ]

    def to_json(self, **more: Any) -> str:
        return json.dumps({"schema": 1, **asdict(self), **more}, indent=1)
