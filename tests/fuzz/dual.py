"""Runs generated programs here and in CPython until a count is reached; prints what differs.

    python tests/fuzz/dual.py --programs 50000 --seed 1

Every program is also run with tools, stored at each call, and compared with a run that was not;
any exception of the host is a finding. Exits with 1 when there is one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.differential import difference, ours
from tests.support.program_strategies import seeded_program
from tests.support.programs import begin, tagged, tool

from interlock.dual.errors import ProgramError
from interlock.dual.events import Options, Pending
from interlock.dual.limits import Limits
from interlock.dual.machine import Machine

TOOLS = tuple(tool(f"fetch_{kind}", "x") for kind in ("int", "str", "list", "dict"))
BATCH = 250


def _with_tools(seed: int, *, stored: bool) -> list[object]:
    machine = begin(
        seeded_program(seed, tools=True),
        tools=TOOLS,
        options=Options(strict=bool(seed % 2), limits=Limits(steps=100_000)),
    )
    choices = random.Random(seed)
    trace: list[object] = []
    while isinstance(event := machine.run(), Pending):
        if stored:
            machine = Machine.load(None, machine.dump())
            event = machine.run()
            assert isinstance(event, Pending)
        for request in event.calls:
            trace.append((request.sig.name, request.args, request.line))
            kind = request.sig.name.removeprefix("fetch_")
            number = choices.randint(-9, 9)
            made = {"int": number, "str": f"t{number}", "list": [number, 2], "dict": {"a": number}}
            machine.give(request.no, made[kind], tagged(f"t{request.no}"))
    return [*trace, type(event).__name__, machine.env.meter.steps]


def _ended(source: str) -> str:
    try:
        return ours(source)[0]
    except RecursionError:  # a value that holds itself: only this harness unfolds it
        return "value"


def batch(first: int) -> tuple[dict[str, int], list[tuple[int, str]]]:
    """One batch: how programs ended, and findings by seed."""
    counts: Counter[str] = Counter()
    found: list[tuple[int, str]] = []
    for seed in range(first, first + BATCH):
        try:
            problem = difference(seeded_program(seed))
            counts[_ended(seeded_program(seed))] += 1
            if problem is None and _with_tools(seed, stored=False) != _with_tools(
                seed, stored=True
            ):
                problem = "a stored run differs"
        except ProgramError:
            counts["refused"] += 1
            continue
        except Exception as error:
            problem = f"host exception {type(error).__name__}: {error}"
        if problem is not None:
            found.append((seed, problem))
    return dict(counts), found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    began = time.monotonic()
    counts: Counter[str] = Counter()
    findings: list[tuple[int, str]] = []
    firsts = range(args.seed, args.seed + args.programs, BATCH)
    with ProcessPoolExecutor(args.jobs) as pool:
        for done, (found_counts, found) in enumerate(pool.map(batch, firsts), 1):
            counts.update(found_counts)
            for seed, problem in found:
                print(f"seed {seed}: {problem[:400]}", flush=True)
            findings += found
            if done % 20 == 0:
                print(f"{done * BATCH} programs, {len(findings)} findings", file=sys.stderr)
    seconds = round(time.monotonic() - began)
    print(
        json.dumps(
            {
                "programs": len(firsts) * BATCH,
                "ended": dict(counts),
                "findings": len(findings),
                "seconds": seconds,
            }
        )
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
