"""The state of one run, and the meter of a server's share of its core."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.rig.gateways.registry import Row
from benchmarks.rig.machine import CoreClock, Cores
from benchmarks.rig.plan import Plan
from benchmarks.rig.process import TICKS_PER_SECOND, Server
from benchmarks.rig.progress import Progress
from benchmarks.rig.results import Results
from benchmarks.rig.workloads import Target, Workload

__all__ = ["Meter", "Session"]


class Meter:
    """From now until `read`: what the server used, and what others used of its core."""

    def __init__(self, cores: Cores, server: Server | None) -> None:
        self._server = server
        self._clock = CoreClock(cores.gateway) if cores.separate and server else None
        self._began = time.monotonic()
        self._busy = self._clock.busy() if self._clock else 0
        self._ticks = server.cpu_ticks() if server else 0

    def read(self) -> tuple[int, float]:
        """Clock ticks of the server; the others' share of the core, 0..1."""
        used = self._server.cpu_ticks() - self._ticks if self._server else 0
        if self._clock is None:
            return used, 0.0
        spent = (time.monotonic() - self._began) * TICKS_PER_SECOND
        foreign = max(self._clock.busy() - self._busy - used, 0) / max(spent, 1.0)
        return used, round(min(foreign, 1.0), 3)


@dataclass(slots=True)
class Session:
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
