"""Measures the labelled interpreter: operations, suspending, a plan of many calls.

    python benchmarks/interpreter.py [--json]

Operations are those a reader of the program counts (arithmetic, comparison, assignment, step of a
loop), not instructions of the machine. Times are the best of several runs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from interlock.dual.compile import compile_program
from interlock.dual.events import Finished, Options, Pending
from interlock.dual.limits import Limits
from interlock.dual.machine import Machine
from interlock.dual.program import ToolSig
from interlock.policy.model import Labels

ROUNDS = 20_000
LOOP = """
x = start
for i in range(20000):
    x = x + i * 2
    if x > 100000:
        x = x - 100000
"""
OPERATIONS = ROUNDS * 6 + ROUNDS // 3
"""Step of the loop, two stores, product, sum, comparison; sometimes a difference."""
TAGS = Labels.of(tags=["pii"], producers=["crm"], consumers=["hr"])
GET = ToolSig(name="get", tool="get", params=("id",), required=frozenset({"id"}))
SEND = ToolSig(name="send", tool="send", params=("to", "body"))
FREE = Limits(steps=10**9)


def _best(run: Callable[[], None], rounds: int) -> float:
    """Seconds of CPU of the fastest run."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return min(times)


def operations(labels: Labels, *, strict: bool = False) -> float:
    """Operations per second."""
    program = compile_program(LOOP, names=["start"])

    def run() -> None:
        machine = Machine(Options(strict=strict, limits=FREE))
        machine.begin_prelude()
        machine.define("start", 0, labels, None if labels == Labels() else -1)
        machine.extend(program)
        assert isinstance(machine.run(), Finished)

    return OPERATIONS / _best(run, 5)


def suspension() -> dict[str, float]:
    """Milliseconds to store and restore a program with 100 variables, and the size."""
    lines = ["r = get(id=0)"]
    for number in range(99):
        form = (
            f"{number}",
            f"f'text {{r}} {number}'",
            f"[r, {number}]",
            f"{{'k': r, 'n': {number}}}",
        )
        lines.append(f"v{number} = {form[number % 4]}")
    program = compile_program("\n".join([*lines, "x = get(id=1)"]), tools=[GET])
    machine = Machine.start(program)
    machine.run()
    machine.give(1, "some result of a tool", TAGS)
    assert isinstance(machine.run(), Pending)
    data = machine.dump()

    def whole() -> None:
        stored = machine.dump()
        again = Machine.load(program, stored)
        again.give(2, "another", TAGS)
        again.run()

    return {
        "dump_ms": round(_best(lambda: _do(machine.dump), 20) * 1000, 3),
        "load_ms": round(_best(lambda: _do(lambda: Machine.load(program, data)), 20) * 1000, 3),
        "suspend_store_resume_ms": round(_best(whole, 20) * 1000, 3),
        "dump_bytes": len(data),
    }


def _do(run: Callable[[], Any]) -> None:
    run()


def plan_of_calls() -> float:
    """Milliseconds of CPU for a plan of 50 calls, stored and restored at each."""
    source = (
        "found = []\nfor i in range(25):\n    doc = get(id=i)\n"
        "    found.append(f'{i}: {doc[\"title\"].upper()}')\n"
        "    send(to='team', body=found[-1])\nfinal_return_value = found\n"
    )

    def run() -> None:
        program = compile_program(source, tools=[GET, SEND])
        machine = Machine.start(program)
        while isinstance(event := machine.run(), Pending):
            machine = Machine.load(program, machine.dump())
            for call in event.calls:
                machine.give(call.no, {"title": "report", "size": 3}, TAGS)

    return round(_best(run, 5) * 1000, 1)


def measure() -> dict[str, Any]:
    """All figures."""
    return {
        "operations_per_s_unlabelled": round(operations(Labels())),
        "operations_per_s_labelled": round(operations(TAGS)),
        "operations_per_s_labelled_strict": round(operations(TAGS, strict=True)),
        **suspension(),
        "plan_of_50_calls_cpu_ms": plan_of_calls(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="machine-readable")
    figures = measure()
    if parser.parse_args().json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):<36} {value:>12,}")


if __name__ == "__main__":
    main()
