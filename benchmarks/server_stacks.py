"""Which HTTP server should carry the hot routes: four stacks, one relay, one run.

    benchmarks/server_stacks.py [--duration 3] [--reps 3] [--json]

Prints a table; `docs/decisions/0002-http-server.md` holds the decision taken
from it. The stacks themselves are in `stacks/relays.py`.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rig.gateways.base import Gateway
from benchmarks.rig.gateways.direct import Direct
from benchmarks.rig.gateways.registry import Row
from benchmarks.rig.gateways.relay import STACKS, Relay
from benchmarks.rig.install import install_all, missing_tools
from benchmarks.rig.machine import pick_cores
from benchmarks.rig.plan import Plan
from benchmarks.rig.progress import Progress
from benchmarks.rig.ratios import added_ttft_ms, cpu_ms, median_rps
from benchmarks.rig.report import Sheet, print_sheet, sheet_as_markdown
from benchmarks.rig.results import Results
from benchmarks.rig.session import run

MAIN = 32


def study(
    duration: Annotated[int, typer.Option(min=1, max=60, help="Seconds of one run.")] = 3,
    reps: Annotated[int, typer.Option(min=1, max=20, help="Repetitions of every cell.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print the raw figures.")] = False,
    markdown: Annotated[bool, typer.Option(help="Print the table as Markdown.")] = False,
) -> None:
    """Measure the server stacks side by side and print what each costs."""
    remarks = Console(stderr=True, markup=False, highlight=False)
    install_all(remarks.print, only=("wrk and nginx", "server stacks"))
    if missing := missing_tools():
        remarks.print(f"cannot measure without: {', '.join(missing)}", style="bold red")
        raise typer.Exit(1)
    plan = Plan(
        profile="full",
        duration_s=duration,
        main_reps=reps,
        side_reps=reps,
        concurrency=(1, MAIN),
        rows=(*STACKS, "direct"),
        parts=("json", "stream", "memory", "paced"),
        paced_streams=10,
        paced_reps=3,
        soak_limit_s=0,
    )
    gateways: list[Gateway] = [Relay(stack, offset=n) for n, stack in enumerate(STACKS)]
    gateways.append(Direct())
    rows = [
        Row(name=gateway.name, title=gateway.title, gateway=gateway, target=gateway.target)
        for gateway in gateways
    ]
    with Progress("starting", seconds=plan.seconds(), console=remarks) as progress:
        results = run(plan, rows, pick_cores(), progress)
    if as_json:
        sys.stdout.write(json.dumps(asdict(results), indent=1) + "\n")
    elif markdown:
        sys.stdout.write("\n".join(sheet_as_markdown(table(results))) + "\n")
    else:
        print_sheet(table(results), Console(markup=False, width=150))


def table(results: Results) -> Sheet:
    """One line per stack: requests per second and CPU, then what an open stream costs."""
    rows = []
    for row in results.rows:
        if row.name == "direct":
            continue
        if row.problem:
            rows.append((row.title, row.problem, *["-"] * 7))
            continue
        cells = [row.title, row.version]
        for workload in ("json", "stream"):
            for level in (1, MAIN):
                rps = median_rps(results, row.name, workload, level)
                cells.append(f"{rps:,.0f}" if rps else "-")
            cpu = cpu_ms(results, row.name, workload, MAIN)
            cells.append(f"{cpu:.3f}" if cpu else "-")
        added = added_ttft_ms(results, row.name, MAIN)
        cells.append(f"{added[0]:.2f}" if added else "-")
        held = next((run for run in results.memory if run.row == row.name), None)
        cells.append(f"{held.per_stream_kib:.1f}" if held else "-")
        rows.append(tuple(cells))
    return Sheet(
        title="Null relay on four server stacks",
        head=(
            "stack",
            "version",
            "JSON req/s c=1",
            "c=32",
            "CPU ms",
            "SSE req/s c=1",
            "c=32",
            "CPU ms",
            "added first event ms",
            "KiB/stream",
        ),
        rows=tuple(rows),
    )


if __name__ == "__main__":
    typer.run(study)
