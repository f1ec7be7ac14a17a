"""The command line of the bench."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from benchmarks.rig.gateways.registry import make_rows
from benchmarks.rig.goals import judge
from benchmarks.rig.install import install_all, missing_tools
from benchmarks.rig.layout import LATEST_JSON, PARTIAL_JSON, RESULTS_MD, run_dir
from benchmarks.rig.machine import pick_cores
from benchmarks.rig.plan import PROFILES, Plan, PlanError, narrowed
from benchmarks.rig.progress import Progress
from benchmarks.rig.report import as_markdown, print_report
from benchmarks.rig.results import Results
from benchmarks.rig.session import run
from benchmarks.rig.upstream import UpstreamUnavailableError
from rich.console import Console

__all__ = ["main"]

EXAMPLES = """\
**Examples**

- `benchmarks/run.py` - everything once, about ten minutes; writes RESULTS.md
- `benchmarks/run.py --profile full` - long runs and more repetitions
- `benchmarks/run.py --only interlock,envoy,json --concurrency 32` - one cell of two gateways
- `benchmarks/run.py --only interlock --only soak` - only the soak
- `benchmarks/run.py --only json --json > figures.json` - raw figures
- `benchmarks/run.py --install-only` - fetch the peers and stop
"""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(epilog=EXAMPLES)
def bench(
    profile: Annotated[str, typer.Option(help="quick or full.")] = "quick",
    only: Annotated[
        list[str] | None,
        typer.Option(help="Gateways or workloads to keep; comma-separated or repeated."),
    ] = None,
    duration: Annotated[int | None, typer.Option(help="Seconds of one load run.")] = None,
    reps: Annotated[int | None, typer.Option(help="Repetitions of every cell.")] = None,
    concurrency: Annotated[str, typer.Option(help="Levels, such as 1,32,128.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the raw figures instead of tables.")
    ] = False,
    install: Annotated[bool, typer.Option(help="Install what is missing first.")] = True,
    install_only: Annotated[bool, typer.Option(help="Install what is missing and stop.")] = False,
    write: Annotated[
        bool | None,
        typer.Option(help="Replace RESULTS.md; by default only when nothing was left out."),
    ] = None,
    interlock: Annotated[
        Path | None, typer.Option(help="Another `interlock` command to measure.")
    ] = None,
    note: Annotated[str, typer.Option(help="A remark that goes into the report.")] = "",
) -> None:
    """Measure Interlock side by side with other gateways on this machine.

    One fast local upstream, one gateway at a time on a core of its own, all on
    loopback. Runs are short, bounded and rotate over the gateways; ratios pair
    runs of the same rotation.
    """
    remarks = Console(stderr=True, markup=False, highlight=False)
    plan = _plan(profile, only or [], duration, reps, concurrency)
    failures = install_all(remarks.print) if install or install_only else {}
    if missing := missing_tools():
        remarks.print(f"cannot measure without: {', '.join(missing)}", style="bold red")
        raise typer.Exit(1)
    if install_only:
        raise typer.Exit(0)
    rows = make_rows(frozenset(plan.rows), interlock=interlock)
    with Progress("starting", seconds=plan.seconds(), console=remarks) as progress:
        try:
            results = run(plan, rows, pick_cores(), progress)
        except UpstreamUnavailableError as error:
            remarks.print(str(error), style="bold red")
            raise typer.Exit(1) from error
    results.notes += [f"{name} could not be installed: {why}" for name, why in failures.items()]
    results.notes += [note] if note else []
    _deliver(results, plan, as_json=as_json, write=plan.complete if write is None else write)


def _plan(
    profile: str, only: list[str], duration: int | None, reps: int | None, concurrency: str
) -> Plan:
    if profile not in PROFILES:
        raise typer.BadParameter("quick or full", param_hint="--profile")
    try:
        levels = [int(level) for level in concurrency.split(",") if level]
        return narrowed(
            PROFILES[profile], only=only, duration_s=duration, reps=reps, concurrency=levels
        )
    except ValueError as error:
        hint = "--only" if isinstance(error, PlanError) else "--concurrency"
        raise typer.BadParameter(str(error), param_hint=hint) from error


def _deliver(results: Results, plan: Plan, *, as_json: bool, write: bool) -> None:
    outcomes = [
        {
            "goal": f"{o.goal.group}: {o.goal.text}",
            "sense": o.goal.sense,
            "bound": o.goal.bound,
            "unit": o.goal.unit,
            "value": o.value,
            "state": o.state,
        }
        for o in judge(results)
    ]
    raw = results.to_json(goals=outcomes)
    place = LATEST_JSON if write else run_dir() / PARTIAL_JSON
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(raw + "\n")
    if write:
        RESULTS_MD.write_text(as_markdown(results))
    if as_json:
        sys.stdout.write(raw + "\n")
        return
    print_report(results, Console(markup=False, width=None if sys.stdout.isatty() else 160))
    where = f"{RESULTS_MD} and {place}" if write else f"{place} (RESULTS.md is as it was)"
    Console(stderr=True).print(f"written: {where}", highlight=False)


def main() -> None:
    """Entry point of `benchmarks/run.py`."""
    app()
