"""Tables for people: the same ones on the terminal and in `RESULTS.md`."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.rig.gateways.registry import OURS
from benchmarks.rig.goals import Outcome, judge
from benchmarks.rig.plan import MAIN_CONCURRENCY
from benchmarks.rig.ratios import (
    added_latency_ms,
    added_ttft_ms,
    best_rps,
    cpu_ms,
    cpu_ratio,
    median_rps,
    rps_ratio,
)
from benchmarks.rig.results import Results
from benchmarks.rig.workloads import LOAD_WORKLOADS, Workload
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Sheet", "as_markdown", "print_report", "print_sheet", "sheet_as_markdown", "sheets"]

ABSENT = "-"
STYLES = {"hit": "green", "missed": "bold red", "void": "yellow", "not measured": "dim"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One table: text cells, the first column left-aligned."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def sheets(results: Results) -> Iterator[Sheet]:
    """Every table that the run has figures for, the goals first."""
    yield _goals(list(judge(results)))
    yield from (s for s in (_ratios(results),) if s.rows)
    for workload in LOAD_WORKLOADS:
        sheet = _load(results, workload)
        if sheet.rows:
            yield sheet
    yield from (s for s in (_streams(results), _processes(results)) if s.rows)


def print_report(results: Results, console: Console) -> None:
    """Every table on the terminal, then the remarks."""
    for sheet in sheets(results):
        print_sheet(sheet, console)
    for note in _notes(results):
        console.print(f"- {note}", highlight=False)


def print_sheet(sheet: Sheet, console: Console) -> None:
    """One table on the terminal."""
    table = Table(title=sheet.title, title_justify="left", title_style="bold")
    for position, name in enumerate(sheet.head):
        table.add_column(name, justify="right" if position else "left")
    for row in sheet.rows:
        table.add_row(*map(Text, row), style=STYLES.get(row[-1]))
    console.print(table)


def as_markdown(results: Results) -> str:
    """The report as a document that stands alone."""
    machine, settings = results.machine, results.settings
    lines = [
        "# Benchmark results",
        "",
        "Written by `make bench`; do not edit. How it is measured: `benchmarks/README.md`.",
        "",
        f"- Date: {machine['date']}, profile `{results.profile}`, {results.seconds / 60:.1f} min",
        f"- Machine: {machine['cpu']}, {machine['cores']} cores"
        f"{' (virtual)' if machine.get('virtual') else ''}, {machine['memory_gib']} GiB, "
        f"{machine['system']} {machine['kernel']}, Python {machine['python']}",
        f"- Gateway on core {settings['gateway_core']}, upstream and load on core "
        f"{settings['load_core']}; {settings['duration_s']} s a run, "
        f"{settings['repetitions']} repetitions at concurrency {MAIN_CONCURRENCY}, "
        f"{settings['repetitions_elsewhere']} elsewhere; rows in rotation",
    ]
    if "foreign_load" in machine:
        share = f"{machine['foreign_load']:.0%}"
        lines.append(f"- Other programs' share of the gateway's core, median run: {share}")
    lines += [f"- {note}" for note in _notes(results)]
    for sheet in sheets(results):
        lines += ["", f"## {sheet.title}", ""]
        if sheet.note:
            lines += [sheet.note, ""]
        lines += sheet_as_markdown(sheet)
    return "\n".join(lines) + "\n"


def sheet_as_markdown(sheet: Sheet) -> list[str]:
    """The lines of one table, without its title."""
    rule = "|---" + "|---:" * (len(sheet.head) - 1) + "|"
    return [_md_row(sheet.head), rule, *(_md_row(row) for row in sheet.rows)]


def _md_row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _notes(results: Results) -> Iterator[str]:
    yield from results.notes
    if results.policy_problem:
        yield f"The measured policy was not in force: {results.policy_problem}"
    for row in results.rows:
        if row.problem:
            yield f"{row.title} was not measured: {row.problem}"


def _goals(outcomes: list[Outcome]) -> Sheet:
    rows = tuple(
        (
            f"{o.goal.group}: {o.goal.text}",
            f"{o.goal.sense} {_number(o.goal.bound)} {o.goal.unit}",
            f"{_number(o.value)} {o.goal.unit}" if o.value is not None else ABSENT,
            o.state,
        )
        for o in outcomes
    )
    return Sheet(title="Goals", head=("goal", "bound", "measured", "state"), rows=rows)


def _ratios(results: Results) -> Sheet:
    peers = [row for row in results.rows if row.name not in (OURS, "direct")]
    works = [
        work
        for work in LOAD_WORKLOADS
        if any(rps_ratio(results, OURS, p.name, work.name, MAIN_CONCURRENCY) for p in peers)
    ]
    rows = tuple(
        (peer.title, *(_ratio_cell(results, peer.name, work.name) for work in works))
        for peer in peers
        if works and not peer.problem
    )
    return Sheet(
        title=f"Interlock with a policy of 50 rules against each, concurrency {MAIN_CONCURRENCY}",
        head=("against", *(work.name for work in works)),
        rows=rows,
        note="Requests per second, median pair of the same rotation; in brackets how many times "
        "less CPU a request takes.",
    )


def _ratio_cell(results: Results, peer: str, workload: str) -> str:
    ratio = rps_ratio(results, OURS, peer, workload, MAIN_CONCURRENCY)
    if ratio is None:
        return ABSENT
    cpu = cpu_ratio(results, OURS, peer, workload, MAIN_CONCURRENCY)
    return f"{_number(ratio)}x" + (f" ({_number(cpu)}x)" if cpu else "")


def _load(results: Results, workload: Workload) -> Sheet:
    levels = sorted({run.concurrency for run in results.load if run.workload == workload.name})
    main = MAIN_CONCURRENCY if MAIN_CONCURRENCY in levels else (levels[-1] if levels else 0)
    single = levels[0] if levels else 0
    head = ["gateway", *(f"req/s c={level}" for level in levels), f"median c={main}"]
    head += [f"p50 ms c={main}", f"p99 ms c={main}", f"added p50/p99 ms c={single}"]
    head += ["CPU ms/req", "RSS MB"]
    rows = []
    for row in results.rows:
        runs = results.runs(row.name, workload.name, main)
        if not runs:
            continue
        cells = [row.title]
        cells += [_number(best_rps(results, row.name, workload.name, at)) for at in levels]
        cells.append(_number(median_rps(results, row.name, workload.name, main)))
        cells.append(_number(median(run.p50_us for run in runs) / 1e3))
        cells.append(_number(median(run.p99_us for run in runs) / 1e3))
        cells.append(_pair(added_latency_ms(results, row.name, workload.name, single)))
        cpu = cpu_ms(results, row.name, workload.name, main)
        cells.append(_number(cpu) if cpu else ABSENT)
        cells.append(_number(max(run.rss_kib for run in runs) * 1024 / 1e6 or None))
        rows.append(tuple(cells))
    return Sheet(
        title=f"{workload.name}: {workload.title}",
        head=tuple(head),
        rows=tuple(rows),
        note="Requests per second are the best repetition, the rest medians.",
    )


def _streams(results: Results) -> Sheet:
    levels = sorted({run.concurrency for run in results.paced})
    memory = {run.row: run for run in results.memory}
    head = ["gateway", *(f"added first event p50/p99 ms, {n} streams" for n in levels)]
    head += ["KiB per open stream", "streams held"]
    rows = []
    for row in results.rows:
        paced = [_pair(added_ttft_ms(results, row.name, level)) for level in levels]
        held = memory.get(row.name)
        if row.name == "direct" or (held is None and all(cell == ABSENT for cell in paced)):
            continue
        kib = _number(held.per_stream_kib) if held and held.opened else ABSENT
        rows.append((row.title, *paced, kib, str(held.opened) if held else ABSENT))
    return Sheet(title="Open streams", head=tuple(head), rows=tuple(rows))


def _processes(results: Results) -> Sheet:
    rows = tuple(
        (row.title, row.version or ABSENT, _number(row.idle_rss_kib * 1024 / 1e6 or None))
        for row in results.rows
        if row.name != "direct" and not row.problem
    )
    note = ""
    if results.soak and results.soak.points:
        soak = results.soak
        note = (
            f"Soak: {soak.requests:,} requests in {soak.seconds:.0f} s, {soak.failed} failed; "
            f"memory {soak.settled_kib * 1024 / 1e6:.1f} MB after the first quarter, "
            f"{soak.final_kib * 1024 / 1e6:.1f} MB at the end "
            f"({soak.growth_bytes_per_request:+.1f} bytes per request)."
        )
    return Sheet(
        title="Processes", head=("gateway", "version", "idle RSS MB"), rows=rows, note=note
    )


def _pair(values: tuple[float, float] | None) -> str:
    return f"{_number(values[0])} / {_number(values[1])}" if values else ABSENT


def _number(value: float | None) -> str:
    """Three significant digits, thousands grouped."""
    if value is None:
        return ABSENT
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.3f}"
