"""Figures made of several runs: medians, pairs of the same rotation, differences to direct.

The machine's noise comes and goes in seconds. A ratio therefore pairs the two
runs of one repetition, which lie seconds apart, and takes the median pair. Runs
during which other programs took much of the gateway's core count only where
there is no quieter one.
"""

from collections.abc import Sequence
from statistics import median
from typing import TypeVar

from benchmarks.rig.results import LoadRun, PacedRun, Results

__all__ = [
    "BASELINE",
    "added_latency_ms",
    "added_ttft_ms",
    "best_rps",
    "cpu_ms",
    "cpu_ratio",
    "median_rps",
    "quiet",
    "rps_ratio",
]

Run = TypeVar("Run", LoadRun, PacedRun)

BASELINE = {"translated-json": "json", "translated-stream": "stream"}
"""What the direct row answers in place of a workload that only gateways have."""


QUIET = 0.15
"""Share of the gateway's core that others may use in a run that counts."""


def quiet(runs: Sequence[Run]) -> list[Run]:
    """The runs that others disturbed little, or all when there are none."""
    return [run for run in runs if run.foreign <= QUIET] or list(runs)


def best_rps(results: Results, row: str, workload: str, concurrency: int) -> float | None:
    runs = results.runs(row, workload, concurrency)
    return max(run.rps for run in runs) if runs else None


def median_rps(results: Results, row: str, workload: str, concurrency: int) -> float | None:
    runs = results.runs(row, workload, concurrency)
    return median(run.rps for run in quiet(runs)) if runs else None


def cpu_ms(results: Results, row: str, workload: str, concurrency: int) -> float | None:
    """Median CPU time per request in milliseconds."""
    runs = results.runs(row, workload, concurrency)
    return median(run.cpu_us for run in quiet(runs)) / 1e3 if runs else None


def rps_ratio(
    results: Results, row: str, peer: str, workload: str, concurrency: int
) -> float | None:
    """How many times the peer's requests per second `row` reaches: the median pair.

    Of the undisturbed pairs; else of those disturbed alike; else of all.
    """
    ours = {run.repetition: run for run in results.runs(row, workload, concurrency)}
    theirs = {run.repetition: run for run in results.runs(peer, workload, concurrency)}
    pairs = [
        (ours[number], theirs[number])
        for number in ours.keys() & theirs.keys()
        if theirs[number].rps
    ]
    calm = [(a, b) for a, b in pairs if max(a.foreign, b.foreign) <= QUIET]
    even = [(a, b) for a, b in pairs if abs(a.foreign - b.foreign) <= QUIET]
    kept = calm or even or pairs
    return median(a.rps / b.rps for a, b in kept) if kept else None


def cpu_ratio(
    results: Results, row: str, peer: str, workload: str, concurrency: int
) -> float | None:
    """How many times less CPU per request `row` takes than the peer."""
    ours = cpu_ms(results, row, workload, concurrency)
    theirs = cpu_ms(results, peer, workload, concurrency)
    return theirs / ours if ours and theirs else None


def added_latency_ms(
    results: Results, row: str, workload: str, concurrency: int
) -> tuple[float, float] | None:
    """Median and 99th percentile over those of no gateway at the same concurrency."""
    ours = quiet(results.runs(row, workload, concurrency))
    plain = quiet(results.runs("direct", BASELINE.get(workload, workload), concurrency))
    if not ours or not plain:
        return None
    p50 = median(run.p50_us for run in ours) - median(run.p50_us for run in plain)
    p99 = median(run.p99_us for run in ours) - median(run.p99_us for run in plain)
    return p50 / 1e3, p99 / 1e3


def added_ttft_ms(results: Results, row: str, concurrency: int) -> tuple[float, float] | None:
    """Time to the first event over that of no gateway: median, 99th percentile."""
    ours = quiet(_paced(results, row, concurrency))
    plain = quiet(_paced(results, "direct", concurrency))
    if not ours or not plain:
        return None
    p50 = median(run.ttft_p50_ms for run in ours) - median(run.ttft_p50_ms for run in plain)
    p99 = median(run.ttft_p99_ms for run in ours) - median(run.ttft_p99_ms for run in plain)
    return p50, p99


def _paced(results: Results, row: str, concurrency: int) -> list[PacedRun]:
    return [run for run in results.paced if (run.row, run.concurrency) == (row, concurrency)]
